/*
 * strong_read.h
 *		Statements that depend on strong columns are linearizable: each waits
 *		until this node has applied what was acknowledged anywhere before it
 *		began, and reads with a snapshot taken after that.
 *
 * Where the wait sits, and why there: a plan may be years old, so hooks of the
 * parser and the planner see too little; the executor's start sees every
 * statement once and is the last place where its snapshot can be replaced.
 *
 * Invariants
 * 1. READ COMMITTED, and statements outside of transaction blocks: the
 *	  snapshot of a statement that depends on strong columns is taken after
 *	  the read index it asked for is applied here.
 * 2. REPEATABLE READ in a block: the wait is at BEGIN, as far as possible; a
 *	  statement that depends on strong columns goes on only if the block's
 *	  snapshot covers a read index asked for since BEGIN, else 40001. A block
 *	  without such a statement never fails for lack of a quorum.
 * 3. A query that shares the snapshot of another (in a stable function) relies
 *	  on that one's wait, or fails.
 * 4. A database without strong columns pays for one look into shared memory.
 */
#ifndef CAUSALDB_STRONG_READ_H
#define CAUSALDB_STRONG_READ_H

#include "postgres.h"

extern void strong_read_init(void);

#endif
