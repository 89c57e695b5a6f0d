/*
 * apply_truncate.h
 *		TRUNCATE, merged with what it has not seen.
 */
#ifndef CAUSALDB_APPLY_TRUNCATE_H
#define CAUSALDB_APPLY_TRUNCATE_H

#include "catalog.h"
#include "incoming.h"

/* As apply_row_change, for this kind of change. */
extern void apply_truncate(const Incoming *t, CatalogApply *a, RepChange *c, uint32 ordinal);

#endif
