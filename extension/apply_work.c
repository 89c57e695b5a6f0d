/*
 * apply_work.c
 *		See apply_work.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "apply_work.h"
#include "clock.h"
#include "conflict.h"
#include "dead.h"
#include "debug_point.h"
#include "grave.h"
#include "merge.h"
#include "render.h"
#include "target.h"
#include "unseen.h"

static NodeShared *node;

void
apply_work_init(NodeShared *n)
{
	node = n;
}

/* ------------------------------------------------------------ counters */

static Datum
sum(Oid type, Datum a, Datum b)
{
	switch (type)
	{
		case INT2OID:
			return DirectFunctionCall2(int2pl, a, b);
		case INT4OID:
			return DirectFunctionCall2(int4pl, a, b);
		case INT8OID:
			return DirectFunctionCall2(int8pl, a, b);
		default:
			return DirectFunctionCall2(numeric_add, a, b);
	}
}

static Datum
difference(Oid type, Datum a, Datum b)
{
	switch (type)
	{
		case INT2OID:
			return DirectFunctionCall2(int2mi, a, b);
		case INT4OID:
			return DirectFunctionCall2(int4mi, a, b);
		case INT8OID:
			return DirectFunctionCall2(int8mi, a, b);
		default:
			return DirectFunctionCall2(numeric_sub, a, b);
	}
}

static Datum
zero(Oid type)
{
	switch (type)
	{
		case INT2OID:
			return Int16GetDatum(0);
		case INT4OID:
			return Int32GetDatum(0);
		case INT8OID:
			return Int64GetDatum(0);
		default:
			return NumericGetDatum(int64_to_numeric(0));
	}
}

/* NULL counts as zero where something is added to it. */
static void
add_delta(TupleCodec *codec, Datum *value, bool *isnull, const RepValue *before, const RepValue *after)
{
	bool before_null;
	bool after_null;
	Datum b = tuple_decode(codec, before, &before_null);
	Datum f = tuple_decode(codec, after, &after_null);
	Datum delta = difference(codec->type, after_null ? zero(codec->type) : f,
							 before_null ? zero(codec->type) : b);

	*value = sum(codec->type, *isnull ? zero(codec->type) : *value, delta);
	*isnull = false;
}

/* ------------------------------------------------------------ getting ready */

void
apply_work_set_key(Work *w)
{
	int k;

	for (k = 0; k < w->a->key.ncolumns; k++)
	{
		int column = w->a->key_columns[k];
		bool isnull;
		const RepValue *v = w->c->kind == REP_CHANGE_UPDATE ? &w->c->key[w->a->key_places[k]] : &w->c->row[column];

		w->key[k] = tuple_decode(&w->a->codecs[column], v, &isnull);
		if (isnull)
			ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
							errmsg("a peer sent a row whose key is null")));
	}
	w->key_hash = tuple_key_hash(&w->a->key, w->key);
}

void
apply_work_set_fields(Work *w)
{
	RepChange *c = w->c;
	const RepDescriptor *d = &w->a->descriptor;
	int n = c->kind == REP_CHANGE_INSERT ? (int) d->ncolumns : c->kind == REP_CHANGE_UPDATE ? (int) c->nfields
																							  : 0;
	int i;

	w->fields = palloc(sizeof(Field) * Max(n, 1));
	w->writes = palloc(sizeof(RepWrite) * Max(n, 1));
	w->nfields = n;
	for (i = 0; i < n; i++)
	{
		Field *f = &w->fields[i];

		if (c->kind == REP_CHANGE_INSERT)
		{
			f->column = i;
			f->kind = d->columns[i].rule == REP_RULE_STRONG ? REP_WRITE_STRONG : REP_WRITE_SET;
			f->before = NULL;
			f->after = &c->row[i];
		}
		else
		{
			f->column = (int) c->fields[i].column;
			if (d->columns[f->column].rule == REP_RULE_STRONG)
				f->kind = REP_WRITE_STRONG;
			else
				f->kind = d->columns[f->column].rule == REP_RULE_COUNTER && !c->fields[i].base
					? REP_WRITE_DELTA
					: REP_WRITE_SET;
			f->before = &c->fields[i].before;
			f->after = &c->fields[i].after;
		}
		f->attnum = w->a->attnums[f->column];
		if (f->attnum == InvalidAttrNumber)
			catalog_refuse_missing(w->a, f->column);
		w->writes[i].field = (uint32) f->attnum;
		w->writes[i].kind = f->kind;
	}
	w->op.stamp = w->t->stamp;
	w->op.index = w->t->index;
	w->op.slot = (uint32) w->t->slot;
	w->op.deps = w->t->dense;
	w->op.ndeps = (uint32) w->t->ndense;
	w->op.kind = (RepOpKind) c->kind;
	w->op.writes = w->writes;
	w->op.nwrites = (uint32) n;
}

