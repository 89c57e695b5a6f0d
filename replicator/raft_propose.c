/*
 * raft_propose.c
 *		Proposals: taken in, certified, made to wait, logged or refused.
 *
 * Invariants
 * 1. A stamp is appended at most once in one log: the leader knows every
 *	  stamp of its log, and refuses to judge one as old as what it compacted.
 * 2. Nothing is answered before an own-term entry is committed: until then
 *	  the log may hold what no leader before could decide.
 * 3. A proposal is taken only in the term it was sent in, and only if its
 *	  ticket is above every ticket taken from that node in this term.
 * 4. "Held before logged": a majority of the voters reported holding its deps
 *	  when an entry was appended.
 */
#include "raft_propose.h"

#include <assert.h>
#include <string.h>

typedef enum Decision
{
	DECIDED,   /* logged or answered */
	WAIT_TERM, /* for our own-term commit */
	WAIT_HELD, /* for deps to be held */
	WAIT_ROOM  /* for the log, or a transfer, to get on */
} Decision;

/* Emits the verdict on an own proposal, if it is about its newest try. */
static void
local_verdict(RepRaft *r, RepStamp stamp, uint64_t ticket,
			  RepRaftVerdict verdict, uint64_t index, uint64_t key)
{
	uint64_t slot = rep_raft_stamps_get(&r->pending_slots, stamp);
	bool settled =
		verdict == REP_VERDICT_COMMITTED || verdict == REP_VERDICT_ABORTED;
	RepRaftAction *a;

	if (slot == 0)
		return;
	if (!settled && r->pending[slot - 1].ticket != ticket && !REP_BUG(16))
		return;
	rep_raft_forget(r, stamp);
	a = rep_raft_act(r, REP_ACT_VERDICT);
	a->stamp = stamp;
	a->verdict = verdict;
	a->index = index;
	a->key = key;
}

static void
tell_verdict(RepRaft *r, const RepRaftWaiting *w, RepRaftVerdict verdict,
			 uint64_t index, uint64_t key)
{
	RepRaftMessage *m;

	if (w->from == r->o.node)
	{
		local_verdict(r, w->entry.stamp, w->ticket, verdict, index, key);
		return;
	}
	m = rep_raft_message(r, REP_MSG_VERDICT, w->from);
	m->id = w->ticket;
	m->stamp = w->entry.stamp;
	m->verdict = verdict;
	m->index = index;
	m->key = key;
	rep_raft_send(r, m, 0);
}

static void
drop(RepRaft *r, RepStamp stamp)
{
	rep_raft_act(r, REP_ACT_DROP)->stamp = stamp;
}

static bool
majority_holds(const RepRaft *r, const RepRaftEntry *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		const RepRaftProgress *p;

		if (!r->members[i].voter)
			continue;
		p = rep_raft_progress_of(r, r->members[i].node);
		n += rep_raft_holds(p == r->self ? &r->held : &p->held, e);
	}
	return n >= rep_raft_majority(rep_raft_voters(r)) || REP_BUG(9);
}

/* The strong position among deps: an index the origin had applied. */
static uint64_t
strong_position(const RepVersion *deps, uint32_t ndeps)
{
	return ndeps > 0 && deps[0].stream.node == 0 ? deps[0].position : 0;
}

static uint64_t
strong_dep(const RepRaftEntry *e)
{
	return strong_position(e->deps, e->ndeps);
}

/*
 * Whose origin had applied the log that far had all else that the horizon
 * names when it took its deps: the host says so by proposing it. Deps need not
 * name it, so a stream that has ended may be left out.
 */
static bool
covers_horizon(const RepRaft *r, const RepRaftEntry *e)
{
	return strong_dep(e) >=
		   strong_position(r->horizon.entries, r->horizon.len);
}

/* The first entry about a stamp decides. */
static void
note_stamp(RepRaft *r, const RepRaftEntry *e)
{
	if (rep_raft_stamps_get(&r->logged, e->stamp) == 0)
		rep_raft_stamps_set(&r->logged, e->stamp, e->index);
}

/* What the entry, the first about its stamp in our log, says of it. */
static RepRaftVerdict
outcome(const RepRaft *r, const RepRaftEntry *e)
{
	if (e->kind == REP_ENTRY_WRITE)
		return REP_VERDICT_COMMITTED;
	/* an ABORT that may stand behind what was compacted decides nothing */
	return e->stamp.hlc <= r->floor ? REP_VERDICT_OLD_STAMP
									: REP_VERDICT_ABORTED;
}

