/*
 * certify.c
 *		First committer wins: who last wrote a key, and at which index.
 *
 * The invariants are those of certify.h.
 */
#include "certify.h"
#include "raft_bug.h"

#include <assert.h>
#include <string.h>

static uint32_t
table_size(uint32_t cap)
{
	uint32_t n = 16;

	while (n < cap * 2)
		n *= 2;
	return n;
}

void
rep_certify_init(RepCertify *c, RepArena *a, uint32_t cap)
{
	uint32_t size = table_size(cap);

	c->slots = rep_arena_array(a, size, sizeof(RepCertifySlot));
	c->notes = rep_arena_array(a, cap, sizeof(RepCertifyNote));
	c->mask = size - 1;
	c->cap = cap;
	if (!a->full)
		rep_certify_reset(c, 0);
}

void
rep_certify_reset(RepCertify *c, uint64_t low)
{
	memset(c->slots, 0, (c->mask + 1) * sizeof(RepCertifySlot));
	c->head = 0;
	c->count = 0;
	c->low = low;
}

static uint32_t
slot_home(const RepCertify *c, uint64_t hash)
{
	return (uint32_t) ((hash * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & c->mask;
}

static bool
slot_free(const RepCertifySlot *s)
{
	return s->exclusive == 0 && s->shared == 0;
}

/* The slot of hash, or the free one where it would go. */
static uint32_t
slot_find(const RepCertify *c, uint64_t hash)
{
	uint32_t i = slot_home(c, hash);

	while (!slot_free(&c->slots[i]) && c->slots[i].hash != hash)
		i = (i + 1) & c->mask;
	return i;
}

/* Empties slot i and moves up those that probed past it. */
static void
slot_remove(RepCertify *c, uint32_t i)
{
	uint32_t j = i;

	for (;;)
	{
		uint32_t home;

		j = (j + 1) & c->mask;
		if (slot_free(&c->slots[j]))
			break;
		home = slot_home(c, c->slots[j].hash);
		/* stays if its home lies cyclically in (i, j] */
		if (((j - home) & c->mask) < ((j - i) & c->mask))
			continue;
		c->slots[i] = c->slots[j];
		i = j;
	}
	memset(&c->slots[i], 0, sizeof(RepCertifySlot));
}

static void
forget_oldest(RepCertify *c)
{
	RepCertifyNote note = c->notes[c->head];
	uint32_t i = slot_find(c, note.hash);
	RepCertifySlot *s = &c->slots[i];

	c->head = (c->head + 1) % c->cap;
	c->count--;
	if (note.index > c->low && !REP_BUG(13))
		c->low = note.index;
	if (!slot_free(s) && s->exclusive <= note.index && s->shared <= note.index)
		slot_remove(c, i);
}

RepCertifyResult
rep_certify_check(const RepCertify *c, const RepKey *keys, uint32_t n,
				  uint64_t *key, uint64_t *index)
{
	for (uint32_t k = 0; k < n; k++)
	{
		const RepCertifySlot *s = &c->slots[slot_find(c, keys[k].hash)];
		uint64_t last = s->exclusive;

		if (keys[k].mode == REP_KEY_EXCLUSIVE && s->shared > last)
			last = s->shared;
		*key = keys[k].hash;
		*index = last;
		if (last > keys[k].base)
			return REP_CERTIFY_CONFLICT;
		if (keys[k].base < c->low)
			return REP_CERTIFY_OLD_BASE;
	}
	return REP_CERTIFY_OK;
}

void
rep_certify_note(RepCertify *c, const RepKey *keys, uint32_t n, uint64_t index)
{
	assert(n <= c->cap);
	for (uint32_t k = 0; k < n; k++)
	{
		RepCertifySlot *s;

		if (c->count == c->cap)
			forget_oldest(c);
		c->notes[(c->head + c->count) % c->cap] =
			(RepCertifyNote){ keys[k].hash, index };
		c->count++;

		s = &c->slots[slot_find(c, keys[k].hash)];
		s->hash = keys[k].hash;
		if (keys[k].mode == REP_KEY_SHARED)
			s->shared = index;
		else
			s->exclusive = index;
	}
}
