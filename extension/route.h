/*
 * route.h
 *		Which partition does a row belong to?
 *
 * PostgreSQL's own routing answers a row without a partition with an error.
 * For a row that is to be found by its key that only means there is none.
 *
 * Invariants
 * 1. The root and all partitioned tables below that were passed stay open and
 *	  locked as writers lock them.
 * 2. Each answer is by the partitions as they are at the time.
 */
#ifndef CAUSALDB_ROUTE_H
#define CAUSALDB_ROUTE_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"

typedef struct Route Route;

/* For rows of the root, in memory of the estate; the root is open. */
extern Route *route_open(Relation root, EState *estate);
/*
 * The leaf for a row in the root's form, or InvalidOid. Columns that no table
 * is partitioned by need not be set. The leaf is not locked.
 */
extern Oid route_find(Route *route, TupleTableSlot *row);
/* Closes what it opened; locks stay. */
extern void route_close(Route *route);

#endif
