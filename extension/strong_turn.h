/*
 * strong_turn.h
 *		How far this node has applied the strong log, and telling everybody who
 *		waits for that.
 *
 * Deps and tokens name entries that write something (`started`), not those
 * that only change who leads or belongs: nobody has seen anything of them,
 * and a node that does not reach the leader need not wait for them.
 */
#ifndef CAUSALDB_STRONG_TURN_H
#define CAUSALDB_STRONG_TURN_H

#include "shmem.h"

/* The next entry is about to commit here: deps may name it from now on. */
extern void strong_turn_starts(NodeShared *node, uint64 index);
/*
 * The entry at index is visible here, or writes nothing. False if it was not
 * the next one: nothing is done then.
 */
extern bool strong_turn_applied(NodeShared *node, uint64 index);
/* How far that is; the apply worker is woken when it has become more. */
extern uint64 strong_turn_await(NodeShared *node, int strong_slot);
/* Something eventual was applied: an entry, or a proposal, may have waited. */
extern void strong_turn_tell(NodeShared *node);
/* Wakes whose turn may have come: a backend of ours, and the player. */
extern void strong_turn_wake(NodeShared *node);

#endif
