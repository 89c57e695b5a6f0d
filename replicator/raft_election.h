/*
 * raft_election.h
 *		Elections, as raft.c calls them.
 */
#ifndef REP_RAFT_ELECTION_H
#define REP_RAFT_ELECTION_H

#include "raft_core.h"

extern void rep_raft_election_tick(RepRaft *r);
/* Stands for election at once; `transfer`: the leader itself asks for it. */
extern void rep_raft_campaign(RepRaft *r, bool transfer);
/* This request for a vote is not to be answered: a leader may be there. */
extern bool rep_raft_in_lease(const RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_prevote(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_prevote_answer(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_vote(RepRaft *r, const RepRaftMessage *m);
extern void rep_raft_on_vote_answer(RepRaft *r, const RepRaftMessage *m);
/* A candidate's own vote counts once it is durable. */
extern void rep_raft_election_persisted(RepRaft *r);

#endif
