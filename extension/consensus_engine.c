/*
 * consensus_engine.c
 *		See consensus_engine.h.
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "raft_packet.h"

#include "clock.h"
#include "consensus_desk.h"
#include "consensus_engine.h"
#include "consensus_payload.h"
#include "consensus_peer.h"
#include "consensus_store.h"
#include "debug_point.h"
#include "guc.h"
#include "horizon.h"
#include "store.h"
#include "streams.h"
#include "strong_turn.h"
#include "wall.h"

/* tickets of one start: more than a process asks in its life */
#define TICKET_BITS 40

/* the engine's log is compacted from this on, and whatever a member that is
 * behind would like from that on */
#define TIGHT_PERCENT 25
#define FULL_PERCENT 60
/* the stamps of proposals under way are above those of what goes */
#define KEEP_MS 60000
/* entries below the base that stay in the table, for members that are behind */
#define KEEP_ROWS 100000

/* a message or a commit that waits for a persist */
typedef struct Deferred
{
	uint64 after;
	uint64 commit; /* 0: a message */
	uint32 to;
	StringInfo bytes;
} Deferred;

static NodeShared *node;
static RepRaft *raft;
static RepArena arena;        /* of one step */
static uint64 given = 0;      /* newest persist given by the engine */
static uint64 durable = 0;
static List *deferred = NIL;  /* of Deferred, in order */
static MemoryContext context; /* of what is deferred */
static MemoryContext message_context; /* of one message */
static bool leader_news = false;
static RepRaftBase installing; /* its arrays are in install_context */
static MemoryContext install_context;
static uint32 install_node = 0; /* 0: nothing is being installed */

const RepRaft *
consensus_engine(void)
{
	return raft;
}

uint64
consensus_engine_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64) now.tv_sec * 1000 + (uint64) now.tv_nsec / 1000000;
}

void
consensus_engine_set_heartbeat(uint32 ms)
{
	rep_raft_set_heartbeat(raft, ms);
}

bool
consensus_engine_leader_news(void)
{
	bool news = leader_news;

	leader_news = false;
	return news;
}

bool
consensus_engine_pass(uint64 index)
{
	const RepRaftEntry *e = rep_raft_entry_at(raft, index);

	if (e == NULL || e->kind == REP_ENTRY_WRITE)
		return false;
	if (e->kind == REP_ENTRY_HORIZON)
	{
		RepVector horizon = { (RepVersion *) e->deps, e->ndeps, e->ndeps };

		horizon_applied(node, &horizon, index);
	}
	return true;
}

/* ------------------------------------------------------------ start */

/* The last entry that wrote something here. */
static uint64
last_write_in_tables(void)
{
	int slot = streams_strong_slot(node);
	uint64 last;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	last = store_last_position(node->streams[slot].local_id,
							   GetActiveSnapshot());
	PopActiveSnapshot();
	CommitTransactionCommand();
	return last;
}

