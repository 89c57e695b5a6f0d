/*
 * ddl.c
 *		What DDL on tagged tables must not do: end capture in silence.
 *
 * An event trigger looks, at the end of each command that can change what a
 * table is part of, at the tables it named, while the command's locks are
 * still held.
 *
 * Invariants
 * 1. When the command's transaction commits, every table with rows of a tagged
 *	  table has our triggers, and they fire.
 * 2. Rows that a table brings along as it becomes a partition are captured as
 *	  if they were inserted.
 * 3. What could not have been tagged as it is now is refused.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "capture.h"
#include "catalog.h"
#include "catalog_tag.h"
#include "errors.h"
#include "finding.h"
#include "install.h"
#include "store.h"
#include "tags_check.h"
#include "tags_foreign.h"
#include "tree.h"

PG_FUNCTION_INFO_V1(causaldb_look_at_ddl);

static bool
is_tagged(Oid relid)
{
	return catalog_tag_read(relid).active;
}

static bool
anything_is_tagged(void)
{
	Relation tags = table_open(store_table(STORE_TAG), AccessShareLock);
	SysScanDesc scan =
		systable_beginscan(tags, InvalidOid, false, NULL, 0, NULL);
	bool any = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	table_close(tags, AccessShareLock);
	return any;
}

/* OIDs of the tables that the command made or altered. */
static List *
named_tables(void)
{
	MemoryContext context = CurrentMemoryContext;
	List *out = NIL;

	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute("SELECT DISTINCT objid "
					"FROM pg_catalog.pg_event_trigger_ddl_commands() "
					"WHERE classid OPERATOR(pg_catalog.=) "
					"'pg_catalog.pg_class'::pg_catalog.regclass",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not read what a command did");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		Datum oid = SPI_getbinval(SPI_tuptable->vals[i],
								  SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		if (!isnull)
			out = lappend_oid(out, DatumGetObjectId(oid));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return out;
}

/* ------------------------------------------------------------ refusals */

static char *
as_sentence(const char *says)
{
	char *out = pstrdup(says);

	out[0] = (char) pg_toupper((unsigned char) out[0]);
	return out;
}

static void
refuse(Relation tagged, List *findings)
{
	const Finding *f = finding_refusal(findings);

	if (f == NULL)
		return;
	ereport(ERROR,
			(errcode(f->sqlstate),
			 errmsg("table \"%s\" is tagged and cannot be altered so",
					RelationGetRelationName(tagged)),
			 errdetail("%s. %s", as_sentence(f->says), f->detail),
			 errhint("Type before: SELECT causaldb.unset_consistency(%s);",
					 quote_literal_cstr(catalog_qualified_name(
						 RelationGetRelid(tagged))))));
}

static void
refuse_by_oid(Oid tagged)
{
	Relation rel = relation_open(tagged, AccessShareLock);

	refuse(rel, tags_check_table(rel));
	relation_close(rel, NoLock);
}

/* Tagged tables that the table inherits from, or that became part of it. */
static void
check_neighbours(Relation rel)
{
	List *all = find_all_inheritors(RelationGetRelid(rel), NoLock, NULL);
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	ListCell *cell;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tup;
	List *parents = NIL;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
		parents = lappend_oid(parents,
							  ((Form_pg_inherits) GETSTRUCT(tup))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	foreach (cell, list_concat(all, parents))
		if (is_tagged(lfirst_oid(cell)))
			refuse_by_oid(lfirst_oid(cell));
}

/* ------------------------------------------------------------ partitions */

static Bitmapset *
tagged_columns(Relation root)
{
	CatalogRelation *r = catalog_relation_build(root, CurrentMemoryContext);
	Bitmapset *out = NULL;

	for (int i = 0; r != NULL && i < r->ncolumns; i++)
		out = bms_add_member(out, r->attnums[i]);
	return out;
}

static Bitmapset *
strong_columns(Relation root)
{
	CatalogRelation *r = NULL;
	Bitmapset *out = NULL;

	/* without a key nothing is strong, and one that was lost is no error here */
	if (tags_check_key(root) != NULL)
		r = catalog_relation_build(root, CurrentMemoryContext);
	for (int i = 0; r != NULL && i < r->ncolumns; i++)
		if (r->rules[i] == REP_RULE_STRONG)
			out = bms_add_member(out, r->attnums[i]);
	return out;
}

static void
look_at_tagged(Relation root)
{
	List *members;
	List *fresh = NIL;
	ListCell *cell;

	members = tree_captured(root, AccessShareLock);
	for_each_from(cell, members, 1)
		if (is_tagged(lfirst_oid(cell)))
			refuse_by_oid(lfirst_oid(cell));
	refuse(root, tags_check_table(root));
	refuse(root, tags_check_mixed(root, strong_columns(root)));
	foreach (cell, members)
	{
		Relation member = table_open(lfirst_oid(cell), NoLock);

		if (install_triggers(member) && tree_is_leaf(member))
			fresh = lappend_oid(fresh, lfirst_oid(cell));
		table_close(member, NoLock);
	}
	if (fresh == NIL)
		return;
	refuse(root, tags_check_columns(root, tagged_columns(root), NULL));
	foreach (cell, fresh)
	{
		Relation member = table_open(lfirst_oid(cell), NoLock);

		capture_rows(member);
		table_close(member, NoLock);
	}
}

static void
look_at(Oid relid)
{
	Relation rel = try_relation_open(relid, AccessShareLock);
	Oid root;

	if (rel == NULL)
		return;
	if (!tree_is_leaf(rel) && !tree_is_partitioned(rel) &&
		rel->rd_rel->relkind != RELKIND_FOREIGN_TABLE)
	{
		relation_close(rel, NoLock);
		return;
	}
	root = tree_root(rel);
	if (!is_tagged(root))
		check_neighbours(rel);
	else
	{
		Relation tagged = table_open(root, AccessShareLock);

		look_at_tagged(tagged);
		table_close(tagged, NoLock);
	}
	relation_close(rel, NoLock);
}

/* ------------------------------------------------------------ DETACH */

static void
leave(Relation child, const char *parent)
{
	ListCell *cell;
	bool any = false;

	foreach (cell, tree_captured(child, AccessExclusiveLock))
	{
		Relation member = table_open(lfirst_oid(cell), NoLock);

		any |= install_remove(member);
		table_close(member, NoLock);
	}
	if (any)
		ereport(NOTICE,
				(errmsg("\"%s\" is no longer part of tagged table \"%s\"",
						RelationGetRelationName(child), parent),
				 errdetail("What is written to it from now on stays on this "
						   "node. Other nodes keep its rows."),
				 errhint("Detach it on every node; to replicate it by itself, "
						 "type then: SELECT causaldb.set_consistency(%s, "
						 "'eventual');",
						 quote_literal_cstr(catalog_qualified_name(
							 RelationGetRelid(child))))));
}

static void
look_at_detached(const AlterTableStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, cell);
		Oid relid;
		Relation child;

		if (cmd->subtype != AT_DetachPartition &&
			cmd->subtype != AT_DetachPartitionFinalize)
			continue;
		relid = RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock,
								 true);
		child = OidIsValid(relid) ? try_relation_open(relid, AccessShareLock)
								  : NULL;
		if (child == NULL)
			continue;
		if (!is_tagged(tree_root(child)))
			leave(child, stmt->relation->relname);
		relation_close(child, NoLock);
	}
}

/* ------------------------------------------------------------ foreign keys */

static void
look_at_foreign_keys(const AlterTableStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, cell);

		if (cmd->subtype == AT_AddConstraint &&
			castNode(Constraint, cmd->def)->contype == CONSTR_FOREIGN)
		{
			Oid relid = RangeVarGetRelid(stmt->relation, NoLock, true);

			if (OidIsValid(relid))
				finding_raise(tags_foreign_advice(relid));
			return;
		}
	}
}

/* causaldb.look_at_ddl(): event trigger at the end of commands */
Datum
causaldb_look_at_ddl(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;
	ListCell *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("causaldb.look_at_ddl() is an event trigger"),
				 errhint("Type nothing: the extension calls it.")));
	if (!anything_is_tagged())
		PG_RETURN_VOID();
	foreach (cell, named_tables())
		look_at(lfirst_oid(cell));
	if (IsA(data->parsetree, AlterTableStmt))
	{
		look_at_detached((AlterTableStmt *) data->parsetree);
		look_at_foreign_keys((AlterTableStmt *) data->parsetree);
	}
	PG_RETURN_VOID();
}
