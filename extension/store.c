/*
 * store.c
 *		The shadow tables, read and written without SQL.
 *
 * OIDs of our tables and their indexes are looked up by name once and
 * forgotten when any of them changes in the catalogs.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errors.h"
#include "store.h"

#include "bytes.h"

/* attribute numbers of causaldb.log and log_chunk; they share the first two
 * index columns' meaning but not their order in the table */
enum
{
	LOG_POSITION = 1,
	LOG_XID,
	LOG_STREAM,
	LOG_DEPS,
	LOG_PAYLOAD,
	LOG_STAMP, /* NULL unless strong */
	LOG_NATTS = LOG_STAMP
};

/* bytes a stamp takes at most */
#define STAMP_BYTES (10 + 5 + 8)

enum
{
	CHUNK_XID = 1,
	CHUNK_STREAM,
	CHUNK_ORDINAL,
	CHUNK_PAYLOAD,
	CHUNK_NATTS = CHUNK_PAYLOAD
};

struct StoreScan
{
	Relation heap;
	Relation index;
	Snapshot snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	MemoryContext row_context; /* detoasted bytes of the current row */
	bool row_is_here;          /* the last next() found one */
};

/* --------------------------------------------------------------- OIDs */

static const char *const table_names[STORE_NTABLES] = {
	[STORE_LOG] = "log",
	[STORE_LOG_CHUNK] = "log_chunk",
	[STORE_DESCRIPTOR] = "descriptor",
	[STORE_TAG] = "tag",
	[STORE_TAG_COLUMN] = "tag_column",
	[STORE_STREAM] = "stream",
	[STORE_NODE] = "node",
	[STORE_LOCAL_NODE] = "local_node",
	[STORE_STRONG_LOG] = "strong_log",
	[STORE_IDEMPOTENCY] = "idempotency",
};

static struct
{
	bool watching; /* the callbacks are registered */
	Oid schema;
	Oid tables[STORE_NTABLES];
	Oid indexes[STORE_NTABLES];
} oids;

static void
forget_oids(void)
{
	oids.schema = InvalidOid;
	memset(oids.tables, 0, sizeof(oids.tables));
	memset(oids.indexes, 0, sizeof(oids.indexes));
}

static void
on_relcache(Datum arg, Oid relid)
{
	(void) arg;
	if (!OidIsValid(relid))
		forget_oids();
	for (int i = 0; i < STORE_NTABLES; i++)
		if (oids.tables[i] == relid || oids.indexes[i] == relid)
			forget_oids();
}

static void
on_namespace(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	forget_oids();
}

static void
watch_catalogs(void)
{
	if (oids.watching)
		return;
	CacheRegisterRelcacheCallback(on_relcache, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_namespace, (Datum) 0);
	oids.watching = true;
}

Oid
store_schema(void)
{
	if (!OidIsValid(oids.schema))
	{
		watch_catalogs();
		oids.schema = get_namespace_oid("causaldb", true);
	}
	return oids.schema;
}

Oid
store_table(StoreTable table)
{
	if (!OidIsValid(oids.tables[table]))
	{
		Oid schema = store_schema();
		Oid relid = InvalidOid;

		if (OidIsValid(schema))
			relid = get_relname_relid(table_names[table], schema);
		if (!OidIsValid(relid))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table causaldb.%s is missing", table_names[table]),
					 errhint("Type: CREATE EXTENSION causaldb;")));
		oids.tables[table] = relid;
	}
	return oids.tables[table];
}

Oid
store_index(StoreTable table)
{
	if (!OidIsValid(oids.indexes[table]))
	{
		Relation rel = table_open(store_table(table), AccessShareLock);
		List *indexes = RelationGetIndexList(rel);
		Oid index = compat_primary_key(rel);

		if (!OidIsValid(index) && indexes != NIL)
			index = linitial_oid(indexes);
		table_close(rel, AccessShareLock);
		if (!OidIsValid(index))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("table causaldb.%s has lost its index",
								   table_names[table])));
		oids.indexes[table] = index;
	}
	return oids.indexes[table];
}

