/*
 * raft_stamps.c
 *		A bounded map from stamp to a number.
 */
#include "raft_stamps.h"

#include <assert.h>
#include <string.h>

void
rep_raft_stamps_init(RepRaftStamps *t, RepArena *a, uint32_t cap)
{
	uint32_t size = 16;

	while (size < cap * 2)
		size *= 2;
	t->slots = rep_arena_array(a, size, sizeof(RepRaftStampSlot));
	t->mask = size - 1;
	t->cap = cap;
	if (!a->full)
		rep_raft_stamps_reset(t);
}

void
rep_raft_stamps_reset(RepRaftStamps *t)
{
	memset(t->slots, 0, ((size_t) t->mask + 1) * sizeof(RepRaftStampSlot));
	t->count = 0;
}

static uint32_t
stamp_home(const RepRaftStamps *t, RepStamp s)
{
	uint64_t h = s.hlc * UINT64_C(0x9e3779b97f4a7c15) ^
				 s.stream.boot * UINT64_C(0xc2b2ae3d27d4eb4f) ^
				 (uint64_t) s.stream.node << 17;

	return (uint32_t) (h >> 29 ^ h >> 47) & t->mask;
}

/* The slot of s, or the free one where it would go. */
static uint32_t
stamp_find(const RepRaftStamps *t, RepStamp s)
{
	uint32_t i = stamp_home(t, s);

	while (t->slots[i].value != 0 &&
		   rep_stamp_compare(t->slots[i].stamp, s) != 0)
		i = (i + 1) & t->mask;
	return i;
}

uint64_t
rep_raft_stamps_get(const RepRaftStamps *t, RepStamp s)
{
	return t->slots[stamp_find(t, s)].value;
}

bool
rep_raft_stamps_set(RepRaftStamps *t, RepStamp s, uint64_t value)
{
	RepRaftStampSlot *slot = &t->slots[stamp_find(t, s)];

	assert(value != 0);
	if (slot->value == 0)
	{
		if (t->count == t->cap)
			return false;
		t->count++;
	}
	slot->stamp = s;
	slot->value = value;
	return true;
}

void
rep_raft_stamps_remove(RepRaftStamps *t, RepStamp s)
{
	uint32_t i = stamp_find(t, s);
	uint32_t j = i;

	if (t->slots[i].value == 0)
		return;
	t->count--;
	for (;;)
	{
		uint32_t home;

		j = (j + 1) & t->mask;
		if (t->slots[j].value == 0)
			break;
		home = stamp_home(t, t->slots[j].stamp);
		/* stays if its home lies cyclically in (i, j] */
		if (((j - home) & t->mask) < ((j - i) & t->mask))
			continue;
		t->slots[i] = t->slots[j];
		i = j;
	}
	memset(&t->slots[i], 0, sizeof(RepRaftStampSlot));
}
