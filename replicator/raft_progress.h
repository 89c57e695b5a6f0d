/*
 * raft_progress.h
 *		What this node, as leader, knows of one member.
 *
 * Invariants
 * 1. match < next. Entries at or below match are durable there.
 * 2. PROBE: one append under way at a time, `next` is a guess.
 *	  REPLICATE: `next` runs ahead, at most max_inflight appends under way.
 *	  SNAPSHOT: no appends until the member says it stands at `match`.
 * 3. held, applied and acked_* never fall within a term.
 */
#ifndef REP_RAFT_PROGRESS_H
#define REP_RAFT_PROGRESS_H

#include "raft_types.h"

typedef enum RepRaftProgressState
{
	REP_PROGRESS_PROBE,
	REP_PROGRESS_REPLICATE,
	REP_PROGRESS_SNAPSHOT
} RepRaftProgressState;

typedef enum RepRaftBallot
{
	REP_BALLOT_NONE,
	REP_BALLOT_GRANTED,
	REP_BALLOT_REJECTED
} RepRaftBallot;

typedef struct RepRaftProgress
{
	uint32_t node;        /* 0: this slot is free */
	RepRaftBallot ballot; /* of the election under way */
	RepRaftProgressState state;
	bool probing; /* PROBE: one is under way */
	uint64_t match;
	uint64_t next;
	uint64_t sent_ms;       /* when an append or snapshot was last sent */
	uint64_t contact_ms;    /* when it last answered in this term */
	uint64_t acked_round;   /* newest heartbeat round answered */
	uint64_t acked_sent_ms; /* our clock when that heartbeat was sent */
	uint64_t applied;
	uint64_t told_commit; /* newest commit index it was sent */
	uint64_t ticket;      /* newest proposal taken from it in this term */
	uint64_t held_version;
	RepVector held;
	uint64_t *inflight; /* last index of each append under way, a ring */
	uint32_t inflight_head;
	uint32_t ninflight;
	uint32_t max_inflight;
} RepRaftProgress;

extern void rep_raft_progress_init(RepRaftProgress *p, RepArena *a,
								   const RepRaftOptions *o);
/* Starts anew for `node`: nothing is known, next is a guess. */
extern void rep_raft_progress_reset(RepRaftProgress *p, uint32_t node,
									uint64_t next, uint64_t now_ms);
extern bool rep_raft_progress_may_send(const RepRaftProgress *p);
/* An append of entries up to `last` (at least next - 1) was sent. */
extern void rep_raft_progress_sent(RepRaftProgress *p, uint64_t last,
								   uint64_t now_ms);
/* It has our log up to `match`; true if that is news. */
extern bool rep_raft_progress_matched(RepRaftProgress *p, uint64_t match);
/* Back to one at a time, from `next`. */
extern void rep_raft_progress_probe(RepRaftProgress *p, uint64_t next);
extern void rep_raft_progress_snapshot(RepRaftProgress *p, uint64_t now_ms);
/* Takes over a reported vector, if it is newer and fits. */
extern bool rep_raft_progress_held(RepRaftProgress *p, const RepRaftMessage *m);

#endif
