/*
 * capture_keys.h
 *		The keys that the running transaction has written strongly.
 *
 * A key is a row of a table with a strong column, as a hash of the table's
 * name and the key index's own equality, the same on every node; its base is
 * how far the strong log was applied when the row was locked.
 *
 * Invariants
 * 1. Keys of a rolled-back subtransaction are not there.
 * 2. A base is read after the row was locked, so an entry at or below it that
 *	  wrote the row is in the version that was changed.
 */
#ifndef CAUSALDB_CAPTURE_KEYS_H
#define CAUSALDB_CAPTURE_KEYS_H

#include "postgres.h"

#include "executor/tuptable.h"

#include "catalog.h"
#include "certify.h"

/* rows one strong transaction may write */
#define CAPTURE_MAX_KEYS 60000

/* The row in `slot` of r was written strongly; ERROR 54000 for too many. */
extern void capture_keys_add(CatalogRelation *r, TupleTableSlot *slot);
/* Its values in unique indexes came or went (other NULL), or became those of
 * `other`. */
extern void capture_keys_add_uniques(CatalogRelation *r, TupleTableSlot *slot,
									 TupleTableSlot *other);
/* Hash of the row with that key (values in index order). */
extern uint64 capture_keys_hash(uint64 name_hash, TupleKey *key,
								const Datum *values);
/*
 * Key of the tag of the table with that name_hash (catalog.h): shared by whoever
 * writes the table in a strong transaction, exclusive to a change of the tag.
 */
extern uint64 capture_keys_tag(uint64 name_hash);
/* How many; 0: the transaction is not strong. */
extern uint32 capture_keys_count(void);
extern const RepKey *capture_keys(void);

/* Called at the events they are named after; level is the nest level. */
extern void capture_keys_sub_commit(int nest);
extern void capture_keys_sub_abort(int nest);
extern void capture_keys_reset(void);

#endif
