/*
 * content_fuzz.c
 *		libFuzzer's way behind the decoders: frames valid in form, false in
 *		content.
 *
 * The input is a program that writes intervals by the encoders: of streams
 * that are known and unknown, with positions that go back, repeat or lie far
 * ahead, deps on anything, wrong chain hashes, acknowledgements of what nobody
 * has. They go to a small receiver, built of replicator/ as the extension's
 * is, which refuses, ignores, lets wait, stops a stream or applies.
 *
 * Invariants, each checked without the function that should keep it
 * 1. What the encoders wrote is read again.
 * 2. Nothing is applied out of its stream's order, before what its deps name,
 *	  above its interval or in a stream that has forked.
 * 3. A frame that is refused changes nothing.
 * 4. A merge's plan is the same for every order of the other operations, names
 *	  only what there is, and of absolute writes lets the largest stamp stand.
 * 5. Nothing is stable that is not applied here.
 */
#include "causal.h"
#include "change.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define KNOWN 4   /* streams of the receiver; node and slot are the same */
#define STREAMS 6 /* and two that it has never heard of */
#define MEMBERS KNOWN
#define MAX_OPS 48
#define MAX_TRANSACTIONS 3
#define FIELDS 3
#define FRAME_ROOM 4096
#define SKEW_LIMIT (UINT64_C(1) << 40)

#define MUST(condition)                                                        \
	do                                                                         \
	{                                                                          \
		if (!(condition))                                                      \
			abort();                                                           \
	} while (0)

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Operation
{
	RepOp op;
	uint64_t deps[KNOWN];
	RepWrite writes[FIELDS];
} Operation;

typedef struct Receiver
{
	uint64_t applied[KNOWN];
	uint64_t chain[KNOWN];
	bool forked[KNOWN];
	uint64_t acks[MEMBERS * KNOWN];
	uint32_t nops;
} Receiver;

static Receiver here;
static Operation ops[MAX_OPS]; /* all on one row */

/* ------------------------------------------------------------ the program */

static const uint8_t *input;
static size_t left;

static uint32_t
take(uint32_t below)
{
	if (left == 0)
		return 0;
	left--;
	return *input++ % below;
}

/* A position near another one, or far off. */
static uint64_t
take_near(uint64_t at)
{
	switch (take(12))
	{
		case 0:
			return at;
		case 1:
			return at > 0 ? at - 1 : 0;
		case 2:
			return 0;
		case 3:
			return UINT64_MAX - take(3);
		case 4:
			return at + (UINT64_C(1) << take(64));
		default:
			return at + 1 + take(8);
	}
}

static RepStreamId
stream_of(uint32_t s)
{
	return (RepStreamId){ .node = s + 1, .boot = 77 };
}

static uint64_t
applied_of(uint32_t s)
{
	return s < KNOWN ? here.applied[s] : 0;
}

static void
take_vector(RepVector *v, uint32_t but)
{
	v->len = 0;
	for (uint32_t s = 0; s < STREAMS; s++)
		if (s != but && take(3) == 0)
			v->entries[v->len++] = (RepVersion){
				.stream = stream_of(s), .position = take_near(applied_of(s))
			};
}

/* ------------------------------------------------------------ writing */

/* Payload: kind of operation and its writes, one byte each. */
static size_t
take_payload(uint8_t *payload)
{
	size_t n = 0;

	payload[n++] = (uint8_t) (REP_OP_INSERT + take(3));
	for (uint32_t f = 0; f < FIELDS; f++)
		payload[n++] = (uint8_t) take(3);
	return n;
}

static void
write_transactions(RepWriter *w, const RepInterval *i, uint32_t s,
				   uint64_t *chain)
{
	RepVersion entries[STREAMS];
	uint64_t at = i->from;

	for (uint32_t k = 0; k < i->ntransactions; k++)
	{
		uint8_t payload[1 + FIELDS];
		RepTransaction t = { .deps = { entries, 0, STREAMS } };

		at = t.position = take_near(at);
		/* now and then it depends on its own stream */
		take_vector(&t.deps, take(8) == 0 ? STREAMS : s);
		t.payload = payload;
		t.payload_len = take_payload(payload);
		rep_transaction_encode(&t, w);
		if (t.position > applied_of(s))
			*chain = rep_chain_link(*chain,
									(RepStamp){ t.position, i->stream },
									&t.deps, payload, t.payload_len);
	}
}

