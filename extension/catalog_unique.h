/*
 * catalog_unique.h
 *		Unique indexes besides the key whose values the strong log orders.
 *
 * Such a value is a key of certification like a row: of two transactions that
 * insert it on two nodes one loses. That needs all columns of the index to be
 * written by strong transactions alone, so strong or of the primary key.
 */
#ifndef CAUSALDB_CATALOG_UNIQUE_H
#define CAUSALDB_CATALOG_UNIQUE_H

#include "postgres.h"

#include "nodes/bitmapset.h"
#include "utils/relcache.h"

#include "tuple.h"

typedef struct CatalogUnique
{
	TupleKey key;
	uint64 name_hash; /* of the table and the columns, on every node the same */
} CatalogUnique;

/*
 * Can the strong log order the values of the unique index? `strong` are
 * attribute numbers, the primary key's among them.
 */
extern bool catalog_unique_ordered(Relation rel, Relation index,
								   const Bitmapset *strong);
/* What CatalogUnique.name_hash is of an index of the table with that hash. */
extern uint64 catalog_unique_name_hash(Relation rel, Relation index,
									   uint64 table_hash);
/*
 * Those of a table whose n tagged columns have these rules; how many. In
 * `context`.
 */
extern int catalog_unique_list(Relation rel, uint64 table_hash,
							   const AttrNumber *attnums, const RepRule *rules,
							   int n, MemoryContext context,
							   CatalogUnique **out);

#endif
