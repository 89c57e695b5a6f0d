/*
 * logged.h
 *		Row changes as they stand in payloads of causaldb.log and log_chunk.
 *
 * For those who look back into the log; not for applying (apply_transaction.c)
 * nor for showing it (history.c).
 *
 * Invariants
 * 1. A change handed out is a view: of the payload, and of scratch arrays that
 *	  the next change uses again.
 */
#ifndef CAUSALDB_LOGGED_H
#define CAUSALDB_LOGGED_H

#include "catalog.h"
#include "store.h"

/* Called for one change; ordinals count from 1. False: no more of them. */
typedef bool (*LoggedVisit)(CatalogApply *a, RepChange *c, uint32 ordinal, void *arg);

/*
 * Calls visit for each INSERT, UPDATE, DELETE and TRUNCATE of the payload whose
 * table is here and can be written as it says. ERROR ERRORS_MALFORMED if the payload cannot be read.
 */
extern void logged_each_change(const uint8 *payload, size_t len, LoggedVisit visit, void *arg);
/* The key's datums in index order, of a change whose table has a key. */
extern void logged_key(CatalogApply *a, const RepChange *c, Datum *key);
/* The change is an update that only adds to counters. */
extern bool logged_only_adds(const CatalogApply *a, const RepChange *c);
/* The transaction's changes are in chunks. */
extern bool logged_is_chunked(const StoreLogRow *row);

#endif
