/*
 * merge_sim.c
 *		The nodes of merge_sim.h and what happens to them.
 *
 * Invariants
 * 1. Transactions of one stream are applied in order; a transaction only when
 *	  all that its deps name is applied.
 * 2. A local transaction finds nothing in its node's log that it has not
 *	  seen: its deps name everything the node holds. (Checked.)
 * 3. What a node forgets, every member has applied. (Checked.)
 */
#include "merge_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 200
/* a transaction has up to this many operations on the row */
#define MAX_TX_OPS 3
#define MAX_TX (MAX_STEPS + 2 * SIM_MAX_NODES)
#define MAX_OPS (MAX_TX * MAX_TX_OPS)

/*
 * One transaction: consecutive operations of the pool. One without any wrote
 * other rows; it carries an acknowledgement all the same.
 */
typedef struct Tx
{
	uint32_t first;
	uint32_t nops;
	uint32_t node;
	uint64_t position;
	uint64_t deps[SIM_MAX_NODES];
	uint64_t ack[SIM_MAX_NODES]; /* what the writer had applied */
} Tx;

typedef struct Node
{
	uint32_t id;
	uint64_t hlc;
	SimRow row;                /* dead: the values are the grave's */
	bool grave_dropped;        /* dead, and its values are no longer kept */
	const SimOp *log[MAX_OPS]; /* what is not forgotten */
	uint32_t nlog;
	const SimOp *got[MAX_OPS]; /* every operation ever applied */
	uint32_t ngot;
	uint64_t started[SIM_MAX_NODES];
	uint64_t named[SIM_MAX_NODES]; /* by the deps of local transactions */
	uint64_t applied[SIM_MAX_NODES];
	uint64_t acks[SIM_MAX_NODES][SIM_MAX_NODES]; /* as received in streams */
	Tx *local; /* open local transaction; it holds the row lock */
	const Tx *inflight[SIM_MAX_NODES]; /* apply begun, waits for the lock */
} Node;

typedef struct Sim
{
	UnitRng rng;
	const SimEngine *engine;
	SimMistake mistake;
	SimReport *report;
	uint32_t nnodes;
	bool calm; /* delivery keeps up, and much becomes stable */
	/* from a step on one node cannot apply one stream, whose writer leaves the
	 * row alone, so that what was made of its last write comes to light */
	bool poisoned;
	uint32_t poisoned_from;
	uint32_t poisoned_node;
	uint32_t poisoned_stream;
	RepRowPolicy policy;
	int64_t next_value;
	SimOp ops[MAX_OPS];
	uint32_t nops;
	Tx txs[MAX_TX];
	uint32_t ntxs;
	Tx *streams[SIM_MAX_NODES][MAX_TX];
	uint32_t stream_len[SIM_MAX_NODES];
	uint32_t node_ids[SIM_MAX_NODES]; /* stamps order nodes by these */
	Node nodes[SIM_MAX_NODES];
} Sim;

static void
disagree(Sim *s, const char *what, const Node *n)
{
	if (s->report->why[0] == '\0')
		snprintf(s->report->why, sizeof(s->report->why), "node %u: %s", n->id,
				 what);
}

/* ------------------------------------------------------------------------
 * Carrying out a plan
 * ------------------------------------------------------------------------
 */

static void
carry_out(const Sim *s, const SimOp *t, const RepPlan *plan,
		  const SimOp *const *u, uint32_t nu, SimRow *row)
{
	for (uint32_t i = 0; i < plan->nfields; i++)
	{
		const RepFieldPlan *f = &plan->fields[i];
		int64_t *value = &row->values[f->field];

		if (f->action == REP_FIELD_ADD)
			*value += t->values[f->field];
		if (f->action != REP_FIELD_SET)
			continue;
		*value = t->values[f->field];
		for (uint32_t k = 0; k < nu; k++)
			if (s->engine->writes(&u[k]->op, f->field) == REP_WRITE_DELTA)
				*value += u[k]->values[f->field];
	}
	row->alive = plan->state == REP_ROW_ALIVE;
}

