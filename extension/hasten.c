/*
 * hasten.c
 *		Tells the apply worker that an operator has changed something about
 *		what is stalled.
 *
 * Not for the decisions themselves: those are rows of causaldb.stall and
 * causaldb.aside, written in SQL.
 *
 * Invariants
 * 1. The worker is told after the commit that made the rows visible, and not
 *	  at all if that transaction aborts.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "shmem.h"

PG_FUNCTION_INFO_V1(causaldb_hasten_apply);

static bool wanted = false; /* at the end of this transaction */

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	NodeShared *node;

	(void) arg;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (wanted && event == XACT_EVENT_COMMIT && shmem_available() &&
		(node = shmem_find_node(MyDatabaseId)) != NULL)
	{
		LWLockAcquire(&node->lock, LW_EXCLUSIVE);
		node->apply_reload = true;
		LWLockRelease(&node->lock);
		shmem_wake_apply(node);
	}
	wanted = false;
}

/* causaldb.hasten_apply() */
Datum
causaldb_hasten_apply(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	(void) fcinfo;
	if (!registered)
		RegisterXactCallback(at_end_of_transaction, NULL);
	registered = true;
	wanted = true;
	PG_RETURN_VOID();
}
