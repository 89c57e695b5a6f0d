/*
 * bounds.h
 *		Every limit of the replicator, in one place.
 *
 * A loop, queue or message that is not bounded here is a defect. How the
 * bounds relate is asserted at the end.
 */
#ifndef REP_BOUNDS_H
#define REP_BOUNDS_H

/* nodes of one cluster, witnesses included */
#define REP_MAX_MEMBERS 64

/* streams a node tracks at once: live ones and those not yet stable */
#define REP_MAX_STREAMS 256

/* columns of one descriptor (PostgreSQL's own limit is 1600) */
#define REP_MAX_COLUMNS 1600

/* descriptors one payload or chunk may name */
#define REP_MAX_PAYLOAD_DESCRIPTORS 255

/* bytes of one payload kept inside its log row; more goes to chunks */
#define REP_MAX_INLINE_PAYLOAD 7800

/* bytes of one encoded value (PostgreSQL's own limit is 1 GB) */
#define REP_MAX_VALUE (1024 * 1024 * 1024)

/* bytes of an idempotency key */
#define REP_MAX_IDEMPOTENCY_KEY 255

/* bytes of a whole frame, header included */
#define REP_MAX_FRAME (256 * 1024 * 1024)

/* bytes of one change of a row; a frame holds it, its chunk and their heads */
#define REP_MAX_CHANGE (REP_MAX_FRAME / 2)

/* bytes at which a sender closes a frame it is filling */
#define REP_TARGET_FRAME (128 * 1024)

/* transactions in one interval frame */
#define REP_MAX_FRAME_TRANSACTIONS 4096

/* entries of one vector on the wire */
#define REP_MAX_VECTOR REP_MAX_STREAMS

_Static_assert(REP_TARGET_FRAME < REP_MAX_FRAME, "target is below limit");
_Static_assert(REP_MAX_MEMBERS <= REP_MAX_STREAMS,
			   "every member has a stream");

#endif
