/*
 * raft_member.h
 *		Changes of members, and of who leads.
 */
#ifndef REP_RAFT_MEMBER_H
#define REP_RAFT_MEMBER_H

#include "raft_core.h"

extern void rep_raft_change(RepRaft *r, const RepRaftEvent *ev);
extern void rep_raft_transfer(RepRaft *r, uint32_t node);
/* LEADER: lets the successor stand once it has the whole log. */
extern void rep_raft_transfer_progress(RepRaft *r);
extern void rep_raft_member_tick(RepRaft *r);

#endif
