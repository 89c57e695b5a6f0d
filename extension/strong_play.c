/*
 * strong_play.c
 *		The worker that applies committed entries of the strong log.
 *
 * One process a database that has, or had, strong columns. It plays entries
 * of other nodes, and those of this one whose backend is gone; each in a local
 * transaction of its own, in the order of the log.
 *
 * Invariants
 * 1. Entry i is played only when i - 1 is visible here, all that i may have
 *	  seen is applied, and no backend of ours has it (strong_shared.h).
 * 2. observe, then `started`, then the commit, then `applied`.
 * 3. An entry that cannot be applied is tried again for ever, and shown in
 *	  causaldb.stalled; nothing passes it.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "raft_message.h"
#include "strong_set.h"

#include "apply_row.h"
#include "apply_transaction.h"
#include "capture.h"
#include "catalog.h"
#include "clock.h"
#include "dead.h"
#include "debug_point.h"
#include "errors.h"
#include "grave.h"
#include "horizon.h"
#include "idempotency.h"
#include "member.h"
#include "omission.h"
#include "remote.h"
#include "stall.h"
#include "step_aside.h"
#include "streams.h"
#include "strong_log.h"
#include "strong_play.h"
#include "strong_turn.h"
#include "target.h"
#include "unseen.h"
#include "wall.h"

#define IDLE_MS 200
#define WAIT_MS 20
#define FIRST_RETRY_MS 50
#define LAST_RETRY_MS 5000
#define UNIQUE_RETRIES 5
#define FORGET_MS 10000
#define FETCH_TIMEOUT_MS 10000
#define FETCH_ROWS 200

/* what to do about the next entry */
typedef enum Step
{
	STEP_NONE, /* there is none */
	STEP_WAIT, /* for its backend, or for what it has seen */
	STEP_DONE
} Step;

static NodeShared *node;
static StrongShared *strong;
static int strong_slot;
static uint64 applied[REP_MAX_STREAMS]; /* as of the beginning of the play */
static uint64 dense[REP_MAX_STREAMS];
static RepVersion deps_room[REP_MAX_VECTOR];
static MemoryContext play_context; /* reset after every entry */

/* the entry in hand */
static uint64 at = 0; /* its index, 0: none */
static RepRaftEntry entry;
static RepStrongSet set;
static Incoming incoming;
static int tries;
static TimestampTz retry_at;

/* ------------------------------------------------------------ reading */

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void
pg_attribute_noreturn() malformed(uint64 index)
{
	ereport(ERROR,
			(errcode(ERRORS_MALFORMED),
			 errmsg("entry " UINT64_FORMAT " of the strong log is malformed", index),
			 errhint("This node's strong log is damaged: remove the node and let it join again.")));
}

static void
decode(uint64 index, bytea *entry_bytes, bytea *payload)
{
	size_t room = 4096 + (size_t) VARSIZE_ANY(entry_bytes) * 8;
	RepArena arena;
	RepReader r;

	rep_arena_init(&arena, MemoryContextAllocHuge(play_context, room), room);
	rep_reader_init(&r, VARDATA_ANY(entry_bytes),
					VARSIZE_ANY_EXHDR(entry_bytes));
	if (!rep_raft_entry_decode(&r, &arena, &entry) || !rep_reader_done(&r) ||
		entry.index != index)
		malformed(index);
	if (entry.kind == REP_ENTRY_WRITE &&
		!rep_strong_set_decode(VARDATA_ANY(payload),
							   VARSIZE_ANY_EXHDR(payload), &set))
		malformed(index);
}

/* What was fetched of the log of another node: entries that ours lacks. */
typedef struct Fetched
{
	uint64 index;
	bytea *bytes[2];
} Fetched;

static Fetched *fetched = NULL; /* fetch_context */
static int nfetched = 0;
static MemoryContext fetch_context;

static bytea *
from_hex(const char *hex)
{
	size_t len = strlen(hex) / 2;
	bytea *out = palloc(VARHDRSZ + len);

	SET_VARSIZE(out, VARHDRSZ + len);
	hex_decode(hex, len * 2, VARDATA(out));
	return out;
}

