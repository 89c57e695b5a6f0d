/*
 * sim_host.c
 *		The host's tables: applied strong entries, and eventual streams.
 *
 * A node applies an entry when its deps are here; it applies an eventual
 * transaction when its deps and the strong index it names are. What is applied
 * becomes durable at the next flush, all of it together.
 */
#include "sim.h"

#include <string.h>

bool
sim_new_stream(Sim *sim, SimNode *n)
{
	SimStream *s = &sim->streams[sim->nstreams];
	uint32_t at = sim->nstreams;

	if (sim->nstreams == SIM_STREAMS)
		return false;
	n->stream = sim->nstreams;
	s->node = n->id;
	s->boot = n->boot;
	s->length = 0;
	while (at > 0)
	{
		const SimStream *before = &sim->streams[sim->sorted[at - 1]];

		if (before->node < s->node ||
			(before->node == s->node && before->boot < s->boot))
			break;
		sim->sorted[at] = sim->sorted[at - 1];
		at--;
	}
	sim->sorted[at] = sim->nstreams++;
	return true;
}

static uint32_t
to_vector(const Sim *sim, const uint32_t *seen, RepVersion *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < sim->nstreams; i++)
	{
		uint32_t s = sim->sorted[i];

		if (seen[s] == 0)
			continue;
		out[n].stream.node = sim->streams[s].node;
		out[n].stream.boot = sim->streams[s].boot;
		out[n++].position = seen[s];
	}
	return n;
}

uint32_t
sim_host_held(const Sim *sim, const SimNode *n, RepVersion *held)
{
	return to_vector(sim, n->disk.state.seen, held);
}

uint32_t
sim_host_deps(const Sim *sim, const SimNode *n, RepVersion *deps)
{
	uint32_t first = 0;

	if (n->now.applied > 0)
		deps[first++] = (RepVersion){ { 0, 0 }, n->now.applied };
	return first + to_vector(sim, n->now.seen, deps + first);
}

bool
sim_host_covers(const Sim *sim, const uint32_t *seen, const SimOp *op)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < op->ndeps; i++)
	{
		const RepVersion *d = &op->deps[i];

		if (d->stream.node == 0)
			continue;
		/* both are in the order of streams */
		while (at < sim->nstreams &&
			   (sim->streams[sim->sorted[at]].node != d->stream.node ||
				sim->streams[sim->sorted[at]].boot != d->stream.boot))
			at++;
		if (at == sim->nstreams || seen[sim->sorted[at]] < d->position)
			return false;
	}
	return true;
}

void
sim_host_apply(Sim *sim, SimNode *n)
{
	uint64_t before = n->now.applied;

	while (n->now.applied < n->known_commit)
	{
		uint64_t index = n->now.applied + 1;
		const SimEntry *e = &n->mirror[index];
		const SimOp *op = &sim->ops[e->op];

		if (e->kind == REP_ENTRY_WRITE)
		{
			if (!sim_host_covers(sim, n->now.seen, op))
				break;
			check_causal_strong(sim, n, op);
			if (op->abort_index == 0 || op->abort_index > index)
				for (uint32_t i = 0; i < op->nregisters; i++)
					if (op->keys[i].mode == REP_KEY_EXCLUSIVE)
						n->now.versions[op->registers[i]] = index;
		}
		n->now.applied = index;
	}
	if (n->now.applied > before)
		sim_client_applied(sim, n);
}

/* Lets go of the old log now and then, in time before it is full. */
static void
compact(Sim *sim, SimNode *n)
{
	uint64_t length = n->disk.state.applied - n->mirror_base;
	RepRaftEvent ev = { .type = REP_EV_COMPACT };

	if (length < 40 || !sim_chance(sim, length > 400 ? 300 : 30))
		return;
	ev.index = n->disk.state.applied - sim_below(sim, 40);
	sim_node_step(sim, n, &ev);
	sim->counts.compactions++;
}

