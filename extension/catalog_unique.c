/*
 * catalog_unique.c
 *		See catalog_unique.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_index.h"
#include "utils/rel.h"

#include "catalog_unique.h"
#include "tree.h"

bool
catalog_unique_ordered(Relation rel, Relation index, const Bitmapset *strong)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || form->indisprimary || form->indisexclusion ||
		!form->indimmediate || form->indnullsnotdistinct ||
		tree_is_partitioned(rel) ||
		rel->rd_rel->relispartition ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL))
		return false;
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		if (!bms_is_member(form->indkey.values[i], strong))
			return false;
	return true;
}

uint64
catalog_unique_name_hash(Relation rel, Relation index, uint64 hash)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		Form_pg_attribute att =
			TupleDescAttr(RelationGetDescr(rel),
						  index->rd_index->indkey.values[i] - 1);

		hash = rep_hash64(NameStr(att->attname), strlen(NameStr(att->attname)),
						  hash + 1);
	}
	return hash;
}

int
catalog_unique_list(Relation rel, uint64 table_hash, const AttrNumber *attnums,
					const RepRule *rules, int ncolumns, MemoryContext context,
					CatalogUnique **out)
{
	List *indexes = RelationGetIndexList(rel);
	Bitmapset *key =
		RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	Bitmapset *columns = NULL;
	ListCell *cell;
	int at = -1;
	int n = 0;

	while ((at = bms_next_member(key, at)) >= 0)
		columns = bms_add_member(columns,
								 at + FirstLowInvalidHeapAttributeNumber);
	for (int i = 0; i < ncolumns; i++)
		if (rules[i] == REP_RULE_STRONG)
			columns = bms_add_member(columns, attnums[i]);
	*out = MemoryContextAllocZero(context, sizeof(CatalogUnique) *
											   (list_length(indexes) + 1));
	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		/* one that cannot be hashed was refused when the table was tagged */
		if (catalog_unique_ordered(rel, index, columns) &&
			tuple_key_init(&(*out)[n].key, index, context) == 0)
		{
			(*out)[n].name_hash = catalog_unique_name_hash(rel, index,
															table_hash);
			n++;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return n;
}
