/*
 * check_deps.c
 *		Held before logged: when an entry is committed, a majority of the
 *		voters holds its deps durably, so that whoever is lost with a minority
 *		takes nothing along that an entry needs.
 */
#include "sim.h"

void
check_deps(Sim *sim, SimNode *n, uint64_t index)
{
	const SimEntry *e = &sim->committed[index].entry;
	RepRaftStatus s;
	uint32_t voters = 0;
	uint32_t holders = 0;

	if (e->kind != REP_ENTRY_WRITE)
		return;
	rep_raft_status(n->engine, &s);
	for (uint32_t i = 0; i < s.nmembers; i++)
	{
		if (!s.members[i].voter)
			continue;
		voters++;
		holders +=
			sim_host_covers(sim, sim->nodes[s.members[i].node].disk.state.seen,
							&sim->ops[e->op]);
	}
	if (holders < voters / 2 + 1)
		sim_fail(sim, "held before logged",
				 "deps of entry %lu are held by %u of %u voters",
				 (unsigned long) index, holders, voters);
}
