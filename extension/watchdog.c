/*
 * watchdog.c
 *		See watchdog.h.
 *
 * PostgreSQL's own detector aborts whoever looks first, after its
 * deadlock_timeout; a local client must never be that one. So the apply worker
 * looks for a cycle before it sleeps on a lock, and the sender's process looks
 * again every WATCHDOG_MS while it sleeps, far more often than the detector of
 * any client does by default (1 s). Apply then rolls its transaction back,
 * waits for the blocker without holding anything, and tries again.
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "watchdog.h"

#define MAX_PROCESSES 256

bool
watchdog_in_cycle(int32 pid)
{
	static MemoryContext context = NULL;
	MemoryContext old;
	int32 seen[MAX_PROCESSES];
	int nseen = 1;
	int i;
	bool cycle = false;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "causaldb watchdog", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	seen[0] = pid;
	for (i = 0; i < nseen && !cycle; i++)
	{
		ArrayType *blockers = DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(seen[i])));
		int n = ArrayGetNItems(ARR_NDIM(blockers), ARR_DIMS(blockers));
		int32 *pids = (int32 *) ARR_DATA_PTR(blockers);
		int k;

		for (k = 0; k < n && !cycle; k++)
		{
			int j;

			cycle = pids[k] == pid;
			for (j = 0; j < nseen && seen[j] != pids[k]; j++)
				;
			if (j == nseen && nseen < MAX_PROCESSES)
				seen[nseen++] = pids[k];
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(context);
	return cycle;
}

bool
watchdog_wanted(NodeShared *node)
{
	PGPROC *proc = node->apply_pid != 0 ? BackendPidGetProc(node->apply_pid) : NULL;

	return proc && proc->waitStatus == PROC_WAIT_STATUS_WAITING;
}

void
watchdog_look(NodeShared *node)
{
	int32 pid = node->apply_pid;

	if (!watchdog_wanted(node) || !watchdog_in_cycle(pid))
		return;

	/* it may have got its lock meanwhile: a cancel then costs one retry */
	LWLockAcquire(&node->lock, LW_SHARED);
	if (node->apply_pid == pid && watchdog_wanted(node))
		kill(pid, SIGINT);
	LWLockRelease(&node->lock);
}