/* One frame; its mark has the chain that its own content makes, or another. */
static size_t
write_frame(uint8_t *room, uint32_t s)
{
	RepVersion entries[STREAMS];
	uint8_t body[FRAME_ROOM];
	RepInterval i = { .stream = stream_of(s),
					  .mark.acks = { entries, 0, STREAMS } };
	uint64_t chain = s < KNOWN ? here.chain[s] : 0;
	RepWriter transactions;
	RepWriter w;

	i.from = take(4) == 0 ? take_near(applied_of(s)) : applied_of(s);
	i.to = take_near(i.from + 20);
	if (i.to < i.from)
		i.to = i.from;
	i.ntransactions = take(MAX_TRANSACTIONS + 1);
	rep_writer_init(&transactions, body, sizeof(body));
	write_transactions(&transactions, &i, s, &chain);
	i.mark.closed = take(4) == 0 ? take_near(i.to) : i.to;
	i.mark.chain = take(6) == 0 ? chain ^ (1 + take(200)) : chain;
	i.mark.acked_at = take(3) == 0 ? 0 : take_near(applied_of(s));
	if (i.mark.acked_at > 0)
		take_vector(&i.mark.acks, STREAMS);

	rep_writer_init(&w, room, FRAME_ROOM);
	rep_frame_begin(&w);
	rep_interval_encode(&i, &w);
	rep_interval_begin_transactions(&w, i.ntransactions);
	rep_write_bytes(&w, body, transactions.len);
	rep_frame_end(&w, REP_FRAME_INTERVAL);
	MUST(!w.full && !transactions.full);
	return w.len;
}

/* ------------------------------------------------------------ merging */

static void
make_operation(Operation *o, uint32_t s, const RepTransaction *t)
{
	memset(o, 0, sizeof(*o));
	o->op.stamp = (RepStamp){ t->position, stream_of(s) };
	o->op.slot = s;
	o->op.deps = o->deps;
	o->op.ndeps = KNOWN;
	o->op.kind = (RepOpKind) t->payload[0];
	o->op.writes = o->writes;
	for (uint32_t k = 0; k < t->deps.len; k++)
		o->deps[t->deps.entries[k].stream.node - 1] =
			t->deps.entries[k].position;
	if (o->op.kind == REP_OP_DELETE)
		return;
	for (uint32_t f = 0; f < FIELDS; f++)
		if (t->payload[1 + f] != 0)
			o->writes[o->op.nwrites++] = (RepWrite){
				.field = f, .kind = (RepWriteKind) t->payload[1 + f]
			};
}

static bool
same_other(const RepOp *u, uint32_t a, const RepOp *v, uint32_t b)
{
	if (a == REP_NO_OP || b == REP_NO_OP)
		return a == b;
	return rep_stamp_compare(u[a].stamp, v[b].stamp) == 0;
}

static void
check_plans(const RepOp *u, const RepPlan *a, const RepOp *v, const RepPlan *b,
			uint32_t n, const RepOp *t)
{
	MUST(a->state == b->state && a->revived == b->revived);
	MUST(a->nfields == t->nwrites && b->nfields == t->nwrites);
	MUST(a->life_other == REP_NO_OP || a->life_other < n);
	MUST(a->life_loser == REP_NO_OP || a->life_loser < n);
	MUST(same_other(u, a->life_other, v, b->life_other));
	MUST(same_other(u, a->life_loser, v, b->life_loser));
	for (uint32_t f = 0; f < a->nfields; f++)
	{
		MUST(a->fields[f].action == b->fields[f].action);
		MUST(a->fields[f].other == REP_NO_OP || a->fields[f].other < n);
		MUST(same_other(u, a->fields[f].other, v, b->fields[f].other));
	}
}

/* Of absolute writes the one with the largest stamp stands. */
static void
check_winners(const RepOp *t, const RepOp *u, uint32_t n, const RepPlan *plan)
{
	for (uint32_t f = 0; f < t->nwrites; f++)
	{
		uint32_t best = REP_NO_OP;

		if (t->writes[f].kind != REP_WRITE_SET)
			continue;
		for (uint32_t k = 0; k < n; k++)
			if (rep_op_writes(&u[k], t->writes[f].field) == REP_WRITE_SET &&
				(best == REP_NO_OP ||
				 rep_stamp_compare(u[k].stamp, u[best].stamp) > 0))
				best = k;
		if (best != REP_NO_OP &&
			rep_stamp_compare(u[best].stamp, t->stamp) > 0)
			MUST(plan->fields[f].action == REP_FIELD_KEEP);
		else
			MUST(plan->fields[f].action == REP_FIELD_SET);
		MUST(plan->fields[f].other == best);
	}
}

static void
merge_both_ways(const RepOp *t)
{
	RepOp u[MAX_OPS];
	RepOp reversed[MAX_OPS];
	RepFieldPlan fields[2][FIELDS];
	RepPlan plans[2] = { { .fields = fields[0] }, { .fields = fields[1] } };
	RepRowPolicy policy = (RepRowPolicy) (REP_POLICY_UPDATE_WINS + take(3));
	RepRowState now = take(2) ? REP_ROW_ALIVE : REP_ROW_DEAD;
	uint32_t n = 0;

	for (uint32_t k = 0; k < here.nops; k++)
		if (!rep_op_has_seen(t, &ops[k].op))
			u[n++] = ops[k].op;
	for (uint32_t k = 0; k < n; k++)
		reversed[k] = u[n - 1 - k];
	rep_merge(t, u, n, now, policy, &plans[0]);
	rep_merge(t, reversed, n, now, policy, &plans[1]);
	check_plans(u, &plans[0], reversed, &plans[1], n, t);
	check_winners(t, u, n, &plans[0]);
}

/* ------------------------------------------------------------ receiving */