static void
note_entry(RepRaft *r, const RepRaftEntry *e)
{
	switch (e->kind)
	{
		case REP_ENTRY_WRITE:
			rep_certify_note(&r->certify, e->keys, e->nkeys, e->index);
			note_stamp(r, e);
			break;
		case REP_ENTRY_ABORT:
			rep_certify_note(&r->certify, e->keys, e->nkeys, e->index);
			note_stamp(r, e);
			break;
		case REP_ENTRY_HORIZON:
			if (e->ndeps > 0)
				memcpy(r->horizon.entries, e->deps,
					   e->ndeps * sizeof(RepVersion));
			r->horizon.len = e->ndeps;
			break;
		case REP_ENTRY_NOOP:
		case REP_ENTRY_CONFIG:
			break;
	}
}

/* A new leader learns from its log what the one before it knew. */
void
rep_raft_rebuild(RepRaft *r)
{
	rep_certify_reset(&r->certify, REP_BUG(12) ? 0 : r->log.base);
	rep_raft_stamps_reset(&r->logged);
	r->horizon.len = r->base_horizon.len;
	if (r->horizon.len > 0)
		memcpy(r->horizon.entries, r->base_horizon.entries,
			   r->horizon.len * sizeof(RepVersion));
	if (REP_BUG(12))
		return;
	for (uint64_t i = r->log.base + 1; i <= r->log.last; i++)
		note_entry(r, rep_raft_log_get(&r->log, i));
}

static void
log_proposal(RepRaft *r, const RepRaftEntry *proposal)
{
	RepRaftEntry e = *proposal;
	bool appended;

	e.index = r->log.last + 1;
	e.term = r->term;
	appended = rep_raft_append_entry(r, &e);
	assert(appended);
	(void) appended;
	note_entry(r, rep_raft_log_get(&r->log, e.index));
}

/* What the log says of this stamp already; DECIDED if anything. */
static bool
answer_from_log(RepRaft *r, const RepRaftWaiting *w)
{
	uint64_t index = rep_raft_stamps_get(&r->logged, w->entry.stamp);

	if (index == 0 || REP_BUG(10))
		return false;
	drop(r, w->entry.stamp);
	/* until it is committed the origin waits for its own log to tell */
	if (index <= r->commit)
		tell_verdict(r, w, outcome(r, rep_raft_log_get(&r->log, index)), index,
					 0);
	return true;
}

/* A reason to refuse that waiting would not cure, or 0. */
static RepRaftVerdict
objection(const RepRaft *r, const RepRaftEntry *e, uint64_t *key,
		  uint64_t *index)
{
	uint64_t ms = rep_hlc_to_ms(e->stamp.hlc);

	/* an ABORT too: once compacted, its stamp would make all others old */
	if (ms > r->wall_ms + r->o.max_skew_ms && !REP_BUG(15))
		return REP_VERDICT_SKEWED;
	if (e->kind == REP_ENTRY_WRITE && e->stamp.hlc <= r->floor)
		return REP_VERDICT_OLD_STAMP;
	if (e->kind == REP_ENTRY_WRITE && !covers_horizon(r, e))
		return REP_VERDICT_HORIZON;
	/* an ABORT has no keys, or those that it claims */
	switch (rep_certify_check(&r->certify, e->keys, e->nkeys, key, index))
	{
		case REP_CERTIFY_OK:
			break;
		case REP_CERTIFY_CONFLICT:
			return REP_BUG(11) ? 0 : REP_VERDICT_CONFLICT;
		case REP_CERTIFY_OLD_BASE:
			return REP_VERDICT_OLD_BASE;
	}
	return 0;
}

static Decision
decide(RepRaft *r, const RepRaftWaiting *w)
{
	const RepRaftEntry *e = &w->entry;
	RepRaftVerdict refusal;
	uint64_t key = 0;
	uint64_t index = 0;

	if (!rep_raft_established(r))
		return WAIT_TERM;
	if (answer_from_log(r, w))
		return DECIDED;
	refusal = objection(r, e, &key, &index);
	if (refusal != 0)
	{
		drop(r, e->stamp);
		tell_verdict(r, w, refusal, index, key);
		return DECIDED;
	}
	if (strong_dep(e) > r->log.last || !majority_holds(r, e))
		return WAIT_HELD;
	if (r->transfer_to != 0 || !rep_raft_log_has_room(&r->log, e) ||
		r->log.last - r->commit >= r->o.max_uncommitted)
		return WAIT_ROOM;
	log_proposal(r, e);
	return DECIDED;
}

