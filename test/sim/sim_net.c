/*
 * sim_net.c
 *		Virtual time and the network.
 *
 * A binary heap of events, ordered by time, then by when they were made; and
 * messages that may be lost, late, doubled or cut off.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static bool
earlier(const SimEvent *a, const SimEvent *b)
{
	if (a->at != b->at)
		return a->at < b->at;
	return a->order < b->order;
}

void
sim_schedule(Sim *sim, uint64_t at, SimEventKind kind, uint32_t node,
			 uint32_t arg, uint64_t serial)
{
	SimEvent ev = { at, ++sim->order, kind, node, arg, serial };
	uint32_t i = sim->nheap++;

	if (sim->nheap > SIM_HEAP)
		sim_fail(sim, "simulator", "too many events");
	for (; i > 0 && earlier(&ev, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim->heap[i] = sim->heap[(i - 1) / 2];
	sim->heap[i] = ev;
}

bool
sim_next(Sim *sim, SimEvent *out)
{
	SimEvent last;
	uint32_t i = 0;

	if (sim->nheap == 0)
		return false;
	*out = sim->heap[0];
	last = sim->heap[--sim->nheap];
	for (;;)
	{
		uint32_t child = 2 * i + 1;

		if (child >= sim->nheap)
			break;
		if (child + 1 < sim->nheap &&
			earlier(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!earlier(&sim->heap[child], &last))
			break;
		sim->heap[i] = sim->heap[child];
		i = child;
	}
	sim->heap[i] = last;
	return true;
}

SimMessage *
sim_message_new(Sim *sim, uint32_t *slot)
{
	SimMessage *m;

	if (sim->free_message == UINT32_MAX)
		sim_fail(sim, "simulator", "too many messages under way");
	*slot = sim->free_message;
	m = &sim->messages[*slot];
	sim->free_message = m->next_free;
	m->copies = 1;
	m->nops = 0;
	return m;
}

void
sim_message_free(Sim *sim, uint32_t slot)
{
	SimMessage *m = &sim->messages[slot];

	if (--m->copies > 0)
		return;
	m->next_free = sim->free_message;
	sim->free_message = slot;
}

static void
deliver_later(Sim *sim, uint32_t slot)
{
	const SimMessage *m = &sim->messages[slot];
	uint64_t delay = 100 + sim_below(sim, sim->delay);

	if (sim->slow_votes && m->kind == MESSAGE_ENGINE &&
		m->bytes[1] == REP_MSG_VOTE)
		delay += sim_below(sim, 450 * MS);
	if (sim->lease_probe && m->kind == MESSAGE_ENGINE &&
		m->bytes[1] == REP_MSG_CAMPAIGN)
		delay += sim_below(sim, 500 * MS);
	/* a few take much longer, past elections and retries */
	if (sim_chance(sim, 10))
		delay += sim_below(sim, sim_chance(sim, 100) ? 3 * SECOND : 200 * MS);
	sim_schedule(sim, sim->now + delay, SIM_DELIVER, m->to, slot, 0);
}

/* Rivals stay candidates only while the winner is not heard. */
static bool
leader_unheard(Sim *sim, const SimMessage *m)
{
	return sim->slow_votes && !sim->quiet_phase && m->kind == MESSAGE_ENGINE &&
		   (m->bytes[1] == REP_MSG_HEARTBEAT ||
			m->bytes[1] == REP_MSG_APPEND) &&
		   sim_chance(sim, 600);
}

void
sim_message_send(Sim *sim, uint32_t slot)
{
	SimMessage *m = &sim->messages[slot];

	sim->counts.messages++;
	if (sim->cut[m->from][m->to] || leader_unheard(sim, m) ||
		(!sim->quiet_phase && sim_chance(sim, sim->loss)))
	{
		sim->counts.lost++;
		sim_message_free(sim, slot);
		return;
	}
	if (!sim->quiet_phase && sim_chance(sim, sim->doubling))
	{
		m->copies++;
		deliver_later(sim, slot);
	}
	deliver_later(sim, slot);
}
