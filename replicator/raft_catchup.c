/*
 * raft_catchup.c
 *		What replaces the log: compaction, snapshots, relayed entries.
 *
 * A snapshot here is only the word that one is needed and where it stands; the
 * state itself is the host's to copy.
 *
 * Invariants
 * 1. Only what is applied durably here is compacted.
 * 2. An install replaces a log only if it brings committed entries that the
 *	  log does not have; so nothing that was acknowledged goes with it.
 * 3. Relayed entries are committed ones; taking them acknowledges nothing.
 */
#include "raft_catchup.h"

#include <assert.h>
#include <string.h>

void
rep_raft_send_snapshot(RepRaft *r, RepRaftProgress *p)
{
	RepRaftMessage *m;
	RepRaftBase *base;

	/* nothing newer than what it has: the host will catch up first */
	if (r->applied <= p->match)
		return;
	m = rep_raft_message(r, REP_MSG_SNAPSHOT, p->node);
	base = rep_arena_alloc(r->arena, sizeof(RepRaftBase));
	assert(base != NULL);
	rep_raft_fill_base(r, base, r->applied);
	m->index = base->index;
	m->log_term = base->term;
	m->base = base;
	rep_raft_progress_snapshot(p, r->now_ms);
	rep_raft_send(r, m, 0);
}

/* The leader may go on from here. */
static void
answer_match(RepRaft *r, uint32_t to, uint64_t match)
{
	RepRaftMessage *a = rep_raft_message(r, REP_MSG_APPEND_ANSWER, to);

	a->index = match;
	rep_raft_fill_held(r, a, 0);
	rep_raft_flush(r);
	rep_raft_send(r, a, rep_raft_log_after(&r->log, match));
}

/*
 * Our log has the entry at which the state stands: it needs no state, and what
 * follows there may have been acknowledged, so it must stay.
 */
static bool
log_reaches(const RepRaft *r, const RepRaftBase *base)
{
	return base->index <= r->log.last &&
		   rep_raft_log_term(&r->log, base->index) == base->term;
}

void
rep_raft_on_snapshot(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftAction *a;

	if (r->role == REP_RAFT_LEADER || m->base == NULL)
		return;
	if (r->role != REP_RAFT_FOLLOWER || r->leader != m->from)
		rep_raft_become_follower(r, r->term, m->from);
	r->contact_ms = r->now_ms;
	rep_raft_reset_election_timer(r);
	if (!rep_raft_members_valid(m->base->members, m->base->nmembers,
								r->o.max_members) ||
		m->base->nhorizon > r->base_horizon.cap || m->base->term > r->term)
		return;

	if (log_reaches(r, m->base))
		rep_raft_set_commit(r, m->base->index);
	if (m->base->index <= r->commit)
	{
		answer_match(r, m->from, r->commit);
		return;
	}
	if (r->installing >= m->base->index &&
		r->now_ms - r->installing_since_ms < r->o.snapshot_ms)
		return;
	r->installing = m->base->index;
	r->installing_since_ms = r->now_ms;
	a = rep_raft_act(r, REP_ACT_INSTALL);
	a->node = m->from;
	a->index = m->base->index;
	a->base = m->base;
	a->message = m;
}

static void
persist_base(RepRaft *r, bool install)
{
	RepRaftAction *a;

	rep_raft_flush(r);
	r->persist++;
	a = rep_raft_act(r, REP_ACT_PERSIST_BASE);
	a->persist = r->persist;
	a->install = install;
	a->index = r->log.base;
	r->base_scratch = (RepRaftBase){ .index = r->log.base,
									 .term = r->log.base_term,
									 .floor = r->floor,
									 .members = r->base_members,
									 .nmembers = r->nbase_members,
									 .horizon = r->base_horizon.entries,
									 .nhorizon = r->base_horizon.len };
	a->base = &r->base_scratch;
}

