/*
 * catalog_tag.h
 *		Rows of causaldb.tag and tag_column, as they stand now.
 *
 * For catalog.c, which caches what is made of them.
 */
#ifndef CAUSALDB_CATALOG_TAG_H
#define CAUSALDB_CATALOG_TAG_H

#include "postgres.h"

#include "utils/relcache.h"

#include "change.h"

typedef struct CatalogTag
{
	bool tagged; /* has a row at all */
	bool active; /* writes are captured */
	bool whole;
	bool append_only;
	bool strong; /* columns are, where nothing else is said of them */
	bool fenced; /* the tag is being changed: nobody writes; see tag_fence.h */
	RepRowPolicy policy;
} CatalogTag;

extern CatalogTag catalog_tag_read(Oid relid);
/* Rules by attribute number, palloc'd; 0 where a column has no row. */
extern RepRule *catalog_tag_rules(Relation target);
/* What decides a column, of what its tag says or, 0, the table's. */
extern RepRule catalog_tag_rule(RepRule own, bool in_key, bool strong);

/* Of schema and name, the same on every node. */
extern uint64 catalog_tag_name_hash(Relation rel);
extern uint64 catalog_tag_descriptor_hash(const RepDescriptor *d);

#endif
