/*
 * standing.c
 *		See standing.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "standing.h"

bool
standing_superseded(HeapTuple tup)
{
	HeapTupleHeader header = tup->t_data;

	if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 ||
		HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;
	return TransactionIdIsCurrentTransactionId(
		HeapTupleHeaderGetUpdateXid(header));
}

TupleTableSlot *
standing_version(Relation rel, TupleTableSlot *slot, HeapTuple tup, bool *fresh)
{
	*fresh = false;
	while (standing_superseded(tup))
	{
		ItemPointerData next = tup->t_data->t_ctid;
		bool should_free;

		if (ItemPointerEquals(&next, &tup->t_self) ||
			ItemPointerIndicatesMovedPartitions(&next))
			break; /* deleted, or another row now in another partition */
		if (!*fresh)
			slot = table_slot_create(rel, NULL);
		*fresh = true;
		if (!table_tuple_fetch_row_version(rel, &next, SnapshotAny, slot))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("a row of table \"%s\" has lost its last version",
							RelationGetRelationName(rel)),
					 errdetail("A trigger of this transaction has written it, and it cannot be read."),
					 errhint("Check the data folder for damage.")));
		tup = ExecFetchSlotHeapTuple(slot, false, &should_free);
	}
	if (!standing_superseded(tup))
		return slot;
	if (*fresh)
		ExecDropSingleTupleTableSlot(slot);
	*fresh = false;
	return NULL;
}

static void
scan_keys(const TupleKey *key, TupleTableSlot *slot, ScanKeyData *skey)
{
	for (int i = 0; i < key->ncolumns; i++)
		ScanKeyEntryInitializeWithInfo(
			&skey[i], 0, (AttrNumber) (i + 1), BTEqualStrategyNumber,
			InvalidOid, key->columns[i].collation, &key->columns[i].eq,
			slot->tts_values[key->columns[i].attnum - 1]);
}

TupleTableSlot *
standing_again(CatalogRelation *r, Relation rel, TupleTableSlot *old,
			   HeapTuple tup)
{
	ScanKeyData skey[INDEX_MAX_KEYS];
	TupleTableSlot *slot;
	Relation index;
	IndexScanDesc scan;
	bool found;

	if (likely(!standing_superseded(tup) ||
			   HeapTupleHeaderGetCmax(tup->t_data) ==
				   GetCurrentCommandId(false)))
		return NULL;
	slot = table_slot_create(rel, NULL);
	index = index_open(r->key.index, AccessShareLock);
	scan_keys(&r->key, old, skey);
	scan = compat_index_beginscan(rel, index, SnapshotSelf, r->key.ncolumns);
	index_rescan(scan, skey, r->key.ncolumns, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
		ExecMaterializeSlot(slot);
	index_endscan(scan);
	index_close(index, NoLock);
	if (found)
		return slot;
	ExecDropSingleTupleTableSlot(slot);
	return NULL;
}
