/*
 * merge_spec.c
 *		A row as a pure function of the set of operations on it.
 *
 * Written from the definition, with no care for speed and without a line of
 * replicator/: if this and merge.c agree over many causal orders, a mistake
 * would have to be made twice, in two ways.
 */
#include "merge_sim.h"

/* t names o in its deps, or comes later in the same stream. */
static bool
seen(const SimOp *t, const SimOp *o)
{
	uint64_t known;

	if (t->op.slot != o->op.slot)
		known = t->deps[o->op.slot];
	else if (t->op.stamp.hlc == o->op.stamp.hlc)
		return o->op.ordinal < t->op.ordinal;
	else
		known = t->op.stamp.hlc - 1;
	return o->op.stamp.hlc <= known;
}

static bool
later(const SimOp *a, const SimOp *b)
{
	if (a->op.stamp.hlc != b->op.stamp.hlc)
		return a->op.stamp.hlc > b->op.stamp.hlc;
	if (a->op.stamp.stream.node != b->op.stamp.stream.node)
		return a->op.stamp.stream.node > b->op.stamp.stream.node;
	return a->op.ordinal > b->op.ordinal;
}

static bool
deletes(const SimOp *o)
{
	return o->op.kind == REP_OP_DELETE;
}

/* o's write of this kind on the field, if it has one. */
static bool
writes(const SimOp *o, uint32_t field, RepWriteKind kind)
{
	for (uint32_t i = 0; i < o->op.nwrites; i++)
		if (o->writes[i].field == field && o->writes[i].kind == kind)
			return true;
	return false;
}

static int64_t
value(const SimOp *const *ops, uint32_t nops, uint32_t field)
{
	const SimOp *base = NULL;
	int64_t sum;

	for (uint32_t i = 0; i < nops; i++)
		if ((writes(ops[i], field, REP_WRITE_SET) ||
			 writes(ops[i], field, REP_WRITE_STRONG)) &&
			(base == NULL || later(ops[i], base)))
			base = ops[i];
	sum = base == NULL ? 0 : base->values[field];
	for (uint32_t i = 0; i < nops; i++)
		if (writes(ops[i], field, REP_WRITE_DELTA) &&
			(base == NULL || !seen(base, ops[i])))
			sum += ops[i]->values[field];
	return sum;
}

/* Some write has been seen by no delete. */
static bool
update_wins(const SimOp *const *ops, uint32_t nops)
{
	for (uint32_t w = 0; w < nops; w++)
	{
		bool lives = !deletes(ops[w]);

		for (uint32_t d = 0; d < nops; d++)
			if (deletes(ops[d]) && seen(ops[d], ops[w]))
				lives = false;
		if (lives)
			return true;
	}
	return false;
}

/* Some write has seen every delete. */
static bool
delete_wins(const SimOp *const *ops, uint32_t nops)
{
	for (uint32_t w = 0; w < nops; w++)
	{
		bool lives = !deletes(ops[w]);

		for (uint32_t d = 0; d < nops; d++)
			if (deletes(ops[d]) && !seen(ops[w], ops[d]))
				lives = false;
		if (lives)
			return true;
	}
	return false;
}

/* The last of all operations is a write. */
static bool
last_write(const SimOp *const *ops, uint32_t nops)
{
	const SimOp *last = NULL;

	for (uint32_t i = 0; i < nops; i++)
		if (last == NULL || later(ops[i], last))
			last = ops[i];
	return last != NULL && !deletes(last);
}

SimRow
merge_spec(const SimOp *const *ops, uint32_t nops, RepRowPolicy policy)
{
	SimRow row = { .alive = false };

	if (policy == REP_POLICY_UPDATE_WINS)
		row.alive = update_wins(ops, nops);
	else if (policy == REP_POLICY_DELETE_WINS)
		row.alive = delete_wins(ops, nops);
	else
		row.alive = last_write(ops, nops);
	for (uint32_t f = 0; f < SIM_FIELDS; f++)
		row.values[f] = value(ops, nops, f);
	return row;
}
