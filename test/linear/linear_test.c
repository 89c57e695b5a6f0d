/*
 * linear_test.c
 *		Does the checker of histories tell good ones from bad ones?
 *
 * Ten histories that no register could have given, each wrong in a way of its
 * own; some that look wrong and are not; and thousands of small random ones,
 * where a second implementation that tries every order must agree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"

typedef struct
{
	const char *claim;
	bool good;
	LinearOp ops[8];
} Case;

#define READ(start, end, v) {start, end, LINEAR_READ, 0, v, 0}
#define WRITE(start, end, v) {start, end, LINEAR_WRITE, 0, v, 0}
#define CAS(start, end, old, new) {start, end, LINEAR_CAS, old, new, 0}
#define DIFFERS(start, end, old) {start, end, LINEAR_DIFFERS, old, 0, 0}
#define NEVER LINEAR_NEVER

/* times begin at 1: a start of 0 ends the list */
static const Case cases[] = {
	{"a read after an acknowledged write misses it", false,
	 {WRITE(1, 2, 7), READ(3, 4, 0)}},
	{"an acknowledged write is lost: the value before comes back", false,
	 {WRITE(1, 2, 7), WRITE(3, 4, 8), READ(5, 6, 7)}},
	{"a read gives what nobody ever wrote", false,
	 {WRITE(1, 2, 7), READ(3, 4, 9)}},
	{"a read gives what is written only later", false,
	 {READ(1, 2, 7), WRITE(3, 4, 7)}},
	{"two reads, one after the other, go back in time during one write", false,
	 {WRITE(1, 10, 7), READ(2, 3, 7), READ(4, 5, 0)}},
	{"two compare-and-sets of the same value both win", false,
	 {CAS(1, 4, 0, 7), CAS(2, 5, 0, 8)}},
	{"a compare-and-set wins over what was not there any more", false,
	 {WRITE(1, 2, 7), CAS(3, 4, 0, 8)}},
	{"two readers disagree on the order of two concurrent writes", false,
	 {WRITE(1, 10, 7), WRITE(1, 10, 8), READ(11, 12, 7), READ(13, 14, 8)}},
	{"a write of unknown outcome is seen, then unseen", false,
	 {WRITE(1, NEVER, 7), READ(2, 3, 7), READ(4, 5, 0)}},
	{"a compare-and-set is refused though the value had been there all the time", false,
	 {WRITE(1, 2, 7), DIFFERS(3, 4, 7), READ(5, 6, 7)}},
	{"a write of unknown outcome takes effect before it was asked for", false,
	 {READ(1, 2, 7), WRITE(3, NEVER, 7)}},

	{"nothing happened", true, {{0}}},
	{"a read beside a write may give either value", true,
	 {WRITE(1, 10, 7), READ(2, 3, 0), READ(4, 5, 7)}},
	{"an unknown write takes effect long after", true,
	 {WRITE(1, NEVER, 7), READ(2, 3, 0), READ(4, 5, 0), READ(6, 7, 7)}},
	{"an unknown write never takes effect", true,
	 {WRITE(1, NEVER, 7), READ(2, 3, 0), WRITE(4, 5, 8), READ(6, 7, 8)}},
	{"an unknown compare-and-set that won explains one that lost", true,
	 {CAS(1, NEVER, 0, 7), DIFFERS(3, 4, 0)}},
	{"of two compare-and-sets at once one wins", true,
	 {CAS(1, 4, 0, 7), DIFFERS(2, 5, 0), READ(6, 7, 7)}},
	{"answers cross: what was asked first takes effect last", true,
	 {WRITE(1, 10, 7), WRITE(2, 9, 8), READ(11, 12, 7)}}};

static int ntests = 0;
static int nfailed = 0;

static void
report(bool ok, const char *claim)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++ntests, claim);
	nfailed += !ok;
}

static size_t
count(const LinearOp *ops, size_t max)
{
	size_t n = 0;

	while (n < max && ops[n].start > 0)
		n++;
	return n;
}

/* Tries every order of what is left; the second implementation. */
static bool
try_orders(const LinearOp *ops, size_t n, unsigned left, int64_t value)
{
	size_t i;
	size_t k;
	bool all_unknown = true;

	for (i = 0; i < n; i++)
		if ((left >> i & 1) && ops[i].end != NEVER)
			all_unknown = false;
	if (all_unknown)
		return true;
	for (i = 0; i < n; i++)
	{
		const LinearOp *op = &ops[i];
		bool fits = (left >> i & 1) != 0;
		int64_t after = value;

		for (k = 0; k < n && fits; k++)
			if ((left >> k & 1) && ops[k].end < op->start)
				fits = false;
		if (!fits)
			continue;
		if (op->kind == LINEAR_READ)
			fits = value == op->value;
		else if (op->kind == LINEAR_DIFFERS)
			fits = value != op->expected;
		else
		{
			fits = op->kind == LINEAR_WRITE || value == op->expected;
			after = op->value;
		}
		if (fits && try_orders(ops, n, left & ~(1u << i), after))
			return true;
	}
	return false;
}

