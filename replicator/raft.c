/*
 * raft.c
 *		One engine: its memory, its state, and who gets which event.
 *
 * Not for the rules of elections, replication, proposals, reads or members:
 * see raft_core.h for who has them.
 *
 * Invariants
 * 1. base <= commit <= last; applied <= commit; told_commit <= commit.
 * 2. What changed term, vote or log in a step is given out as one persist
 *	  before the first message that depends on it.
 * 3. A LEADER's log only grows while it leads.
 */
#include "raft.h"
#include "raft_catchup.h"
#include "raft_core.h"
#include "raft_election.h"
#include "raft_member.h"
#include "raft_propose.h"
#include "raft_read.h"
#include "raft_replicate.h"

#include <assert.h>
#include <string.h>

void
rep_raft_defaults(RepRaftOptions *o)
{
	memset(o, 0, sizeof(*o));
	o->heartbeat_ms = 100;
	o->election_ms = 1000;
	o->held_wait_ms = 5000;
	o->retry_ms = 500;
	o->snapshot_ms = 10000;
	o->max_skew_ms = 5000;
	o->lease_drift_percent = 10;
	o->max_members = 16;
	o->max_streams = REP_MAX_STREAMS;
	o->log_entries = 32768;
	o->log_bytes = 16 * 1024 * 1024;
	o->max_waiting = 512;
	o->waiting_bytes = 4 * 1024 * 1024;
	o->max_pending = 1024;
	o->max_reads = 2048;
	o->max_keys = 128 * 1024;
	o->max_uncommitted = 4096;
	o->batch_entries = 64;
	o->batch_bytes = 512 * 1024;
	o->max_inflight = 8;
}

/* The most actions one step can return. */
static uint32_t
max_items(const RepRaftOptions *o)
{
	return 32 + o->max_members * (o->max_inflight + 8) + 2 * o->max_waiting +
		   2 * o->max_pending + 2 * o->max_reads;
}

size_t
rep_raft_arena_size(const RepRaftOptions *o)
{
	size_t messages = (size_t) o->max_members * (o->max_inflight + 8) +
					  o->max_waiting + o->max_reads + 16;

	return (size_t) max_items(o) * sizeof(RepRaftAction) +
		   messages * (sizeof(RepRaftMessage) + 16) +
		   ((size_t) o->max_members + 2) * (sizeof(RepRaftBase) + 16) + 4096;
}

static void
init_vector(RepVector *v, RepArena *a, uint32_t cap)
{
	v->entries = rep_arena_array(a, cap, sizeof(RepVersion));
	v->cap = cap;
	v->len = 0;
}

/* Lays the engine out over the arena; over no memory it measures. */
static void
lay_out(RepRaft *r, RepArena *a, const RepRaftOptions *o)
{
	rep_raft_log_init(&r->log, a, o->log_entries, o->log_bytes);
	init_vector(&r->base_horizon, a, o->max_streams);
	init_vector(&r->horizon, a, o->max_streams);
	init_vector(&r->held, a, o->max_streams);
	r->base_members = rep_arena_array(a, o->max_members, sizeof(RepRaftMember));
	r->members = rep_arena_array(a, o->max_members, sizeof(RepRaftMember));
	/* one slot more than members, for ourselves after we were removed */
	r->progress =
		rep_arena_array(a, o->max_members + 1, sizeof(RepRaftProgress));
	for (uint32_t i = 0; i <= o->max_members; i++)
		rep_raft_progress_init(a->full ? NULL : &r->progress[i], a, o);
	rep_certify_init(&r->certify, a, o->max_keys);
	rep_raft_stamps_init(&r->logged, a, o->log_entries);
	r->waiting = rep_arena_array(a, o->max_waiting, sizeof(RepRaftWaiting));
	rep_raft_ring_init(&r->waiting_bodies, a, o->waiting_bytes);
	rep_raft_stamps_init(&r->pending_slots, a, o->max_pending);
	r->pending = rep_arena_array(a, o->max_pending, sizeof(RepRaftPending));
	r->readers = rep_arena_array(a, o->max_reads, sizeof(RepRaftReader));
	r->askers = rep_arena_array(a, o->max_reads, sizeof(RepRaftAsker));
	r->scratch = rep_arena_array(a, o->max_members, sizeof(uint64_t));
}

