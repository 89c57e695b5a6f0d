/*
 * apply_row.h
 *		What one change of a peer's transaction does to the local table.
 */
#ifndef CAUSALDB_APPLY_ROW_H
#define CAUSALDB_APPLY_ROW_H

#include "catalog.h"
#include "incoming.h"

extern void apply_row_init(NodeShared *node);
/*
 * Carries out one INSERT, UPDATE, DELETE or TRUNCATE of t, merging it with
 * what this node has and t has not seen. Memory of CurrentMemoryContext; the
 * caller resets it after each change. `ordinal` counts t's changes.
 */
extern void apply_row_change(const Incoming *t, CatalogApply *a, RepChange *c, uint32 ordinal);

#endif
