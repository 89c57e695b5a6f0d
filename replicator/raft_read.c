/*
 * raft_read.c
 *		Read indexes: how far must this node have applied before it reads?
 *
 * All waiting readers of a node share one question to the leader, all waiting
 * questions share one round of heartbeats (section 6.4).
 *
 * Invariants
 * 1. Every try has a fresh ticket, and only its answer counts: an answer to an
 *	  earlier try was found before readers that joined since had come.
 * 2. The round that confirms began after the question arrived; rounds are
 *	  never reused within a term.
 * 3. No index is told before an own-term entry is committed.
 */
#include "raft_read.h"

#include <assert.h>

static void take_question(RepRaft *r, uint32_t from, uint64_t ticket);

/* Asks the leader on behalf of everybody who waits. */
static void
ask(RepRaft *r)
{
	if (r->leader == 0 || r->nreaders == 0)
		return;
	if (!REP_BUG(1) || r->read_ticket == 0)
		r->read_ticket = ++r->ticket;
	r->read_sent_ms = r->now_ms;
	for (uint32_t i = 0; i < r->nreaders; i++)
		r->readers[i].ticket = r->read_ticket;
	if (r->role == REP_RAFT_LEADER)
		take_question(r, r->o.node, r->read_ticket);
	else
	{
		RepRaftMessage *m = rep_raft_message(r, REP_MSG_READ, r->leader);

		m->id = r->read_ticket;
		rep_raft_send(r, m, 0);
	}
}

void
rep_raft_read(RepRaft *r, uint64_t id)
{
	if (r->nreaders == r->o.max_reads)
	{
		rep_raft_act(r, REP_ACT_READ_FAILED)->id = id;
		return;
	}
	r->readers[r->nreaders++] = (RepRaftReader){ id, 0 };
	/* one question at a time; who comes meanwhile joins the next */
	if (r->read_ticket == 0)
		ask(r);
}

void
rep_raft_read_cancel(RepRaft *r, uint64_t id)
{
	for (uint32_t i = 0; i < r->nreaders; i++)
		if (r->readers[i].id == id)
		{
			r->readers[i] = r->readers[--r->nreaders];
			break;
		}
	if (r->nreaders == 0 && !REP_BUG(1))
		r->read_ticket = 0;
}

void
rep_raft_read_leader_changed(RepRaft *r)
{
	if (!REP_BUG(1))
		r->read_ticket = 0;
	ask(r);
}

void
rep_raft_read_tick(RepRaft *r)
{
	if (r->nreaders > 0 && r->now_ms - r->read_sent_ms >= r->o.retry_ms)
		ask(r);
}

/* The answer to the try `ticket`: its readers may go on at index. */
static void
answer(RepRaft *r, uint64_t ticket, uint64_t index)
{
	uint32_t kept = 0;

	if (ticket != r->read_ticket || ticket == 0)
		return;
	for (uint32_t i = 0; i < r->nreaders; i++)
	{
		RepRaftReader reader = r->readers[i];

		if (reader.ticket == ticket)
		{
			RepRaftAction *a = rep_raft_act(r, REP_ACT_READ_READY);

			a->id = reader.id;
			a->index = index;
		}
		else
			r->readers[kept++] = reader;
	}
	r->nreaders = kept;
	r->read_ticket = 0;
	ask(r);
}

void
rep_raft_on_read_answer(RepRaft *r, const RepRaftMessage *m)
{
	answer(r, m->id, m->index);
}

static void
tell(RepRaft *r, const RepRaftAsker *asker)
{
	RepRaftMessage *m;

	if (asker->from == r->o.node)
	{
		answer(r, asker->ticket, asker->index);
		return;
	}
	m = rep_raft_message(r, REP_MSG_READ_ANSWER, asker->from);
	m->id = asker->ticket;
	m->index = asker->index;
	rep_raft_send(r, m, 0);
}

/* The newest round, or with `clock` the newest send time, of a majority. */
static uint64_t
acked_by_majority(RepRaft *r, bool clock)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		const RepRaftProgress *p;

		if (!r->members[i].voter)
			continue;
		p = rep_raft_progress_of(r, r->members[i].node);
		if (clock)
			r->scratch[n++] = p == r->self ? r->now_ms : p->acked_sent_ms;
		else
			r->scratch[n++] = p == r->self ? r->round : p->acked_round;
	}
	return rep_raft_quorum_value(r->scratch, n);
}

/*
 * Until when no other node can have been elected: a majority heard from us at
 * or after that heartbeat was sent and refuses votes for election_ms
 * (section 6.4.1). Once we have asked somebody to stand for election there is
 * no lease in this term any more, for that vote is not refused.
 */
uint64_t
rep_raft_lease_end(RepRaft *r)
{
	uint64_t least =
		(uint64_t) r->o.election_ms * (100 - r->o.lease_drift_percent) / 100;

	if (!r->o.lease || r->transfer_to != 0 ||
		(r->campaign_sent && !REP_BUG(24)))
		return 0;
	return acked_by_majority(r, true) + least;
}

static void
take_question(RepRaft *r, uint32_t from, uint64_t ticket)
{
	RepRaftAsker asker = { .from = from, .ticket = ticket };

	assert(r->role == REP_RAFT_LEADER);
	if (rep_raft_established(r) || REP_BUG(7))
	{
		asker.index = r->commit;
		if (r->now_ms < rep_raft_lease_end(r))
		{
			tell(r, &asker);
			return;
		}
	}
	/* no room: the asker tries again */
	if (r->naskers == r->o.max_reads)
		return;
	/* join the round after the one under way, begun by its end or a tick */
	asker.round = r->round + !REP_BUG(8);
	r->askers[r->naskers++] = asker;
	if (asker.index != 0 && acked_by_majority(r, false) >= r->round)
		r->want_round = true;
}

void
rep_raft_on_read(RepRaft *r, const RepRaftMessage *m)
{
	if (r->role == REP_RAFT_LEADER && rep_raft_progress_of(r, m->from) != NULL)
		take_question(r, m->from, m->id);
}

void
rep_raft_reads_drop(RepRaft *r)
{
	r->naskers = 0;
}

void
rep_raft_reads_confirm(RepRaft *r)
{
	uint64_t confirmed;
	uint32_t n = r->naskers;
	uint32_t kept = 0;
	bool ask_again = false;

	if (n == 0 || (!rep_raft_established(r) && !REP_BUG(7)))
		return;
	confirmed = acked_by_majority(r, false);

	/* local answers may ask again; those go behind the first n */
	for (uint32_t i = 0; i < n; i++)
	{
		RepRaftAsker asker = r->askers[i];

		if (asker.index == 0)
		{
			/* the commit index had to be of our term first */
			asker.index = r->commit;
			asker.round = r->round + !REP_BUG(8);
		}
		if (asker.round <= confirmed)
			tell(r, &asker);
		else
			r->askers[kept++] = asker;
	}
	for (uint32_t i = n; i < r->naskers; i++)
		r->askers[kept++] = r->askers[i];
	r->naskers = kept;
	for (uint32_t i = 0; i < kept; i++)
		ask_again |= r->askers[i].index != 0 && r->askers[i].round > r->round;
	if (ask_again && confirmed >= r->round)
		r->want_round = true;
}
