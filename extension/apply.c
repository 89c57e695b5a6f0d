/*
 * apply.c
 *		The worker that applies what peers have written.
 *
 * One process a database. It takes intervals from the inbox into one queue a
 * stream, and applies what is deliverable in groups: many small transactions
 * in one local commit, rows, log rows and stream positions together. A group
 * that fails is rolled back whole and done again in smaller pieces, down to
 * one transaction at a time; one that fails alone stalls its stream.
 *
 * Invariants
 * 1. A transaction is applied only after its predecessor in its stream and
 *	  all that its deps name.
 * 2. observe, then `started`, then the commit, then `applied`.
 * 3. No group waits for a row lock while it holds rows of an earlier
 *	  transaction of the group.
 * 4. A transaction that cannot be applied stays at the head of its stream.
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
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "apply.h"
#include "apply_row.h"
#include "apply_transaction.h"
#include "capture.h"
#include "catalog.h"
#include "causal.h"
#include "clock.h"
#include "dead.h"
#include "debug_point.h"
#include "errors.h"
#include "grave.h"
#include "guc.h"
#include "identity.h"
#include "inbox.h"
#include "lane.h"
#include "leave.h"
#include "member.h"
#include "meta.h"
#include "omission.h"
#include "pause.h"
#include "queue.h"
#include "recycle.h"
#include "reinstall.h"
#include "stability.h"
#include "step_aside.h"
#include "stall.h"
#include "store.h"
#include "streams.h"
#include "strong_turn.h"
#include "target.h"
#include "unseen.h"
#include "wall.h"

#define IDLE_MS 1000
#define STALLED_LOOK_MS 100
#define FIRST_RETRY_MS 50
#define PERSIST_MS 1000
#define FRAMES_PER_PASS 64
#define UNIQUE_RETRIES 5

static NodeShared *node;
static uint64 dense[REP_MAX_STREAMS];
static bool open_group;
static int in_group; /* transactions */
static int limit = 1; /* transactions a group may have */
static int careful; /* transactions still to be tried one by one, marked */
static int current; /* lane of the transaction being applied, or -1 */
static int strong_slot; /* of the strong log, which is not ours to apply */
static int last_lane; /* of the group's last transaction */
static Incoming incoming;
static ApplyEffects effects;
static int first_lane; /* round robin */
static MemoryContext pass_context;

/* ------------------------------------------------------------ what blocks */

/* All that deps name is applied (invariant 1); else shows what is missing. */
static bool
is_deliverable(const Incoming *t)
{
	RepDelivery d = {.slot = (uint32) t->slot, .before = 0, .deps = t->dense, .ndeps = (uint32) t->ndense};
	RepWait wait;

	if (BREAK("no_deps_check"))
		return true;
	if (t->stranger.node != 0)
	{
		lane_show_blocked(t->slot, t->stamp.hlc, t->stranger, t->stranger_at, false);
		return false;
	}
	/* our own stream is applied by being written */
	lane_applied[node->own_slot] = PG_UINT64_MAX;
	/* another process plays the strong log */
	lane_applied[strong_slot] = strong_turn_await(node, strong_slot);
	if (rep_causal_ready(lane_applied, pg_atomic_read_u32(&node->nstreams), &d, &wait))
		return true;
	lane_show_blocked(t->slot, t->stamp.hlc, node->streams[wait.slot].id, wait.position, false);
	return false;
}

/* ------------------------------------------------------------ groups */

static void
begin_group(void)
{
	if (open_group)
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	target_begin_group();
	target_fire_at_once();
	dead_begin_group();
	unseen_group(lane_applied, (int) pg_atomic_read_u32(&node->nstreams));
	open_group = true;
}

static void
remember_group(void)
{
	int s;

	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
	{
		Lane *lane = &lanes[s];

		lane->applied_before = lane->applied;
		lane->chain_before = lane->chain;
		lane->chain_known_before = lane->chain_known;
		lane->last_position = 0;
		lane->touched = false;
	}
	in_group = 0;
	memset(&effects, 0, sizeof(effects));
}

