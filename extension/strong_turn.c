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
	Latch *player = strong->player_latch;
	uint64 next;
	bool owned = false;

	/* who raised `applied` or `commit` before this call must see the other one
	 * as raised by whoever came at the same time: one of the two wakes */
	pg_memory_barrier();
	next = pg_atomic_read_u64(&strong->applied) + 1;
	if (next > pg_atomic_read_u64(&strong->commit) &&
		strong->install_from == 0)
		return;
	/* a slot that is read while it changes is woken in vain, or again later */
	for (int i = 0; i < STRONG_SLOTS; i++)
		if (strong->slots[i].state == STRONG_DECIDED &&
			strong->slots[i].index == next)
		{
			owned = true;
			SetLatch(&ProcGlobal->allProcs[strong->slots[i].procno].procLatch);
		}
	/* what a backend waits to commit is not the player's, unless it gives up
	 * and says so */
	if (player && !owned)
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
	if (pg_atomic_exchange_u32(&strong->awaited, 0) != 0)
		shmem_wake_apply(node);
	ConditionVariableBroadcast(&strong->applied_cv);
	ConditionVariableBroadcast(&node->applied_cv);
	return true;
}

void
strong_turn_tell(NodeShared *node)
{
	Latch *player = node->strong.player_latch;

	/* `applied` of what it lacks was raised before this */
	pg_memory_barrier();
	if (player && pg_atomic_read_u32(&node->strong.lacks_deps) != 0)
		SetLatch(player);
	if (pg_atomic_read_u32(&node->strong.want_held))
		shmem_wake_consensus(node);
}

uint64
strong_turn_await(NodeShared *node, int strong_slot)
{
	/* who raises it after we have read it sees that we did */
	pg_atomic_write_u32(&node->strong.awaited, 1);
	pg_memory_barrier();
	return pg_atomic_read_u64(&node->streams[strong_slot].applied);
}
