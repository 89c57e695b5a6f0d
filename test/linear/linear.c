/*
 * linear.c
 *		See linear.h.
 */
#include <stdlib.h>
#include <string.h>

#include "linear.h"

/*
 * One configuration: which operations have had their moment, and what the
 * register holds then. Remembered by a 128-bit hash: sums of random numbers of
 * the operations done, and of the value.
 */
typedef struct
{
	uint64_t a;
	uint64_t b;
} Key;

typedef struct
{
	Key *slots;
	size_t size; /* a power of two */
	size_t used;
} Seen;

typedef struct
{
	int op;
	int64_t before; /* value of the register before it */
	size_t next;	/* candidate to try after it */
} Step;

static uint64_t
mix(uint64_t x)
{
	x += 0x9E3779B97F4A7C15u;
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}

static void *
get_memory(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (p == NULL)
		abort();
	return p;
}

/* True if it is new. */
static bool
remember(Seen *seen, Key key)
{
	size_t i;

	if (key.a == 0 && key.b == 0)
		key.b = 1;
	if (seen->used * 2 >= seen->size)
	{
		Seen bigger = {get_memory(seen->size * 2, sizeof(Key)), seen->size * 2, 0};

		for (i = 0; i < seen->size; i++)
			if (seen->slots[i].a || seen->slots[i].b)
				(void) remember(&bigger, seen->slots[i]);
		free(seen->slots);
		*seen = bigger;
	}
	for (i = key.a & (seen->size - 1); seen->slots[i].a || seen->slots[i].b; i = (i + 1) & (seen->size - 1))
		if (seen->slots[i].a == key.a && seen->slots[i].b == key.b)
			return false;
	seen->slots[i] = key;
	seen->used++;
	return true;
}

static int
by_start(const void *x, const void *y)
{
	const LinearOp *a = x;
	const LinearOp *b = y;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static bool
puts_value(const LinearOp *op)
{
	return op->kind == LINEAR_WRITE || op->kind == LINEAR_CAS;
}

/*
 * Drops operations of unknown outcome that nobody has seen the effect of: if
 * an order with them exists, the order without them is one too, because what
 * follows such a write up to the next never found its value. Where a value is
 * put twice, or somebody found only that it was not another, this does not
 * hold, and they stay.
 */
static size_t
drop_unseen(LinearOp *ops, size_t n)
{
	size_t kept = 0;
	size_t i;
	size_t k;

	for (i = 0; i < n; i++)
		if (ops[i].kind == LINEAR_DIFFERS)
			return n;
	for (i = 0; i < n; i++)
	{
		bool matters = ops[i].end != LINEAR_NEVER || !puts_value(&ops[i]);

		for (k = 0; k < n && !matters; k++)
		{
			if (k == i)
				continue;
			matters = (ops[k].kind == LINEAR_READ && ops[k].value == ops[i].value) ||
				(ops[k].kind == LINEAR_CAS && ops[k].expected == ops[i].value) ||
				(puts_value(&ops[k]) && ops[k].value == ops[i].value);
		}
		if (matters)
			ops[kept++] = ops[i];
	}
	return kept;
}

/* What the register holds after op; false if op cannot come now. */
static bool
apply(const LinearOp *op, int64_t value, int64_t *after)
{
	*after = value;
	switch (op->kind)
	{
		case LINEAR_READ:
			return value == op->value;
		case LINEAR_WRITE:
			*after = op->value;
			return true;
		case LINEAR_CAS:
			*after = op->value;
			return value == op->expected;
		case LINEAR_DIFFERS:
			return value != op->expected;
	}
	return false;
}

LinearResult
linear_check(LinearOp *ops, size_t n, int64_t initial, size_t limit)
{
	LinearResult result = {LINEAR_NO, 0, 0, {0}, 0};
	Seen seen = {get_memory(1024, sizeof(Key)), 1024, 0};
	Key key = {1, 1};
	int64_t value = initial;
	size_t certain = 0; /* operations with a known end */
	size_t done_certain = 0;
	size_t depth = 0;
	size_t low = 0; /* all before it are done */
	size_t from = 0;
	bool *done;
	Step *steps;
	size_t i;

	n = drop_unseen(ops, n);
	qsort(ops, n, sizeof(LinearOp), by_start);
	done = get_memory(n, sizeof(bool));
	steps = get_memory(n, sizeof(Step));
	for (i = 0; i < n; i++)
		certain += ops[i].end != LINEAR_NEVER;

	for (;;)
	{
		int64_t first_end = LINEAR_NEVER;
		bool stepped = false;

		if (done_certain == certain)
		{
			result.verdict = LINEAR_YES;
			break;
		}
		while (low < n && done[low])
			low++;
		/* whoever comes next must not start after the end of one not done */
		for (i = low; i < n && ops[i].start <= first_end; i++)
			if (!done[i] && ops[i].end < first_end)
				first_end = ops[i].end;
		if (depth > result.reached || (depth == result.reached && result.nstuck == 0))
		{
			result.reached = depth;
			result.nstuck = 0;
			for (i = low; i < n && ops[i].start <= first_end && result.nstuck < 16; i++)
				if (!done[i])
					result.stuck[result.nstuck++] = ops[i].line;
		}
		for (i = from > low ? from : low; i < n && ops[i].start <= first_end; i++)
		{
			int64_t after;
			Key next;

			if (done[i] || !apply(&ops[i], value, &after))
				continue;
			next.a = key.a + mix(2 * i + 1) - mix((uint64_t) value * 2) + mix((uint64_t) after * 2);
			next.b = key.b + mix(~(2 * (uint64_t) i)) - mix(~((uint64_t) value * 2 + 1)) + mix(~((uint64_t) after * 2 + 1));
			if (!remember(&seen, next))
				continue;
			result.configurations++;
			steps[depth].op = (int) i;
			steps[depth].before = value;
			steps[depth].next = i + 1;
			depth++;
			done[i] = true;
			done_certain += ops[i].end != LINEAR_NEVER;
			value = after;
			key = next;
			from = 0;
			stepped = true;
			break;
		}
		if (stepped)
		{
			if (result.configurations > limit)
			{
				result.verdict = LINEAR_TOO_HARD;
				break;
			}
			continue;
		}
		if (depth == 0)
			break;
		/* a dead end: take the last one back, try what could come instead */
		depth--;
		i = (size_t) steps[depth].op;
		key.a -= mix(2 * i + 1) - mix((uint64_t) steps[depth].before * 2) + mix((uint64_t) value * 2);
		key.b -= mix(~(2 * (uint64_t) i)) - mix(~((uint64_t) steps[depth].before * 2 + 1)) + mix(~((uint64_t) value * 2 + 1));
		done[i] = false;
		done_certain -= ops[i].end != LINEAR_NEVER;
		value = steps[depth].before;
		from = steps[depth].next;
		if (i < low)
			low = i;
	}
	free(seen.slots);
	free(done);
	free(steps);
	return result;
}
