/*
 * pause.h
 *		Peers that this node has nothing to do with for a while.
 *
 * A row of causaldb.paused, of this node alone: its sender keeps no connection
 * to the peer, its receiving backends refuse the peer's, and take nothing of
 * the peer's streams from others either. What the peer has written is known to
 * be missing, so what has seen it waits (replicator/causal.h); nothing is lost,
 * since the peer's log and ours keep it.
 *
 * Invariants
 * 1. What shared memory says is what is committed in causaldb.paused, from
 *	  before this node takes frames until a moment after a change's commit.
 */
#ifndef CAUSALDB_PAUSE_H
#define CAUSALDB_PAUSE_H

#include "shmem.h"

/* Shows causaldb.paused in shared memory; a transaction of its own. */
extern void pause_load(NodeShared *node);

#endif
