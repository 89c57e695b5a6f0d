/*
 * apply_truncate.c
 *		See apply_truncate.h.
 *
 * TRUNCATE has no row to lock; it locks the table. It wins over every
 * UPDATE and DELETE it has not seen and over no INSERT it has not seen (see
 * unseen.c). The table is emptied, then what it does not undo is done again.
 *
 * A strong TRUNCATE has seen every strong write of the table before it in the log,
 * and those after it have seen it (capture_keys.h); so all that it has
 * not seen is UPDATEs of eventual columns, and those it undoes.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "apply_truncate.h"
#include "apply_work.h"
#include "compat.h"
#include "tree.h"

/* The found row in memory of the current context. */
static RowImage *
image_copy(Target *t)
{
	RowImage *image = apply_work_image(t);
	TupleDesc desc = RelationGetDescr(t->rel);
	int i;

	for (i = 0; i < desc->natts; i++)
		if (!image->nulls[i])
			image->values[i] = datumCopy(image->values[i], TupleDescAttr(desc, i)->attbyval, TupleDescAttr(desc, i)->attlen);
	return image;
}

/* rows that others wrote and the TRUNCATE has not seen */
typedef struct Spared
{
	CatalogApply *a;
	const Work *truncate;
	MemoryContext context;
	HTAB *hashes; /* of keys: SparedKeys */
	List *keys; /* SparedKey */
	List *rows; /* UnseenOp copies, append-only tables */
} Spared;

typedef struct SparedKey
{
	Datum key[INDEX_MAX_KEYS];
	RowImage *image; /* as it stood, or NULL */
} SparedKey;

typedef struct SparedKeys
{
	uint64 hash;
	List *keys;
} SparedKeys;

static void
spare(UnseenOp *op, void *arg)
{
	Spared *s = arg;
	MemoryContext old;

	/* of a strong table no INSERT and no DELETE is unseen */
	if (s->a->descriptor.policy == REP_POLICY_STRONG && !rep_op_has_seen(&op->op, &s->truncate->op))
		apply_work_record_undone(s->truncate, op);
	old = MemoryContextSwitchTo(s->context);

	if (s->a->key.ncolumns == 0)
	{
		UnseenOp *copy = palloc(sizeof(UnseenOp));

		*copy = *op;
		s->rows = lappend(s->rows, copy);
	}
	else
	{
		Work w = {.a = op->apply, .c = &op->change};
		SparedKey *spared = palloc0(sizeof(SparedKey));
		SparedKeys *same;
		ListCell *lc;
		bool found;

		apply_work_set_key(&w);
		same = hash_search(s->hashes, &w.key_hash, HASH_ENTER, &found);
		if (!found)
			same->keys = NIL;
		foreach (lc, same->keys)
			if (tuple_key_equal(&s->a->key, w.key, ((SparedKey *) lfirst(lc))->key))
				break;
		if (lc == NULL)
		{
			memcpy(spared->key, w.key, sizeof(spared->key));
			same->keys = lappend(same->keys, spared);
			s->keys = lappend(s->keys, spared);
		}
	}
	MemoryContextSwitchTo(old);
}

static void
new_storage(Relation rel)
{
	ReindexParams params = {0};
	Oid toast = rel->rd_rel->reltoastrelid;

	CheckTableForSerializableConflictIn(rel);
	compat_new_storage(rel);
	if (OidIsValid(toast))
	{
		Relation toast_rel = table_open(toast, AccessExclusiveLock);

		compat_new_storage(toast_rel);
		table_close(toast_rel, NoLock);
	}
	compat_reindex_relation(RelationGetRelid(rel), REINDEX_REL_PROCESS_TOAST, &params);
	pgstat_count_truncate(rel);
}

static void
restart_sequences(Relation rel)
{
	ListCell *lc;

	foreach (lc, getOwnedSequences(RelationGetRelid(rel)))
	{
		LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
		ResetSequence(lfirst_oid(lc));
	}
}

static ResultRelInfo *
open_for_triggers(EState *estate, Relation rel)
{
	ResultRelInfo *info = makeNode(ResultRelInfo);

	InitResultRelInfo(info, rel, 0, NULL, 0);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, info);
	return info;
}

/*
 * The tables of one TRUNCATE come one after the other, and PostgreSQL's own
 * refuses each that another one refers to. Foreign keys are for the origin to
 * check, as they are for every other change.
 */
