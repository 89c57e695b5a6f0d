/*
 * sim_node.c
 *		One node: its engine, and the host's duties towards it.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

uint64_t
sim_steady_ms(const Sim *sim, const SimNode *n)
{
	return 1000 + (n->steady_offset + sim->now / 1000 * n->rate / 1000) / 1000;
}

uint64_t
sim_wall_ms(const Sim *sim, const SimNode *n)
{
	return (uint64_t) ((int64_t) (1000000 + sim->now / 1000) +
					   n->wall_offset_ms);
}

void
sim_options(const Sim *sim, const SimNode *n, RepRaftOptions *o)
{
	rep_raft_defaults(o);
	o->node = n->id;
	o->seed = sim->seed * 31 + n->id * 1009 + n->boot;
	o->ticket_base = n->ticket_base;
	o->heartbeat_ms = 50;
	o->election_ms = 250;
	o->held_wait_ms = 600;
	o->retry_ms = 150;
	o->snapshot_ms = 800;
	o->max_skew_ms = 5000;
	o->lease = sim->lease;
	o->lease_drift_percent = 10;
	o->max_members = SIM_NODES;
	o->max_streams = SIM_STREAMS + 1;
	o->log_entries = 512;
	o->log_bytes = 256 * 1024;
	o->max_waiting = 8;
	o->waiting_bytes = 8 * 1024;
	o->max_pending = 6;
	o->max_reads = 6;
	o->max_keys = 24;
	o->max_uncommitted = 24;
	o->batch_entries = sim->batch_entries;
	o->batch_bytes = 2048;
	o->max_inflight = sim->max_inflight;
}

/* A disk's entry as the engine knows it. */
static void
restore_entry(Sim *sim, uint64_t index, const SimEntry *s, RepRaftEntry *e)
{
	memset(e, 0, sizeof(*e));
	e->index = index;
	e->term = s->term;
	e->kind = s->kind;
	e->payload = s->op;
	e->members = s->members;
	e->nmembers = s->nmembers;
	if (s->kind == REP_ENTRY_WRITE || s->kind == REP_ENTRY_ABORT)
		e->stamp = sim->ops[s->op].stamp;
	if (s->kind == REP_ENTRY_WRITE)
	{
		e->deps = sim->ops[s->op].deps;
		e->ndeps = sim->ops[s->op].ndeps;
		e->keys = sim->ops[s->op].keys;
		e->nkeys = sim->ops[s->op].nkeys;
		e->payload_size = 100;
	}
}

static void
restore(Sim *sim, SimNode *n)
{
	SimDisk *d = &n->disk;

	rep_raft_restore_state(n->engine, d->term, d->vote);
	if (!rep_raft_restore_base(n->engine, &d->base.base))
		sim_fail(sim, "simulator", "node %u: base refused", n->id);
	memcpy(n->mirror, d->log, (d->last + 1) * sizeof(SimEntry));
	n->mirror_base = d->base.base.index;
	n->mirror_last = d->last;
	for (uint64_t i = d->base.base.index + 1; i <= d->last; i++)
	{
		RepRaftEntry e;

		restore_entry(sim, i, &d->log[i], &e);
		if (!rep_raft_restore_entry(n->engine, &e))
			sim_fail(sim, "restart", "node %u: entry %lu refused", n->id,
					 (unsigned long) i);
	}
	if (!rep_raft_start(n->engine, sim_steady_ms(sim, n), d->state.applied))
		sim_fail(sim, "restart", "node %u: applied %lu, last %lu", n->id,
				 (unsigned long) d->state.applied, (unsigned long) d->last);
}

static void
tell_held(Sim *sim, SimNode *n)
{
	RepVersion held[SIM_STREAMS];
	RepRaftEvent ev = { .type = REP_EV_HELD };

	ev.nheld = sim_host_held(sim, n, held);
	ev.held = held;
	sim_node_step(sim, n, &ev);
}

void
sim_node_start(Sim *sim, SimNode *n)
{
	RepRaftOptions o;

	n->boot++;
	n->exists = true;
	n->up = true;
	n->disk_bad = false;
	n->ticket_base = ((uint64_t) n->boot << 32) + 1;
	n->persist_head = n->npersists = 0;
	n->persist_given = n->persist_done = 0;
	n->disk_free_at = sim->now;
	n->outbox_head = n->noutbox = 0;
	n->role = REP_RAFT_FOLLOWER;
	n->leader = 0;
	n->paused_until = 0;
	sim_options(sim, n, &o);
	n->engine = rep_raft_init(n->memory, n->memory_size, &o);
	if (n->engine == NULL)
		sim_fail(sim, "simulator", "options refused");
	n->now = n->disk.state;
	n->known_commit = n->now.applied;
	n->told_commit = n->now.applied;
	restore(sim, n);
	sim_trace(sim, "node %u starts, boot %u, log %lu..%lu, applied %lu", n->id,
			  n->boot, (unsigned long) n->mirror_base,
			  (unsigned long) n->mirror_last, (unsigned long) n->now.applied);
	sim_new_stream(sim, n);
	sim_schedule(sim, sim->now + sim_below(sim, 20 * MS), SIM_TICK, n->id,
				 n->boot, 0);
	sim_schedule(sim, sim->now + sim_below(sim, 30 * MS), SIM_FLUSH, n->id,
				 n->boot, 0);
	sim_schedule(sim, sim->now + sim_below(sim, 50 * MS), SIM_OFFER, n->id,
				 n->boot, 0);
	sim_client_begin(sim, n);
	tell_held(sim, n);
}