/* Copies what the base names into our own storage. */
static void
own_base(RepRaft *r, const RepRaftBase *base)
{
	r->floor = base->floor;
	memmove(r->base_members, base->members,
			base->nmembers * sizeof(RepRaftMember));
	r->nbase_members = base->nmembers;
	if (base->nhorizon > 0)
		memmove(r->base_horizon.entries, base->horizon,
				base->nhorizon * sizeof(RepVersion));
	r->base_horizon.len = base->nhorizon;
}

void
rep_raft_installed(RepRaft *r, const RepRaftBase *base)
{
	r->installing = 0;
	if (r->role == REP_RAFT_LEADER || base->index <= r->commit ||
		!rep_raft_members_valid(base->members, base->nmembers,
								r->o.max_members) ||
		base->nhorizon > r->base_horizon.cap)
		return;
	if (log_reaches(r, base))
	{
		rep_raft_set_commit(r, base->index);
		return;
	}

	rep_raft_flush(r);
	own_base(r, base);
	/* outstanding persists of the old log must not vouch for the new */
	rep_raft_log_reset(&r->log, base->index, base->term);
	r->commit = base->index;
	r->applied = base->index;
	r->told_commit = base->index;
	r->settled = base->index;
	rep_raft_reload_members(r);
	persist_base(r, true);
	if (r->leader != 0)
	{
		RepRaftMessage *a =
			rep_raft_message(r, REP_MSG_APPEND_ANSWER, r->leader);

		a->index = base->index;
		rep_raft_fill_held(r, a, 0);
		rep_raft_send(r, a, r->persist);
	}
}

void
rep_raft_compact(RepRaft *r, uint64_t index)
{
	RepRaftBase base;

	if (index > r->applied)
		index = r->applied;
	if (index > r->log.stable)
		index = r->log.stable;
	if (index <= r->log.base)
		return;
	rep_raft_fill_base(r, &base, index);
	if (r->role == REP_RAFT_LEADER)
		for (uint64_t i = r->log.base + 1; i <= index; i++)
		{
			RepStamp s = rep_raft_log_get(&r->log, i)->stamp;

			/* a later entry may mean the same transaction */
			if (rep_raft_stamps_get(&r->logged, s) == i)
				rep_raft_stamps_remove(&r->logged, s);
		}
	own_base(r, &base);
	rep_raft_log_compact(&r->log, index);
	rep_raft_reload_members(r);
	persist_base(r, false);
	r->recheck_waiting = true;
}

void
rep_raft_relay(RepRaft *r, uint32_t to, uint64_t index)
{
	RepRaftMessage *m;

	if (to == r->o.node || to == 0 || index < r->log.base || index >= r->commit)
		return;
	m = rep_raft_message(r, REP_MSG_RELAY, to);
	m->index = index;
	m->log_term = rep_raft_log_term(&r->log, index);
	m->entries =
		rep_raft_log_run(&r->log, index + 1, r->o.batch_entries, &m->nentries);
	if (m->nentries > r->commit - index)
		m->nentries = (uint32_t) (r->commit - index);
	m->commit = index + m->nentries;
	rep_raft_send(r, m, 0);
}

void
rep_raft_on_relay(RepRaft *r, const RepRaftMessage *m)
{
	uint64_t newest;
	uint64_t last;

	if (m->nentries == 0 || m->index > r->log.last || m->index < r->log.base ||
		!rep_raft_entries_valid(r, m) ||
		rep_raft_log_term(&r->log, m->index) != m->log_term ||
		(m->log_term == 0 && m->index > 0))
		return;
	newest = m->entries[m->nentries - 1].term;
	if (newest > r->term)
		rep_raft_become_follower(r, newest, 0);
	if (r->role == REP_RAFT_LEADER)
		return;
	if (r->role != REP_RAFT_FOLLOWER)
		rep_raft_become_follower(r, r->term, 0);
	last = rep_raft_take_entries(r, m);
	rep_raft_flush(r);
	rep_raft_set_commit(r, m->commit < last ? m->commit : last);
}
