/*
 * grave.h
 *		Last images of dead rows on which concurrent operations were merged.
 *
 * A row that is deleted by an operation that has seen everything needs none:
 * the log has its image. A grave is written when an operation is merged into
 * a row that stays dead, or dies of an operation that has not seen all.
 */
#ifndef CAUSALDB_GRAVE_H
#define CAUSALDB_GRAVE_H

#include "catalog.h"

/* values of a row by attribute number - 1 */
typedef struct RowImage
{
	int natts;
	Datum *values;
	bool *nulls;
	bool *present; /* the attribute has a value here */
} RowImage;

extern RowImage *grave_new_image(int natts);
/*
 * The grave of the row with this key, or NULL. *mark is our clock when it was
 * written. The caller holds the key's lock.
 */
extern RowImage *grave_find(CatalogRelation *rel, uint64 hash, const Datum *key, int natts, uint64 *mark);
/* Replaces the row's grave. */
extern void grave_put(CatalogRelation *rel, uint64 hash, const Datum *key, const RowImage *image, uint64 mark);
/* Removes the row's grave, if there is one. */
extern void grave_drop(CatalogRelation *rel, uint64 hash, const Datum *key);
/* Removes the graves of all rows of the table. */
extern void grave_drop_table(Oid relid);
/* Removes graves older than the mark; for what has become stable. */
extern void grave_forget(uint64 below);
/* At the worker's start. */
extern void grave_init(void);

#endif