/* Asks the node for the entries from index on. */
static void
fetch(uint32 from, uint64 index, uint64 upto)
{
	const char *params[2] = { psprintf(UINT64_FORMAT, index),
							  psprintf(UINT64_FORMAT, upto) };
	Member *m = member_by_id((int32) from);
	Remote *remote;
	RemoteRows *rows;

	if (m == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node %u is to give its strong log but is not known here", from),
				 errhint("Look at causaldb.nodes; it is tried again when this node has heard of it.")));
	remote = remote_connect(member_dsn(m), psprintf("node %s", m->name), FETCH_TIMEOUT_MS);
	rows = remote_query(remote,
						"SELECT index, pg_catalog.encode(entry, 'hex'), pg_catalog.encode(payload, 'hex') "
						"FROM causaldb.strong_log WHERE index >= $1::pg_catalog.int8 AND index <= $2::pg_catalog.int8 "
						"ORDER BY index LIMIT " CppAsString2(FETCH_ROWS),
						2, params);
	remote_close(remote);
	MemoryContextReset(fetch_context);
	nfetched = 0;
	MemoryContextSwitchTo(fetch_context);
	fetched = palloc(sizeof(Fetched) * (rows->nrows + 1));
	for (int i = 0; i < rows->nrows; i++)
	{
		fetched[i].index = strtoull(REMOTE_VALUE(rows, i, 0), NULL, 10);
		fetched[i].bytes[0] = from_hex(REMOTE_VALUE(rows, i, 1));
		fetched[i].bytes[1] = from_hex(REMOTE_VALUE(rows, i, 2));
	}
	nfetched = rows->nrows;
}

/* The entry, of another node's log, becomes the one in hand. */
static void
fetch_entry(uint64 index)
{
	uint32 from;
	uint64 upto;

	LWLockAcquire(&strong->lock, LW_SHARED);
	from = strong->install_from;
	upto = strong->install_to;
	LWLockRelease(&strong->lock);
	if (from == 0)
		return;
	if (nfetched == 0 || index < fetched[0].index ||
		index > fetched[nfetched - 1].index)
	{
		begin();
		fetch(from, index, upto);
		end();
	}
	for (int i = 0; i < nfetched; i++)
		if (fetched[i].index == index)
		{
			MemoryContextReset(play_context);
			decode(index, fetched[i].bytes[0], fetched[i].bytes[1]);
			at = index;
			tries = 0;
			retry_at = 0;
			return;
		}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("node %u does not have entry " UINT64_FORMAT " of the strong log any more", from, index),
			 errhint("This node was away for too long: remove it and let it join again.")));
}

/* The entry becomes the one in hand. */
static void
read_entry(uint64 index)
{
	MemoryContext old;
	bytea *bytes[2];
	bool found;

	MemoryContextReset(play_context);
	at = 0;
	begin();
	old = MemoryContextSwitchTo(play_context);
	found = strong_log_read(index, GetActiveSnapshot(), &bytes[0], &bytes[1]);
	MemoryContextSwitchTo(old);
	end();
	if (!found)
		malformed(index);
	decode(index, bytes[0], bytes[1]);
	at = index;
	tries = 0;
	retry_at = 0;
}

/* ------------------------------------------------------------ whose it is */

/* A backend of ours waits for its verdict or turn, and shall have it. */
static bool
backend_has_it(void)
{
	bool has = false;

	if (entry.stamp.stream.node != (uint32) node->node_id)
		return false;
	LWLockAcquire(&strong->lock, LW_SHARED);
	for (int i = 0; i < STRONG_SLOTS && !has; i++)
	{
		StrongSlot *s = &strong->slots[i];

		has = s->state >= STRONG_WAITING && s->state <= STRONG_TURN &&
			  rep_stamp_compare(s->stamp, entry.stamp) == 0;
	}
	LWLockRelease(&strong->lock);
	return has;
}

/* Fills `incoming`; false if it names a stream that this node does not know. */
static bool
prepare(void)
{
	Incoming *t = &incoming;
	int32 id;

	memset(dense, 0, sizeof(dense));
	memset(t, 0, sizeof(*t));
	t->slot = strong_slot;
	t->stamp = entry.stamp;
	t->index = at;
	t->xid = set.xid;
	t->payload = set.payload;
	t->payload_len = set.payload_len;
	t->dense = dense;
	t->ndense = (int) pg_atomic_read_u32(&node->nstreams);
	t->deps.entries = deps_room;
	t->deps.cap = REP_MAX_VECTOR;
	t->deps.len = Min(entry.ndeps, REP_MAX_VECTOR);
	memcpy(deps_room, entry.deps, sizeof(RepVersion) * t->deps.len);
	for (uint32 i = 0; i < t->deps.len; i++)
	{
		int s = shmem_find_stream(node, deps_room[i].stream);

		if (s >= 0)
			dense[s] = deps_room[i].position;
		else if (!streams_retired(deps_room[i].stream, &id))
			return false;
	}
	return true;
}

