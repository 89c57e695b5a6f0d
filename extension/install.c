/*
 * install.c
 *		See install.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "install.h"
#include "tree.h"

/* before digits and letters: captured before any trigger of the user's that
 * might write the row again */
#define TRIGGER_NAME "!causaldb_capture"

static Oid
capture_function(void)
{
	return LookupFuncName(list_make2(makeString("causaldb"),
									 makeString("capture")),
						  0, NULL, false);
}

static void
create_trigger(Relation rel, bool row, int16 timing, int16 events)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress extension;

	stmt->trigname = TRIGGER_NAME;
	stmt->funcname = list_make2(makeString("causaldb"), makeString("capture"));
	stmt->row = row;
	stmt->timing = timing;
	stmt->events = events;
	/* internal: dumps of the table leave it out, as they leave out the tag */
	trigger = CreateTriggerFiringOn(stmt, NULL, RelationGetRelid(rel),
									InvalidOid, InvalidOid, InvalidOid,
									capture_function(), InvalidOid, NULL, true,
									false, TRIGGER_FIRES_ALWAYS);
	ObjectAddressSet(extension, ExtensionRelationId,
					 get_extension_oid("causaldb", false));
	/* DROP EXTENSION takes the trigger along instead of refusing */
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
}

/* ALTER TABLE ... DISABLE TRIGGER ALL reaches internal triggers as well. */
static void
fire_always(Relation triggers, HeapTuple tup)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tup);
	HeapTuple copy;

	if (form->tgenabled == TRIGGER_FIRES_ALWAYS)
		return;
	if (form->tgenabled == TRIGGER_DISABLED)
		ereport(NOTICE,
				(errmsg("what is written to table \"%s\" is captured as before",
						get_rel_name(form->tgrelid)),
				 errdetail("Its other triggers are disabled."),
				 errhint("To keep maintenance local, type in its transaction: "
						 "SET LOCAL causaldb.capture = off;")));
	copy = heap_copytuple(tup);
	((Form_pg_trigger) GETSTRUCT(copy))->tgenabled = TRIGGER_FIRES_ALWAYS;
	CatalogTupleUpdate(triggers, &copy->t_self, copy);
	CacheInvalidateRelcacheByRelid(form->tgrelid);
	heap_freetuple(copy);
}

/* OIDs of our triggers on the table; `heal` makes them fire always. */
static List *
our_triggers(Oid relid, bool heal)
{
	Relation rel = table_open(TriggerRelationId,
							  heal ? RowExclusiveLock : AccessShareLock);
	Oid function = capture_function();
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tup;
	List *out = NIL;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan =
		systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tup);

		if (form->tgfoid != function)
			continue;
		out = lappend_oid(out, form->oid);
		if (heal)
			fire_always(rel, tup);
	}
	systable_endscan(scan);
	table_close(rel, heal ? RowExclusiveLock : AccessShareLock);
	if (heal)
		CommandCounterIncrement();
	return out;
}

bool
install_is_there(Oid member)
{
	return our_triggers(member, false) != NIL;
}

/*
 * A partition tells of its TRUNCATE before its rows are gone, as they may have
 * to be named one by one; the partitioned table does so before that, to say
 * that they need not.
 */
bool
install_triggers(Relation member)
{
	bool partition = member->rd_rel->relispartition;

	if (our_triggers(RelationGetRelid(member), true) != NIL)
		return false;
	if (tree_is_leaf(member))
		create_trigger(member, true, TRIGGER_TYPE_AFTER,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
						   TRIGGER_TYPE_DELETE);
	if (tree_is_leaf(member) ? partition : !partition)
		create_trigger(member, false, TRIGGER_TYPE_BEFORE,
					   TRIGGER_TYPE_TRUNCATE);
	if (!partition)
		create_trigger(member, false, TRIGGER_TYPE_AFTER,
					   TRIGGER_TYPE_TRUNCATE);
	return true;
}

bool
install_remove(Relation member)
{
	List *triggers = our_triggers(RelationGetRelid(member), false);
	ListCell *cell;

	foreach (cell, triggers)
	{
		ObjectAddress trigger;

		ObjectAddressSet(trigger, TriggerRelationId, lfirst_oid(cell));
		performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
	return triggers != NIL;
}
