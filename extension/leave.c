/*
 * leave.c
 *		See leave.h.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "identity.h"
#include "leave.h"

bool
leave_is_node(const NodeShared *node)
{
	bool still;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	still = identity_installed() && identity_read().node == node->node_id;
	CommitTransactionCommand();
	return still;
}

void
leave_cluster(void)
{
	NodeShared *n = shmem_find_node(MyDatabaseId);
	int32 sender;
	int tries;
	int i;

	if (n == NULL || n->own.boot == 0)
		return;
	ereport(LOG, (errmsg("causaldb: database %u is not a node any more", MyDatabaseId)));
	/* from here on the supervisor starts nothing for it */
	pg_atomic_write_u32(&n->state, NODE_UNKNOWN);
	LWLockAcquire(&n->lock, LW_SHARED);
	sender = n->sender_pid;
	if (sender != 0)
		(void) kill(sender, SIGTERM);
	if (n->strong.consensus_pid != 0)
		(void) kill(n->strong.consensus_pid, SIGTERM);
	if (n->strong.player_pid != 0)
		(void) kill(n->strong.player_pid, SIGTERM);
	for (i = 0; i < ALL_INBOXES; i++)
		if (n->inboxes[i].used && n->inboxes[i].pid != 0)
			(void) kill(n->inboxes[i].pid, SIGTERM);
	LWLockRelease(&n->lock);
	for (tries = 0; (n->sender_pid != 0 || n->strong.consensus_pid != 0 || n->strong.player_pid != 0) && tries < 500; tries++)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	shmem_release_node(MyDatabaseId);
}
