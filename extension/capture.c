/*
 * capture.c
 *		From a written row to the transaction's log row.
 *
 * Nothing is registered until a process captures its first change, so that
 * processes which write no tagged table never come here.
 *
 * Our trigger sorts before any other of the table, but a trigger on one row of
 * a statement may write the next one before that is captured, and so may a
 * function which the statement calls. Changes of a row may thus come newest
 * first (standing.h).
 *
 * A row that an UPDATE moves to another partition fires DELETE and INSERT.
 * The key holds what tables are partitioned by, so that is what a change of
 * the key is logged as anyway. A TRUNCATE of one partition is logged as the
 * DELETE of each of its rows, since other nodes may be partitioned otherwise.
 *
 * Invariants
 * 1. After each event the log of the transaction, replayed in its order,
 *	  leaves the row of that event's key, or keys, as it stands by then; so at
 *	  the commit it leaves every row as it stands. An INSERT or UPDATE that
 *	  comes late has the values of the last version, or is left out if there
 *	  is none; behind a DELETE that comes late the row that stands under its
 *	  key is logged once more.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "capture_buffer.h"
#include "capture_keys.h"
#include "catalog.h"
#include "clock.h"
#include "debug_point.h"
#include "errors.h"
#include "guc.h"
#include "identity.h"
#include "maintenance.h"
#include "shmem.h"
#include "standing.h"
#include "store.h"
#include "strong_commit.h"
#include "strong_key.h"
#include "wall.h"

PG_FUNCTION_INFO_V1(causaldb_capture);

bool capture_applying = false;
CaptureBase capture_base = { InvalidOid, InvalidAttrNumber };

static bool registered = false;
static bool logged = false; /* this transaction's log row is written */
static bool truncated = false; /* it has, or had, a TRUNCATE */

/*
 * Partitioned tables that a TRUNCATE which is under way names: their
 * partitions need not be told of. Forgotten too early it costs DELETEs of
 * rows that go anyway, so any rollback forgets all of it.
 */
static List *truncating = NIL;

/* -------------------------------------------------------------- commit */

/*
 * Position where the library is not preloaded, so there is no shared clock:
 * one committer at a time, until its commit is visible.
 */
static uint64
local_position(void)
{
	uint64 last;
	uint64 now;

	clock_lock_local(CLOCK_LOCK_HISTORY);
	last = store_last_position(0, SnapshotSelf);
	now = rep_hlc_from_ms(wall_ms());
	return Max(last + 1, now);
}

/* The name of this transaction's chunks, if it has written some. */
static uint64
chunks_xid(int32 chunk_stream)
{
	return chunk_stream < 0
			   ? 0
			   : U64FromFullTransactionId(GetTopFullTransactionId());
}

static void
log_here(StringInfo payload, int32 chunk_stream)
{
	StringInfoData deps;
	uint64 position = local_position();

	initStringInfo(&deps);
	store_encode_deps(NULL, 0, position, &deps);
	store_insert_log(0, position, chunks_xid(chunk_stream), NULL, deps.data,
					 (size_t) deps.len, payload->data, (size_t) payload->len);
}

static void
log_stamped(StringInfo payload, int32 chunk_stream)
{
	const ClockStamp *stamp = clock_precommit();
	StoreDep deps[REP_MAX_STREAMS];
	StringInfoData encoded;

	if (chunk_stream >= 0 && chunk_stream != stamp->stream)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("this database became a node of a cluster while the "
						"transaction was open"),
				 errhint("Run the transaction again.")));
	for (int i = 0; i < stamp->ndeps; i++)
	{
		deps[i].stream = stamp->dep_stream[i];
		deps[i].position = stamp->dep_position[i];
	}
	initStringInfo(&encoded);
	store_encode_deps(deps, stamp->ndeps, stamp->position, &encoded);
	store_insert_log(stamp->stream, stamp->position, chunks_xid(chunk_stream), NULL,
					 encoded.data, (size_t) encoded.len, payload->data,
					 (size_t) payload->len);
}

/* What was written with capture off is told of, if not told. */
static void
add_notes(void)
{
	StringInfoData body;

	initStringInfo(&body);
	while (maintenance_take(&body))
	{
		capture_meta(META_LOCAL, body.data, (size_t) body.len);
		resetStringInfo(&body);
	}
}