size_t
rep_raft_size(const RepRaftOptions *o)
{
	RepRaft measure;
	RepArena a;

	memset(&measure, 0, sizeof(measure));
	rep_arena_init(&a, NULL, 0);
	rep_arena_alloc(&a, sizeof(RepRaft));
	lay_out(&measure, &a, o);
	return a.used;
}

RepRaft *
rep_raft_init(void *memory, size_t size, const RepRaftOptions *o)
{
	RepRaft *r;
	RepArena a;

	if (o->node == 0 || o->max_members == 0 ||
		o->max_members > REP_MAX_MEMBERS || o->max_inflight == 0 ||
		o->batch_entries == 0 || o->heartbeat_ms == 0 ||
		o->election_ms <= o->heartbeat_ms || size < rep_raft_size(o))
		return NULL;
	rep_arena_init(&a, memory, size);
	r = rep_arena_alloc(&a, sizeof(RepRaft));
	memset(r, 0, sizeof(*r));
	lay_out(r, &a, o);
	assert(!a.full);
	memset(r->pending, 0, o->max_pending * sizeof(RepRaftPending));
	r->o = *o;
	r->role = REP_RAFT_FOLLOWER;
	r->ticket = o->ticket_base;
	r->held_version = o->ticket_base;
	r->max_items = max_items(o);
	rep_prng_init(&r->prng, o->seed);
	return r;
}

void
rep_raft_restore_state(RepRaft *r, uint64_t term, uint32_t vote)
{
	r->term = term;
	r->vote = vote;
}

/* Makes *base ours: log, members, floor, horizon. */
static bool
take_base(RepRaft *r, const RepRaftBase *base)
{
	if (!rep_raft_members_valid(base->members, base->nmembers,
								r->o.max_members) ||
		base->nhorizon > r->base_horizon.cap)
		return false;
	rep_raft_log_reset(&r->log, base->index, base->term);
	r->floor = base->floor;
	memmove(r->base_members, base->members,
			base->nmembers * sizeof(RepRaftMember));
	r->nbase_members = base->nmembers;
	if (base->nhorizon > 0)
		memmove(r->base_horizon.entries, base->horizon,
				base->nhorizon * sizeof(RepVersion));
	r->base_horizon.len = base->nhorizon;
	r->commit = base->index;
	r->applied = base->index;
	r->told_commit = base->index;
	r->settled = base->index;
	rep_raft_set_members(r, r->base_members, r->nbase_members, base->index);
	return true;
}

bool
rep_raft_restore_base(RepRaft *r, const RepRaftBase *base)
{
	return take_base(r, base);
}

bool
rep_raft_restore_entry(RepRaft *r, const RepRaftEntry *e)
{
	if (e->index != r->log.last + 1 ||
		e->term < rep_raft_log_last_term(&r->log) || e->term > r->term)
		return false;
	if (!rep_raft_entry_valid(r, e))
		return false;
	if (!rep_raft_log_append(&r->log, e))
		return false;
	r->log.stable = r->log.last;
	return true;
}

bool
rep_raft_start(RepRaft *r, uint64_t now_ms, uint64_t applied)
{
	if (r->nbase_members == 0 || applied < r->log.base || applied > r->log.last)
		return false;
	r->now_ms = now_ms;
	r->commit = applied;
	r->applied = applied;
	r->told_commit = applied;
	r->settled = applied;
	rep_raft_reload_members(r);
	/* we may have heard from a leader just before we went down */
	r->contact_ms = now_ms;
	rep_raft_reset_election_timer(r);
	return true;
}

