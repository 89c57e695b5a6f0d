/*
 * arena.c
 *		Memory that the caller owns, handed out from one end.
 *
 * The invariants are those of arena.h.
 */
#include "arena.h"

#include <assert.h>

#define ARENA_ALIGN 16

void
rep_arena_init(RepArena *a, void *memory, size_t cap)
{
	assert(memory != NULL || cap == 0);
	a->base = memory;
	a->cap = cap;
	rep_arena_reset(a);
}

void
rep_arena_reset(RepArena *a)
{
	a->used = 0;
	a->full = false;
}

size_t
rep_arena_left(const RepArena *a)
{
	return a->used < a->cap ? a->cap - a->used : 0;
}

void *
rep_arena_alloc(RepArena *a, size_t size)
{
	size_t need = (size + ARENA_ALIGN - 1) & ~(size_t) (ARENA_ALIGN - 1);
	void *block = NULL;

	if (need < size || need > SIZE_MAX - a->used)
	{
		a->full = true;
		return NULL;
	}
	if (need <= rep_arena_left(a) && !a->full)
		block = a->base + a->used;
	else
		a->full = true;
	a->used += need;
	return block;
}

void *
rep_arena_array(RepArena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
	{
		a->full = true;
		return NULL;
	}
	return rep_arena_alloc(a, count * size);
}