/* ------------------------------------------------------------- insert */

static void
insert_index_entry(Relation rel, Oid index_oid, HeapTuple tup)
{
	Relation index = index_open(index_oid, RowExclusiveLock);
	IndexInfo *info = BuildIndexInfo(index);
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < info->ii_NumIndexAttrs; i++)
		values[i] = heap_getattr(tup, info->ii_IndexAttrNumbers[i],
								 RelationGetDescr(rel), &nulls[i]);
	index_insert(index, values, nulls, &tup->t_self, rel,
				 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
				 info);
	pfree(info);
	index_close(index, NoLock);
}

void
store_insert(Relation rel, Datum *values, bool *nulls)
{
	HeapTuple tup = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	simple_heap_insert(rel, tup);
	foreach (cell, indexes)
		insert_index_entry(rel, lfirst_oid(cell), tup);
	list_free(indexes);
	heap_freetuple(tup);
}

/* Bytes as a datum; the caller frees it. */
static bytea *
make_bytea(const void *data, size_t len)
{
	bytea *bytes = palloc(len + VARHDRSZ);

	SET_VARSIZE(bytes, len + VARHDRSZ);
	memcpy(VARDATA(bytes), data, len);
	return bytes;
}

static bytea *
stamp_bytes(const RepStamp *stamp)
{
	uint8 bytes[STAMP_BYTES];
	RepWriter w;

	rep_writer_init(&w, bytes, sizeof(bytes));
	rep_write_varint(&w, stamp->hlc);
	rep_write_varint(&w, stamp->stream.node);
	rep_write_u64(&w, stamp->stream.boot);
	Assert(!w.full);
	return make_bytea(bytes, w.len);
}

void
store_insert_log(int32 stream, uint64 position, uint64 xid,
				 const RepStamp *stamp, const void *deps, size_t deps_len,
				 const void *payload, size_t payload_len)
{
	Relation rel = table_open(store_table(STORE_LOG), RowExclusiveLock);
	Datum values[LOG_NATTS];
	bool nulls[LOG_NATTS] = { false };
	bytea *deps_bytes = make_bytea(deps, deps_len);
	bytea *payload_bytes = make_bytea(payload, payload_len);

	nulls[LOG_STAMP - 1] = stamp == NULL;
	values[LOG_STAMP - 1] =
		stamp == NULL ? (Datum) 0 : PointerGetDatum(stamp_bytes(stamp));
	values[LOG_POSITION - 1] = UInt64GetDatum(position);
	values[LOG_XID - 1] = UInt64GetDatum(xid);
	nulls[LOG_XID - 1] = xid == 0;
	values[LOG_STREAM - 1] = Int32GetDatum(stream);
	values[LOG_DEPS - 1] = PointerGetDatum(deps_bytes);
	values[LOG_PAYLOAD - 1] = PointerGetDatum(payload_bytes);
	store_insert(rel, values, nulls);
	pfree(deps_bytes);
	pfree(payload_bytes);
	table_close(rel, NoLock);
}

void
store_insert_chunk(int32 stream, uint64 xid, int32 ordinal, const void *payload,
				   size_t payload_len)
{
	Relation rel = table_open(store_table(STORE_LOG_CHUNK), RowExclusiveLock);
	Datum values[CHUNK_NATTS];
	bool nulls[CHUNK_NATTS] = { false };
	bytea *bytes = make_bytea(payload, payload_len);

	values[CHUNK_XID - 1] = UInt64GetDatum(xid);
	values[CHUNK_STREAM - 1] = Int32GetDatum(stream);
	values[CHUNK_ORDINAL - 1] = Int32GetDatum(ordinal);
	values[CHUNK_PAYLOAD - 1] = PointerGetDatum(bytes);
	store_insert(rel, values, nulls);
	pfree(bytes);
	table_close(rel, NoLock);
}