/* The term of what a message brings is not ours: settle that first. */
static bool
settle_term(RepRaft *r, const RepRaftMessage *m)
{
	bool leads = m->type == REP_MSG_APPEND || m->type == REP_MSG_HEARTBEAT ||
				 m->type == REP_MSG_SNAPSHOT;

	if (m->term > r->term)
		rep_raft_become_follower(r, m->term, leads ? m->from : 0);
	if (m->term == r->term || m->type == REP_MSG_RELAY)
		return true;

	/*
	 * Older than us. A deposed leader and a candidate that fell behind must
	 * learn of our term, or with pre-vote a node that is ahead of its cluster
	 * would never be led again.
	 */
	if (leads)
	{
		RepRaftMessage *a = rep_raft_message(r, REP_MSG_APPEND_ANSWER, m->from);

		a->reject = true;
		rep_raft_send(r, a, 0);
	}
	else if (m->type == REP_MSG_PREVOTE || m->type == REP_MSG_VOTE)
	{
		RepRaftMessage *a =
			rep_raft_message(r,
							 m->type == REP_MSG_VOTE ? REP_MSG_VOTE_ANSWER
													 : REP_MSG_PREVOTE_ANSWER,
							 m->from);

		a->reject = true;
		a->id = m->id;
		rep_raft_send(r, a, 0);
	}
	return false;
}

static void
on_message(RepRaft *r, const RepRaftMessage *m)
{
	if (m->from == r->o.node || m->from == 0 || m->to != r->o.node)
		return;
	if (rep_raft_in_lease(r, m) || !settle_term(r, m))
		return;

	switch (m->type)
	{
		case REP_MSG_PREVOTE:
			rep_raft_on_prevote(r, m);
			break;
		case REP_MSG_PREVOTE_ANSWER:
			rep_raft_on_prevote_answer(r, m);
			break;
		case REP_MSG_VOTE:
			rep_raft_on_vote(r, m);
			break;
		case REP_MSG_VOTE_ANSWER:
			rep_raft_on_vote_answer(r, m);
			break;
		case REP_MSG_APPEND:
			rep_raft_on_append(r, m);
			break;
		case REP_MSG_APPEND_ANSWER:
			rep_raft_on_append_answer(r, m);
			break;
		case REP_MSG_HEARTBEAT:
			rep_raft_on_heartbeat(r, m);
			break;
		case REP_MSG_HEARTBEAT_ANSWER:
			rep_raft_on_heartbeat_answer(r, m);
			break;
		case REP_MSG_HELD:
			rep_raft_on_held(r, m);
			break;
		case REP_MSG_SNAPSHOT:
			rep_raft_on_snapshot(r, m);
			break;
		case REP_MSG_CAMPAIGN:
			if (m->from == r->leader && !r->disk_bad)
				rep_raft_campaign(r, true);
			break;
		case REP_MSG_PROPOSE:
			rep_raft_on_propose(r, m);
			break;
		case REP_MSG_VERDICT:
			rep_raft_on_verdict(r, m);
			break;
		case REP_MSG_READ:
			rep_raft_on_read(r, m);
			break;
		case REP_MSG_READ_ANSWER:
			rep_raft_on_read_answer(r, m);
			break;
		case REP_MSG_RELAY:
			rep_raft_on_relay(r, m);
			break;
	}
}

static void
on_tick(RepRaft *r)
{
	if (r->role == REP_RAFT_LEADER)
		rep_raft_leader_tick(r);
	else
		rep_raft_election_tick(r);
	rep_raft_member_tick(r);
	rep_raft_read_tick(r);
}

static void
on_persisted(RepRaft *r, uint64_t persist)
{
	if (persist > r->persist)
		persist = r->persist;
	if (persist > r->durable)
		r->durable = persist;
	rep_raft_log_persisted(&r->log, persist);
	if (r->role == REP_RAFT_LEADER)
	{
		if (r->self != NULL)
			rep_raft_progress_matched(r->self, r->log.stable);
		r->recheck_commit = true;
	}
	else
		rep_raft_election_persisted(r);
}

static void
on_held(RepRaft *r, const RepVersion *held, uint32_t n)
{
	if (n > r->held.cap)
		return;
	if (n > 0)
		memcpy(r->held.entries, held, n * sizeof(RepVersion));
	r->held.len = n;
	r->held_version++;
	r->recheck_waiting = true;
	if (r->leader_wants_held && r->leader != 0)
		rep_raft_tell_held(r);
}

static void
on_disk(RepRaft *r, bool healthy)
{
	r->disk_bad = !healthy;
	/* nothing new is persisted by stepping down */
	if (r->disk_bad && r->role != REP_RAFT_FOLLOWER)
		rep_raft_become_follower(r, r->term, 0);
}

static void
on_applied(RepRaft *r, uint64_t index)
{
	if (index > r->applied && index <= r->commit)
		r->applied = index;
}

