/*
 * wire_test.c
 *		Frames: there and back, cut and damaged; the hash chain.
 */
#include "gen.h"
#include "unit.h"
#include "walk.h"

#include <stdlib.h>
#include <string.h>

static uint8_t room[GEN_FRAME_ROOM];

/* The length of a random frame in `room`. */
static size_t
random_frame(UnitRng *rng)
{
	RepFrameType type =
		unit_once_in(rng, 3)
			? (RepFrameType) (REP_FRAME_HELLO + unit_below(rng, 4))
			: REP_FRAME_INTERVAL;
	RepWriter w;

	rep_writer_init(&w, room, sizeof(room));
	gen_frame(rng, type, &w);
	CHECK(!w.full);
	return w.len;
}

static void
whole_and_cut(void)
{
	UnitRng rng = { unit_seed() };
	int types[5] = { 0 };

	for (int round = 0; round < 300; round++)
	{
		size_t len = random_frame(&rng);

		types[room[3]]++;
		CHECK(walk_frame(room, len) == WALK_FAITHFUL);
		for (size_t cut = 0; cut < len; cut++)
		{
			uint8_t *exact = unit_exact_copy(room, cut);
			RepFrameType type;
			RepReader body;

			CHECK(rep_frame_open(exact, cut, &type, &body) == REP_FRAME_SHORT);
			CHECK(body.bad);

			/* the same with a header that says so */
			if (cut >= REP_FRAME_HEADER)
			{
				walk_fix_header(exact, cut);
				CHECK(rep_frame_open(exact, cut, &type, &body) == REP_FRAME_OK);
				CHECK(walk_frame(exact, cut) == WALK_REJECTED);
			}
			free(exact);
		}
	}
	for (int t = REP_FRAME_HELLO; t <= REP_FRAME_ANSWER; t++)
		CHECK(types[t] > 10);
}

static void
damaged(void)
{
	UnitRng rng = { unit_seed() };
	uint64_t cases = unit_cases(100000);
	uint64_t rejected = 0;
	uint64_t accepted = 0;
	uint64_t n = 0;

	while (n < cases)
	{
		size_t len = random_frame(&rng);
		uint8_t *exact = unit_exact_copy(room, len);

		for (int i = 0; i < 200; i++, n++)
		{
			/* one byte, sometimes a few */
			for (uint32_t k = unit_once_in(&rng, 4) ? 3 : 1; k > 0; k--)
			{
				size_t at = unit_below(&rng, (uint32_t) len);

				exact[at] ^= (uint8_t) (1 + unit_below(&rng, 255));
			}
			if (memcmp(exact, room, len) != 0)
				CHECK(walk_frame(exact, len) == WALK_REJECTED);

			/* the checksum made to fit: rejected, or what its bytes say */
			walk_fix_header(exact, len);
			switch (walk_frame(exact, len))
			{
				case WALK_REJECTED:
					rejected++;
					break;
				case WALK_FAITHFUL:
					accepted++;
					break;
				case WALK_UNFAITHFUL:
					CHECK(!"decodes to something else than its bytes");
					break;
			}
			memcpy(exact, room, len);
		}
		free(exact);
	}
	unit_note("%llu damaged frames, all rejected by the checksum; with that "
			  "fixed %llu rejected, %llu decoded to what their bytes say",
			  (unsigned long long) n, (unsigned long long) rejected,
			  (unsigned long long) accepted);
	CHECK(rejected > cases / 20 && accepted > cases / 20);
}

static RepFrameError
open_error(const uint8_t *frame, size_t len)
{
	RepFrameType type;
	RepReader body;

	return rep_frame_open(frame, len, &type, &body);
}

