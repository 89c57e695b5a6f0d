/*
 * raft_core.c
 *		What every part of the engine stands on: actions, persists, messages,
 *		members, the log and the roles.
 *
 * Nothing here follows up on a change: it marks what is to be looked at again,
 * and raft.c sees to that at the end of the step.
 *
 * The invariants are those of raft.h and raft_core.h.
 */
#include "raft_core.h"

#include <assert.h>
#include <string.h>

RepRaftAction *
rep_raft_act(RepRaft *r, RepRaftActionType type)
{
	RepRaftAction *a;

	assert(r->nitems < r->max_items);
	a = &r->items[r->nitems++];
	memset(a, 0, sizeof(*a));
	a->type = type;
	return a;
}

RepRaftMessage *
rep_raft_message(RepRaft *r, RepRaftMessageType type, uint32_t to)
{
	RepRaftMessage *m = rep_arena_alloc(r->arena, sizeof(RepRaftMessage));

	assert(m != NULL);
	assert(to != r->o.node);
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->from = r->o.node;
	m->to = to;
	m->term = r->term;
	return m;
}

void
rep_raft_send(RepRaft *r, const RepRaftMessage *m, uint64_t after)
{
	RepRaftAction *a;

	/* the term it speaks in has to be durable too */
	if (r->dirty_state && !REP_BUG(23))
		rep_raft_flush(r);
	a = rep_raft_act(r, REP_ACT_SEND);
	if (r->state_persist > r->durable && r->state_persist > after)
		after = r->state_persist;
	a->after = after > r->durable ? after : 0;
	a->node = m->to;
	a->message = m;
}

/* The entries from dirty_from on, as actions of persist number r->persist. */
static void
flush_entries(RepRaft *r)
{
	uint64_t index = r->dirty_from;
	bool first = true;

	while (index <= r->log.last || first)
	{
		RepRaftAction *a = rep_raft_act(r, REP_ACT_PERSIST_ENTRIES);

		a->persist = r->persist;
		a->index = index;
		a->entries = rep_raft_log_run(&r->log, index, UINT32_MAX, &a->nentries);
		index += a->nentries;
		first = false;
	}
	rep_raft_log_persisting(&r->log, r->persist);
	r->dirty_from = 0;
}

void
rep_raft_flush(RepRaft *r)
{
	if (!r->dirty_state && r->dirty_from == 0)
		return;
	r->persist++;
	if (r->dirty_state)
	{
		RepRaftAction *a = rep_raft_act(r, REP_ACT_PERSIST_STATE);

		a->persist = r->persist;
		a->term = r->term;
		a->vote = REP_BUG(3) ? 0 : r->vote;
		r->state_persist = r->persist;
		r->dirty_state = false;
	}
	if (r->dirty_from != 0)
		flush_entries(r);
}

void
rep_raft_set_state(RepRaft *r, uint64_t term, uint32_t vote)
{
	assert(term >= r->term);
	assert(term > r->term || r->vote == 0 || r->vote == vote);
	r->term = term;
	r->vote = vote;
	r->dirty_state = true;
}

bool
rep_raft_members_valid(const RepRaftMember *m, uint32_t n, uint32_t most)
{
	uint32_t voters = 0;

	if (n == 0 || n > most)
		return false;
	for (uint32_t i = 0; i < n; i++)
	{
		voters += m[i].voter;
		if (m[i].node == 0)
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (m[j].node == m[i].node)
				return false;
	}
	return voters > 0;
}

void
rep_raft_set_members(RepRaft *r, const RepRaftMember *m, uint32_t n,
					 uint64_t index)
{
	assert(n <= r->o.max_members);
	memmove(r->members, m, n * sizeof(RepRaftMember));
	r->nmembers = n;
	r->config_index = index;
	r->self = NULL;

	for (uint32_t i = 0; i <= r->o.max_members; i++)
		if (r->progress[i].node != 0 &&
			rep_raft_member(r, r->progress[i].node) == NULL)
			r->progress[i].node = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		RepRaftProgress *p = rep_raft_progress_of(r, m[i].node);

		if (p == NULL)
		{
			p = rep_raft_progress_of(r, 0);
			assert(p != NULL);
			rep_raft_progress_reset(p, r->members[i].node, r->log.last + 1,
									r->now_ms);
		}
		if (p->node == r->o.node)
			r->self = p;
	}
}

void
rep_raft_reload_members(RepRaft *r)
{
	for (uint64_t i = r->log.last; i > r->log.base; i--)
	{
		const RepRaftEntry *e = rep_raft_log_get(&r->log, i);

		if (e->kind == REP_ENTRY_CONFIG)
		{
			rep_raft_set_members(r, e->members, e->nmembers, i);
			return;
		}
	}
	rep_raft_set_members(r, r->base_members, r->nbase_members, r->log.base);
}

bool
rep_raft_entry_valid(const RepRaft *r, const RepRaftEntry *e)
{
	if (e->nkeys > r->o.max_keys || e->ndeps > r->o.max_streams)
		return false;
	return e->kind != REP_ENTRY_CONFIG ||
		   rep_raft_members_valid(e->members, e->nmembers, r->o.max_members);
}

bool
rep_raft_append_entry(RepRaft *r, const RepRaftEntry *e)
{
	if (!rep_raft_log_append(&r->log, e))
		return false;
	if (r->dirty_from == 0)
		r->dirty_from = e->index;
	if (e->kind == REP_ENTRY_CONFIG)
	{
		const RepRaftEntry *held = rep_raft_log_get(&r->log, e->index);

		rep_raft_set_members(r, held->members, held->nmembers, e->index);
	}
	return true;
}

