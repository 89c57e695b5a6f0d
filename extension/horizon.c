/*
 * horizon.c
 *		See horizon.h.
 */
#include "postgres.h"

#include "debug_point.h"
#include "horizon.h"
#include "streams.h"

/* What the leader has noted: E and c of horizon.h. Of the consensus process. */
typedef struct Noted
{
	uint64 term; /* 0: nothing. In another term the log may have been cut */
	uint64 last;
	RepVector everywhere;
	RepVersion entries[REP_MAX_VECTOR];
} Noted;

static Noted noted;

bool
horizon_counts(NodeShared *node)
{
	return pg_atomic_read_u32(&node->strong.used) != 0;
}

/* No transaction of the stream that is here has a larger position. */
static uint64
last_transaction(NodeShared *node, int slot)
{
	return slot == node->own_slot
			   ? pg_atomic_read_u64(&node->strong.last_stamped)
			   : pg_atomic_read_u64(&node->streams[slot].started);
}

uint64
horizon_limit(NodeShared *node, int slot, uint64 everywhere)
{
	uint64 horizon = pg_atomic_read_u64(&node->streams[slot].horizon);

	/* beyond its last transaction there is nothing to be seen */
	if (!horizon_counts(node) || last_transaction(node, slot) <= horizon ||
		BREAK("no_horizon"))
		return everywhere;
	return Min(everywhere, horizon);
}

bool
horizon_is_everywhere(NodeShared *node, int slot)
{
	StreamSlot *strong = &node->streams[streams_strong_slot(node)];

	return pg_atomic_read_u64(&strong->everywhere) >=
		   pg_atomic_read_u64(&node->streams[slot].horizon_at);
}

void
horizon_applied(NodeShared *node, const RepVector *horizon, uint64 index)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);

	for (int s = 0; s < n; s++)
	{
		StreamSlot *slot = &node->streams[s];
		uint64 position = rep_vector_get(horizon, slot->id);

		if (position <= pg_atomic_read_u64(&slot->horizon))
			continue;
		/* who finds the one finds the other */
		shmem_max_u64(&slot->horizon_at, index);
		pg_memory_barrier();
		shmem_max_u64(&slot->horizon, position);
	}
}

/* ------------------------------------------------------------ the leader's */

/* What is acknowledged of the stream is news to who knows of that much. */
static bool
is_news(NodeShared *node, int slot, uint64 known)
{
	StreamSlot *s = &node->streams[slot];
	uint64 everywhere = pg_atomic_read_u64(&s->everywhere);
	uint64 final = pg_atomic_read_u64(&s->final);

	if (everywhere <= known)
		return false;
	/* live streams move all the time: only transactions and the end count */
	return last_transaction(node, slot) > known ||
		   (final > known && everywhere >= final);
}

void
horizon_forget(void)
{
	noted.term = 0;
}

/* Puts down what is everywhere by now; false if `newest` says it all. */
static bool
note(NodeShared *node, uint64 term, uint64 last, const RepVector *newest)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	bool news = false;

	noted.term = 0;
	noted.last = last;
	noted.everywhere = (RepVector){ noted.entries, 0, REP_MAX_VECTOR };
	for (int s = 0; s < n; s++)
	{
		StreamSlot *slot = &node->streams[s];
		uint64 known = rep_vector_get(newest, slot->id);

		if (slot->local_id == FREE_SLOT)
			continue;
		news |= is_news(node, s, known);
		/* another leader may have heard of more */
		known = Max(known, pg_atomic_read_u64(&slot->everywhere));
		if (known > 0 && slot->id.node != 0 &&
			!rep_vector_set(&noted.everywhere, slot->id, known))
			elog(ERROR, "causaldb: a horizon of %d streams has no room", n);
	}
	if (news)
		noted.term = term;
	return news;
}

static void
copy(RepVector *v, const RepVector *from)
{
	v->len = from->len;
	if (from->len > 0)
		memcpy(v->entries, from->entries, sizeof(RepVersion) * from->len);
}

bool
horizon_next(NodeShared *node, uint64 term, uint64 last,
			 const RepVector *newest, RepVector *v)
{
	StreamSlot *strong = &node->streams[streams_strong_slot(node)];
	bool waits = noted.term == term;

	if (waits && pg_atomic_read_u64(&strong->everywhere) > noted.last)
	{
		copy(v, &noted.everywhere);
		if (!rep_vector_set(v, STREAMS_STRONG, noted.last + 1))
			elog(ERROR, "causaldb: a horizon has no room for the strong stream");
		/* its entry is the one above c of the next */
		(void) note(node, term, last, v);
		return true;
	}
	/* it takes an entry above c: the same horizon once more, if need be */
	copy(v, newest);
	if (waits)
		return last == noted.last;
	return note(node, term, last, newest);
}
