/*
 * unit_main.c
 *		Laws of the engine's parts, against deliberately stupid second
 *		implementations, and peers that send anything at all.
 *
 *	raft_units [seed]
 */
#include "certify.h"
#include "prng.h"
#include "raft.h"
#include "raft_message.h"
#include "raft_quorum.h"
#include "raft_stamps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static RepPrng prng;
static int number;
static int failed;

static uint64_t
below(uint64_t bound)
{
	return rep_prng_below(&prng, bound);
}

static void
ok(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++number, name);
	failed += !good;
}

/* The value is reached by a majority, and no larger one is. */
static void
test_quorum(void)
{
	bool good = true;

	for (int round = 0; round < 20000; round++)
	{
		uint64_t values[9];
		uint64_t sorted[9];
		uint32_t n = 1 + (uint32_t) below(9);
		uint64_t q;
		uint32_t reach = 0;
		uint32_t above = 0;

		for (uint32_t i = 0; i < n; i++)
			values[i] = sorted[i] = below(6);
		q = rep_raft_quorum_value(sorted, n);
		for (uint32_t i = 0; i < n; i++)
		{
			reach += values[i] >= q;
			above += values[i] > q;
		}
		good = good && reach * 2 > n && above * 2 <= n;
	}
	ok(good, "a quorum's value is the largest that a majority reaches");
	ok(rep_raft_tally(4, 2, 1) == REP_TALLY_OPEN &&
		   rep_raft_tally(4, 2, 2) == REP_TALLY_LOST &&
		   rep_raft_tally(4, 3, 0) == REP_TALLY_WON &&
		   rep_raft_tally(0, 0, 0) == REP_TALLY_LOST,
	   "an election is open, won or lost");
}

#define KEYS 12
#define HISTORY 400

/* Certification against the whole history of writes. */
static void
test_certify(void)
{
	bool sound = true;
	bool complete = true;
	uint64_t accepted = 0;
	uint64_t refused_old = 0;
	static uint8_t memory[8192] __attribute__((aligned(16)));

	for (int round = 0; round < 200; round++)
	{
		uint64_t exclusive[KEYS] = { 0 };
		uint64_t shared[KEYS] = { 0 };
		RepCertify c;
		RepArena a;
		uint64_t low = below(3) * 10;

		rep_arena_init(&a, memory, sizeof(memory));
		rep_certify_init(&c, &a, 8 + (uint32_t) below(16));
		rep_certify_reset(&c, low);
		for (uint64_t index = low + 1; index < low + HISTORY; index++)
		{
			RepKey keys[3];
			uint32_t n = 1 + (uint32_t) below(3);
			bool conflict = false;
			bool old = false;
			uint64_t key;
			uint64_t at;
			RepCertifyResult result;

			for (uint32_t i = 0; i < n; i++)
			{
				uint64_t k = (below(KEYS / 3) * 3 + i) % KEYS;
				uint64_t back = below(12);

				keys[i].hash = k + 1;
				keys[i].base = back < index ? index - 1 - back % index : 0;
				keys[i].mode =
					below(3) == 0 ? REP_KEY_SHARED : REP_KEY_EXCLUSIVE;
				conflict |= exclusive[k] > keys[i].base ||
							(keys[i].mode == REP_KEY_EXCLUSIVE &&
							 shared[k] > keys[i].base);
				old |= keys[i].base < c.low;
			}
			result = rep_certify_check(&c, keys, n, &key, &at);
			sound = sound && !(result == REP_CERTIFY_OK && conflict);
			complete =
				complete && (result == REP_CERTIFY_OK || conflict || old);
			refused_old += result == REP_CERTIFY_OLD_BASE;
			if (result != REP_CERTIFY_OK)
				continue;
			accepted++;
			rep_certify_note(&c, keys, n, index);
			for (uint32_t i = 0; i < n; i++)
				if (keys[i].mode == REP_KEY_SHARED)
					shared[keys[i].hash - 1] = index;
				else
					exclusive[keys[i].hash - 1] = index;
		}
	}
	ok(sound, "certification accepts no conflict, whatever it has forgotten");
	ok(complete, "and refuses only conflicts and what it cannot know");
	ok(accepted > 1000 && refused_old > 1000, "both happened often");
}

