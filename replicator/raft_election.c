/*
 * raft_election.c
 *		Who may lead: pre-vote, vote, and when not even to ask.
 *
 * Invariants
 * 1. At most one vote a term, durable before it is told (section 3.4).
 * 2. A pre-vote changes nothing anywhere (section 9.6).
 * 3. A node that heard from a leader less than election_ms ago, or started
 *	  less than that ago, answers no request for a vote that the leader itself
 *	  did not ask for (sections 4.2.3 and 6.4.1). Its leader's lease rests on
 *	  that.
 */
#include "raft_election.h"

#include <assert.h>

static void decide(RepRaft *r);

/* At least as long as ours: last term first, then length (section 3.6.1). */
static bool
up_to_date(const RepRaft *r, const RepRaftMessage *m)
{
	uint64_t term = rep_raft_log_last_term(&r->log);

	if (REP_BUG(5))
		return true;
	if (m->log_term != term)
		return m->log_term > term;
	return m->index >= r->log.last;
}

bool
rep_raft_in_lease(const RepRaft *r, const RepRaftMessage *m)
{
	if (m->type != REP_MSG_PREVOTE && m->type != REP_MSG_VOTE)
		return false;
	if (m->type == REP_MSG_VOTE && m->transfer)
		return false;
	if (r->role == REP_RAFT_LEADER)
		return true;
	if (REP_BUG(14))
		return false;
	return r->now_ms - r->contact_ms < r->o.election_ms;
}

static void
clear_ballots(RepRaft *r)
{
	for (uint32_t i = 0; i <= r->o.max_members; i++)
		r->progress[i].ballot = REP_BALLOT_NONE;
}

static RepRaftTally
tally(const RepRaft *r)
{
	uint32_t granted = 0;
	uint32_t rejected = 0;

	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		const RepRaftProgress *p;

		if (!r->members[i].voter)
			continue;
		p = rep_raft_progress_of(r, r->members[i].node);
		granted += p->ballot == REP_BALLOT_GRANTED;
		rejected += p->ballot == REP_BALLOT_REJECTED;
	}
	return rep_raft_tally(rep_raft_voters(r), granted, rejected);
}

/* Asks every other voter; the answers count for `id` resp. our term. */
static void
ask_votes(RepRaft *r, RepRaftMessageType type, uint64_t id, uint64_t after)
{
	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		RepRaftMessage *m;

		if (!r->members[i].voter || r->members[i].node == r->o.node)
			continue;
		m = rep_raft_message(r, type, r->members[i].node);
		m->id = id;
		m->index = r->log.last;
		m->log_term = rep_raft_log_last_term(&r->log);
		m->transfer = type == REP_MSG_VOTE && r->transfer_vote;
		rep_raft_send(r, m, after);
	}
}

static void
become_leader(RepRaft *r)
{
	assert(r->role == REP_RAFT_CANDIDATE);
	for (uint32_t i = 0; i <= r->o.max_members; i++)
		if (r->progress[i].node != 0)
			rep_raft_progress_reset(&r->progress[i], r->progress[i].node,
									r->log.last + 1, r->now_ms);
	if (r->self != NULL)
		rep_raft_progress_matched(r->self, r->log.stable);
	r->role = REP_RAFT_LEADER;
	r->leader = r->o.node;
	r->round = 0;
	r->term_start = r->log.last + 1;
	r->term_begins = true;
	r->campaign_sent = false;
	r->leader_news = true;
}

void
rep_raft_campaign(RepRaft *r, bool transfer)
{
	if (!rep_raft_is_voter(r, r->o.node) || r->role == REP_RAFT_LEADER)
		return;
	r->leader_news |= r->leader != 0;
	r->role = REP_RAFT_CANDIDATE;
	r->leader = 0;
	r->transfer_vote = transfer;
	rep_raft_set_state(r, r->term + 1, r->o.node);
	rep_raft_flush(r);
	r->self_voted = false;
	r->self_vote_persist = r->state_persist;
	clear_ballots(r);
	rep_raft_reset_election_timer(r);
	ask_votes(r, REP_MSG_VOTE, 0, r->state_persist);
	if (REP_BUG(17) && r->self != NULL)
	{
		r->self_voted = true;
		r->self->ballot = REP_BALLOT_GRANTED;
		decide(r);
	}
}

static void
decide(RepRaft *r)
{
	switch (tally(r))
	{
		case REP_TALLY_OPEN:
			break;
		case REP_TALLY_WON:
			if (r->role == REP_RAFT_PRECANDIDATE)
				rep_raft_campaign(r, false);
			else
				become_leader(r);
			break;
		case REP_TALLY_LOST:
			rep_raft_become_follower(r, r->term, 0);
			break;
	}
}

static void
stand_for_prevote(RepRaft *r)
{
	r->leader_news |= r->leader != 0;
	r->role = REP_RAFT_PRECANDIDATE;
	r->leader = 0;
	clear_ballots(r);
	r->self->ballot = REP_BALLOT_GRANTED;
	rep_raft_reset_election_timer(r);
	ask_votes(r, REP_MSG_PREVOTE, r->term + 1, 0);
	decide(r);
}

void
rep_raft_election_persisted(RepRaft *r)
{
	if (r->role != REP_RAFT_CANDIDATE || r->self_voted ||
		r->durable < r->self_vote_persist || r->self == NULL)
		return;
	r->self_voted = true;
	r->self->ballot = REP_BALLOT_GRANTED;
	decide(r);
}

void
rep_raft_election_tick(RepRaft *r)
{
	if (r->now_ms < r->election_at_ms)
		return;
	if (rep_raft_is_voter(r, r->o.node) && !r->disk_bad)
		stand_for_prevote(r);
	else
		rep_raft_become_follower(r, r->term, 0);
}

void
rep_raft_on_prevote(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftMessage *a = rep_raft_message(r, REP_MSG_PREVOTE_ANSWER, m->from);

	a->id = m->id;
	a->reject = r->disk_bad || m->id <= r->term || !up_to_date(r, m);
	rep_raft_send(r, a, 0);
}

void
rep_raft_on_prevote_answer(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftProgress *p = rep_raft_progress_of(r, m->from);

	if (r->role != REP_RAFT_PRECANDIDATE || p == NULL || m->id != r->term + 1)
		return;
	p->ballot = m->reject ? REP_BALLOT_REJECTED : REP_BALLOT_GRANTED;
	decide(r);
}

void
rep_raft_on_vote(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftMessage *a = rep_raft_message(r, REP_MSG_VOTE_ANSWER, m->from);
	bool grant = !r->disk_bad && r->role != REP_RAFT_LEADER &&
				 (r->vote == 0 || r->vote == m->from) && up_to_date(r, m);

	if (grant && r->vote == 0)
	{
		rep_raft_set_state(r, r->term, m->from);
		rep_raft_flush(r);
	}
	if (grant)
	{
		if (r->role == REP_RAFT_PRECANDIDATE)
			r->role = REP_RAFT_FOLLOWER;
		rep_raft_reset_election_timer(r);
	}
	a->reject = !grant;
	rep_raft_send(r, a, r->state_persist);
}

void
rep_raft_on_vote_answer(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftProgress *p = rep_raft_progress_of(r, m->from);

	if (r->role != REP_RAFT_CANDIDATE || p == NULL)
		return;
	p->ballot = m->reject ? REP_BALLOT_REJECTED : REP_BALLOT_GRANTED;
	decide(r);
}
