/*
 * catalog_descriptor.c
 *		Descriptors: stored once, found by the hash of their bytes.
 *
 * Being named by content, a descriptor is right for ever: what is decoded once
 * is never invalidated, and whoever stores the same one again does no harm.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "errors.h"
#include "store.h"

typedef struct DescriptorEntry
{
	uint64 hash; /* hash key */
	RepDescriptor *descriptor;
} DescriptorEntry;

static HTAB *descriptors = NULL;

/*
 * The stored bytes, palloc'd; *committed tells whether they stay whatever
 * becomes of this transaction. Rows never change, so the newest view is right
 * for every reader.
 */
static void *
find_descriptor(uint64 hash, size_t *len, bool *committed)
{
	Relation rel = table_open(store_table(STORE_DESCRIPTOR), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tup;
	void *bytes = NULL;

	*committed = false;
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ,
				UInt64GetDatum(hash));
	scan = systable_beginscan(rel, store_index(STORE_DESCRIPTOR), true,
							  SnapshotSelf, 1, &key);
	while (!*committed && HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		bool isnull;
		bytea *stored = DatumGetByteaPP(
			heap_getattr(tup, 2, RelationGetDescr(rel), &isnull));

		*len = VARSIZE_ANY_EXHDR(stored);
		bytes = memcpy(palloc(*len + 1), VARDATA_ANY(stored), *len);
		*committed = !TransactionIdIsCurrentTransactionId(
			HeapTupleHeaderGetXmin(tup->t_data));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return bytes;
}

static void
insert_descriptor(uint64 hash, const void *bytes, size_t len)
{
	Relation rel = table_open(store_table(STORE_DESCRIPTOR),
							  RowExclusiveLock);
	Datum values[2];
	bool nulls[2] = { false, false };
	bytea *definition = palloc(len + VARHDRSZ);

	SET_VARSIZE(definition, len + VARHDRSZ);
	memcpy(VARDATA(definition), bytes, len);
	values[0] = UInt64GetDatum(hash);
	values[1] = PointerGetDatum(definition);
	store_insert(rel, values, nulls);
	pfree(definition);
	table_close(rel, NoLock);
}

static void pg_attribute_noreturn()
bad_descriptor(uint64 hash)
{
	ereport(ERROR,
			(errcode(ERRORS_MALFORMED),
			 errmsg("descriptor %016llx is malformed",
					(unsigned long long) hash)));
}

static void
check_name(uint64 hash, const char *name, size_t len, size_t max)
{
	if (len == 0 || len > max || !pg_verifymbstr(name, (int) len, true))
		bad_descriptor(hash);
}

/* Decodes into context, or ERROR; the views are into a copy there. */
static RepDescriptor *
decode_descriptor(uint64 hash, const void *bytes, size_t len,
				  MemoryContext context)
{
	int ncolumns = rep_descriptor_columns(bytes, len);
	RepDescriptor *d;
	void *copy;

	if (ncolumns < 0 || rep_hash64(bytes, len, 0) != hash)
		bad_descriptor(hash);
	copy = memcpy(MemoryContextAlloc(context, len), bytes, len);
	d = MemoryContextAllocZero(context, sizeof(RepDescriptor));
	d->columns = MemoryContextAllocZero(context, sizeof(RepColumn) *
													 Max(ncolumns, 1));
	if (!rep_descriptor_decode(copy, len, (uint32) ncolumns, d))
		bad_descriptor(hash);
	check_name(hash, d->schema, d->schema_len, NAMEDATALEN - 1);
	check_name(hash, d->table, d->table_len, NAMEDATALEN - 1);
	for (uint32 i = 0; i < d->ncolumns; i++)
	{
		check_name(hash, d->columns[i].name, d->columns[i].name_len,
				   NAMEDATALEN - 1);
		check_name(hash, d->columns[i].type, d->columns[i].type_len,
				   4 * NAMEDATALEN);
	}
	d->hash = hash;
	return d;
}

void
catalog_put_descriptor(uint64 hash, const void *bytes, size_t len)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "causaldb descriptor",
							  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	size_t stored_len;
	bool committed;

	(void) decode_descriptor(hash, bytes, len, scratch);
	if (find_descriptor(hash, &stored_len, &committed) == NULL)
		insert_descriptor(hash, bytes, len);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

void *
catalog_get_descriptor(uint64 hash, size_t *len)
{
	bool committed;

	return find_descriptor(hash, len, &committed);
}

void
catalog_store_descriptor(CatalogRelation *rel)
{
	size_t len;
	void *bytes;

	if (rel->stored)
		return;
	bytes = find_descriptor(rel->hash, &len, &rel->stored);
	if (bytes == NULL)
		insert_descriptor(rel->hash, rel->definition, rel->definition_len);
	else
		pfree(bytes);
}

static void
prepare_cache(void)
{
	HASHCTL ctl;

	if (descriptors != NULL)
		return;
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(uint64);
	ctl.entrysize = sizeof(DescriptorEntry);
	ctl.hcxt = CacheMemoryContext;
	descriptors = hash_create("causaldb descriptors", 64, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

const RepDescriptor *
catalog_descriptor(uint64 hash)
{
	DescriptorEntry *entry;
	RepDescriptor *d;
	size_t len;
	void *bytes;

	prepare_cache();
	entry = hash_search(descriptors, &hash, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->descriptor;
	bytes = catalog_get_descriptor(hash, &len);
	if (bytes == NULL)
		return NULL;
	/* by content, so it is right for ever and never invalidated */
	d = decode_descriptor(hash, bytes, len, CacheMemoryContext);
	pfree(bytes);
	entry = hash_search(descriptors, &hash, HASH_ENTER, NULL);
	entry->descriptor = d;
	return d;
}

char *
catalog_descriptor_name(const RepDescriptor *d)
{
	return quote_qualified_identifier(pnstrdup(d->schema, d->schema_len),
									  pnstrdup(d->table, d->table_len));
}