static void
forget_group(void)
{
	int s;

	open_group = false;
	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
	{
		Lane *lane = &lanes[s];

		if (lane->touched)
		{
			queue_rewind(s);
			lane->persisted = 0;
		}
		lane->applied = lane->applied_before;
		lane_applied[s] = lane->applied;
		lane->chain = lane->chain_before;
		lane->chain_known = lane->chain_known_before;
		lane->touched = false;
		lane->has_fresh = false;
		lane->last_position = 0;
	}
	in_group = 0;
}

static void
refuse_fork(int s, const RepMark *mark)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stream " UINT64_FORMAT " of node %u has forked", node->streams[s].id.boot, node->streams[s].id.node),
			 errdetail("At position " UINT64_FORMAT " its writer's chain hash differs from ours.", mark->closed),
			 errhint("One of the two nodes was restored or cloned. Stop it and look before anything else.")));
}

/* Commits what is open and tells everybody (invariant 2). */
static void
commit_group(void)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	bool wrote = open_group;
	int s;

	if (open_group)
	{
		for (s = 0; s < n; s++)
			if (lanes[s].touched)
				lane_persist(s);
		DEBUG_POINT("apply_before_started");
		for (s = 0; s < n; s++)
			if (lanes[s].last_position)
			{
				clock_observe(node, lanes[s].last_position);
				shmem_max_u64(&node->streams[s].started, lanes[s].last_position);
			}
		dead_before_commit();
		target_end_group();
		DEBUG_POINT("apply_before_commit");
		PopActiveSnapshot();
		CommitTransactionCommand();
		dead_end_group();
		omission_end_group(node);
		unseen_committed();
		open_group = false;
		shmem_max_u64(&node->last_commit_lsn, XactLastCommitEnd);
		DEBUG_POINT("apply_after_commit");
	}
	for (s = 0; s < n; s++)
	{
		Lane *lane = &lanes[s];

		if (!lane->touched)
			continue;
		queue_commit(s);
		shmem_max_u64(&node->streams[s].applied, lane->applied);
		if (wrote)
			lane_noted(s);
		if (lane->has_fresh && lane->fresh.acked_at > 0)
			stability_mark(s, &lane->fresh);
		lane_keep_mark(s);
		if (lane->last_position)
		{
			lane->stalled = lane->marked = false;
			lane->retries = lane->unique_retries = 0;
		}
		lane_show_free(s);
	}
	if (wrote && effects.members)
	{
		stability_reload();
		LWLockAcquire(&node->lock, LW_EXCLUSIVE);
		node->sender_reload = true;
		node->strong.reload = true;
		LWLockRelease(&node->lock);
		shmem_wake_sender(node);
		shmem_wake_consensus(node);
	}
	ConditionVariableBroadcast(&node->applied_cv);
	strong_turn_tell(node);
	if (careful > 0)
		careful -= Min(careful, in_group);
	limit = careful > 0 ? 1 : Min(limit * 2, guc_apply_group);
	remember_group();
}

/* ------------------------------------------------------------ failing */

static void
stall(int s, uint64 position, const ErrorData *error)
{
	Lane *lane = &lanes[s];
	int delay = Min(FIRST_RETRY_MS << Min(lane->retries, 16), guc_stall_retry_max);

	ereport(LOG,
			(errmsg("causaldb: stream %d is stalled at " UINT64_FORMAT ": %s",
					node->streams[s].local_id, position, error->message),
			 error->context ? errcontext("%s", error->context) : 0));
	stall_record(node->streams[s].local_id, position, error, apply_transaction_relation());
	lane->stalled = lane->marked = true;
	lane->retries++;
	lane->retry_at = TimestampTzPlusMilliseconds(wall_timer(), delay);
	lane_show_blocked(s, position, (RepStreamId){0, 0}, 0, true);
}

