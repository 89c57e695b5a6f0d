/*
 * sim_disk.c
 *		A node's disk: what was synced stays, the rest may vanish or tear.
 *
 * Writes become durable in their order, some time after they were given. A
 * crash keeps a prefix of what was under way, cut anywhere, even inside what
 * the engine gave as one persist.
 */
#include "sim.h"

#include <string.h>

SimEntry
sim_entry(const Sim *sim, const RepRaftEntry *e, uint64_t prev_term)
{
	SimEntry s;

	(void) sim;
	memset(&s, 0, sizeof(s));
	s.term = e->term;
	s.prev_term = prev_term;
	s.kind = e->kind;
	s.op = (uint32_t) e->payload;
	s.nmembers = e->nmembers;
	if (e->nmembers > 0)
		memcpy(s.members, e->members, e->nmembers * sizeof(RepRaftMember));
	return s;
}

static SimPersist *
push(Sim *sim, SimNode *n, SimPersistKind kind, uint64_t number)
{
	SimPersist *p =
		&n->persists[(n->persist_head + n->npersists) % SIM_PERSISTS];

	if (n->npersists == SIM_PERSISTS)
		sim_fail(sim, "simulator", "too many writes under way");
	n->npersists++;
	p->kind = kind;
	p->number = number;
	return p;
}

static void
give_entries(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	SimPersist *cut = push(sim, n, PERSIST_CUT, a->persist);

	cut->index = a->index;
	if (a->index > n->mirror_last + 1)
		sim_fail(sim, "simulator", "node %u: hole before %lu", n->id,
				 (unsigned long) a->index);
	n->mirror_last = a->index - 1;
	for (uint32_t i = 0; i < a->nentries; i++)
	{
		uint64_t index = a->index + i;
		SimPersist *p = push(sim, n, PERSIST_ENTRY, a->persist);

		if (index >= SIM_LOG)
			sim_fail(sim, "simulator", "log too long");
		p->index = index;
		p->entry = sim_entry(sim, &a->entries[i], n->mirror[index - 1].term);
		n->mirror[index] = p->entry;
		n->mirror_last = index;
		check_matching(sim, n, index, &p->entry);
	}
}

static void
give_base(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	SimPersist *p =
		push(sim, n, a->install ? PERSIST_INSTALL : PERSIST_BASE, a->persist);

	p->base.base = *a->base;
	memcpy(p->base.members, a->base->members,
		   a->base->nmembers * sizeof(RepRaftMember));
	n->mirror_base = a->base->index;
	if (!a->install)
		return;
	n->mirror_last = a->base->index;
	n->mirror[a->base->index].term = a->base->term;
	p->state = &n->install;
	n->install_pending = true;
	sim_host_install(sim, n, a->base, n->fetch_seen);
}

void
sim_disk_give(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	if (a->type == REP_ACT_PERSIST_STATE)
	{
		SimPersist *p = push(sim, n, PERSIST_STATE, a->persist);

		p->term = a->term;
		p->vote = a->vote;
	}
	else if (a->type == REP_ACT_PERSIST_ENTRIES)
		give_entries(sim, n, a);
	else
		give_base(sim, n, a);
	n->persist_given = a->persist;
}

static void
write_one(SimNode *n, const SimPersist *p)
{
	SimDisk *d = &n->disk;

	switch (p->kind)
	{
		case PERSIST_STATE:
			d->term = p->term;
			d->vote = p->vote;
			break;
		case PERSIST_CUT:
			d->last = p->index - 1;
			break;
		case PERSIST_ENTRY:
			d->log[p->index] = p->entry;
			d->last = p->index;
			break;
		case PERSIST_INSTALL:
			d->last = p->base.base.index;
			d->log[d->last].term = p->base.base.term;
			d->state = *p->state;
			n->install_pending = false;
			/* FALLTHROUGH */
		case PERSIST_BASE:
			d->base = p->base;
			d->base.base.members = d->base.members;
			d->base.base.horizon = NULL;
			d->base.base.nhorizon = 0;
			break;
	}
}

static void
pop(SimNode *n)
{
	write_one(n, &n->persists[n->persist_head]);
	n->persist_head = (n->persist_head + 1) % SIM_PERSISTS;
	n->npersists--;
}

void
sim_disk_done(Sim *sim, SimNode *n, uint64_t upto)
{
	(void) sim;
	while (n->npersists > 0 && n->persists[n->persist_head].number <= upto)
		pop(n);
	n->persist_done = upto;
}

void
sim_disk_crash(Sim *sim, SimNode *n)
{
	uint32_t keep = (uint32_t) sim_below(sim, n->npersists + 1);

	if (keep < n->npersists)
		sim->counts.torn++;
	while (keep-- > 0)
		pop(n);
	n->npersists = 0;
	n->install_pending = false;
}
