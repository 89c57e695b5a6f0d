/*
 * reinstall.c
 *		See reinstall.h.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "install.h"
#include "reinstall.h"
#include "tree.h"

/* OIDs of the tagged tables that are there. */
static List *
tagged_tables(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List *out = NIL;

	SPI_connect();
	if (SPI_execute("SELECT c.oid FROM causaldb.tag t JOIN pg_catalog.pg_class c ON c.oid = t.relid "
					"WHERE t.level <> 'none' OR t.becomes IS NOT NULL ORDER BY 1",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not read causaldb.tag");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		bool isnull;

		out = lappend_oid(out, DatumGetObjectId(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return out;
}

static bool
lacks_triggers(List *members)
{
	ListCell *cell;

	foreach (cell, members)
		if (!install_is_there(lfirst_oid(cell)))
			return true;
	return false;
}

static void
install_all(List *members)
{
	ListCell *cell;

	foreach (cell, members)
	{
		Relation member = table_open(lfirst_oid(cell), NoLock);

		(void) install_triggers(member);
		table_close(member, NoLock);
	}
}

/* True if the table lacked triggers. */
static bool
mend(Oid relid)
{
	Relation root = try_relation_open(relid, AccessShareLock);
	bool lacks;

	if (root == NULL)
		return false;
	lacks = lacks_triggers(tree_captured(root, AccessShareLock));
	if (lacks)
	{
		LockRelationOid(relid, ShareRowExclusiveLock);
		install_all(tree_captured(root, ShareRowExclusiveLock));
	}
	relation_close(root, NoLock);
	return lacks;
}

void
reinstall_triggers(void)
{
	ListCell *cell;
	List *tables;
	int n = 0;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	tables = tagged_tables();
	foreach (cell, tables)
		n += mend(lfirst_oid(cell));
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (n > 0)
		ereport(LOG,
				(errmsg("causaldb: writes of %d tagged tables are captured again", n),
				 errdetail("Their triggers were lost, as pg_upgrade loses them. What clients have written there meanwhile is not replicated.")));
}
