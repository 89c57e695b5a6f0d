/*
 * closed_model_test.c
 *		The commit order and the grace period of acks, in every interleaving.
 *
 * Backends commit as doc says (pending, deps, tick, pending, visible), one
 * apply raises `started` and makes a remote transaction X durable, and one
 * sender takes an acknowledgement V (1 if it names X), goes through the grace
 * period with the real RepAckGrace and sends V with a closed position. Every
 * shared load and store is a step of its own, and all orders are walked. In
 * each final state:
 *
 * 1. closed: a transaction at or below the closed position c has finished;
 * 2. promise: a transaction above c has deps at or above V.
 *
 * The same walk must find a violation when the ack goes out with any frame,
 * when g is read before the wait, when deps are read before pending is
 * published, and when pending is published only after the tick.
 */
#include "causal.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BACKENDS 3
#define HLC_BEGIN 10

/* REP_NOT_PENDING, as a byte of a state */
#define EMPTY 0

typedef enum Mode
{
	GRACE,       /* as it should be */
	NAIVE,       /* V goes with any frame */
	EARLY_G,     /* g is read before the transactions have finished */
	DEPS_FIRST,  /* deps are read before pending is published */
	LATE_PENDING /* pending is published only after the tick */
} Mode;

typedef enum BackendStep
{
	B_LOAD,    /* hlc, for pending */
	B_PUBLISH, /* pending = what was loaded */
	B_DEPS,    /* deps = started */
	B_TICK,
	B_REPUBLISH, /* pending = own stamp */
	B_FINISH,    /* visible, then pending = none */
	B_END
} BackendStep;

typedef enum SenderStep
{
	S_TAKE,    /* V = applied */
	S_SCAN,    /* slot by slot */
	S_EARLY_G, /* only in that mode */
	S_POLL,    /* slot by slot */
	S_G,
	S_CLOSED_LOAD,
	S_CLOSED_SCAN, /* slot by slot */
	S_SENT
} SenderStep;

typedef struct Backend
{
	uint8_t step;
	uint8_t left; /* transactions to come, this one included */
	uint8_t loaded;
	uint8_t pending;
	uint8_t deps;
	uint8_t position; /* 0: not ticked */
} Backend;

/* Bytes only, so that states compare and hash as they lie. */
typedef struct State
{
	uint8_t hlc;
	uint8_t started; /* 1: raised to X */
	uint8_t applied; /* 1: X is durable here */
	Backend backends[MAX_BACKENDS];
	/* per backend and transaction: position, deps + 1, finished */
	uint8_t past[MAX_BACKENDS][2][3];
	uint8_t step;
	uint8_t at; /* slot that the sender reads next */
	uint8_t v;
	uint8_t read[MAX_BACKENDS]; /* slots as the sender read them */
	uint8_t phase;
	uint8_t g;
	uint8_t nwaiting;
	uint8_t waiting[MAX_BACKENDS][2]; /* slot, what it held */
	uint8_t closed;
} State;

/* ------------------------------------------------------------------------
 * The set of states seen: open addressing over an arena that grows
 * ------------------------------------------------------------------------
 */

static State *arena;
static size_t nstates;
static size_t arena_room;
static uint32_t *table;
static size_t table_size;

static void
table_place(uint32_t number)
{
	size_t i = rep_hash64(&arena[number], sizeof(State), 0);

	for (;; i++)
		if (table[i &= table_size - 1] == 0)
		{
			table[i] = number + 1;
			return;
		}
}

static void
set_grow(void)
{
	table_size = table_size == 0 ? 1 << 16 : table_size * 2;
	arena_room = table_size / 2;
	arena = realloc(arena, arena_room * sizeof(State));
	free(table);
	table = calloc(table_size, sizeof(uint32_t));
	if (arena == NULL || table == NULL)
		abort();
	for (size_t n = 0; n < nstates; n++)
		table_place((uint32_t) n);
}

/* Adds the state unless it is there. */
static void
set_add(const State *s)
{
	size_t i;

	if (nstates == arena_room)
		set_grow();
	i = rep_hash64(s, sizeof(State), 0);
	for (;; i++)
	{
		uint32_t there = table[i &= table_size - 1];

		if (there == 0)
			break;
		if (memcmp(&arena[there - 1], s, sizeof(State)) == 0)
			return;
	}
	arena[nstates] = *s;
	table[i] = (uint32_t) ++nstates;
}

/* ------------------------------------------------------------------------
 * The state machine under test, in and out of a state
 * ------------------------------------------------------------------------
 */

