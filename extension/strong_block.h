/*
 * strong_block.h
 *		Local transactions in the way of the strong log.
 *
 * The log goes on in order, so one row lock of a client that thinks can hold
 * up every strong write of the cluster. Looked after by the consensus process.
 *
 * Invariants
 * 1. A transaction in its turn, or in its commit, is never disturbed.
 * 2. One that has a verdict but not its turn is made to leave its entry to the
 *	  player; any other one is aborted, with 40001, and where it is idle its
 *	  session ended.
 */
#ifndef CAUSALDB_STRONG_BLOCK_H
#define CAUSALDB_STRONG_BLOCK_H

#include "shmem.h"

/* Call at every tick. */
extern void strong_block_look(NodeShared *node);

#endif
