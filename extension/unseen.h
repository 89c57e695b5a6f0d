/*
 * unseen.h
 *		Which logged operations on a row has an incoming transaction not seen?
 *
 * The log's unstable tail is the only record of concurrency; this is its
 * index by key. It is filled from the log, and only when a transaction comes
 * in that has not seen something: where all nodes see each other's writes at
 * once, or only one of them writes, it costs nothing. Small transactions are
 * indexed in memory, large ones (and what memory has no room for) in
 * causaldb.log_key.
 *
 * Invariants
 * 1. After the row is locked, unseen_find returns every operation on it that
 *	  this node has logged and the incoming transaction has not seen.
 * 2. Memory is bounded (UNSEEN_INDEX_MAX_ENTRIES).
 */
#ifndef CAUSALDB_UNSEEN_H
#define CAUSALDB_UNSEEN_H

#include "catalog.h"
#include "incoming.h"
#include "merge.h"

/* one operation; `op.writes` fields are attribute numbers of the table */
typedef struct UnseenOp
{
	RepOp op;
	CatalogApply *apply; /* its own descriptor */
	RepChange change; /* values are views into memory of the context */
} UnseenOp;

typedef struct UnseenOps
{
	int n;
	RepOp *ops; /* for rep_merge */
	UnseenOp *details; /* same order */
	bool voided; /* a TRUNCATE that op has not seen undoes it */
	uint64 hash; /* of table and key */
} UnseenOps;

/* As unseen_index_init. */
extern void unseen_init(NodeShared *node, bool player);
/* Positions applied so far, with the open group's; read by unseen_find. */
extern void unseen_group(const uint64 *applied, int n);
/* The open group was rolled back. */
extern void unseen_rolled_back(void);
/* It is visible, and does not count as applied yet. */
extern void unseen_committed(void);
/* Forgets what has become stable. */
extern void unseen_forget_stable(void);

/*
 * Operations on the row with this key (values in index order) that op, t's
 * own, has not seen, but for those that a TRUNCATE undoes. Allocated in
 * CurrentMemoryContext. The row, or its key, must be locked. With `adding`,
 * operations that only add to counters may be left out: op does no more than
 * that, and the row is alive, so sums are all that comes of them.
 */
extern void unseen_find(const Incoming *t, const RepOp *op, CatalogApply *apply, const Datum *key,
						bool adding, UnseenOps *out);
/* All unstable operations on the row, but for those that a TRUNCATE undoes. */
extern void unseen_find_all(CatalogApply *apply, const Datum *key, UnseenOps *out);
/* This node itself has truncated the table after its clock showed `mark`. */
extern bool unseen_truncated_here(CatalogApply *apply, uint64 mark);
/* t's TRUNCATE, before what it does to rows is looked up. */
extern void unseen_note_truncate(const Incoming *t, const RepOp *op, CatalogApply *apply);
/* Calls visit for each row operation on the table that t has not seen. */
typedef void (*UnseenVisit)(UnseenOp *op, void *arg);
extern void unseen_visit(const Incoming *t, CatalogApply *apply, UnseenVisit visit, void *arg);
/*
 * How many operations other processes of this node have logged on the row of
 * that hash, as far as the index knows; `fresh`: as of now.
 */
extern int unseen_count_others(uint64 hash, bool fresh);
/* Values of change c's column, or NULL if it does not write it. */
extern const RepValue *unseen_after(const UnseenOp *op, AttrNumber attnum);
extern const RepValue *unseen_before(const UnseenOp *op, AttrNumber attnum);

#endif
