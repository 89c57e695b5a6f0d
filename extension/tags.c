/*
 * tags.c
 *		Tags: which columns have which consistency, and how they merge.
 *
 * The functions that users call turn objects into names, check rights and
 * propose a document; tags_apply turns names into objects again and carries
 * it out. So the same code runs for a local call and for a change that
 * arrives from another node.
 *
 * The lock is SHARE ROW EXCLUSIVE, as CREATE TRIGGER takes, on all partitions
 * too: readers go on, writers wait until the tag's transaction ends. Only
 * where a tag ends it is ACCESS EXCLUSIVE, as DROP TRIGGER takes. Nothing is
 * scanned or rewritten.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture.h"
#include "catalog.h"
#include "catalog_tag.h"
#include "compat.h"
#include "errors.h"
#include "finding.h"
#include "install.h"
#include "shmem.h"
#include "store.h"
#include "tag_document.h"
#include "tags.h"
#include "tags_check.h"
#include "tags_foreign.h"
#include "tags_strong.h"
#include "tree.h"

PG_FUNCTION_INFO_V1(causaldb_set_consistency);
PG_FUNCTION_INFO_V1(causaldb_unset_consistency);
PG_FUNCTION_INFO_V1(causaldb_set_merge);
PG_FUNCTION_INFO_V1(causaldb_set_row_policy);

TagsRoute tags_route = NULL;

/* ---------------------------------------------------------- tag tables */

/* Runs SQL of ours on our tables, as their owner; returns rows processed.
 * `nulls` as SPI takes them. */
static uint64
run_with_nulls(const char *sql, int nargs, Oid *types, Datum *values,
			   const char *nulls)
{
	Oid user;
	int context;
	int pin;
	HeapTuple tup =
		SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(store_schema()));
	Oid owner = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;
	uint64 processed;
	int result;

	ReleaseSysCache(tup);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	pin = tuple_pin();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
	processed = SPI_processed;
	SPI_finish();
	tuple_unpin(pin);
	SetUserIdAndSecContext(user, context);
	return processed;
}

static uint64
run(const char *sql, int nargs, Oid *types, Datum *values)
{
	return run_with_nulls(sql, nargs, types, values, NULL);
}

static void
run_for(Oid relid, const char *sql)
{
	Oid types[1] = { OIDOID };
	Datum values[1] = { ObjectIdGetDatum(relid) };

	(void) run(sql, 1, types, values);
}

static bool
is_tagged(Oid relid)
{
	Oid types[1] = { OIDOID };
	Datum values[1] = { ObjectIdGetDatum(relid) };

	return run("SELECT FROM causaldb.tag WHERE relid = $1 AND level <> 'none'",
			   1, types, values) > 0;
}

/* The statement that tags all of the table. */
static char *
whole_statement(Relation rel)
{
	return psprintf("SELECT causaldb.set_consistency(%s, 'eventual');",
					quote_literal_cstr(
						catalog_qualified_name(RelationGetRelid(rel))));
}

/* The statement that lets a column merge by the rule. */
static char *
merge_statement(Relation rel, const TagChange *c, const char *rule)
{
	return psprintf("SELECT causaldb.set_merge(%s, %s, '%s');",
					quote_literal_cstr(
						catalog_qualified_name(RelationGetRelid(rel))),
					quote_literal_cstr(c->column), rule);
}

static AttrNumber
need_column(Relation rel, const char *name)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), name);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist",
							   name, RelationGetRelationName(rel))));
	if (attnum < 0)
		ereport(ERROR, (errcode(ERRORS_UNTAGGABLE),
						errmsg("cannot tag system column \"%s\"", name),
						errdetail("Its value belongs to this node alone."),
						errhint("Name a column of your own, or for all of them "
								"type: %s",
								whole_statement(rel))));
	if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("cannot tag generated column \"%s\"", name),
				 errdetail("Every node computes it from the columns it is "
						   "made of."),
				 errhint("Tag those columns, or for all of them type: %s",
						 whole_statement(rel))));
	return attnum;
}

