/*
 * status.c
 *		What the shared state says, as rows for the views.
 *
 * Nothing here waits, decides or changes anything; where the library is not
 * preloaded, or the database is no node, there are no rows.
 *
 * Invariants
 * 1. Nothing secret: these functions may be called by everyone.
 * 2. What one lock guards is copied under it at once; rows are made after.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "causal.h"
#include "clock.h"
#include "shmem.h"
#include "wall.h"

PG_FUNCTION_INFO_V1(causaldb_node_status);
PG_FUNCTION_INFO_V1(causaldb_peer_status);
PG_FUNCTION_INFO_V1(causaldb_stream_status);
PG_FUNCTION_INFO_V1(causaldb_clock_status);

/* of the widest row */
#define MAX_COLUMNS 20

static const char *const node_states[] = {
	[NODE_UNKNOWN] = "unknown", [NODE_LOCAL] = "local",
	[NODE_OPENING] = "opening", [NODE_OPEN] = "open",
	[NODE_FENCED] = "fenced",
};

static const char *const link_states[] = {
	[LINK_NONE] = "none",         [LINK_CONNECTING] = "connecting",
	[LINK_GREETING] = "greeting", [LINK_UP] = "up",
	[LINK_DOWN] = "down",         [LINK_PAUSED] = "paused",
};

static const char *const trusts[] = {
	[TRUST_WAITING] = "waiting", [TRUST_ALONE] = "alone",
	[TRUST_GIVEN] = "trusted",   [TRUST_REFUSED] = "refused",
};

static const char *const wall_refusals[] = {
	[WALL_FOLLOWED] = NULL,
	[WALL_JUMPED] = "it has jumped against the time since boot",
	[WALL_AWAY] = "it leads away from the clocks of all peers",
};

/* This database's state if it has any, without making one. */
static NodeShared *
existing_node(void)
{
	return shmem_available() ? shmem_find_node(MyDatabaseId) : NULL;
}

/* One row under construction. */
typedef struct Row
{
	Datum values[MAX_COLUMNS];
	bool nulls[MAX_COLUMNS];
	int n;
} Row;

static void
put(Row *row, Datum value, bool known)
{
	row->values[row->n] = known ? value : (Datum) 0;
	row->nulls[row->n++] = !known;
}

static void
put_int4(Row *row, int32 value, bool known)
{
	put(row, Int32GetDatum(value), known);
}

/* counts, and positions: 0 is none */
static void
put_int8(Row *row, uint64 value, bool known)
{
	put(row, Int64GetDatum((int64) value), known);
}

static void
put_time(Row *row, TimestampTz value)
{
	put(row, TimestampTzGetDatum(value), value != 0);
}

static void
put_text(Row *row, const char *value)
{
	put(row, value && value[0] ? CStringGetTextDatum(value) : (Datum) 0,
		value && value[0]);
}

static void
emit(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;

	Assert(row->n == set->setDesc->natts);
	tuplestore_putvalues(set->setResult, set->setDesc, row->values, row->nulls);
}

/* ------------------------------------------------------------ the node */

/* Commits that hold closed() back: how many, and of the oldest where and what. */
static int
pending_commits(NodeShared *node, uint64 *oldest, int32 *pid)
{
	int n = clock_slots();
	uint64 *pending = palloc(sizeof(uint64) * n);
	int count = 0;
	int i;

	*oldest = 0;
	*pid = 0;
	clock_read_pending(node, pending);
	for (i = 0; i < n; i++)
	{
		if (pending[i] == REP_NOT_PENDING)
			continue;
		count++;
		if (*oldest == 0 || pending[i] < *oldest)
		{
			*oldest = pending[i];
			*pid = ProcGlobal->allProcs[i].pid;
		}
	}
	pfree(pending);
	return count;
}