void
sim_node_crash(Sim *sim, SimNode *n)
{
	SimStream *s = &sim->streams[n->stream];

	sim_trace(sim, "node %u crashes", n->id);
	sim->counts.crashes++;
	sim_disk_crash(sim, n);
	while (n->noutbox > 0)
	{
		SimDeferred *d = &n->outbox[n->outbox_head];

		if (d->commit == 0)
			sim_message_free(sim, d->message);
		n->outbox_head = (n->outbox_head + 1) % SIM_OUTBOX;
		n->noutbox--;
	}
	for (uint32_t i = n->disk.state.seen[n->stream] + 1; i <= s->length; i++)
		s->transactions[i].lost = true;
	sim_client_crash(sim, n);
	n->up = false;
	n->role = REP_RAFT_FOLLOWER;
	/* what it announced is committed all the same, but it may forget */
	n->told_commit = 0;
}

static const char *const message_names[] = {
	"?",           "prevote",   "prevote-answer", "vote",    "vote-answer",
	"append",      "append-ok", "heartbeat",      "beat-ok", "held",
	"snapshot",    "campaign",  "propose",        "verdict", "read",
	"read-answer", "relay"
};

static uint32_t
pack(Sim *sim, SimNode *n, const RepRaftMessage *m)
{
	uint32_t slot;
	SimMessage *s = sim_message_new(sim, &slot);
	RepWriter w;

	s->kind = MESSAGE_ENGINE;
	s->from = m->from;
	s->to = m->to;
	s->term = m->term;
	rep_writer_init(&w, s->bytes, sizeof(s->bytes));
	rep_raft_message_encode(m, &w);
	if (w.full || m->nentries > 64)
		sim_fail(sim, "simulator", "message of %zu bytes", w.len);
	s->size = (uint32_t) w.len;
	s->nops = m->nentries;
	for (uint32_t i = 0; i < m->nentries; i++)
		s->ops[i] = (uint32_t) m->entries[i].payload;
	if (m->type == REP_MSG_SNAPSHOT)
	{
		if (m->base->index != n->disk.state.applied)
			sim_fail(sim, "simulator", "snapshot of %lu, applied %lu",
					 (unsigned long) m->base->index,
					 (unsigned long) n->disk.state.applied);
		memcpy(s->seen, n->disk.state.seen, sizeof(s->seen));
		sim->counts.snapshots++;
	}
	if (sim->trace)
		sim_trace(sim,
				  "  %u -> %u %s term %lu index %lu/%lu commit %lu id "
				  "%lu n %u%s%s",
				  m->from, m->to, message_names[m->type],
				  (unsigned long) m->term, (unsigned long) m->index,
				  (unsigned long) m->log_term, (unsigned long) m->commit,
				  (unsigned long) m->id, m->nentries,
				  m->reject ? " reject" : "", m->transfer ? " transfer" : "");
	return slot;
}

static SimDeferred *
defer(Sim *sim, SimNode *n, uint64_t after)
{
	SimDeferred *d = &n->outbox[(n->outbox_head + n->noutbox) % SIM_OUTBOX];

	if (n->noutbox == SIM_OUTBOX)
		sim_fail(sim, "simulator", "outbox full");
	n->noutbox++;
	d->after = after;
	d->commit = 0;
	return d;
}

static void
leave(Sim *sim, SimNode *n, uint32_t slot)
{
	check_durable_term(sim, n, sim->messages[slot].term);
	sim_message_send(sim, slot);
}

static void
act_send(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	uint32_t slot = pack(sim, n, a->message);

	if (sim->slow_votes && a->message->type == REP_MSG_VOTE_ANSWER &&
		!a->message->reject && sim_chance(sim, 500))
		sim_schedule(sim, sim->now + sim_below(sim, 30 * MS), SIM_FALL, n->id,
					 n->boot, 0);
	if (a->after > n->persist_done)
		defer(sim, n, a->after)->message = slot;
	else
		leave(sim, n, slot);
}

static void
act_commit(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	check_machine(sim, n, a->index);
	n->told_commit = a->index;
	if (a->after > n->persist_done)
		defer(sim, n, a->after)->commit = a->index;
	else
		n->known_commit = a->index;
}

static void
act_leader(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	n->role = a->role;
	n->leader = a->node;
	n->term = a->term;
	if (a->node != 0)
		sim_client_leader(sim, n);
	if (a->role != REP_RAFT_LEADER)
		return;
	sim_trace(sim, "node %u leads term %lu", n->id, (unsigned long) a->term);
	sim->counts.elections++;
	if (sim_chance(sim, sim->kill_share))
		sim_schedule(sim, sim->now + sim_below(sim, sim->fall_within), SIM_FALL,
					 n->id, n->boot, 0);
	check_election(sim, n);
	check_leader(sim, n);
}

