/*
 * strong_log.c
 *		See strong_log.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "errors.h"
#include "store.h"
#include "strong_log.h"

enum
{
	STRONG_INDEX = 1,
	STRONG_TERM,
	STRONG_ENTRY,
	STRONG_PAYLOAD,
	STRONG_NATTS = STRONG_PAYLOAD
};

void
strong_log_insert(uint64 index, uint64 term, bytea *entry, bytea *payload)
{
	Relation rel = table_open(store_table(STORE_STRONG_LOG), RowExclusiveLock);
	bool nulls[STRONG_NATTS] = { false };
	Datum values[STRONG_NATTS] = {
		[STRONG_INDEX - 1] = Int64GetDatum((int64) index),
		[STRONG_TERM - 1] = Int64GetDatum((int64) term),
		[STRONG_ENTRY - 1] = PointerGetDatum(entry),
		[STRONG_PAYLOAD - 1] = PointerGetDatum(payload),
	};

	store_insert(rel, values, nulls);
	table_close(rel, NoLock);
}

static bytea *
bytes_of(Relation rel, HeapTuple tuple, int attnum)
{
	bool isnull;
	Datum bytes = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

	if (isnull)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("a row of causaldb.strong_log has no bytes")));
	return DatumGetByteaPCopy(bytes);
}

bool
strong_log_read(uint64 index, Snapshot snapshot, bytea **entry,
				bytea **payload)
{
	Relation rel = table_open(store_table(STORE_STRONG_LOG), AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	bool found;

	ScanKeyInit(&key, STRONG_INDEX, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum((int64) index));
	scan = systable_beginscan(rel, store_index(STORE_STRONG_LOG), true,
							  snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found && entry != NULL)
		*entry = bytes_of(rel, tuple, STRONG_ENTRY);
	if (found && payload != NULL)
		*payload = bytes_of(rel, tuple, STRONG_PAYLOAD);
	systable_endscan(scan);
	table_close(rel, NoLock);
	return found;
}
