/*
 * supervisor.c
 *		The one process a server that starts the workers of every node.
 *
 * It also looks after the wall clock (skew.h). At its start it has an apply worker look into each database, which leaves
 * at once where there is no node; later it starts workers where a session
 * asks for them (create_cluster, join_cluster) and again where one has died.
 *
 * Invariants
 * 1. A database has at most one apply worker, one sender, one consensus
 *	  process and one player of strong entries.
 * 2. The others start only when the apply worker has opened the stream.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "shmem.h"
#include "skew.h"
#include "supervisor.h"
#include "wall.h"

#define LOOK_INTERVAL_MS 1000
#define RESTART_DELAY_MS 500

typedef struct Charge
{
	Oid database; /* InvalidOid: free */
	BackgroundWorkerHandle *apply;
	BackgroundWorkerHandle *sender;
	BackgroundWorkerHandle *consensus;
	BackgroundWorkerHandle *player;
	TimestampTz apply_started;
	TimestampTz sender_started;
	TimestampTz consensus_started;
	TimestampTz player_started;
} Charge;

static Charge charges[64];

/* Registers the supervisor; from _PG_init while preloading. */
void
supervisor_init(void)
{
	BackgroundWorker worker = {
		.bgw_name = "causaldb supervisor",
		.bgw_type = "causaldb supervisor",
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 1,
		.bgw_library_name = "causaldb",
		.bgw_function_name = "causaldb_supervisor_main",
	};

	if (!IsBinaryUpgrade)
		RegisterBackgroundWorker(&worker);
}

static BackgroundWorkerHandle *
start_worker(Oid database, const char *what, const char *function)
{
	BackgroundWorkerHandle *handle = NULL;
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_library_name = "causaldb",
		.bgw_main_arg = ObjectIdGetDatum(database),
		.bgw_notify_pid = MyProcPid,
	};
	static TimestampTz complained = 0;

	snprintf(worker.bgw_name, BGW_MAXLEN, "causaldb %s %u", what, database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "causaldb %s", what);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		TimestampTz now = wall_timer();

		if (TimestampDifferenceExceeds(complained, now, 60000))
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("causaldb could not start its %s worker for database %u", what, database),
					 errhint("Raise max_worker_processes in postgresql.conf by four for each database that is a node, and restart the server.")));
		complained = now;
		return NULL;
	}
	return handle;
}

static bool
is_running(BackgroundWorkerHandle *handle)
{
	pid_t pid;

	return handle && GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED;
}

static Charge *
charge_of(Oid database)
{
	Charge *free_one = NULL;
	int i;

	for (i = 0; i < (int) lengthof(charges); i++)
	{
		if (charges[i].database == database)
			return &charges[i];
		if (charges[i].database == InvalidOid && free_one == NULL)
			free_one = &charges[i];
	}
	if (free_one)
		free_one->database = database;
	return free_one;
}

static void
tend_one(BackgroundWorkerHandle **handle, TimestampTz *started, Oid database, const char *what,
		 const char *function)
{
	TimestampTz now = wall_timer();

	if (is_running(*handle) || !TimestampDifferenceExceeds(*started, now, RESTART_DELAY_MS))
		return;
	*handle = start_worker(database, what, function);
	*started = now;
}

/* There are, or were, strong columns: entries may come that somebody plays. */
static bool
strong_is_used(Oid database)
{
	NodeShared *node = shmem_find_node(database);

	return node && pg_atomic_read_u32(&node->strong.used) != 0;
}

/* Starts what should run for this database and does not. */
static void
tend(Oid database, NodeState state)
{
	Charge *c = charge_of(database);

	if (c == NULL)
		return;
	tend_one(&c->apply, &c->apply_started, database, "apply", "causaldb_apply_main");
	if (state != NODE_OPEN)
		return;
	tend_one(&c->sender, &c->sender_started, database, "sender", "causaldb_sender_main");
	tend_one(&c->consensus, &c->consensus_started, database, "consensus", "causaldb_consensus_main");
	if (strong_is_used(database))
		tend_one(&c->player, &c->player_started, database, "strong", "causaldb_strong_play_main");
}

/* OIDs of the databases one can connect to. */
static List *
databases(void)
{
	MemoryContext caller = CurrentMemoryContext;
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;
	List *list = NIL;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!database->datallowconn || database->datistemplate)
			continue;
		old = MemoryContextSwitchTo(caller);
		list = lappend_oid(list, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return list;
}

/*
 * Has each database looked into, one after the other: an apply worker stays
 * where there is a node and is gone again elsewhere.
 */
static void
look_into_all(void)
{
	List *list = databases();
	ListCell *lc;

	foreach (lc, list)
	{
		Oid database = lfirst_oid(lc);
		Charge *c = charge_of(database);
		int tries;

		if (c == NULL)
			break;
		if (is_running(c->apply))
			continue;
		c->apply = start_worker(database, "apply", "causaldb_apply_main");
		c->apply_started = wall_timer();
		for (tries = 0; is_running(c->apply) && tries < 500; tries++)
		{
			NodeShared *node = shmem_find_node(database);

			if (node && pg_atomic_read_u32(&node->state) == NODE_OPEN)
				break;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		if (!is_running(c->apply))
			memset(c, 0, sizeof(*c));
	}
	list_free(list);
}

static void
leave(int code, Datum arg)
{
	(void) code;
	(void) arg;
	shmem_shared()->supervisor_latch = NULL;
}

void
causaldb_supervisor_main(Datum arg)
{
	(void) arg;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("causaldb supervisor");
	before_shmem_exit(leave, (Datum) 0);
	shmem_shared()->supervisor_latch = MyLatch;

	look_into_all();
	for (;;)
	{
		int i;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		skew_look();
		for (i = 0; i < shmem_shared()->nnodes; i++)
		{
			NodeShared *node = shmem_node_at(i);
			NodeState state = pg_atomic_read_u32(&node->state);

			if (OidIsValid(node->database) && !node->stepping_aside && (state == NODE_OPENING || state == NODE_OPEN))
				tend(node->database, state);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_INTERVAL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
