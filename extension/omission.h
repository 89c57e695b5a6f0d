/*
 * omission.h
 *		Ended streams that deps do not name any more.
 *
 * Every start of a node opens a stream, so deps would grow for ever. A stream
 * that has ended and is stable is retired: the node says so in its own stream
 * (META_RETIRE) and leaves it out of the deps of what follows. Whoever reads
 * those deps adds it again, for that stream and after that position only:
 * another node may still have transactions under way that have not seen it.
 *
 * Invariants
 * 1. A transaction leaves a stream out of its deps only if its node's
 *	  META_RETIRE of it has a smaller position.
 * 2. omission_add makes of the deps as written the deps as meant, once the
 *	  deps as written are applied here and omission_follow was called.
 */
#ifndef CAUSALDB_OMISSION_H
#define CAUSALDB_OMISSION_H

#include "shmem.h"
#include "store.h"

/* Reads causaldb.omission; in a transaction, at the start of the process that
 * applies (`apply`: it adds to them) or plays. */
extern void omission_load(NodeShared *node, bool apply);
/* Reads it again where it has changed since; in a transaction. */
extern void omission_follow(NodeShared *node);
/* The group that omission_apply was called in is committed, and `applied` does
 * not tell of it yet; or it is rolled back. */
extern void omission_end_group(NodeShared *node);
/* Retires what has ended and is stable, in a transaction of its own: our deps
 * leave a stream out once that has committed. */
extern void omission_retire(NodeShared *node);
/* A META_RETIRE of the stream in `slot`, at that position. */
extern void omission_apply(NodeShared *node, int slot, uint64 position, const void *body, size_t len);
/* Adds to dense deps what a transaction there has seen without naming it. */
extern void omission_add(int slot, uint64 position, uint64 *dense);
/* The deps of a logged transaction as meant: REP_MAX_STREAMS positions by slot,
 * in CurrentMemoryContext. */
extern uint64 *omission_dense(NodeShared *node, const StoreLogRow *row);

#endif