void
rep_raft_cut_log(RepRaft *r, uint64_t from)
{
	assert(from > r->commit);
	assert(r->role != REP_RAFT_LEADER);
	rep_raft_log_truncate(&r->log, from);
	if (r->dirty_from == 0 || r->dirty_from > from)
		r->dirty_from = from;
	if (r->config_index >= from)
		rep_raft_reload_members(r);
}

bool
rep_raft_established(const RepRaft *r)
{
	return r->role == REP_RAFT_LEADER && r->commit >= r->term_start;
}

const RepRaftMember *
rep_raft_member(const RepRaft *r, uint32_t node)
{
	for (uint32_t i = 0; i < r->nmembers; i++)
		if (r->members[i].node == node)
			return &r->members[i];
	return NULL;
}

bool
rep_raft_is_voter(const RepRaft *r, uint32_t node)
{
	const RepRaftMember *m = rep_raft_member(r, node);

	return m != NULL && m->voter;
}

uint32_t
rep_raft_voters(const RepRaft *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->nmembers; i++)
		n += r->members[i].voter;
	return n;
}

RepRaftProgress *
rep_raft_progress_of(const RepRaft *r, uint32_t node)
{
	for (uint32_t i = 0; i <= r->o.max_members; i++)
		if (r->progress[i].node == node)
			return &r->progress[i];
	return NULL;
}

void
rep_raft_reset_election_timer(RepRaft *r)
{
	const RepRaftMember *m = rep_raft_member(r, r->o.node);

	r->election_at_ms = r->now_ms + r->o.election_ms +
						rep_prng_below(&r->prng, r->o.election_ms);
	/* a witness stands only when nobody else has */
	if (m != NULL && m->witness)
		r->election_at_ms += r->o.election_ms;
}

void
rep_raft_become_follower(RepRaft *r, uint64_t term, uint32_t leader)
{
	bool led = r->role == REP_RAFT_LEADER;

	if (led || r->leader != leader || term > r->term)
		r->leader_news = true;
	if (term > r->term)
		rep_raft_set_state(r, term, 0);
	r->role = REP_RAFT_FOLLOWER;
	r->leader = leader;
	r->transfer_to = 0;
	r->leader_wants_held = false;
	r->term_begins = false;
	r->lost_lead |= led;
	rep_raft_reset_election_timer(r);
}

void
rep_raft_set_commit(RepRaft *r, uint64_t commit)
{
	assert(commit <= r->log.last);
	if (commit > r->commit)
		r->commit = commit;
}

/* What peers send is not trusted to be in order. */
bool
rep_raft_entries_valid(const RepRaft *r, const RepRaftMessage *m)
{
	uint64_t term = m->log_term;

	for (uint32_t i = 0; i < m->nentries; i++)
	{
		const RepRaftEntry *e = &m->entries[i];

		if (e->index != m->index + 1 + i || e->term < term)
			return false;
		if (m->type == REP_MSG_APPEND && e->term > m->term)
			return false;
		if (!rep_raft_entry_valid(r, e))
			return false;
		term = e->term;
	}
	return true;
}

/*
 * Puts the message's entries into our log, which agrees with the sender's at
 * the message's `index` or up to what is committed here; returns the last
 * index up to which they agree then.
 */
uint64_t
rep_raft_take_entries(RepRaft *r, const RepRaftMessage *m)
{
	uint64_t last = m->index > r->commit ? m->index : r->commit;

	for (uint32_t i = 0; i < m->nentries; i++)
	{
		const RepRaftEntry *e = &m->entries[i];

		if (e->index <= last)
			continue;
		if (e->index <= r->log.last &&
			rep_raft_log_term(&r->log, e->index) != e->term)
			rep_raft_cut_log(r, e->index);
		/* a peer's terms are not ours to assert */
		if (e->index > r->log.last &&
			(e->term < rep_raft_log_last_term(&r->log) ||
			 !rep_raft_append_entry(r, e)))
			break;
		last = e->index;
	}
	return last;
}

bool
rep_raft_holds(const RepVector *held, const RepRaftEntry *e)
{
	RepVector need = { .entries = (RepVersion *) e->deps, .len = e->ndeps };

	/* the strong stream is the log itself */
	while (need.len > 0 && need.entries[0].stream.node == 0)
	{
		need.entries++;
		need.len--;
	}
	return rep_vector_covers(held, &need);
}

void
rep_raft_fill_held(RepRaft *r, RepRaftMessage *m, uint64_t known)
{
	m->applied = r->applied;
	if (known == r->held_version)
		return;
	m->held_version = r->held_version;
	m->held = r->held.entries;
	m->nheld = r->held.len;
}

void
rep_raft_fill_base(RepRaft *r, RepRaftBase *base, uint64_t index)
{
	assert(index >= r->log.base && index <= r->commit);
	memset(base, 0, sizeof(*base));
	base->index = index;
	base->term = rep_raft_log_term(&r->log, index);
	base->floor = r->floor;
	base->members = r->base_members;
	base->nmembers = r->nbase_members;
	base->horizon = r->base_horizon.entries;
	base->nhorizon = r->base_horizon.len;
	for (uint64_t i = r->log.base + 1; i <= index; i++)
	{
		const RepRaftEntry *e = rep_raft_log_get(&r->log, i);

		if (e->stamp.hlc > base->floor)
			base->floor = e->stamp.hlc;
		if (e->kind == REP_ENTRY_CONFIG)
		{
			base->members = e->members;
			base->nmembers = e->nmembers;
		}
		else if (e->kind == REP_ENTRY_HORIZON)
		{
			base->horizon = e->deps;
			base->nhorizon = e->ndeps;
		}
	}
}