static RepRaftWaiting *
waiting_at(RepRaft *r, uint32_t i)
{
	return &r->waiting[(r->waiting_head + i) % r->o.max_waiting];
}

/* Gives back the room of what was answered at the head of the queue. */
static void
release_waiting(RepRaft *r)
{
	while (r->nwaiting > 0 && !waiting_at(r, 0)->live)
	{
		r->waiting_head = (r->waiting_head + 1) % r->o.max_waiting;
		r->nwaiting--;
		rep_raft_ring_release(&r->waiting_bodies, r->nwaiting > 0
													  ? waiting_at(r, 0)->at
													  : r->waiting_bodies.tail);
	}
}

static void
end_waiting(RepRaft *r, RepRaftWaiting *w)
{
	assert(w->live);
	w->live = false;
	r->live_waiting--;
}

void
rep_raft_drop_waiting(RepRaft *r)
{
	for (uint32_t i = 0; i < r->nwaiting; i++)
		if (waiting_at(r, i)->live)
		{
			end_waiting(r, waiting_at(r, i));
			drop(r, waiting_at(r, i)->entry.stamp);
		}
	release_waiting(r);
}

void
rep_raft_retry_waiting(RepRaft *r)
{
	for (uint32_t i = 0; i < r->nwaiting; i++)
	{
		RepRaftWaiting *w = waiting_at(r, i);
		Decision d;

		if (!w->live)
			continue;
		d = decide(r, w);
		if (d == DECIDED)
			end_waiting(r, w);
		else if (d != WAIT_TERM && r->now_ms - w->since_ms >= r->o.held_wait_ms)
		{
			end_waiting(r, w);
			drop(r, w->entry.stamp);
			tell_verdict(r, w,
						 d == WAIT_HELD ? REP_VERDICT_NOT_HELD
										: REP_VERDICT_BUSY,
						 0, 0);
		}
	}
	release_waiting(r);
}

/* Another copy of it waits already: the newest ticket is the one to answer. */
static bool
refresh_waiting(RepRaft *r, uint32_t from, uint64_t ticket,
				const RepRaftEntry *e)
{
	for (uint32_t i = 0; i < r->nwaiting; i++)
	{
		RepRaftWaiting *w = waiting_at(r, i);

		if (!w->live || w->entry.kind != e->kind ||
			rep_stamp_compare(w->entry.stamp, e->stamp) != 0)
			continue;
		w->from = from;
		w->ticket = ticket;
		return true;
	}
	return false;
}

static void
enqueue(RepRaft *r, const RepRaftWaiting *w)
{
	RepRaftWaiting copy = *w;
	bool first = r->live_waiting == 0;

	if (r->nwaiting == r->o.max_waiting ||
		!rep_raft_ring_hold(&r->waiting_bodies, &copy.entry, &copy.at))
	{
		drop(r, w->entry.stamp);
		/* before our own-term commit no refusal is definite */
		if (rep_raft_established(r))
			tell_verdict(r, w, REP_VERDICT_BUSY, 0, 0);
		return;
	}
	copy.live = true;
	*waiting_at(r, r->nwaiting) = copy;
	r->nwaiting++;
	r->live_waiting++;
	/* let the members tell what they hold as soon as it changes */
	r->want_round |= first;
}

/* A proposal reaches us as the leader. */
static void
take(RepRaft *r, uint32_t from, uint64_t ticket, const RepRaftEntry *e)
{
	RepRaftProgress *p = rep_raft_progress_of(r, from);
	RepRaftWaiting w = {
		.entry = *e, .from = from, .ticket = ticket, .since_ms = r->now_ms
	};

	if (p == NULL || (ticket <= p->ticket && !REP_BUG(16)))
	{
		drop(r, e->stamp);
		return;
	}
	p->ticket = ticket;
	if (e->nkeys > r->o.max_keys || e->ndeps > r->o.max_streams ||
		rep_raft_body_size(e) > r->o.waiting_bytes / 2 ||
		rep_raft_body_size(e) > r->o.log_bytes / 4)
	{
		drop(r, e->stamp);
		if (rep_raft_established(r))
			tell_verdict(r, &w, REP_VERDICT_TOO_LARGE, 0, 0);
		return;
	}
	if (refresh_waiting(r, from, ticket, e))
		return;
	if (decide(r, &w) != DECIDED)
		enqueue(r, &w);
}