/* The map of stamps against an array. */
static void
test_stamps(void)
{
	static uint8_t memory[8192] __attribute__((aligned(16)));
	uint64_t values[64] = { 0 };
	uint32_t count = 0;
	RepRaftStamps t;
	RepArena a;
	bool good = true;

	rep_arena_init(&a, memory, sizeof(memory));
	rep_raft_stamps_init(&t, &a, 20);
	for (int i = 0; i < 200000; i++)
	{
		uint64_t k = below(64);
		RepStamp s = { k / 4 << 16, { (uint32_t) (k % 2), k / 2 % 2 } };
		uint64_t v = 1 + below(1000);

		switch (below(3))
		{
			case 0:
				if (rep_raft_stamps_set(&t, s, v))
				{
					count += values[k] == 0;
					values[k] = v;
				}
				else
					good = good && count == 20 && values[k] == 0;
				break;
			case 1:
				rep_raft_stamps_remove(&t, s);
				count -= values[k] != 0;
				values[k] = 0;
				break;
			default:
				good = good && rep_raft_stamps_get(&t, s) == values[k];
		}
	}
	ok(good, "stamps are found, replaced and removed as in an array");
}

/* ----- peers that send anything at all ----- */

static RepVersion some_versions[8];
static RepKey some_keys[4];
static RepRaftMember some_members[4];
static RepRaftEntry some_entries[6];
static RepRaftBase some_base;

static uint32_t
random_versions(RepVersion *out)
{
	uint32_t n = (uint32_t) below(5);

	for (uint32_t i = 0; i < n; i++)
		out[i] = (RepVersion){ { i, i + 1 }, below(20) };
	return n;
}

static uint32_t
random_members(RepRaftMember *out)
{
	uint32_t n = (uint32_t) below(5);

	for (uint32_t i = 0; i < n; i++)
		out[i] =
			(RepRaftMember){ (uint32_t) below(5), below(3) > 0, below(5) == 0 };
	return n;
}

/* Mostly close to sense, so that it gets past the first look. */
static void
random_message(RepRaftMessage *m, uint64_t term, uint64_t last)
{
	memset(m, 0, sizeof(*m));
	m->type = 1 + (RepRaftMessageType) below(REP_MSG_LAST);
	m->from = 2 + (uint32_t) below(3);
	m->to = 1;
	m->term = term + (below(5) == 0) - (term > 0 && below(8) == 0);
	m->index = below(10) == 0 ? UINT64_MAX - below(3) : below(last + 3);
	m->log_term = below(term + 2);
	m->commit = below(12) == 0 ? UINT64_MAX : below(last + 4);
	m->id = below(8) == 0 ? UINT64_MAX : below(2000);
	if (m->type == REP_MSG_PREVOTE_ANSWER)
		m->id = term + 1;
	m->sent_ms = below(1000000);
	m->held_version = below(3000);
	m->applied = below(last + 5);
	m->hint = below(last + 4);
	m->reject = below(3) == 0;
	m->transfer = below(3) == 0;
	m->want_held = below(2) == 0;
	m->verdict = 1 + (RepRaftVerdict) below(REP_VERDICT_LAST);
	m->stamp = (RepStamp){ below(20) << 16, { 1, 1 } };
	m->key = below(9);
	if (below(3) == 0)
	{
		m->held = some_versions;
		m->nheld = random_versions(some_versions);
	}
	if (below(2) == 0)
	{
		uint64_t entry_term = m->log_term;

		m->nentries = (uint32_t) below(6);
		m->entries = some_entries;
		for (uint32_t i = 0; i < m->nentries; i++)
		{
			RepRaftEntry *e = &some_entries[i];

			memset(e, 0, sizeof(*e));
			entry_term += below(3) == 0;
			e->kind = 1 + (RepRaftEntryKind) below(REP_ENTRY_HORIZON);
			e->index = m->index + 1 + i + (below(20) == 0);
			e->term = below(20) == 0 ? below(9) : entry_term;
			e->deps = some_versions;
			e->ndeps = random_versions(some_versions);
			e->keys = some_keys;
			e->nkeys = (uint32_t) below(5);
			for (uint32_t k = 0; k < 4; k++)
				some_keys[k] = (RepKey){ below(9), below(last + 3),
										 1 + (RepKeyMode) below(2) };
			e->members = some_members;
			e->nmembers =
				e->kind == REP_ENTRY_CONFIG ? random_members(some_members) : 0;
			if (e->kind == REP_ENTRY_WRITE || e->kind == REP_ENTRY_ABORT)
				e->stamp = (RepStamp){ below(20) << 16, { 1, 1 } };
		}
	}
	if (m->type == REP_MSG_SNAPSHOT && below(3) > 0)
	{
		some_base = (RepRaftBase){ .index = below(last + 5),
								   .term = below(term + 2),
								   .members = some_members,
								   .nmembers = random_members(some_members) };
		m->base = &some_base;
	}
}

