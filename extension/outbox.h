/*
 * outbox.h
 *		From the log to frames: what the next frame of one stream is for one
 *		peer.
 *
 * Not for when frames go out or to whom (sender.c).
 *
 * Invariants
 * 1. Frames of one cursor connect: each begins where the last one ended.
 * 2. A large transaction's chunks all precede the interval that has it.
 * 3. No frame grows with the transaction: at most REP_TARGET_FRAME and one
 *	  log row or chunk.
 * 4. Frames of our own stream carry the chain hash at their end, also after a
 *	  connection was made anew, unless more than RECALL_BYTES of the log would
 *	  have to be read for it. The log has our live stream from its start on.
 */
#ifndef CAUSALDB_OUTBOX_H
#define CAUSALDB_OUTBOX_H

#include "lib/stringinfo.h"
#include "utils/hsearch.h"
#include "utils/snapshot.h"

#include "shmem.h"
#include "wire.h"

#define OUTBOX_UNAPPLIED 64

/* how far one peer is in one stream */
typedef struct OutboxCursor
{
	uint64 sent; /* frames up to here have gone out */
	uint64 applied; /* what the peer says it has applied */
	uint64 taken; /* what it says it has received and kept */
	int resends; /* since it last got further */
	TimestampTz moved_at; /* applied moved, or there was nothing to send; wall_timer */
	TimestampTz sent_at; /* of the last frame with transactions; wall_timer */

	/* ends of frames the peer has not applied yet: a ring */
	uint64 unapplied[OUTBOX_UNAPPLIED];
	int unapplied_head;
	int unapplied_len;

	/* a large transaction whose chunks are on their way */
	uint64 chunks_of; /* its position, or 0 */
	uint64 chunks_done; /* position of the one whose chunks are all sent */
	uint64 chunks_xid;
	int32 chunk_last; /* ordinal of the last one sent, -1: none */

	/* chain hash at `sent`, if it is known */
	bool chain_known;
	bool chain_given_up; /* too far from where it is known */
	uint64 chain;
} OutboxCursor;

/* Forgets all but the position from which to go on. */
extern void outbox_restart(OutboxCursor *c, uint64 from);
/* The peer's own word on its position. */
extern void outbox_answered(OutboxCursor *c, uint64 applied, uint64 taken, TimestampTz now);
/* There is room for another frame with transactions. */
extern bool outbox_has_room(const OutboxCursor *c);

/*
 * Writes the next frame of stream `slot` for a peer at cursor c into `out`,
 * with transactions up to `upto`, and moves the cursor. `known` holds the
 * descriptor hashes this connection has seen and gets what is added. mark is
 * the writer's word, filled in but for closed and chain when it is our own
 * stream (own). Each part of it goes only with a frame that reaches what it
 * speaks of. `snapshot` must have been taken after `upto` was closed.
 */
extern void outbox_next(NodeShared *node, int slot, OutboxCursor *c, uint64 upto,
						HTAB *known, const RepMark *mark, bool own, Snapshot snapshot,
						StringInfo out);

#endif
