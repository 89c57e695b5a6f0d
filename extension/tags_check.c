/*
 * tags_check.c
 *		What cannot be tagged, and why.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
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
#include "catalog_tag.h"
#include "catalog_unique.h"
#include "compat.h"
#include "errors.h"
#include "finding.h"
#include "identity.h"
#include "store.h"
#include "tags_check.h"
#include "tree.h"

/* what is said of a table while it is looked at */
typedef struct Checked
{
	Relation root; /* the table that is to be tagged */
	List *found;   /* Finding */
} Checked;

#define REFUSE(c, aspect, says, detail, hint)                                  \
	finding_add(&(c)->found, ERROR, ERRORS_UNTAGGABLE, aspect, says, detail,   \
				hint)

static char *
qualified_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name_or_temp(
										  RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static char *
cannot(Relation rel, const char *why)
{
	return psprintf("cannot tag table \"%s\": %s", RelationGetRelationName(rel),
					why);
}

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

/* CREATE TABLE with the columns of something that cannot be tagged. */
static char *
like_statement(Relation rel, const char *schema)
{
	return psprintf("CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS);",
					quote_qualified_identifier(
						schema,
						psprintf("%s_copy", RelationGetRelationName(rel))),
					qualified_name(rel));
}

static char *
schema_of(Relation rel)
{
	return get_namespace_name(RelationGetNamespace(rel));
}

static void
check_kind(Checked *c, Relation rel)
{
	if (tree_is_partitioned(rel) || tree_is_leaf(rel))
		return;
	finding_add(&c->found, ERROR, ERRCODE_WRONG_OBJECT_TYPE, "kind",
				psprintf("cannot tag \"%s\": it is %s",
						 RelationGetRelationName(rel), kind_name(rel)),
				"Only writes of ordinary and partitioned tables are captured.",
				rel->rd_rel->relkind == RELKIND_SEQUENCE
					? "Numbers that no two nodes give come from another "
					  "function; type: SELECT causaldb.next_id();"
					: psprintf("Keep its rows in a table and tag that; type: "
							   "%s",
							   like_statement(rel, schema_of(rel))));
}

static void
check_persistence(Checked *c, Relation rel)
{
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		REFUSE(c, "persistence", cannot(rel, "it is temporary"),
			   "Other nodes have no such table, and it ends with the session.",
			   psprintf("Type: %s", like_statement(rel, "public")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		REFUSE(c, "persistence", cannot(rel, "it is unlogged"),
			   "A crash would empty it here and nowhere else.",
			   psprintf("Type: ALTER TABLE %s SET LOGGED;",
						qualified_name(rel)));
	if (RelationGetRelid(rel) < FirstNormalObjectId || IsCatalogRelation(rel) ||
		RelationGetNamespace(rel) == store_schema())
		REFUSE(c, "persistence", cannot(rel, "it is a system table"),
			   "What it holds belongs to this node alone.",
			   psprintf("Tag a table of your own; type: %s",
						like_statement(rel, "public")));
}

/*
 * A parent's statements would write rows of its children, which are other
 * tables to other nodes.
 */
static void
check_inheritance(Checked *c, Relation rel)
{
	Oid child = RelationGetRelid(rel);
	Oid parent = tree_parent(child);

	if (!OidIsValid(parent))
	{
		List *children = find_inheritance_children(child, NoLock);

		if (children == NIL)
			return;
		parent = child;
		child = linitial_oid(children);
	}
	finding_add(&c->found, ERROR, ERRORS_NOT_YET, "inheritance",
				cannot(rel, "it takes part in inheritance"),
				"A statement on the parent writes rows of its children, and "
				"other nodes know each of them as another table.",
				psprintf("Make them partitions, or type: ALTER TABLE %s NO "
						 "INHERIT %s;",
						 catalog_qualified_name(child),
						 catalog_qualified_name(parent)));
}

static void
check_partition(Checked *c, Relation rel)
{
	Oid root = tree_root(rel);

	if (root == RelationGetRelid(rel))
		return;
	REFUSE(c, "partitions", cannot(rel, "it is a partition"),
		   "Other nodes may be partitioned otherwise; they know rows by the "
		   "partitioned table.",
		   psprintf("Type: SELECT causaldb.set_consistency(%s, 'eventual');",
					quote_literal_cstr(catalog_qualified_name(root))));
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

/* "a, b": the key's columns */
static char *
key_columns(Relation rel, Relation index)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		appendStringInfo(&out, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(
							 get_attname(RelationGetRelid(rel),
										 index->rd_index->indkey.values[i],
										 false)));
	return out.data;
}

static void
check_key_index(Checked *c, Relation rel, Relation index)
{
	TupleKey key;
	int bad;

	char *again = psprintf("Type: ALTER TABLE %s DROP CONSTRAINT %s, ADD "
						   "PRIMARY KEY (%s);",
						   qualified_name(rel),
						   quote_identifier(RelationGetRelationName(index)),
						   key_columns(rel, index));

	if (!index->rd_index->indimmediate)
		REFUSE(c, "key", cannot(rel, "its primary key is deferrable"),
			   "A row could be there twice until commit, and no node could "
			   "tell which is meant.",
			   again);
	else if (!OidIsValid(compat_primary_key(rel)))
		/* made by ALTER TABLE ONLY */
		REFUSE(c, "key", cannot(rel, "its primary key is not valid"),
			   "Some partition lacks it, and rows are told apart by it on "
			   "every node.",
			   again);
	bad = tuple_key_init(&key, index, CurrentMemoryContext);
	if (bad > 0)
	{
		Form_pg_attribute att =
			TupleDescAttr(RelationGetDescr(rel),
						  index->rd_index->indkey.values[bad - 1] - 1);

		REFUSE(c, "key", cannot(rel, "its key cannot be hashed"),
			   psprintf("Column \"%s\" of the primary key is of type %s, which "
						"has no extended hash function for the key's equality.",
						NameStr(att->attname), format_type_be(att->atttypid)),
			   psprintf("Type: ALTER TABLE %s ALTER COLUMN %s TYPE text;",
						qualified_name(rel),
						quote_identifier(NameStr(att->attname))));
	}
}

static void
check_primary_key(Checked *c, Relation rel)
{
	Oid oid = any_primary_key(rel);
	Relation index;

	if (!OidIsValid(oid))
		return;
	index = index_open(oid, AccessShareLock);
	check_key_index(c, rel, index);
	index_close(index, AccessShareLock);
}

/* A table that is tagged by itself cannot be part of another one. */
static void
check_own_tag(Checked *c, Relation member)
{
	if (!catalog_tag_read(RelationGetRelid(member)).active)
		return;
	REFUSE(c, "partitions",
		   cannot(c->root, psprintf("partition \"%s\" is tagged by itself",
									RelationGetRelationName(member))),
		   "Its rows would be rows of two tables to other nodes.",
		   psprintf("Make it a table of its own, then type: SELECT "
					"causaldb.unset_consistency(%s);",
					quote_literal_cstr(qualified_name(member))));
}

static void
check_members(Checked *c)
{
	List *members = tree_members(c->root, AccessShareLock);
	ListCell *cell;

	for_each_from(cell, members, 1)
	{
		Relation member = relation_open(lfirst_oid(cell), AccessShareLock);

		check_kind(c, member);
		check_persistence(c, member);
		check_own_tag(c, member);
		relation_close(member, AccessShareLock);
	}
}

List *
tags_check_node(void)
{
	List *all = NIL;

	if (identity_read().witness)
		finding_add(&all, ERROR, ERRORS_UNTAGGABLE, "cluster",
					"this node is a witness and has no tagged tables",
					"It keeps the logs of the cluster; what they write, others "
					"apply.",
					"Connect to a node with tables and type it there: SELECT name "
					"FROM causaldb.nodes WHERE role = 'member';");
	return all;
}

List *
tags_check_table(Relation rel)
{
	Checked c = { .root = rel };

	check_persistence(&c, rel);
	check_kind(&c, rel);
	if (!tree_is_partitioned(rel) && !tree_is_leaf(rel))
		return c.found;
	if (rel->rd_rel->relispartition)
		check_partition(&c, rel);
	else if (tree_is_partitioned(rel))
		check_members(&c);
	else
		check_inheritance(&c, rel);
	check_primary_key(&c, rel);
	return c.found;
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
check_unique_index(Checked *c, Relation rel, Relation index,
				   const Bitmapset *tagged, const Bitmapset *key,
				   const Bitmapset *strong)
{
	Form_pg_index form = index->rd_index;
	Oid constraint = get_index_constraint(RelationGetRelid(index));
	const char *index_name = RelationGetRelationName(index);
	Bitmapset *columns;
	AttrNumber column;

	if (form->indisprimary || (!form->indisunique && !form->indisexclusion))
		return;
	if (index->rd_rel->relispartition)
		return; /* said of the partitioned table's */
	if (form->indisunique && contains_key(index, key))
		return;
	columns = bms_intersect(index_attributes(index), bms_union(tagged, key));
	if (bms_is_empty(columns))
		return;
	/* the strong log orders its values: one of two writers loses */
	if (!bms_is_empty(strong) &&
		catalog_unique_ordered(rel, index, bms_union(strong, key)))
		return;
	column = (AttrNumber) bms_next_member(columns, -1);
	REFUSE(c, "constraint",
		   cannot(rel, psprintf("column \"%s\" is in %s \"%s\"",
								get_attname(RelationGetRelid(rel), column,
											false),
								form->indisexclusion ? "exclusion constraint"
								: OidIsValid(constraint) ? "unique constraint"
														 : "unique index",
								index_name)),
		   "Two nodes could each write a row that the other forbids, and both "
		   "have committed.",
		   OidIsValid(constraint)
			   ? psprintf("Type: ALTER TABLE %s DROP CONSTRAINT %s;",
						  qualified_name(rel),
						  quote_identifier(get_constraint_name(constraint)))
			   : psprintf("Type: DROP INDEX %s;", qualified_name(index)));
}

static void
check_unique_indexes(Checked *c, Relation rel, const Bitmapset *tagged,
					 const Bitmapset *key, const Bitmapset *strong)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		check_unique_index(c, rel, index, tagged, key, strong);
		index_close(index, AccessShareLock);
	}
}

/*
 * A peer inserts rows without the untagged columns: they need a default,
 * that of the root, through which it inserts.
 */
static void
check_untagged_columns(Checked *c, Relation rel, const Bitmapset *travels)
{
	TupleDesc desc = RelationGetDescr(rel);
	TupleDesc root_desc = RelationGetDescr(c->root);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *column = quote_identifier(NameStr(att->attname));
		Form_pg_attribute root;

		if (att->attisdropped || !att->attnotnull ||
			bms_is_member(att->attnum, travels))
			continue;
		root =
			TupleDescAttr(root_desc,
						  tree_attribute(c->root, rel, att->attnum) - 1);
		if (root->atthasdef || root->attidentity != '\0' ||
			att->attgenerated != '\0')
			continue;
		REFUSE(c, "default",
			   cannot(rel, psprintf("untagged column \"%s\" is NOT NULL and "
									"has no default",
									NameStr(att->attname))),
			   "Other nodes insert rows without a value for it.",
			   psprintf("Tag the column too, or give it a default, or type: "
						"ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL;",
						qualified_name(rel), column));
	}
}

/* The expression that the generated column is computed by. */
static const char *
generated_by(Relation rel, AttrNumber attnum)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
		if (constr->defval[i].adnum == attnum)
			return constr->defval[i].adbin;
	return NULL;
}

