/*
 * raft_replicate.c
 *		Entries on their way from the leader to the members, and commit.
 *
 * Invariants
 * 1. A follower says "match" only for a prefix that is durable there when the
 *	  answer leaves (an acknowledgement means durable, nothing else).
 * 2. The leader counts itself only as far as its own log is durable.
 * 3. Only an entry of the current term is committed by counting; earlier ones
 *	  with it (section 3.6.2).
 * 4. A committed entry is never cut away.
 */
#include "raft_replicate.h"
#include "raft_catchup.h"

#include <assert.h>

/* As many entries from `index` on as one append takes. */
static const RepRaftEntry *
batch(const RepRaft *r, uint64_t index, uint32_t *n)
{
	const RepRaftEntry *run =
		rep_raft_log_run(&r->log, index, r->o.batch_entries, n);
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < *n; i++)
	{
		bytes += run[i].payload_size + rep_raft_body_size(&run[i]);
		/* one always goes, however large */
		if (i > 0 && bytes > r->o.batch_bytes)
		{
			*n = i;
			break;
		}
	}
	return run;
}

static void
send_append(RepRaft *r, RepRaftProgress *p)
{
	RepRaftMessage *m = rep_raft_message(r, REP_MSG_APPEND, p->node);

	m->index = p->next - 1;
	m->log_term = rep_raft_log_term(&r->log, m->index);
	m->commit = r->commit;
	m->held_version = p->held_version;
	m->want_held = r->live_waiting > 0;
	m->entries = batch(r, p->next, &m->nentries);
	rep_raft_progress_sent(p, m->index + m->nentries, r->now_ms);
	if (m->commit > p->told_commit)
		p->told_commit = m->commit;
	rep_raft_send(r, m, 0);
}

static void
send_appends(RepRaft *r, RepRaftProgress *p)
{
	while (rep_raft_progress_may_send(p))
	{
		bool unsure = p->state == REP_PROGRESS_PROBE && p->match < r->log.last;

		if (p->next - 1 < r->log.base)
		{
			rep_raft_send_snapshot(r, p);
			return;
		}
		if (p->next > r->log.last && !unsure)
			return;
		send_append(r, p);
	}
}

/* A heartbeat that asks for no answer tells a member of new commits. */
static void
send_commit(RepRaft *r, RepRaftProgress *p)
{
	uint64_t commit = r->commit < p->match ? r->commit : p->match;
	RepRaftMessage *m;

	if (commit <= p->told_commit)
		return;
	m = rep_raft_message(r, REP_MSG_HEARTBEAT, p->node);
	m->commit = commit;
	m->held_version = p->held_version;
	m->want_held = r->live_waiting > 0;
	p->told_commit = commit;
	rep_raft_send(r, m, 0);
}

void
rep_raft_replicate(RepRaft *r)
{
	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		RepRaftProgress *p = rep_raft_progress_of(r, r->members[i].node);

		if (p == r->self)
			continue;
		send_appends(r, p);
		send_commit(r, p);
	}
}

void
rep_raft_heartbeat(RepRaft *r)
{
	if (!REP_BUG(8))
		r->round++;
	r->heartbeat_at_ms = r->now_ms + r->o.heartbeat_ms;
	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		RepRaftProgress *p = rep_raft_progress_of(r, r->members[i].node);
		RepRaftMessage *m;

		if (p == r->self)
			continue;
		m = rep_raft_message(r, REP_MSG_HEARTBEAT, p->node);
		m->id = r->round;
		m->sent_ms = r->now_ms;
		m->commit = r->commit < p->match || REP_BUG(21) ? r->commit : p->match;
		m->held_version = p->held_version;
		m->want_held = r->live_waiting > 0;
		rep_raft_send(r, m, 0);
	}
	r->recheck_reads = true;
}

/* Since when a majority has been silent: step down (section 6.2). */
static bool
quorum_lost(RepRaft *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		const RepRaftProgress *p;

		if (!r->members[i].voter)
			continue;
		p = rep_raft_progress_of(r, r->members[i].node);
		r->scratch[n++] = p == r->self ? r->now_ms : p->contact_ms;
	}
	return rep_raft_quorum_value(r->scratch, n) + r->o.election_ms < r->now_ms;
}