void
rep_raft_on_propose(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftEntry e;

	if (m->nentries != 1)
		return;
	e = m->entries[0];
	if (r->role != REP_RAFT_LEADER ||
		(e.kind != REP_ENTRY_WRITE && e.kind != REP_ENTRY_ABORT))
	{
		drop(r, e.stamp);
		return;
	}
	take(r, m->from, m->id, &e);
}

void
rep_raft_on_verdict(RepRaft *r, const RepRaftMessage *m)
{
	local_verdict(r, m->stamp, m->id, m->verdict, m->index, m->key);
}

/* Nothing was sent: as definite as a refusal can be. */
static void
refuse_unsent(RepRaft *r, RepStamp stamp, RepRaftVerdict verdict)
{
	RepRaftAction *a = rep_raft_act(r, REP_ACT_VERDICT);

	a->stamp = stamp;
	a->verdict = verdict;
}

/* The slot of a proposal that has none yet; 0 when all are taken. */
static uint64_t
take_slot(RepRaft *r, RepStamp stamp)
{
	for (uint32_t i = 0; i < r->o.max_pending; i++)
	{
		if (r->pending[i].ticket != 0)
			continue;
		if (!rep_raft_stamps_set(&r->pending_slots, stamp, i + 1))
			return 0;
		r->pending[i].stamp = stamp;
		r->npending++;
		return i + 1;
	}
	return 0;
}

void
rep_raft_propose(RepRaft *r, const RepRaftEntry *e)
{
	uint64_t slot = rep_raft_stamps_get(&r->pending_slots, e->stamp);
	RepRaftMessage *m;

	if (r->leader == 0 && slot == 0)
		refuse_unsent(r, e->stamp, REP_VERDICT_NO_LEADER);
	if (r->leader == 0)
		return;
	if (slot == 0 && (slot = take_slot(r, e->stamp)) == 0)
	{
		refuse_unsent(r, e->stamp, REP_VERDICT_BUSY);
		return;
	}
	r->pending[slot - 1].ticket = ++r->ticket;
	if (r->role == REP_RAFT_LEADER)
	{
		take(r, r->o.node, r->ticket, e);
		return;
	}
	m = rep_raft_message(r, REP_MSG_PROPOSE, r->leader);
	m->id = r->ticket;
	m->entries = e;
	m->nentries = 1;
	rep_raft_send(r, m, 0);
}

void
rep_raft_forget(RepRaft *r, RepStamp stamp)
{
	uint64_t slot = rep_raft_stamps_get(&r->pending_slots, stamp);

	if (slot == 0)
		return;
	rep_raft_stamps_remove(&r->pending_slots, stamp);
	r->pending[slot - 1].ticket = 0;
	r->npending--;
}

/* The first entry about this stamp, at or below `upto`. */
static const RepRaftEntry *
first_about(const RepRaft *r, RepStamp stamp, uint64_t upto)
{
	const RepRaftEntry *e = NULL;

	for (uint64_t i = r->log.base + 1; i <= upto; i++)
	{
		e = rep_raft_log_get(&r->log, i);
		if ((e->kind == REP_ENTRY_WRITE || e->kind == REP_ENTRY_ABORT) &&
			rep_stamp_compare(e->stamp, stamp) == 0)
			break;
	}
	return e;
}

void
rep_raft_settle_pending(RepRaft *r, const RepRaftEntry *e)
{
	uint64_t slot = rep_raft_stamps_get(&r->pending_slots, e->stamp);
	const RepRaftEntry *first = e;

	if (slot == 0)
		return;
	/* rare: somebody asked about a transaction that had been committed */
	if (e->kind == REP_ENTRY_ABORT)
		first = first_about(r, e->stamp, e->index);
	local_verdict(r, e->stamp, r->pending[slot - 1].ticket, outcome(r, first),
				  first->index, 0);
}

/* No stream's position falls; any but the strong one may be left out. */
static bool
horizon_grows(const RepRaft *r, const RepVersion *horizon, uint32_t n)
{
	if (strong_position(horizon, n) <
		strong_position(r->horizon.entries, r->horizon.len))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (horizon[i].position <
			rep_vector_get(&r->horizon, horizon[i].stream))
			return false;
	return true;
}

void
rep_raft_propose_horizon(RepRaft *r, const RepVersion *horizon, uint32_t n)
{
	RepRaftEntry e = { .kind = REP_ENTRY_HORIZON, .deps = horizon, .ndeps = n };

	if (rep_raft_established(r) && n <= r->horizon.cap &&
		rep_raft_log_has_room(&r->log, &e) && horizon_grows(r, horizon, n))
		log_proposal(r, &e);
}
