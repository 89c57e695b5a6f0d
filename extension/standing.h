/*
 * standing.h
 *		A row as it stands in the running transaction, whatever its triggers
 *		have yet to be told.
 *
 * PostgreSQL fires the AFTER ROW triggers of a statement when the statement is
 * over, one row after the other. Another trigger, or a function that the
 * statement called, may by then have written the row again, in a statement
 * whose own triggers have fired first. The trigger of the earlier change comes
 * late, and sees values that do not stand any more.
 */
#ifndef CAUSALDB_STANDING_H
#define CAUSALDB_STANDING_H

#include "catalog.h"

/* This transaction has replaced or deleted the version, and that stands. */
extern bool standing_superseded(HeapTuple tup);
/*
 * The slot with the last version of the row in this transaction: the given
 * one but in rare cases, NULL if the row is deleted by now. A new slot lives
 * until the end of the trigger's memory; *fresh tells the caller to drop it.
 */
extern TupleTableSlot *standing_version(Relation rel, TupleTableSlot *slot,
										HeapTuple tup, bool *fresh);
/*
 * The version that stands under the key of `old`, a row that this transaction
 * has deleted, or moved to another key: a slot that the caller drops, or NULL
 * if there is none. Looks only if a command has come after `tup` was.
 */
extern TupleTableSlot *standing_again(CatalogRelation *r, Relation rel,
									  TupleTableSlot *old, HeapTuple tup);

#endif