/* All columns that travel when the whole table is tagged. */
static Bitmapset *
all_columns(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);
	Bitmapset *out = NULL;

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			TupleDescAttr(desc, i)->attgenerated == '\0')
			out = bms_add_member(out, TupleDescAttr(desc, i)->attnum);
	return out;
}

/* Columns tagged already, the key's included; whole tables say all. */
static Bitmapset *
tagged_columns(Relation rel)
{
	CatalogRelation *r = catalog_relation_build(rel, CurrentMemoryContext);
	Bitmapset *out = NULL;

	for (int i = 0; r != NULL && i < r->ncolumns; i++)
		out = bms_add_member(out, r->attnums[i]);
	return out;
}

static Bitmapset *
columns_after(Relation rel, List *names)
{
	Bitmapset *out = tagged_columns(rel);
	ListCell *cell;

	if (names == NIL)
		return all_columns(rel);
	foreach (cell, names)
		out = bms_add_member(out, need_column(rel, lfirst(cell)));
	return out;
}

/* ------------------------------------------------------------- checks */

static void
check_level(const char *level)
{
	if (strcmp(level, "eventual") != 0 && strcmp(level, "strong") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown consistency level \"%s\"", level),
						errhint("Type 'eventual' or 'strong'.")));
}

static void
check_rule_name(Relation rel, const TagChange *c)
{
	static const char *const later[] = { "max",   "min",     "set",   "map",
										 "multi", "bounded", "custom" };

	if (strcmp(c->rule, "last_write") == 0 || strcmp(c->rule, "counter") == 0)
		return;
	for (int i = 0; i < (int) lengthof(later); i++)
		if (strcmp(c->rule, later[i]) == 0)
			ereport(ERROR,
					(errcode(ERRORS_NOT_YET),
					 errmsg("merge rule \"%s\" is not available yet", c->rule),
					 errhint("There are last_write and counter; type: %s",
							 merge_statement(rel, c, "last_write"))));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown merge rule \"%s\"", c->rule),
					errhint("There are last_write and counter; type: %s",
							merge_statement(rel, c, "last_write"))));
}

static void
check_options(Relation rel, const TagChange *c)
{
	if (c->options != NULL && strcmp(c->options, "{}") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("merge rule \"%s\" takes no options", c->rule),
						errhint("Type: %s", merge_statement(rel, c, c->rule))));
}

static void
check_policy(Relation rel, const char *policy)
{
	if (strcmp(policy, "update_wins") != 0 &&
		strcmp(policy, "delete_wins") != 0 && strcmp(policy, "last_write") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown row policy \"%s\"", policy),
				 errhint("There are update_wins, delete_wins and last_write; "
						 "type: SELECT causaldb.set_row_policy(%s, "
						 "'update_wins');",
						 quote_literal_cstr(catalog_qualified_name(
							 RelationGetRelid(rel))))));
}

static void
check_tagged(Relation rel)
{
	if (!is_tagged(RelationGetRelid(rel)))
		ereport(ERROR, (errcode(ERRORS_UNTAGGABLE),
						errmsg("table \"%s\" is not tagged",
							   RelationGetRelationName(rel)),
						errhint("Type: %s", whole_statement(rel))));
}

static AttrNumber
check_tagged_column(Relation rel, const char *name)
{
	AttrNumber attnum = need_column(rel, name);

	check_tagged(rel);
	if (!bms_is_member(attnum, tagged_columns(rel)))
		ereport(ERROR, (errcode(ERRORS_UNTAGGABLE),
						errmsg("column \"%s\" of table \"%s\" is not tagged",
							   name, RelationGetRelationName(rel)),
						errhint("Type: SELECT causaldb.set_consistency(%s, "
								"'eventual', ARRAY[%s]);",
								quote_literal_cstr(catalog_qualified_name(
									RelationGetRelid(rel))),
								quote_literal_cstr(name))));
	return attnum;
}