/*
 * Adds what its deps leave out. They name the word of that, which stands in its
 * node's own stream; so it is here now that they are met.
 */
static void
complete_deps(void)
{
	int origin = shmem_find_stream(node, entry.stamp.stream);

	omission_follow(node);
	if (origin >= 0)
		omission_add(origin, entry.stamp.hlc, dense);
}

/* All that it may have seen is applied here (invariant 1). */
static bool
deps_are_met(void)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);

	for (int s = 0; s < n; s++)
	{
		uint64 here;

		if (s == strong_slot || dense[s] == 0)
			continue;
		here = s == node->own_slot
				   ? clock_closed(node)
				   : pg_atomic_read_u64(&node->streams[s].applied);
		if (here < dense[s])
			return false;
	}
	return true;
}

/* ------------------------------------------------------------ playing */

static void
store_descriptors(void)
{
	RepReader r = set.descriptors;

	for (uint32 i = 0; i < set.ndescriptors; i++)
	{
		size_t len;
		const uint8 *bytes = rep_read_blob(&r, &len);

		catalog_put_descriptor(rep_hash64(bytes, len, 0), bytes, len);
	}
}

static void
play(void)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	ApplyEffects effects = { false, false };
	uint64 chain = 0;

	begin();
	complete_deps();
	store_descriptors();
	CommandCounterIncrement();
	target_begin_group();
	target_set_alone(true);
	target_fire_at_once();
	for (int s = 0; s < n; s++)
		applied[s] = pg_atomic_read_u64(&node->streams[s].applied);
	unseen_group(applied, n);
	dead_begin_group();
	if (tries > 0)
		incoming.aside =
			stall_is_aside(node->streams[strong_slot].local_id, at);
	apply_transaction(&incoming, &chain, &effects);
	if (set.key_len > 0)
		idempotency_insert(set.key, set.key_len,
						   &(IdempotencyUse){ at, entry.stamp });
	if (tries > 0)
		stall_clear(node->streams[strong_slot].local_id, at);
	clock_observe(node, entry.stamp.hlc);
	strong_turn_starts(node, at);
	dead_before_commit();
	target_end_group();
	DEBUG_POINT("strong_play_before_commit");
	end();
	dead_end_group();
	unseen_committed();
	shmem_max_u64(&node->last_commit_lsn, XactLastCommitEnd);
	DEBUG_POINT("strong_play_after_commit");
	if (entry.stamp.stream.node == (uint32) node->node_id)
	{
		LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
		strong->replayed++;
		LWLockRelease(&strong->lock);
	}
	if (effects.members)
		shmem_wake_sender(node);
}

/* It could not be applied: when again, and who is told? */
static void
recover(ErrorData *error)
{
	int delay = Min(FIRST_RETRY_MS << Min(tries, 8), LAST_RETRY_MS);

	AbortCurrentTransaction();
	dead_end_group();
	QueryCancelPending = false;
	target_abort_group();
	unseen_rolled_back();
	switch (error->sqlerrcode)
	{
		case TARGET_YIELD:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_QUERY_CANCELED:
			retry_at =
				TimestampTzPlusMilliseconds(wall_timer(), 5);
			return;
		case ERRCODE_UNIQUE_VIOLATION:
			/* a local client was first and is about to lose */
			if (tries++ < UNIQUE_RETRIES)
				return;
			break;
		default:
			break;
	}
	tries++;
	ereport(LOG,
			(errmsg("causaldb: entry " UINT64_FORMAT " of the strong log is stalled: %s",
					at, error->message),
			 error->context ? errcontext("%s", error->context) : 0));
	stall_record(node->streams[strong_slot].local_id, at, error,
				 apply_transaction_relation());
	retry_at = TimestampTzPlusMilliseconds(wall_timer(), delay);
}