static void
set_options(RepRaftOptions *o, uint64 starts)
{
	rep_raft_defaults(o);
	o->node = (uint32) node->node_id;
	o->ticket_base = (starts << TICKET_BITS) + 1;
	o->max_skew_ms = (uint64) guc_max_clock_skew;
	if (!pg_strong_random(&o->seed, sizeof(o->seed)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not get random bytes")));
}

static void
publish_applied(uint64 applied, uint64 last_write)
{
	int slot = streams_strong_slot(node);

	shmem_max_u64(&node->strong.applied, applied);
	shmem_max_u64(&node->strong.commit, applied);
	shmem_max_u64(&node->streams[slot].started, last_write);
	shmem_max_u64(&node->streams[slot].applied, applied);
}

static void
load_horizon(uint64 applied)
{
	RepVector horizon = rep_raft_horizon(raft, applied);

	horizon_applied(node, &horizon, applied);
}

void
consensus_engine_start(NodeShared *n)
{
	RepRaftOptions o;
	ConsensusState state;
	uint64 last_write;
	uint64 applied;
	size_t size;

	node = n;
	context = AllocSetContextCreate(TopMemoryContext, "causaldb deferred",
									ALLOCSET_DEFAULT_SIZES);
	message_context = AllocSetContextCreate(
		TopMemoryContext, "causaldb message", ALLOCSET_DEFAULT_SIZES);
	install_context = AllocSetContextCreate(
		TopMemoryContext, "causaldb install", ALLOCSET_SMALL_SIZES);
	consensus_payload_init();
	consensus_store_init();
	MemoryContextSwitchTo(TopMemoryContext);
	consensus_store_open((uint32) node->coordinator, &state);
	set_options(&o, state.starts);

	size = rep_raft_arena_size(&o);
	rep_arena_init(&arena, MemoryContextAllocHuge(TopMemoryContext, size),
				   size);
	size = rep_raft_size(&o);
	raft = rep_raft_init(MemoryContextAllocHuge(TopMemoryContext, size), size,
						 &o);
	if (raft == NULL)
		elog(ERROR, "causaldb: the strong engine refuses its options");
	rep_raft_restore_state(raft, state.term, state.vote);
	if (!rep_raft_restore_base(raft, &state.base))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the base in causaldb.strong_state has members that "
						"cannot be"),
				 errdetail("It says where this node's strong log begins, and "
						   "who votes there."),
				 errhint("This node's strong log is damaged: remove the node "
						 "and let it join again.")));
	consensus_store_restore(raft, state.base.index);

	last_write = last_write_in_tables();
	applied = Max(last_write, state.base.index);
	if (!rep_raft_start(raft, consensus_engine_now_ms(),
						state.installing ? Min(applied, state.install_from)
										 : applied))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("this node's strong log does not reach what its tables show"),
				 errdetail("Entries up to " UINT64_FORMAT " are applied.",
						   applied),
				 errhint("The node was restored from a copy: remove it and let it join again.")));
	publish_applied(applied, last_write);
	load_horizon(applied);
	if (consensus_store_used())
	{
		pg_atomic_write_u32(&node->strong.used, 1);
		shmem_wake_supervisor();
	}
	pg_write_barrier();
	pg_atomic_write_u32(&node->strong.known, 1);
}

/* ------------------------------------------------------------ sending */

/* What the entries of a message write, or NULL if one of them is gone. */
static const uint8 **
payloads_of(const RepRaftMessage *m)
{
	const uint8 **out = palloc0(sizeof(uint8 *) * Max(m->nentries, 1));

	for (uint32 i = 0; i < m->nentries; i++)
	{
		const RepRaftEntry *e = &m->entries[i];
		size_t len = 0;

		if (e->payload_size == 0)
			continue;
		out[i] = consensus_payload_get(e->stamp, &len);
		if (out[i] == NULL && m->type != REP_MSG_PROPOSE)
			out[i] = consensus_store_payload(e->index, &len);
		if (out[i] == NULL || len != e->payload_size)
			return NULL;
	}
	return out;
}

/* The packet, in CurrentMemoryContext; NULL if it cannot be made any more. */
static StringInfo
pack(const RepRaftMessage *m)
{
	const uint8 **payloads = payloads_of(m);
	StringInfo out;
	RepWriter w;

	if (payloads == NULL)
		return NULL;
	rep_writer_init(&w, NULL, 0);
	rep_raft_packet_encode(node->cluster, m, NULL, &w);
	if (w.len >= REP_MAX_FRAME)
		return NULL;
	out = makeStringInfo();
	enlargeStringInfo(out, (int) w.len);
	rep_writer_init(&w, out->data, w.len);
	rep_raft_packet_encode(node->cluster, m, payloads, &w);
	Assert(!w.full);
	out->len = (int) w.len;
	return out;
}

static void
defer(uint64 after, uint64 commit, uint32 to, StringInfo bytes)
{
	Deferred *d = palloc(sizeof(Deferred));

	*d = (Deferred){ after, commit, to, bytes };
	deferred = lappend(deferred, d);
}

