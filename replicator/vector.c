/*
 * vector.c
 *		Vectors: lookup, change, comparison, encoding.
 *
 * The invariants are those of vector.h.
 */
#include "vector.h"

#include <assert.h>
#include <string.h>

/* Where s stands, or would stand, in the sorted entries. */
static uint32_t
vector_search(const RepVector *v, RepStreamId s)
{
	uint32_t low = 0;
	uint32_t high = v->len;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (rep_stream_compare(v->entries[mid].stream, s) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
vector_has(const RepVector *v, uint32_t at, RepStreamId s)
{
	return at < v->len && rep_stream_compare(v->entries[at].stream, s) == 0;
}

uint64_t
rep_vector_get(const RepVector *v, RepStreamId s)
{
	uint32_t at = vector_search(v, s);

	return vector_has(v, at, s) ? v->entries[at].position : 0;
}

bool
rep_vector_set(RepVector *v, RepStreamId s, uint64_t position)
{
	uint32_t at = vector_search(v, s);

	assert(v->len <= v->cap);
	if (!vector_has(v, at, s))
	{
		if (v->len == v->cap)
			return false;
		memmove(v->entries + at + 1, v->entries + at,
				(v->len - at) * sizeof(RepVersion));
		v->entries[at].stream = s;
		v->len++;
	}
	v->entries[at].position = position;
	return true;
}

bool
rep_vector_covers(const RepVector *have, const RepVector *need)
{
	uint32_t h = 0;

	/* both are sorted: one walk along the two */
	for (uint32_t n = 0; n < need->len; n++)
	{
		const RepVersion *e = &need->entries[n];

		while (h < have->len &&
			   rep_stream_compare(have->entries[h].stream, e->stream) < 0)
			h++;
		if (e->position >
			(vector_has(have, h, e->stream) ? have->entries[h].position : 0))
			return false;
	}
	return true;
}

void
rep_vector_encode(const RepVector *v, RepWriter *w)
{
	rep_write_varint(w, v->len);
	for (uint32_t i = 0; i < v->len; i++)
	{
		const RepVersion *e = &v->entries[i];

		rep_write_varint(w, e->stream.node);
		rep_write_u64(w, e->stream.boot);
		rep_write_varint(w, e->position);
	}
}

void
rep_vector_decode(RepReader *r, RepVector *v)
{
	uint64_t n = rep_read_varint(r);

	v->len = 0;
	if (n > REP_MAX_VECTOR || n > v->cap)
		r->bad = true;
	for (uint64_t i = 0; i < n && !r->bad; i++)
	{
		RepVersion *e = &v->entries[i];
		uint64_t node = rep_read_varint(r);

		e->stream.node = (uint32_t) node;
		e->stream.boot = rep_read_u64(r);
		e->position = rep_read_varint(r);
		if (node > UINT32_MAX ||
			(i > 0 && rep_stream_compare(e[-1].stream, e->stream) >= 0))
			r->bad = true;
	}
	if (!r->bad)
		v->len = (uint32_t) n;
}
