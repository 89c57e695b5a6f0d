/*
 * merge.h
 *		What one incoming operation does to one row.
 *
 * The pure heart of apply: from the operation T, from U (the operations on
 * the same row that this node has logged and T has not seen) and from whether
 * the row lives here, it computes a plan that the caller carries out. It
 * never sees values, only who wrote what, when, and knowing what. Shared
 * model: a row's state is a function of the set of operations seen:
 *
 *	value  the absolute write (REP_WRITE_SET, of a strong column
 *		   REP_WRITE_STRONG) with the largest stamp, plus the
 *		   deltas (REP_WRITE_DELTA) which that write has not seen. A column
 *		   merged by last_write has absolute writes only; a counter's insert and
 *		   counter_set are absolute, its updates are deltas. So a field whose
 *		   rule changed between two operations still has one value everywhere.
 *	life   by the row policy, see rep_merge().
 *
 * Invariants
 * 1. Order is read from deps and stamps alone, never from arrival.
 * 2. The plan is the same for every order of U.
 * 3. Nodes that got the same set of operations, each in a causal order, carry
 *	  out plans that leave the same row.
 */
#ifndef REP_MERGE_H
#define REP_MERGE_H

#include "stamp.h"

typedef enum RepOpKind
{
	REP_OP_INSERT = 1,
	REP_OP_UPDATE = 2,
	REP_OP_DELETE = 3
} RepOpKind;

typedef enum RepWriteKind
{
	REP_WRITE_SET = 1, /* an absolute value */
	REP_WRITE_DELTA = 2, /* an increment of the value that stands */
	REP_WRITE_STRONG = 3 /* an absolute value, of a strong column. Who wrote one
						  * has seen the one before, so that their stamps
						  * are in the order of the log */
} RepWriteKind;

typedef enum RepRowPolicy
{
	REP_POLICY_UPDATE_WINS = 1, /* some write has been seen by no delete */
	REP_POLICY_DELETE_WINS = 2, /* some write has seen every delete */
	REP_POLICY_LAST_WRITE = 3, /* the largest stamp decides */
	REP_POLICY_STRONG = 4 /* the last strong INSERT or DELETE of the log */
} RepRowPolicy;

/* one field write of an operation; fields are numbered by the caller */
typedef struct RepWrite
{
	uint32_t field;
	RepWriteKind kind;
} RepWrite;

/*
 * One operation on one row. `slot` numbers streams densely within one call;
 * deps[s] is the position of stream s the operation may have seen (0 when s
 * >= ndeps). `slot` of two operations is equal iff their streams are.
 * `ordinal` orders operations of one transaction among themselves.
 *
 * Operations of strong transactions share the slot of the strong log, where
 * they stand at `index`; what they have seen of each other their deps tell, as
 * with any other stream, and their stamps agree with that. They are merged in
 * the order of the log.
 */
typedef struct RepOp
{
	RepStamp stamp; /* stamp.hlc is the position in its stream, unless strong */
	uint64_t index; /* of the strong log; 0: eventual */
	uint32_t slot;
	uint32_t ordinal;
	const uint64_t *deps;
	uint32_t ndeps;
	RepOpKind kind;
	const RepWrite *writes;
	uint32_t nwrites;
} RepOp;

/* T has o in its causal past (or is later in the same stream). */
extern bool rep_op_has_seen(const RepOp *t, const RepOp *o);

typedef enum RepRowState
{
	REP_ROW_ALIVE, /* the row is in the table */
	REP_ROW_DEAD /* it is not: deleted (perhaps a grave) or never there */
} RepRowState;

typedef enum RepFieldAction
{
	REP_FIELD_KEEP, /* T's write has no effect; `other` beat it */
	REP_FIELD_SET, /* T's value; then add the deltas of U on this field */
	REP_FIELD_ADD /* T's delta onto the value that stands */
} RepFieldAction;

#define REP_NO_OP UINT32_MAX

typedef struct RepFieldPlan
{
	uint32_t field;
	RepFieldAction action;
	uint32_t other; /* index into U: on KEEP the winner; on SET the largest
					 * absolute write of U that T discards; else REP_NO_OP */
} RepFieldPlan;

typedef struct RepPlan
{
	RepRowState state; /* of the row after T */
	bool revived; /* dead before, alive after, although U has a delete */
	uint32_t life_other; /* U's operation that decided against T, or REP_NO_OP:
						  * a delete that keeps T's write dead, or a write that
						  * keeps the row alive although T deletes it */
	uint32_t life_loser; /* U's latest operation that T's life or death
						  * overrules: the write a delete buries, the delete
						  * a write revives from; else REP_NO_OP */
	uint32_t nfields; /* == t->nwrites, in the same order */
	RepFieldPlan *fields; /* caller's array of at least t->nwrites */
} RepPlan;

/*
 * Fills *plan (plan->fields is the caller's) for operation t, given the
 * operations u[0..nu) on the same row that this node has and t has not seen,
 * whether the row lives here now, and the row policy.
 * For each REP_FIELD_SET the caller adds every DELTA write of U on the field
 * (rep_op_writes tells). Never fails.
 */
extern void rep_merge(const RepOp *t, const RepOp *u, uint32_t nu,
					  RepRowState now, RepRowPolicy policy, RepPlan *plan);

/* The kind of o's write on the field, or 0 if it has none. */
extern int rep_op_writes(const RepOp *o, uint32_t field);

#endif