static void
retry_lost(RepRaft *r, RepRaftProgress *p)
{
	uint64_t silent = r->now_ms - p->sent_ms;

	switch (p->state)
	{
		case REP_PROGRESS_PROBE:
			if (p->probing && silent >= r->o.retry_ms)
				p->probing = false;
			break;
		case REP_PROGRESS_REPLICATE:
			if (p->ninflight > 0 && silent >= r->o.retry_ms)
				rep_raft_progress_probe(p, p->match + 1);
			break;
		case REP_PROGRESS_SNAPSHOT:
			if (silent >= r->o.snapshot_ms)
				rep_raft_progress_probe(p, p->match + 1);
			break;
	}
}

void
rep_raft_leader_tick(RepRaft *r)
{
	if (quorum_lost(r))
	{
		rep_raft_become_follower(r, r->term, 0);
		return;
	}
	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		RepRaftProgress *p = rep_raft_progress_of(r, r->members[i].node);

		if (p != r->self)
			retry_lost(r, p);
	}
	r->recheck_waiting = r->live_waiting > 0;
	if (r->now_ms >= r->heartbeat_at_ms)
		r->want_round = true;
}

void
rep_raft_advance_commit(RepRaft *r)
{
	uint32_t n = 0;
	uint64_t index;

	for (uint32_t i = 0; i < r->nmembers; i++)
	{
		const RepRaftProgress *p;

		if (!r->members[i].voter && !REP_BUG(22))
			continue;
		p = rep_raft_progress_of(r, r->members[i].node);
		r->scratch[n++] = p == r->self && REP_BUG(19) ? r->log.last : p->match;
	}
	index = rep_raft_quorum_value(r->scratch, n);
	if (index <= r->commit)
		return;
	if (rep_raft_log_term(&r->log, index) != r->term && !REP_BUG(2))
		return;
	rep_raft_set_commit(r, index);
	r->recheck_waiting = true;
	r->recheck_reads = true;
}

/* A message of this term's leader: follow it. */
static bool
follow(RepRaft *r, const RepRaftMessage *m)
{
	/* two leaders of one term cannot be; whatever this is, it is not one */
	if (r->role == REP_RAFT_LEADER)
		return false;
	if (r->role != REP_RAFT_FOLLOWER || r->leader != m->from)
		rep_raft_become_follower(r, r->term, m->from);
	r->contact_ms = r->now_ms;
	rep_raft_reset_election_timer(r);
	r->leader_wants_held = m->want_held;
	return true;
}

static RepRaftMessage *
append_answer(RepRaft *r, uint32_t to, uint64_t known)
{
	RepRaftMessage *a = rep_raft_message(r, REP_MSG_APPEND_ANSWER, to);

	rep_raft_fill_held(r, a, known);
	return a;
}

/* Says where our log may agree, so that the leader skips what cannot. */
static void
reject_append(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftMessage *a = append_answer(r, m->from, m->held_version);
	uint64_t i = m->index < r->log.last ? m->index : r->log.last;

	while (i > r->log.base && rep_raft_log_term(&r->log, i) > m->log_term)
		i--;
	a->reject = true;
	a->hint = m->index;
	a->index = i;
	a->log_term = rep_raft_log_term(&r->log, i);
	rep_raft_send(r, a, 0);
}

void
rep_raft_on_append(RepRaft *r, const RepRaftMessage *m)
{
	uint64_t last;
	RepRaftMessage *a;

	if (!follow(r, m) || !rep_raft_entries_valid(r, m))
		return;

	/* what is committed here is in its log too */
	if (m->index > r->log.last ||
		(m->index >= r->commit && !REP_BUG(6) &&
		 rep_raft_log_term(&r->log, m->index) != m->log_term))
	{
		reject_append(r, m);
		return;
	}
	last = rep_raft_take_entries(r, m);
	rep_raft_flush(r);
	rep_raft_set_commit(r, m->commit < last ? m->commit : last);
	a = append_answer(r, m->from, m->held_version);
	a->index = last;
	a->hint = m->index + m->nentries;
	rep_raft_send(r, a, REP_BUG(4) ? 0 : rep_raft_log_after(&r->log, last));
}