static void
act_send(const RepRaftAction *a)
{
	bool waits = a->after > durable;
	MemoryContext old =
		MemoryContextSwitchTo(waits ? context : message_context);
	StringInfo bytes = pack(a->message);

	if (bytes != NULL && waits)
		defer(a->after, 0, a->message->to, bytes);
	else if (bytes != NULL)
		consensus_peer_send(a->message->to, bytes->data, bytes->len);
	MemoryContextSwitchTo(old);
}

static void
act_commit(const RepRaftAction *a)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	if (a->after > durable)
		defer(a->after, a->index, 0, NULL);
	else
		consensus_desk_commit(a->index);
	MemoryContextSwitchTo(old);
}

static void
release(void)
{
	int done = 0;
	ListCell *cell;

	foreach (cell, deferred)
	{
		Deferred *d = lfirst(cell);

		if (d->after > durable)
			break;
		if (d->commit > 0)
			consensus_desk_commit(d->commit);
		else
			consensus_peer_send(d->to, d->bytes->data, d->bytes->len);
		done++;
	}
	if (done == list_length(deferred))
	{
		MemoryContextReset(context);
		deferred = NIL;
	}
	else
		deferred = list_delete_first_n(deferred, done);
}

/* ------------------------------------------------------------ persisting */

/* A transaction is in the log: somebody has to play it. */
static void
note_use(const RepRaftAction *a)
{
	for (uint32 i = 0; i < a->nentries; i++)
		if (a->entries[i].kind == REP_ENTRY_WRITE &&
			pg_atomic_exchange_u32(&node->strong.used, 1) == 0)
			shmem_wake_supervisor();
}

static void
act_entries(const RepRaftAction *a)
{
	consensus_payload_cut(a->index);
	consensus_store_cut(a->index);
	note_use(a);
	for (uint32 i = 0; i < a->nentries; i++)
	{
		const RepRaftEntry *e = &a->entries[i];
		const void *payload = NULL;
		size_t len = 0;

		if (e->payload_size > 0)
		{
			payload = consensus_payload_get(e->stamp, &len);
			if (payload == NULL || len != e->payload_size)
				elog(ERROR, "causaldb: entry " UINT64_FORMAT
					 " came without what it writes", e->index);
			consensus_payload_logged(e->stamp, e->index);
		}
		consensus_store_entry(e, payload);
	}
	DEBUG_POINT("consensus_entries_given");
}

static uint32
winner_of(const RepRaftAction *a)
{
	const RepRaftEntry *e;

	if (a->verdict != REP_VERDICT_CONFLICT)
		return 0;
	e = rep_raft_entry_at(raft, a->index);
	return e == NULL ? 0 : e->stamp.stream.node;
}

/*
 * The leader's log begins above our end. Its table still has what is between:
 * the player fetches and plays that, and then our log may begin at the base.
 */
static void
act_install(const RepRaftAction *a)
{
	StrongShared *strong = &node->strong;

	MemoryContextReset(install_context);
	installing = *a->base;
	installing.members = MemoryContextAlloc(
		install_context, sizeof(RepRaftMember) * (a->base->nmembers + 1));
	memcpy((void *) installing.members, a->base->members,
		   sizeof(RepRaftMember) * a->base->nmembers);
	installing.horizon = MemoryContextAlloc(
		install_context, sizeof(RepVersion) * (a->base->nhorizon + 1));
	if (a->base->nhorizon > 0)
		memcpy((void *) installing.horizon, a->base->horizon,
			   sizeof(RepVersion) * a->base->nhorizon);
	consensus_store_installing(pg_atomic_read_u64(&strong->applied));
	pg_atomic_write_u32(&strong->used, 1);
	ereport(LOG, (errmsg("causaldb: fetching the strong log up to " UINT64_FORMAT " from node %u",
						 a->index, a->node)));
	/* once that is durable the player may begin: see tend_install */
	install_node = a->node;
}

