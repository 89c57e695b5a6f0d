/*
 * sim_main.c
 *		Runs episodes, counts what happened, and fails if too little did.
 *
 *	sim [--seed N] [--steps N] [--seconds N] [--one] [--trace]
 *
 * Seconds are the processor's. Prints TAP, and the seed of the first episode; a
 * failing episode prints its own, which `--seed N --one` plays again, `--trace`
 * in all detail. Built with a deliberate mistake in the engine it succeeds if
 * that is noticed in time.
 */
#define _POSIX_C_SOURCE 200809L
#include "mutants.h"
#include "raft_bug.h"
#include "sim.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPISODE_STEPS 24000
#define REST_TIME (60 * SECOND)

void
sim_trace(Sim *sim, const char *format, ...)
{
	va_list args;

	if (!sim->trace)
		return;
	printf("%8" PRIu64 ".%03" PRIu64 "  ", sim->now / 1000, sim->now % 1000);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* Where everybody stands, for who reads a failure. */
static void
describe(const Sim *sim)
{
	printf("# top %lu, members", (unsigned long) sim->top);
	for (uint32_t i = 0; i < sim->nmembers; i++)
		printf(" %u%s", sim->members[i].node,
			   sim->members[i].witness ? "w"
			   : sim->members[i].voter ? ""
									   : "l");
	printf("\n");
	for (uint32_t i = 1; i <= SIM_NODES; i++)
	{
		const SimNode *n = &sim->nodes[i];

		if (n->exists)
			printf("# node %u: %s, role %d, term %lu, leader %u, log %lu..%lu, "
				   "may apply %lu, applied %lu, clients %d %d %d\n",
				   i,
				   n->dead ? "dead"
				   : n->up ? "up"
						   : "down",
				   n->role, (unsigned long) n->term, n->leader,
				   (unsigned long) n->mirror_base,
				   (unsigned long) n->mirror_last,
				   (unsigned long) n->known_commit,
				   (unsigned long) n->now.applied, n->clients[0].state,
				   n->clients[1].state, n->clients[2].state);
	}
}

void
sim_fail(Sim *sim, const char *checker, const char *format, ...)
{
	va_list args;

	if (REP_RAFT_BUG != 0)
		printf("ok 1 - mistake %d, %s: caught by %s\n", REP_RAFT_BUG,
			   mutant_names[REP_RAFT_BUG], checker);
	else
		printf("not ok 1 - no checker objects\n");
	printf("# violation: %s: ", checker);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n# at step %" PRIu64 ", %" PRIu64 " ms, of the episode with seed "
		   "%" PRIu64 "\n# replay: --seed %" PRIu64 " --one\n",
		   sim->steps, sim->now / 1000, sim->seed, sim->seed);
	describe(sim);
	exit(REP_RAFT_BUG == 0);
}

uint64_t
sim_below(Sim *sim, uint64_t bound)
{
	return rep_prng_below(&sim->prng, bound);
}

bool
sim_chance(Sim *sim, uint32_t permille)
{
	return rep_prng_chance(&sim->prng, permille);
}

static void *
need(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
	{
		printf("out of memory\n");
		exit(2);
	}
	return p;
}

static void
allocate(Sim *sim)
{
	RepRaftOptions o;

	sim->heap = need(SIM_HEAP * sizeof(SimEvent));
	sim->messages = need(SIM_INFLIGHT * sizeof(SimMessage));
	sim->ops = need(SIM_OPS * sizeof(SimOp));
	sim->committed = need(SIM_LOG * sizeof(SimCommitted));
	sim->leader_of = need(SIM_TERMS * sizeof(uint32_t));
	sim->leader_boot = need(SIM_TERMS * sizeof(uint32_t));
	sim->match = need(SIM_MATCHES * sizeof(SimMatch));
	for (uint32_t s = 0; s < SIM_STREAMS; s++)
		sim->streams[s].transactions =
			need((SIM_EVENTUAL + 1) * sizeof(SimEventual));
	/* room for the largest options any episode chooses */
	sim->batch_entries = 4;
	sim->max_inflight = 3;
	sim_options(sim, &sim->nodes[1], &o);
	for (uint32_t i = 1; i <= SIM_NODES; i++)
	{
		SimNode *n = &sim->nodes[i];

		n->memory_size = rep_raft_size(&o);
		n->memory = need(n->memory_size);
		n->id = i;
		n->mirror = need(SIM_LOG * sizeof(SimEntry));
		n->disk.log = need(SIM_LOG * sizeof(SimEntry));
		n->persists = need(SIM_PERSISTS * sizeof(SimPersist));
		n->outbox = need(SIM_OUTBOX * sizeof(SimDeferred));
	}
	rep_arena_init(&sim->step_arena, need(rep_raft_arena_size(&o)),
				   rep_raft_arena_size(&o));
	rep_arena_init(&sim->decode_arena, need(1 << 16), 1 << 16);
}

