/*
 * identity.c
 *		See identity.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "identity.h"

#define MAX_TABLES 32

static struct
{
	char name[NAMEDATALEN];
	Oid oid;
} tables[MAX_TABLES];
static int ntables = 0;
static bool watching = false;

static void
forget_tables(Datum arg, Oid relid)
{
	int i;

	(void) arg;
	for (i = 0; i < ntables; i++)
		if (!OidIsValid(relid) || tables[i].oid == relid)
			tables[i].oid = InvalidOid;
}

Oid
identity_schema(void)
{
	return get_namespace_oid("causaldb", true);
}

bool
identity_installed(void)
{
	Oid schema = identity_schema();

	return OidIsValid(schema) &&
		OidIsValid(get_relname_relid("local_node", schema)) &&
		OidIsValid(get_extension_oid("causaldb", true));
}

Oid
identity_table(const char *name)
{
	int i;
	Oid schema;

	if (!watching)
	{
		CacheRegisterRelcacheCallback(forget_tables, (Datum) 0);
		watching = true;
	}
	for (i = 0; i < ntables; i++)
		if (strcmp(tables[i].name, name) == 0)
			break;
	if (i < ntables && OidIsValid(tables[i].oid))
		return tables[i].oid;

	schema = identity_schema();
	if (i == ntables)
	{
		if (ntables == MAX_TABLES)
			elog(ERROR, "causaldb knows more than %d tables", MAX_TABLES);
		strlcpy(tables[i].name, name, NAMEDATALEN);
		ntables++;
	}
	tables[i].oid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	if (!OidIsValid(tables[i].oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table causaldb.%s does not exist", name),
				 errdetail("The causaldb extension is not installed in this database, or is damaged."),
				 errhint("Type CREATE EXTENSION causaldb.")));
	return tables[i].oid;
}

Identity
identity_read(void)
{
	Identity id = {0};
	Relation rel = table_open(identity_table("local_node"), AccessShareLock);
	/* of now, as GetLatestSnapshot, but allowed in parallel queries too */
	Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(rel)));
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	HeapTuple tuple = heap_getnext(scan, ForwardScanDirection);

	if (HeapTupleIsValid(tuple))
	{
		Datum values[7];
		bool nulls[7];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		/* a copy of a node's database, made as template, is no node */
		if (DatumGetObjectId(values[4]) == MyDatabaseId)
		{
			id.node = DatumGetInt32(values[1]);
			id.cluster = (uint64) DatumGetInt64(values[2]);
			id.coordinator = DatumGetInt32(values[3]);
			id.server_identity = DatumGetBool(values[5]);
			id.witness = DatumGetBool(values[6]);
		}
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return id;
}