void
sim_host_flush(Sim *sim, SimNode *n)
{
	RepVersion held[SIM_STREAMS];
	RepRaftEvent ev = { .type = REP_EV_HELD };

	if (n->install_pending || n->disk_bad)
		return;
	compact(sim, n);
	if (memcmp(&n->disk.state, &n->now, sizeof(n->now)) == 0)
		return;
	n->disk.state = n->now;
	ev.nheld = sim_host_held(sim, n, held);
	ev.held = held;
	sim_node_step(sim, n, &ev);
	ev = (RepRaftEvent){ .type = REP_EV_APPLIED,
						 .index = n->disk.state.applied };
	sim_node_step(sim, n, &ev);
}

void
sim_host_offer(Sim *sim, SimNode *n)
{
	uint32_t to = 1 + (uint32_t) sim_below(sim, SIM_NODES);
	uint32_t slot;
	SimMessage *m;

	if (to == n->id || !sim->nodes[to].exists)
		return;
	m = sim_message_new(sim, &slot);
	m->kind = MESSAGE_OFFER;
	m->from = n->id;
	m->to = to;
	memcpy(m->seen, n->disk.state.seen, sizeof(m->seen));
	sim_message_send(sim, slot);
}

static bool
may_apply(const Sim *sim, const SimNode *n, uint32_t stream,
		  const SimEventual *t)
{
	if (t->strong > n->now.applied)
		return false;
	for (uint32_t s = 0; s < sim->nstreams; s++)
		if (s != stream && t->deps[s] > n->now.seen[s])
			return false;
	return true;
}

void
sim_host_take_offer(Sim *sim, SimNode *n, const SimMessage *m)
{
	bool progress = true;

	while (progress)
	{
		progress = false;
		for (uint32_t s = 0; s < sim->nstreams; s++)
			while (n->now.seen[s] < m->seen[s])
			{
				uint32_t next = n->now.seen[s] + 1;

				if (!may_apply(sim, n, s, &sim->streams[s].transactions[next]))
					break;
				check_causal_eventual(sim, n, s, next);
				n->now.seen[s] = next;
				progress = true;
			}
	}
	sim_host_apply(sim, n);
}

void
sim_host_eventual(Sim *sim, SimNode *n)
{
	SimStream *s = &sim->streams[n->stream];
	SimEventual *t;

	if (s->node != n->id || s->boot != n->boot || s->length == SIM_EVENTUAL)
		return;
	t = &s->transactions[++s->length];
	memcpy(t->deps, n->now.seen, sizeof(t->deps));
	t->strong = n->now.applied;
	t->lost = false;
	n->now.seen[n->stream] = s->length;
	sim->counts.eventual++;
}

/* The state that stands at base->index, from whoever sent it. */
void
sim_host_install(Sim *sim, SimNode *n, const RepRaftBase *base,
				 const uint32_t *seen)
{
	sim_trace(sim, "node %u installs %lu", n->id, (unsigned long) base->index);
	n->now.applied = base->index;
	memset(n->now.versions, 0, sizeof(n->now.versions));
	for (uint64_t i = 1; i <= base->index; i++)
	{
		const SimEntry *e = &sim->committed[i].entry;
		const SimOp *op = &sim->ops[e->op];

		if (e->kind != REP_ENTRY_WRITE)
			continue;
		for (uint32_t k = 0; k < op->nregisters; k++)
			if (op->keys[k].mode == REP_KEY_EXCLUSIVE)
				n->now.versions[op->registers[k]] = i;
	}
	for (uint32_t s = 0; s < sim->nstreams; s++)
		if (seen[s] > n->now.seen[s])
			n->now.seen[s] = seen[s];
	n->known_commit = base->index;
	n->told_commit = base->index;
	n->install = n->now;
	/* own transactions not yet durable come with the next flush */
	n->install.seen[n->stream] = n->disk.state.seen[n->stream];
}
