/*
 * inbox.h
 *		Frames on their way from receiving backends to a worker: intervals to
 *		the apply worker, strong messages to the consensus process.
 *
 * Each receiving backend has a queue of its own (shm_mq in a DSM segment) to
 * the worker, so that a full queue slows only its peer down.
 *
 * Invariants
 * 1. A frame is handed over whole and in order, or the sender is told.
 * 2. What is in a queue is not durable: a peer forgets a frame only when the
 *	  position it leads to has been answered as applied.
 */
#ifndef CAUSALDB_INBOX_H
#define CAUSALDB_INBOX_H

#include "shmem.h"

typedef enum InboxKind
{
	INBOX_APPLY,
	INBOX_CONSENSUS
} InboxKind;

/*
 * Receiving backend, to one kind of worker in its life: hands a frame over;
 * waits while the queue is full. ERROR 57P03 if the worker is not there or
 * goes away.
 */
extern void inbox_send(NodeShared *node, InboxKind kind, const void *frame, size_t len);
/* The same without a frame: the worker's process knows of this session. */
extern void inbox_attach(NodeShared *node, InboxKind kind);

/* The worker: called once at its start; forgets old queues. */
extern void inbox_open(NodeShared *node, InboxKind kind);
/*
 * The worker: the next frame of any queue, or NULL if all are empty. The
 * bytes live until the next call.
 */
extern const void *inbox_next(NodeShared *node, size_t *len);

#endif