/* Two indexes into two orders of U mean the same operation, or both none. */
static bool
same_other(uint32_t a, const RepOp *ua, uint32_t b, const RepOp *ub)
{
	if (a == REP_NO_OP || b == REP_NO_OP)
		return a == b;
	return rep_stamp_compare(ua[a].stamp, ub[b].stamp) == 0 &&
		   ua[a].ordinal == ub[b].ordinal;
}

static bool
same_plan(const RepPlan *a, const RepOp *ua, const RepPlan *b, const RepOp *ub)
{
	bool same = a->state == b->state && a->revived == b->revived &&
				a->nfields == b->nfields &&
				same_other(a->life_other, ua, b->life_other, ub) &&
				same_other(a->life_loser, ua, b->life_loser, ub);

	for (uint32_t i = 0; same && i < a->nfields; i++)
		same = a->fields[i].field == b->fields[i].field &&
			   a->fields[i].action == b->fields[i].action &&
			   same_other(a->fields[i].other, ua, b->fields[i].other, ub);
	return same;
}

/* Law: the order in which U is given does not matter. */
static void
check_order_of_u(Sim *s, const Node *n, const SimOp *t, const RepOp *u,
				 uint32_t nu, const RepPlan *plan)
{
	RepOp mixed[MAX_OPS];
	RepFieldPlan fields[SIM_FIELDS];
	RepPlan again = { .fields = fields };

	memcpy(mixed, u, nu * sizeof(RepOp));
	for (uint32_t i = nu; i > 1; i--)
	{
		uint32_t k = unit_below(&s->rng, i);
		RepOp swap = mixed[i - 1];

		mixed[i - 1] = mixed[k];
		mixed[k] = swap;
	}
	s->engine->merge(&t->op, mixed, nu,
					 n->row.alive ? REP_ROW_ALIVE : REP_ROW_DEAD, s->policy,
					 &again);
	if (!same_plan(plan, u, &again, mixed))
		disagree(s, "the plan depends on the order of U", n);
}

/* Applies one operation; the logged operations it has not seen decide. */
static void
apply(Sim *s, Node *n, const SimOp *t)
{
	const SimOp *unseen[MAX_OPS];
	RepOp u[MAX_OPS];
	uint32_t nu = 0;
	RepFieldPlan fields[SIM_FIELDS];
	RepPlan plan = { .fields = fields };

	for (uint32_t i = 0; i < n->nlog; i++)
		if (!rep_op_has_seen(&t->op, &n->log[i]->op))
		{
			unseen[nu] = n->log[i];
			u[nu++] = n->log[i]->op;
		}
	if (nu > 0)
		s->report->concurrent++;
	if (nu > 0 && t->op.slot == n->id && s->mistake == SIM_CORRECT)
		disagree(s, "a local write has not seen all its node holds", n);

	s->engine->merge(&t->op, u, nu, n->row.alive ? REP_ROW_ALIVE : REP_ROW_DEAD,
					 s->policy, &plan);
	if (nu > 1 && unit_once_in(&s->rng, 4))
		check_order_of_u(s, n, t, u, nu, &plan);
	carry_out(s, t, &plan, unseen, nu, &n->row);
	if (n->row.alive)
		n->grave_dropped = false;
	n->log[n->nlog++] = t;
	n->got[n->ngot++] = t;
}

/* Applies a whole transaction and takes in the ack it carries. */
static void
land(Sim *s, Node *n, const Tx *tx)
{
	for (uint32_t i = 0; i < tx->nops; i++)
		apply(s, n, &s->ops[tx->first + i]);
	memcpy(n->acks[tx->node], tx->ack, sizeof(n->acks[0]));
	n->acks[tx->node][tx->node] = tx->position;
	n->applied[tx->node] = tx->position;
}

/* ------------------------------------------------------------------------
 * Local transactions
 * ------------------------------------------------------------------------
 */