static void
reset_node(SimNode *n)
{
	SimNode fresh;

	memset(&fresh, 0, sizeof(fresh));
	fresh.id = n->id;
	fresh.mirror = n->mirror;
	fresh.persists = n->persists;
	fresh.outbox = n->outbox;
	fresh.memory = n->memory;
	fresh.memory_size = n->memory_size;
	fresh.disk.log = n->disk.log;
	*n = fresh;
	memset(n->disk.log, 0, sizeof(SimEntry));
	memset(n->mirror, 0, sizeof(SimEntry));
}

/* This episode's weather, by its seed. */
static void
choose_weather(Sim *sim)
{
	static const uint32_t voters[] = { 3, 3, 3, 3, 3, 5, 5, 2, 1, 4 };

	sim->first_voters = voters[sim_below(sim, 10)];
	sim->loss = sim_chance(sim, 300) ? 0 : (uint32_t) sim_below(sim, 80);
	sim->doubling = sim_chance(sim, 300) ? 0 : (uint32_t) sim_below(sim, 60);
	sim->delay = 200 + sim_below(sim, sim_chance(sim, 300) ? 60 * MS : 8 * MS);
	sim->disk_delay = 100 + sim_below(sim, 15 * MS);
	sim->think = 2 * MS + sim_below(sim, 60 * MS);
	sim->fault_every = 100 * MS + sim_below(sim, SECOND);
	sim->batch_entries = 1 + (uint32_t) sim_below(sim, 4);
	sim->max_inflight = 1 + (uint32_t) sim_below(sim, 3);
	sim->kill_share = sim_chance(sim, 500) ? 0 : (uint32_t) sim_below(sim, 600);
	sim->lease = sim_chance(sim, 300);
	sim->steady_jumps = !sim->lease && sim_chance(sim, 300);
	sim->write_share = 250 + (uint32_t) sim_below(sim, 400);
	sim->slow_votes = sim_chance(sim, 120);
	sim->figure8 = !sim->slow_votes && sim_chance(sim, 200);
	sim->fall_within = 40 * MS + 4 * sim->delay;
	sim->lease_probe = false;
	if (sim->slow_votes)
	{
		sim->first_voters = sim_chance(sim, 700) ? 3 : 5;
		sim->kill_share = 800;
		sim->fall_within = 3 * MS;
		sim->fault_every = 4 * SECOND;
	}
	if (sim->lease && sim_chance(sim, 600))
	{
		/* quick enough to write elsewhere while an old lease may still hold */
		sim->delay = 200 + sim_below(sim, 2 * MS);
		sim->disk_delay = 100 + sim_below(sim, MS);
		sim->think = MS + sim_below(sim, 8 * MS);
		sim->fault_every = 300 * MS;
		/* a node cut off has a chance only if nothing was logged since */
		sim->lease_probe = sim_chance(sim, 700);
		sim->write_share = sim->lease_probe ? 1 : 250;
		sim->fault_every = 1500 * MS;
		sim->first_voters = 3;
		sim->kill_share = 0;
	}
	if (sim->figure8)
	{
		sim->first_voters = 3;
		sim->batch_entries = 1;
		sim->max_inflight = 1;
		sim->kill_share = 850;
		sim->loss = 0;
		sim->delay = MS + sim_below(sim, 6 * MS);
		sim->disk_delay = MS + sim_below(sim, 4 * MS);
		sim->fault_every = 4 * SECOND;
		sim->fall_within = 3 * sim->delay + 2 * sim->disk_delay;
	}
}

