/*
 * strong_read.c
 *		See strong_read.h.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "debug_point.h"
#include "errors.h"
#include "guc.h"
#include "shmem.h"
#include "strong.h"
#include "strong_key.h"
#include "strong_latency.h"
#include "strong_read.h"
#include "strong_tables.h"
#include "wall.h"

/* how long a BEGIN, or a statement that only may need it, waits for a quorum
 * at most: it goes on without */
#define BEST_EFFORT_MS 1000

/* a query that was started and has not ended */
typedef struct Running
{
	Snapshot snapshot; /* registered by it: nobody else's while it is here */
	bool covered;      /* taken after a read index asked for since its start */
	struct Running *next;
	MemoryContextCallback at_end;
} Running;

/* what the running transaction block, if REPEATABLE READ, has waited for */
static struct
{
	LocalTransactionId lxid;
	bool begun;     /* the wait was at its BEGIN: its snapshot is younger */
	bool covered;   /* and it was answered */
	uint64 applied; /* its snapshot has at least that */
} block;

static Running *running = NULL;
static ExecutorStart_hook_type previous_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* ------------------------------------------------------------- waiting */

/* Our workers are what others wait for. */
static bool
is_own_worker(void)
{
	return IsBackgroundWorker &&
		   strcmp(MyBgworkerEntry->bgw_library_name, "causaldb") == 0;
}

/* What this session itself has committed is to be seen whatever it reads. */
static bool
is_owed(void)
{
	return strong_owed() != 0 && shmem_available() &&
		   strong_owed() > strong_applied();
}

static bool
is_wanted(void)
{
	/* a parallel worker's snapshot is its leader's, who has waited */
	return (guc_strong_reads != STRONG_READS_OFF || is_owed()) &&
		   !IsParallelWorker() && strong_in_use() && !capture_applying &&
		   !is_own_worker() && !RecoveryInProgress() && !BREAK("no_read_barrier");
}

/* Waits for what was acknowledged anywhere before this call; with
 * strong_reads = off only for what is owed. */
static void
wait_for_all(int timeout_ms)
{
	TimestampTz asked = wall_timer();
	TimestampTz end = TimestampTzPlusMilliseconds(asked, timeout_ms);
	StrongShared *strong;
	uint64 index;

	if (guc_strong_reads == STRONG_READS_OFF)
	{
		strong_wait_applied(strong_owed(), timeout_ms);
		return;
	}
	if (!strong_fresh_index(asked, guc_max_staleness, &index))
	{
		index = strong_read_index(timeout_ms);
		strong_note_fresh(asked, index);
	}
	DEBUG_POINT("strong_read_asked");
	strong_wait_applied(Max(index, strong_owed()),
						(int) TimestampDifferenceMilliseconds(wall_timer(), end));
	strong = &shmem_node()->strong;
	strong_latency_note(strong, &strong->reads, asked);
}

/* The same; false if there is no quorum, or not in time. */
static bool
try_to_wait(void)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool ok = false;

	PG_TRY();
	{
		wait_for_all(Min(guc_strong_timeout, BEST_EFFORT_MS));
		ok = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		/* strong.h: it holds nothing, so there is nothing to take back */
		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRORS_NO_QUORUM)
			PG_RE_THROW();
		FlushErrorState();
		FreeErrorData(error);
	}
	PG_END_TRY();
	return ok;
}

/* ------------------------------------------------------------- snapshots */

/* Takes a snapshot of now in place of the statement's. */
static void
replace_snapshot(QueryDesc *query)
{
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
	UnregisterSnapshot(query->snapshot);
	query->snapshot = RegisterSnapshot(GetActiveSnapshot());
}

/* The running query whose snapshot this is. */
static Running *
owner_of(Snapshot snapshot)
{
	Running *r = running;

	while (r && r->snapshot != snapshot)
		r = r->next;
	return r;
}

static void
forget_running(void *arg)
{
	Running **at = &running;

	while (*at && *at != arg)
		at = &(*at)->next;
	if (*at)
		*at = (*at)->next;
}

static void
remember_running(QueryDesc *query, bool covered)
{
	Running *r = MemoryContextAlloc(query->estate->es_query_cxt,
									sizeof(Running));

	r->snapshot = query->snapshot;
	r->covered = covered;
	r->next = running;
	r->at_end.func = forget_running;
	r->at_end.arg = r;
	running = r;
	MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &r->at_end);
}

