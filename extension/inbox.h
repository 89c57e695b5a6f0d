/*
 * inbox.h
 *		Frames on their way from receiving backends to the apply worker.
 *
 * Each receiving backend has a queue of its own (shm_mq in a DSM segment) to
 * the apply worker, so that a full queue slows only its peer down.
 *
 * Invariants
 * 1. A frame is handed over whole and in order, or the sender is told.
 * 2. What is in a queue is not durable: a peer forgets a frame only when the
 *	  position it leads to has been answered as applied.
 */
#ifndef CAUSALDB_INBOX_H
#define CAUSALDB_INBOX_H

#include "shmem.h"

/*
 * Receiving backend: hands a frame to the apply worker; waits while the queue
 * is full. ERROR 57P03 if the worker is not there or goes away.
 */
extern void inbox_send(NodeShared *node, const void *frame, size_t len);

/* Apply worker: called once at its start; forgets old queues. */
extern void inbox_open(NodeShared *node);
/*
 * Apply worker: the next frame of any queue, or NULL if all are empty. The
 * bytes live until the next call.
 */
extern const void *inbox_next(NodeShared *node, size_t *len);

#endif