static unsigned
chance(uint64_t *state, unsigned n)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned) (*state >> 33) % n;
}

static void
compare_with_every_order(void)
{
	uint64_t state = 20260101;
	int verdicts[2] = {0, 0};
	int wrong = 0;
	int round;

	for (round = 0; round < 200000; round++)
	{
		LinearOp ops[7];
		LinearOp copy[7];
		size_t n = 1 + chance(&state, 7);
		bool expected;
		size_t i;

		for (i = 0; i < n; i++)
		{
			int64_t start = 1 + chance(&state, 12);

			ops[i] = (LinearOp){
				.start = start,
				.end = start + chance(&state, 6),
				.kind = (LinearKind) chance(&state, 4),
				.expected = chance(&state, 3),
				.value = chance(&state, 3),
				.line = (int) i};
			if (ops[i].kind != LINEAR_READ && chance(&state, 5) == 0)
				ops[i].end = NEVER;
			/* mostly values that are written once, as clients do */
			if (ops[i].kind == LINEAR_WRITE || ops[i].kind == LINEAR_CAS)
				if (chance(&state, 3) > 0)
					ops[i].value = 1 + (int64_t) i;
		}
		memcpy(copy, ops, sizeof(ops));
		expected = try_orders(ops, n, (1u << n) - 1, 0);
		verdicts[expected]++;
		if ((linear_check(copy, n, 0, 1000000).verdict == LINEAR_YES) != expected)
			wrong++;
	}
	printf("# %d linearizable, %d not\n", verdicts[1], verdicts[0]);
	report(wrong == 0, "200000 random histories: the same verdict as by trying every order");
	report(verdicts[0] > 20000 && verdicts[1] > 20000, "and thousands of both kinds were among them");
}

/* What clients of a real register see; one answer changed must not pass. */
static void
long_history(void)
{
	enum { N = 4000, CLIENTS = 8 };
	LinearOp *ops = calloc(N, sizeof(LinearOp));
	LinearOp *copy = calloc(N, sizeof(LinearOp));
	int64_t free_at[CLIENTS] = {0};
	int64_t moments[N];
	uint64_t state = 7;
	int64_t value = 0;
	int64_t now = 1;
	LinearResult r;
	size_t i;

	if (ops == NULL || copy == NULL)
		abort();
	for (i = 0; i < N; i++)
	{
		unsigned c = chance(&state, CLIENTS);
		LinearOp *op = &ops[i];

		now += 1 + chance(&state, 10);
		op->line = (int) i;
		op->start = now > free_at[c] + 40 ? now - chance(&state, 40) : free_at[c] + 1;
		moments[i] = now = now > op->start ? now : op->start;
		op->end = now + chance(&state, 40);
		free_at[c] = op->end;
		op->kind = chance(&state, 2) ? LINEAR_READ : LINEAR_WRITE;
		if (op->kind == LINEAR_WRITE)
			value = (int64_t) i + 1;
		op->value = value;
		if (op->kind == LINEAR_WRITE && chance(&state, 20) == 0)
			op->end = NEVER;
	}
	memcpy(copy, ops, N * sizeof(LinearOp));
	r = linear_check(copy, N, 0, 10000000);
	printf("# %zu configurations, last moment %lld\n", r.configurations, (long long) moments[N - 1]);
	report(r.verdict == LINEAR_YES, "4000 operations of 8 clients of a real register pass");
	memcpy(copy, ops, N * sizeof(LinearOp));
	for (i = N / 2; copy[i].kind != LINEAR_READ; i++)
		;
	copy[i].value = copy[i / 2].value == copy[i].value ? 1 : copy[i / 2].value;
	r = linear_check(copy, N, 0, 10000000);
	report(r.verdict == LINEAR_NO, "and do not with one stale read among them");
	free(ops);
	free(copy);
}

int
main(void)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		LinearOp ops[8];
		size_t n = count(cases[i].ops, 8);
		char claim[128];
		bool yes;

		memcpy(ops, cases[i].ops, sizeof(ops));
		yes = linear_check(ops, n, 0, 100000).verdict == LINEAR_YES;
		snprintf(claim, sizeof(claim), "%s: %s", cases[i].good ? "accepted" : "rejected", cases[i].claim);
		report(yes == cases[i].good, claim);
	}
	compare_with_every_order();
	long_history();
	printf("1..%d\n", ntests);
	return nfailed ? 1 : 0;
}