/* ------------------------------------------------------------ recording */

static ConflictSide
our_side(const Work *w, const char *value)
{
	ConflictSide side = {true, w->t->stamp, value};

	return side;
}

static ConflictSide
other_side(const Work *w, uint32 u, const char *value)
{
	ConflictSide side = {false, {0}, value};

	if (u != REP_NO_OP)
	{
		side.known = true;
		side.stamp = w->unseen.ops[u].stamp;
	}
	return side;
}

static const char *
rule_name(const Work *w, int column)
{
	switch (w->a->descriptor.columns[column].rule)
	{
		case REP_RULE_COUNTER:
			return "counter";
		case REP_RULE_STRONG:
			return "strong";
		default:
			return "last_write";
	}
}

static const char *
policy_name(RepRowPolicy policy)
{
	switch (policy)
	{
		case REP_POLICY_DELETE_WINS:
			return "delete_wins";
		case REP_POLICY_LAST_WRITE:
			return "last_write";
		case REP_POLICY_STRONG:
			return "strong";
		default:
			return "update_wins";
	}
}

static char *
column_name(const Work *w, int column)
{
	const RepColumn *c = &w->a->descriptor.columns[column];

	return pnstrdup(c->name, c->name_len);
}

/* What U[u] wrote to the attribute, as text. */
static const char *
other_value(const Work *w, uint32 u, AttrNumber attnum)
{
	const UnseenOp *o = &w->unseen.details[u];
	const RepValue *v = unseen_after(o, attnum);
	uint32 i;

	if (v == NULL)
		return NULL;
	for (i = 0; i < o->apply->descriptor.ncolumns; i++)
		if (o->apply->attnums[i] == attnum)
			return render_value(o->apply, (int) i, v);
	return NULL;
}

static void
record_field(const Work *w, const Field *f, const RepFieldPlan *p)
{
	const char *ours;
	const char *theirs;
	const char *type;
	ConflictSide our;
	ConflictSide other;

	if (w->replay || p->other == REP_NO_OP || f->kind != REP_WRITE_SET)
		return;
	ours = render_value(w->a, f->column, f->after);
	theirs = other_value(w, p->other, f->attnum);
	if ((ours == NULL) == (theirs == NULL) && (ours == NULL || strcmp(ours, theirs) == 0))
		return; /* both wrote the same: nothing is lost */
	our = our_side(w, ours);
	other = other_side(w, p->other, theirs);
	type = w->c->kind == REP_CHANGE_INSERT && w->unseen.ops[p->other].kind == REP_OP_INSERT
		? "insert_exists"
		: "update_origin_differs";
	conflict_record(type, catalog_descriptor_name(&w->a->descriptor), render_key(w->a, w->c),
					column_name(w, f->column), rule_name(w, f->column),
					p->action == REP_FIELD_KEEP ? &other : &our,
					p->action == REP_FIELD_KEEP ? &our : &other,
					p->action == REP_FIELD_KEEP ? "the value here has the larger stamp and stays"
												: "the incoming value has the larger stamp and replaces the one here");
}

/* A delete has buried what somebody wrote at the same time. */
static void
record_buried(const Work *w, const RepPlan *plan)
{
	uint32 loser = plan->life_loser;
	ConflictSide our;
	ConflictSide other;

	if (w->replay || w->c->kind != REP_CHANGE_DELETE || loser == REP_NO_OP ||
		w->a->descriptor.policy == REP_POLICY_UPDATE_WINS || rep_op_has_seen(&w->unseen.ops[loser], &w->op))
		return;
	our = our_side(w, NULL);
	other = other_side(w, loser,
					   render_after(w->unseen.details[loser].apply, &w->unseen.details[loser].change));
	conflict_record("delete_origin_differs", catalog_descriptor_name(&w->a->descriptor), render_key(w->a, w->c),
					NULL, policy_name(w->a->descriptor.policy), &our, &other,
					"the row is deleted, although somebody wrote it who had not seen that");
}