/* Columns that the expression reads; for generated ones, those they read. */
static Bitmapset *
columns_read(Relation rel, const char *expression)
{
	TupleDesc desc = RelationGetDescr(rel);
	Bitmapset *offset = NULL;
	Bitmapset *out = NULL;
	bool whole_row;

	pull_varattnos(stringToNode(expression), 1, &offset);
	whole_row =
		bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, offset);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped ||
			!(whole_row ||
			  bms_is_member(att->attnum - FirstLowInvalidHeapAttributeNumber,
							offset)))
			continue;
		if (att->attgenerated != '\0')
			out = bms_add_members(
				out, columns_read(rel, generated_by(rel, att->attnum)));
		else
			out = bms_add_member(out, att->attnum);
	}
	return out;
}

/*
 * What is computed from strong and other columns together may fail on a node
 * where the others differ, and an entry of the strong log must fail nowhere.
 */
static void
check_mixed(Checked *c, Relation rel, const char *expression,
			const Bitmapset *strong, const Bitmapset *key, char *says,
			char *hint)
{
	Bitmapset *columns = columns_read(rel, expression);
	Bitmapset *of_strong =
		bms_difference(bms_intersect(columns, strong), key);
	Bitmapset *others = bms_difference(columns, bms_union(strong, key));

	if (bms_is_empty(of_strong) || bms_is_empty(others))
		return;
	REFUSE(c, "constraint", cannot(rel, says),
		   psprintf("Column \"%s\" is strong and column \"%s\" is not: a "
					"write that is in the strong log could fail on a node "
					"where the latter has another value.",
					get_attname(RelationGetRelid(rel),
								(AttrNumber) bms_next_member(of_strong, -1),
								false),
					get_attname(RelationGetRelid(rel),
								(AttrNumber) bms_next_member(others, -1),
								false)),
		   hint);
}