static void
write_log_row(void)
{
	int32 chunk_stream;
	StringInfo payload;

	if (maintenance_pending())
		add_notes();
	if (!capture_buffer_pending())
		return;
	if (capture_keys_count() > 0)
	{
		payload = capture_buffer_finish_whole(STRONG_MAX_BYTES);
		logged = true;
		strong_commit(payload, capture_keys(), capture_keys_count(),
					  truncated);
		return;
	}
	strong_key_refuse_eventual();
	payload = capture_buffer_finish(&chunk_stream);
	logged = true;
	DEBUG_POINT("captured");
	if (shmem_available())
		log_stamped(payload, chunk_stream);
	else
		log_here(payload, chunk_stream);
	DEBUG_POINT("precommit_logged");
}

static void
on_transaction(XactEvent event, void *arg)
{
	(void) arg;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			write_log_row();
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (capture_buffer_pending() || maintenance_pending())
				ereport(ERROR,
						(errcode(ERRORS_NOT_YET),
						 errmsg("cannot prepare a transaction that wrote "
								"tagged tables"),
						 errhint("Type COMMIT instead of PREPARE "
								 "TRANSACTION.")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			capture_buffer_reset();
			capture_keys_reset();
			capture_base.relid = InvalidOid;
			logged = truncated = false;
			truncating = NIL; /* memory of the transaction */
			maintenance_reset();
			break;
		default:
			break;
	}
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId id,
				  SubTransactionId parent, void *arg)
{
	int nest = GetCurrentTransactionNestLevel();

	(void) id;
	(void) parent;
	(void) arg;
	switch (event)
	{
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			capture_buffer_sub_pre_commit(nest);
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			capture_buffer_sub_commit(nest);
			capture_keys_sub_commit(nest);
			maintenance_sub_commit(nest);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			capture_buffer_sub_abort(nest);
			capture_keys_sub_abort(nest);
			maintenance_sub_abort(nest);
			truncating = NIL;
			break;
		default:
			break;
	}
}

static void
watch_transaction(void)
{
	if (registered)
		return;
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
	registered = true;
}

/* Before every change: registers once, refuses what comes too late. */
static void
begin_capture(void)
{
	watch_transaction();
	if (unlikely(logged))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot write tagged tables while committing"),
				 errdetail("The transaction's row of causaldb.log is written "
						   "already.")));
	if (!capture_buffer_pending())
		clock_first_write();
	clock_each_write();
}

void
capture_meta(MetaKind meta, const void *body, size_t len)
{
	StringInfo out;

	begin_capture();
	out = capture_buffer_open(NULL, REP_CHANGE_META);
	tuple_append_varint(out, (uint64) meta);
	tuple_append_varint(out, (uint64) len);
	appendBinaryStringInfo(out, body, (int) len);
	capture_buffer_close();
}

bool
capture_pending(void)
{
	return capture_buffer_pending();
}

bool
capture_chunked(const void *body, size_t len, uint64 *nchunks, uint64 *nchanges)
{
	RepReader r;

	rep_reader_init(&r, body, len);
	*nchunks = rep_read_varint(&r);
	*nchanges = rep_read_varint(&r);
	return !r.bad && rep_reader_left(&r) == 0;
}

/* -------------------------------------------------------------- changes */

/* The transaction is a strong one. */
static void
become_strong(void)
{
	if (capture_keys_count() == 0)
		strong_commit_check();
	strong_key_note();
}

/* It has written the row in the slot strongly. */
static void
note_strong(CatalogRelation *r, TupleTableSlot *slot, TupleTableSlot *after)
{
	become_strong();
	capture_keys_add(r, slot);
	if (r->nuniques > 0)
		capture_keys_add_uniques(r, slot, after);
}

static inline void
encode_column(CatalogRelation *r, int column, TupleTableSlot *slot,
			  StringInfo out)
{
	int at = r->attnums[column] - 1;

	tuple_encode(&r->codecs[column], slot->tts_values[at], slot->tts_isnull[at],
				 out);
}

