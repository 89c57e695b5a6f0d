/*
 * check_election.c
 *		Election safety: at most one leader in a term, over restarts too.
 */
#include "sim.h"

void
check_election(Sim *sim, SimNode *n)
{
	if (n->term >= SIM_TERMS)
		sim_fail(sim, "simulator", "too many terms");
	if (sim->leader_of[n->term] != 0)
		sim_fail(sim, "election safety", "term %lu led by %u and by %u",
				 (unsigned long) n->term, sim->leader_of[n->term], n->id);
	sim->leader_of[n->term] = n->id;
	sim->leader_boot[n->term] = n->boot;
}