/*
 * The largest index at or below the hint that can agree with the follower;
 * below our base if even the base cannot, which calls for a snapshot.
 */
static uint64_t
agreeing(const RepRaft *r, const RepRaftMessage *m)
{
	uint64_t i = m->index < r->log.last ? m->index : r->log.last;

	while (i > 0 && i >= r->log.base &&
		   rep_raft_log_term(&r->log, i) > m->log_term)
		i--;
	return i;
}

void
rep_raft_on_append_answer(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftProgress *p = rep_raft_progress_of(r, m->from);

	if (r->role != REP_RAFT_LEADER || p == NULL || p == r->self)
		return;
	p->contact_ms = r->now_ms;
	r->recheck_waiting |= rep_raft_progress_held(p, m);

	if (m->reject)
	{
		if (p->state == REP_PROGRESS_SNAPSHOT || m->hint <= p->match)
			return;
		/* an answer to a probe we are past */
		if (p->state == REP_PROGRESS_PROBE && m->hint != p->next - 1)
			return;
		rep_raft_progress_probe(p, agreeing(r, m) + 1);
		return;
	}
	if (m->index > r->log.last)
		return;
	if (rep_raft_progress_matched(p, m->index))
	{
		p->sent_ms = r->now_ms;
		r->recheck_commit = true;
		r->recheck_transfer = true;
	}
	if (p->state != REP_PROGRESS_SNAPSHOT && m->index < m->hint)
	{
		/* its log is full: again when it has had time to compact */
		rep_raft_progress_probe(p, p->match + 1);
		p->probing = true;
		p->sent_ms = r->now_ms;
	}
	else if (p->state == REP_PROGRESS_PROBE ||
			 (p->state == REP_PROGRESS_SNAPSHOT && p->match >= r->log.base))
	{
		rep_raft_progress_probe(p, p->match + 1);
		if (p->match >= r->log.base)
			p->state = REP_PROGRESS_REPLICATE;
	}
}

void
rep_raft_on_heartbeat(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftMessage *a;

	if (!follow(r, m))
		return;
	rep_raft_set_commit(r, m->commit < r->log.last ? m->commit : r->log.last);
	if (m->id == 0)
		return;
	a = rep_raft_message(r, REP_MSG_HEARTBEAT_ANSWER, m->from);
	a->id = m->id;
	a->sent_ms = m->sent_ms;
	rep_raft_fill_held(r, a, m->held_version);
	rep_raft_send(r, a, 0);
}

void
rep_raft_on_heartbeat_answer(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftProgress *p = rep_raft_progress_of(r, m->from);

	if (r->role != REP_RAFT_LEADER || p == NULL || p == r->self ||
		m->id > r->round)
		return;
	p->contact_ms = r->now_ms;
	if (m->id > p->acked_round)
		p->acked_round = m->id;
	if (m->sent_ms > p->acked_sent_ms && m->sent_ms <= r->now_ms)
		p->acked_sent_ms = m->sent_ms;
	r->recheck_waiting |= rep_raft_progress_held(p, m);
	r->recheck_reads = true;
}

void
rep_raft_on_held(RepRaft *r, const RepRaftMessage *m)
{
	RepRaftProgress *p = rep_raft_progress_of(r, m->from);

	if (r->role == REP_RAFT_LEADER && p != NULL && p != r->self)
		r->recheck_waiting |= rep_raft_progress_held(p, m);
}

void
rep_raft_tell_held(RepRaft *r)
{
	RepRaftMessage *m;

	if (r->role == REP_RAFT_LEADER)
		return;
	m = rep_raft_message(r, REP_MSG_HELD, r->leader);
	rep_raft_fill_held(r, m, 0);
	rep_raft_send(r, m, 0);
}
