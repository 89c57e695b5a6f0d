/*
 * tree.c
 *		See tree.h.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "tree.h"

Oid
tree_root(Relation rel)
{
	List *ancestors;

	if (!rel->rd_rel->relispartition)
		return RelationGetRelid(rel);
	/* stops where a partition is being detached */
	ancestors = get_partition_ancestors(RelationGetRelid(rel));
	return ancestors == NIL ? RelationGetRelid(rel) : llast_oid(ancestors);
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

AttrNumber
tree_attribute(Relation member, Relation root, AttrNumber attnum)
{
	if (RelationGetRelid(member) == RelationGetRelid(root))
		return attnum;
	return get_attnum(RelationGetRelid(member),
					  get_attname(RelationGetRelid(root), attnum, false));
}
