/*
 * lane.h
 *		What the apply worker knows of each stream: how far it is, what was
 *		heard of it last, and how the transaction at its head fares.
 *
 * Not for what waits in the stream (queue.h). One array, slot for slot that of
 * the streams in shared memory; of the apply worker alone.
 *
 * Invariants
 * 1. lane_applied[s] is lanes[s].applied, for those who need them densely.
 */
#ifndef CAUSALDB_LANE_H
#define CAUSALDB_LANE_H

#include "shmem.h"
#include "wire.h"

/* what the worker knows of one stream; slot for slot */
typedef struct Lane
{
	uint64 applied; /* with the open group */
	uint64 chain;
	bool chain_known;
	uint64 copied_upto; /* positions up to here may be in a copied log */
	RepMark mark; /* newest applied, of each part; acks point into acks[] */
	RepVersion acks[REP_MAX_VECTOR];
	uint64 last_position; /* of the open group's last transaction, 0: none */
	bool touched; /* by the open group */

	/* as of the last commit, for rolling the group back */
	uint64 applied_before;
	uint64 chain_before;
	bool chain_known_before;

	/* the same with what the open group has passed: believed, and written
	 * down, only with all that it speaks of; without acks where those of `mark` stand */
	bool has_fresh;
	RepMark fresh;
	RepVersion fresh_acks[REP_MAX_VECTOR];

	bool stalled;
	bool marked; /* its head has a row in causaldb.stall */
	TimestampTz retry_at; /* wall_timer */
	int retries;
	int unique_retries;
	TimestampTz persisted_at; /* wall_timer */
	uint64 persisted;
} Lane;

extern Lane *lanes;
extern uint64 lane_applied[REP_MAX_STREAMS];

extern void lane_init(NodeShared *node);
/* From causaldb.stream, at the worker's start; a transaction of its own. */
extern void lane_load(void);
/* The open group has failed: takes back that it was `started`, lest it bind
 * local transactions that have not named it. */
extern void lane_fall_back(void);
/* A stream that is new here, or whose lane begins anew. */
extern void lane_start(int s, uint64 applied);
/* At `end` the stream has other content here than where it was written. */
extern bool lane_is_forked(int s, uint64 end, const RepMark *mark);
/* The open group has passed this word of the writer. */
extern void lane_pass_mark(int s, const RepMark *mark);
/* It is about to be, or was, committed: the word counts. */
extern void lane_keep_mark(int s);
/* For causaldb.streams: its head at `at` waits for a stream, or is stalled. */
extern void lane_show_blocked(int s, uint64 at, RepStreamId waits_for, uint64 upto, bool stalled);
extern void lane_show_free(int s);
/* Writes the lane's position down, in the caller's transaction. */
extern void lane_persist(int s);
/* That is committed: the position and the word of then may be passed on. */
extern void lane_noted(int s);
/* Writes down positions that only heartbeats have moved. */
extern void lane_persist_idle(void);
extern bool lane_any_stalled(void);

#endif