static void
first_members(Sim *sim)
{
	bool witness = sim->first_voters == 3 && sim_chance(sim, 200);

	sim->nmembers = sim->first_voters;
	for (uint32_t i = 0; i < sim->nmembers; i++)
		sim->members[i] = (RepRaftMember){ i + 1, true, witness && i == 2 };
	for (uint32_t i = 1; i <= SIM_NODES; i++)
	{
		SimNode *n = &sim->nodes[i];
		SimBase *b = &n->disk.base;

		memcpy(b->members, sim->members, sizeof(b->members));
		b->base =
			(RepRaftBase){ .members = b->members, .nmembers = sim->nmembers };
		n->rate = 960000 + sim_below(sim, 80000);
		n->steady_offset = sim_below(sim, 10 * SECOND);
		n->wall_offset_ms = (int64_t) sim_below(sim, 400) - 200;
	}
}

static void
begin_episode(Sim *sim, uint64_t seed)
{
	sim->seed = seed;
	rep_prng_init(&sim->prng, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
	sim->now = 0;
	sim->order = 0;
	sim->steps = 0;
	sim->nheap = 0;
	sim->nops = 1;
	sim->nstreams = 0;
	sim->top = 0;
	sim->quiet_phase = false;
	sim->last_write_acked = false;
	memset(sim->cut, 0, sizeof(sim->cut));
	memset(sim->versions, 0, sizeof(sim->versions));
	memset(sim->complete, 0, sizeof(sim->complete));
	memset(sim->leader_of, 0, SIM_TERMS * sizeof(uint32_t));
	memset(sim->match, 0, SIM_MATCHES * sizeof(SimMatch));
	memset(sim->committed, 0, sizeof(SimCommitted));
	sim->free_message = UINT32_MAX;
	for (uint32_t i = SIM_INFLIGHT; i-- > 0;)
	{
		sim->messages[i].next_free = sim->free_message;
		sim->free_message = i;
	}
	for (uint32_t i = 1; i <= SIM_NODES; i++)
		reset_node(&sim->nodes[i]);
	choose_weather(sim);
	first_members(sim);
	for (uint32_t i = 1; i <= sim->first_voters; i++)
		sim_node_start(sim, &sim->nodes[i]);
	sim_schedule(sim, 600 * MS, SIM_FAULT, 0, 0, 0);
	sim_schedule(sim, SECOND, SIM_OPERATOR, 0, 0, 0);
}

static void
on_tick(Sim *sim, SimNode *n, const SimEvent *ev)
{
	RepRaftEvent tick = { .type = REP_EV_TICK };

	sim_schedule(sim, sim->now + 25 * MS, SIM_TICK, n->id, ev->arg, 0);
	sim_node_step(sim, n, &tick);
}

static void
on_flush(Sim *sim, SimNode *n, const SimEvent *ev)
{
	sim_schedule(sim, sim->now + 10 * MS + sim_below(sim, 40 * MS), SIM_FLUSH,
				 n->id, ev->arg, 0);
	sim_host_flush(sim, n);
}

static void
on_offer(Sim *sim, SimNode *n, const SimEvent *ev)
{
	sim_schedule(sim, sim->now + 5 * MS + sim_below(sim, 40 * MS), SIM_OFFER,
				 n->id, ev->arg, 0);
	sim_host_offer(sim, n);
}

static void
on_client(Sim *sim, SimNode *n, const SimEvent *ev)
{
	uint32_t client = ev->arg & 0xff;

	if (ev->arg >> 8 == n->boot && n->clients[client].serial == ev->serial)
		sim_client_act(sim, n, client);
}

static void
on_install(Sim *sim, SimNode *n)
{
	RepRaftEvent ev = { .type = REP_EV_INSTALLED, .base = &n->fetch.base };

	if (n->install_pending)
		return;
	sim_node_step(sim, n, &ev);
}

static void
on_node_event(Sim *sim, SimNode *n, const SimEvent *ev)
{
	if (ev->kind == SIM_DELIVER)
		sim_node_deliver(sim, n, ev->arg);
	else if (ev->kind == SIM_RESTART)
	{
		if (!n->up && !n->dead && n->boot == ev->arg)
			sim_node_start(sim, n);
	}
	else if (!n->up)
		return;
	else if (ev->kind == SIM_CLIENT)
		on_client(sim, n, ev);
	else if (ev->arg != n->boot)
		return;
	else if (ev->kind == SIM_TICK)
		on_tick(sim, n, ev);
	else if (ev->kind == SIM_SYNC)
	{
		sim_disk_done(sim, n, ev->serial);
		sim_node_sync(sim, n);
	}
	else if (ev->kind == SIM_FLUSH)
		on_flush(sim, n, ev);
	else if (ev->kind == SIM_OFFER)
		on_offer(sim, n, ev);
	else if (ev->kind == SIM_INSTALL)
		on_install(sim, n);
}

static void
run_event(Sim *sim, const SimEvent *ev)
{
	SimNode *n = &sim->nodes[ev->node];

	sim->now = ev->at;
	if (ev->kind == SIM_FALL)
		sim_fall(sim, ev);
	else if (ev->kind == SIM_FAULT)
		sim_fault(sim);
	else if (ev->kind == SIM_HEAL)
		sim_heal(sim);
	else if (ev->kind == SIM_OPERATOR)
		sim_operator(sim);
	else if (n->up && n->paused_until > sim->now)
		sim_schedule(sim, n->paused_until, ev->kind, ev->node, ev->arg,
					 ev->serial);
	else
		on_node_event(sim, n, ev);
}

/* No config is under way anywhere, so that a minority is one for everybody. */
static bool
members_settled(const Sim *sim)
{
	for (uint32_t k = 1; k <= SIM_NODES; k++)
	{
		const SimNode *n = &sim->nodes[k];
		uint64_t last = n->up ? n->mirror_last : n->disk.last;
		const SimEntry *log = n->up ? n->mirror : n->disk.log;

		for (uint64_t i = sim->top + 1; n->exists && i <= last; i++)
			if (log[i].kind == REP_ENTRY_CONFIG)
				return false;
	}
	return true;
}

/* One voter of three or more goes for ever; the strong path must go on. */
static void
lose_one(Sim *sim)
{
	uint32_t voters = 0;
	SimNode *n = sim_leader(sim);

	for (uint32_t i = 0; i < sim->nmembers; i++)
		voters += sim->members[i].voter;
	if (voters < 3 || !members_settled(sim) || sim_chance(sim, 300))
		return;
	if (n == NULL || sim_chance(sim, 500))
		n = &sim->nodes[sim->members[sim_below(sim, sim->nmembers)].node];
	if (n->up)
		sim_node_crash(sim, n);
	n->dead = true;
	sim_trace(sim, "node %u is lost for ever", n->id);
}

static void
begin_rest(Sim *sim)
{
	sim_trace(sim, "quiet");
	sim->quiet_phase = true;
	sim_heal(sim);
	lose_one(sim);
	for (uint32_t i = 1; i <= SIM_NODES; i++)
	{
		SimNode *n = &sim->nodes[i];

		if (!n->exists || n->dead)
			continue;
		n->paused_until = 0;
		if (!n->up)
			sim_node_start(sim, n);
		else if (n->disk_bad)
		{
			RepRaftEvent ev = { .type = REP_EV_DISK, .healthy = true };

			n->disk_bad = false;
			sim_node_step(sim, n, &ev);
		}
	}
}

static bool
at_rest(Sim *sim)
{
	if (!sim->last_write_acked)
		return false;
	for (uint32_t i = 0; i < sim->nmembers; i++)
	{
		const SimNode *n = &sim->nodes[sim->members[i].node];

		if (!n->dead && n->now.applied != sim->top)
			return false;
	}
	return true;
}

static void
run_episode(Sim *sim, uint64_t seed, uint64_t limit)
{
	SimEvent ev;
	uint64_t quiet_at = 0;

	begin_episode(sim, seed);
	while (sim_next(sim, &ev))
	{
		run_event(sim, &ev);
		if (!sim->quiet_phase &&
			(sim->steps >= limit || sim->top > SIM_LOG - 600))
		{
			begin_rest(sim);
			quiet_at = sim->now;
		}
		if (!sim->quiet_phase)
			continue;
		if (at_rest(sim))
			break;
		if (sim->now > quiet_at + REST_TIME)
			sim_fail(sim, "progress", "no rest %lu ms after the last fault",
					 (unsigned long) ((sim->now - quiet_at) / MS));
	}
	check_durable_at_rest(sim);
	check_once_at_rest(sim);
	sim->counts.steps += sim->steps;
	sim->counts.episodes++;
}

typedef struct Minimum
{
	const char *name;
	uint64_t value;
	uint64_t per_million; /* steps */
} Minimum;

/* A run in which too little happened has proved too little. */
static bool
enough(const SimCounts *c)
{
	const Minimum minima[] = {
		{ "elections", c->elections, 400 },
		{ "commits", c->commits, 10000 },
		{ "conflicts", c->conflicts, 800 },
		{ "crashes", c->crashes, 300 },
		{ "blackouts", c->blackouts, 5 },
		{ "torn writes", c->torn, 20 },
		{ "cuts", c->cuts, 300 },
		{ "pauses", c->pauses, 100 },
		{ "clock jumps", c->jumps, 100 },
		{ "writes acknowledged", c->acks, 5000 },
		{ "strong reads", c->reads, 5000 },
		{ "eventual writes", c->eventual, 5000 },
		{ "resubmissions", c->resubmits, 500 },
		{ "unknown outcomes", c->unknowns, 100 },
		{ "aborts decided", c->aborts, 10 },
		{ "refused: skewed", c->skewed, 10 },
		{ "refused: deps not held", c->not_held, 10 },
		{ "refused: old base", c->old_bases, 10 },
		{ "old stamps", c->old_stamps, 1 },
		{ "transfers", c->transfers, 50 },
		{ "membership changes", c->changes, 50 },
		{ "compactions", c->compactions, 50 },
		{ "snapshots", c->snapshots, 5 },
		{ "relays", c->relays, 50 },
		{ "messages", c->messages, 100000 },
		{ "messages lost", c->lost, 5000 },
	};
	bool ok = true;

	printf("1..%zu\nok 1 - no checker objects\n",
		   sizeof(minima) / sizeof(minima[0]) + 1);
	for (size_t i = 0; i < sizeof(minima) / sizeof(minima[0]); i++)
	{
		uint64_t least = minima[i].per_million * c->steps / 1000000;

		bool reached = minima[i].value >= least;

		printf("%sok %zu - %s: %" PRIu64 ", at least %" PRIu64 "\n",
			   reached ? "" : "not ", i + 2, minima[i].name, minima[i].value,
			   least);
		ok = ok && reached;
	}
	return ok;
}

/* A mistake that an assertion of the engine notices is noticed too. */
static void
on_abort(int signal_number)
{
	(void) signal_number;
	printf("ok 1 - mistake %d, %s: caught by an assertion\n", REP_RAFT_BUG,
		   mutant_names[REP_RAFT_BUG]);
	exit(0);
}

static double
clock_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	/* static, so that what it points to is never taken for a leak */
	static Sim everything;
	Sim *sim = &everything;
	uint64_t seed = (uint64_t) time(NULL) % 1000000 * 1000;
	uint64_t steps = 1000000;
	double seconds = 0;
	double begun;
	bool one = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (REP_RAFT_BUG != 0)
	{
		printf("1..1\n");
		signal(SIGABRT, on_abort);
	}
	for (int i = 1; i < argc; i++)
	{
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "--one") == 0)
			one = true;
		else if (strcmp(argv[i], "--trace") == 0)
			sim->trace = true;
		else if (strcmp(argv[i], "--seed") == 0 && more)
			seed = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--steps") == 0 && more)
			steps = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0 && more)
			seconds = strtod(argv[++i], NULL);
		else
		{
			printf("usage: sim [--seed N] [--steps N] [--seconds N] [--one] "
				   "[--trace]\n");
			return 2;
		}
	}
	printf("# seed %" PRIu64 "\n", seed);
	allocate(sim);
	begun = clock_seconds();
	do
		run_episode(sim, seed++, EPISODE_STEPS);
	while (!one && (seconds > 0 ? clock_seconds() - begun < seconds
								: sim->counts.steps < steps));
	begun = clock_seconds() - begun;
	printf("# %" PRIu64 " episodes, %" PRIu64 " steps in %.1f s: %.1f million "
		   "a minute\n",
		   sim->counts.episodes, sim->counts.steps, begun,
		   (double) sim->counts.steps / begun * 60 / 1e6);
	if (REP_RAFT_BUG != 0)
	{
		printf("not ok 1 - mistake %d, %s: not noticed\n", REP_RAFT_BUG,
			   mutant_names[REP_RAFT_BUG]);
		return 1;
	}
	if (one)
	{
		printf("1..1\nok 1 - no checker objects\n");
		return 0;
	}
	return enough(&sim->counts) ? 0 : 1;
}
