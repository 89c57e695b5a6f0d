/*
 * queue.h
 *		Intervals that have come in and wait to be applied, by stream.
 *
 * Pure bookkeeping in the apply worker's memory: connects intervals, hands
 * out transactions in order, and can go back to where a group began.
 *
 * Invariants
 * 1. The intervals of a queue connect: the first begins at or below what is
 *	  applied, each next one at or below the end of the one before.
 * 2. Memory per stream is bounded by QUEUE_BYTES and one frame: what does not
 *	  fit is not taken, and the sender sends it again.
 */
#ifndef CAUSALDB_QUEUE_H
#define CAUSALDB_QUEUE_H

#include "incoming.h"
#include "wire.h"

#define QUEUE_BYTES (16 * 1024 * 1024)

typedef enum QueueItem
{
	QUEUE_EMPTY,
	QUEUE_TRANSACTION, /* *t is filled in */
	QUEUE_END /* an interval ends at *end; its mark is in *mark */
} QueueItem;

extern void queue_init(NodeShared *node);
/* Takes a checked frame of stream `slot`; false if it does not connect or fit. */
extern bool queue_put(int slot, const void *frame, size_t len);
/* What is next in the stream. Views live until queue_commit or queue_rewind. */
extern QueueItem queue_look(int slot, Incoming *t, uint64 *end, const RepMark **mark);
/* Goes past what queue_look showed; not for good until queue_commit. */
extern void queue_pass(int slot);
extern void queue_commit(int slot);
extern void queue_rewind(int slot);
/* Forgets all of the stream's intervals. */
extern void queue_drop(int slot);

#endif
