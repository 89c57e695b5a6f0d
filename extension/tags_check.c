/*
 * tags_check.c
 *		What cannot be tagged, and why.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/readfuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "catalog.h"
#include "compat.h"
#include "errors.h"
#include "store.h"
#include "tags_check.h"

/* --------------------------------------------------------------- table */

static const char *
kind_name(Relation rel)
{
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_FOREIGN_TABLE:
			return "a foreign table";
		case RELKIND_VIEW:
			return "a view";
		case RELKIND_MATVIEW:
			return "a materialized view";
		case RELKIND_SEQUENCE:
			return "a sequence";
		default:
			return "not a table";
	}
}

static void
check_kind(Relation rel)
{
	const char *name = RelationGetRelationName(rel);

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		rel->rd_rel->relispartition)
		ereport(ERROR,
				(errcode(ERRORS_NOT_YET),
				 errmsg("cannot tag table \"%s\": it is partitioned", name),
				 errdetail("Partitioned tables and their partitions cannot "
						   "be tagged yet."),
				 errhint("Tag a table without partitions; type: CREATE "
						 "TABLE ... (LIKE %s INCLUDING ALL);",
						 catalog_qualified_name(RelationGetRelid(rel)))));
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot tag \"%s\": it is %s", name, kind_name(rel)),
				 errdetail("Only writes of ordinary tables are captured."),
				 errhint("Copy its rows into a table and tag that; type: "
						 "CREATE TABLE ... AS TABLE %s;",
						 catalog_qualified_name(RelationGetRelid(rel)))));
	if (rel->rd_rel->relhassubclass || has_superclass(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRORS_NOT_YET),
				 errmsg("cannot tag table \"%s\": it takes part in "
						"inheritance",
						name),
				 errdetail("Inheriting tables and their parents cannot be "
						   "tagged yet."),
				 errhint("Type: ALTER TABLE ... NO INHERIT ...;")));
}

static void
check_persistence(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	char *qualified = catalog_qualified_name(RelationGetRelid(rel));

	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot tag table \"%s\": it is temporary", name),
				 errdetail("Other nodes have no such table, and it ends with "
						   "the session."),
				 errhint("Type CREATE TABLE instead of CREATE TEMPORARY "
						 "TABLE.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot tag table \"%s\": it is unlogged", name),
				 errdetail("A crash would empty it here and nowhere else."),
				 errhint("Type: ALTER TABLE %s SET LOGGED;", qualified)));
	if (RelationGetRelid(rel) < FirstNormalObjectId || IsCatalogRelation(rel) ||
		RelationGetNamespace(rel) == store_schema())
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot tag table \"%s\": it is a system table", name),
				 errdetail("What it holds belongs to this node alone."),
				 errhint("Tag a table of your own; type: CREATE TABLE ...;")));
}

/* The primary key's index, also a deferrable one, or InvalidOid. */
static Oid
any_primary_key(Relation rel)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		bool primary = index->rd_index->indisprimary;

		index_close(index, AccessShareLock);
		if (primary)
			return lfirst_oid(cell);
	}
	return InvalidOid;
}

static void
check_primary_key(Relation rel)
{
	Oid oid = any_primary_key(rel);
	char *qualified = catalog_qualified_name(RelationGetRelid(rel));
	TupleKey key;
	Relation index;
	int bad;

	if (!OidIsValid(oid))
		return;
	index = index_open(oid, AccessShareLock);
	if (!index->rd_index->indimmediate)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot tag table \"%s\": its primary key is "
						"deferrable",
						RelationGetRelationName(rel)),
				 errdetail("A row could be there twice until commit, and no "
						   "node could tell which is meant."),
				 errhint("Type: ALTER TABLE %s DROP CONSTRAINT %s, ADD "
						 "PRIMARY KEY (...);",
						 qualified,
						 quote_identifier(RelationGetRelationName(index)))));
	bad = tuple_key_init(&key, index, CurrentMemoryContext);
	if (bad > 0)
	{
		Form_pg_attribute att =
			TupleDescAttr(RelationGetDescr(rel),
						  index->rd_index->indkey.values[bad - 1] - 1);

		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot tag table \"%s\": its key cannot be hashed",
						RelationGetRelationName(rel)),
				 errdetail("Column \"%s\" of the primary key is of type %s, "
						   "which has no extended hash function for the "
						   "key's equality.",
						   NameStr(att->attname),
						   format_type_be(att->atttypid)),
				 errhint("Type: ALTER TABLE %s ALTER COLUMN %s TYPE ...;",
						 qualified, quote_identifier(NameStr(att->attname)))));
	}
	index_close(index, AccessShareLock);
}

