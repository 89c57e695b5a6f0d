/*
 * truncates.h
 *		TRUNCATEs that may still undo something.
 *
 * Whether a TRUNCATE undoes an operation follows from three: the TRUNCATE, the
 * operation, and the INSERTs of its row (unseen.c). They become stable one
 * after the other, and the first to be stable is needed until the last is:
 * an operation that is not stable may be concurrent with a TRUNCATE that is.
 * So a TRUNCATE is remembered here, and as long as it is, what it has not seen
 * is not forgotten either.
 *
 * Not for the TRUNCATE of the transaction that is being applied; that is
 * unseen.c's.
 *
 * Invariants
 * 1. A TRUNCATE that was added is remembered until every operation of which it
 *	  is not known to have seen it is stable, or a later TRUNCATE of the same
 *	  table has seen it: whatever the earlier undoes the later undoes as well.
 * 2. truncates_floor never passes an operation that a remembered TRUNCATE has
 *	  not seen.
 */
#ifndef CAUSALDB_TRUNCATES_H
#define CAUSALDB_TRUNCATES_H

#include "nodes/pg_list.h"

#include "merge.h"
#include "shmem.h"
#include "store.h"

extern void truncates_init(NodeShared *node);
/*
 * Puts a row into causaldb.log_key that names the transaction, of the stream with
 * that number in our tables, as one with a TRUNCATE. So it is known again after a
 * restart, and to the other process that merges: who commits it moves
 * NodeShared.truncates when it is visible, before it counts as applied.
 */
extern void truncates_keep(int32 stream, uint64 position);
/* One that the log has; deps by slot, REP_MAX_STREAMS of them, are copied. */
extern void truncates_add(Oid relid, int slot, const StoreLogRow *row, uint32 ordinal,
						  const uint64 *deps);
extern bool truncates_any(void);
/* Of one table, as RepOp *; the list is the caller's, its items are not. */
extern List *truncates_of(Oid relid);
/* How far the stream in this slot may be forgotten, given what is stable. */
extern uint64 truncates_floor(int slot);
/* All that was added is committed: drops what a later one has seen. */
extern void truncates_committed(void);
/* What the log has not any more, beyond what is applied. */
extern void truncates_rolled_back(void);
/* Forgets those that nothing unstable can be concurrent with. */
extern void truncates_settle(void);

#endif
