/*
 * raft_member.c
 *		Who is a member, one change at a time, and handing leadership over.
 *
 * Invariants
 * 1. The newest config in the log is in force, committed or not (section 4.1).
 * 2. A change enters the log only when the one before it and an entry of the
 *	  leader's own term are committed; so any two majorities of neighbouring
 *	  configs meet.
 * 3. After every change a majority of the voters holds the deps of every
 *	  entry in the log; a learner becomes a voter only if it does itself.
 */
#include "raft_member.h"

#include <assert.h>
#include <string.h>

/* It holds the deps of every entry in our log, as far as we were told. */
static bool
holds_all(const RepRaft *r, uint32_t node)
{
	const RepRaftProgress *p = rep_raft_progress_of(r, node);
	const RepVector *held;
	uint64_t applied;

	if (p == NULL)
		return false;
	held = p == r->self ? &r->held : &p->held;
	applied = p == r->self ? r->applied : p->applied;
	if (applied < r->log.base)
		return false;
	for (uint64_t i = applied + 1; i <= r->log.last; i++)
		if (!rep_raft_holds(held, rep_raft_log_get(&r->log, i)))
			return false;
	return true;
}

/* More than half of these voters hold all deps. */
static bool
voters_hold_all(const RepRaft *r, const RepRaftMember *m, uint32_t n)
{
	uint32_t voters = 0;
	uint32_t holders = 0;

	for (uint32_t i = 0; i < n; i++)
		if (m[i].voter)
		{
			voters++;
			holders += holds_all(r, m[i].node);
		}
	return holders >= rep_raft_majority(voters);
}

static bool
caught_up(const RepRaft *r, uint32_t node)
{
	const RepRaftProgress *p = rep_raft_progress_of(r, node);

	return p != NULL && p->match >= r->commit && holds_all(r, node);
}

/* The members after the change, or 0 if it makes no sense now. */
static uint32_t
members_after(const RepRaft *r, const RepRaftEvent *ev, RepRaftMember *out)
{
	const RepRaftMember *old = rep_raft_member(r, ev->node);
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->nmembers; i++)
		if (ev->change != REP_CHANGE_REMOVE || r->members[i].node != ev->node)
			out[n++] = r->members[i];

	switch (ev->change)
	{
		case REP_CHANGE_ADD:
			if (old != NULL || ev->node == 0 || n == r->o.max_members)
				return 0;
			out[n++] = (RepRaftMember){ ev->node, false, ev->witness };
			break;
		case REP_CHANGE_PROMOTE:
			if (old == NULL || old->voter || !caught_up(r, ev->node))
				return 0;
			for (uint32_t i = 0; i < n; i++)
				if (out[i].node == ev->node)
					out[i].voter = true;
			break;
		case REP_CHANGE_REMOVE:
			if (old == NULL)
				return 0;
			break;
		default:
			return 0;
	}
	if (!rep_raft_members_valid(out, n, r->o.max_members))
		return 0;
	return n;
}

static bool
log_change(RepRaft *r, const RepRaftEvent *ev)
{
	RepRaftMember members[REP_MAX_MEMBERS];
	RepRaftEntry e = { .kind = REP_ENTRY_CONFIG };

	if (!rep_raft_established(r) || r->transfer_to != 0 ||
		(r->config_index > r->commit && !REP_BUG(18)))
		return false;
	e.nmembers = members_after(r, ev, members);
	if (e.nmembers == 0 || !voters_hold_all(r, members, e.nmembers))
		return false;
	e.members = members;
	e.index = r->log.last + 1;
	e.term = r->term;
	if (!rep_raft_append_entry(r, &e))
		return false;
	/* fewer voters may need fewer answers */
	r->recheck_commit = true;
	return true;
}

void
rep_raft_change(RepRaft *r, const RepRaftEvent *ev)
{
	bool ok = log_change(r, ev);
	RepRaftAction *a = rep_raft_act(r, REP_ACT_CHANGE_DONE);

	a->ok = ok;
	a->node = ev->node;
}

/* The best successor: a voter, no witness, that has most of our log. */
static uint32_t
successor(const RepRaft *r)
{
	const RepRaftProgress *best = NULL;

	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		const RepRaftProgress *p = rep_raft_progress_of(r, r->members[i].node);

		if (!r->members[i].voter || r->members[i].witness || p == r->self ||
			r->now_ms - p->contact_ms > r->o.election_ms)
			continue;
		if (best == NULL || p->match > best->match)
			best = p;
	}
	return best == NULL ? 0 : best->node;
}

void
rep_raft_transfer(RepRaft *r, uint32_t node)
{
	if (r->role != REP_RAFT_LEADER || r->transfer_to != 0)
		return;
	if (node == 0)
		node = successor(r);
	if (node == r->o.node || !rep_raft_is_voter(r, node))
		return;
	r->transfer_to = node;
	r->transfer_until_ms = r->now_ms + r->o.election_ms;
	r->recheck_transfer = true;
}

void
rep_raft_transfer_progress(RepRaft *r)
{
	const RepRaftProgress *p;

	if (r->transfer_to == 0)
		return;
	p = rep_raft_progress_of(r, r->transfer_to);
	if (p == NULL || p->match < r->log.last)
		return;
	r->campaign_sent = true;
	rep_raft_send(r, rep_raft_message(r, REP_MSG_CAMPAIGN, p->node), 0);
}

void
rep_raft_member_tick(RepRaft *r)
{
	const RepRaftMember *m;

	if (r->role != REP_RAFT_LEADER)
		return;
	if (r->transfer_to != 0 && r->now_ms >= r->transfer_until_ms)
	{
		r->transfer_to = 0;
		r->recheck_waiting = true;
	}
	m = rep_raft_member(r, r->o.node);
	if (m != NULL && m->witness && rep_raft_established(r))
		rep_raft_transfer(r, 0);
}