static bool
is_strong(const TagChange *c)
{
	return strcmp(c->level, "strong") == 0;
}

static Bitmapset *
strong_columns(Relation rel)
{
	CatalogRelation *r = catalog_relation_build(rel, CurrentMemoryContext);
	Bitmapset *out = NULL;

	for (int i = 0; r != NULL && i < r->ncolumns; i++)
		if (r->rules[i] == REP_RULE_STRONG)
			out = bms_add_member(out, r->attnums[i]);
	return out;
}

/*
 * Columns that are strong after the change. "All columns" made eventual is of
 * the strong ones only where the table itself is strong: what was said of a
 * column by its name stands until something else is said of it.
 */
static Bitmapset *
strong_after(Relation rel, const TagChange *c)
{
	Bitmapset *out = strong_columns(rel);
	ListCell *cell;

	if (c->columns == NIL && is_strong(c))
		return all_columns(rel);
	if (c->columns == NIL)
		return catalog_tag_read(RelationGetRelid(rel)).strong ? NULL : out;
	foreach (cell, c->columns)
		out = is_strong(c)
				  ? bms_add_member(out, need_column(rel, lfirst(cell)))
				  : bms_del_member(out, need_column(rel, lfirst(cell)));
	return out;
}

/* All that can be said against the change without making it. */
static void
check_change(Relation rel, const TagChange *c, const char *change)
{
	if (tag_document_ends_tag(c))
		return;
	if (strcmp(c->op, "set_consistency") == 0 ||
		strcmp(c->op, "fence") == 0 || strcmp(c->op, "settle") == 0)
	{
		if (c->level == NULL)
			tag_document_refuse(change, "The level is missing");
		check_level(c->level);
		finding_raise(tags_check_table(rel));
		if (is_strong(c))
			finding_raise(tags_strong_check(rel));
		finding_raise(tags_check_columns(rel, columns_after(rel, c->columns),
										 strong_after(rel, c)));
		finding_raise(tags_check_mixed(rel, strong_after(rel, c)));
	}
	else if (strcmp(c->op, "set_merge") == 0 ||
			 strcmp(c->op, "keep_merge") == 0)
	{
		if (c->column == NULL || c->rule == NULL)
			tag_document_refuse(change, "Column or rule is missing");
		check_rule_name(rel, c);
		check_options(rel, c);
		finding_raise(tags_check_rule(rel, check_tagged_column(rel, c->column),
									  c->rule));
		if (strcmp(c->op, "set_merge") == 0)
			finding_raise(tags_strong_check_rule(
				rel, get_attnum(RelationGetRelid(rel), c->column)));
	}
	else if (strcmp(c->op, "set_row_policy") == 0)
	{
		if (c->policy == NULL)
			tag_document_refuse(change, "The policy is missing");
		check_policy(rel, c->policy);
		check_tagged(rel);
	}
	else if (strcmp(c->op, "unfence") != 0)
		tag_document_refuse(change, "An unknown op");
}

/* --------------------------------------------------------------- apply */

/* Members are locked already. */
static void
each_member(Relation root, void (*act)(Relation member))
{
	List *members = tree_captured(root, NoLock);
	ListCell *cell;

	foreach (cell, members)
	{
		Relation member = table_open(lfirst_oid(cell), NoLock);

		act(member);
		table_close(member, NoLock);
	}
}

static void
install_on(Relation member)
{
	(void) install_triggers(member);
}

static void
remove_from(Relation member)
{
	(void) install_remove(member);
}

/* Who writes a partition alone has only that locked, and cached. */
static void
forget_cached(Relation member)
{
	CacheInvalidateRelcache(member);
}

