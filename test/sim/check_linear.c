/*
 * check_linear.c
 *		Linearizability of every strong register.
 *
 * A register's versions are the indexes of its writes, an order that the
 * state machine checker proves to be the same everywhere. In one total order
 * of versions a history is linearizable iff nothing that completed before an
 * operation began is newer than what it read, resp. not older than what it
 * wrote. So it is enough to keep, for each register, the newest version any
 * completed operation has shown.
 */
#include "sim.h"

static void
complete(Sim *sim, uint32_t reg, uint64_t version)
{
	if (version > sim->complete[reg])
		sim->complete[reg] = version;
}

void
check_linear_write(Sim *sim, SimOp *op)
{
	for (uint32_t i = 0; i < op->nregisters; i++)
	{
		if (op->keys[i].mode != REP_KEY_EXCLUSIVE)
			continue;
		if (op->commit_index <= op->floor[i])
			sim_fail(sim, "linearizability",
					 "operation %u wrote version %lu of register %u, %lu was "
					 "complete when it began",
					 op->id, (unsigned long) op->commit_index, op->registers[i],
					 (unsigned long) op->floor[i]);
		complete(sim, op->registers[i], op->commit_index);
	}
}

void
check_linear_read(Sim *sim, SimNode *n, uint32_t reg, uint64_t floor)
{
	uint64_t version = n->now.versions[reg];

	if (version < floor)
		sim_fail(sim, "linearizability",
				 "node %u read version %lu of register %u, %lu was complete "
				 "when it began",
				 n->id, (unsigned long) version, reg, (unsigned long) floor);
	complete(sim, reg, version);
}