static void
record_life(const Work *w, const RepPlan *plan)
{
	bool deletes = w->c->kind == REP_CHANGE_DELETE;
	ConflictSide our;
	ConflictSide other;

	if (w->replay || plan->life_other == REP_NO_OP)
		return;
	our = our_side(w, deletes ? NULL : render_after(w->a, w->c));
	other = other_side(w, plan->life_other,
					   deletes ? render_after(w->unseen.details[plan->life_other].apply,
											  &w->unseen.details[plan->life_other].change)
							   : NULL);
	conflict_record(deletes ? "delete_origin_differs" : "update_missing",
					catalog_descriptor_name(&w->a->descriptor), render_key(w->a, w->c), NULL,
					policy_name(w->a->descriptor.policy), &other, &our,
					deletes ? "the row stays: it was written by somebody who had not seen it deleted"
							: "the row stays deleted");
}

void
apply_work_record_missing(const Work *w)
{
	ConflictSide kept = {false, {0}, NULL};
	ConflictSide lost;

	if (w->replay)
		return;
	lost = our_side(w, render_after(w->a, w->c));
	conflict_record("update_missing", catalog_descriptor_name(&w->a->descriptor), render_key(w->a, w->c),
					NULL, policy_name(w->a->descriptor.policy), &kept, &lost,
					"there is no such row here; nothing was written");
}

void
apply_work_record_undone(const Work *w, const UnseenOp *o)
{
	ConflictSide kept = our_side(w, NULL);
	ConflictSide lost = {true, o->op.stamp, render_after(o->apply, &o->change)};

	conflict_record("delete_origin_differs", catalog_descriptor_name(&o->apply->descriptor),
					render_key(o->apply, &o->change), NULL, policy_name(w->a->descriptor.policy), &kept, &lost,
					"the table is truncated, although somebody wrote the row who had not seen that");
}

static void
record_untracked(const Work *w)
{
	ConflictSide kept = our_side(w, render_after(w->a, w->c));
	ConflictSide lost = {false, {0}, NULL};

	conflict_record("insert_exists", catalog_descriptor_name(&w->a->descriptor), render_key(w->a, w->c),
					NULL, policy_name(w->a->descriptor.policy), &kept, &lost,
					"a row that no node had logged stood here; the incoming one replaces it");
}

/* ------------------------------------------------------------ the dead */

static void
note_dead(const Work *w)
{
	if (!w->replay)
		dead_note(w->unseen.hash, w->a, w->key);
}

/*
 * The image of the dead row: its grave, unless a local delete or TRUNCATE has
 * come after it. Without one the row is what the delete that killed it logged, and
 * nothing has come since: that delete had seen, or claims to have seen, all
 * that is here, so it has the largest stamp.
 */
static void
find_image(Work *w)
{
	CatalogRelation *rel = w->target->tagged;
	int natts = RelationGetDescr(w->target->rel)->natts;
	const UnseenOp *killer = NULL;
	UnseenOps all = {.n = w->npast, .details = (UnseenOp *) w->past};
	uint64 mark = 0;
	int i;

	w->image = grave_find(rel, w->key_hash, w->key, natts, &mark);
	if (!w->replay)
		unseen_find_all(w->a, w->key, &all);
	if (w->image && unseen_truncated_here(w->a, mark))
		w->image = NULL;
	for (i = 0; i < all.n; i++)
	{
		const UnseenOp *o = &all.details[i];

		if (o->op.kind != REP_OP_DELETE)
			continue;
		if (w->image && !((int) o->op.slot == node->own_slot && o->op.stamp.hlc > mark))
			continue;
		if (killer == NULL || rep_stamp_compare(o->op.stamp, killer->op.stamp) > 0)
			killer = o;
	}
	if (killer == NULL)
		return;
	w->image = grave_new_image(natts);
	for (i = 0; i < (int) killer->apply->descriptor.ncolumns; i++)
	{
		int at = killer->apply->attnums[i] - 1;

		if (at < 0)
			continue; /* the column is gone since */
		w->image->values[at] = tuple_decode(&killer->apply->codecs[i], &killer->change.row[i], &w->image->nulls[at]);
		w->image->present[at] = true;
	}
}

RowImage *
apply_work_image(Target *t)
{
	int natts = RelationGetDescr(t->rel)->natts;
	RowImage *image = grave_new_image(natts);
	int i;

	slot_getallattrs(t->found);
	for (i = 0; i < natts; i++)
	{
		image->values[i] = t->found->tts_values[i];
		image->nulls[i] = t->found->tts_isnull[i];
		image->present[i] = true;
	}
	return image;
}

static void
bury(Work *w, const RowImage *image)
{
	grave_put(w->target->tagged, w->key_hash, w->key, image, clock_read(node));
}