static void
pg_attribute_noreturn() refuse_old_snapshot(const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("strong read needs a newer snapshot"),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* A statement in a block with one snapshot for all of them. */
static bool
check_block(bool must)
{
	uint64 index;

	if (block.lxid == MyProc->lxid && block.covered)
		return true;
	if (!must)
		return false;
	index = guc_strong_reads == STRONG_READS_OFF
				? strong_owed()
				: strong_read_index(guc_strong_timeout);
	if (block.lxid == MyProc->lxid && block.begun && block.applied >= index)
		return true;
	refuse_old_snapshot(
		"The snapshot of this REPEATABLE READ transaction was taken when this node did not know of all strong writes.",
		"ROLLBACK and try again, with BEGIN ISOLATION LEVEL REPEATABLE READ: the transaction waits at its BEGIN. Or SET causaldb.strong_reads = off; for reads that may be old.");
}

/* True if the query's snapshot has all that it must have. */
static bool
prepare(QueryDesc *query)
{
	StrongNeed need = guc_strong_reads == STRONG_READS_ALWAYS
						  ? STRONG_NEED_YES
						  : strong_tables_need(query->plannedstmt);
	Running *owner;

	if (need == STRONG_NEED_NONE || query->snapshot == InvalidSnapshot)
		return false;
	/* a function's query in the leader of a parallel one: no snapshot can be
	 * taken here, and the workers' is that of the query that runs */
	owner = IsInParallelMode() ? running : owner_of(query->snapshot);
	if (owner)
	{
		if (owner->covered || need == STRONG_NEED_MAYBE ||
			guc_strong_reads == STRONG_READS_OFF)
			return owner->covered;
		(void) strong_read_index(guc_strong_timeout);
		refuse_old_snapshot(
			"A function read strong columns with the snapshot of the statement that called it, which did not wait for them.",
			"Type SET causaldb.strong_reads = always; or declare the function VOLATILE.");
	}
	if (IsolationUsesXactSnapshot() &&
		(IsTransactionBlock() || block.lxid == MyProc->lxid))
		return check_block(need == STRONG_NEED_YES);
	if (need == STRONG_NEED_YES)
		wait_for_all(guc_strong_timeout);
	else if (!try_to_wait())
		return false;
	replace_snapshot(query);
	return true;
}

/* ------------------------------------------------------------- hooks */

static bool
may_write(const QueryDesc *query)
{
	return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE;
}

static void
start(QueryDesc *query, int eflags)
{
	bool wanted = is_wanted();
	bool covered = false;

	if (may_write(query) && (eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0 &&
		!capture_applying && !is_own_worker())
		strong_key_before_write();
	if (wanted && (eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
	{
		covered = prepare(query);
		/* what comes next in this transaction shares its snapshot */
		if (IsolationUsesXactSnapshot() && block.lxid != MyProc->lxid)
		{
			block.lxid = MyProc->lxid;
			block.begun = block.covered = false;
		}
	}
	if (previous_start)
		previous_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
	if (wanted && query->estate)
		remember_running(query, covered);
}

/* After a statement that may have begun a block with one snapshot. */
static void
begin_block(void)
{
	if (!IsolationUsesXactSnapshot() || FirstSnapshotSet ||
		(block.lxid == MyProc->lxid && block.begun))
		return;
	block.lxid = MyProc->lxid;
	block.begun = true;
	block.covered = try_to_wait();
	block.applied = strong_applied();
}

/* COPY table TO has no executor; its snapshot is the active one. */
static void
before_copy(const CopyStmt *copy)
{
	Snapshot old;
	Oid relid;

	relid = RangeVarGetRelid(copy->relation, AccessShareLock, true);
	if (!OidIsValid(relid) || !ActiveSnapshotSet() || !strong_tables_has(relid))
		return;
	if (IsolationUsesXactSnapshot() &&
		(IsTransactionBlock() || block.lxid == MyProc->lxid))
	{
		(void) check_block(true);
		return;
	}
	wait_for_all(guc_strong_timeout);
	old = GetActiveSnapshot();
	if (ActivePortal && ActivePortal->portalSnapshot == old)
	{
		PopActiveSnapshot();
		PushActiveSnapshotWithLevel(GetLatestSnapshot(),
									ActivePortal->createLevel);
		ActivePortal->portalSnapshot = GetActiveSnapshot();
	}
	else
	{
		PopActiveSnapshot();
		PushActiveSnapshot(GetLatestSnapshot());
	}
}

static bool
may_begin_block(Node *statement)
{
	if (IsA(statement, TransactionStmt))
	{
		TransactionStmtKind kind = ((TransactionStmt *) statement)->kind;

		return kind == TRANS_STMT_BEGIN || kind == TRANS_STMT_START;
	}
	return IsA(statement, VariableSetStmt) &&
		   ((VariableSetStmt *) statement)->kind == VAR_SET_MULTI;
}

static void
utility(PlannedStmt *pstmt, const char *text, bool read_only_tree,
		ProcessUtilityContext context, ParamListInfo params,
		QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type next = previous_utility ? previous_utility
													 : standard_ProcessUtility;
	Node *statement = pstmt->utilityStmt;

	if (IsA(statement, CopyStmt) && !((CopyStmt *) statement)->is_from &&
		((CopyStmt *) statement)->relation && is_wanted())
		before_copy((CopyStmt *) statement);
	if (IsA(statement, CopyStmt) && ((CopyStmt *) statement)->is_from)
		strong_key_before_write();
	next(pstmt, text, read_only_tree, context, params, env, dest, qc);
	if (may_begin_block(statement) && IsTransactionBlock() && is_wanted())
		begin_block();
}

void
strong_read_init(void)
{
	strong_tables_init();
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
