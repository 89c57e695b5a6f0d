/*
 * raft_read.h
 *		Read indexes, as raft.c calls them.
 */
#ifndef REP_RAFT_READ_H
#define REP_RAFT_READ_H

#include "raft_core.h"

extern void rep_raft_read(RepRaft *r, uint64_t id);
extern void rep_raft_read_cancel(RepRaft *r, uint64_t id);
extern void rep_raft_read_tick(RepRaft *r);
/* Whoever was asked may lead no more: ask again. */
extern void rep_raft_read_leader_changed(RepRaft *r);
extern void rep_raft_on_read(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_read_answer(RepRaft *r, const RepRaftMessage *m);
/* LEADER: answers the questions whose round a majority has answered. */
extern void rep_raft_reads_confirm(RepRaft *r);
/* LEADER: until when no other node can have been elected; 0: no lease. */
extern uint64_t rep_raft_lease_end(RepRaft *r);
/* Nobody leads here any more: the questions are for another. */
extern void rep_raft_reads_drop(RepRaft *r);

#endif
