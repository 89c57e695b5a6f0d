/*
 * check_winner.c
 *		First committer wins: what a transaction read of the keys it names is
 *		still the newest when it is committed. And none stamped a day ahead.
 */
#include "sim.h"

void
check_winner(Sim *sim, SimNode *n, uint64_t index)
{
	const SimEntry *e = &sim->committed[index].entry;
	const SimOp *op = &sim->ops[e->op];

	if (e->kind != REP_ENTRY_WRITE)
		return;
	if (op->skewed)
		sim_fail(sim, "skew", "node %u commits a stamp a day ahead", n->id);
	for (uint32_t i = 0; i < op->nregisters; i++)
		if (sim->versions[op->registers[i]] != op->seen[i])
			sim_fail(sim, "first committer wins",
					 "operation %u at %lu read version %lu of register %u, "
					 "newest is %lu",
					 op->id, (unsigned long) index, (unsigned long) op->seen[i],
					 op->registers[i],
					 (unsigned long) sim->versions[op->registers[i]]);
	for (uint32_t i = 0; i < op->nregisters; i++)
		if (op->keys[i].mode == REP_KEY_EXCLUSIVE)
			sim->versions[op->registers[i]] = index;
}