/* The group has failed; decides how it goes on. */
static void
recover(ErrorData *error)
{
	/* while it applied one, or as it committed what it had applied */
	bool applying = current >= 0;
	bool was_alone = in_group == (applying ? 0 : 1);
	int s = applying ? current : last_lane;
	uint64 position = applying ? incoming.stamp.hlc : lanes[s].last_position;
	bool none = !applying && in_group == 0;

	AbortCurrentTransaction();
	QueryCancelPending = false;
	target_abort_group();
	unseen_rolled_back();
	lane_fall_back();
	dead_end_group();
	omission_end_group(node);
	forget_group();
	limit = 1;
	current = -1;
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->lock_wait_since = 0;
	LWLockRelease(&node->lock);
	if (none)
		ThrowErrorData(error); /* not of a transaction: the worker starts anew */
	if (!was_alone)
		return; /* tried again, alone */

	switch (error->sqlerrcode)
	{
		case TARGET_YIELD:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_QUERY_CANCELED:
			SetCurrentStatementStartTimestamp();
			StartTransactionCommand();
			target_wait_for_blocker();
			CommitTransactionCommand();
			return;
		case ERRCODE_UNIQUE_VIOLATION:
			if (lanes[s].unique_retries++ < UNIQUE_RETRIES)
				return; /* a local client was first; now its row is found */
			break;
		default:
			break;
	}
	stall(s, position, error);
}

/* ------------------------------------------------------------ one pass */

static bool
is_here_already(const Incoming *t)
{
	StoreLogRow row;
	Snapshot snapshot;
	bool here;

	if (t->stamp.hlc > lanes[t->slot].copied_upto)
		return false;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	here = store_log_fetch(node->streams[t->slot].local_id, t->stamp.hlc, snapshot, &row);
	UnregisterSnapshot(snapshot);
	return here;
}

/*
 * Marks a try that must be marked before it is made. False: it has crashed us
 * too often.
 */
static bool
mark_try(int s)
{
	Lane *lane = &lanes[s];
	int crashes;

	if (careful == 0 && !lane->marked)
		return true;
	Assert(!open_group);
	crashes = stall_begin_try(node->streams[s].local_id, incoming.stamp.hlc, true);
	lane->marked = true;
	if (crashes < STALL_CRASHES)
		return true;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	incoming.aside = stall_is_aside(node->streams[s].local_id, incoming.stamp.hlc);
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (incoming.aside)
		return true;
	stall(s, incoming.stamp.hlc, stall_crash_error(crashes));
	lane->retry_at = TimestampTzPlusMilliseconds(wall_timer(), guc_stall_retry_max);
	return false;
}

/* Applies the transaction in `incoming` as part of the group. */
static void
apply_one(int s)
{
	Lane *lane = &lanes[s];

	current = s;
	begin_group();
	target_set_alone(in_group == 0);
	if (!is_here_already(&incoming))
	{
		uint64 chain = lane->chain;

		if (lane->marked)
			incoming.aside = stall_is_aside(node->streams[s].local_id, incoming.stamp.hlc);
		apply_transaction(&incoming, &chain, &effects);
		lane->chain = chain;
		if (lane->marked)
			stall_clear(node->streams[s].local_id, incoming.stamp.hlc);
	}
	else
		lane->chain_known = false;
	current = -1;
	last_lane = s;
	in_group++;
	if (in_group > 1)
		DEBUG_POINT("apply_mid_group");
	lane->applied = incoming.stamp.hlc;
	lane->last_position = incoming.stamp.hlc;
	lane->touched = true;
	lane_applied[s] = lane->applied;
	queue_pass(s);
}

/*
 * What is at the head of the stream, alone: an error if it is too far ahead of
 * our clock to be believed, else it ends what such an error had begun.
 */