static void
dispatch(RepRaft *r, const RepRaftEvent *ev)
{
	switch (ev->type)
	{
		case REP_EV_TICK:
			on_tick(r);
			break;
		case REP_EV_MESSAGE:
			on_message(r, ev->message);
			break;
		case REP_EV_PROPOSE:
			rep_raft_propose(r, ev->proposal);
			break;
		case REP_EV_FORGET:
			rep_raft_forget(r, ev->proposal->stamp);
			break;
		case REP_EV_READ:
			rep_raft_read(r, ev->id);
			break;
		case REP_EV_READ_CANCEL:
			rep_raft_read_cancel(r, ev->id);
			break;
		case REP_EV_PERSISTED:
			on_persisted(r, ev->id);
			break;
		case REP_EV_HELD:
			on_held(r, ev->held, ev->nheld);
			break;
		case REP_EV_APPLIED:
			on_applied(r, ev->index);
			break;
		case REP_EV_COMPACT:
			rep_raft_compact(r, ev->index);
			break;
		case REP_EV_INSTALLED:
			rep_raft_installed(r, ev->base);
			break;
		case REP_EV_CHANGE:
			rep_raft_change(r, ev);
			break;
		case REP_EV_HORIZON:
			rep_raft_propose_horizon(r, ev->held, ev->nheld);
			break;
		case REP_EV_TRANSFER:
			rep_raft_transfer(r, ev->node);
			break;
		case REP_EV_RELAY:
			rep_raft_relay(r, ev->node, ev->index);
			break;
		case REP_EV_DISK:
			on_disk(r, ev->healthy);
			break;
	}
}

/* The first thing a new leader does; what its log says is not yet decided. */
static void
begin_term(RepRaft *r)
{
	RepRaftEntry noop = { 0 };

	rep_raft_rebuild(r);
	/* Section 6.4: what came before counts only with an entry of our own. */
	noop.index = r->term_start;
	noop.term = r->term;
	noop.kind = REP_ENTRY_NOOP;
	if (rep_raft_append_entry(r, &noop))
		r->want_round = true;
	else
		rep_raft_become_follower(r, r->term, 0);
}

/* Entries committed in this step decide proposals and end leaderships. */
static void
settle(RepRaft *r)
{
	while (r->settled < r->commit)
	{
		const RepRaftEntry *e = rep_raft_log_get(&r->log, ++r->settled);

		if (e->kind == REP_ENTRY_WRITE || e->kind == REP_ENTRY_ABORT)
			rep_raft_settle_pending(r, e);
		else if (e->index == r->config_index && r->role == REP_RAFT_LEADER &&
				 !rep_raft_is_voter(r, r->o.node))
			rep_raft_become_follower(r, r->term, 0);
	}
}

static void
tell_leader(RepRaft *r)
{
	RepRaftAction *a = rep_raft_act(r, REP_ACT_LEADER);

	a->node = r->leader;
	a->term = r->term;
	a->role = r->role;
	rep_raft_read_leader_changed(r);
}

/* Tests a mark and wipes it off. */
static bool
marked(bool *mark)
{
	bool was = *mark;

	*mark = false;
	return was;
}

/* What a leader has to look at again; true if it did. */
static bool
lead(RepRaft *r)
{
	if (marked(&r->recheck_commit))
		rep_raft_advance_commit(r);
	else if (marked(&r->recheck_waiting))
		rep_raft_retry_waiting(r);
	else if (marked(&r->recheck_transfer))
		rep_raft_transfer_progress(r);
	else if (marked(&r->want_round))
		rep_raft_heartbeat(r);
	else if (marked(&r->recheck_reads))
		rep_raft_reads_confirm(r);
	else
		return false;
	return true;
}

/* Follows up on what the step has marked, until nothing is. */
static void
follow_up(RepRaft *r)
{
	bool again = true;

	while (again)
	{
		again = true;
		if (marked(&r->lost_lead))
		{
			rep_raft_drop_waiting(r);
			rep_raft_reads_drop(r);
		}
		else if (marked(&r->term_begins))
			begin_term(r);
		else if (r->settled < r->commit)
			settle(r);
		else if (marked(&r->leader_news))
			tell_leader(r);
		else
			again = r->role == REP_RAFT_LEADER && lead(r);
	}
}

