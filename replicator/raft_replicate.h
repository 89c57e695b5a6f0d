/*
 * raft_replicate.h
 *		Replication, as raft.c calls it.
 */
#ifndef REP_RAFT_REPLICATE_H
#define REP_RAFT_REPLICATE_H

#include "raft_core.h"

/* LEADER: sends every member what it may be sent. */
extern void rep_raft_replicate(RepRaft *r);
/* LEADER: begins a new round of heartbeats. */
extern void rep_raft_heartbeat(RepRaft *r);
extern void rep_raft_leader_tick(RepRaft *r);
/* LEADER: commits what a majority has. */
extern void rep_raft_advance_commit(RepRaft *r);
extern void rep_raft_on_append(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_append_answer(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_heartbeat(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_heartbeat_answer(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_held(RepRaft *r, const RepRaftMessage *m);
/* Tells the leader, who waits for it, what we hold now. */
extern void rep_raft_tell_held(RepRaft *r);

#endif
