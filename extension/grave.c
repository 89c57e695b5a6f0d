/*
 * grave.c
 *		See grave.h.
 *
 * An image is the tagged columns' values, each as `value` of change.h, in the
 * order of the descriptor that is stored beside it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "errors.h"
#include "grave.h"
#include "identity.h"
#include "shmem.h"
#include "store.h"

/* What this process has found. Nobody has to look where there were none at its
 * start, and no process has written one since the server's. */
static enum
{
	GRAVES_UNKNOWN,
	GRAVES_NONE,
	GRAVES_SOME
} graves_are = GRAVES_UNKNOWN;

void
grave_init(void)
{
	graves_are = GRAVES_UNKNOWN;
}

static bool
some_since(void)
{
	return pg_atomic_read_u32(&shmem_node()->graves) > 0;
}

/*
 * Looks once whether there is any grave at all. No row that is written now
 * can have been taken out before that: whatever takes one out looks first.
 */
static void
look_for_any(void)
{
	Relation graves = table_open(identity_table("grave"), RowExclusiveLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(graves, snapshot, 0, NULL);

	graves_are = HeapTupleIsValid(heap_getnext(scan, ForwardScanDirection)) ? GRAVES_SOME : GRAVES_NONE;
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(graves, NoLock);
}

static bool
may_have_any(void)
{
	if (graves_are == GRAVES_UNKNOWN)
		look_for_any();
	return graves_are == GRAVES_SOME || some_since();
}

RowImage *
grave_new_image(int natts)
{
	RowImage *image = palloc0(sizeof(RowImage));

	image->natts = natts;
	image->values = palloc0(sizeof(Datum) * natts);
	image->nulls = palloc(sizeof(bool) * natts);
	image->present = palloc0(sizeof(bool) * natts);
	memset(image->nulls, true, sizeof(bool) * natts);
	return image;
}

/* Reads an image; its key's datums go to key[] in index order. */
static RowImage *
decode_image(uint64 hash, bytea *bytes, CatalogRelation *rel, int natts, Datum *key)
{
	CatalogApply *a = catalog_apply(hash);
	RowImage *image = grave_new_image(natts);
	RepReader r;
	uint32 i;
	int k;

	rep_reader_init(&r, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	for (i = 0; i < a->descriptor.ncolumns; i++)
	{
		RepValue v = rep_read_value(&r);
		int at = a->attnums[i] - 1;

		if (r.bad || at >= natts)
			ereport(ERROR, (errcode(ERRORS_MALFORMED), errmsg("malformed image in causaldb.grave")));
		if (at < 0)
			continue; /* the column is gone since */
		image->values[at] = tuple_decode(&a->codecs[i], &v, &image->nulls[at]);
		image->present[at] = true;
	}
	for (k = 0; k < rel->key.ncolumns; k++)
		key[k] = image->values[rel->key.columns[k].attnum - 1];
	return image;
}

static RowImage *
look(CatalogRelation *rel, uint64 hash, const Datum *key, int natts, uint64 *mark, bool drop)
{
	Relation graves;
	Relation index;
	SysScanDesc scan;
	ScanKeyData skey[2];
	HeapTuple tuple;
	Snapshot snapshot;
	RowImage *found = NULL;
	bool dropped = false;
	List *indexes;

	if (!may_have_any())
		return NULL;
	graves = table_open(identity_table("grave"), RowExclusiveLock);
	indexes = RelationGetIndexList(graves);
	index = index_open(linitial_oid(indexes), RowExclusiveLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&skey[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(rel->relid));
	ScanKeyInit(&skey[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum((int64) hash));
	scan = systable_beginscan_ordered(graves, index, snapshot, 2, skey);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Datum values[5];
		bool nulls[5];
		Datum grave_key[INDEX_MAX_KEYS];
		RowImage *image;

		heap_deform_tuple(tuple, RelationGetDescr(graves), values, nulls);
		image = decode_image((uint64) DatumGetInt64(values[2]), DatumGetByteaPP(values[4]), rel, natts, grave_key);
		if (!tuple_key_equal(&rel->key, grave_key, key))
			continue;
		if (drop)
		{
			simple_heap_delete(graves, &tuple->t_self);
			dropped = true;
		}
		else
		{
			found = image;
			*mark = (uint64) DatumGetInt64(values[3]);
			break;
		}
	}
	systable_endscan_ordered(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, RowExclusiveLock);
	table_close(graves, RowExclusiveLock);
	if (dropped)
		CommandCounterIncrement();
	return found;
}

RowImage *
grave_find(CatalogRelation *rel, uint64 hash, const Datum *key, int natts, uint64 *mark)
{
	return look(rel, hash, key, natts, mark, false);
}

void
grave_drop(CatalogRelation *rel, uint64 hash, const Datum *key)
{
	(void) look(rel, hash, key, rel->max_attnum, NULL, true);
}

void
grave_drop_table(Oid relid)
{
	Relation graves;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	List *indexes;

	if (!may_have_any())
		return;
	graves = table_open(identity_table("grave"), RowExclusiveLock);
	indexes = RelationGetIndexList(graves);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(graves, linitial_oid(indexes), true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		simple_heap_delete(graves, &tuple->t_self);
	systable_endscan(scan);
	table_close(graves, RowExclusiveLock);
	CommandCounterIncrement();
}

void
grave_put(CatalogRelation *rel, uint64 hash, const Datum *key, const RowImage *image, uint64 mark)
{
	Relation graves;
	StringInfoData bytes;
	Datum values[5];
	bool nulls[5] = {false, false, false, false, false};
	int i;

	pg_atomic_write_u32(&shmem_node()->graves, 1);
	grave_drop(rel, hash, key);
	catalog_store_descriptor(rel);
	initStringInfo(&bytes);
	appendStringInfoSpaces(&bytes, VARHDRSZ);
	for (i = 0; i < rel->ncolumns; i++)
	{
		int at = rel->attnums[i] - 1;

		tuple_encode(&rel->codecs[i], image->values[at], image->nulls[at], &bytes);
	}
	SET_VARSIZE(bytes.data, bytes.len);
	values[0] = ObjectIdGetDatum(rel->relid);
	values[1] = Int64GetDatum((int64) hash);
	values[2] = Int64GetDatum((int64) rel->hash);
	values[3] = Int64GetDatum((int64) mark);
	values[4] = PointerGetDatum(bytes.data);
	graves = table_open(identity_table("grave"), RowExclusiveLock);
	store_insert(graves, values, nulls);
	table_close(graves, RowExclusiveLock);
	graves_are = GRAVES_SOME;
	CommandCounterIncrement();
}

void
grave_forget(uint64 below)
{
	Relation graves;
	TableScanDesc scan;
	HeapTuple tuple;
	bool left = false;

	if (graves_are == GRAVES_NONE && !some_since())
		return;
	graves = table_open(identity_table("grave"), RowExclusiveLock);
	scan = table_beginscan(graves, GetActiveSnapshot(), 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Datum values[5];
		bool nulls[5];

		heap_deform_tuple(tuple, RelationGetDescr(graves), values, nulls);
		if ((uint64) DatumGetInt64(values[3]) < below)
			simple_heap_delete(graves, &tuple->t_self);
		else
			left = true;
	}
	table_endscan(scan);
	table_close(graves, RowExclusiveLock);
	graves_are = left ? GRAVES_SOME : GRAVES_NONE;
}
