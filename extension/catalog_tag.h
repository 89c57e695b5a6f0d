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
	RepRowPolicy policy;
} CatalogTag;

extern CatalogTag catalog_tag_read(Oid relid);
/* Rules by attribute number, palloc'd; 0 where a column has no row. */
extern RepRule *catalog_tag_rules(Relation target);

#endif