static RepRaft *
fresh_engine(RepRaftOptions *o, void *memory, size_t size, uint64_t boot)
{
	RepRaftMember members[3] = { { 1, true, false },
								 { 2, true, false },
								 { 3, true, false } };
	RepRaftBase base = { .members = members, .nmembers = 3 };
	RepRaft *r;

	o->ticket_base = boot * 1000;
	o->seed = boot;
	r = rep_raft_init(memory, size, o);
	rep_raft_restore_base(r, &base);
	rep_raft_start(r, 0, 0);
	return r;
}

static void
small_options(RepRaftOptions *o)
{
	rep_raft_defaults(o);
	o->node = 1;
	o->max_members = 4;
	o->max_streams = 6;
	o->log_entries = 64;
	o->log_bytes = 8192;
	o->max_waiting = 4;
	o->waiting_bytes = 2048;
	o->max_pending = 4;
	o->max_reads = 4;
	o->max_keys = 8;
	o->batch_entries = 3;
	o->max_inflight = 2;
}

/* What a well-meaning peer would say, so that we lead now and then. */
static void
help(RepRaftMessage *m, const RepRaftStatus *s)
{
	memset(m, 0, sizeof(*m));
	m->from = 2 + (uint32_t) below(2);
	m->to = 1;
	m->term = s->term;
	m->id = s->term + 1;
	m->index = s->last;
	m->type = s->role == REP_RAFT_PRECANDIDATE ? REP_MSG_PREVOTE_ANSWER
			  : s->role == REP_RAFT_CANDIDATE  ? REP_MSG_VOTE_ANSWER
											   : REP_MSG_APPEND_ANSWER;
}

/* One event out of the blue; its message goes through bytes. */
static void
random_event(RepRaft *r, RepRaftEvent *ev, RepRaftMessage *m, RepArena *decode)
{
	static uint8_t bytes[8192];
	static RepRaftEntry proposal;
	RepRaftStatus s;
	RepRaftMessage sent;
	RepWriter w;
	RepReader reader;

	rep_raft_status(r, &s);
	ev->node = (uint32_t) below(5);
	ev->id = below(6);
	ev->index = below(s.last + 3);
	ev->healthy = below(10) > 0;
	ev->change = 1 + (RepRaftChangeKind) below(3);
	ev->held = some_versions;
	ev->proposal = &proposal;
	if (below(4) == 0)
	{
		static const RepRaftEventType kinds[] = {
			REP_EV_TICK,    REP_EV_TICK,        REP_EV_PROPOSE, REP_EV_FORGET,
			REP_EV_READ,    REP_EV_READ_CANCEL, REP_EV_HELD,    REP_EV_APPLIED,
			REP_EV_COMPACT, REP_EV_CHANGE,      REP_EV_HORIZON, REP_EV_TRANSFER,
			REP_EV_RELAY,   REP_EV_DISK
		};

		ev->type = kinds[below(sizeof(kinds) / sizeof(kinds[0]))];
		ev->nheld = random_versions(some_versions);
		memset(&proposal, 0, sizeof(proposal));
		proposal.kind = REP_ENTRY_WRITE;
		proposal.stamp = (RepStamp){ below(20) << 16, { 1, 1 } };
		return;
	}
	ev->type = REP_EV_MESSAGE;
	random_message(&sent, s.term, s.last);
	if (s.role != REP_RAFT_FOLLOWER && below(3) > 0)
		help(&sent, &s);
	rep_writer_init(&w, bytes, sizeof(bytes));
	rep_raft_message_encode(&sent, &w);
	if (below(10) == 0)
		bytes[below(w.len)] ^= (uint8_t) (1 << below(8));
	rep_arena_reset(decode);
	rep_reader_init(&reader, bytes, w.len);
	if (rep_raft_message_decode(&reader, decode, m))
		ev->message = m;
	else
		ev->type = REP_EV_TICK;
}

