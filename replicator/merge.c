/*
 * merge.c
 *		What one incoming operation does to one row.
 *
 * Not for values: the host carries the plan out. The rules and invariants are
 * those of merge.h. Three facts carry the code:
 *
 * 1. Everything here that is not in U was seen by T, hence has a smaller
 *	  stamp, cannot have seen T, and cannot have seen anything in U.
 * 2. An operation in U that has seen T comes after T, although it got here
 *	  first: it treats T as its past, with everything that T has seen.
 * 3. So T's effect follows from the row as it stands, T and U alone.
 *
 * The REP_BUG_... switches are deliberate mistakes; the merge proof builds
 * this file once with each and must catch it.
 */
#include "merge.h"

#include <assert.h>
#include <stddef.h>

/* Total order of operations: by stamp, then by place in the transaction. */
static int
op_compare(const RepOp *a, const RepOp *b)
{
	int order = rep_stamp_compare(a->stamp, b->stamp);

#ifdef REP_BUG_TIES_BY_ARRIVAL
	if (a->stamp.hlc == b->stamp.hlc && a->slot != b->slot)
		return 0;
#endif
	if (order != 0)
		return order;
	return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

static bool
op_is_write(const RepOp *o)
{
	return o->kind != REP_OP_DELETE;
}

bool
rep_op_has_seen(const RepOp *t, const RepOp *o)
{
	if (o->index > 0 && o->index != t->index)
		return o->slot < t->ndeps && o->index <= t->deps[o->slot];
	if (o->slot == t->slot)
		return o->stamp.hlc != t->stamp.hlc ? o->stamp.hlc < t->stamp.hlc
											: o->ordinal < t->ordinal;
	return o->slot < t->ndeps && o->stamp.hlc <= t->deps[o->slot];
}

int
rep_op_writes(const RepOp *o, uint32_t field)
{
	for (uint32_t i = 0; i < o->nwrites; i++)
	{
#ifdef REP_BUG_BASE_IGNORES_DELTAS
		if (o->writes[i].kind == REP_WRITE_DELTA)
			continue;
#endif
		if (o->writes[i].field == field)
			return (int) o->writes[i].kind;
	}
	return 0;
}

/* o comes after t, although it got here first. */
static bool
op_claims(const RepOp *o, const RepOp *t)
{
#ifdef REP_BUG_ARRIVAL_ORDER
	(void) o;
	(void) t;
	return false;
#else
	return rep_op_has_seen(o, t);
#endif
}

/* The later of u[best] and u[i]; best may be REP_NO_OP. */
static uint32_t
later_op(const RepOp *u, uint32_t best, uint32_t i)
{
	if (best == REP_NO_OP || op_compare(&u[i], &u[best]) > 0)
		return i;
	return best;
}

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------
 */

static bool
is_absolute(int kind)
{
#ifdef REP_BUG_STRONG_OVERWRITTEN
	return kind == REP_WRITE_SET;
#else
	return kind == REP_WRITE_SET || kind == REP_WRITE_STRONG;
#endif
}

/* The latest absolute write of the field in U. */
static uint32_t
latest_set(const RepOp *u, uint32_t nu, uint32_t field)
{
	uint32_t best = REP_NO_OP;

	for (uint32_t i = 0; i < nu; i++)
		if (is_absolute(rep_op_writes(&u[i], field)))
			best = later_op(u, best, i);
	return best;
}

/* The latest absolute write takes the field; a loser of either side is told. */
static void
plan_set(const RepOp *t, const RepOp *u, uint32_t set, RepFieldPlan *f)
{
	f->other = set;
	if (set != REP_NO_OP && op_compare(&u[set], t) > 0)
		f->action = REP_FIELD_KEEP;
	else
		f->action = REP_FIELD_SET;
}

/*
 * A delta counts unless the absolute write that stands already includes it.
 * If that one is not in U, T has seen it and not the other way round.
 */
static void
plan_delta(const RepOp *t, const RepOp *u, uint32_t set, RepFieldPlan *f)
{
#ifdef REP_BUG_DELTA_TWICE
	set = REP_NO_OP;
#endif
	if (set != REP_NO_OP && op_claims(&u[set], t))
	{
		f->action = REP_FIELD_KEEP;
		f->other = set;
	}
	else
	{
		f->action = REP_FIELD_ADD;
		f->other = REP_NO_OP;
	}
}

static void
plan_field(const RepOp *t, const RepOp *u, uint32_t nu, const RepWrite *write,
		   RepFieldPlan *f)
{
	uint32_t set = latest_set(u, nu, write->field);

	f->field = write->field;
	if (write->kind == REP_WRITE_DELTA)
		plan_delta(t, u, set, f);
	else
		plan_set(t, u, set, f);
}

/* ------------------------------------------------------------------------
 * Life
 * ------------------------------------------------------------------------
 */

/* The latest write, or the latest delete, of U. */
static uint32_t
latest_of(const RepOp *u, uint32_t nu, bool writes)
{
	uint32_t best = REP_NO_OP;

	for (uint32_t i = 0; i < nu; i++)
		if (op_is_write(&u[i]) == writes)
			best = later_op(u, best, i);
	return best;
}

/* The latest delete of U that has seen t. */
static uint32_t
latest_claiming_delete(const RepOp *t, const RepOp *u, uint32_t nu)
{
	uint32_t best = REP_NO_OP;

	for (uint32_t i = 0; i < nu; i++)
		if (!op_is_write(&u[i]) && op_claims(&u[i], t))
			best = later_op(u, best, i);
#ifdef REP_BUG_REVIVE_FORGETS
	best = REP_NO_OP;
#endif
	return best;
}

static bool
some_delete_has_seen(const RepOp *u, uint32_t nu, const RepOp *w)
{
	for (uint32_t i = 0; i < nu; i++)
		if (!op_is_write(&u[i]) && rep_op_has_seen(&u[i], w))
			return true;
	return false;
}

static bool
has_seen_every_delete(const RepOp *w, const RepOp *u, uint32_t nu)
{
#ifndef REP_BUG_SURVIVOR_MISSES_DELETES
	for (uint32_t i = 0; i < nu; i++)
		if (!op_is_write(&u[i]) && !rep_op_has_seen(w, &u[i]))
			return false;
#else
	(void) w;
	(void) u;
	(void) nu;
#endif
	return true;
}

/*
 * The delete of U that keeps the write t from making a dead row live, or
 * REP_NO_OP: t lives.
 */
static uint32_t
killer_of_write(const RepOp *t, const RepOp *u, uint32_t nu,
				RepRowPolicy policy)
{
	uint32_t delete = latest_of(u, nu, false);

	switch (policy)
	{
		case REP_POLICY_UPDATE_WINS:
			return latest_claiming_delete(t, u, nu);
		case REP_POLICY_DELETE_WINS:
			/* none of them was seen by t */
			return delete;
		case REP_POLICY_LAST_WRITE:
			if (delete != REP_NO_OP && op_compare(&u[delete], t) > 0)
				return delete;
			return REP_NO_OP;
		case REP_POLICY_STRONG:
			break; /* never asked: see plan_strong_life */
	}
	return REP_NO_OP;
}

/* The latest write of U that the policy lets survive the deletes, t's too. */
static uint32_t
survivor_of_deletes(const RepOp *t, const RepOp *u, uint32_t nu,
					RepRowPolicy policy)
{
	uint32_t best = REP_NO_OP;

	for (uint32_t i = 0; i < nu; i++)
	{
		bool survives = false;

		if (!op_is_write(&u[i]))
			continue;
		if (policy == REP_POLICY_UPDATE_WINS)
			survives = !some_delete_has_seen(u, nu, &u[i]);
		else if (policy == REP_POLICY_DELETE_WINS)
			survives =
				op_claims(&u[i], t) && has_seen_every_delete(&u[i], u, nu);
		if (survives)
			best = later_op(u, best, i);
	}
	return best;
}

/* The write of U that keeps the row alive although t deletes it. */
static uint32_t
saviour_from_delete(const RepOp *t, const RepOp *u, uint32_t nu,
					RepRowPolicy policy)
{
	uint32_t write = latest_of(u, nu, true);
	uint32_t delete = latest_of(u, nu, false);

#ifdef REP_BUG_DELETE_ALWAYS_WINS
	return REP_NO_OP;
#endif
	if (policy != REP_POLICY_LAST_WRITE)
		return survivor_of_deletes(t, u, nu, policy);
#ifdef REP_BUG_FORGETS_EARLIER_DELETES
	delete = REP_NO_OP;
#endif
	if (write == REP_NO_OP || op_compare(&u[write], t) < 0)
		return REP_NO_OP;
	if (delete != REP_NO_OP && op_compare(&u[write], &u[delete]) < 0)
		return REP_NO_OP;
	return write;
}

static void
plan_life(const RepOp *t, const RepOp *u, uint32_t nu, RepRowState now,
		  RepRowPolicy policy, RepPlan *plan)
{
	bool alive;

	if (!op_is_write(t))
	{
		plan->life_other = saviour_from_delete(t, u, nu, policy);
		alive = plan->life_other != REP_NO_OP;
	}
	else
	{
		/* no policy lets a write kill: what lives goes on living */
		plan->life_other = now == REP_ROW_ALIVE
							   ? REP_NO_OP
							   : killer_of_write(t, u, nu, policy);
		alive = plan->life_other == REP_NO_OP;
	}

	plan->state = alive ? REP_ROW_ALIVE : REP_ROW_DEAD;
	plan->life_loser = REP_NO_OP;
	if (plan->state != now)
		plan->life_loser = latest_of(u, nu, now == REP_ROW_ALIVE);
	plan->revived =
		now == REP_ROW_DEAD && alive && plan->life_loser != REP_NO_OP;
}

/*
 * The log says what lives: an INSERT, a DELETE is the newest of it, and an
 * UPDATE changes nothing, so on a dead row it is discarded.
 */
static void
plan_strong_life(const RepOp *t, const RepOp *u, uint32_t nu, RepRowState now,
				 RepPlan *plan)
{
	plan->life_other = REP_NO_OP;
	plan->life_loser = REP_NO_OP;
	plan->revived = false;
	plan->state = now;
	if (t->kind == REP_OP_INSERT)
		plan->state = REP_ROW_ALIVE;
	else if (t->kind == REP_OP_DELETE)
	{
		plan->state = REP_ROW_DEAD;
		if (now == REP_ROW_ALIVE)
			plan->life_loser = latest_of(u, nu, true);
	}
	else if (now == REP_ROW_DEAD)
		plan->life_other = latest_of(u, nu, false);
}

void
rep_merge(const RepOp *t, const RepOp *u, uint32_t nu, RepRowState now,
		  RepRowPolicy policy, RepPlan *plan)
{
	for (uint32_t i = 0; i < nu; i++)
		assert(!rep_op_has_seen(t, &u[i]));

	plan->nfields = t->nwrites;
	for (uint32_t i = 0; i < t->nwrites; i++)
		plan_field(t, u, nu, &t->writes[i], &plan->fields[i]);
	if (policy == REP_POLICY_STRONG)
		plan_strong_life(t, u, nu, now, plan);
	else
		plan_life(t, u, nu, now, policy, plan);
}