static void
header_errors(void)
{
	UnitRng rng = { unit_seed() };
	size_t len = random_frame(&rng);
	uint8_t *f = unit_exact_copy(room, len);
	uint8_t tiny[REP_FRAME_HEADER + 3];
	RepWriter w;

	CHECK(open_error(f, len) == REP_FRAME_OK);
	CHECK(open_error(NULL, 0) == REP_FRAME_SHORT);
	f[0] = 'X';
	CHECK(open_error(f, len) == REP_FRAME_MAGIC);
	f[0] = 'C';
	f[2]++;
	CHECK(open_error(f, len) == REP_FRAME_VERSION);
	f[2]--;
	f[7]++;
	CHECK(open_error(f, len) == REP_FRAME_SHORT);
	f[7]--;
	f[4] = 0xff;
	CHECK(open_error(f, len) == REP_FRAME_LENGTH);
	f[4] = 0;
	f[8]++;
	CHECK(open_error(f, len) == REP_FRAME_CHECKSUM);
	f[3] = 5;
	walk_fix_header(f, len);
	CHECK(open_error(f, len) == REP_FRAME_TYPE);
	free(f);
	for (int e = REP_FRAME_OK; e <= REP_FRAME_BODY; e++)
		CHECK(strcmp(rep_frame_error((RepFrameError) e),
					 "unknown frame error") != 0);

	/* one byte more than the header says */
	f = unit_exact_copy(room, len + 1);
	CHECK(open_error(f, len + 1) == REP_FRAME_SHORT);
	free(f);

	/* a frame that does not fit is no frame */
	rep_writer_init(&w, tiny, sizeof(tiny));
	rep_frame_begin(&w);
	rep_write_u32(&w, 7);
	rep_frame_end(&w, REP_FRAME_ANSWER);
	CHECK(w.full && w.len == REP_FRAME_HEADER + 4);

	/* nor is one too long to be sent; its bytes are not even looked at */
	w = (RepWriter){ .data = tiny, .cap = SIZE_MAX, .len = REP_MAX_FRAME + 1 };
	rep_frame_end(&w, REP_FRAME_ANSWER);
	CHECK(w.full);
}

