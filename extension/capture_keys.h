/*
 * capture_keys.h
 *		The keys that the running transaction has written strongly, and those
 *		that it refers to.
 *
 * A key is a row of a table with a strong column, as a hash of the table's
 * name and the key index's own equality, the same on every node; its base is
 * how far the strong log was applied when the row was locked.
 *
 * A row has a second key, its *existence*, exclusive to who deletes it or changes
 * its key, and shared by who inserts or updates a row that refers to it
 * by a foreign key: so these conflict with it alone, not with each other nor
 * with who updates the row. Where a foreign key refers to a unique constraint the
 * value's key is what is shared.
 *
 * Invariants
 * 1. Keys of a rolled-back subtransaction are not there.
 * 2. The base of an exclusive key is read after the row was locked, so an entry
 *	  at or below it that wrote the row is in the version that was changed.
 * 3. A shared key has base 0 here. It is given the index that is applied at the
 *	  commit, when the foreign key's check, deferred or not, has locked the row
 *	  that is referred to: no entry applied since then took that row away.
 */
#ifndef CAUSALDB_CAPTURE_KEYS_H
#define CAUSALDB_CAPTURE_KEYS_H

#include "postgres.h"

#include "executor/tuptable.h"

#include "catalog.h"
#include "catalog_foreign.h"
#include "certify.h"

/* rows one strong transaction may write */
#define CAPTURE_MAX_KEYS 60000

/* The row in `slot` of r was written strongly; ERROR 54000 for too many. */
extern void capture_keys_add(CatalogRelation *r, TupleTableSlot *slot);
/* Its values in unique indexes came or went (other NULL), or became those of
 * `other`. */
extern void capture_keys_add_uniques(CatalogRelation *r, TupleTableSlot *slot,
									 TupleTableSlot *other);
/* It was deleted, or its key changed: who refers to it must not be there. */
extern void capture_keys_add_gone(CatalogRelation *r, TupleTableSlot *slot);
/* It refers to other rows from now on, as `from` did not; NULL: it was inserted. */
extern void capture_keys_add_referred(CatalogRelation *r, TupleTableSlot *from,
									  TupleTableSlot *slot);
/* All rows of the table were truncated; it is locked. */
extern void capture_keys_add_table(CatalogRelation *r);
/* Hash of the row with that key (values in index order). */
extern uint64 capture_keys_hash(uint64 name_hash, TupleKey *key,
								const Datum *values);
/* Key of the existence of the row with that hash. */
extern uint64 capture_keys_existence(uint64 row_hash);
/* Key of what a row with these values of the foreign key's columns refers to. */
extern uint64 capture_keys_referred(CatalogForeign *f, const Datum *values);
/*
 * Key of the table as a whole, its tag and that it has rows at all, by its
 * name_hash (catalog.h): shared by whoever writes the table in a strong
 * transaction, exclusive to a change of the tag and to a strong TRUNCATE.
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