static void
finish(RepRaft *r, bool more)
{
	follow_up(r);
	if (r->role == REP_RAFT_LEADER && !more)
		rep_raft_replicate(r);
	rep_raft_flush(r);
	if (r->told_commit < r->commit)
	{
		RepRaftAction *a = rep_raft_act(r, REP_ACT_COMMIT);

		a->after = rep_raft_log_after(&r->log, r->commit);
		a->index = r->commit;
		r->told_commit = r->commit;
	}
}

bool
rep_raft_step(RepRaft *r, const RepRaftEvent *ev, RepArena *arena,
			  RepRaftActions *out)
{
	if (rep_arena_left(arena) < rep_raft_arena_size(&r->o))
		return false;
	r->arena = arena;
	r->items = rep_arena_array(arena, r->max_items, sizeof(RepRaftAction));
	r->nitems = 0;
	if (ev->now_ms > r->now_ms)
		r->now_ms = ev->now_ms;
	if (ev->wall_ms != 0)
		r->wall_ms = ev->wall_ms;

	dispatch(r, ev);
	finish(r, ev->more);

	assert(r->log.base <= r->commit && r->commit <= r->log.last);
	assert(r->applied <= r->commit);
	out->items = r->items;
	out->n = r->nitems;
	r->arena = NULL;
	r->items = NULL;
	return true;
}

void
rep_raft_set_heartbeat(RepRaft *r, uint32_t heartbeat_ms)
{
	if (heartbeat_ms == 0 || heartbeat_ms >= r->o.election_ms)
		return;
	r->o.heartbeat_ms = heartbeat_ms;
	if (r->heartbeat_at_ms > r->now_ms + heartbeat_ms)
		r->heartbeat_at_ms = r->now_ms + heartbeat_ms;
}

void
rep_raft_set_lease(RepRaft *r, bool lease)
{
	r->o.lease = lease;
}

uint64_t
rep_raft_lease(RepRaft *r, uint64_t *index)
{
	*index = r->commit;
	if (r->role != REP_RAFT_LEADER || !rep_raft_established(r))
		return 0;
	return rep_raft_lease_end(r);
}

void
rep_raft_status(const RepRaft *r, RepRaftStatus *s)
{
	memset(s, 0, sizeof(*s));
	s->role = r->role;
	s->node = r->o.node;
	s->leader = r->leader;
	s->term = r->term;
	s->first = r->log.base + 1;
	s->last = r->log.last;
	s->commit = r->commit;
	s->applied = r->applied;
	s->config_index = r->config_index;
	s->nwaiting = r->live_waiting;
	s->npending = r->npending;
	s->established = rep_raft_established(r);
	s->want_held = r->role == REP_RAFT_LEADER ? r->live_waiting > 0
											  : r->leader_wants_held;
	s->log_used = rep_raft_log_used(&r->log);
	s->members = r->members;
	s->nmembers = r->nmembers;
}

RepVector
rep_raft_horizon(const RepRaft *r, uint64_t index)
{
	RepVector v = r->base_horizon;

	if (index > r->log.last)
		index = r->log.last;
	for (uint64_t i = r->log.base + 1; i <= index; i++)
	{
		const RepRaftEntry *e = rep_raft_log_get(&r->log, i);

		if (e->kind == REP_ENTRY_HORIZON)
			v = (RepVector){ (RepVersion *) e->deps, e->ndeps, e->ndeps };
	}
	return v;
}

bool
rep_raft_peer(const RepRaft *r, uint32_t node, uint64_t *match,
			  uint64_t *applied)
{
	const RepRaftProgress *p = rep_raft_progress_of(r, node);

	if (r->role != REP_RAFT_LEADER || node == 0 || p == NULL)
		return false;
	*match = p == r->self ? r->log.stable : p->match;
	*applied = p == r->self ? r->applied : p->applied;
	return true;
}

uint64_t
rep_raft_term_at(const RepRaft *r, uint64_t index)
{
	return rep_raft_log_term(&r->log, index);
}

const RepRaftEntry *
rep_raft_entry_at(const RepRaft *r, uint64_t index)
{
	return rep_raft_log_get(&r->log, index);
}