/* causaldb.node_status(): one row on this database as a node, or none */
Datum
causaldb_node_status(PG_FUNCTION_ARGS)
{
	NodeShared *node = existing_node();
	Row row = { .n = 0 };
	char reason[sizeof(node->fence_reason)];
	TimestampTz lock_since;
	int32 lock_pid;
	Oid lock_relation;
	int32 apply_pid;
	int32 sender_pid;
	NodeState state;
	RepStreamId own;
	uint64 oldest;
	int32 oldest_pid;
	int commits;

	InitMaterializedSRF(fcinfo, 0);
	if (node == NULL)
		return (Datum) 0;

	LWLockAcquire(&node->lock, LW_SHARED);
	state = pg_atomic_read_u32(&node->state);
	own = node->own;
	strlcpy(reason, node->fence_reason, sizeof(reason));
	lock_since = node->lock_wait_since;
	lock_pid = node->lock_wait_pid;
	lock_relation = node->lock_wait_relation;
	apply_pid = node->apply_pid;
	sender_pid = node->sender_pid;
	LWLockRelease(&node->lock);
	commits = pending_commits(node, &oldest, &oldest_pid);

	put_text(&row, node_states[state]);
	put_text(&row, state == NODE_FENCED ? reason : NULL);
	put_int4(&row, (int32) own.node, own.node != 0);
	put_int8(&row, own.boot, own.node != 0);
	put_int8(&row, clock_read(node), true);
	put_int8(&row, pg_atomic_read_u64(&node->mark), true);
	put_int4(&row, apply_pid, apply_pid != 0);
	put_int4(&row, sender_pid, sender_pid != 0);
	put_int4(&row, commits, true);
	put_int8(&row, oldest, oldest != 0);
	put_int4(&row, oldest_pid, oldest_pid != 0);
	put_time(&row, lock_since);
	put_int4(&row, lock_pid, lock_since != 0 && lock_pid != 0);
	put(&row, ObjectIdGetDatum(lock_relation),
		lock_since != 0 && OidIsValid(lock_relation));
	emit(fcinfo, &row);
	return (Datum) 0;
}

/* ------------------------------------------------------------ peers */

static TimestampTz
heard_at(NodeShared *node, uint32 peer)
{
	int i;

	for (i = 0; i < REP_MAX_MEMBERS; i++)
		if (pg_atomic_read_u32(&node->heard[i].node) == peer)
			return (TimestampTz) pg_atomic_read_u64(&node->heard[i].at);
	return 0;
}

/* causaldb.peer_status(): a row a peer the sender knows */
Datum
causaldb_peer_status(PG_FUNCTION_ARGS)
{
	NodeShared *node = existing_node();
	PeerStatus *peers;
	int i;

	InitMaterializedSRF(fcinfo, 0);
	if (node == NULL)
		return (Datum) 0;
	peers = palloc(sizeof(node->peers));
	LWLockAcquire(&node->lock, LW_SHARED);
	memcpy(peers, node->peers, sizeof(node->peers));
	LWLockRelease(&node->lock);

	for (i = 0; i < REP_MAX_MEMBERS; i++)
	{
		PeerStatus *peer = &peers[i];
		bool answered = peer->last_answer != 0;
		Row row = { .n = 0 };

		if (peer->node == 0)
			continue;
		put_int4(&row, (int32) peer->node, true);
		put_text(&row, link_states[peer->state]);
		put_time(&row, peer->state_since);
		put_time(&row, peer->last_answer);
		put_time(&row, heard_at(node, peer->node));
		put_int8(&row, (uint64) (peer->clock_base - wall_base()), answered);
		put_int8(&row, (uint64) peer->round_trip_us, answered);
		put_int8(&row, peer->own_applied, peer->own_applied != 0);
		put_int8(&row, peer->frames_sent, true);
		put_int8(&row, peer->bytes_sent, true);
		put_text(&row, peer->state == LINK_UP ? NULL : peer->error);
		emit(fcinfo, &row);
	}
	return (Datum) 0;
}

/* ------------------------------------------------------------ streams */