void
tags_check_table(Relation rel)
{
	check_persistence(rel);
	check_kind(rel);
	check_primary_key(rel);
}

/* ------------------------------------------------------------- columns */

Bitmapset *
tags_check_key(Relation rel)
{
	Oid oid = compat_primary_key(rel);
	Bitmapset *key = NULL;
	Relation index;

	if (!OidIsValid(oid))
		return NULL;
	index = index_open(oid, AccessShareLock);
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		key = bms_add_member(key, index->rd_index->indkey.values[i]);
	index_close(index, AccessShareLock);
	return key;
}

/* Attributes that the index reads, expressions and predicate included. */
static Bitmapset *
index_attributes(Relation index)
{
	Bitmapset *offset = NULL;
	Bitmapset *out = NULL;
	int member = -1;

	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		if (index->rd_index->indkey.values[i] > 0)
			out = bms_add_member(out, index->rd_index->indkey.values[i]);
	pull_varattnos((Node *) RelationGetIndexExpressions(index), 1, &offset);
	pull_varattnos((Node *) RelationGetIndexPredicate(index), 1, &offset);
	while ((member = bms_next_member(offset, member)) >= 0)
		if (member + FirstLowInvalidHeapAttributeNumber > 0)
			out = bms_add_member(out,
								 member + FirstLowInvalidHeapAttributeNumber);
	return out;
}

/* Plain columns of the index include the whole primary key. */
static bool
contains_key(Relation index, const Bitmapset *key)
{
	Bitmapset *plain = NULL;

	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		if (index->rd_index->indkey.values[i] > 0)
			plain = bms_add_member(plain, index->rd_index->indkey.values[i]);
	return !bms_is_empty(key) && bms_is_subset(key, plain);
}

static void
check_unique_index(Relation rel, Relation index, const Bitmapset *tagged,
				   const Bitmapset *key)
{
	Form_pg_index form = index->rd_index;
	Oid constraint = get_index_constraint(RelationGetRelid(index));
	const char *index_name = RelationGetRelationName(index);
	Bitmapset *columns;
	AttrNumber column;

	if (form->indisprimary || (!form->indisunique && !form->indisexclusion))
		return;
	if (form->indisunique && contains_key(index, key))
		return;
	columns = bms_intersect(index_attributes(index), bms_union(tagged, key));
	if (bms_is_empty(columns))
		return;
	column = (AttrNumber) bms_next_member(columns, -1);
	ereport(ERROR,
			(errcode(ERRORS_UNTAGGABLE),
			 errmsg("cannot tag table \"%s\": column \"%s\" is in %s \"%s\"",
					RelationGetRelationName(rel),
					get_attname(RelationGetRelid(rel), column, false),
					form->indisexclusion     ? "exclusion constraint"
					: OidIsValid(constraint) ? "unique constraint"
											 : "unique index",
					index_name),
			 errdetail("Two nodes could each write a row that the other "
					   "forbids, and both have committed."),
			 OidIsValid(constraint)
				 ? errhint("Type: ALTER TABLE %s DROP CONSTRAINT %s;",
						   catalog_qualified_name(RelationGetRelid(rel)),
						   quote_identifier(get_constraint_name(constraint)))
				 : errhint("Type: DROP INDEX %s;",
						   catalog_qualified_name(RelationGetRelid(index)))));
}

static void
check_unique_indexes(Relation rel, const Bitmapset *tagged,
					 const Bitmapset *key)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		check_unique_index(rel, index, tagged, key);
		index_close(index, AccessShareLock);
	}
}

/* A peer inserts rows without the untagged columns: they need a default. */
static void
check_untagged_columns(Relation rel, const Bitmapset *travels)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char *table = catalog_qualified_name(RelationGetRelid(rel));
		const char *column = quote_identifier(NameStr(att->attname));

		if (att->attisdropped || !att->attnotnull || att->atthasdef ||
			att->attidentity != '\0' || att->attgenerated != '\0' ||
			bms_is_member(att->attnum, travels))
			continue;
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot tag table \"%s\": untagged column \"%s\" is "
						"NOT NULL and has no default",
						RelationGetRelationName(rel), NameStr(att->attname)),
				 errdetail("Other nodes insert rows without a value for "
						   "it."),
				 errhint("Tag the column too, or type: ALTER TABLE %s ALTER "
						 "COLUMN %s SET DEFAULT ...;",
						 table, column)));
	}
}

