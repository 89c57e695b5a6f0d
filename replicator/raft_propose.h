/*
 * raft_propose.h
 *		Proposals, as raft.c calls them.
 */
#ifndef REP_RAFT_PROPOSE_H
#define REP_RAFT_PROPOSE_H

#include "raft_core.h"

extern void rep_raft_propose(RepRaft *r, const RepRaftEntry *e);
extern void rep_raft_forget(RepRaft *r, RepStamp stamp);
extern void rep_raft_on_propose(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_verdict(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_propose_horizon(RepRaft *r, const RepVersion *horizon,
									 uint32_t n);
/* LEADER: decides on those that wait, as far as it can. */
extern void rep_raft_retry_waiting(RepRaft *r);
/* Nobody leads here any more: those that wait are forgotten. */
extern void rep_raft_drop_waiting(RepRaft *r);
/* A new leader learns from its log what the one before it knew. */
extern void rep_raft_rebuild(RepRaft *r);
/* A committed WRITE or ABORT decides an own proposal. */
extern void rep_raft_settle_pending(RepRaft *r, const RepRaftEntry *e);

#endif
