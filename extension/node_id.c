/*
 * node_id.c
 *		causaldb.next_id(): keys that no two nodes give twice.
 *
 * An id is, from the top: 41 bits of milliseconds since 2020 (until 2089), 10
 * bits of node id, 12 bits that count within the millisecond; when those are
 * used up, the next millisecond is begun early. So ids of one node only grow,
 * those of several nodes are in the order of their clocks, and all are above
 * what a sequence has reached. Where the library is not preloaded, sessions
 * take blocks, so that order holds but for a second.
 *
 * Invariants
 * 1. No id is given twice on one node: clock_unique, also after a crash.
 * 2. Node ids are never reused, so none is given on two nodes.
 */
#include "postgres.h"

#include "fmgr.h"

#include "clock.h"
#include "identity.h"
#include "shmem.h"

#define EPOCH_MS INT64CONST(1577836800000) /* 2020-01-01 00:00:00 UTC */
#define COUNT_BITS 12
#define NODE_BITS 10
#define MS_BITS 41

PG_FUNCTION_INFO_V1(causaldb_next_id);

static uint64
node_bits(void)
{
	int32 node = identity_read().node;

	if (node >= 1 << NODE_BITS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("node id %d is too large for causaldb.next_id()", node),
				 errdetail("Ids have room for nodes 1 to %d.",
						   (1 << NODE_BITS) - 1),
				 errhint("Use a uuid key; type: ALTER TABLE ... ALTER COLUMN "
						 "... SET DEFAULT gen_random_uuid();")));
	return (uint64) node;
}

/* causaldb.next_id() -> int8 */
Datum
causaldb_next_id(PG_FUNCTION_ARGS)
{
	uint64 unique;
	uint64 ms;
	uint64 node;

	(void) fcinfo;
	node = node_bits();
	unique = shmem_available() ? clock_unique(shmem_node(), COUNT_BITS)
							   : clock_local_unique(COUNT_BITS);
	ms = (unique >> COUNT_BITS) - EPOCH_MS;
	if (ms >= UINT64CONST(1) << MS_BITS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the clock is outside of the years 2020 to "
							   "2089"),
						errhint("Correct the clock.")));
	PG_RETURN_INT64((int64) (ms << (NODE_BITS + COUNT_BITS) |
							 node << COUNT_BITS |
							 (unique & ((1 << COUNT_BITS) - 1))));
}