/* The header itself is under the checksum, bit by bit. */
static void
header_is_checked(void)
{
	UnitRng rng = { unit_seed() };

	for (int round = 0; round < 50; round++)
	{
		size_t len = random_frame(&rng);

		for (size_t bit = 0; bit < REP_FRAME_HEADER * 8; bit++)
		{
			RepFrameError e;

			room[bit / 8] ^= (uint8_t) (1 << bit % 8);
			e = open_error(room, len);
			CHECK(e != REP_FRAME_OK);
			if (bit / 8 == 3)
				CHECK(e == REP_FRAME_CHECKSUM);
			room[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
	}
}

/* A body that goes on after its end. */
static void
trailing_bytes(void)
{
	UnitRng rng = { unit_seed() };

	for (int round = 0; round < 200; round++)
	{
		size_t len = random_frame(&rng) + 1;
		RepVersion entries[REP_MAX_VECTOR];
		RepHello hello = { .applied = { entries, 0, REP_MAX_VECTOR } };
		RepAnswer answer = { .applied = { entries, 0, REP_MAX_VECTOR } };
		RepFrameType type;
		RepReader body;

		room[len - 1] = 0;
		walk_fix_header(room, len);
		CHECK(walk_frame(room, len) == WALK_REJECTED);
		CHECK(rep_frame_open(room, len, &type, &body) == REP_FRAME_OK);
		if (type == REP_FRAME_HELLO)
			CHECK(!rep_hello_decode(&body, &hello));
		if (type == REP_FRAME_ANSWER)
			CHECK(!rep_answer_decode(&body, &answer));
	}
}

static bool
count_is_taken(uint64_t n)
{
	static uint8_t b[REP_MAX_FRAME_TRANSACTIONS * 6];
	RepInterval i;
	RepReader r;
	RepWriter w;

	rep_writer_init(&w, b, sizeof(b));
	rep_write_varint(&w, n);
	rep_reader_init(&r, b, sizeof(b));
	return rep_interval_decode_count(&r, &i) && i.ntransactions == n;
}

static void
counts_are_bounded(void)
{
	RepVersion deps[] = { { { 2, 9 }, 4 }, { { 3, 9 }, 4 } };
	RepVersion back_room[1];
	RepTransaction t = { .position = 9, .deps = { deps, 2, 2 } };
	RepTransaction back = { .deps = { back_room, 0, 1 } };
	uint8_t b[100];
	RepWriter w;
	RepReader r;

	CHECK(count_is_taken(REP_MAX_FRAME_TRANSACTIONS));
	CHECK(!count_is_taken(REP_MAX_FRAME_TRANSACTIONS + 1));
	CHECK(!count_is_taken(UINT64_MAX));

	/* more deps than the caller has room for */
	rep_writer_init(&w, b, sizeof(b));
	rep_transaction_encode(&t, &w);
	rep_reader_init(&r, b, w.len);
	CHECK(!rep_transaction_decode(&r, &back) && back.deps.len == 0);
}

static bool
interval_decodes(const RepInterval *i)
{
	RepVersion entries[REP_MAX_VECTOR];
	RepInterval back = { .mark.acks = { entries, 0, REP_MAX_VECTOR } };
	uint8_t b[200];
	RepWriter w;
	RepReader r;

	rep_writer_init(&w, b, sizeof(b));
	rep_interval_encode(i, &w);
	rep_reader_init(&r, b, w.len);
	return rep_interval_decode(&r, &back) && back.from == i->from &&
		   back.to == i->to && back.mark.acks.len == i->mark.acks.len;
}

static void
interval_rules(void)
{
	RepVersion deps[] = { { { 2, 9 }, 4 } };
	RepInterval i = { .stream = { 1, 9 }, .from = 10, .to = 20 };
	RepTransaction t = { .position = 15, .deps = { deps, 1, 1 } };

	CHECK(interval_decodes(&i));
	i.from = 20;
	CHECK(interval_decodes(&i));
	i.from = 21;
	CHECK(!interval_decodes(&i));
	i.from = 10;

	/* more definitions than bytes are left */
	i.ndescriptors = 1;
	CHECK(!interval_decodes(&i));
	i.ndescriptors = 0;

	CHECK(rep_interval_accepts(&i, 10, &t));
	CHECK(rep_interval_accepts(&i, 14, &t));
	CHECK(!rep_interval_accepts(&i, 15, &t));
	t.position = 20;
	CHECK(rep_interval_accepts(&i, 19, &t));
	t.position = 21;
	CHECK(!rep_interval_accepts(&i, 20, &t));
	t.position = 15;
	deps[0].stream.node = 1;
	CHECK(!rep_interval_accepts(&i, 14, &t));
	deps[0].stream.boot = 8;
	CHECK(rep_interval_accepts(&i, 14, &t));
}

/* Acks without the position from which they hold are no acks. */
static void
acks_need_a_position(void)
{
	RepVersion entries[] = { { { 2, 9 }, 4 } };
	RepVersion back_room[4];
	RepInterval i = { .stream = { 1, 9 },
					  .to = 5,
					  .mark.acked_at = 1,
					  .mark.acks = { entries, 1, 1 } };
	RepInterval back = { .mark.acks = { back_room, 0, 4 } };
	uint8_t b[100];
	RepWriter w;
	RepReader r;

	rep_writer_init(&w, b, sizeof(b));
	rep_interval_encode(&i, &w);
	rep_reader_init(&r, b, w.len);
	CHECK(rep_interval_decode(&r, &back) && back.mark.acks.len == 1);

	/* acked_at is the byte behind node, boot, from, to, closed, chain */
	CHECK(b[1 + 8 + 1 + 1 + 1 + 8] == 1);
	b[1 + 8 + 1 + 1 + 1 + 8] = 0;
	rep_reader_init(&r, b, w.len);
	CHECK(!rep_interval_decode(&r, &back));

	i.mark.acked_at = 0;
	rep_writer_init(&w, b, sizeof(b));
	rep_interval_encode(&i, &w);
	rep_reader_init(&r, b, w.len);
	CHECK(rep_interval_decode(&r, &back) && back.mark.acks.len == 0);
}

static void
near_deps_are_short(void)
{
	const uint64_t now = UINT64_C(1700000000000) << REP_HLC_COUNTER_BITS;
	RepVersion deps[] = { { { 2, 9 }, now - 5 },
						  { { 3, 9 }, now + 5 },
						  { { 4, 9 }, 0 },
						  { { 5, 9 }, UINT64_MAX } };
	RepVersion back_room[4];
	RepTransaction t = { .position = now, .deps = { deps, 2, 4 } };
	RepTransaction back = { .deps = { back_room, 0, 4 } };
	uint8_t b[200];
	RepWriter w;
	RepReader r;

	rep_writer_init(&w, b, sizeof(b));
	rep_transaction_encode(&t, &w);
	/* position, xid, nchunks, count, two deps of 10, empty payload */
	CHECK(w.len == rep_varint_size(now) + 1 + 1 + 1 + 2 * 10 + 1);

	t.deps.len = 4;
	rep_writer_init(&w, b, sizeof(b));
	rep_transaction_encode(&t, &w);
	rep_reader_init(&r, b, w.len);
	CHECK(rep_transaction_decode(&r, &back) && rep_reader_done(&r));
	CHECK(back.position == now && back.deps.len == 4);
	for (uint32_t i = 0; i < 4; i++)
		CHECK(back.deps.entries[i].position == deps[i].position);
}

static void
chain(void)
{
	RepVersion deps[] = { { { 2, 9 }, 4 }, { { 3, 9 }, 5 } };
	RepVector two = { deps, 2, 2 };
	RepVector one = { deps, 1, 2 };
	RepStamp s = { 100, { 1, 7 } };
	RepStamp later = { 101, { 1, 7 } };
	RepStamp boot = { 100, { 1, 8 } };
	RepVector moved_deps;
	RepVersion moved[] = { { { 2, 9 }, 4 }, { { 3, 9 }, 6 } };
	uint64_t links[9];

	moved_deps = (RepVector){ moved, 2, 2 };
	links[0] = rep_chain_link(0, s, &two, "payload", 7);
	links[1] = rep_chain_link(1, s, &two, "payload", 7);
	links[2] = rep_chain_link(0, later, &two, "payload", 7);
	links[3] = rep_chain_link(0, boot, &two, "payload", 7);
	links[4] = rep_chain_link(0, s, &one, "payload", 7);
	links[5] = rep_chain_link(0, s, &moved_deps, "payload", 7);
	links[6] = rep_chain_link(0, s, &two, "payloae", 7);
	links[7] = rep_chain_chunk(links[0], 0, "chunk", 5);
	links[8] = rep_chain_chunk(links[0], 1, "chunk", 5);
	for (int i = 0; i < 9; i++)
		for (int k = 0; k < i; k++)
			CHECK(links[i] != links[k]);
	CHECK(links[0] == rep_chain_link(0, s, &two, "payload", 7));

	/* stored and compared between nodes: may never change */
	CHECK(links[0] == UINT64_C(0x5e085a680a2df24f));
	CHECK(links[8] == UINT64_C(0x35fbccf93bdb0e01));
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("frames travel; every truncation is rejected", whole_and_cut);
	unit_run("damaged frames are rejected or mean what they say", damaged);
	unit_run("each fault of a header has its error", header_errors);
	unit_run("the header is under the checksum too", header_is_checked);
	unit_run("a body that goes on after its end is rejected", trailing_bytes);
	unit_run("counts are bounded before anybody loops", counts_are_bounded);
	unit_run("positions and deps stay in their interval", interval_rules);
	unit_run("acks name the position from which they hold",
			 acks_need_a_position);
	unit_run("deps near the position are short, far ones exact",
			 near_deps_are_short);
	unit_run("every part of a transaction is in the chain", chain);
	return unit_finish();
}
