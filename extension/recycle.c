/*
 * recycle.c
 *		See recycle.h.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "recycle.h"
#include "streams.h"
#include "wall.h"

#define LOOK_MS 1000
#define COMPLAIN_MS 60000

static void
set_recycling(NodeShared *node, bool recycling)
{
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->recycling = recycling;
	LWLockRelease(&node->lock);
}

/* Slots of retired streams but the newest; returns how many. */
static int
spent_slots(NodeShared *node, int *slots)
{
	StreamRow *rows;
	int count = 0;
	int n;
	int i;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	n = streams_read(&rows);
	for (i = 0; i < n - RETIRED_SLOTS; i++)
	{
		int slot = shmem_find_stream(node, rows[i].stream);

		if (slot >= 0 && rows[i].retired)
			slots[count++] = slot;
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return count;
}

static void
complain(void)
{
	static TimestampTz last = 0;
	TimestampTz now = wall_timer();

	if (!TimestampDifferenceExceeds(last, now, COMPLAIN_MS))
		return;
	last = now;
	ereport(LOG,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("causaldb cannot take a new stream of a peer"),
			 errdetail("This node has room for %d streams, one for each start of each node; they leave when every member has all of them.",
					   STREAM_SLOTS),
			 errhint("Look at causaldb.peers for a member that is down and bring it back.")));
}

void
recycle_ask(NodeShared *node)
{
	static TimestampTz looked = 0;
	TimestampTz now = wall_timer();
	int slots[REP_MAX_STREAMS];

	if (!TimestampDifferenceExceeds(looked, now, LOOK_MS))
		return;
	looked = now;
	if (spent_slots(node, slots) > 0)
	{
		set_recycling(node, true);
		proc_exit(0);
	}
	complain();
}

void
recycle_finish(NodeShared *node)
{
	int slots[REP_MAX_STREAMS];
	int32 sender;
	int32 player;
	int n;

	if (!node->recycling)
		return;
	while ((sender = node->sender_pid) != 0 && BackendPidGetProc(sender) != NULL)
	{
		(void) kill(sender, SIGTERM);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	/* the player of strong entries remembers streams by slot, too */
	while ((player = node->strong.player_pid) != 0 && BackendPidGetProc(player) != NULL)
	{
		(void) kill(player, SIGTERM);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	n = spent_slots(node, slots);
	shmem_free_streams(node, slots, n);
	ereport(LOG, (errmsg("causaldb: %d ended streams have made room for new ones", n)));
	set_recycling(node, false);
}