static void
add_tag_column(Oid relid, AttrNumber attnum, const char *rule,
			   const char *options)
{
	Oid types[4] = { OIDOID, INT2OID, TEXTOID, TEXTOID };
	Datum values[4] = { ObjectIdGetDatum(relid), Int16GetDatum(attnum),
						CStringGetTextDatum(rule),
						CStringGetTextDatum(options) };

	(void) run("INSERT INTO causaldb.tag_column "
			   "(relid, attnum, level, rule, options) "
			   "VALUES ($1, $2, 'eventual', $3, $4::jsonb) "
			   "ON CONFLICT (relid, attnum) DO UPDATE "
			   "SET rule = EXCLUDED.rule, options = EXCLUDED.options",
			   4, types, values);
}

/*
 * Without a fence an eventual column may become strong, not the other way
 * round. How a strong column's writes merged stands there for when it is
 * eventual again.
 */
static void
set_tag_column(Oid relid, AttrNumber attnum, const char *level, bool settles)
{
	Oid types[4] = { OIDOID, INT2OID, TEXTOID, BOOLOID };
	Datum values[4] = { ObjectIdGetDatum(relid), Int16GetDatum(attnum),
						CStringGetTextDatum(level), BoolGetDatum(settles) };

	(void) run("INSERT INTO causaldb.tag_column AS c (relid, attnum, level) "
			   "VALUES ($1, $2, $3) ON CONFLICT (relid, attnum) DO UPDATE "
			   "SET level = EXCLUDED.level WHERE EXCLUDED.level = 'strong' "
			   "OR $4",
			   4, types, values);
}

/* The whole table has the level: what was said of its columns is past. */
static void
level_columns(Oid relid, const char *level)
{
	run_for(relid, strcmp(level, "strong") == 0
					   ? "UPDATE causaldb.tag_column SET level = 'strong' "
						 "WHERE relid = $1"
					   : "UPDATE causaldb.tag_column SET level = 'eventual' "
						 "WHERE relid = $1");
}

/* From here on strong entries may come: their player runs, whatever becomes of
 * this transaction. */
static void
use_strong(void)
{
	pg_atomic_write_u32(&shmem_node()->strong.used, 1);
	shmem_wake_supervisor();
}

/* `settles`: a fence is up, so strong columns may become eventual. */
static void
apply_set_consistency(Relation rel, const TagChange *c, bool settles)
{
	Oid relid = RelationGetRelid(rel);
	Oid types[5] = { OIDOID, BOOLOID, BOOLOID, TEXTOID, BOOLOID };
	Datum values[5];
	bool whole = c->columns == NIL;
	bool was_strong = catalog_tag_read(relid).strong;
	ListCell *cell;

	values[0] = ObjectIdGetDatum(relid);
	values[1] = BoolGetDatum(whole);
	values[2] = BoolGetDatum(!OidIsValid(compat_primary_key(rel)));
	/* what the table says is for columns of which nothing is said */
	values[3] = CStringGetTextDatum(whole ? c->level : "eventual");
	values[4] = BoolGetDatum(settles && whole);
	(void) run("INSERT INTO causaldb.tag (relid, level, whole, append_only) "
			   "VALUES ($1, $4, $2, $3) "
			   "ON CONFLICT (relid) DO UPDATE SET level = CASE "
			   "WHEN tag.level = 'strong' AND NOT $5 THEN 'strong' "
			   "ELSE EXCLUDED.level END, whole = EXCLUDED.whole "
			   "OR (tag.whole AND tag.level <> 'none'), "
			   "append_only = EXCLUDED.append_only",
			   5, types, values);
	if (whole && (is_strong(c) || (settles && was_strong)))
		level_columns(relid, c->level);
	foreach (cell, c->columns)
		set_tag_column(relid, need_column(rel, lfirst(cell)), c->level,
					   settles);
	each_member(rel, install_on);
	if (is_strong(c))
		use_strong();
}

/*
 * The row stays, as 'none': changes of other nodes that were on their way
 * when the tag went still have a table to go to.
 */
