/*
 * apply_row.c
 *		See apply_row.h.
 *
 * Order of work on one row: lock it, then look for what the transaction has
 * not seen (DESIGN: lock first, then look), then let replicator/merge.c decide,
 * then write. Where it has seen everything, the decision is trivial. An INSERT
 * is tried first: its index entry is a lock as good, and there is nothing else
 * to be found as a rule.
 */
#include "postgres.h"

#include "apply_row.h"
#include "apply_truncate.h"
#include "apply_work.h"

void
apply_row_init(NodeShared *n)
{
	apply_work_init(n);
}

static bool
only_adds(const Work *w)
{
	int i;

	for (i = 0; i < w->nfields; i++)
		if (w->fields[i].kind != REP_WRITE_DELTA)
			return false;
	return w->c->kind == REP_CHANGE_UPDATE;
}

void
apply_row_change(const Incoming *t, CatalogApply *a, RepChange *c, uint32 ordinal)
{
	Work w = {.t = t, .a = a, .c = c};
	bool alive;

	if (c->kind == REP_CHANGE_TRUNCATE)
	{
		apply_truncate(t, a, c, ordinal);
		return;
	}
	w.target = target_open(a->relid);
	if (a->key.ncolumns == 0)
	{
		if (c->kind != REP_CHANGE_INSERT)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("table %s is append-only here", catalog_descriptor_name(&a->descriptor)),
							errdetail("A peer sent an UPDATE or DELETE of one of its rows."),
							errhint("Give it the primary key it has on the peer.")));
		apply_work_set_fields(&w);
		apply_work_insert(&w);
		return;
	}
	apply_work_set_key(&w);
	apply_work_set_fields(&w);
	w.op.ordinal = ordinal;
	if (c->kind == REP_CHANGE_INSERT && apply_work_insert_first(&w))
		return;
	alive = target_lock_row(w.target, w.key, c->kind == REP_CHANGE_DELETE);
	unseen_find(t, &w.op, a, w.key, alive && only_adds(&w), &w.unseen);
	/* what was found may have come to life after the first look; where nothing
	 * was, the key's index refuses an INSERT, and the next try finds the row */
	if (!alive && (w.unseen.n > 0 || c->kind != REP_CHANGE_INSERT) &&
		target_lock_row(w.target, w.key, c->kind == REP_CHANGE_DELETE))
	{
		alive = true;
		unseen_find(t, &w.op, a, w.key, alive && only_adds(&w), &w.unseen);
	}
	if (w.unseen.voided)
	{
		if (c->kind == REP_CHANGE_UPDATE)
			apply_work_record_missing(&w);
		return;
	}
	apply_work_do(&w, alive);
}
