/*
 * raft_progress.c
 *		What this node, as leader, knows of one member.
 *
 * The invariants are those of raft_progress.h.
 */
#include "raft_progress.h"

#include <assert.h>
#include <string.h>

void
rep_raft_progress_init(RepRaftProgress *p, RepArena *a, const RepRaftOptions *o)
{
	RepVersion *held = rep_arena_array(a, o->max_streams, sizeof(RepVersion));
	uint64_t *inflight = rep_arena_array(a, o->max_inflight, sizeof(uint64_t));

	if (a->full)
		return;
	memset(p, 0, sizeof(*p));
	p->held.entries = held;
	p->held.cap = o->max_streams;
	p->inflight = inflight;
	p->max_inflight = o->max_inflight;
}

void
rep_raft_progress_reset(RepRaftProgress *p, uint32_t node, uint64_t next,
						uint64_t now_ms)
{
	RepVector held = p->held;
	uint64_t *inflight = p->inflight;
	uint32_t max_inflight = p->max_inflight;

	memset(p, 0, sizeof(*p));
	p->held = held;
	p->held.len = 0;
	p->inflight = inflight;
	p->max_inflight = max_inflight;
	p->node = node;
	p->next = next;
	p->contact_ms = now_ms;
}

bool
rep_raft_progress_may_send(const RepRaftProgress *p)
{
	switch (p->state)
	{
		case REP_PROGRESS_PROBE:
			return !p->probing;
		case REP_PROGRESS_REPLICATE:
			return p->ninflight < p->max_inflight;
		case REP_PROGRESS_SNAPSHOT:
			break;
	}
	return false;
}

void
rep_raft_progress_sent(RepRaftProgress *p, uint64_t last, uint64_t now_ms)
{
	assert(rep_raft_progress_may_send(p));
	if (p->ninflight == 0)
		p->sent_ms = now_ms;
	if (p->state == REP_PROGRESS_PROBE)
	{
		p->probing = true;
		p->sent_ms = now_ms;
		return;
	}
	p->inflight[(p->inflight_head + p->ninflight) % p->max_inflight] = last;
	p->ninflight++;
	p->next = last + 1;
}

bool
rep_raft_progress_matched(RepRaftProgress *p, uint64_t match)
{
	bool news = match > p->match;

	if (news)
		p->match = match;
	if (p->next <= p->match)
		p->next = p->match + 1;
	while (p->ninflight > 0 && p->inflight[p->inflight_head] <= p->match)
	{
		p->inflight_head = (p->inflight_head + 1) % p->max_inflight;
		p->ninflight--;
	}
	return news;
}

void
rep_raft_progress_probe(RepRaftProgress *p, uint64_t next)
{
	p->state = REP_PROGRESS_PROBE;
	p->probing = false;
	p->ninflight = 0;
	p->inflight_head = 0;
	p->next = next > p->match ? next : p->match + 1;
}

void
rep_raft_progress_snapshot(RepRaftProgress *p, uint64_t now_ms)
{
	rep_raft_progress_probe(p, p->match + 1);
	p->state = REP_PROGRESS_SNAPSHOT;
	p->sent_ms = now_ms;
}

bool
rep_raft_progress_held(RepRaftProgress *p, const RepRaftMessage *m)
{
	if (m->applied > p->applied)
		p->applied = m->applied;
	if (m->held == NULL || m->held_version <= p->held_version ||
		m->nheld > p->held.cap)
		return false;
	memcpy(p->held.entries, m->held, m->nheld * sizeof(RepVersion));
	p->held.len = m->nheld;
	p->held_version = m->held_version;
	return true;
}
