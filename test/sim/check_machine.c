/*
 * check_machine.c
 *		State machine safety: every node commits the same entry at an index.
 *
 * The first to commit an index decides what is there; the other checkers are
 * told of it then.
 */
#include "sim.h"

#include <string.h>

static void
first_commit(Sim *sim, SimNode *n, uint64_t index)
{
	SimCommitted *c = &sim->committed[index];
	RepRaftStatus s;

	rep_raft_status(n->engine, &s);
	c->entry = n->mirror[index];
	c->commit_term = s.term;
	c->known = true;
	sim->top = index;
	sim->counts.commits++;
	if (c->entry.kind == REP_ENTRY_CONFIG)
	{
		sim->nmembers = c->entry.nmembers;
		memcpy(sim->members, c->entry.members, sizeof(sim->members));
	}
	check_durable(sim, n, index);
	check_deps(sim, n, index);
	check_once_committed(sim, index);
	check_winner(sim, n, index);
}

void
check_machine(Sim *sim, SimNode *n, uint64_t upto)
{
	if (upto <= n->told_commit)
		sim_fail(sim, "state machine safety", "node %u went back to %lu", n->id,
				 (unsigned long) upto);
	if (upto > n->mirror_last)
		sim_fail(sim, "state machine safety", "node %u commits %lu of %lu",
				 n->id, (unsigned long) upto, (unsigned long) n->mirror_last);
	for (uint64_t i = n->told_commit + 1; i <= upto; i++)
	{
		const SimEntry *have = &n->mirror[i];
		const SimEntry *is = &sim->committed[i].entry;

		if (i > sim->top)
			first_commit(sim, n, i);
		else if (have->term != is->term || have->op != is->op ||
				 have->kind != is->kind)
			sim_fail(sim, "state machine safety",
					 "node %u commits another entry %lu", n->id,
					 (unsigned long) i);
	}
}
