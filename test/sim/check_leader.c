/*
 * check_leader.c
 *		Leader completeness: what was committed in an earlier term is in the
 *		log of every later leader.
 */
#include "sim.h"

void
check_leader(Sim *sim, SimNode *n)
{
	uint64_t i = sim->top;

	/* logs that match at the newest such entry match below it */
	while (i > 0 && sim->committed[i].commit_term >= n->term)
		i--;
	if (i == 0 || i < n->mirror_base)
		return;
	if (n->mirror_last < i || n->mirror[i].term != sim->committed[i].entry.term)
		sim_fail(sim, "leader completeness",
				 "node %u leads term %lu without entry %lu, committed in "
				 "term %lu",
				 n->id, (unsigned long) n->term, (unsigned long) i,
				 (unsigned long) sim->committed[i].commit_term);
}