static void
op_write(SimOp *o, uint32_t field, RepWriteKind kind, int64_t value)
{
	o->writes[o->op.nwrites++] = (RepWrite){ .field = field, .kind = kind };
	o->values[field] = value;
}

/* What a client might do with the row as it finds it. */
static void
op_choose(Sim *s, SimOp *o, bool alive)
{
	static const int64_t deltas[] = { 1, 2, 5, -3 };
	int64_t value = ++s->next_value;
	uint32_t choice = unit_below(&s->rng, 100);

	o->op.kind = alive ? REP_OP_UPDATE : REP_OP_INSERT;
	if (!alive)
	{
		op_write(o, SIM_A, REP_WRITE_SET, value);
		op_write(o, SIM_B, REP_WRITE_SET, value);
		op_write(o, SIM_N, REP_WRITE_SET, unit_below(&s->rng, 3));
	}
	else if (choice < 25)
		o->op.kind = REP_OP_DELETE;
	else if (choice < 40)
		op_write(o, SIM_A, REP_WRITE_SET, value);
	else if (choice < 45)
		op_write(o, SIM_A, REP_WRITE_STRONG, value);
	else if (choice < 60)
		op_write(o, SIM_B, REP_WRITE_SET, value);
	else if (choice < 85)
		op_write(o, SIM_N, REP_WRITE_DELTA, deltas[unit_below(&s->rng, 4)]);
	else if (choice < 95)
		op_write(o, SIM_N, REP_WRITE_SET, 100 * value);
	else
	{
		op_write(o, SIM_N, REP_WRITE_DELTA, deltas[unit_below(&s->rng, 4)]);
		op_write(o, SIM_A, REP_WRITE_SET, value);
	}
}

/* Takes the row lock and decides what to write, as a client sees the row. */
static void
begin(Sim *s, Node *n)
{
	Tx *tx = &s->txs[s->ntxs++];
	bool alive = n->row.alive;

	tx->first = s->nops;
	tx->nops = unit_once_in(&s->rng, 5) ? 2 + unit_below(&s->rng, 2) : 1;
	tx->node = n->id;
	for (uint32_t i = 0; i < tx->nops; i++)
	{
		SimOp *o = &s->ops[s->nops++];

		memset(o, 0, sizeof(*o));
		op_choose(s, o, alive);
		alive = o->op.kind != REP_OP_DELETE;
		o->op.slot = n->id;
		o->op.ordinal = i;
		o->op.writes = o->writes;
		o->op.deps = o->deps;
		o->op.ndeps = s->nnodes;
	}
	n->local = tx;
}

static bool start(Sim *s, Node *n, uint32_t k);

/* The stamp and the deps, in the right order or not; then it is done. */
static void
commit_tx(Sim *s, Node *n, Tx *tx)
{
	memcpy(tx->deps, n->started, sizeof(tx->deps));
	tx->position = ++n->hlc;
	if (s->mistake == SIM_DEPS_AFTER_TICK)
	{
		/* an apply begins between the tick and reading deps */
		for (uint32_t k = 0; k < s->nnodes; k++)
			if (k != n->id && unit_once_in(&s->rng, 2))
				start(s, n, k);
		memcpy(tx->deps, n->started, sizeof(tx->deps));
	}
	memcpy(n->named, tx->deps, sizeof(n->named));
	tx->deps[n->id] = tx->position - 1;
	memcpy(tx->ack, n->applied, sizeof(tx->ack));
	for (uint32_t i = 0; i < tx->nops; i++)
	{
		SimOp *o = &s->ops[tx->first + i];

		o->op.stamp.hlc = tx->position;
		o->op.stamp.stream.node = s->node_ids[n->id];
		memcpy(o->deps, tx->deps, sizeof(o->deps));
	}
	s->streams[n->id][s->stream_len[n->id]++] = tx;
	land(s, n, tx);
	n->started[n->id] = tx->position;
}

/* The open local transaction ends and gives the row lock back. */
static void
commit(Sim *s, Node *n)
{
	Tx *tx = n->local;

	n->local = NULL;
	commit_tx(s, n, tx);
}

