/*
 * strong_turn.c
 *		See strong_turn.h.
 */
#include "postgres.h"

#include "storage/proc.h"

#include "streams.h"
#include "strong_turn.h"

void
strong_turn_starts(NodeShared *node, uint64 index)
{
	shmem_max_u64(&node->streams[streams_strong_slot(node)].started, index);
}

void
strong_turn_wake(NodeShared *node)
{
	StrongShared *strong = &node->strong;
	uint64 next = pg_atomic_read_u64(&strong->applied) + 1;
	Latch *player = strong->player_latch;

	/* a slot that is read while it changes is woken in vain, or again later */
	for (int i = 0; i < STRONG_SLOTS; i++)
		if (strong->slots[i].state == STRONG_DECIDED &&
			strong->slots[i].index == next)
			SetLatch(&ProcGlobal->allProcs[strong->slots[i].procno].procLatch);
	if (player)
		SetLatch(player);
}

bool
strong_turn_applied(NodeShared *node, uint64 index)
{
	StrongShared *strong = &node->strong;
	int slot = streams_strong_slot(node);
	uint64 before = index - 1;

	if (!pg_atomic_compare_exchange_u64(&strong->applied, &before, index))
		return false;
	shmem_max_u64(&node->streams[slot].applied, index);
	strong_turn_wake(node);
	shmem_wake_apply(node);
	ConditionVariableBroadcast(&strong->applied_cv);
	ConditionVariableBroadcast(&node->applied_cv);
	return true;
}

void
strong_turn_tell(NodeShared *node)
{
	Latch *player = node->strong.player_latch;

	if (player)
		SetLatch(player);
	if (pg_atomic_read_u32(&node->strong.want_held))
		shmem_wake_consensus(node);
}
