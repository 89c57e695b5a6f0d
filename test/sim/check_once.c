/*
 * check_once.c
 *		Exactly once: a transaction is in the log at most once, not at all
 *		after an ABORT entry that came first, and as its client was told.
 */
#include "sim.h"

void
check_once_committed(Sim *sim, uint64_t index)
{
	const SimEntry *e = &sim->committed[index].entry;
	SimOp *op = &sim->ops[e->op];

	if (e->kind == REP_ENTRY_ABORT && op->abort_index == 0)
		op->abort_index = index;
	if (e->kind != REP_ENTRY_WRITE)
		return;
	if (op->commit_index != 0)
		sim_fail(sim, "exactly once", "operation %u at %lu and at %lu", op->id,
				 (unsigned long) op->commit_index, (unsigned long) index);
	op->commit_index = index;
	if (op->abort_index != 0)
		sim_fail(sim, "exactly once", "operation %u at %lu, aborted at %lu",
				 op->id, (unsigned long) index,
				 (unsigned long) op->abort_index);
	if (op->state == OP_REFUSED || op->state == OP_ABORTED)
		sim_fail(sim, "exactly once",
				 "operation %u at %lu, its client was told no", op->id,
				 (unsigned long) index);
	if (op->told_index != 0 && op->told_index != index)
		sim_fail(sim, "exactly once", "operation %u at %lu, told %lu", op->id,
				 (unsigned long) index, (unsigned long) op->told_index);
}

void
check_once_told(Sim *sim, SimOp *op, RepRaftVerdict verdict, uint64_t index)
{
	bool committed = op->commit_index != 0;

	if (verdict == REP_VERDICT_COMMITTED && committed &&
		op->commit_index != index)
		sim_fail(sim, "exactly once", "operation %u at %lu, told %lu", op->id,
				 (unsigned long) op->commit_index, (unsigned long) index);
	if (verdict != REP_VERDICT_COMMITTED && committed)
		sim_fail(sim, "exactly once",
				 "operation %u at %lu, its client is told %d", op->id,
				 (unsigned long) op->commit_index, verdict);
}

void
check_once_at_rest(Sim *sim)
{
	for (uint32_t i = 1; i < sim->nops; i++)
		if (sim->ops[i].told_index != 0 &&
			sim->ops[i].commit_index != sim->ops[i].told_index)
			sim_fail(sim, "exactly once", "operation %u told %lu, is at %lu", i,
					 (unsigned long) sim->ops[i].told_index,
					 (unsigned long) sim->ops[i].commit_index);
}