/* Another client of the node writes other rows, whoever has our row's lock. */
static void
commit_elsewhere(Sim *s, Node *n)
{
	Tx *tx = &s->txs[s->ntxs++];

	tx->first = tx->nops = 0;
	tx->node = n->id;
	commit_tx(s, n, tx);
}

/* ------------------------------------------------------------------------
 * Apply of remote transactions, and forgetting
 * ------------------------------------------------------------------------
 */

/* The next transaction of stream k, if it is there and deliverable at n. */
static const Tx *
next_deliverable(const Sim *s, const Node *n, uint32_t k)
{
	for (uint32_t i = 0; i < s->stream_len[k]; i++)
	{
		const Tx *tx = s->streams[k][i];

		if (tx->position <= n->applied[k])
			continue;
		for (uint32_t j = 0; j < s->nnodes; j++)
			if (j != k && n->applied[j] < tx->deps[j])
				return NULL;
		return tx;
	}
	return NULL;
}

/* Apply begins: the clock observes, `started` is raised, the lock is due. */
static bool
start(Sim *s, Node *n, uint32_t k)
{
	const Tx *tx;

	if (k == n->id || n->inflight[k] != NULL)
		return false;
	tx = next_deliverable(s, n, k);
	if (tx == NULL)
		return false;
	if (s->mistake != SIM_NO_OBSERVE && n->hlc < tx->position)
		n->hlc = tx->position;
	n->started[k] = tx->position;
	n->inflight[k] = tx;
	return true;
}

/*
 * Apply fails and will be tried again: `started` falls back, but not below what
 * a local transaction has named already. Later ones come after that one in its
 * stream and are bound by its deps anyway; did they not name them, what was
 * seen by what they have seen would be unseen by them.
 */
static void
give_up(const Sim *s, Node *n, uint32_t k)
{
	if (n->inflight[k] == NULL)
		return;
	n->inflight[k] = NULL;
	n->started[k] = n->applied[k];
	if (s->mistake != SIM_FALLS_TOO_FAR && n->started[k] < n->named[k])
		n->started[k] = n->named[k];
}

/* The lock is free: apply goes through, or fails. */
static bool
finish(Sim *s, Node *n, uint32_t k)
{
	const Tx *tx = n->inflight[k];

	if (tx == NULL || n->local != NULL)
		return false;
	if (s->poisoned && n->id == s->poisoned_node && k == s->poisoned_stream)
	{
		give_up(s, n, k);
		return false;
	}
	n->inflight[k] = NULL;
	land(s, n, tx);
	return true;
}

/* What may be forgotten of stream k, as far as n knows. */
static uint64_t
stable_position(const Sim *s, const Node *n, uint32_t k)
{
	uint64_t least = UINT64_MAX;

	if (s->mistake == SIM_EARLY_PRUNE)
		return n->applied[k];
	for (uint32_t m = 0; m < s->nnodes; m++)
	{
		uint64_t ack = s->mistake == SIM_OUT_OF_BAND_ACK
						   ? s->nodes[m].applied[k]
						   : n->acks[m][k];

		if (ack < least)
			least = ack;
	}
	return least;
}

static void
forget(Sim *s, Node *n)
{
	uint64_t stable[SIM_MAX_NODES];
	uint32_t kept = 0;

	for (uint32_t k = 0; k < s->nnodes; k++)
		stable[k] = stable_position(s, n, k);
	for (uint32_t i = 0; i < n->nlog; i++)
	{
		const SimOp *o = n->log[i];

		if (o->op.stamp.hlc > stable[o->op.slot])
		{
			n->log[kept++] = o;
			continue;
		}
		s->report->forgotten++;
		for (uint32_t m = 0; m < s->nnodes && s->mistake == SIM_CORRECT; m++)
			if (s->nodes[m].applied[o->op.slot] < o->op.stamp.hlc)
				disagree(s, "forgot what a member has not applied", n);
	}
	n->nlog = kept;

	/* no unstable operation is left: the grave is not needed any more */
	if (n->nlog == 0 && n->ngot > 0 && !n->row.alive && !n->grave_dropped)
	{
		memset(&n->row, 0, sizeof(n->row));
		n->grave_dropped = true;
		s->report->graves_dropped++;
	}
}

