/*
 * packet_test.c
 *		Strong messages with their payloads, and write sets: there and back, cut
 *		and damaged.
 */
#include "raft_packet.h"
#include "strong_set.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static uint8_t room[8192];
static _Alignas(16) uint8_t memory[1024 * 1024];

/* Two entries with payloads and one without; the packet's length. */
static size_t
sample(void)
{
	static const RepVersion deps[] = { { { 0, 1 }, 7 }, { { 2, 99 }, 1000 } };
	static const RepKey keys[] = { { 5, 3, REP_KEY_EXCLUSIVE },
								   { 6, 4, REP_KEY_SHARED } };
	static const uint8_t *payloads[] = { (const uint8_t *) "first", NULL,
										 (const uint8_t *) "the third" };
	RepRaftEntry entries[3] = {
		{ .index = 11,
		  .term = 2,
		  .kind = REP_ENTRY_WRITE,
		  .stamp = { 77, { 2, 99 } },
		  .deps = deps,
		  .ndeps = 2,
		  .keys = keys,
		  .nkeys = 2,
		  .payload_size = 5 },
		{ .index = 12, .term = 3, .kind = REP_ENTRY_NOOP },
		{ .index = 13,
		  .term = 3,
		  .kind = REP_ENTRY_WRITE,
		  .stamp = { 78, { 2, 99 } },
		  .payload_size = 9 },
	};
	RepRaftMessage m = { .type = REP_MSG_APPEND,
						 .from = 1,
						 .to = 2,
						 .term = 3,
						 .index = 10,
						 .log_term = 2,
						 .entries = entries,
						 .nentries = 3 };
	RepWriter w;

	rep_writer_init(&w, room, sizeof(room));
	rep_raft_packet_encode(42, &m, payloads, &w);
	CHECK(!w.full);
	return w.len;
}

static bool
opens(const void *data, size_t len, size_t cap, RepRaftPacket *p)
{
	RepArena a;

	rep_arena_init(&a, memory, cap);
	return rep_raft_packet_decode(data, len, &a, p);
}

static void
there_and_back(void)
{
	size_t len = sample();
	RepRaftPacket p;

	CHECK(opens(room, len, sizeof(memory), &p));
	CHECK(p.cluster == 42 && p.message.nentries == 3);
	CHECK(memcmp(p.payloads[0], "first", 5) == 0);
	CHECK(memcmp(p.payloads[2], "the third", 9) == 0);
	CHECK(p.message.entries[0].keys[1].mode == REP_KEY_SHARED);
	CHECK(p.message.entries[0].deps[1].position == 1000);
	/* too little memory is told, not overrun */
	for (size_t cap = 0; cap < 384; cap += 16)
		CHECK(!opens(room, len, cap, &p));
}

static void
cut_and_damaged(void)
{
	size_t len = sample();
	RepRaftPacket p;

	for (size_t cut = 0; cut < len; cut++)
	{
		uint8_t *exact = unit_exact_copy(room, cut);

		CHECK(!opens(exact, cut, sizeof(memory), &p));
		free(exact);
	}
	for (size_t i = 0; i < len; i++)
	{
		room[i] ^= 0x10;
		CHECK(!opens(room, len, sizeof(memory), &p));
		room[i] ^= 0x10;
	}
	room[len] = 0;
	CHECK(!opens(room, len + 1, sizeof(memory), &p));
}

static void
write_sets(const uint8_t *key, size_t key_len)
{
	RepStrongSet set = { .xid = 1234, .ndescriptors = 2, .key = key, .key_len = key_len };
	RepWriter w;
	size_t size;
	RepReader r;

	rep_writer_init(&w, room, sizeof(room));
	rep_strong_set_begin(&w, &set);
	CHECK(w.len <= REP_STRONG_SET_HEAD);
	CHECK(rep_strong_set_has_key(room, w.len, "k-1", 3) == (key_len == 3));
	CHECK(!rep_strong_set_has_key(room, w.len, "k-2", 3));
	CHECK(!rep_strong_set_has_key(room, w.len, "k-", 2));
	CHECK(!rep_strong_set_has_key(room, w.len, "", 0));
	rep_write_blob(&w, "one", 3);
	rep_write_blob(&w, "two!", 4);
	rep_write_blob(&w, "payload", 7);
	CHECK(rep_strong_set_decode(room, w.len, &set));
	CHECK(set.xid == 1234 && set.ndescriptors == 2);
	CHECK(set.key_len == key_len && (key_len == 0 || memcmp(set.key, key, key_len) == 0));
	CHECK(set.payload_len == 7 && memcmp(set.payload, "payload", 7) == 0);
	r = set.descriptors;
	CHECK(memcmp(rep_read_blob(&r, &size), "one", 3) == 0 && size == 3);
	CHECK(memcmp(rep_read_blob(&r, &size), "two!", 4) == 0 && size == 4);
	for (size_t cut = 0; cut < w.len; cut++)
	{
		uint8_t *exact = unit_exact_copy(room, cut);

		CHECK(!rep_strong_set_decode(exact, cut, &set));
		free(exact);
	}
	room[0] += 2;
	CHECK(!rep_strong_set_decode(room, w.len, &set));
}

/* A key may be as long as it may, not longer, and not empty where one is said
 * to be. */
static void
write_keys(void)
{
	static uint8_t longest[REP_MAX_IDEMPOTENCY_KEY + 1];
	RepStrongSet set = { .key = longest, .key_len = sizeof(longest) };
	RepWriter w;

	write_sets(NULL, 0);
	write_sets((const uint8_t *) "k-1", 3);
	write_sets(longest, sizeof(longest) - 1);
	rep_writer_init(&w, room, sizeof(room));
	rep_strong_set_begin(&w, &set);
	rep_write_blob(&w, "", 0);
	CHECK(!rep_strong_set_decode(room, w.len, &set));
	CHECK(!rep_strong_set_has_key(room, w.len, longest, sizeof(longest)));
	room[2] = room[3] = 0;
	CHECK(!rep_strong_set_decode(room, 6, &set));
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("a packet comes back with its payloads", there_and_back);
	unit_run("a cut or damaged packet is refused", cut_and_damaged);
	unit_run("so are write sets", write_keys);
	return unit_finish();
}
