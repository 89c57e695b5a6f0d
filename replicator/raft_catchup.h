/*
 * raft_catchup.h
 *		Compaction, snapshots and relayed entries.
 */
#ifndef REP_RAFT_CATCHUP_H
#define REP_RAFT_CATCHUP_H

#include "raft_core.h"

extern void rep_raft_send_snapshot(RepRaft *r, RepRaftProgress *p);
extern void rep_raft_on_snapshot(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_installed(RepRaft *r, const RepRaftBase *base);
extern void rep_raft_compact(RepRaft *r, uint64_t index);
extern void rep_raft_relay(RepRaft *r, uint32_t to, uint64_t index);
extern void rep_raft_on_relay(RepRaft *r, const RepRaftMessage *m);

#endif
