/*
 * lane.c
 *		See lane.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "lane.h"
#include "omission.h"
#include "stability.h"
#include "stall.h"
#include "store.h"
#include "streams.h"
#include "wall.h"

#define PERSIST_MS 1000

Lane *lanes;
uint64 lane_applied[REP_MAX_STREAMS];

static NodeShared *node;

void
lane_init(NodeShared *n)
{
	node = n;
	lanes = MemoryContextAllocExtended(TopMemoryContext, sizeof(Lane) * REP_MAX_STREAMS, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

void
lane_start(int s, uint64 applied)
{
	Lane *lane = &lanes[s];

	memset(lane, 0, sizeof(*lane));
	lane->applied = lane->applied_before = applied;
	lane_applied[s] = applied;
	lane->mark.acks.entries = lane->acks;
	lane->mark.acks.cap = REP_MAX_VECTOR;
	lane->chain_known = lane->chain_known_before = applied == 0;
	pg_atomic_write_u64(&node->streams[s].taken, applied);
}

void
lane_persist(int s)
{
	Lane *lane = &lanes[s];
	const RepMark *word = lane->has_fresh ? &lane->fresh : &lane->mark;
	const RepMark *acked = word->acked_at > 0 ? word : &lane->mark;
	StreamRow row = {.id = node->streams[s].local_id,
					 .applied = lane->applied,
					 .chain = lane->chain_known ? lane->chain : 0,
					 .closed = word->closed,
					 .closed_chain = word->chain,
					 .acked_at = acked->acked_at,
					 .acks = acked->acks,
					 .has_acks = acked->acked_at > 0};

	streams_update(&row);
	lane->persisted_at = wall_timer();
	lane->persisted = lane->applied;
}

void
lane_noted(int s)
{
	shmem_max_u64(&node->streams[s].noted, lanes[s].persisted);
}

bool
lane_is_forked(int s, uint64 end, const RepMark *mark)
{
	Lane *lane = &lanes[s];

	return lane->chain_known && mark->chain != 0 && mark->closed == Max(lane->applied, end) &&
		mark->chain != lane->chain;
}

void
lane_pass_mark(int s, const RepMark *mark)
{
	Lane *lane = &lanes[s];

	/* what was copied has no chain of ours: it goes on from the writer's word */
	if (!lane->chain_known && mark->chain != 0 && mark->closed == lane->applied)
	{
		lane->chain = mark->chain;
		lane->chain_known = true;
	}
	if (!lane->has_fresh)
	{
		lane->fresh = lane->mark;
		lane->fresh.acked_at = 0;
		lane->fresh.acks = (RepVector){lane->fresh_acks, 0, REP_MAX_VECTOR};
		lane->has_fresh = true;
	}
	/* what comes through others may lack a part, or be older than what we have */
	if (mark->closed > lane->fresh.closed || (mark->closed == lane->fresh.closed && mark->chain != 0))
	{
		lane->fresh.closed = mark->closed;
		lane->fresh.chain = mark->chain;
	}
	if (mark->acked_at > 0 && mark->acked_at >= Max(lane->mark.acked_at, lane->fresh.acked_at))
	{
		lane->fresh.acked_at = mark->acked_at;
		lane->fresh.acks.len = mark->acks.len;
		memcpy(lane->fresh_acks, mark->acks.entries, sizeof(RepVersion) * mark->acks.len);
	}
}

void
lane_keep_mark(int s)
{
	Lane *lane = &lanes[s];
	RepVector acks = lane->mark.acks;
	uint64 acked_at = lane->mark.acked_at;

	if (!lane->has_fresh)
		return;
	lane->has_fresh = false;
	lane->mark = lane->fresh;
	lane->mark.acks = acks;
	lane->mark.acked_at = acked_at;
	if (lane->fresh.acked_at > 0)
	{
		memcpy(lane->acks, lane->fresh_acks, sizeof(RepVersion) * lane->fresh.acks.len);
		lane->mark.acks.len = lane->fresh.acks.len;
		lane->mark.acked_at = lane->fresh.acked_at;
	}
}