void
consensus_engine_tend_install(void)
{
	StrongShared *strong = &node->strong;
	RepRaftEvent ev = { .type = REP_EV_INSTALLED, .base = &installing };
	XLogRecPtr lsn;

	if (install_node == 0 || consensus_store_open_batch())
		return;
	if (strong->install_from != install_node ||
		strong->install_to != installing.index)
	{
		LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
		strong->install_from = install_node;
		strong->install_to = installing.index;
		LWLockRelease(&strong->lock);
		shmem_wake_supervisor();
		strong_turn_wake(node);
	}
	if (pg_atomic_read_u64(&strong->applied) < installing.index)
		return;
	pg_memory_barrier();
	lsn = (XLogRecPtr) pg_atomic_read_u64(&node->last_commit_lsn);
	if (lsn != InvalidXLogRecPtr)
		XLogFlush(lsn);
	install_node = 0;
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	strong->install_from = 0;
	LWLockRelease(&strong->lock);
	consensus_engine_step(&ev, true);
	consensus_engine_settle();
	consensus_desk_commit(Max(installing.index,
							  pg_atomic_read_u64(&strong->commit)));
}

static void
act(const RepRaftAction *a)
{
	if (a->persist > given)
		given = a->persist;
	switch (a->type)
	{
		case REP_ACT_PERSIST_STATE:
			consensus_store_state(a->term, a->vote);
			break;
		case REP_ACT_PERSIST_ENTRIES:
			act_entries(a);
			break;
		case REP_ACT_PERSIST_BASE:
			consensus_store_base(a->base, a->install);
			break;
		case REP_ACT_SEND:
			act_send(a);
			break;
		case REP_ACT_COMMIT:
			act_commit(a);
			break;
		case REP_ACT_READ_READY:
			consensus_desk_read_ready(a->id, a->index);
			break;
		case REP_ACT_READ_FAILED:
			consensus_desk_read_failed(a->id);
			break;
		case REP_ACT_VERDICT:
			consensus_desk_verdict(a, winner_of(a));
			break;
		case REP_ACT_DROP:
			consensus_payload_drop(a->stamp);
			break;
		case REP_ACT_LEADER:
			leader_news = true;
			if (a->node != 0)
				ereport(LOG, (errmsg("causaldb: node %u leads the strong log in term " UINT64_FORMAT,
									 a->node, a->term)));
			break;
		case REP_ACT_INSTALL:
			act_install(a);
			break;
		case REP_ACT_CHANGE_DONE:
			break;
	}
}

void
consensus_engine_set_lease(bool lease)
{
	rep_raft_set_lease(raft, lease);
}

void
consensus_engine_end_lease(StrongShared *strong)
{
	if (pg_atomic_read_u64(&strong->lease_until) == 0)
		return;
	pg_atomic_write_u64(&strong->lease_until, 0);
	pg_atomic_fetch_add_u64(&strong->lease_ends, 1);
}

/*
 * Tells readers of the lease, or that it is over, before what the step wants
 * done is done: a commit index is here before anybody can be told of it, and
 * nobody is asked to stand for election while readers rest on a lease.
 */
static void
show_lease(void)
{
	StrongShared *strong = &node->strong;
	uint64 index;
	uint64 until = rep_raft_lease(raft, &index);

	if (until == 0)
	{
		consensus_engine_end_lease(strong);
		return;
	}
	pg_atomic_write_u64(&strong->lease_index, index);
	pg_write_barrier();
	pg_atomic_write_u64(&strong->lease_until, until);
	pg_memory_barrier();
}

void
consensus_engine_step(RepRaftEvent *ev, bool more)
{
	RepRaftActions actions;

	ev->now_ms = consensus_engine_now_ms();
	ev->wall_ms = wall_ms();
	ev->more = more;
	rep_arena_reset(&arena);
	if (!rep_raft_step(raft, ev, &arena, &actions))
		elog(ERROR, "causaldb: the strong engine's arena is too small");
	show_lease();
	for (uint32 i = 0; i < actions.n; i++)
		act(&actions.items[i]);
	MemoryContextReset(message_context);
}