static void
truncate_table(CatalogApply *a, uint8 flags)
{
	Relation root = table_open(a->relid, NoLock);
	EState *estate = CreateExecutorState();
	ListCell *lc;

	AfterTriggerBeginQuery();
	foreach (lc, tree_members(root, NoLock))
		ExecBSTruncateTriggers(estate, open_for_triggers(estate, table_open(lfirst_oid(lc), NoLock)));
	foreach (lc, estate->es_opened_result_relations)
	{
		Relation rel = ((ResultRelInfo *) lfirst(lc))->ri_RelationDesc;

		if (tree_is_leaf(rel))
			new_storage(rel);
		if (flags & REP_TRUNCATE_RESTART_SEQS)
			restart_sequences(rel);
	}
	foreach (lc, estate->es_opened_result_relations)
		ExecASTruncateTriggers(estate, lfirst(lc));
	AfterTriggerEndQuery(estate);
	foreach (lc, estate->es_opened_result_relations)
		table_close(((ResultRelInfo *) lfirst(lc))->ri_RelationDesc, NoLock);
	FreeExecutorState(estate);
	table_close(root, NoLock);
	CommandCounterIncrement();
}

static int
by_stamp(const void *a, const void *b)
{
	const RepOp *x = &((const UnseenOp *) a)->op;
	const RepOp *y = &((const UnseenOp *) b)->op;
	int order = rep_stamp_compare(x->stamp, y->stamp);

	return order != 0 ? order : (int) (x->ordinal > y->ordinal) - (int) (x->ordinal < y->ordinal);
}

/* Does once more what was done to one row; stamps are in a causal order. */
static void
replay_row(UnseenOps *ops, Target *target, const SparedKey *spared)
{
	RepOp *before = palloc(sizeof(RepOp) * Max(ops->n, 1));
	UnseenOp *details = palloc(sizeof(UnseenOp) * Max(ops->n, 1));
	int i;

	qsort(ops->details, ops->n, sizeof(UnseenOp), by_stamp);
	for (i = 0; i < ops->n; i++)
	{
		UnseenOp *o = &ops->details[i];
		Incoming t = {.slot = (int) o->op.slot, .stamp = o->op.stamp, .dense = (uint64 *) o->op.deps, .ndense = (int) o->op.ndeps};
		Work w = {.t = &t, .a = o->apply, .c = &o->change, .target = target, .replay = true, .kept = spared->image, .past = ops->details, .npast = i};
		int j;

		apply_work_set_key(&w);
		apply_work_set_fields(&w);
		w.op.ordinal = o->op.ordinal;
		w.unseen.ops = before;
		w.unseen.details = details;
		for (j = 0; j < i; j++)
			if (!rep_op_has_seen(&w.op, &ops->details[j].op))
			{
				before[w.unseen.n] = ops->details[j].op;
				details[w.unseen.n++] = ops->details[j];
			}
		apply_work_do(&w, target_lock_row(target, w.key, true));
	}
}

static void
replay_table(const Incoming *t, const RepOp *op, CatalogApply *a, Spared *s)
{
	Target *target = target_open(a->relid);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "causaldb replay", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	ListCell *lc;

	foreach (lc, s->keys)
	{
		SparedKey *spared = lfirst(lc);
		UnseenOps ops;

		unseen_find(t, op, a, spared->key, false, &ops);
		replay_row(&ops, target, spared);
		MemoryContextReset(scratch);
	}
	foreach (lc, s->rows)
	{
		UnseenOp *o = lfirst(lc);
		Work w = {.t = t, .a = o->apply, .c = &o->change, .target = target};

		apply_work_set_fields(&w);
		apply_work_insert(&w);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

/* Values of columns that are not tagged are of this node alone: kept. */
static void
keep_images(CatalogApply *a, Spared *s)
{
	Target *target = target_open(a->relid);
	MemoryContext old = MemoryContextSwitchTo(s->context);
	ListCell *lc;

	foreach (lc, s->keys)
	{
		SparedKey *spared = lfirst(lc);

		if (target_lock_row(target, spared->key, true))
		{
			/* in memory of its own, as the table is about to be emptied */
			ExecMaterializeSlot(target->found);
			spared->image = image_copy(target);
		}
	}
	MemoryContextSwitchTo(old);
}

void
apply_truncate(const Incoming *t, CatalogApply *a, RepChange *c, uint32 ordinal)
{
	HASHCTL ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(SparedKeys), .hcxt = CurrentMemoryContext};
	Work w = {.t = t, .a = a, .c = c};
	Spared s = {.a = a, .truncate = &w, .context = CurrentMemoryContext};

	apply_work_set_fields(&w);
	w.op.ordinal = ordinal;
	s.hashes = hash_create("causaldb spared keys", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	target_close_all();
	/* no local write between the look and the end */
	target_lock_table(a->relid);
	unseen_note_truncate(t, &w.op, a);
	unseen_visit(t, a, spare, &s);
	if (s.keys != NIL)
		keep_images(a, &s);
	target_close_all();
	truncate_table(a, c->flags);
	grave_drop_table(a->relid);
	if (s.keys != NIL || s.rows != NIL)
		replay_table(t, &w.op, a, &s);
}