/* ------------------------------------------------------------------------
 * A case
 * ------------------------------------------------------------------------
 */

static void
prepare(Sim *s)
{
	static const uint32_t sizes[] = { 2, 3, 3, 4 };
	Node *first = &s->nodes[0];
	Tx *tx;
	SimOp *o;

	s->nnodes = sizes[unit_below(&s->rng, 4)];
	s->policy = (RepRowPolicy) (1 + unit_below(&s->rng, 3));
	s->calm = unit_once_in(&s->rng, 3);
	s->poisoned = false;
	s->poisoned_from =
		unit_once_in(&s->rng, 2) ? unit_below(&s->rng, MAX_STEPS) : MAX_STEPS;
	s->poisoned_node = unit_below(&s->rng, s->nnodes);
	s->poisoned_stream = unit_below(&s->rng, s->nnodes);
	s->report->nodes = s->nnodes;
	s->report->policy = s->policy;
	s->nops = s->ntxs = 0;
	s->next_value = 0;
	memset(s->stream_len, 0, sizeof(s->stream_len));
	for (uint32_t i = 0; i < s->nnodes; i++)
	{
		Node *n = &s->nodes[i];
		uint32_t k = unit_below(&s->rng, i + 1);

		/* all but the log */
		memset(n->acks, 0, sizeof(n->acks));
		memset(n->started, 0, sizeof(n->started));
		memset(n->applied, 0, sizeof(n->applied));
		memset(n->named, 0, sizeof(n->named));
		memset(n->inflight, 0, sizeof(n->inflight));
		memset(&n->row, 0, sizeof(n->row));
		n->id = i;
		n->hlc = 0;
		n->nlog = n->ngot = 0;
		n->local = NULL;
		n->grave_dropped = false;

		/* node ids in random order: ties do not go by slot */
		s->node_ids[i] = s->node_ids[k];
		s->node_ids[k] = i + 1;
	}

	/* the row that all start from */
	begin(s, first);
	tx = first->local;
	tx->nops = 1;
	s->nops = tx->first + 1;
	o = &s->ops[tx->first];
	o->values[SIM_A] = o->values[SIM_B] = o->values[SIM_N] = 0;
	commit(s, first);
}

/* Some of what is under way arrives, and what became stable is forgotten. */
static void
calm_down(Sim *s)
{
	Node *n = &s->nodes[unit_below(&s->rng, s->nnodes)];

	for (uint32_t k = 0; k < s->nnodes; k++)
	{
		finish(s, n, k);
		start(s, n, k);
		finish(s, n, k);
	}
	forget(s, n);
}

static void
step(Sim *s)
{
	Node *n = &s->nodes[unit_below(&s->rng, s->nnodes)];
	uint32_t choice = unit_below(&s->rng, 100);

	if (s->calm)
		calm_down(s);
	if (choice < 8)
		n->hlc += unit_below(&s->rng, 4);
	else if (choice < 22 && n->local == NULL)
	{
		if (!s->poisoned || n->id != s->poisoned_stream)
			begin(s, n);
	}
	else if (choice < 38 && n->local != NULL)
		commit(s, n);
	else if (choice < 45)
		commit_elsewhere(s, n);
	else if (choice < 67)
		start(s, n, unit_below(&s->rng, s->nnodes));
	else if (choice < 90)
		finish(s, n, unit_below(&s->rng, s->nnodes));
	else if (choice < 98)
		forget(s, n);
	else
		give_up(s, n, unit_below(&s->rng, s->nnodes));
}

