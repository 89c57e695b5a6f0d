/*
 * arena.h
 *		Memory that the caller owns, handed out from one end.
 *
 * Not an allocator: nothing is freed one by one. The owner resets the whole.
 *
 * Invariants
 * 1. Every block is aligned to 16 bytes and lies inside [base, base + cap).
 * 2. `used` goes on counting when a block did not fit (`full` is then set and
 *	  the block is NULL), so laying out over no memory measures what is needed.
 */
#ifndef REP_ARENA_H
#define REP_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RepArena
{
	uint8_t *base;
	size_t cap;
	size_t used;
	bool full;
} RepArena;

/* `memory` is aligned to 16 bytes, or NULL with cap 0 to measure. */
extern void rep_arena_init(RepArena *a, void *memory, size_t cap);
extern void rep_arena_reset(RepArena *a);
/* NULL and full when it does not fit. The bytes are not cleared. */
extern void *rep_arena_alloc(RepArena *a, size_t size);
/* The same for `count` items, refused when the product overflows. */
extern void *rep_arena_array(RepArena *a, size_t count, size_t size);
extern size_t rep_arena_left(const RepArena *a);

#endif