static void
check_mixtures(Checked *c, Relation rel, const Bitmapset *strong,
			   const Bitmapset *key)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	if (constr == NULL)
		return;
	for (int i = 0; i < constr->num_check; i++)
		check_mixed(c, rel, constr->check[i].ccbin, strong, key,
					psprintf("check constraint \"%s\" reads strong columns "
							 "and others",
							 constr->check[i].ccname),
					psprintf("Make all of them strong, or type: ALTER TABLE %s "
							 "DROP CONSTRAINT %s;",
							 qualified_name(rel),
							 quote_identifier(constr->check[i].ccname)));
	for (int i = 0; i < constr->num_defval; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  constr->defval[i].adnum - 1);

		if (att->attgenerated == '\0')
			continue;
		check_mixed(c, rel, constr->defval[i].adbin, strong, key,
					psprintf("generated column \"%s\" reads strong columns "
							 "and others",
							 NameStr(att->attname)),
					psprintf("Make all of them strong, or type: ALTER TABLE %s "
							 "ALTER COLUMN %s DROP EXPRESSION;",
							 qualified_name(rel),
							 quote_identifier(NameStr(att->attname))));
	}
}

/* The root's columns as the member numbers them. */
static Bitmapset *
member_columns(Relation member, Relation root, const Bitmapset *columns)
{
	Bitmapset *out = NULL;
	int attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		out = bms_add_member(out, tree_attribute(member, root,
												 (AttrNumber) attnum));
	return out;
}

