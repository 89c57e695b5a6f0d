/*
 * step_aside.c
 *		See step_aside.h.
 */
#include "postgres.h"

#include <signal.h>

#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/wait_event.h"

#include "shmem.h"
#include "step_aside.h"

#define PATIENCE_MS 2000
#define LOOK_MS 20

static ProcessUtility_hook_type previous_hook = NULL;

/* The database this statement needs to itself, or NULL. */
static const char *
wanted_database(Node *statement)
{
	ListCell *lc;

	if (IsA(statement, DropdbStmt))
		return ((DropdbStmt *) statement)->dbname;
	if (!IsA(statement, CreatedbStmt))
		return NULL;
	foreach (lc, ((CreatedbStmt *) statement)->options)
	{
		DefElem *option = lfirst(lc);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			return defGetString(option);
	}
	return NULL;
}

static void
terminate(int32 pid)
{
	if (pid != 0)
		(void) kill(pid, SIGTERM);
}

/* Sends everybody of ours away and waits until nobody is left; sessions of
 * users are the statement's own concern. */
static void
clear(NodeShared *node)
{
	Oid database = node->database;
	int waited;

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->stepping_aside = true;
	LWLockRelease(&node->lock);
	for (waited = 0; waited < PATIENCE_MS; waited += LOOK_MS)
	{
		int i;

		LWLockAcquire(&node->lock, LW_SHARED);
		terminate(node->apply_pid);
		terminate(node->sender_pid);
		terminate(node->strong.consensus_pid);
		terminate(node->strong.player_pid);
		for (i = 0; i < ALL_INBOXES; i++)
			if (node->inboxes[i].used)
				terminate(node->inboxes[i].pid);
		LWLockRelease(&node->lock);
		/* one that is just starting sees the flag and leaves by itself */
		if (CountDBBackends(database) == 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
come_back(NodeShared *node)
{
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->stepping_aside = false;
	LWLockRelease(&node->lock);
	shmem_wake_supervisor();
}

static void
step_aside(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
		   ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type next = previous_hook ? previous_hook : standard_ProcessUtility;
	const char *name = wanted_database(pstmt->utilityStmt);
	Oid database = name ? get_database_oid(name, true) : InvalidOid;
	NodeShared *node = NULL;

	/* who may not drop or copy it does not send us away either */
	if (OidIsValid(database) && database != MyDatabaseId && pg_database_ownercheck(database, GetUserId()))
		node = shmem_find_node(database);
	if (node == NULL)
	{
		next(pstmt, query, read_only_tree, context, params, env, dest, qc);
		return;
	}
	PG_TRY();
	{
		clear(node);
		next(pstmt, query, read_only_tree, context, params, env, dest, qc);
	}
	PG_CATCH();
	{
		come_back(node);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (IsA(pstmt->utilityStmt, DropdbStmt))
		shmem_release_node(database);
	else
		come_back(node);
}

bool
step_aside_wanted(Oid database)
{
	NodeShared *node = shmem_find_node(database);

	return node && node->stepping_aside;
}

void
step_aside_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = step_aside;
}