static void
emit_stream(FunctionCallInfo fcinfo, NodeShared *node, int slot)
{
	StreamSlot *stream = &node->streams[slot];
	bool own =
		slot == node->own_slot && pg_atomic_read_u32(&node->state) == NODE_OPEN;
	uint64 closed = own ? clock_closed(node) : 0;
	Row row = { .n = 0 };
	RepStreamId id;
	int32 local_id;
	uint64 applied;
	uint64 started;
	uint64 taken;
	uint64 seen;
	uint64 everywhere;
	uint64 stable;
	uint64 blocked_at;
	RepStreamId waits_for;
	uint64 waits_upto;
	TimestampTz waits_since;
	bool stalled;

	/* under the lock the slot stays that stream's */
	LWLockAcquire(&node->lock, LW_SHARED);
	id = stream->id;
	local_id = stream->local_id;
	applied = pg_atomic_read_u64(&stream->applied);
	started = pg_atomic_read_u64(&stream->started);
	taken = pg_atomic_read_u64(&stream->taken);
	seen = pg_atomic_read_u64(&stream->seen);
	everywhere = pg_atomic_read_u64(&stream->everywhere);
	stable = pg_atomic_read_u64(&stream->stable);
	blocked_at = stream->blocked_at;
	waits_for = stream->waits_for;
	waits_upto = stream->waits_upto;
	waits_since = stream->waits_since;
	stalled = stream->stalled;
	LWLockRelease(&node->lock);

	if (local_id == FREE_SLOT)
		return;
	put_int4(&row, local_id, true);
	put_int4(&row, (int32) id.node, true);
	put_int8(&row, id.boot, true);
	put(&row, BoolGetDatum(own), true);
	put_int8(&row, own ? closed : applied, true);
	put_int8(&row, own ? clock_last_position(node) : started, true);
	put_int8(&row, own ? closed : taken, true);
	put_int8(&row, own ? closed : seen, true);
	put_int8(&row, everywhere, true);
	put_int8(&row, stable, true);
	put_int8(&row, closed, own);
	put_int8(&row, blocked_at, blocked_at != 0);
	put_int4(&row, (int32) waits_for.node,
			 blocked_at != 0 && waits_for.node != 0);
	put_int8(&row, waits_for.boot, blocked_at != 0 && waits_for.node != 0);
	put_int8(&row, waits_upto, blocked_at != 0 && waits_for.node != 0);
	put_time(&row, blocked_at != 0 ? waits_since : 0);
	put(&row, BoolGetDatum(stalled), true);
	emit(fcinfo, &row);
}

/* causaldb.stream_status(): a row a stream that is live or not yet stable */
Datum
causaldb_stream_status(PG_FUNCTION_ARGS)
{
	NodeShared *node = existing_node();
	int n;
	int i;

	InitMaterializedSRF(fcinfo, 0);
	if (node == NULL)
		return (Datum) 0;
	n = (int) pg_atomic_read_u32(&node->nstreams);
	pg_read_barrier();
	for (i = 0; i < n; i++)
		emit_stream(fcinfo, node, i);
	return (Datum) 0;
}

/* ------------------------------------------------------------ the clock */

/* causaldb.clock_status(): one row, or none where there is no shared clock */
Datum
causaldb_clock_status(PG_FUNCTION_ARGS)
{
	CausalShared *shared = shmem_shared();
	NodeShared *node = existing_node();
	uint64 hlc = node ? clock_read(node) : 0;
	Row row = { .n = 0 };
	WallRefusal refusal;
	TimestampTz since;

	InitMaterializedSRF(fcinfo, 0);
	if (!shmem_available())
		return (Datum) 0;
	LWLockAcquire(&shared->lock, LW_SHARED);
	refusal = shared->wall_refusal;
	since = shared->wall_refused_since;
	LWLockRelease(&shared->lock);

	put_int8(&row, wall_ms(), true);
	put_int8(&row, (uint64) (wall_read_base() - wall_base()), true);
	put_text(&row, wall_refusals[refusal]);
	put_time(&row, refusal == WALL_FOLLOWED ? 0 : since);
	put_text(&row, node && pg_atomic_read_u32(&node->state) != NODE_UNKNOWN
					   ? trusts[pg_atomic_read_u32(&node->trust)]
					   : NULL);
	put_int8(&row, hlc, hlc != 0);
	put_int8(&row, node ? pg_atomic_read_u64(&node->mark) : 0, hlc != 0);
	emit(fcinfo, &row);
	return (Datum) 0;
}