/* --------------------------------------------------------------- scan */

static StoreScan *
scan_begin(StoreTable table, ScanKey keys, int nkeys, Snapshot snapshot)
{
	StoreScan *scan = palloc0(sizeof(StoreScan));

	scan->heap = table_open(store_table(table), AccessShareLock);
	scan->index = index_open(store_index(table), AccessShareLock);
	scan->snapshot =
		IsMVCCSnapshot(snapshot) ? RegisterSnapshot(snapshot) : NULL;
	scan->slot = table_slot_create(scan->heap, NULL);
	scan->scan =
		compat_index_beginscan(scan->heap, scan->index, snapshot, nkeys);
	index_rescan(scan->scan, keys, nkeys, NULL, 0);
	scan->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "causaldb store row",
							  ALLOCSET_SMALL_SIZES);
	return scan;
}

static bool
scan_next(StoreScan *scan, ScanDirection direction)
{
	if (scan->row_is_here)
		MemoryContextReset(scan->row_context);
	scan->row_is_here = index_getnext_slot(scan->scan, direction, scan->slot);
	return scan->row_is_here;
}

static Datum
scan_value(StoreScan *scan, AttrNumber attnum)
{
	bool isnull;
	Datum value = slot_getattr(scan->slot, attnum, &isnull);

	Assert(!isnull);
	return value;
}

static const uint8 *
scan_bytes(StoreScan *scan, AttrNumber attnum, size_t *len)
{
	MemoryContext old = MemoryContextSwitchTo(scan->row_context);
	bytea *bytes = DatumGetByteaPP(scan_value(scan, attnum));

	MemoryContextSwitchTo(old);
	*len = VARSIZE_ANY_EXHDR(bytes);
	return (const uint8 *) VARDATA_ANY(bytes);
}

void
store_end(StoreScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	if (scan->snapshot != NULL)
		UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, AccessShareLock);
	table_close(scan->heap, AccessShareLock);
	MemoryContextDelete(scan->row_context);
	pfree(scan);
}

/* Positions compare as int8 in the index; an hlc stays below 2^63. */
static int64
as_position(uint64 position)
{
	return (int64) Min(position, (uint64) PG_INT64_MAX);
}

StoreScan *
store_log_begin(int32 stream, uint64 after, uint64 upto, Snapshot snapshot)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(stream));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(as_position(after)));
	ScanKeyInit(&keys[2], 2, BTLessEqualStrategyNumber, F_INT8LE,
				Int64GetDatum(as_position(upto)));
	return scan_begin(STORE_LOG, keys, 3, snapshot);
}

static void
read_stamp(StoreScan *scan, StoreLogRow *row)
{
	bool isnull;
	bytea *bytes;
	RepReader r;
	Datum value = slot_getattr(scan->slot, LOG_STAMP, &isnull);

	row->strong = !isnull;
	memset(&row->stamp, 0, sizeof(row->stamp));
	row->stamp.hlc = row->position;
	if (isnull)
		return;
	bytes = DatumGetByteaPP(value);
	rep_reader_init(&r, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	row->stamp.hlc = rep_read_varint(&r);
	row->stamp.stream.node = (uint32) rep_read_varint(&r);
	row->stamp.stream.boot = rep_read_u64(&r);
	if (!rep_reader_done(&r))
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("malformed stamp in causaldb.log")));
}

static void
read_log_row(StoreScan *scan, StoreLogRow *row)
{
	bool unnamed;
	Datum xid;

	row->stream = DatumGetInt32(scan_value(scan, LOG_STREAM));
	row->position = DatumGetUInt64(scan_value(scan, LOG_POSITION));
	xid = slot_getattr(scan->slot, LOG_XID, &unnamed);
	row->xid = unnamed ? 0 : DatumGetUInt64(xid);
	read_stamp(scan, row);
	row->deps = scan_bytes(scan, LOG_DEPS, &row->deps_len);
	row->payload = scan_bytes(scan, LOG_PAYLOAD, &row->payload_len);
}

