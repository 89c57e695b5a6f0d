/*
 * idempotency.c
 *		See idempotency.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "raft_message.h"
#include "strong_set.h"

#include "clock.h"
#include "errors.h"
#include "guc.h"
#include "idempotency.h"
#include "local.h"
#include "shmem.h"
#include "store.h"
#include "wall.h"

/* attribute numbers of causaldb.idempotency */
enum
{
	USE_INDEX = 1,
	USE_HLC,
	USE_NODE,
	USE_BOOT,
	USE_KEY,
	USE_NATTS = USE_KEY
};

/* and of causaldb.strong_log */
enum
{
	ENTRY_INDEX = 1,
	ENTRY_ENTRY = 3,
	ENTRY_PAYLOAD = 4
};

uint64
idempotency_hash(const char *key)
{
	static const char what[] = "causaldb.idempotency_key";

	return rep_hash64(key, strlen(key), rep_hash64(what, sizeof(what), 0));
}

static Datum
value_of(HeapTuple tuple, Relation rel, AttrNumber attnum)
{
	bool isnull;
	Datum value = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

	Assert(!isnull);
	return value;
}

static void
read_use(HeapTuple tuple, Relation rel, IdempotencyUse *use)
{
	use->index = DatumGetUInt64(value_of(tuple, rel, USE_INDEX));
	use->stamp.hlc = DatumGetUInt64(value_of(tuple, rel, USE_HLC));
	use->stamp.stream.node =
		(uint32) DatumGetInt32(value_of(tuple, rel, USE_NODE));
	use->stamp.stream.boot = DatumGetUInt64(value_of(tuple, rel, USE_BOOT));
}

bool
idempotency_find(const char *key, IdempotencyUse *use)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Relation rel = table_open(store_table(STORE_IDEMPOTENCY), AccessShareLock);
	IdempotencyUse one;
	ScanKeyData keys[1];
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&keys[0], USE_KEY, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(key));
	scan = systable_beginscan(rel, store_index(STORE_IDEMPOTENCY), true,
							  snapshot, 1, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		read_use(tuple, rel, &one);
		if (!found || one.index > use->index)
			*use = one;
		found = true;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return found;
}

/* Now, no earlier than any stamp that was given here. */
static int64
now_ms(void)
{
	return (int64) Max(wall_ms(), rep_hlc_to_ms(clock_read(shmem_node())));
}

bool
idempotency_is_kept(const IdempotencyUse *use)
{
	return now_ms() < (int64) rep_hlc_to_ms(use->stamp.hlc) +
						  guc_idempotency_retention * INT64CONST(1000);
}

/* The beginning of the write set is enough. */
static IdempotencyEntry
judge(HeapTuple tuple, Relation rel, const char *key, IdempotencyUse *use)
{
	bytea *entry = DatumGetByteaPP(value_of(tuple, rel, ENTRY_ENTRY));
	bytea *head = DatumGetByteaPSlice(value_of(tuple, rel, ENTRY_PAYLOAD), 0,
									  REP_STRONG_SET_HEAD);
	size_t room = 4096 + (size_t) VARSIZE_ANY(entry) * 8;
	RepRaftEntry e;
	RepArena arena;
	RepReader r;

	rep_arena_init(&arena, MemoryContextAllocHuge(CurrentMemoryContext, room),
				   room);
	rep_reader_init(&r, VARDATA_ANY(entry), VARSIZE_ANY_EXHDR(entry));
	if (!rep_raft_entry_decode(&r, &arena, &e))
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("malformed entry in causaldb.strong_log")));
	use->index = e.index;
	use->stamp = e.stamp;
	if (e.kind == REP_ENTRY_ABORT)
	{
		uint64 hash = idempotency_hash(key);

		for (uint32 i = 0; i < e.nkeys; i++)
			if (e.keys[i].hash == hash)
				return IDEMPOTENCY_CLAIM;
	}
	if (e.kind == REP_ENTRY_WRITE &&
		rep_strong_set_has_key(VARDATA_ANY(head), VARSIZE_ANY_EXHDR(head), key,
							   strlen(key)))
		return IDEMPOTENCY_USE;
	return IDEMPOTENCY_NONE;
}

IdempotencyEntry
idempotency_read(uint64 index, const char *key, IdempotencyUse *use)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Relation rel = table_open(store_table(STORE_STRONG_LOG), AccessShareLock);
	IdempotencyEntry what = IDEMPOTENCY_NONE;
	ScanKeyData keys[1];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], ENTRY_INDEX, BTEqualStrategyNumber, F_INT8EQ,
				UInt64GetDatum(index));
	scan = systable_beginscan(rel, store_index(STORE_STRONG_LOG), true,
							  snapshot, 1, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		what = judge(tuple, rel, key, use);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return what;
}

void
idempotency_insert(const void *key, size_t len, const IdempotencyUse *use)
{
	Relation rel = table_open(store_table(STORE_IDEMPOTENCY), RowExclusiveLock);
	Datum values[USE_NATTS];
	bool nulls[USE_NATTS] = { false };

	if (!pg_verifymbstr(key, (int) len, true))
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("a peer sent a malformed idempotency key")));
	values[USE_INDEX - 1] = UInt64GetDatum(use->index);
	values[USE_HLC - 1] = UInt64GetDatum(use->stamp.hlc);
	values[USE_NODE - 1] = Int32GetDatum((int32) use->stamp.stream.node);
	values[USE_BOOT - 1] = UInt64GetDatum(use->stamp.stream.boot);
	values[USE_KEY - 1] =
		PointerGetDatum(cstring_to_text_with_len(key, (int) len));
	store_insert(rel, values, nulls);
	table_close(rel, NoLock);
}

void
idempotency_forget(void)
{
	int64 upto = now_ms() - guc_idempotency_retention * INT64CONST(1000) -
				 guc_max_clock_skew;
	const char *params[1];

	if (upto <= 0)
		return;
	params[0] = psprintf(UINT64_FORMAT, rep_hlc_from_ms((uint64) upto));
	(void) local_query("DELETE FROM causaldb.idempotency "
					   "WHERE hlc < $1::pg_catalog.int8",
					   1, params);
}