static void
apply_unset_consistency(Relation rel)
{
	Oid relid = RelationGetRelid(rel);

	run_for(relid, "UPDATE causaldb.tag SET level = 'none', "
				   "row_policy = 'update_wins' WHERE relid = $1");
	run_for(relid, "DELETE FROM causaldb.tag_column WHERE relid = $1");
	each_member(rel, remove_from);
}

/* From this transaction's commit on nobody writes the table here. */
static void
apply_fence(Relation rel, const TagChange *c)
{
	Oid types[4] = { OIDOID, BOOLOID, TEXTOID, TEXTARRAYOID };
	Datum values[4] = { ObjectIdGetDatum(RelationGetRelid(rel)),
						BoolGetDatum(!OidIsValid(compat_primary_key(rel))),
						CStringGetTextDatum(c->level),
						c->columns == NIL ? (Datum) 0
										  : tag_document_names(c->columns) };

	(void) run_with_nulls(
		"INSERT INTO causaldb.tag "
		"(relid, level, whole, append_only, becomes, becoming) "
		"VALUES ($1, 'none', false, $2, $3, $4) ON CONFLICT (relid) "
		"DO UPDATE SET becomes = EXCLUDED.becomes, "
		"becoming = EXCLUDED.becoming",
		4, types, values, c->columns == NIL ? "   n" : NULL);
	each_member(rel, install_on);
	use_strong();
}

static void
lift_fence(Relation rel)
{
	run_for(RelationGetRelid(rel),
			"UPDATE causaldb.tag SET becomes = NULL, becoming = NULL "
			"WHERE relid = $1");
}

static void
apply_unfence(Relation rel)
{
	lift_fence(rel);
	if (!is_tagged(RelationGetRelid(rel)))
		each_member(rel, remove_from);
}

static void
apply_row_policy(Relation rel, const TagChange *c)
{
	Oid types[2] = { OIDOID, TEXTOID };
	Datum values[2] = { ObjectIdGetDatum(RelationGetRelid(rel)),
						CStringGetTextDatum(c->policy) };

	(void) run("UPDATE causaldb.tag SET row_policy = $2 WHERE relid = $1", 2,
			   types, values);
}

static void
carry_out(Relation rel, const TagChange *c)
{
	if (strcmp(c->op, "set_consistency") == 0)
		apply_set_consistency(rel, c, false);
	else if (strcmp(c->op, "fence") == 0)
		apply_fence(rel, c);
	else if (strcmp(c->op, "settle") == 0)
	{
		if (tag_document_ends_tag(c))
			apply_unset_consistency(rel);
		else
			apply_set_consistency(rel, c, true);
		lift_fence(rel);
	}
	else if (strcmp(c->op, "unfence") == 0)
		apply_unfence(rel);
	else if (strcmp(c->op, "unset_consistency") == 0)
		apply_unset_consistency(rel);
	else if (strcmp(c->op, "set_merge") == 0 ||
			 strcmp(c->op, "keep_merge") == 0)
		add_tag_column(RelationGetRelid(rel), need_column(rel, c->column),
					   c->rule, c->options ? c->options : "{}");
	else
		apply_row_policy(rel, c);
	each_member(rel, forget_cached);
	CommandCounterIncrement();
}

/* Does it take the triggers off again? */
static bool
removes_triggers(const TagChange *c)
{
	Oid relid;

	if (strcmp(c->op, "unfence") != 0)
		return strcmp(c->op, "fence") != 0 && tag_document_ends_tag(c);
	relid = RangeVarGetRelid(makeRangeVar(c->schema, c->table, -1), NoLock,
							 true);
	return OidIsValid(relid) && !is_tagged(relid);
}

