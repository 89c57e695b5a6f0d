/*
 * tags_strong.c
 *		See tags_strong.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "errors.h"
#include "finding.h"
#include "identity.h"
#include "local.h"
#include "shmem.h"
#include "tags_check.h"
#include "tags_strong.h"

/* Of two voters both are needed. */
static void
advise_on_voters(List **all)
{
	RemoteRows *rows = local_query("SELECT pg_catalog.count(*) = 2 FROM causaldb.node "
								   "WHERE state <> 'dropped'",
								   0, NULL);

	if (strcmp(REMOTE_VALUE(rows, 0, 0), "t") != 0)
		return;
	finding_add(all, WARNING, 0, "cluster",
				"the cluster has two nodes, and strong columns need both",
				"What is strong needs a majority: while one of the two is "
				"down, strong columns are not written, and read only without "
				"that guarantee.",
				"Let a third node join; type there: SELECT "
				"causaldb.join_cluster(name, connection string, connection "
				"string of this node); with role => 'witness' it need not "
				"have the tables.");
}

static void
check_cluster(List **all)
{
	if (shmem_available() && identity_read().node != 0)
	{
		advise_on_voters(all);
		return;
	}
	finding_add(all, ERROR, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				"cluster", "strong columns need a cluster",
				"Their writes are ordered by a leader that its nodes elect.",
				"Put shared_preload_libraries = 'causaldb' into "
				"postgresql.conf, restart the server, then type: SELECT "
				"causaldb.create_cluster(name, connection string);");
}

/* An OID means another object on another node. */
static bool
is_object_alias(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGCOLLATIONOID:
			return true;
		default:
			return false;
	}
}

/* Is the hash of its values the same on every node? */
static bool
hashes_alike(Oid type)
{
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);

	if (OidIsValid(element))
		return hashes_alike(element);
	switch (get_typtype(base))
	{
		case TYPTYPE_ENUM:
		case TYPTYPE_COMPOSITE:
		case TYPTYPE_RANGE:
		case TYPTYPE_MULTIRANGE:
			return false;
		default:
			return !is_object_alias(base);
	}
}

static void
check_key(List **all, Relation rel)
{
	Bitmapset *key = tags_check_key(rel);
	int at = -1;

	if (key == NULL)
		finding_add(all, ERROR, ERRORS_UNTAGGABLE, "key",
					psprintf("table \"%s\" has no primary key",
							 RelationGetRelationName(rel)),
					"Strong writes are ordered by row, and without a key no "
					"node could tell which row is meant.",
					psprintf("Type: %s", catalog_key_statement(rel)));
	while ((at = bms_next_member(key, at)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), at - 1);

		if (hashes_alike(att->atttypid))
			continue;
		finding_add(all, ERROR, ERRORS_UNTAGGABLE, "key",
					psprintf("key column \"%s\" of table \"%s\" is of type %s",
							 NameStr(att->attname),
							 RelationGetRelationName(rel),
							 format_type_be(att->atttypid)),
					"Its values have other hashes on other nodes, so that two "
					"writes of one row could not be told to meet.",
					psprintf("Use a key of a type like text; type on every "
							 "node: ALTER TABLE %s ALTER COLUMN %s TYPE text;",
							 catalog_qualified_name(RelationGetRelid(rel)),
							 quote_identifier(NameStr(att->attname))));
	}
}

List *
tags_strong_check(Relation rel)
{
	List *all = NIL;

	check_key(&all, rel);
	return all;
}

List *
tags_strong_check_cluster(void)
{
	List *all = NIL;

	check_cluster(&all);
	return all;
}

List *
tags_strong_check_rule(Relation rel, AttrNumber attnum)
{
	CatalogRelation *r = catalog_relation_build(rel, CurrentMemoryContext);
	List *all = NIL;

	for (int i = 0; r != NULL && i < r->ncolumns; i++)
		if (r->rules[i] == REP_RULE_STRONG && r->attnums[i] == attnum)
			finding_add(&all, ERROR, ERRORS_UNTAGGABLE, "level",
						psprintf("column \"%s\" of table \"%s\" is strong",
								 get_attname(RelationGetRelid(rel), attnum,
											 false),
								 RelationGetRelationName(rel)),
						"Its writes are ordered, so there is nothing to "
						"merge.",
						"Set rules of eventual columns only.");
	return all;
}