static void
grace_load(const State *s, RepAckGrace *a, RepAckSlot *room)
{
	rep_ack_grace_init(a, NULL, 0, room, MAX_BACKENDS);
	a->phase = (RepAckPhase) s->phase;
	a->g = s->g;
	a->nwaiting = s->nwaiting;
	for (uint32_t i = 0; i < s->nwaiting; i++)
		room[i] = (RepAckSlot){ .slot = s->waiting[i][0],
								.pending = s->waiting[i][1] };
}

static void
grace_store(State *s, const RepAckGrace *a)
{
	s->phase = (uint8_t) a->phase;
	s->g = (uint8_t) a->g;
	s->nwaiting = (uint8_t) a->nwaiting;
	memset(s->waiting, 0, sizeof(s->waiting));
	for (uint32_t i = 0; i < a->nwaiting; i++)
	{
		s->waiting[i][0] = (uint8_t) a->waiting[i].slot;
		s->waiting[i][1] = (uint8_t) a->waiting[i].pending;
	}
	memset(s->read, 0, sizeof(s->read));
	s->at = 0;
}

static void
grace_begin(State *s, int nbackends)
{
	const RepVector v = { NULL, 0, 0 };
	RepAckSlot room[MAX_BACKENDS];
	RepAckGrace a;
	int slots[MAX_BACKENDS];
	uint64_t pending[MAX_BACKENDS];
	uint32_t n = 0;

	for (int b = 0; b < nbackends; b++)
		if (s->read[b] != EMPTY)
		{
			slots[n] = b;
			pending[n++] = s->read[b];
		}
	rep_ack_grace_init(&a, NULL, 0, room, MAX_BACKENDS);
	CHECK(rep_ack_grace_begin(&a, &v, slots, pending, n));
	grace_store(s, &a);
}

static bool
grace_poll(State *s)
{
	RepAckSlot room[MAX_BACKENDS];
	RepAckGrace a;
	uint64_t now[MAX_BACKENDS];
	bool finished;

	grace_load(s, &a, room);
	for (uint32_t i = 0; i < a.nwaiting; i++)
		now[i] = s->read[i] == EMPTY ? REP_NOT_PENDING : s->read[i];
	finished = rep_ack_grace_poll(&a, now);
	grace_store(s, &a);
	return finished;
}

static void
grace_finish(State *s, uint64_t hlc)
{
	RepAckSlot room[MAX_BACKENDS];
	RepAckGrace a;

	grace_load(s, &a, room);
	rep_ack_grace_finish(&a, hlc);
	grace_store(s, &a);
}

static bool
grace_usable(const State *s, uint64_t to)
{
	RepAckSlot room[MAX_BACKENDS];
	RepAckGrace a;

	grace_load(s, &a, room);
	return rep_ack_grace_usable(&a, to);
}

/* ------------------------------------------------------------------------
 * Steps
 * ------------------------------------------------------------------------
 */

/* The backend's record of its present transaction. */
static uint8_t *
present(State *s, int b)
{
	return s->past[b][s->backends[b].left - 1];
}

static void
backend_step(State *s, int number, Mode mode)
{
	Backend *b = &s->backends[number];

	switch (b->step++)
	{
		case B_LOAD:
			b->loaded = s->hlc;
			if (mode == DEPS_FIRST)
				b->deps = s->started;
			break;
		case B_PUBLISH:
			if (mode != LATE_PENDING)
				b->pending = b->loaded;
			break;
		case B_DEPS:
			if (mode != DEPS_FIRST)
				b->deps = s->started;
			break;
		case B_TICK:
			b->position = ++s->hlc;
			present(s, number)[0] = b->position;
			present(s, number)[1] = b->deps + 1;
			break;
		case B_REPUBLISH:
			b->pending = b->position;
			break;
		case B_FINISH:
			present(s, number)[2] = 1;
			b->pending = EMPTY;
			b->position = b->deps = b->loaded = 0;
			if (--b->left > 0)
				b->step = B_LOAD;
			break;
		default:
			abort();
	}
}

