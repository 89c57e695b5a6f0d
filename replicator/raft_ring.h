/*
 * raft_ring.h
 *		A ring of bytes that holds the variable parts of entries.
 *
 * Blocks are taken at the tail and given back at the tail (a truncated log) or
 * at the head (a compacted one). Positions only grow, but for a cut at the
 * tail; a block never wraps, it skips to the start instead.
 */
#ifndef REP_RAFT_RING_H
#define REP_RAFT_RING_H

#include "arena.h"
#include "raft_types.h"

typedef struct RepRaftRing
{
	uint8_t *bytes;
	uint64_t cap;  /* a multiple of 8 */
	uint64_t head; /* position of the oldest byte in use */
	uint64_t tail; /* where the next block is tried */
} RepRaftRing;

extern void rep_raft_ring_init(RepRaftRing *ring, RepArena *a, uint32_t cap);
extern void rep_raft_ring_reset(RepRaftRing *ring);
/* Bytes that deps, keys and members of e need. */
extern uint64_t rep_raft_body_size(const RepRaftEntry *e);
/*
 * Copies deps, keys and members of *e into the ring and points *e at the
 * copies; *at is the block's position. False when there is no room.
 */
extern bool rep_raft_ring_hold(RepRaftRing *ring, RepRaftEntry *e,
							   uint64_t *at);
/* Gives back what lies at and above / below a position got from hold. */
extern void rep_raft_ring_cut(RepRaftRing *ring, uint64_t at);
extern void rep_raft_ring_release(RepRaftRing *ring, uint64_t at);
extern uint64_t rep_raft_ring_used(const RepRaftRing *ring);

#endif