static void
act_install(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	n->fetch.base = *a->base;
	memcpy(n->fetch.members, a->base->members,
		   a->base->nmembers * sizeof(RepRaftMember));
	n->fetch.base.members = n->fetch.members;
	n->fetch.base.horizon = NULL;
	n->fetch.base.nhorizon = 0;
	memcpy(n->fetch_seen, sim->delivering->seen, sizeof(n->fetch_seen));
	sim_schedule(sim,
				 sim->now + sim_below(sim, sim_chance(sim, 300) ? 2 * SECOND
																: 300 * MS),
				 SIM_INSTALL, n->id, n->boot, 0);
}

static void
act(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	switch (a->type)
	{
		case REP_ACT_PERSIST_STATE:
		case REP_ACT_PERSIST_ENTRIES:
		case REP_ACT_PERSIST_BASE:
			sim_disk_give(sim, n, a);
			break;
		case REP_ACT_SEND:
			act_send(sim, n, a);
			break;
		case REP_ACT_COMMIT:
			act_commit(sim, n, a);
			break;
		case REP_ACT_READ_READY:
			sim_client_read_ready(sim, n, a->id, a->index);
			break;
		case REP_ACT_READ_FAILED:
			break;
		case REP_ACT_VERDICT:
			sim_client_verdict(sim, n, a);
			break;
		case REP_ACT_DROP:
			break;
		case REP_ACT_INSTALL:
			act_install(sim, n, a);
			break;
		case REP_ACT_LEADER:
			act_leader(sim, n, a);
			break;
		case REP_ACT_CHANGE_DONE:
			sim->counts.changes += a->ok;
			break;
	}
}

void
sim_node_step(Sim *sim, SimNode *n, RepRaftEvent *ev)
{
	uint64_t given = n->persist_given;
	RepRaftActions actions;

	ev->now_ms = sim_steady_ms(sim, n);
	ev->wall_ms = sim_wall_ms(sim, n);
	rep_arena_reset(&sim->step_arena);
	sim->steps++;
	if (!rep_raft_step(n->engine, ev, &sim->step_arena, &actions))
		sim_fail(sim, "simulator", "arena too small");
	for (uint32_t i = 0; i < actions.n; i++)
		act(sim, n, &actions.items[i]);

	if (n->persist_given != given)
	{
		uint64_t delay = 50 + sim_below(sim, sim->disk_delay);

		if (sim_chance(sim, 5))
			delay += sim_below(sim, 300 * MS);
		if (n->disk_free_at < sim->now)
			n->disk_free_at = sim->now;
		n->disk_free_at += delay;
		sim_schedule(sim, n->disk_free_at, SIM_SYNC, n->id, n->boot,
					 n->persist_given);
	}
	sim_host_apply(sim, n);
}

void
sim_node_sync(Sim *sim, SimNode *n)
{
	RepRaftEvent ev = { .type = REP_EV_PERSISTED, .id = n->persist_done };

	while (n->noutbox > 0 && n->outbox[n->outbox_head].after <= n->persist_done)
	{
		SimDeferred *d = &n->outbox[n->outbox_head];

		if (d->commit == 0)
			leave(sim, n, d->message);
		else if (d->commit > n->known_commit)
			n->known_commit = d->commit;
		n->outbox_head = (n->outbox_head + 1) % SIM_OUTBOX;
		n->noutbox--;
	}
	sim_node_step(sim, n, &ev);
}

static void
deliver_engine(Sim *sim, SimNode *n, const SimMessage *s)
{
	RepRaftMessage m;
	RepRaftEvent ev = { .type = REP_EV_MESSAGE, .message = &m };
	RepReader r;

	rep_arena_reset(&sim->decode_arena);
	rep_reader_init(&r, s->bytes, s->size);
	if (!rep_raft_message_decode(&r, &sim->decode_arena, &m) ||
		rep_reader_left(&r) != 0)
		sim_fail(sim, "codec", "message %u refused", s->bytes[1]);
	for (uint32_t i = 0; i < m.nentries; i++)
	{
		/* the payload that travelled behind the message */
		RepRaftEntry *e = (RepRaftEntry *) &m.entries[i];

		e->payload = s->ops[i];
		if (e->payload != 0 &&
			rep_stamp_compare(e->stamp, sim->ops[e->payload].stamp) != 0)
			sim_fail(sim, "codec", "payload of another entry");
	}
	sim->delivering = s;
	sim_node_step(sim, n, &ev);
	sim->delivering = NULL;
}

void
sim_node_deliver(Sim *sim, SimNode *n, uint32_t slot)
{
	const SimMessage *s = &sim->messages[slot];

	if (n->up && s->kind == MESSAGE_ENGINE)
		deliver_engine(sim, n, s);
	else if (n->up)
		sim_host_take_offer(sim, n, s);
	sim_message_free(sim, slot);
}