static Relation
open_named(const TagChange *c, LOCKMODE lock)
{
	RangeVar *name = makeRangeVar(c->schema, c->table, -1);
	Oid relid = RangeVarGetRelid(name, lock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s does not exist",
						quote_qualified_identifier(c->schema, c->table)),
				 errdetail("Its tag is to be changed here as on the other "
						   "nodes."),
				 errhint("Create it as it is there: type CREATE TABLE %s "
						 "(...);",
						 quote_qualified_identifier(c->schema, c->table))));
	return relation_open(relid, NoLock);
}

static Relation
open_target(const TagChange *c)
{
	/* as CREATE TRIGGER and DROP TRIGGER take */
	LOCKMODE lock =
		removes_triggers(c) ? AccessExclusiveLock : ShareRowExclusiveLock;
	Relation rel = open_named(c, lock);

	(void) tree_captured(rel, lock);
	return rel;
}

void
tags_apply(const char *change)
{
	TagChange c = tag_document_read(change);
	Relation rel = open_target(&c);
	CatalogRelation *tagged;

	check_change(rel, &c, change);
	carry_out(rel, &c);
	tagged = catalog_relation(RelationGetRelid(rel));
	if (tagged != NULL)
		catalog_store_descriptor(tagged);
	relation_close(rel, NoLock);
}

/* ------------------------------------------------------------- fences */

void
tags_check(const char *change)
{
	TagChange c = tag_document_read(change);
	Relation rel = open_named(&c, AccessShareLock);

	check_change(rel, &c, change);
	relation_close(rel, AccessShareLock);
}

bool
tags_needs_fence(const char *change)
{
	TagChange c = tag_document_read(change);
	CatalogTag tag;
	Relation rel;
	bool needs;

	if (strcmp(c.op, "set_consistency") != 0 && !tag_document_ends_tag(&c))
		return false;
	rel = open_named(&c, AccessShareLock);
	tag = catalog_tag_read(RelationGetRelid(rel));
	if (tag_document_ends_tag(&c))
		needs = tag.fenced || tag.strong || strong_columns(rel) != NULL;
	else
		needs = tag.fenced || (is_strong(&c) && !tag.active) ||
				(c.columns == NIL && is_strong(&c) != tag.strong) ||
				!bms_equal(strong_columns(rel),
						   bms_difference(strong_after(rel, &c),
										  tags_check_key(rel)));
	relation_close(rel, AccessShareLock);
	return needs;
}

List *
tags_fresh_columns(const char *change, Oid *relid)
{
	TagChange c = tag_document_read(change);
	Relation rel = open_named(&c, AccessShareLock);
	Bitmapset *key = tags_check_key(rel);
	Bitmapset *fresh = NULL;
	List *columns = NIL;
	int at = -1;

	*relid = RelationGetRelid(rel);
	if (!tag_document_ends_tag(&c))
		fresh = bms_difference(strong_after(rel, &c),
							   bms_union(tagged_columns(rel), key));
	if (!tag_document_ends_tag(&c) && is_strong(&c) && (!bms_is_empty(fresh) || !is_tagged(*relid)))
		fresh = bms_union(fresh, key);
	while ((at = bms_next_member(fresh, at)) >= 0)
		columns = lappend(columns,
						  makeString(get_attname(*relid, (AttrNumber) at,
												 false)));
	relation_close(rel, AccessShareLock);
	return columns;
}

bool
tags_fenced(const char *change)
{
	TagChange c = tag_document_read(change);
	Relation rel = open_named(&c, AccessShareLock);
	bool fenced = catalog_tag_read(RelationGetRelid(rel)).fenced;

	relation_close(rel, AccessShareLock);
	return fenced;
}

/* ----------------------------------------------------- what users call */

static void
check_rights(Relation rel)
{
	Oid admin = get_role_oid("causaldb_admin", true);

	if (superuser())
		return;
	if (!compat_owns_relation(RelationGetRelid(rel), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(rel));
	if (!OidIsValid(admin) || !has_privs_of_role(GetUserId(), admin))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to tag table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("Tagging needs the role causaldb_admin besides "
						   "the table's ownership."),
				 errhint("Have a superuser type: GRANT causaldb_admin TO %s;",
						 quote_identifier(
							 GetUserNameFromId(GetUserId(), false)))));
}