void
consensus_engine_settle(void)
{
	/* appends are on their way while we sync: the two disks work at once */
	consensus_peer_flush();
	while (consensus_store_open_batch())
	{
		RepRaftEvent ev = { .type = REP_EV_PERSISTED };

		DEBUG_POINT("consensus_before_sync");
		consensus_store_commit();
		MemoryContextSwitchTo(message_context);
		DEBUG_POINT("consensus_after_sync");
		durable = given;
		release();
		ev.id = durable;
		consensus_engine_step(&ev, false);
		consensus_peer_flush();
	}
	consensus_payload_durable(pg_atomic_read_u64(&node->strong.commit));
}

/* ------------------------------------------------------------ compaction */

/* As far as every member whose match is known has the log; a leader's view. */
static uint64
matched_by_all(const RepRaftStatus *s)
{
	uint64 least = s->commit;

	for (uint32 i = 0; i < s->nmembers; i++)
	{
		uint64 match;
		uint64 applied;

		if (rep_raft_peer(raft, s->members[i].node, &match, &applied))
			least = Min(least, match);
	}
	return least;
}

/* The newest entry up to `most` that is older than KEEP_MS, or 0. */
static uint64
old_enough(const RepRaftStatus *s, uint64 most)
{
	uint64 now = wall_ms();

	for (uint64 i = most; i >= s->first; i--)
	{
		const RepRaftEntry *e = rep_raft_entry_at(raft, i);

		if (e == NULL)
			break;
		if (e->stamp.hlc != 0 &&
			rep_hlc_to_ms(e->stamp.hlc) + KEEP_MS < now)
			return i;
	}
	return 0;
}

void
consensus_engine_compact(bool force)
{
	RepRaftEvent ev = { .type = REP_EV_COMPACT };
	RepRaftStatus s;

	rep_raft_status(raft, &s);
	if (s.applied < s.first || (s.log_used < TIGHT_PERCENT && !force))
		return;
	ev.index = s.applied;
	/* a member that is behind costs room, up to a point */
	if (s.log_used < FULL_PERCENT && !force)
	{
		ev.index = Min(ev.index, matched_by_all(&s));
		ev.index = old_enough(&s, ev.index);
	}
	/* half of it at a time, so that the next one comes late */
	if (!force)
		ev.index = Min(ev.index, s.first + (s.last - s.first) / 2);
	if (ev.index < s.first)
		return;
	consensus_engine_step(&ev, true);
	if (ev.index > KEEP_ROWS)
		consensus_store_forget(ev.index - KEEP_ROWS);
}

/* ------------------------------------------------------------ receiving */

static bool
decode(const void *bytes, size_t len, RepRaftPacket *p)
{
	/* a message is small but for what its entries write */
	for (size_t room = 256 * 1024; room <= 64 * 1024 * 1024; room *= 16)
	{
		RepArena a;

		rep_arena_init(&a,
					   MemoryContextAllocHuge(message_context, room), room);
		if (rep_raft_packet_decode(bytes, len, &a, p))
			return true;
		if (!a.full)
			return false;
	}
	return false;
}

static void
take_packet(const void *bytes, size_t len)
{
	RepRaftPacket p;
	RepRaftEvent ev = { .type = REP_EV_MESSAGE, .message = &p.message };

	if (!decode(bytes, len, &p) || p.cluster != node->cluster)
		return; /* the receiving backend has checked it */
	for (uint32 i = 0; i < p.message.nentries; i++)
	{
		const RepRaftEntry *e = &p.message.entries[i];

		if (e->payload_size > 0)
			(void) consensus_payload_put(e->stamp, p.payloads[i],
										 e->payload_size);
	}
	if (p.message.type == REP_MSG_APPEND_ANSWER && !p.message.reject)
		DEBUG_POINT("consensus_acknowledged");
	consensus_engine_step(&ev, true);
}

void
consensus_engine_take(const void *bytes, size_t len)
{
	RepRaftStatus status;
	RepReader r;

	rep_reader_init(&r, bytes, len);
	while (rep_reader_left(&r) > 0 && !r.bad)
	{
		size_t n;
		const uint8 *packet = rep_read_blob(&r, &n);

		if (!r.bad)
			take_packet(packet, n);
	}
	rep_raft_status(raft, &status);
	if (status.role != REP_RAFT_LEADER)
		consensus_payload_sweep();
}
