/*
 * raft_ring.c
 *		A ring of bytes that holds the variable parts of entries.
 */
#include "raft_ring.h"

#include <assert.h>
#include <string.h>

#define RING_ALIGN 8

void
rep_raft_ring_init(RepRaftRing *ring, RepArena *a, uint32_t cap)
{
	ring->cap = (cap + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN;
	ring->bytes = rep_arena_alloc(a, (size_t) ring->cap);
	rep_raft_ring_reset(ring);
}

void
rep_raft_ring_reset(RepRaftRing *ring)
{
	ring->head = 0;
	ring->tail = 0;
}

uint64_t
rep_raft_ring_used(const RepRaftRing *ring)
{
	return ring->tail - ring->head;
}

uint64_t
rep_raft_body_size(const RepRaftEntry *e)
{
	uint64_t n = e->ndeps * (uint64_t) sizeof(RepVersion) +
				 e->nkeys * (uint64_t) sizeof(RepKey) +
				 e->nmembers * (uint64_t) sizeof(RepRaftMember);

	return (n + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN;
}

/* A block of `size` bytes: its position, or UINT64_MAX. */
static uint64_t
ring_take(RepRaftRing *ring, uint64_t size)
{
	uint64_t at = ring->tail;
	uint64_t offset;

	if (ring->head == ring->tail)
	{
		/* nothing is held: start over, so that one block may fill it all */
		at += (ring->cap - at % ring->cap) % ring->cap;
		ring->head = ring->tail = at;
	}
	offset = at % ring->cap;
	if (offset + size > ring->cap)
		at += ring->cap - offset;
	if (at + size - ring->head > ring->cap)
		return UINT64_MAX;
	ring->tail = at + size;
	return at;
}

bool
rep_raft_ring_hold(RepRaftRing *ring, RepRaftEntry *e, uint64_t *at)
{
	uint64_t size = rep_raft_body_size(e);
	uint8_t *p;

	*at = ring->tail;
	if (size == 0)
		return true;
	*at = ring_take(ring, size);
	if (*at == UINT64_MAX)
		return false;

	p = ring->bytes + *at % ring->cap;
	if (e->ndeps > 0)
		memcpy(p, e->deps, e->ndeps * sizeof(RepVersion));
	e->deps = (const RepVersion *) (void *) p;
	p += e->ndeps * sizeof(RepVersion);
	if (e->nkeys > 0)
		memcpy(p, e->keys, e->nkeys * sizeof(RepKey));
	e->keys = (const RepKey *) (void *) p;
	p += e->nkeys * sizeof(RepKey);
	if (e->nmembers > 0)
		memcpy(p, e->members, e->nmembers * sizeof(RepRaftMember));
	e->members = (const RepRaftMember *) (void *) p;
	return true;
}

/*
 * An entry without a body has the position of a tail that may since have
 * moved on: an empty ring starts over. Hence the two comparisons.
 */
void
rep_raft_ring_cut(RepRaftRing *ring, uint64_t at)
{
	ring->tail = at > ring->head ? at : ring->head;
}

void
rep_raft_ring_release(RepRaftRing *ring, uint64_t at)
{
	if (at > ring->head)
		ring->head = at;
	assert(ring->head <= ring->tail);
}