static void
sender_step(State *s, int nbackends, Mode mode)
{
	switch (s->step)
	{
		case S_TAKE:
			s->v = s->applied;
			s->step = mode == NAIVE ? S_CLOSED_LOAD : S_SCAN;
			return;
		case S_SCAN:
			s->read[s->at] = s->backends[s->at].pending;
			if (++s->at < nbackends)
				return;
			grace_begin(s, nbackends);
			s->step = mode == EARLY_G ? S_EARLY_G : S_POLL;
			return;
		case S_EARLY_G:
			s->closed = s->hlc; /* kept here until the wait is over */
			s->step = S_POLL;
			return;
		case S_POLL:
			if (s->nwaiting > 0)
			{
				uint8_t slot = s->waiting[s->at][0];

				s->read[s->at] = s->backends[slot].pending;
				if (++s->at < s->nwaiting)
					return;
			}
			if (grace_poll(s))
				s->step = S_G;
			return;
		case S_G:
			grace_finish(s, mode == EARLY_G ? s->closed : s->hlc);
			s->step = S_CLOSED_LOAD;
			return;
		case S_CLOSED_LOAD:
			s->closed = s->hlc;
			s->at = 0;
			s->step = S_CLOSED_SCAN;
			return;
		case S_CLOSED_SCAN:
			if (s->backends[s->at].pending != EMPTY &&
				s->backends[s->at].pending - 1 < s->closed)
				s->closed = (uint8_t) (s->backends[s->at].pending - 1);
			if (++s->at < nbackends)
				return;
			s->at = 0;
			if (mode == NAIVE || grace_usable(s, s->closed))
				s->step = S_SENT;
			else
				s->step = S_CLOSED_LOAD;
			return;
		default:
			abort();
	}
}

/* What the final state breaks, or NULL. */
static const char *
broken(const State *s, int nbackends)
{
	if (s->step != S_SENT)
		return NULL;
	for (int b = 0; b < nbackends; b++)
		for (int t = 0; t < 2; t++)
		{
			const uint8_t *tx = s->past[b][t];

			if (tx[0] == 0)
				continue;
			if (tx[0] <= s->closed && !tx[2])
				return "closed: a transaction below it has not finished";
			if (tx[0] > s->closed && tx[1] - 1 < s->v)
				return "promise: a later transaction's deps lack V";
		}
	return NULL;
}

/*
 * Walks all orders of nbackends backends with ntransactions each. Returns what
 * is violated, or NULL after all states; *states says how many there were.
 */
static const char *
walk(Mode mode, int nbackends, uint8_t ntransactions, size_t *states)
{
	State first;
	const char *wrong = NULL;

	memset(&first, 0, sizeof(first));
	first.hlc = HLC_BEGIN;
	for (int b = 0; b < nbackends; b++)
		first.backends[b].left = ntransactions;
	nstates = 0;
	table_size = 0;
	set_grow();
	set_add(&first);
	for (size_t n = 0; n < nstates && wrong == NULL; n++)
	{
		State from = arena[n];
		State to;

		wrong = broken(&from, nbackends);
		for (int b = 0; b < nbackends; b++)
			if (from.backends[b].step < B_END)
			{
				to = from;
				backend_step(&to, b, mode);
				set_add(&to);
			}
		if (!from.started || !from.applied)
		{
			to = from;
			if (!from.started)
				to.started = 1;
			else
				to.applied = 1;
			set_add(&to);
		}
		if (from.step < S_SENT)
		{
			to = from;
			sender_step(&to, nbackends, mode);
			set_add(&to);
		}
	}
	*states = nstates;
	free(table);
	free(arena);
	table = NULL;
	arena = NULL;
	return wrong;
}

static void
the_promise_holds(void)
{
	size_t states;

	CHECK(walk(GRACE, 2, 1, &states) == NULL);
	unit_note("2 backends, 1 transaction each: %zu states", states);
	CHECK(walk(GRACE, 3, 1, &states) == NULL);
	unit_note("3 backends, 1 transaction each: %zu states", states);
	CHECK(walk(GRACE, 2, 2, &states) == NULL);
	unit_note("2 backends, 2 transactions each: %zu states", states);
}

static void
mistakes_are_caught(void)
{
	static const struct
	{
		Mode mode;
		const char *name;
	} wrong[] = { { NAIVE, "ack with any frame" },
				  { EARLY_G, "g read before the wait" },
				  { DEPS_FIRST, "deps read before pending is published" },
				  { LATE_PENDING, "pending published after the tick" } };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		size_t states;
		const char *why = walk(wrong[i].mode, 2, 1, &states);

		CHECK(why != NULL);
		unit_note("%s: %s, after %zu states", wrong[i].name,
				  why == NULL ? "not caught" : why, states);
	}
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("the order of commit and the grace period hold in every state",
			 the_promise_holds);
	unit_run("each mistake is caught", mistakes_are_caught);
	return unit_finish();
}
