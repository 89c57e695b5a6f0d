/*
 * merge_proof_test.c
 *		Nodes that merge in different causal orders agree with the
 *		specification, and the known mistakes are caught.
 *
 * Each mutant is merge.c built with one REP_BUG_... switch, its public names
 * renamed by the build (see unit.mk). --seed moves all cases; --cases asks for
 * more of them. A failing case prints its story and the seed to replay it.
 */
#include "merge_sim.h"

#include <stdio.h>

#define USUAL_CASES 100000
/* a mutant must be caught within so many */
#define MUTANT_CASES 400000

#define MUTANTS(X)                                                             \
	X(arrival_order)                                                           \
	X(ties_by_arrival)                                                         \
	X(base_ignores_deltas)                                                     \
	X(delta_twice)                                                             \
	X(revive_forgets)                                                          \
	X(survivor_misses_deletes)                                                 \
	X(delete_always_wins)                                                      \
	X(forgets_earlier_deletes)                                                 \
	X(strong_overwritten)

#define DECLARE_MUTANT(name)                                                   \
	extern void rep_merge_##name(const RepOp *, const RepOp *, uint32_t,       \
								 RepRowState, RepRowPolicy, RepPlan *);        \
	extern int rep_op_writes_##name(const RepOp *, uint32_t);
MUTANTS(DECLARE_MUTANT)

static const SimEngine correct = { "merge.c", rep_merge, rep_op_writes };

#define LIST_MUTANT(name) { #name, rep_merge_##name, rep_op_writes_##name },
static const SimEngine mutants[] = { MUTANTS(LIST_MUTANT) };

static const struct
{
	SimMistake mistake;
	const char *name;
} mistakes[] = { { SIM_DEPS_AFTER_TICK, "deps_after_tick" },
				 { SIM_NO_OBSERVE, "no_observe" },
				 { SIM_EARLY_PRUNE, "early_prune" },
				 { SIM_OUT_OF_BAND_ACK, "out_of_band_ack" },
				 { SIM_FALLS_TOO_FAR, "falls_too_far" } };

static uint64_t
case_seed(uint64_t number)
{
	return unit_seed() * UINT64_C(1000003) + number;
}

static void
every_node_agrees(void)
{
	uint64_t cases = unit_cases(USUAL_CASES);
	uint64_t applied = 0;
	uint64_t concurrent = 0;
	uint64_t forgotten = 0;
	uint64_t graves = 0;
	uint64_t policies[4] = { 0 };
	uint64_t nodes[SIM_MAX_NODES + 1] = { 0 };
	SimReport report;

	for (uint64_t c = 0; c < cases; c++)
	{
		if (!CHECK(
				sim_run(case_seed(c), &correct, SIM_CORRECT, false, &report)))
		{
			unit_note("case %llu (policy %d, %u nodes): %s",
					  (unsigned long long) c, (int) report.policy, report.nodes,
					  report.why);
			sim_run(case_seed(c), &correct, SIM_CORRECT, true, &report);
			return;
		}
		applied += (uint64_t) report.operations * report.nodes;
		concurrent += report.concurrent;
		forgotten += report.forgotten;
		graves += report.graves_dropped;
		policies[report.policy]++;
		nodes[report.nodes]++;
	}
	unit_note("%llu cases, %llu applies, %llu of them beside unseen "
			  "operations, %llu operations and %llu graves forgotten",
			  (unsigned long long) cases, (unsigned long long) applied,
			  (unsigned long long) concurrent, (unsigned long long) forgotten,
			  (unsigned long long) graves);

	/* a proof over easy cases proves nothing */
	CHECK(concurrent > applied / 4);
	CHECK(forgotten > applied / 100);
	CHECK(graves > cases / 200);
	for (int p = REP_POLICY_UPDATE_WINS; p <= REP_POLICY_LAST_WRITE; p++)
		CHECK(policies[p] > cases / 4);
	for (int n = 2; n <= SIM_MAX_NODES; n++)
		CHECK(nodes[n] > cases / 6);
}

/* The first case that shows the mistake. */
static void
must_catch(const char *name, const SimEngine *engine, SimMistake mistake)
{
	SimReport report;

	for (uint64_t c = 0; c < MUTANT_CASES; c++)
		if (!sim_run(case_seed(c), engine, mistake, false, &report))
		{
			unit_note("%s: caught in case %llu: %s", name,
					  (unsigned long long) c + 1, report.why);
			return;
		}
	CHECK(!"the mistake was not caught");
	unit_note("%s: not caught in %d cases", name, MUTANT_CASES);
}

static void
mistakes_around_merge_are_caught(void)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		must_catch(mistakes[i].name, &correct, mistakes[i].mistake);
}

static void
mutants_of_merge_are_caught(void)
{
	for (size_t i = 0; i < sizeof(mutants) / sizeof(mutants[0]); i++)
		must_catch(mutants[i].name, &mutants[i], SIM_CORRECT);
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("mistakes in what surrounds rep_merge are caught",
			 mistakes_around_merge_are_caught);
	unit_run("mutants of merge.c are caught", mutants_of_merge_are_caught);
	unit_run("every node agrees with the specification", every_node_agrees);
	return unit_finish();
}