List *
tags_check_columns(Relation rel, const Bitmapset *tagged,
				   const Bitmapset *strong)
{
	Checked c = { .root = rel };
	Bitmapset *key = tags_check_key(rel);
	List *members = tree_members(rel, AccessShareLock);
	ListCell *cell;

	foreach (cell, members)
	{
		Relation member = table_open(lfirst_oid(cell), AccessShareLock);
		Bitmapset *here = member_columns(member, rel, tagged);
		Bitmapset *key_here = member_columns(member, rel, key);

		check_unique_indexes(&c, member, here, key_here,
							 member_columns(member, rel, strong));
		check_untagged_columns(&c, member, bms_union(here, key_here));
		table_close(member, AccessShareLock);
	}
	return c.found;
}

List *
tags_check_mixed(Relation rel, const Bitmapset *strong)
{
	Checked c = { .root = rel };
	Bitmapset *key = tags_check_key(rel);
	List *members =
		bms_is_empty(strong) ? NIL : tree_members(rel, AccessShareLock);
	ListCell *cell;

	foreach (cell, members)
	{
		Relation member = table_open(lfirst_oid(cell), AccessShareLock);

		check_mixtures(&c, member, member_columns(member, rel, strong),
					   member_columns(member, rel, key));
		table_close(member, AccessShareLock);
	}
	return c.found;
}

static char *
not_a_counter(Relation rel, Form_pg_attribute att)
{
	return psprintf("column \"%s\" of table \"%s\" cannot be a counter",
					NameStr(att->attname), RelationGetRelationName(rel));
}