/*
 * Peers that break every rule may make the engine's answers worthless, but
 * neither its memory nor its assertions. They may elect us, so leaders are
 * tried as well as followers.
 */
static void
test_any_peer(void)
{
	RepRaftOptions o;
	RepArena step;
	RepArena decode;
	uint64_t led = 0;
	uint64_t committed = 0;
	void *memory;

	small_options(&o);
	memory = calloc(1, rep_raft_size(&o));
	rep_arena_init(&step, calloc(1, rep_raft_arena_size(&o)),
				   rep_raft_arena_size(&o));
	rep_arena_init(&decode, calloc(1, 1 << 16), 1 << 16);
	for (uint64_t life = 1; life <= 400; life++)
	{
		RepRaft *r = fresh_engine(&o, memory, rep_raft_size(&o), life);
		uint64_t now = 0;
		RepRaftStatus s;

		for (int i = 0; i < 500; i++)
		{
			RepRaftEvent ev = { 0 };
			RepRaftActions actions;
			RepRaftMessage m;
			uint64_t persist = 0;

			random_event(r, &ev, &m, &decode);
			now += below(400);
			ev.now_ms = now;
			ev.wall_ms = 1000;
			rep_arena_reset(&step);
			rep_raft_step(r, &ev, &step, &actions);
			for (uint32_t k = 0; k < actions.n; k++)
				if (actions.items[k].persist > persist)
					persist = actions.items[k].persist;
			ev = (RepRaftEvent){ .type = REP_EV_PERSISTED,
								 .id = persist,
								 .now_ms = now };
			rep_arena_reset(&step);
			rep_raft_step(r, &ev, &step, &actions);
			rep_raft_status(r, &s);
			led += s.role == REP_RAFT_LEADER;
		}
		committed += s.commit;
	}
	ok(true, "no peer can break the engine");
	printf("# led in %lu steps, committed %lu\n", (unsigned long) led,
		   (unsigned long) committed);
	ok(led > 1000 && committed > 400, "though it led and committed meanwhile");
	free(memory);
	free(step.base);
	free(decode.base);
}

/* Encoding what was decoded gives the same bytes. */
static void
test_codec(void)
{
	static uint8_t first[8192];
	static uint8_t second[8192];
	static uint8_t memory[1 << 16] __attribute__((aligned(16)));
	bool good = true;
	bool bounded = true;

	for (int i = 0; i < 20000; i++)
	{
		RepRaftMessage m;
		RepRaftMessage back;
		RepWriter w;
		RepWriter v;
		RepReader r;
		RepArena a;

		random_message(&m, 5, 10);
		rep_writer_init(&w, first, sizeof(first));
		rep_raft_message_encode(&m, &w);
		rep_arena_init(&a, memory, sizeof(memory));
		rep_reader_init(&r, first, w.len);
		good = good && rep_raft_message_decode(&r, &a, &back) &&
			   rep_reader_left(&r) == 0;
		rep_writer_init(&v, second, sizeof(second));
		rep_raft_message_encode(&back, &v);
		good = good && v.len == w.len && memcmp(first, second, w.len) == 0;

		/* every shorter input is refused */
		rep_arena_reset(&a);
		rep_reader_init(&r, first, below(w.len));
		bounded = bounded && !rep_raft_message_decode(&r, &a, &back);
	}
	ok(good, "messages survive their bytes");
	ok(bounded, "and no prefix of one is one");
}

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;

	rep_prng_init(&prng, seed);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %lu\n1..10\n", (unsigned long) seed);
	test_quorum();
	test_certify();
	test_stamps();
	test_codec();
	test_any_peer();
	return failed != 0;
}