/* True if it has been applied; false: it waits, and so does the rest. */
static bool
apply(uint32_t s, const RepTransaction *t)
{
	RepDelivery d = { .slot = s, .ndeps = KNOWN };
	uint64_t deps[KNOWN] = { 0 };
	RepWait wait;

	for (uint32_t k = 0; k < t->deps.len; k++)
	{
		uint32_t slot = t->deps.entries[k].stream.node - 1;

		if (slot >= KNOWN)
			return false;
		deps[slot] = t->deps.entries[k].position;
	}
	d.deps = deps;
	if (t->position > SKEW_LIMIT)
		return false;
	if (!rep_causal_ready(here.applied, KNOWN, &d, &wait))
	{
		MUST(wait.slot < KNOWN && here.applied[wait.slot] < wait.position);
		return false;
	}
	for (uint32_t k = 0; k < KNOWN; k++)
		MUST(k == s || here.applied[k] >= deps[k]);
	MUST(t->position > here.applied[s] && !here.forked[s]);
	if (here.nops < MAX_OPS)
	{
		make_operation(&ops[here.nops], s, t);
		merge_both_ways(&ops[here.nops].op);
		here.nops++;
	}
	here.applied[s] = t->position;
	here.chain[s] =
		rep_chain_link(here.chain[s], (RepStamp){ t->position, stream_of(s) },
					   &t->deps, t->payload, t->payload_len);
	return true;
}

static void
take_acks(uint32_t s, const RepMark *mark)
{
	uint64_t stable[KNOWN];
	uint64_t acks[KNOWN] = { 0 };

	if (mark->acked_at == 0)
		return;
	for (uint32_t k = 0; k < mark->acks.len; k++)
		if (mark->acks.entries[k].stream.node <= KNOWN)
			acks[mark->acks.entries[k].stream.node - 1] =
				mark->acks.entries[k].position;
	if (!rep_causal_ack_counts(here.applied, KNOWN, s, mark->acked_at, acks,
							   KNOWN))
		return;
	for (uint32_t k = 0; k < KNOWN; k++)
		MUST(acks[k] <= here.applied[k]);
	memcpy(here.acks + s * KNOWN, acks, sizeof(acks));
	rep_causal_stable(here.acks, MEMBERS, KNOWN, stable);
	for (uint32_t k = 0; k < KNOWN; k++)
	{
		MUST(stable[k] <= here.applied[k]);
		for (uint32_t m = 0; m < MEMBERS; m++)
			MUST(stable[k] <= here.acks[m * KNOWN + k]);
	}
}

/* The whole interval is as it should be; else nothing of it is taken. */
static bool
is_sound(RepReader r, const RepInterval *i)
{
	RepVersion entries[STREAMS];
	uint64_t before = i->from;

	for (uint32_t k = 0; k < i->ntransactions; k++)
	{
		RepTransaction t = { .deps = { entries, 0, STREAMS } };

		MUST(rep_transaction_decode(&r, &t));
		if (!rep_interval_accepts(i, before, &t))
			return false;
		MUST(t.position > before && t.position <= i->to);
		before = t.position;
	}
	MUST(rep_reader_done(&r));
	return true;
}

static void
receive(const uint8_t *frame, size_t len)
{
	RepVersion acks[STREAMS];
	RepVersion entries[STREAMS];
	RepInterval i = { .mark.acks = { acks, 0, STREAMS } };
	RepFrameType type;
	RepReader r;
	uint32_t s;

	MUST(rep_frame_open(frame, len, &type, &r) == REP_FRAME_OK);
	MUST(rep_interval_decode(&r, &i) && rep_interval_decode_count(&r, &i));
	s = i.stream.node - 1;
	if (!is_sound(r, &i) || s >= KNOWN || here.forked[s] ||
		i.from > here.applied[s])
		return;
	for (uint32_t k = 0; k < i.ntransactions; k++)
	{
		RepTransaction t = { .deps = { entries, 0, STREAMS } };

		MUST(rep_transaction_decode(&r, &t));
		if (t.position > here.applied[s] && !apply(s, &t))
			return;
	}
	if (i.to > SKEW_LIMIT)
		return;
	if (i.mark.chain != 0 && i.to >= here.applied[s] &&
		i.mark.closed == i.to && i.mark.chain != here.chain[s])
	{
		here.forked[s] = true;
		return;
	}
	if (here.applied[s] < i.to)
		here.applied[s] = i.to;
	take_acks(s, &i.mark);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[FRAME_ROOM];

	memset(&here, 0, sizeof(here));
	input = data;
	left = size;
	while (left > 0)
	{
		Receiver before = here;
		uint32_t s = take(STREAMS);
		size_t len = write_frame(frame, s);
		uint8_t *exact = malloc(len);

		MUST(exact != NULL);
		memcpy(exact, frame, len);
		receive(exact, len);
		free(exact);
		for (uint32_t k = 0; k < KNOWN; k++)
		{
			/* another stream's frame moves nothing but acks */
			MUST(here.applied[k] >= before.applied[k]);
			MUST(k == s || here.applied[k] == before.applied[k]);
			MUST(!before.forked[k] || here.applied[k] == before.applied[k]);
		}
	}
	return 0;
}