List *
tags_check_rule(Relation rel, AttrNumber attnum, const char *rule)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Checked c = { .root = rel };

	if (strcmp(rule, "counter") != 0)
		return NIL;
	if (bms_is_member(attnum, tags_check_key(rel)))
		REFUSE(&c, "merge", not_a_counter(rel, att),
			   "It is in the primary key, which never merges.",
			   psprintf("Name another column, or type: SELECT "
						"causaldb.set_merge(%s, %s, 'last_write');",
						quote_literal_cstr(qualified_name(rel)),
						quote_literal_cstr(NameStr(att->attname))));
	else if (att->atttypid != INT2OID && att->atttypid != INT4OID &&
			 att->atttypid != INT8OID && att->atttypid != NUMERICOID)
		REFUSE(&c, "merge", not_a_counter(rel, att),
			   psprintf("A counter is smallint, integer, bigint or numeric; the "
						"column is %s.",
						format_type_be(att->atttypid)),
			   psprintf("Type: ALTER TABLE %s ALTER COLUMN %s TYPE bigint USING "
						"%s::text::bigint;",
						qualified_name(rel),
						quote_identifier(NameStr(att->attname)),
						quote_identifier(NameStr(att->attname))));
	return c.found;
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
advise_on_checks(Checked *c, const Bitmapset *key)
{
	Relation rel = c->root;
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		Bitmapset *columns = NULL;
		int attnum = -1;

		pull_varattnos(stringToNode(constr->check[i].ccbin), 1, &columns);
		while ((attnum = bms_next_member(key, attnum)) >= 0)
			columns = bms_del_member(
				columns, attnum - FirstLowInvalidHeapAttributeNumber);
		if (bms_num_members(columns) < 2)
			continue;
		finding_add(&c->found, WARNING, 0, "constraint",
					psprintf("check constraint \"%s\" of table \"%s\" reads "
							 "several columns that merge one by one",
							 constr->check[i].ccname,
							 RelationGetRelationName(rel)),
					"Concurrent writes may merge into a row that violates it; "
					"other nodes then stall until the row is written again or "
					"the constraint is dropped.",
					psprintf("Keep what belongs together in one column, or "
							 "type: ALTER TABLE %s DROP CONSTRAINT %s;",
							 qualified_name(rel),
							 quote_identifier(constr->check[i].ccname)));
	}
}

static void
advise_on_key_default(Checked *c, AttrNumber attnum)
{
	Relation rel = c->root;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	char *name = NameStr(att->attname);
	char *widen = "";

	if (!calls_nextval(build_column_default(rel, attnum), NULL))
		return;
	if (att->atttypid != INT8OID)
		widen = psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE bigint; ",
						 qualified_name(rel), quote_identifier(name));
	finding_add(&c->found, WARNING, 0, "sequence",
				psprintf("the key of table \"%s\" comes from a sequence",
						 RelationGetRelationName(rel)),
				"Every node counts for itself, so two nodes can give one key "
				"to two rows, which then merge into one.",
				psprintf("Type on every node: %sSELECT "
						 "causaldb.use_node_ids(%s, %s);",
						 widen, quote_literal_cstr(qualified_name(rel)),
						 quote_literal_cstr(name)));
}

List *
tags_check_advice(Relation rel)
{
	Checked c = { .root = rel };
	Bitmapset *key = tags_check_key(rel);
	int attnum = -1;

	if (bms_is_empty(key))
		finding_add(&c.found, NOTICE, 0, "key",
					psprintf("table \"%s\" has no primary key: it is "
							 "append-only from now on",
							 RelationGetRelationName(rel)),
					"INSERT and TRUNCATE replicate; UPDATE and DELETE are "
					"refused.",
					psprintf("To write its rows again, name the columns that "
							 "tell them apart; type: %s",
							 catalog_key_statement(rel)));
	advise_on_checks(&c, key);
	while ((attnum = bms_next_member(key, attnum)) >= 0)
		advise_on_key_default(&c, (AttrNumber) attnum);
	return c.found;
}
