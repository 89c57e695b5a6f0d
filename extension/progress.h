/*
 * progress.h
 *		How far the join of this database is, for other sessions to see.
 *
 * A join is one transaction, so nothing it writes to tables is seen before it
 * ends. What it does stands in shared memory instead; and that a node id was
 * given out for it, in a small file, $PGDATA/causaldb/<oid>.join: so that after
 * a crash causaldb.join_progress still says what was begun here. No connection
 * string is kept in either.
 *
 * Invariants
 * 1. The file exists from the admission until this database is a node.
 * 2. A join that is not running and has not committed is shown as interrupted.
 */
#ifndef CAUSALDB_PROGRESS_H
#define CAUSALDB_PROGRESS_H

#include "shmem.h"

/* The running transaction joins. Its end ends what is shown. */
extern void progress_begin(const char *name, const char *copy);
/* The coordinator has given out this id. */
extern void progress_admitted(int32 id);
/* Phases: source, snapshot, compare, schema, rows, sequences, indexes, history. */
extern void progress_phase(const char *phase);
/* So many tables with about so many bytes are going to be copied. */
extern void progress_total(int tables, uint64 bytes);
/* The next of them begins; `rows` and `bytes` of the join are zero. */
extern void progress_table(const char *table, uint64 bytes);
/* All that a join does is done but the commit. */
extern void progress_finish(void);
/* What the copy counts up. */
extern JoinStatus *progress_counters(void);

#endif