bool
store_log_next(StoreScan *scan, StoreLogRow *row)
{
	if (!scan_next(scan, ForwardScanDirection))
		return false;
	read_log_row(scan, row);
	return true;
}

StoreScan *
store_chunks_begin(int32 stream, uint64 xid, int32 after_ordinal,
				   Snapshot snapshot)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(stream));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_XID8EQ,
				UInt64GetDatum(xid));
	ScanKeyInit(&keys[2], 3, BTGreaterStrategyNumber, F_INT4GT,
				Int32GetDatum(after_ordinal));
	return scan_begin(STORE_LOG_CHUNK, keys, 3, snapshot);
}

bool
store_chunks_next(StoreScan *scan, StoreChunkRow *row)
{
	if (!scan_next(scan, ForwardScanDirection))
		return false;
	row->stream = DatumGetInt32(scan_value(scan, CHUNK_STREAM));
	row->xid = DatumGetUInt64(scan_value(scan, CHUNK_XID));
	row->ordinal = DatumGetInt32(scan_value(scan, CHUNK_ORDINAL));
	row->payload = scan_bytes(scan, CHUNK_PAYLOAD, &row->payload_len);
	return true;
}

bool
store_log_fetch(int32 stream, uint64 position, Snapshot snapshot,
				StoreLogRow *row)
{
	StoreScan *scan = store_log_begin(stream, position - 1, position, snapshot);
	bool found = store_log_next(scan, row);

	if (found)
	{
		row->deps = memcpy(palloc(row->deps_len + 1), row->deps, row->deps_len);
		row->payload = memcpy(palloc(row->payload_len + 1), row->payload,
							  row->payload_len);
	}
	store_end(scan);
	return found;
}

uint64
store_last_position(int32 stream, Snapshot snapshot)
{
	ScanKeyData key;
	StoreScan *scan;
	uint64 position = 0;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(stream));
	scan = scan_begin(STORE_LOG, &key, 1, snapshot);
	if (scan_next(scan, BackwardScanDirection))
		position = DatumGetUInt64(scan_value(scan, LOG_POSITION));
	store_end(scan);
	return position;
}

/* --------------------------------------------------------------- deps */

static uint64
zig_zag(int64 n)
{
	return ((uint64) n << 1) ^ (uint64) (n >> 63);
}

static int64
un_zig_zag(uint64 n)
{
	return (int64) (n >> 1) ^ -(int64) (n & 1);
}

void
store_encode_deps(const StoreDep *deps, int ndeps, uint64 position,
				  StringInfo out)
{
	RepWriter w;

	enlargeStringInfo(out, 10 + ndeps * 20);
	rep_writer_init(&w, out->data + out->len, 10 + (size_t) ndeps * 20);
	rep_write_varint(&w, (uint64) ndeps);
	for (int i = 0; i < ndeps; i++)
	{
		rep_write_varint(&w, (uint32) deps[i].stream);
		rep_write_varint(&w, zig_zag((int64) (position - deps[i].position)));
	}
	Assert(!w.full);
	out->len += (int) w.len;
	out->data[out->len] = '\0';
}

int
store_decode_deps(const void *bytes, size_t len, uint64 position,
				  StoreDep *deps, int room)
{
	RepReader r;
	uint64 n;

	rep_reader_init(&r, bytes, len);
	n = rep_read_varint(&r);
	if (n > (uint64) room)
		r.bad = true;
	for (uint64 i = 0; i < n && !r.bad; i++)
	{
		deps[i].stream = (int32) rep_read_varint(&r);
		deps[i].position = position - (uint64) un_zig_zag(rep_read_varint(&r));
	}
	if (r.bad || rep_reader_left(&r) > 0)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("malformed deps in causaldb.log")));
	return (int) n;
}