/* ------------------------------------------------------------ merging */

/* The value of one field after the plan, from what stands. */
static void
merged_value(Work *w, const Field *f, const RepFieldPlan *p, Datum *value, bool *isnull, bool present)
{
	TupleCodec *codec = &w->a->codecs[f->column];
	int i;

	switch (p->action)
	{
		case REP_FIELD_KEEP:
			if (!present && p->other != REP_NO_OP)
			{
				const RepValue *v = unseen_after(&w->unseen.details[p->other], f->attnum);

				if (v)
					*value = tuple_decode(codec, v, isnull);
			}
			break;
		case REP_FIELD_ADD:
			add_delta(codec, value, isnull, f->before, f->after);
			break;
		case REP_FIELD_SET:
			*value = tuple_decode(codec, f->after, isnull);
			for (i = 0; i < w->unseen.n; i++)
			{
				const UnseenOp *o = &w->unseen.details[i];

				if (rep_op_writes(&o->op, (uint32) f->attnum) == REP_WRITE_DELTA)
					add_delta(codec, value, isnull, unseen_before(o, f->attnum), unseen_after(o, f->attnum));
			}
			break;
	}
}

static void
merge_into(Work *w, const RepPlan *plan, RowImage *image)
{
	int i;

	for (i = 0; i < w->nfields; i++)
	{
		Field *f = &w->fields[i];
		int at = f->attnum - 1;

		merged_value(w, f, &plan->fields[i], &image->values[at], &image->nulls[at], image->present[at]);
		image->present[at] = true;
		record_field(w, f, &plan->fields[i]);
	}
}

static void
store_image(Target *t, const RowImage *image)
{
	int i;

	for (i = 0; i < image->natts; i++)
		if (image->present[i])
		{
			t->fresh->tts_values[i] = image->values[i];
			t->fresh->tts_isnull[i] = image->nulls[i];
		}
}

/* Behind our new index entry: nobody can have come between any more. */
static void
look_again(Work *w)
{
	UnseenOps again;

	if (w->replay)
		return;
	dead_wait_for_other();
	unseen_find(w->t, &w->op, w->a, w->key, false, &again);
	if (again.n != w->unseen.n)
		ereport(ERROR, (errcode(TARGET_YIELD), errmsg("apply met a concurrent insert of the same key")));
}

/* An image of nothing but what an untracked column had before a replay. */
static RowImage *
empty_image(const Work *w)
{
	RowImage *image = grave_new_image(RelationGetDescr(w->target->rel)->natts);
	int i;

	if (w->kept == NULL)
		return image;
	memcpy(image->values, w->kept->values, sizeof(Datum) * image->natts);
	memcpy(image->nulls, w->kept->nulls, sizeof(bool) * image->natts);
	memset(image->present, true, sizeof(bool) * image->natts);
	for (i = 0; i < w->target->tagged->ncolumns; i++)
		image->present[w->target->tagged->attnums[i] - 1] = false;
	return image;
}

/*
 * Inserts the row of the image, then looks again for what came in between:
 * only now does the index entry keep others from inserting the same key.
 */
static void
insert_image(Work *w, const RowImage *image)
{
	target_new_row(w->target, image->present);
	store_image(w->target, image);
	target_insert(w->target);
	look_again(w);
	grave_drop(w->target->tagged, w->key_hash, w->key);
}

static void
merge_alive(Work *w, const RepPlan *plan)
{
	RowImage *image = apply_work_image(w->target);

	if (plan->state == REP_ROW_ALIVE)
	{
		merge_into(w, plan, image);
		record_life(w, plan);
		if (w->nfields == 0)
			return;
		target_copy_row(w->target);
		store_image(w->target, image);
		target_update(w->target);
		return;
	}
	record_buried(w, plan);
	bury(w, image);
	target_delete(w->target);
}

static void
merge_dead(Work *w, const RepPlan *plan)
{
	find_image(w);
	if (w->image == NULL && w->c->kind != REP_CHANGE_INSERT)
	{
		/* nothing is known of the row: it never was in a log that is here */
		if (w->c->kind == REP_CHANGE_UPDATE)
			apply_work_record_missing(w);
		note_dead(w);
		return;
	}
	if (w->image == NULL)
		w->image = empty_image(w);
	merge_into(w, plan, w->image);
	record_life(w, plan);
	if (plan->state == REP_ROW_ALIVE)
	{
		insert_image(w, w->image);
		return;
	}
	note_dead(w);
	if (w->c->kind != REP_CHANGE_DELETE || w->image->present[w->target->tagged->key.columns[0].attnum - 1])
		bury(w, w->image);
}

