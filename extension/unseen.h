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
 * 2. Memory is bounded by UNSEEN_MAX_ENTRIES.
 */
#ifndef CAUSALDB_UNSEEN_H
#define CAUSALDB_UNSEEN_H

#include "catalog.h"
#include "incoming.h"
#include "merge.h"

#define UNSEEN_MAX_ENTRIES (512 * 1024)

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
} UnseenOps;

extern void unseen_init(NodeShared *node);
/* Positions applied so far, with the open group's; read by unseen_find. */
extern void unseen_group(const uint64 *applied, int n);
/* The open group was rolled back. */
extern void unseen_rolled_back(void);
/* Forgets what has become stable. */
extern void unseen_forget_stable(void);

/*
 * Operations on the row with this key (values in index order), allocated in
 * CurrentMemoryContext. The row, or its key, must be locked. With `adding`,
 * operations that only add to counters may be left out: t does no more than
 * that, and the row is alive, so sums are all that comes of them.
 */
extern void unseen_find(const Incoming *t, CatalogApply *apply, const Datum *key,
						bool adding, UnseenOps *out);
/* Any operation on the table that t has not seen, of the INSERT kind: called
 * for each; for TRUNCATE. */
typedef void (*UnseenVisit)(UnseenOp *op, void *arg);
extern int unseen_inserts(const Incoming *t, CatalogApply *apply, UnseenVisit visit, void *arg);
/* Values of change c's column, or NULL if it does not write it. */
extern const RepValue *unseen_after(const UnseenOp *op, AttrNumber attnum);
extern const RepValue *unseen_before(const UnseenOp *op, AttrNumber attnum);

#endif