static inline bool
same_column(const CatalogRelation *r, int column, TupleTableSlot *a,
			TupleTableSlot *b)
{
	int at = r->attnums[column] - 1;

	return tuple_same_image(&r->codecs[column], a->tts_values[at],
							a->tts_isnull[at], b->tts_values[at],
							b->tts_isnull[at]);
}

/* INSERT with the new values, DELETE with the old. */
static void
add_row(CatalogRelation *r, RepChangeKind kind, TupleTableSlot *slot)
{
	StringInfo out = capture_buffer_open(r, kind);

	for (int i = 0; i < r->ncolumns; i++)
		encode_column(r, i, slot, out);
	capture_buffer_close();
	if (!r->strong)
		return;
	note_strong(r, slot, NULL);
	if (kind == REP_CHANGE_INSERT)
		capture_keys_add_referred(r, NULL, slot);
	else
		capture_keys_add_gone(r, slot);
}

/*
 * DELETE of the version. If the key was written again since, that was captured
 * before, and the row must not stay deleted (invariant 1).
 */
static void
add_delete(CatalogRelation *r, Relation rel, TupleTableSlot *slot,
		   HeapTuple tup)
{
	TupleTableSlot *again;

	add_row(r, REP_CHANGE_DELETE, slot);
	again = standing_again(r, rel, slot, tup);
	if (likely(again == NULL))
		return;
	slot_getsomeattrs(again, r->max_attnum);
	add_row(r, REP_CHANGE_INSERT, again);
	ExecDropSingleTupleTableSlot(again);
}

static bool
same_key_image(const CatalogRelation *r, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int i = 0; i < r->nkeys; i++)
		if (!same_column(r, r->keys[i], a, b))
			return false;
	return true;
}

/* The same row by the key index's own equality, whatever the image. */
static bool
same_key(CatalogRelation *r, TupleTableSlot *a, TupleTableSlot *b)
{
	Datum avalues[INDEX_MAX_KEYS];
	Datum bvalues[INDEX_MAX_KEYS];

	if (same_key_image(r, a, b))
		return true;
	for (int i = 0; i < r->key.ncolumns; i++)
	{
		int at = r->key.columns[i].attnum - 1;

		avalues[i] = a->tts_values[at];
		bvalues[i] = b->tts_values[at];
	}
	return tuple_key_equal(&r->key, avalues, bvalues);
}

/* A write of the column that is absolute although its rule adds. */
static bool
is_base(const CatalogRelation *r, int column, TupleTableSlot *to)
{
	return r->rules[column] == REP_RULE_COUNTER &&
		   (to->tts_isnull[r->attnums[column] - 1] ||
			(capture_base.relid == r->root &&
			 capture_base.attnum == r->root_attnums[column]));
}

/*
 * UPDATE of the fields whose image changed from -> to. For a superseded
 * version `last` has the values that stand; a counter's delta does not
 * depend on the order and stays.
 */
static void
add_update(CatalogRelation *r, TupleTableSlot *from, TupleTableSlot *to,
		   TupleTableSlot *last)
{
	uint16 changed[REP_MAX_COLUMNS];
	int nchanged = 0;
	bool strong = false;
	StringInfo out;

	for (int i = 0; i < r->ncolumns; i++)
		if (!same_column(r, i, from, to) ||
			(unlikely(OidIsValid(capture_base.relid)) && is_base(r, i, to)))
			changed[nchanged++] = (uint16) i;
	if (nchanged == 0)
		return;

	out = capture_buffer_open(r, REP_CHANGE_UPDATE);
	for (int i = 0; i < r->nkeys; i++)
		encode_column(r, r->keys[i], from, out);
	tuple_append_varint(out, (uint64) nchanged);
	for (int i = 0; i < nchanged; i++)
	{
		int column = changed[i];
		bool base = is_base(r, column, to);
		bool delta = r->rules[column] == REP_RULE_COUNTER && !base;

		tuple_append_varint(out, (uint64) column << 1 | (base ? 1 : 0));
		encode_column(r, column, from, out);
		encode_column(r, column, delta ? to : last, out);
		strong |= r->rules[column] == REP_RULE_STRONG;
	}
	capture_buffer_close();
	if (!strong)
		return;
	note_strong(r, from, last);
	capture_keys_add_referred(r, from, last);
}