void
tags_check_columns(Relation rel, const Bitmapset *tagged)
{
	Bitmapset *key = tags_check_key(rel);

	check_unique_indexes(rel, tagged, key);
	check_untagged_columns(rel, bms_union(tagged, key));
}

void
tags_check_rule(Relation rel, AttrNumber attnum, const char *rule)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	if (strcmp(rule, "counter") != 0)
		return;
	if (bms_is_member(attnum, tags_check_key(rel)))
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("column \"%s\" of table \"%s\" cannot be a counter",
						NameStr(att->attname), RelationGetRelationName(rel)),
				 errdetail("It is in the primary key, which never merges."),
				 errhint("Name another column.")));
	if (att->atttypid != INT2OID && att->atttypid != INT4OID &&
		att->atttypid != INT8OID && att->atttypid != NUMERICOID)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("column \"%s\" of table \"%s\" cannot be a counter",
						NameStr(att->attname), RelationGetRelationName(rel)),
				 errdetail("A counter is smallint, integer, bigint or "
						   "numeric; the column is %s.",
						   format_type_be(att->atttypid)),
				 errhint("Type: ALTER TABLE %s ALTER COLUMN %s TYPE bigint "
						 "USING ...;",
						 catalog_qualified_name(RelationGetRelid(rel)),
						 quote_identifier(NameStr(att->attname)))));
}

/* -------------------------------------------------------------- advice */

static bool
calls_nextval(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_NEXTVAL)
		return true;
	if (IsA(node, NextValueExpr))
		return true;
	return expression_tree_walker(node, calls_nextval, context);
}

/*
 * Fields merge one by one, so of two rows that both satisfy a CHECK over
 * several columns the merged one may not.
 */
static void
advise_on_checks(Relation rel, const Bitmapset *key)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		Bitmapset *columns = NULL;
		int attnum = -1;

		pull_varattnos(stringToNode(constr->check[i].ccbin), 1, &columns);
		while ((attnum = bms_next_member(key, attnum)) >= 0)
			columns = bms_del_member(
				columns, attnum - FirstLowInvalidHeapAttributeNumber);
		if (bms_num_members(columns) > 1)
			ereport(WARNING,
					(errmsg("check constraint \"%s\" of table \"%s\" reads "
							"several columns that merge one by one",
							constr->check[i].ccname,
							RelationGetRelationName(rel)),
					 errdetail("Concurrent writes may merge into a row that "
							   "violates it; other nodes then stall until "
							   "the row is written again or the constraint "
							   "is dropped."),
					 errhint("Keep what belongs together in one column, or "
							 "type: ALTER TABLE %s DROP CONSTRAINT %s;",
							 catalog_qualified_name(RelationGetRelid(rel)),
							 quote_identifier(constr->check[i].ccname))));
	}
}

void
tags_check_advise(Relation rel)
{
	char *table = catalog_qualified_name(RelationGetRelid(rel));
	Bitmapset *key = tags_check_key(rel);
	int attnum = -1;

	if (bms_is_empty(key))
		ereport(NOTICE,
				(errmsg("table \"%s\" has no primary key: it is append-only "
						"from now on",
						RelationGetRelationName(rel)),
				 errdetail("INSERT and TRUNCATE replicate; UPDATE and DELETE "
						   "are refused."),
				 errhint("To write its rows again, type: ALTER TABLE %s ADD "
						 "PRIMARY KEY (...);",
						 table)));
	advise_on_checks(rel, key);
	while ((attnum = bms_next_member(key, attnum)) >= 0)
	{
		Node *expr = build_column_default(rel, attnum);

		if (calls_nextval(expr, NULL))
			ereport(WARNING,
					(errmsg("the key of table \"%s\" comes from a sequence",
							RelationGetRelationName(rel)),
					 errdetail("Every node counts for itself, so two nodes "
							   "can give one key to two rows, which then "
							   "merge into one."),
					 errhint("Type on every node: SELECT "
							 "causaldb.use_node_ids(%s, %s);",
							 quote_literal_cstr(table),
							 quote_literal_cstr(NameStr(
								 TupleDescAttr(RelationGetDescr(rel),
											   attnum - 1)
									 ->attname)))));
	}
}
