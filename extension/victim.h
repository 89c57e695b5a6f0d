/*
 * victim.h
 *		What the client reads of a transaction that was aborted because it was
 *		in the way of the strong log.
 *
 * The server has one way to abort the transaction of another session, the one
 * by which a standby ends those that conflict with recovery, and words its
 * error so. Here the words are put right on their way out; SQLSTATE 40001 and
 * the level, FATAL where the session ends, stay. Where the server logs no
 * errors at all (log_min_messages above them) its own words go out.
 *
 * Invariants
 * 1. A transaction is marked before it is signalled, and once.
 * 2. The mark names one transaction of one process: of any other, before or
 *	  after, no error is touched.
 */
#ifndef CAUSALDB_VICTIM_H
#define CAUSALDB_VICTIM_H

#include "shmem.h"

/*
 * This transaction of the slot's process is about to be aborted for standing
 * in the way at that table (empty: not known). One process at a time may call.
 */
extern void victim_mark(BackendSlot *slot, LocalTransactionId lxid, const char *table);
/* Registers the hook; from _PG_init while preloading. */
extern void victim_init(void);

#endif