static void
capture_insert(CatalogRelation *r, TriggerData *data)
{
	TupleTableSlot *slot = data->tg_trigslot;
	TupleTableSlot *last = slot;
	bool fresh = false;

	if (unlikely(standing_superseded(data->tg_trigtuple)))
		last = standing_version(data->tg_relation, slot, data->tg_trigtuple,
								&fresh);
	if (last == NULL)
		return;
	slot_getsomeattrs(slot, r->max_attnum);
	slot_getsomeattrs(last, r->max_attnum);
	if (last == slot || same_key(r, slot, last))
		add_row(r, REP_CHANGE_INSERT, last);
	if (fresh)
		ExecDropSingleTupleTableSlot(last);
}

static void
capture_update(CatalogRelation *r, TriggerData *data)
{
	TupleTableSlot *from = data->tg_trigslot;
	TupleTableSlot *to = data->tg_newslot;
	TupleTableSlot *last = to;
	bool fresh = false;

	slot_getsomeattrs(from, r->max_attnum);
	slot_getsomeattrs(to, r->max_attnum);
	if (unlikely(standing_superseded(data->tg_newtuple)))
	{
		last =
			standing_version(data->tg_relation, to, data->tg_newtuple, &fresh);
		if (last != NULL)
			slot_getsomeattrs(last, r->max_attnum);
		if (last != NULL && !same_key(r, to, last))
		{
			ExecDropSingleTupleTableSlot(last);
			last = NULL;
			fresh = false;
		}
	}
	if (same_key(r, from, to))
	{
		if (last != NULL)
			add_update(r, from, to, last);
	}
	else
	{
		add_delete(r, data->tg_relation, from, data->tg_trigtuple);
		if (last != NULL)
			add_row(r, REP_CHANGE_INSERT, last);
	}
	if (fresh)
		ExecDropSingleTupleTableSlot(last);
}

static void
pg_attribute_noreturn() refuse_append_only(Oid root, TriggerEvent event)
{
	Relation rel = table_open(root, AccessShareLock);

	ereport(ERROR,
			(errcode(ERRORS_UNTAGGABLE),
			 errmsg("cannot %s rows of append-only table \"%s\"",
					TRIGGER_FIRED_BY_UPDATE(event) ? "update" : "delete",
					RelationGetRelationName(rel)),
			 errdetail("Without a primary key no other node could tell which "
					   "row is meant."),
			 errhint("Name the columns that tell them apart; type: %s",
					 catalog_key_statement(rel))));
}

static void
capture_row(CatalogRelation *r, TriggerData *data)
{
	TriggerEvent event = data->tg_event;

	if (TRIGGER_FIRED_BY_INSERT(event))
		capture_insert(r, data);
	else if (r->append_only)
		refuse_append_only(r->root, event);
	else if (TRIGGER_FIRED_BY_UPDATE(event))
		capture_update(r, data);
	else
	{
		slot_getsomeattrs(data->tg_trigslot, r->max_attnum);
		add_delete(r, data->tg_relation, data->tg_trigslot, data->tg_trigtuple);
	}
}

static void
log_truncate(CatalogRelation *r)
{
	StringInfo out = capture_buffer_open(r, REP_CHANGE_TRUNCATE);

	/* a statement trigger is not told RESTART IDENTITY or CASCADE; tables
	 * truncated by CASCADE have triggers of their own */
	appendStringInfoChar(out, '\0');
	capture_buffer_close();
	truncated = true;
	if (!r->strong)
		return;
	become_strong();
	capture_keys_add_table(r);
}

static void
log_rows(CatalogRelation *r, Relation rel, RepChangeKind kind)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (unlikely(!guc_capture))
		{
			maintenance_count(r->root, MAINTENANCE_INSERT);
			continue;
		}
		slot_getsomeattrs(slot, r->max_attnum);
		add_row(r, kind, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/* BEFORE TRUNCATE of a partition, alone or with the whole table. */
static void
truncate_partition(CatalogRelation *r, Relation rel)
{
	if (list_member_oid(truncating, r->root))
		return;
	if (r->append_only)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot truncate a partition of append-only table "
						"\"%s\"",
						get_rel_name(r->root)),
				 errdetail("Without a primary key no other node could tell "
						   "which rows are meant."),
				 errhint("Type: TRUNCATE %s;",
						 catalog_qualified_name(r->root))));
	log_rows(r, rel, REP_CHANGE_DELETE);
}