void
lane_show_blocked(int s, uint64 at, RepStreamId waits_for, uint64 upto, bool stalled)
{
	StreamSlot *slot = &node->streams[s];

	if (slot->blocked_at == at && slot->stalled == stalled && slot->waits_upto == upto &&
		slot->waits_for.boot == waits_for.boot)
		return;
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	if (slot->blocked_at != at || slot->waits_for.boot != waits_for.boot || slot->waits_upto != upto)
		slot->waits_since = GetCurrentTimestamp();
	slot->blocked_at = at;
	slot->waits_for = waits_for;
	slot->waits_upto = upto;
	slot->stalled = stalled;
	LWLockRelease(&node->lock);
}

void
lane_show_free(int s)
{
	RepStreamId none = {0, 0};

	lane_show_blocked(s, 0, none, 0, false);
}

/* Writes down positions that only heartbeats have moved. */
void
lane_persist_idle(void)
{
	TimestampTz now = wall_timer();
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	List *moved = NIL;
	ListCell *lc;
	int s;

	for (s = 0; s < n; s++)
	{
		Lane *lane = &lanes[s];

		if (s == node->own_slot || lane->applied == lane->persisted ||
			!TimestampDifferenceExceeds(lane->persisted_at, now, PERSIST_MS))
			continue;
		moved = lappend_int(moved, s);
	}
	if (moved == NIL)
		return;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach (lc, moved)
		lane_persist(lfirst_int(lc));
	PopActiveSnapshot();
	CommitTransactionCommand();
	shmem_max_u64(&node->last_commit_lsn, XactLastCommitEnd);
	foreach (lc, moved)
		lane_noted(lfirst_int(lc));
	list_free(moved);
}

/* Up to the row's position the writer has said what the row says. */
static void
load_mark(Lane *lane, const StreamRow *row)
{
	lane->mark.closed = row->closed;
	lane->mark.chain = row->closed_chain;
	if (!row->has_acks)
		return;
	lane->mark.acked_at = row->acked_at;
	lane->mark.acks.len = row->acks.len;
	memcpy(lane->acks, row->acks.entries, sizeof(RepVersion) * row->acks.len);
}

void
lane_load(void)
{
	StreamRow *rows;
	List *marked;
	int n;
	int i;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	streams_attach(node);
	streams_load_retired();
	omission_load(node, true);
	stability_init(node);
	n = streams_read(&rows);
	marked = stall_streams();
	for (i = 0; i < n; i++)
	{
		int s = shmem_find_stream(node, rows[i].stream);
		bool ours = (int32) rows[i].stream.node == node->node_id;
		uint64 last;

		if (s < 0 || rows[i].stream.node == 0)
			continue;
		lane_start(s, pg_atomic_read_u64(&node->streams[s].applied));
		lanes[s].chain = rows[i].chain;
		/* nobody notes our own ended streams: they stand where they ended, with a
		 * chain that is known only once a word on that end has come back to us */
		lanes[s].chain_known = ours ? rows[i].chain != 0 && rows[i].applied == lanes[s].applied
									: rows[i].chain != 0 || rows[i].applied == 0;
		load_mark(&lanes[s], &rows[i]);
		lanes[s].persisted = ours ? lanes[s].applied : rows[i].applied;
		lanes[s].marked = list_member_int(marked, rows[i].id);
		last = store_last_position(rows[i].id, GetActiveSnapshot());
		if (last > lanes[s].applied)
		{
			/* copied when this node joined: what local writes may have seen */
			lanes[s].copied_upto = last;
			shmem_max_u64(&node->streams[s].started, last);
			clock_observe(node, last);
		}
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
lane_fall_back(void)
{
	int s;

	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
		if (lanes[s].last_position)
			pg_atomic_write_u64(&node->streams[s].started,
								Max(pg_atomic_read_u64(&node->streams[s].applied), lanes[s].copied_upto));
}

bool
lane_any_stalled(void)
{
	int s;

	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
		if (lanes[s].stalled)
			return true;
	return false;
}