static void
judge_head(int s, uint64 end)
{
	current = s;
	incoming.slot = s;
	incoming.stamp.stream = node->streams[s].id;
	incoming.stamp.hlc = end;
	apply_transaction_check_skew(node->streams[s].id.node, end);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	stall_clear(node->streams[s].local_id, end);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(pass_context);
	lanes[s].stalled = lanes[s].marked = false;
	lanes[s].retries = 0;
	current = -1;
}

/*
 * The stream has nothing up to `before`, which lies before the transaction at
 * its head: that is applied, and must be said although the head waits, for
 * what it waits for may name such a position.
 */
static void
pass_gap(int s, uint64 before)
{
	Lane *lane = &lanes[s];

	if (lane->applied >= before || apply_transaction_skewed(before))
		return;
	lane->applied = before;
	lane_applied[s] = before;
	lane->touched = true;
}

/*
 * Applies of one lane what can be applied now. True if the group is full or
 * must be committed.
 */
static bool
run_lane(int s)
{
	Lane *lane = &lanes[s];
	uint64 end;
	const RepMark *mark;

	if (lane->stalled && wall_timer() < lane->retry_at)
		return false;
	for (;;)
	{
		switch (queue_look(s, &incoming, &end, &mark))
		{
			case QUEUE_EMPTY:
				return false;
			case QUEUE_END:
				if (lane_is_forked(s, end, mark))
				{
					if (in_group > 0)
						return true; /* what came before stands */
					current = s;
					incoming.slot = s;
					incoming.stamp.hlc = end;
					refuse_fork(s, mark);
				}
				if (apply_transaction_skewed(end) || lane->marked)
				{
					if (in_group > 0)
						return true;
					judge_head(s, end);
				}
				lane->applied = Max(lane->applied, end);
				lane_applied[s] = lane->applied;
				lane->touched = true;
				lane_pass_mark(s, mark);
				queue_pass(s);
				break;
			case QUEUE_TRANSACTION:
				if (incoming.stamp.hlc <= lane->applied)
				{
					lane->touched = true;
					queue_pass(s);
					break;
				}
				if (!is_deliverable(&incoming))
				{
					/* said at once, whatever else it waits for: a stream that is
					 * ahead is stalled by all whose clock is not */
					if (apply_transaction_skewed(incoming.stamp.hlc) || lane->stalled)
					{
						if (in_group > 0)
							return true;
						judge_head(s, incoming.stamp.hlc);
					}
					pass_gap(s, incoming.stamp.hlc - 1);
					return false;
				}
				if (in_group >= limit)
					return true;
				if ((lane->marked || careful > 0 || incoming.nchunks > 0) && in_group > 0)
					return true; /* alone, after what is open */
				if (!mark_try(s))
					return false;
				apply_one(s);
				/* a large one has no other after it: it holds its locks long enough */
				if (effects.ends_group || lane->marked || incoming.nchunks > 0)
					return true;
				break;
		}
	}
}

/* One group. True if it did anything. */
static bool
run_group(void)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	volatile bool did = false;
	int i;

	current = -1;
	PG_TRY();
	{
		bool full = false;

		for (i = 0; i < n && !full; i++)
		{
			int s = (first_lane + i) % n;

			if (s != node->own_slot)
				full = run_lane(s);
		}
		first_lane = (first_lane + 1) % Max(n, 1);
		for (i = 0; i < n; i++)
			did = did || lanes[i].touched;
		current = -1;
		if (did)
			commit_group();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(pass_context);
		error = CopyErrorData();
		FlushErrorState();
		recover(error);
		did = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(pass_context);
	return did;
}

/* ------------------------------------------------------------ frames */

/* The slot of the frame's stream; a stream nobody has named yet gets a
 * row. -1: it is retired, a peer has yet to learn that. */