static void
capture_truncate(CatalogRelation *r, TriggerData *data)
{
	Relation rel = data->tg_relation;

	if (r->relid != r->root)
		truncate_partition(r, rel);
	else if (TRIGGER_FIRED_BEFORE(data->tg_event))
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		truncating = lappend_oid(truncating, r->root);
		MemoryContextSwitchTo(old);
	}
	else
	{
		truncating = list_delete_oid(truncating, r->root);
		log_truncate(r);
	}
}

static void
pg_attribute_noreturn() refuse_local(CatalogRelation *r)
{
	ereport(ERROR,
			(errcode(ERRORS_UNTAGGABLE),
			 errmsg("cannot write table %s uncaptured: it has strong columns",
					catalog_qualified_name(r->root)),
			 errdetail("Who reads them is promised the same on every node."),
			 errhint("Type: SET LOCAL causaldb.capture = on;")));
}

/*
 * The tag is being changed: until every node has the new one, whoever writes
 * under the old one would write another truth (tag_fence.h).
 */
static void
pg_attribute_noreturn() refuse_fenced(CatalogRelation *r)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the tag of table %s is being changed",
					catalog_qualified_name(r->root)),
			 errdetail("Until every node has the new tag nobody can write the "
					   "table."),
			 errhint("Run the transaction again. If this goes on, whoever "
					 "changed the tag was interrupted: causaldb.tags shows "
					 "what it is becoming; call "
					 "causaldb.set_consistency(%s, ...) again, with that or "
					 "with the old level, or causaldb.unset_consistency.",
					 quote_literal_cstr(catalog_qualified_name(r->root)))));
}

void
capture_rows(Relation rel)
{
	CatalogRelation *r = catalog_relation(RelationGetRelid(rel));

	if (r == NULL || capture_applying)
		return;
	if (r->fenced)
		refuse_fenced(r);
	if (guc_capture)
		begin_capture();
	else if (r->strong)
		refuse_local(r);
	else
		watch_transaction();
	log_rows(r, rel, REP_CHANGE_INSERT);
}

/* causaldb.capture is off: counts, of a TRUNCATE the one of each table. */
static void
keep_local(CatalogRelation *r, TriggerEvent event)
{
	if (r->strong)
		refuse_local(r);
	watch_transaction();
	if (TRIGGER_FIRED_BY_INSERT(event))
		maintenance_count(r->root, MAINTENANCE_INSERT);
	else if (TRIGGER_FIRED_BY_UPDATE(event))
		maintenance_count(r->root, MAINTENANCE_UPDATE);
	else if (TRIGGER_FIRED_BY_DELETE(event))
		maintenance_count(r->root, MAINTENANCE_DELETE);
	else if (r->relid != r->root || TRIGGER_FIRED_AFTER(event))
		maintenance_count(r->root, MAINTENANCE_TRUNCATE);
}

/* causaldb.capture(): the trigger of every tagged table */
Datum
causaldb_capture(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	CatalogRelation *r;

	if (!CALLED_AS_TRIGGER(fcinfo) || (TRIGGER_FIRED_FOR_ROW(data->tg_event) &&
									   !TRIGGER_FIRED_AFTER(data->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("causaldb.capture() is a trigger of tagged tables"),
				 errhint("Type: SELECT causaldb.set_consistency(...);")));
	if (capture_applying)
		return PointerGetDatum(NULL);
	r = catalog_relation(RelationGetRelid(data->tg_relation));
	if (r == NULL)
		return PointerGetDatum(NULL);
	if (unlikely(r->fenced) && !BREAK("no_tag_fence"))
		refuse_fenced(r);
	if (unlikely(!guc_capture))
	{
		keep_local(r, data->tg_event);
		return PointerGetDatum(NULL);
	}
	if (!capture_buffer_pending() && shmem_available())
		clock_begin_write();
	begin_capture();
	if (TRIGGER_FIRED_FOR_ROW(data->tg_event))
		capture_row(r, data);
	else
		capture_truncate(r, data);
	return PointerGetDatum(NULL);
}