/* Opens, with no lock that an applier would have to wait for. */
static Relation
open_for_change(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);

	check_rights(rel);
	finding_raise(tags_check_node());
	return rel;
}

static void
propose(Relation rel, StringInfo document)
{
	TagChange c;

	appendStringInfoChar(document, '}');
	c = tag_document_read(document->data);
	if (c.level != NULL && is_strong(&c))
		finding_raise(tags_strong_check_cluster());
	check_change(rel, &c, document->data);
	relation_close(rel, AccessShareLock);
	if (tags_route != NULL && tags_route(document->data))
		return;
	tags_apply(document->data);
	capture_meta(META_TAG, document->data, (size_t) document->len);
}

static void
add_columns(StringInfo out, Relation rel, ArrayType *columns)
{
	List *names = NIL;
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(columns, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &values, &nulls, &n);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no columns given"),
				 errhint("Name columns, or type: %s", whole_statement(rel))));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("a column name is NULL")));
		names = lappend(names, NameStr(*DatumGetName(values[i])));
	}
	tag_document_add_columns(out, names);
}

static void
need_arguments(FunctionCallInfo fcinfo, int n)
{
	for (int i = 0; i < n; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument %d is NULL", i + 1)));
}

Datum
causaldb_set_consistency(PG_FUNCTION_ARGS)
{
	StringInfoData document;
	Relation rel;
	char *level;

	need_arguments(fcinfo, 2);
	level = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_level(level);
	rel = open_for_change(PG_GETARG_OID(0));
	tag_document_begin(&document, "set_consistency", rel);
	tag_document_add(&document, "level", level);
	if (PG_ARGISNULL(2))
		tag_document_add_columns(&document, NIL);
	else
		add_columns(&document, rel, PG_GETARG_ARRAYTYPE_P(2));
	finding_raise(tags_check_table(rel));
	if (!is_tagged(RelationGetRelid(rel)))
		finding_raise(tags_check_advice(rel));
	propose(rel, &document);
	finding_raise(tags_foreign_advice(PG_GETARG_OID(0)));
	PG_RETURN_VOID();
}

Datum
causaldb_unset_consistency(PG_FUNCTION_ARGS)
{
	StringInfoData document;
	Relation rel;

	need_arguments(fcinfo, 1);
	rel = open_for_change(PG_GETARG_OID(0));
	check_tagged(rel);
	tag_document_begin(&document, "unset_consistency", rel);
	propose(rel, &document);
	PG_RETURN_VOID();
}

Datum
causaldb_set_merge(PG_FUNCTION_ARGS)
{
	StringInfoData document;
	Relation rel;

	need_arguments(fcinfo, 4);
	rel = open_for_change(PG_GETARG_OID(0));
	tag_document_begin(&document, "set_merge", rel);
	tag_document_add(&document, "column", NameStr(*PG_GETARG_NAME(1)));
	tag_document_add(&document, "rule", text_to_cstring(PG_GETARG_TEXT_PP(2)));
	appendStringInfo(&document, ", \"options\": %s",
					 JsonbToCString(NULL, &PG_GETARG_JSONB_P(3)->root,
									VARSIZE(PG_GETARG_JSONB_P(3))));
	propose(rel, &document);
	PG_RETURN_VOID();
}

Datum
causaldb_set_row_policy(PG_FUNCTION_ARGS)
{
	StringInfoData document;
	Relation rel;

	need_arguments(fcinfo, 2);
	rel = open_for_change(PG_GETARG_OID(0));
	tag_document_begin(&document, "set_row_policy", rel);
	tag_document_add(&document, "policy", text_to_cstring(PG_GETARG_TEXT_PP(1)));
	propose(rel, &document);
	PG_RETURN_VOID();
}