static int
slot_for(RepStreamId stream)
{
	int slot = shmem_find_stream(node, stream);
	int32 id;

	if (slot >= 0 || streams_retired(stream, &id))
		return slot;
	if (!shmem_has_room(node, stream))
	{
		recycle_ask(node);
		return -1;
	}
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) streams_ensure(stream);
	PopActiveSnapshot();
	CommitTransactionCommand();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	streams_attach(node);
	PopActiveSnapshot();
	CommitTransactionCommand();
	slot = shmem_find_stream(node, stream);
	Assert(slot >= 0);
	lane_start(slot, 0);
	return slot;
}

/* Stores the descriptors that come with an interval, then queues it. */
static void
take_frame(const void *frame, size_t len)
{
	static RepVersion acks[REP_MAX_VECTOR];
	RepInterval interval = {.mark = {.acks = {acks, 0, REP_MAX_VECTOR}}};
	RepFrameType type;
	RepReader r;
	uint32 i;
	int slot;

	if (rep_frame_open(frame, len, &type, &r) != REP_FRAME_OK || !rep_interval_decode(&r, &interval))
		return; /* the receiving backend has checked it */
	if (interval.ndescriptors > 0)
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		for (i = 0; i < interval.ndescriptors; i++)
		{
			size_t n;
			const uint8 *bytes = rep_read_blob(&r, &n);

			catalog_put_descriptor(rep_hash64(bytes, n, 0), bytes, n);
		}
		PopActiveSnapshot();
		CommitTransactionCommand();
		MemoryContextSwitchTo(pass_context);
	}
	slot = slot_for(interval.stream);
	if (slot >= 0 && BREAK("out_of_band_ack"))
		stability_mark(slot, &interval.mark); /* before what it speaks of */
	if (slot >= 0)
		(void) queue_put(slot, frame, len);
}

static bool
take_frames(void)
{
	int n;

	for (n = 0; n < FRAMES_PER_PASS; n++)
	{
		size_t len;
		const void *frame = inbox_next(node, &len);

		if (frame == NULL)
			break;
		take_frame(frame, len);
	}
	return n > 0;
}

/* ------------------------------------------------------------ housekeeping */

