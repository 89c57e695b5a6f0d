/*
 * linear.h
 *		Is a recorded history of registers linearizable?
 *
 * A checker that knows nothing of causaldb: clients write down what they did,
 * when they asked and when they were answered, on one clock; this decides
 * whether each operation can be given one moment between the two so that all
 * of them in that order are what a single register would have said. Registers
 * are independent (Herlihy and Wing, "Linearizability: A Correctness Condition
 * for Concurrent Objects", theorem 1: locality), so each is searched alone.
 *
 * The search is that of Wing and Gong ("Testing and Verifying Concurrent
 * Objects"), with the memory of configurations seen of Lowe ("Testing for
 * Linearizability", section 4).
 */
#ifndef LINEAR_H
#define LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum
{
	LINEAR_READ,	/* gave `value` */
	LINEAR_WRITE,	/* put `value` */
	LINEAR_CAS,		/* found `expected`, put `value` */
	LINEAR_DIFFERS	/* a compare-and-set that found something else than `expected` */
} LinearKind;

#define LINEAR_NEVER INT64_MAX

/* an operation whose outcome nobody knows ends at LINEAR_NEVER: it may have
 * taken effect at any time after its start, or not at all */
typedef struct
{
	int64_t start;
	int64_t end;
	LinearKind kind;
	int64_t expected;
	int64_t value;
	int line; /* of the file it comes from */
} LinearOp;

typedef enum
{
	LINEAR_YES,
	LINEAR_NO,
	LINEAR_TOO_HARD /* more than `limit` configurations */
} LinearVerdict;

typedef struct
{
	LinearVerdict verdict;
	size_t configurations; /* looked at */
	size_t reached;		   /* operations in the longest order found */
	int stuck[16];		   /* lines that could come next there and cannot */
	int nstuck;
} LinearResult;

/*
 * Checks one register that begins as `initial`. Sorts ops by start. Operations
 * of unknown outcome count only if somebody has seen their effect.
 */
extern LinearResult linear_check(LinearOp *ops, size_t n, int64_t initial, size_t limit);

#endif
