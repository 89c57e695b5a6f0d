/*
 * recycle.h
 *		Slots of retired streams, for new ones.
 *
 * Every start of a node opens a stream, and a server may run through any
 * number of its peers' starts. What the workers remember of streams lies by
 * slot, so slots change hands only between two lives of both: the apply worker
 * that finds no slot ends itself, and the next one begins by freeing some,
 * while there is no sender. That is once in about two hundred starts.
 *
 * Invariants
 * 1. A slot is freed only if its stream is retired (streams.h, invariant 3).
 * 2. While NodeShared.recycling is set no sender and no player works.
 */
#ifndef CAUSALDB_RECYCLE_H
#define CAUSALDB_RECYCLE_H

#include "shmem.h"

/*
 * There is no room for a peer's stream. Ends this process, an apply worker, if
 * that helps; else says in the log, now and then, what would.
 */
extern void recycle_ask(NodeShared *node);
/* What the worker before has asked for, if it did; at an apply worker's start. */
extern void recycle_finish(NodeShared *node);

#endif
