/*
 * capture.h
 *		From a written row to the transaction's log row.
 *
 * Row triggers append changes to a buffer of the transaction; at PRE_COMMIT
 * it becomes one row of causaldb.log. What does not fit one page goes to
 * causaldb.log_chunk as the transaction runs.
 *
 * Invariants
 * 1. Changes stand in the log in the order in which they were captured, and
 *	  those of a rolled-back subtransaction are not there.
 * 2. Memory does not grow with the transaction: at most CAPTURE_LEVEL_BYTES
 *	  and one chunk for each open subtransaction level that wrote.
 * 3. A transaction that captured nothing runs nothing of this file at commit.
 * 4. Nothing is captured after the log row was written: ERROR 55000.
 */
#ifndef CAUSALDB_CAPTURE_H
#define CAUSALDB_CAPTURE_H

#include "postgres.h"

#include "access/attnum.h"
#include "utils/relcache.h"

#include "meta.h"

/*
 * True while this process applies changes of other nodes: the triggers then
 * do nothing. Set and cleared by the applier, also on error.
 */
extern bool capture_applying;

/*
 * While set, updates of this column are absolute writes to a counter. For
 * counter_set only; the end of the transaction clears it.
 */
typedef struct CaptureBase
{
	Oid relid;
	AttrNumber attnum;
} CaptureBase;
extern CaptureBase capture_base;

/* Records an INSERT of every row of the table or partition. */
extern void capture_rows(Relation rel);
/* Records a META change in the running transaction. */
extern void capture_meta(MetaKind meta, const void *body, size_t len);
/* The running transaction has captured something that still stands. */
extern bool capture_pending(void);

/*
 * Reads the body of a META_CHUNKED change; false if malformed.
 */
extern bool capture_chunked(const void *body, size_t len, uint64 *nchunks,
							uint64 *nchanges);

#endif
