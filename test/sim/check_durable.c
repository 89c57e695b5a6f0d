/*
 * check_durable.c
 *		Nothing acknowledged is lost: a committed entry is durable on a
 *		majority of the voters when it is first called committed, and at rest
 *		every member has applied what clients were told. And no node speaks in
 *		a term that it could forget.
 */
#include "sim.h"

static bool
has_durably(const SimNode *n, uint64_t index, uint64_t term)
{
	const SimDisk *d = &n->disk;

	if (d->base.base.index >= index)
		return true;
	return d->last >= index && d->log[index].term == term;
}

void
check_durable(Sim *sim, SimNode *n, uint64_t index)
{
	RepRaftStatus s;
	uint32_t voters = 0;
	uint32_t have = 0;

	rep_raft_status(n->engine, &s);
	for (uint32_t i = 0; i < s.nmembers; i++)
	{
		if (!s.members[i].voter)
			continue;
		voters++;
		have += has_durably(&sim->nodes[s.members[i].node], index,
							sim->committed[index].entry.term);
	}
	if (have < voters / 2 + 1)
		sim_fail(sim, "durability",
				 "entry %lu called committed by node %u, durable on %u of %u",
				 (unsigned long) index, n->id, have, voters);
}

void
check_durable_term(Sim *sim, const SimNode *n, uint64_t term)
{
	if (term > n->disk.term)
		sim_fail(sim, "durability",
				 "node %u speaks in term %lu, durable is %lu", n->id,
				 (unsigned long) term, (unsigned long) n->disk.term);
}

void
check_durable_at_rest(Sim *sim)
{
	for (uint32_t i = 1; i < sim->nops; i++)
	{
		const SimOp *op = &sim->ops[i];

		if (op->state != OP_ACKED)
			continue;
		if (op->commit_index == 0 || op->commit_index > sim->top)
			sim_fail(sim, "durability", "operation %u was acknowledged", i);
		for (uint32_t k = 1; k <= SIM_NODES; k++)
		{
			const SimNode *n = &sim->nodes[k];

			if (n->up && n->now.applied == sim->top &&
				n->mirror_base < op->commit_index &&
				n->mirror[op->commit_index].op != op->id)
				sim_fail(sim, "durability", "operation %u is not on node %u", i,
						 k);
		}
	}
}
