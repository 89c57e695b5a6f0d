/*
 * dead.c
 *		See dead.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "causal.h"
#include "clock.h"
#include "dead.h"
#include "debug_point.h"
#include "target.h"
#include "unseen.h"
#include "wall.h"

/* longest wait for local commits with rows locked */
#define PENDING_WAIT_MS 1000

/* a row that is dead, and was not written because of it */
typedef struct DeadKey
{
	uint64 hash; /* of table and key */
	int own; /* our own operations on it that were looked at */
} DeadKey;

static DeadKey *dead_keys;
static int ndead_keys;
static int dead_keys_cap;

static NodeShared *node;

void
dead_init(NodeShared *n)
{
	node = n;
}

void
dead_begin_group(void)
{
	ndead_keys = 0;
}

void
dead_note(uint64 hash)
{
	if (ndead_keys == dead_keys_cap)
	{
		dead_keys_cap = Max(64, dead_keys_cap * 2);
		dead_keys = dead_keys ? repalloc_huge(dead_keys, sizeof(DeadKey) * dead_keys_cap)
							  : MemoryContextAlloc(TopMemoryContext, sizeof(DeadKey) * dead_keys_cap);
	}
	dead_keys[ndead_keys].hash = hash;
	dead_keys[ndead_keys++].own = unseen_count_own(hash, false);
}

/* Waits for local commits that may have taken their deps before `started`. */
static void
wait_for_pending(void)
{
	int n = clock_slots();
	uint64 *before = palloc(sizeof(uint64) * n);
	uint64 *now = palloc(sizeof(uint64) * n);
	TimestampTz begin = wall_timer();
	bool waits = true;

	clock_read_pending(node, before);
	while (waits)
	{
		int i;

		clock_read_pending(node, now);
		waits = false;
		for (i = 0; i < n && !waits; i++)
			waits = before[i] != REP_NOT_PENDING && now[i] == before[i];
		if (!waits)
			break;
		if (TimestampDifferenceExceeds(begin, wall_timer(), PENDING_WAIT_MS))
			ereport(ERROR, (errcode(TARGET_YIELD), errmsg("apply waits for a local commit")));
		CHECK_FOR_INTERRUPTS();
		pg_usleep(100);
	}
	pfree(before);
	pfree(now);
}

void
dead_before_commit(void)
{
	int i;

	if (ndead_keys == 0 || BREAK("no_second_look"))
		return;
	wait_for_pending();
	for (i = 0; i < ndead_keys; i++)
		if (unseen_count_own(dead_keys[i].hash, i == 0) != dead_keys[i].own)
			ereport(ERROR, (errcode(TARGET_YIELD), errmsg("apply met a concurrent insert of a dead row")));
}
