/*
 * merge_sim.h
 *		Several nodes that write, ship and merge one row.
 *
 * Each case draws nodes, steps and a row policy, lets the nodes run through a
 * random causal order, heals everything, and compares every node's row with
 * the specification (merge_spec.c), which knows nothing but the set of
 * operations; on the way, too, for what a node has got by then. Fields a and b
 * are merged by last_write, a was strong when some wrote it, n is a counter that
 * can also be set.
 *
 * A local transaction holds the row's lock from reading the row to its
 * commit; an apply may begin (observe the stamp, raise `started`) while it
 * waits for that lock, and deps are read from `started`: that window is where
 * the mistakes live. An apply may also fail there and be tried again. What is
 * stable is forgotten, and the grave with the last of it.
 */
#ifndef MERGE_SIM_H
#define MERGE_SIM_H

#include "merge.h"
#include "unit.h"

#define SIM_MAX_NODES 4

/* fields of the row */
enum
{
	SIM_A,
	SIM_B,
	SIM_N,
	SIM_FIELDS
};

/* one operation: what merge.h must know, and the values it never sees */
typedef struct SimOp
{
	RepOp op; /* slot is the number of the writing node */
	uint64_t deps[SIM_MAX_NODES];
	RepWrite writes[SIM_FIELDS];
	int64_t values[SIM_FIELDS]; /* by field: value set, or increment */
} SimOp;

typedef struct SimRow
{
	bool alive;
	int64_t values[SIM_FIELDS];
} SimRow;

/* The row (or its grave) after a set of operations, by definition, slowly. */
extern SimRow merge_spec(const SimOp *const *ops, uint32_t nops,
						 RepRowPolicy policy);

/* mistakes in what surrounds rep_merge */
typedef enum SimMistake
{
	SIM_CORRECT,
	SIM_DEPS_AFTER_TICK, /* deps are read after the stamp was taken */
	SIM_NO_OBSERVE,      /* apply does not raise the clock */
	SIM_EARLY_PRUNE,     /* what is applied here is forgotten */
	SIM_OUT_OF_BAND_ACK, /* acks overtake the operations in flight */
	SIM_FALLS_TOO_FAR    /* `started` falls below what was named, see give_up */
} SimMistake;

/* rep_merge and rep_op_writes, or a mutant's */
typedef struct SimEngine
{
	const char *name;
	void (*merge)(const RepOp *t, const RepOp *u, uint32_t nu, RepRowState now,
				  RepRowPolicy policy, RepPlan *plan);
	int (*writes)(const RepOp *o, uint32_t field);
} SimEngine;

/* what a case was and did, for the reader of a failure */
typedef struct SimReport
{
	uint32_t nodes;
	RepRowPolicy policy;
	uint32_t operations;
	uint32_t concurrent; /* applies with something unseen in the log */
	uint32_t forgotten;
	uint32_t graves_dropped;
	char why[200]; /* first disagreement; empty if none */
} SimReport;

/*
 * Runs the case of this seed; true if all nodes agree with the specification
 * and no law was broken. With `story`, prints operations and orders.
 */
extern bool sim_run(uint64_t seed, const SimEngine *engine, SimMistake mistake,
					bool story, SimReport *report);

#endif
