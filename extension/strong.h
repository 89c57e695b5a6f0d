/*
 * strong.h
 *		Strong reads as a backend asks for them: how far must this node have
 *		applied the strong log before a statement may read, and waiting for it.
 *
 * For the read barrier:
 *
 *	if (strong_in_use())
 *		strong_wait_applied(strong_read_index(timeout), timeout);
 *	... then take a fresh snapshot
 *
 * strong_read_index asks the local consensus process; all readers that wait
 * on a node share one question to the leader, and all nodes' questions one
 * round of heartbeats. strong_applied() read before a snapshot is taken says
 * what that snapshot contains at least.
 *
 * Invariants
 * 1. The index that is returned is at least that of every strong write that
 *	  was acknowledged anywhere before the call.
 * 2. Everything here may be interrupted (CHECK_FOR_INTERRUPTS), holds no lock
 *	  while it waits and leaves nothing behind on ERROR.
 */
#ifndef CAUSALDB_STRONG_H
#define CAUSALDB_STRONG_H

#include "postgres.h"

#include "utils/timestamp.h"

/*
 * This database is a cluster's node and there is, or was, a strong column; or
 * nobody knows yet, since the server has just started. In a transaction.
 */
extern bool strong_in_use(void);
/* Entries up to here are visible to a snapshot taken from now on. */
extern uint64 strong_applied(void);
/*
 * The largest index at which a transaction of this session is committed that
 * the session could not commit itself, so was told 40003; 0: none.
 */
extern uint64 strong_owed(void);
extern void strong_owe(uint64 index);
/*
 * ERROR 57P03: no leader is known (at once), or no answer in timeout_ms, each
 * with a hint.
 */
extern uint64 strong_read_index(int timeout_ms);
/*
 * What an earlier answer still says: true if strong writes acknowledged up to
 * max_age_ms before `now` (wall_timer) have indexes up to *index. False if
 * max_age_ms is 0.
 */
extern bool strong_fresh_index(TimestampTz now, int max_age_ms, uint64 *index);
/* An answer to a question that was asked at that time. */
extern void strong_note_fresh(TimestampTz asked, uint64 index);
/*
 * Returns when entries up to `index` are visible to a new snapshot; ERROR 57P03
 * after timeout_ms, with a hint that says what they wait for.
 */
extern void strong_wait_applied(uint64 index, int timeout_ms);

#endif