/* ------------------------------------------------------------ nothing unseen */

static void
write_fields(Work *w, TupleTableSlot *slot)
{
	int i;

	for (i = 0; i < w->nfields; i++)
	{
		Field *f = &w->fields[i];
		int at = f->attnum - 1;
		TupleCodec *codec = &w->a->codecs[f->column];

		if (f->kind == REP_WRITE_DELTA)
			add_delta(codec, &slot->tts_values[at], &slot->tts_isnull[at], f->before, f->after);
		else
			slot->tts_values[at] = tuple_decode(codec, f->after, &slot->tts_isnull[at]);
	}
}

static void
make_row(Work *w)
{
	RowImage *image = empty_image(w);
	int i;

	for (i = 0; i < w->nfields; i++)
		image->present[w->fields[i].attnum - 1] = true;
	target_new_row(w->target, image->present);
	store_image(w->target, image);
	write_fields(w, w->target->fresh);
}

void
apply_work_insert(Work *w)
{
	make_row(w);
	target_insert(w->target);
}

bool
apply_work_insert_first(Work *w)
{
	make_row(w);
	if (!target_insert_first(w->target))
		return false;
	dead_wait_for_other();
	unseen_find(w->t, &w->op, w->a, w->key, false, &w->unseen);
	if (w->unseen.n > 0 || w->unseen.voided)
	{
		target_undo_insert(w->target);
		return false;
	}
	target_keep_insert(w->target);
	grave_drop(w->target->tagged, w->key_hash, w->key);
	return true;
}

/* The found row has the values that the incoming delete logged. */
static bool
stands_as_logged(Work *w)
{
	TupleTableSlot *slot = w->target->found;
	uint32 i;

	slot_getallattrs(slot);
	for (i = 0; i < w->a->descriptor.ncolumns; i++)
	{
		int at = w->a->attnums[i] - 1;
		bool isnull;
		Datum value;

		if (at < 0)
			continue;
		value = tuple_decode(&w->a->codecs[i], &w->c->row[i], &isnull);
		if (!tuple_same_image(&w->a->codecs[i], value, isnull, slot->tts_values[at], slot->tts_isnull[at]))
			return false;
	}
	return true;
}

static void
apply_plain(Work *w, bool alive)
{
	switch (w->c->kind)
	{
		case REP_CHANGE_INSERT:
			if (!alive)
			{
				apply_work_insert(w);
				look_again(w);
				grave_drop(w->target->tagged, w->key_hash, w->key);
				return;
			}
			if (!target_wrote_found(w->target))
				record_untracked(w);
			/* fall through */
		case REP_CHANGE_UPDATE:
			target_copy_row(w->target);
			write_fields(w, w->target->fresh);
			target_update(w->target);
			return;
		default:
			/* it may claim to have seen what its node had not applied yet */
			if (stands_as_logged(w))
				grave_drop(w->target->tagged, w->key_hash, w->key);
			else
				bury(w, apply_work_image(w->target));
			target_delete(w->target);
			return;
	}
}

/* ------------------------------------------------------------ either */

/* The mistake of reading order from arrival: nobody has seen t. */
static void
forget_claims(Work *w)
{
	int i;

	for (i = 0; i < w->unseen.n; i++)
	{
		RepOp *o = &w->unseen.ops[i];
		uint64 *deps;

		if (!rep_op_has_seen(o, &w->op))
			continue;
		deps = palloc(sizeof(uint64) * o->ndeps);
		memcpy(deps, o->deps, sizeof(uint64) * o->ndeps);
		deps[w->op.slot] = w->op.stamp.hlc - 1;
		o->deps = deps;
	}
}

/* From the row as it stands and w->unseen. */
void
apply_work_do(Work *w, bool alive)
{
	RepPlan plan;

	if (BREAK("arrival_order"))
		forget_claims(w);
	/* what has seen the row dead may still claim more than its node had */
	if (w->unseen.n == 0 && (alive || w->c->kind == REP_CHANGE_INSERT))
	{
		apply_plain(w, alive);
		return;
	}
	plan.fields = palloc(sizeof(RepFieldPlan) * Max(w->nfields, 1));
	rep_merge(&w->op, w->unseen.ops, (uint32) w->unseen.n, alive ? REP_ROW_ALIVE : REP_ROW_DEAD,
			  w->a->descriptor.policy, &plan);
	if (alive)
		merge_alive(w, &plan);
	else
		merge_dead(w, &plan);
}