/* Everybody gets everything. */
static void
heal(Sim *s)
{
	bool moved = true;

	s->poisoned = false;
	for (uint32_t i = 0; i < s->nnodes; i++)
		if (s->nodes[i].local != NULL)
			commit(s, &s->nodes[i]);
	while (moved)
	{
		moved = false;
		for (uint32_t i = 0; i < s->nnodes; i++)
			for (uint32_t k = 0; k < s->nnodes; k++)
			{
				moved |= finish(s, &s->nodes[i], k);
				moved |= start(s, &s->nodes[i], k);
			}
	}
}

/* The node's row is what the specification makes of what the node has got. */
static void
check_row(Sim *s, const Node *n)
{
	SimRow want = merge_spec(n->got, n->ngot, s->policy);

	if (n->row.alive && !want.alive)
		disagree(s, "the row is alive, the specification says dead", n);
	if (!n->row.alive && want.alive)
		disagree(s, "the row is dead, the specification says alive", n);

	/* of a dead row too: its grave must be ready to live again */
	for (uint32_t f = 0; f < SIM_FIELDS && !n->grave_dropped; f++)
		if (n->row.values[f] != want.values[f])
			disagree(s, "a value differs from the specification", n);
}

static void
check_end(Sim *s)
{
	s->report->operations = s->nops;
	for (uint32_t i = 0; i < s->nnodes; i++)
	{
		if (s->nodes[i].ngot != s->nops)
			disagree(s, "did not get every operation", &s->nodes[i]);
		check_row(s, &s->nodes[i]);
	}
}

static void
tell_op(const SimOp *o)
{
	printf("#   %llu.%u.%u node %u %s", (unsigned long long) o->op.stamp.hlc,
		   o->op.stamp.stream.node, o->op.ordinal, o->op.slot,
		   o->op.kind == REP_OP_DELETE   ? "delete"
		   : o->op.kind == REP_OP_INSERT ? "insert"
										 : "update");
	for (uint32_t i = 0; i < o->op.nwrites; i++)
		printf(" %c%s%lld", "abn"[o->writes[i].field],
			   o -> writes[i].kind == REP_WRITE_SET ? "=" : "+=",
			   (long long) o->values[o->writes[i].field]);
	printf("  deps");
	for (uint32_t k = 0; k < o->op.ndeps; k++)
		printf(" %llu", (unsigned long long) o->deps[k]);
	printf("\n");
}

static void
tell_row(const char *who, const SimRow *row)
{
	printf("# %s: %s a=%lld b=%lld n=%lld\n", who,
		   row->alive ? "alive" : "dead", (long long) row->values[SIM_A],
		   (long long) row->values[SIM_B], (long long) row->values[SIM_N]);
}

static void
tell_story(const Sim *s)
{
	const SimOp *ops[MAX_OPS];
	SimRow want;
	char who[20];

	for (uint32_t i = 0; i < s->nops; i++)
	{
		ops[i] = &s->ops[i];
		tell_op(ops[i]);
	}
	want = merge_spec(ops, s->nops, s->policy);
	tell_row("specification", &want);
	for (uint32_t i = 0; i < s->nnodes; i++)
	{
		snprintf(who, sizeof(who), "node %u", i);
		tell_row(who, &s->nodes[i].row);
	}
}

bool
sim_run(uint64_t seed, const SimEngine *engine, SimMistake mistake, bool story,
		SimReport *report)
{
	static const uint32_t lengths[] = { 12, 25, 50, 100, MAX_STEPS };
	static Sim sim;
	Sim *s = &sim;
	uint32_t steps;

	s->rng.state = seed;
	s->engine = engine;
	s->mistake = mistake;
	s->report = report;
	memset(report, 0, sizeof(*report));
	prepare(s);
	steps = lengths[unit_below(&s->rng, 5)];
	for (uint32_t i = 0; i < steps && report->why[0] == '\0'; i++)
	{
		s->poisoned = i >= s->poisoned_from;
		step(s);
		if (unit_once_in(&s->rng, 48))
			check_row(s, &s->nodes[unit_below(&s->rng, s->nnodes)]);
	}
	heal(s);
	check_end(s);
	if (story)
		tell_story(s);
	return report->why[0] == '\0';
}
