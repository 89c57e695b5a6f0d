/*
 * causal.c
 *		Deliverability, stability, and the grace period of acks.
 *
 * The invariants are those of causal.h.
 */
#include "causal.h"

#include <assert.h>
#include <string.h>

static uint64_t
position_of(const uint64_t *positions, uint32_t n, uint32_t slot)
{
	return slot < n ? positions[slot] : 0;
}

bool
rep_causal_ready(const uint64_t *applied, uint32_t napplied,
				 const RepDelivery *t, RepWait *first)
{
	if (position_of(applied, napplied, t->slot) < t->before)
	{
		*first = (RepWait){ .slot = t->slot, .position = t->before };
		return false;
	}
	for (uint32_t s = 0; s < t->ndeps; s++)
	{
		if (s == t->slot || position_of(applied, napplied, s) >= t->deps[s])
			continue;
		*first = (RepWait){ .slot = s, .position = t->deps[s] };
		return false;
	}
	return true;
}

void
rep_causal_stable(const uint64_t *acks, uint32_t nmembers, uint32_t nslots,
				  uint64_t *stable)
{
	for (uint32_t s = 0; s < nslots; s++)
	{
		uint64_t least = nmembers == 0 ? 0 : UINT64_MAX;

		for (uint32_t m = 0; m < nmembers; m++)
		{
			uint64_t ack = acks[(size_t) m * nslots + s];

			if (ack < least)
				least = ack;
		}
		stable[s] = least;
	}
}

bool
rep_causal_ack_counts(const uint64_t *applied, uint32_t napplied, uint32_t slot,
					  uint64_t acked_at, const uint64_t *acks, uint32_t nacks)
{
	if (position_of(applied, napplied, slot) < acked_at)
		return false;
	for (uint32_t s = 0; s < nacks; s++)
		if (position_of(applied, napplied, s) < acks[s])
			return false;
	return true;
}

void
rep_ack_grace_init(RepAckGrace *a, RepVersion *entries, uint32_t ventries,
				   RepAckSlot *waiting, uint32_t cap)
{
	a->phase = REP_ACK_IDLE;
	a->acks = (RepVector){ .entries = entries, .len = 0, .cap = ventries };
	a->g = 0;
	a->nwaiting = 0;
	a->cap = cap;
	a->waiting = waiting;
}

bool
rep_ack_grace_begin(RepAckGrace *a, const RepVector *v, const int *slots,
					const uint64_t *pending, uint32_t n)
{
	a->phase = REP_ACK_IDLE;
	a->g = 0;
	a->nwaiting = 0;
	if (v->len > a->acks.cap || n > a->cap)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (pending[i] != REP_NOT_PENDING)
			a->waiting[a->nwaiting++] =
				(RepAckSlot){ .slot = slots[i], .pending = pending[i] };
	if (v->len > 0)
		memcpy(a->acks.entries, v->entries, v->len * sizeof(RepVersion));
	a->acks.len = v->len;
	a->phase = REP_ACK_WAITING;
	return true;
}

bool
rep_ack_grace_poll(RepAckGrace *a, const uint64_t *now)
{
	uint32_t kept = 0;

	assert(a->phase == REP_ACK_WAITING);
	for (uint32_t i = 0; i < a->nwaiting; i++)
		if (now[i] == a->waiting[i].pending)
			a->waiting[kept++] = a->waiting[i];
	a->nwaiting = kept;
	return kept == 0;
}

void
rep_ack_grace_finish(RepAckGrace *a, uint64_t hlc)
{
	assert(a->phase == REP_ACK_WAITING);
	assert(a->nwaiting == 0);
	a->g = hlc;
	a->phase = REP_ACK_READY;
}

bool
rep_ack_grace_usable(const RepAckGrace *a, uint64_t to)
{
	return a->phase == REP_ACK_READY && to >= a->g;
}
