/*
 * tree.c
 *		See tree.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "errors.h"
#include "tree.h"

Oid
tree_parent(Oid relid)
{
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tup;
	Oid parent = InvalidOid;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL,
							  1, &key);
	if (HeapTupleIsValid(tup = systable_getnext(scan)))
		parent = ((Form_pg_inherits) GETSTRUCT(tup))->inhparent;
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parent;
}

Oid
tree_root(Relation rel)
{
	Oid root = RelationGetRelid(rel);
	Oid parent = root;

	if (!rel->rd_rel->relispartition)
		return root;
	for (; OidIsValid(parent); parent = tree_parent(root))
		root = parent;
	return root;
}

Relation
tree_open_root(Oid relid, LOCKMODE lock)
{
	Relation rel = table_open(relid, lock);
	Oid root = tree_root(rel);

	if (root == relid)
		return rel;
	table_close(rel, NoLock);
	return table_open(root, lock);
}

bool
tree_is_partitioned(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
}

bool
tree_is_leaf(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION;
}

List *
tree_members(Relation root, LOCKMODE lock)
{
	if (!tree_is_partitioned(root))
		return list_make1_oid(RelationGetRelid(root));
	return find_all_inheritors(RelationGetRelid(root), lock, NULL);
}

List *
tree_captured(Relation root, LOCKMODE lock)
{
	List *out = list_make1_oid(RelationGetRelid(root));

	if (!tree_is_partitioned(root))
		return out;
	for (int i = 0; i < list_length(out); i++)
		out = list_concat(out, find_inheritance_children_extended(
								   list_nth_oid(out, i), false, lock, NULL,
								   NULL));
	return out;
}

AttrNumber
tree_attribute(Relation member, Relation root, AttrNumber attnum)
{
	if (RelationGetRelid(member) == RelationGetRelid(root))
		return attnum;
	return get_attnum(RelationGetRelid(member),
					  get_attname(RelationGetRelid(root), attnum, false));
}

static const char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

static void
pg_attribute_noreturn()
	refuse_leaving(Relation member, Relation root, AttrNumber attnum)
{
	Oid leaving = RelationGetRelid(member);

	while (!PartitionHasPendingDetach(leaving))
		leaving = tree_parent(leaving);
	ereport(ERROR,
			(errcode(ERRORS_UNTAGGABLE),
			 errmsg("cannot write table \"%s\", which is being detached",
					RelationGetRelationName(member)),
			 errdetail("Until that is done its rows are captured as rows of "
					   "\"%s\", but it has no such column \"%s\".",
					   RelationGetRelationName(root),
					   get_attname(RelationGetRelid(root), attnum, false)),
			 errhint("Type: ALTER TABLE %s DETACH PARTITION %s FINALIZE;",
					 qualified_name(tree_parent(leaving)),
					 qualified_name(leaving))));
}

AttrNumber
tree_written_attribute(Relation member, Relation root, AttrNumber attnum)
{
	AttrNumber here = tree_attribute(member, root, attnum);

	if (here == InvalidAttrNumber ||
		get_atttype(RelationGetRelid(member), here) !=
			get_atttype(RelationGetRelid(root), attnum))
		refuse_leaving(member, root, attnum);
	return here;
}