static void
keep_house(void)
{
	static TimestampTz last = 0;
	TimestampTz now = wall_timer();

	if (!TimestampDifferenceExceeds(last, now, PERSIST_MS))
		return;
	last = now;
	if (!leave_is_node(node))
	{
		leave_cluster();
		proc_exit(0);
	}
	lane_persist_idle();
	if (stability_look())
	{
		MemoryContextSwitchTo(pass_context);
		omission_retire(node);
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		unseen_forget_stable();
		grave_forget(stability_floor());
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
}

/* DDL elsewhere or an operator may have removed a cause: try again now. */
static void
hasten_retries(void)
{
	int s;

	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
		if (lanes[s].stalled)
		{
			lanes[s].retry_at = wall_timer();
			lanes[s].retries = 0;
		}
}

static bool relations_changed = false;

static void
note_relation_change(Datum arg, Oid relid)
{
	(void) arg;
	(void) relid;
	relations_changed = true;
}

static void
look_for_help(void)
{
	if (lane_any_stalled())
	{
		relations_changed = false;
		AcceptInvalidationMessages();
		if (relations_changed)
			hasten_retries();
	}
	if (node->apply_reload)
	{
		node->apply_reload = false;
		stability_reload();
		pause_load(node);
		hasten_retries();
	}
}

/* ------------------------------------------------------------ start */

static void
leave(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dead_end_group();
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->apply_pid = 0;
	node->apply_latch = NULL;
	node->lock_wait_since = 0;
	LWLockRelease(&node->lock);
}

static void
set(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Tells peers where our last stream ended, and that we are ready. */
static void
say_open(void)
{
	uint8 body[16];
	RepWriter w;
	int previous = -1;
	int s;

	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
		if (s != node->own_slot && node->streams[s].id.node == node->own.node)
			previous = s;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	/* a copy of our folder does not know where the stream ends */
	if (previous >= 0 && node->continued)
	{
		rep_writer_init(&w, body, sizeof(body));
		rep_write_u64(&w, node->streams[previous].id.boot);
		rep_write_u64(&w, pg_atomic_read_u64(&node->streams[previous].started));
		capture_meta(META_OPEN, body, w.len);
		streams_set_final(node, node->streams[previous].id, pg_atomic_read_u64(&node->streams[previous].started));
	}
	member_ready();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* False where this database is not a node. */
static bool
start(Oid database)
{
	Identity id = {0};
	int clients_deadlock_timeout;
	bool fresh;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	if (step_aside_wanted(database))
		proc_exit(0);
	pgstat_report_appname("causaldb apply");
	clients_deadlock_timeout = DeadlockTimeout;
	set("session_replication_role", "replica");
	set("search_path", "pg_catalog, pg_temp");
	set("synchronous_commit", "off");
	set("statement_timeout", "0");
	set("lock_timeout", "0");
	set("idle_in_transaction_session_timeout", "0");
	set("deadlock_timeout", "10ms");

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	if (identity_installed())
		id = identity_read();
	CommitTransactionCommand();
	if (id.node == 0)
	{
		leave_cluster();
		return false;
	}

	node = shmem_node();
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	if (node->apply_pid != 0 && BackendPidGetProc(node->apply_pid) != NULL)
	{
		/* a new supervisor does not know the worker of the one before */
		LWLockRelease(&node->lock);
		return false;
	}
	node->apply_pid = MyProcPid;
	fresh = node->apply_serial == 0;
	node->cluster = id.cluster;
	node->coordinator = id.coordinator;
	node->witness = id.witness;
	node->node_id = id.node;
	LWLockRelease(&node->lock);
	before_shmem_exit(leave, (Datum) 0);
	if (pg_atomic_read_u32(&node->state) == NODE_UNKNOWN)
		pg_atomic_write_u32(&node->state, NODE_OPENING);

	capture_applying = true;
	if (fresh)
		reinstall_triggers();
	if (node->own.boot == 0)
		streams_open(node, id.node);
	recycle_finish(node);
	strong_slot = streams_strong_slot(node);
	lane_init(node);
	incoming.dense = dense;
	queue_init(node);
	target_init(node, ROLE_APPLY, clients_deadlock_timeout);
	apply_row_init(node);
	dead_init(node, ROLE_APPLY);
	apply_transaction_init(node);
	unseen_init(node, false);
	grave_init();
	CacheRegisterRelcacheCallback(note_relation_change, (Datum) 0);
	stall_count_crashes(fresh);
	lane_load();
	pause_load(node);
	/* any transaction of the last group may have been what crashed us */
	careful = fresh && !shmem_shared()->stopped_cleanly ? guc_apply_group : 0;
	remember_group();
	inbox_open(node, INBOX_APPLY);

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->apply_pid = MyProcPid;
	node->apply_latch = MyLatch;
	node->apply_serial++;
	LWLockRelease(&node->lock);
	pg_atomic_write_u32(&node->state, NODE_OPEN);
	if (fresh)
		say_open();
	ConditionVariableBroadcast(&node->applied_cv);
	shmem_wake_supervisor();
	return true;
}

void
causaldb_apply_main(Datum database)
{
	if (!start(DatumGetObjectId(database)))
		proc_exit(0);

	pass_context = AllocSetContextCreate(TopMemoryContext, "causaldb apply pass", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(pass_context);
	for (;;)
	{
		bool busy;

		/* of a wait that is over: it came too late to be needed */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			hasten_retries(); /* another max_clock_skew may be what helps */
		}
		ResetLatch(MyLatch);
		busy = take_frames();
		look_for_help();
		busy = run_group() || busy;
		keep_house();
		MemoryContextSwitchTo(pass_context);
		MemoryContextReset(pass_context);
		if (!busy)
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 lane_any_stalled() ? STALLED_LOOK_MS : IDLE_MS, PG_WAIT_EXTENSION);
	}
}
