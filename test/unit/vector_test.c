/*
 * vector_test.c
 *		Vectors against an association list; their encoding.
 */
#include "gen.h"
#include "unit.h"
#include "vector.h"

#include <stdlib.h>
#include <string.h>

#define ROOM 12

/* the slow second implementation: pairs in order of arrival */
typedef struct List
{
	RepVersion pairs[64];
	uint32_t n;
} List;

static uint64_t
list_get(const List *l, RepStreamId s)
{
	for (uint32_t i = l->n; i > 0; i--)
		if (l->pairs[i - 1].stream.node == s.node &&
			l->pairs[i - 1].stream.boot == s.boot)
			return l->pairs[i - 1].position;
	return 0;
}

static RepStreamId
few_streams(UnitRng *rng)
{
	return (RepStreamId){ unit_below(rng, 4), unit_below(rng, 4) };
}

static bool
is_sorted(const RepVector *v)
{
	for (uint32_t i = 1; i < v->len; i++)
		if (rep_stream_compare(v->entries[i - 1].stream,
							   v->entries[i].stream) >= 0)
			return false;
	return true;
}

static void
like_a_list(void)
{
	UnitRng rng = { unit_seed() };

	for (int round = 0; round < 2000; round++)
	{
		RepVersion entries[ROOM];
		RepVector v = { entries, 0, ROOM };
		List l = { .n = 0 };

		for (int i = 0; i < 40; i++)
		{
			RepStreamId s = few_streams(&rng);
			uint64_t position = unit_any_size(&rng);
			bool is_new = true;
			bool is_full = v.len == ROOM;
			bool set;

			for (uint32_t k = 0; k < v.len; k++)
				is_new &= rep_stream_compare(entries[k].stream, s) != 0;
			set = rep_vector_set(&v, s, position);
			CHECK(set == !(is_new && is_full));
			if (set)
				l.pairs[l.n++] = (RepVersion){ s, position };
			CHECK(is_sorted(&v));
			s = few_streams(&rng);
			CHECK(rep_vector_get(&v, s) == list_get(&l, s));
		}
	}
}

static void
covers_entry_by_entry(void)
{
	UnitRng rng = { unit_seed() };
	int covered = 0;

	for (int round = 0; round < 20000; round++)
	{
		RepVersion a_entries[ROOM];
		RepVersion b_entries[ROOM];
		RepVector a = { a_entries, 0, ROOM };
		RepVector b = { b_entries, 0, ROOM };
		bool want = true;

		for (uint32_t i = unit_below(&rng, 8); i > 0; i--)
			rep_vector_set(&a, few_streams(&rng), unit_below(&rng, 4));
		for (uint32_t i = unit_below(&rng, 4); i > 0; i--)
			rep_vector_set(&b, few_streams(&rng), unit_below(&rng, 3));
		for (uint32_t i = 0; i < b.len; i++)
			want &= rep_vector_get(&a, b.entries[i].stream) >=
					b.entries[i].position;
		CHECK(rep_vector_covers(&a, &b) == want);
		CHECK(rep_vector_covers(&a, &a));
		covered += want;
	}
	CHECK(covered > 2000 && covered < 18000);
}

static void
encoding(void)
{
	UnitRng rng = { unit_seed() };

	for (int round = 0; round < 3000; round++)
	{
		RepVersion entries[ROOM];
		RepVersion back[ROOM];
		RepVector v = { entries, 0, ROOM };
		RepVector u = { back, 0, ROOM };
		uint8_t b[400];
		RepWriter w;
		RepReader r;

		gen_vector(&rng, &v, ROOM);
		rep_writer_init(&w, b, sizeof(b));
		rep_vector_encode(&v, &w);
		rep_reader_init(&r, b, w.len);
		rep_vector_decode(&r, &u);
		CHECK(rep_reader_done(&r) && u.len == v.len);
		for (uint32_t i = 0; i < v.len && i < u.len; i++)
			CHECK(rep_stream_compare(entries[i].stream, back[i].stream) == 0 &&
				  entries[i].position == back[i].position);
		for (size_t cut = 0; cut < w.len; cut++)
		{
			uint8_t *exact = unit_exact_copy(b, cut);

			rep_reader_init(&r, exact, cut);
			rep_vector_decode(&r, &u);
			CHECK(r.bad && u.len == 0);
			free(exact);
		}

		/* too little room is an error, not an overflow */
		if (v.len > 0)
		{
			u.cap = v.len - 1;
			rep_reader_init(&r, b, w.len);
			rep_vector_decode(&r, &u);
			CHECK(r.bad && u.len == 0);
		}
	}
}

/* Writes n entries as they come, valid or not, and decodes them. */
static bool
decodes(const RepVersion *pairs, uint32_t n, uint64_t count)
{
	static uint8_t b[REP_MAX_VECTOR * 32];
	static RepVersion back[REP_MAX_VECTOR + 1];
	RepVector u = { back, 0, REP_MAX_VECTOR + 1 };
	RepWriter w;
	RepReader r;

	rep_writer_init(&w, b, sizeof(b));
	rep_write_varint(&w, count);
	for (uint32_t i = 0; i < n; i++)
	{
		rep_write_varint(&w, pairs[i].stream.node);
		rep_write_u64(&w, pairs[i].stream.boot);
		rep_write_varint(&w, pairs[i].position);
	}
	rep_reader_init(&r, b, w.len);
	rep_vector_decode(&r, &u);
	return rep_reader_done(&r) && u.len == n;
}

static void
bad_vectors(void)
{
	static RepVersion pairs[REP_MAX_VECTOR + 1];
	const uint8_t big_node[] = { 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0,
								 0, 0,    0,    0,    0,    0,    1 };
	RepVersion back[1];
	RepVector u = { back, 0, 1 };
	RepReader r;

	for (uint32_t i = 0; i <= REP_MAX_VECTOR; i++)
		pairs[i] = (RepVersion){ { i, 1 }, 1 };
	CHECK(decodes(pairs, REP_MAX_VECTOR, REP_MAX_VECTOR));
	CHECK(!decodes(pairs, REP_MAX_VECTOR + 1, REP_MAX_VECTOR + 1));
	CHECK(!decodes(pairs, 2, 3));
	CHECK(!decodes(pairs, 2, UINT64_MAX));
	pairs[1].stream = pairs[0].stream;
	CHECK(!decodes(pairs, 2, 2));
	pairs[1].stream.boot = 0;
	CHECK(!decodes(pairs, 2, 2));
	pairs[1].stream.boot = 2;
	CHECK(decodes(pairs, 2, 2));

	/* node 2^32 */
	rep_reader_init(&r, big_node, sizeof(big_node));
	rep_vector_decode(&r, &u);
	CHECK(r.bad && u.len == 0);
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("get and set are those of a list of pairs", like_a_list);
	unit_run("covers is entry by entry", covers_entry_by_entry);
	unit_run("vectors travel; every truncation is bad", encoding);
	unit_run("unsorted, doubled or too many entries are bad", bad_vectors);
	return unit_finish();
}
