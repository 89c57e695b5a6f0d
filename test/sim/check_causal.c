/*
 * check_causal.c
 *		Causal order: nothing is shown before what its author had seen,
 *		eventual after strong and strong after eventual alike.
 */
#include "sim.h"

void
check_causal_strong(Sim *sim, SimNode *n, const SimOp *op)
{
	if (!sim_host_covers(sim, n->now.seen, op))
		sim_fail(sim, "causal order", "node %u shows operation %u too early",
				 n->id, op->id);
	if (op->ndeps > 0 && op->deps[0].stream.node == 0 &&
		op->deps[0].position > n->now.applied)
		sim_fail(sim, "causal order",
				 "node %u at %lu shows operation %u that has seen %lu", n->id,
				 (unsigned long) n->now.applied, op->id,
				 (unsigned long) op->deps[0].position);
}

void
check_causal_eventual(Sim *sim, SimNode *n, uint32_t stream, uint32_t position)
{
	const SimEventual *t = &sim->streams[stream].transactions[position];
	bool early = t->strong > n->now.applied || t->lost ||
				 position != n->now.seen[stream] + 1;

	for (uint32_t s = 0; s < sim->nstreams && !early; s++)
		early = s != stream && t->deps[s] > n->now.seen[s];
	if (early)
		sim_fail(sim, "causal order",
				 "node %u shows transaction %u of stream %u too early", n->id,
				 position, stream);
}
