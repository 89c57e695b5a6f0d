/*
 * strong_block.h
 *		Local transactions in the way of the strong log.
 *
 * The log goes on in order, so one row lock of a client that thinks can hold
 * up every strong write of the cluster. Looked after by the consensus process.
 *
 * There are three kinds of waits, and rings may go over all of them: for a lock,
 * which the server sees; of an entry for its deps, that is for the apply
 * worker; and for what comes earlier in the log, by a committed transaction for
 * its turn and by a reader that wants to see it.
 *
 * Invariants
 * 1. A transaction in its turn, or in its commit, is never disturbed.
 * 2. Whoever waits for his turn, or to read what the log has, and is waited for
 *	  in turn, would wait for ever. So he is not waited for: the one is made to
 *	  leave his entry to the player and gets 40003, the other is aborted.
 * 3. Any other one is aborted after causaldb.apply_lock_timeout, with 40001, and
 *	  where it is idle its session ended; a strong one that is not decided yet
 *	  asks to be aborted, so that its end is definite.
 */
#ifndef CAUSALDB_STRONG_BLOCK_H
#define CAUSALDB_STRONG_BLOCK_H

#include "shmem.h"

/* Call at every tick. */
extern void strong_block_look(NodeShared *node);

#endif