static bool
try_play(void)
{
	volatile bool ok = false;

	PG_TRY();
	{
		play();
		ok = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(play_context);
		error = CopyErrorData();
		FlushErrorState();
		recover(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(play_context);
	return ok;
}

/* The other node may be away, or not have it any more: tries again for ever. */
static void
try_fetch(uint64 index)
{
	PG_TRY();
	{
		fetch_entry(index);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(play_context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextReset(fetch_context);
		nfetched = 0;
		retry_at =
			TimestampTzPlusMilliseconds(wall_timer(), LAST_RETRY_MS);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(play_context);
}

/* Lets go of what nobody will ask for again. */
static void
keep_house(void)
{
	static TimestampTz last = 0;

	if (!TimestampDifferenceExceeds(last, wall_timer(), FORGET_MS))
		return;
	last = wall_timer();
	begin();
	unseen_forget_stable();
	idempotency_forget();
	end();
	MemoryContextSwitchTo(play_context);
}

static Step
one_step(void)
{
	uint64 next = pg_atomic_read_u64(&strong->applied) + 1;

	if (at != next && next <= pg_atomic_read_u64(&strong->commit))
		read_entry(next);
	else if (at != next && strong->install_from != 0 &&
			 next <= strong->install_to && wall_timer() >= retry_at)
		try_fetch(next);
	if (at != next)
		return STEP_NONE;
	if (entry.kind != REP_ENTRY_WRITE)
	{
		if (entry.kind == REP_ENTRY_HORIZON)
			horizon_applied(node, &(RepVector){ (RepVersion *) entry.deps, entry.ndeps, entry.ndeps }, next);
		(void) strong_turn_applied(node, next);
		return STEP_DONE;
	}
	if (wall_timer() < retry_at || backend_has_it())
		return STEP_WAIT;
	/* who applies what we look for now wakes us (strong_turn_tell) */
	pg_atomic_write_u32(&strong->lacks_deps, 1);
	pg_memory_barrier();
	if (!prepare() || !deps_are_met())
		return STEP_WAIT;
	pg_atomic_write_u32(&strong->lacks_deps, 0);
	/* a backend may have committed it just before it left its slot */
	if (pg_atomic_read_u64(&strong->applied) + 1 != next)
		return STEP_DONE;
	DEBUG_POINT("strong_play_before");
	if (!try_play())
		return STEP_WAIT;
	(void) strong_turn_applied(node, next);
	return STEP_DONE;
}

/* ------------------------------------------------------------ start, end */

static void
leave(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dead_end_group();
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	strong->player_pid = 0;
	strong->player_latch = NULL;
	LWLockRelease(&strong->lock);
}

static void
set_option(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

static void
start(Oid database)
{
	bool ours;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	if (step_aside_wanted(database))
		proc_exit(0);
	pgstat_report_appname("causaldb strong");
	set_option("session_replication_role", "replica");
	set_option("search_path", "pg_catalog, pg_temp");
	/* the majority is what makes it durable */
	set_option("synchronous_commit", "off");
	set_option("statement_timeout", "0");
	set_option("lock_timeout", "0");
	set_option("idle_in_transaction_session_timeout", "0");
	/* in a deadlock somebody else finds it, and is the victim */
	set_option("deadlock_timeout", "1h");

	node = shmem_node();
	strong = &node->strong;
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	ours = !node->recycling &&
		   (strong->player_pid == 0 ||
			BackendPidGetProc(strong->player_pid) == NULL);
	if (ours)
	{
		strong->player_pid = MyProcPid;
		strong->player_latch = MyLatch;
	}
	LWLockRelease(&strong->lock);
	if (!ours)
		proc_exit(0);
	before_shmem_exit(leave, (Datum) 0);

	strong_slot = streams_strong_slot(node);
	play_context = AllocSetContextCreate(TopMemoryContext, "causaldb play",
										 ALLOCSET_DEFAULT_SIZES);
	fetch_context = AllocSetContextCreate(
		TopMemoryContext, "causaldb fetched entries", ALLOCSET_DEFAULT_SIZES);
	capture_applying = true;
	target_init(node, ROLE_PLAYER, 1000);
	apply_row_init(node);
	dead_init(node, ROLE_PLAYER);
	apply_transaction_init(node);
	unseen_init(node, true);
	grave_init();
	begin();
	streams_load_retired();
	omission_load(node, false);
	end();
}

void
causaldb_strong_play_main(Datum database)
{
	start(DatumGetObjectId(database));
	MemoryContextSwitchTo(play_context);
	for (;;)
	{
		Step step;

		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		ResetLatch(MyLatch);
		pg_atomic_write_u32(&strong->lacks_deps, 0);
		keep_house();
		step = one_step();
		MemoryContextSwitchTo(play_context);
		if (step == STEP_DONE)
			continue;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 step == STEP_NONE ? IDLE_MS : WAIT_MS,
						 PG_WAIT_EXTENSION);
	}
}
