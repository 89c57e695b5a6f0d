/*
 * sender.c
 *		The worker that ships this node's log to its peers.
 *
 * One process a database, one non-blocking link a peer, one cursor a link and
 * stream. Our own stream goes to everybody as soon as it is closed; streams of
 * others go to a peer that stands still in them for relay_delay while we hold
 * more. A peer that is down costs nothing.
 *
 * Invariants
 * 1. What is shipped is closed, visible in the snapshot it was read with, and
 *	  flushed: closed() (of streams of others: applied), then the snapshot,
 *	  then the flush, then the read.
 * 2. An acknowledgement goes out only after the grace period of
 *	  replicator/causal.h, and names only what is durable here.
 * 3. A link that is up is never silent for longer than a heartbeat: a peer
 *	  says how far it has applied only in answers, so that without a frame we
 *	  would never learn that there is room again for others.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "libpq-fe.h"
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

#include "causal.h"
#include "clock.h"
#include "debug_point.h"
#include "errors.h"
#include "identity.h"
#include "guc.h"
#include "outbox.h"
#include "peer_link.h"
#include "receive.h"
#include "sender.h"
#include "skew.h"
#include "step_aside.h"
#include "streams.h"
#include "wall.h"
#include "watchdog.h"

/* a new acknowledgement at most this often */
#define ACK_INTERVAL_MS 50
/* frames lost on the way to the peer's apply worker are sent again after */
#define RESEND_MS 1000

static const PeerPurpose shipping = {"causaldb sender", "SELECT causaldb.receive($1::bytea)"};

typedef struct Peer
{
	PeerLink link;
	HTAB *known; /* descriptors sent on this connection */
	OutboxCursor cursors[REP_MAX_STREAMS];
	bool cursor_set[REP_MAX_STREAMS];
	TimestampTz last_sent;
	uint64 frames_sent;
	uint64 bytes_sent;
	int64 clock_base; /* its clock minus our time since boot, ms */
	int64 round_trip_us;
	TimestampTz last_answer;
	uint64 boot; /* of the peer's live stream, which it alone writes */
	LinkState shown;
	TimestampTz shown_since;
} Peer;

static NodeShared *node;
static Peer *peers[REP_MAX_MEMBERS];
static int npeers = 0;
static MemoryContext frame_context; /* reset after every frame */
static MemoryContext pass_context; /* reset after every pass */

static RepAckGrace grace;
static uint64 *pending; /* of all slots, for the grace */
static uint64 *still; /* of those it waits for */
static int *busy; /* their numbers */
static TimestampTz last_ack_at = 0;
static RepMark own_mark; /* what goes out with our own stream */
static RepVersion own_acks[REP_MAX_VECTOR];

/* ------------------------------------------------------------ peers */

static Peer *
find_peer(uint32 id)
{
	int i;

	for (i = 0; i < npeers; i++)
		if (peers[i]->link.node == id)
			return peers[i];
	return NULL;
}

static void
forget_peer(int i)
{
	int s;

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	for (s = 0; s < REP_MAX_MEMBERS; s++)
		if (node->peers[s].node == peers[i]->link.node)
			memset(&node->peers[s], 0, sizeof(PeerStatus));
	LWLockRelease(&node->lock);
	peer_link_close(&peers[i]->link);
	if (peers[i]->known)
		hash_destroy(peers[i]->known);
	pfree(peers[i]);
	peers[i] = peers[--npeers];
}

/* Reads the members; keeps the links of those that have not changed. */
static void
load_peers(void)
{
	uint32 seen[REP_MAX_MEMBERS];
	int nseen = 0;
	int i;

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->sender_reload = false;
	LWLockRelease(&node->lock);

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT id, name, dsn, n.server_identity AND l.server_identity, "
					"EXISTS (SELECT FROM causaldb.paused p WHERE p.node = n.id) FROM causaldb.node n, causaldb.local_node l "
					"WHERE n.id <> l.node AND n.state <> 'dropped' ORDER BY id", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not read causaldb.node");
	for (i = 0; i < (int) SPI_processed && nseen < REP_MAX_MEMBERS; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		uint32 id = (uint32) DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		char *name = SPI_getvalue(tuple, desc, 2);
		Dsn dsn = {.text = SPI_getvalue(tuple, desc, 3),
			.by_superuser = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull))};
		bool paused = DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull));
		Peer *peer = find_peer(id);

		seen[nseen++] = id;
		if (peer && !peer_link_is_for(&peer->link, name, dsn))
		{
			peer_link_close(&peer->link);
			peer_link_init(&peer->link, &shipping, id, name, dsn);
		}
		if (peer == NULL)
		{
			peer = MemoryContextAllocZero(TopMemoryContext, sizeof(Peer));
			peer_link_init(&peer->link, &shipping, id, name, dsn);
			peers[npeers++] = peer;
		}
		if (paused != (peer->link.state == LINK_PAUSED))
		{
			peer_link_close(&peer->link);
			peer_link_init(&peer->link, &shipping, id, name, dsn);
			if (paused)
				peer->link.state = LINK_PAUSED;
		}
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	for (i = npeers - 1; i >= 0; i--)
	{
		int k;

		for (k = 0; k < nseen && seen[k] != peers[i]->link.node; k++)
			;
		if (k == nseen)
			forget_peer(i);
	}
}

/* Shows the peer in shared memory, for causaldb.peers. */
static void
show_peer(Peer *peer)
{
	PeerStatus *free_slot = NULL;
	PeerStatus *status = NULL;
	int s;

	if (peer->shown != peer->link.state)
	{
		peer->shown = peer->link.state;
		peer->shown_since = GetCurrentTimestamp();
	}
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	for (s = 0; s < REP_MAX_MEMBERS && status == NULL; s++)
	{
		if (node->peers[s].node == peer->link.node)
			status = &node->peers[s];
		else if (node->peers[s].node == 0 && free_slot == NULL)
			free_slot = &node->peers[s];
	}
	if (status == NULL)
		status = free_slot;
	if (status)
	{
		status->node = peer->link.node;
		status->state = peer->link.state;
		status->state_since = peer->shown_since;
		status->last_answer = peer->last_answer;
		status->clock_base = peer->clock_base;
		status->round_trip_us = peer->round_trip_us;
		status->own_applied = peer->cursors[node->own_slot].applied;
		status->frames_sent = peer->frames_sent;
		status->bytes_sent = peer->bytes_sent;
		strlcpy(status->error, peer->link.error, sizeof(status->error));
	}
	LWLockRelease(&node->lock);
}

/* ------------------------------------------------------------ answers */

/* What the peer's clock was, as far as one can tell from here. */
static void
take_clock(Peer *peer, const PeerAnswer *a, uint64 hlc)
{
	peer->last_answer = GetCurrentTimestamp();
	peer->round_trip_us = wall_timer() - a->sent_at;
	peer->clock_base = (int64) rep_hlc_to_ms(hlc) - (int64) wall_boot_ms() + peer->round_trip_us / 2000;
}

static void
take_hello(Peer *peer, const PeerAnswer *a)
{
	RepVersion entries[REP_MAX_VECTOR];
	RepHello hello = {.applied = {entries, 0, REP_MAX_VECTOR}};
	RepFrameType type;
	RepReader body;
	HASHCTL ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64)};
	int s;

	if (rep_frame_open(a->data, a->len, &type, &body) != REP_FRAME_OK ||
		type != REP_FRAME_HELLO || !rep_hello_decode(&body, &hello))
	{
		peer_link_fail(&peer->link, "the peer's HELLO cannot be read");
		return;
	}
	if (hello.from.node != peer->link.node || hello.cluster != node->cluster)
	{
		char reason[128];

		snprintf(reason, sizeof(reason), "the connection string leads to node %u of %s cluster, not to node %u",
				 hello.from.node, hello.cluster == node->cluster ? "this" : "another", peer->link.node);
		peer_link_fail(&peer->link, reason);
		return;
	}
	if (peer->known)
		hash_destroy(peer->known);
	peer->known = hash_create("causaldb descriptors of a peer", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	take_clock(peer, a, hello.hlc);
	for (s = 0; s < REP_MAX_STREAMS; s++)
		peer->cursor_set[s] = false;
	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
	{
		OutboxCursor *c = &peer->cursors[s];

		memset(c, 0, sizeof(*c));
		c->applied = rep_vector_get(&hello.applied, node->streams[s].id);
		c->taken = c->applied;
		c->moved_at = wall_timer();
		outbox_restart(c, c->applied);
		peer->cursor_set[s] = true;
	}
	peer->boot = hello.from.boot;
	peer->last_sent = 0;
}

static void
take_answer(Peer *peer, const PeerAnswer *a)
{
	RepVersion entries[REP_MAX_VECTOR];
	RepAnswer answer = {.applied = {entries, 0, REP_MAX_VECTOR}};
	TimestampTz now = wall_timer();
	RepFrameType type;
	RepReader body;
	int s;

	if (a->hello)
	{
		take_hello(peer, a);
		return;
	}
	if (rep_frame_open(a->data, a->len, &type, &body) != REP_FRAME_OK ||
		type != REP_FRAME_ANSWER || !rep_answer_decode(&body, &answer))
	{
		peer_link_fail(&peer->link, "the peer's answer cannot be read");
		return;
	}
	DEBUG_POINT("sender_answered");
	take_clock(peer, a, answer.hlc);
	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
	{
		uint64 applied = rep_vector_get(&answer.applied, node->streams[s].id);

		if (!peer->cursor_set[s])
		{
			memset(&peer->cursors[s], 0, sizeof(OutboxCursor));
			peer->cursors[s].moved_at = now;
			outbox_restart(&peer->cursors[s], applied);
			peer->cursor_set[s] = true;
		}
		outbox_answered(&peer->cursors[s], applied,
						s == a->stream ? Max(answer.taken, applied) : Max(peer->cursors[s].taken, applied), now);
	}
}

/* ------------------------------------------------------------ acks */

/* Waits on: true once every slot that the grace began with has moved. */
static bool
grace_is_over(void)
{
	uint32 i;

	clock_read_pending(node, pending);
	for (i = 0; i < grace.nwaiting; i++)
		still[i] = pending[grace.waiting[i].slot];
	return rep_ack_grace_poll(&grace, still);
}

/* Begins the grace of v with the slots that hold something now. */
static void
begin_grace(const RepVector *v)
{
	uint32 n = 0;
	int slot;

	clock_read_pending(node, pending);
	for (slot = 0; slot < clock_slots(); slot++)
	{
		if (pending[slot] == REP_NOT_PENDING)
			continue;
		busy[n] = slot;
		still[n] = pending[slot];
		n++;
	}
	(void) rep_ack_grace_begin(&grace, v, busy, still, n);
}

/* v names a transaction of somebody that our last acknowledgement does not. */
static bool
acks_news(const RepVector *v)
{
	int s;

	for (s = 0; s < (int) pg_atomic_read_u32(&node->nstreams); s++)
	{
		RepStreamId id = node->streams[s].id;
		uint64 last = pg_atomic_read_u64(&node->streams[s].started);

		if (s != node->own_slot && id.node != 0 && last > rep_vector_get(&own_mark.acks, id) &&
			rep_vector_get(v, id) >= last)
			return true;
	}
	return false;
}

/*
 * Moves the acknowledgement of our own stream on, if it is time. One with news
 * stands at a position that nobody has yet: by that a relay sees that it has
 * something for whoever we do not reach. What only heartbeats have moved is no
 * news, or two idle nodes would answer each other for ever.
 */
static void
move_acks(void)
{
	TimestampTz now = wall_timer();
	RepVersion entries[REP_MAX_VECTOR];
	RepVector v = {entries, 0, REP_MAX_VECTOR};

	if (grace.phase == REP_ACK_WAITING)
	{
		if (!grace_is_over())
			return;
		if (acks_news(&grace.acks))
			clock_observe(node, pg_atomic_read_u64(&node->last_closed) + 1);
		rep_ack_grace_finish(&grace, clock_read(node));
		own_mark.acked_at = grace.g;
		memcpy(own_acks, grace.acks.entries, grace.acks.len * sizeof(RepVersion));
		own_mark.acks.entries = own_acks;
		own_mark.acks.len = grace.acks.len;
		own_mark.acks.cap = REP_MAX_VECTOR;
	}
	if (grace.phase != REP_ACK_WAITING &&
		TimestampDifferenceExceeds(last_ack_at, now, ACK_INTERVAL_MS))
	{
		XLogRecPtr upto;

		last_ack_at = now;
		streams_applied_vector(node, 0, &v);
		pg_memory_barrier();
		/* the applier raises last_commit_lsn before `applied`: this is durable
		 * once that is flushed, and it is flushed here (invariant 2) */
		upto = (XLogRecPtr) pg_atomic_read_u64(&node->last_commit_lsn);
		if (upto != InvalidXLogRecPtr)
			XLogFlush(upto);
		begin_grace(&v);
	}
}

/* ------------------------------------------------------------ shipping */

static void
ship(Peer *peer, int s, StringInfo frame)
{
	peer_link_send(&peer->link, s, frame->data, frame->len);
	peer->last_sent = wall_timer();
	peer->frames_sent++;
	peer->bytes_sent += frame->len;
	DEBUG_POINT("sender_sent");
}

/* Whether stream s is for this node to send to the peer, unasked or as relay. */
static bool
is_ours_to_send(Peer *peer, int s, uint64 upto, TimestampTz now)
{
	OutboxCursor *c = &peer->cursors[s];

	/* the strong stream goes by the consensus processes */
	if (!peer->cursor_set[s] || c->applied >= upto || node->streams[s].id.node == 0 ||
		node->streams[s].id.boot == peer->boot || pg_atomic_read_u32(&node->streams[s].retired))
	{
		c->moved_at = now;
		return false;
	}
	if (node->streams[s].id.node == node->own.node)
		return true;
	return TimestampDifferenceExceeds(c->moved_at, now, guc_relay_delay);
}

/*
 * Sends what fits of stream s up to `upto`, with its writer's word; with `beat`
 * at least one frame.
 */
static void
ship_stream(Peer *peer, int s, uint64 upto, const RepMark *word, bool beat, Snapshot snapshot)
{
	OutboxCursor *c = &peer->cursors[s];
	MemoryContext old = MemoryContextSwitchTo(frame_context);
	TimestampTz now = wall_timer();
	bool own = s == node->own_slot;
	int wait;

	/* a beat may find us with a closed position behind what went out */
	upto = Max(upto, c->sent);
	while ((beat || (c->sent < upto && outbox_has_room(c))) && peer_link_can_send(&peer->link))
	{
		StringInfoData frame;

		initStringInfo(&frame);
		/* invariant 3: without room an empty interval, for the answer to it */
		outbox_next(node, s, c, outbox_has_room(c) ? upto : c->sent, peer->known,
					word, own, snapshot, &frame);
		ship(peer, s, &frame);
		beat = false;
		MemoryContextReset(frame_context);
		if (peer->link.state != LINK_UP)
			break;
	}
	/* all was answered, and yet it did not arrive: begin where the peer is */
	wait = RESEND_MS << Min(c->resends, 5);
	if (peer->link.inflight == 0 && c->sent > c->taken &&
		TimestampDifferenceExceeds(c->moved_at, now, wait) &&
		TimestampDifferenceExceeds(c->sent_at, now, wait))
	{
		outbox_restart(c, c->taken);
		c->sent_at = now;
		c->resends++;
	}
	MemoryContextSwitchTo(old);
}

/*
 * What another node has said last of its stream s, as far as it is noted here:
 * passed on as it is, so that acknowledgements and hashes reach those whom
 * their writer does not. *rows is read once a pass, in its memory.
 */
static RepMark
word_of_other(int s, StreamRow **rows, int *nrows)
{
	int i;

	if (*rows == NULL)
		*nrows = streams_read(rows);
	for (i = 0; i < *nrows; i++)
		if ((*rows)[i].id == node->streams[s].local_id)
			return streams_word(&(*rows)[i]);
	return (RepMark){0};
}

static bool
heartbeat_due(Peer *peer, TimestampTz now)
{
	return peer_link_can_send(&peer->link) && peer->link.inflight == 0 &&
		TimestampDifferenceExceeds(peer->last_sent, now, guc_heartbeat_interval);
}

/*
 * Up to where stream s can be sent from here. Of another node's what is noted,
 * with the word that belongs to it; our own ended ones have no writer to note.
 */
static uint64
ours_upto(int s)
{
	if (s == node->own_slot)
		return clock_closed(node);
	if (node->streams[s].id.node == node->own.node)
		return pg_atomic_read_u64(&node->streams[s].applied);
	return pg_atomic_read_u64(&node->streams[s].noted);
}

/* One look at every link that is up: sends what there is to send. */
static void
ship_all(void)
{
	static uint64 have[REP_MAX_STREAMS];
	TimestampTz now = wall_timer();
	XLogRecPtr upto;
	Snapshot snapshot;
	StreamRow *rows = NULL;
	int nrows = 0;
	bool any = false;
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	int i;

	for (i = 0; i < n; i++)
		have[i] = ours_upto(i);
	for (i = 0; i < npeers && !any; i++)
	{
		int s;

		if (!peer_link_can_send(&peers[i]->link))
			continue;
		any = heartbeat_due(peers[i], now);
		for (s = 0; s < n && !any; s++)
			any = is_ours_to_send(peers[i], s,
								  s == node->own_slot ? clock_last_position(node) : have[s], now);
	}
	if (!any)
		return;

	/* invariant 1: closed, snapshot, flush, read */
	StartTransactionCommand();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	PushActiveSnapshot(snapshot);
	DEBUG_POINT("sender_snapshot");
	upto = (XLogRecPtr) pg_atomic_read_u64(&node->last_commit_lsn);
	if (upto != InvalidXLogRecPtr)
		XLogFlush(upto);
	MemoryContextSwitchTo(pass_context);
	for (i = 0; i < npeers; i++)
	{
		Peer *peer = peers[i];
		int s;

		for (s = 0; s < n && peer->link.state == LINK_UP; s++)
		{
			if (s == node->own_slot)
			{
				if (peer->cursor_set[s])
					ship_stream(peer, s, have[s], &own_mark, heartbeat_due(peer, now), snapshot);
			}
			else if (is_ours_to_send(peer, s, have[s], now))
			{
				RepMark word = word_of_other(s, &rows, &nrows);

				ship_stream(peer, s, have[s], &word, false, snapshot);
			}
		}
	}
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(pass_context);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	CommitTransactionCommand();
}

/* ------------------------------------------------------------ links */

static void
greet(Peer *peer)
{
	static RepVersion entries[REP_MAX_VECTOR];
	static char bytes[REP_FRAME_HEADER + 64 + REP_MAX_VECTOR * 23];
	RepHello hello = {.applied = {entries, 0, REP_MAX_VECTOR}};
	RepWriter w;

	receive_hello_of(node, &hello);
	rep_writer_init(&w, bytes, sizeof(bytes));
	rep_frame_begin(&w);
	rep_hello_encode(&hello, &w);
	rep_frame_end(&w, REP_FRAME_HELLO);
	peer_link_greet(&peer->link, bytes, w.len);
}

static void
tend_link(Peer *peer)
{
	TimestampTz now = wall_timer();
	PeerAnswer answer;

	if (peer_link_is_due(&peer->link, node))
		peer_link_start(&peer->link);
	while (peer_link_poll(&peer->link, &answer))
		take_answer(peer, &answer);
	if (peer_link_wants_hello(&peer->link))
		greet(peer);
	if ((peer->link.state == LINK_CONNECTING || peer->link.state == LINK_GREETING) &&
		now >= peer->link.deadline)
		peer_link_fail(&peer->link, "the peer did not answer in time");
}

/* From here on commits wake us, if there is anybody to send to. */
static void
tell_links(void)
{
	uint32 up = 0;
	int i;

	for (i = 0; i < npeers; i++)
		if (peers[i]->link.state == LINK_UP)
			up++;
	pg_atomic_write_u32(&node->links_up, up);
	pg_memory_barrier();
}

static void
wait_for_something(void)
{
	WaitEventSet *set;
	WaitEvent events[1];
	long timeout = Min(guc_heartbeat_interval, ACK_INTERVAL_MS);
	int i;

	if (watchdog_wanted(node))
		timeout = Min(timeout, WATCHDOG_MS);
	set = CreateWaitEventSet(CurrentMemoryContext, npeers + 2);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (i = 0; i < npeers; i++)
		if (peers[i]->link.conn && PQsocket(peers[i]->link.conn) >= 0)
			AddWaitEventToSet(set, peers[i]->link.wait_events, PQsocket(peers[i]->link.conn), NULL, NULL);
	(void) WaitEventSetWait(set, timeout, events, 1, PG_WAIT_EXTENSION);
	FreeWaitEventSet(set);
	ResetLatch(MyLatch);
}

static void
leave(int code, Datum arg)
{
	int i;

	(void) code;
	(void) arg;
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->sender_pid = 0;
	node->sender_latch = NULL;
	LWLockRelease(&node->lock);
	for (i = 0; i < npeers; i++)
		peer_link_close(&peers[i]->link);
}

static void
start(Oid database)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	if (step_aside_wanted(database))
		proc_exit(0);
	pgstat_report_appname("causaldb sender");
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);

	node = shmem_node();
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	if (node->recycling || (node->sender_pid != 0 && BackendPidGetProc(node->sender_pid) != NULL))
	{
		/* a new supervisor does not know the worker of the one before; and
		 * while slots change their streams, cursors would mean nothing */
		LWLockRelease(&node->lock);
		proc_exit(0);
	}
	node->sender_pid = MyProcPid;
	node->sender_latch = MyLatch;
	LWLockRelease(&node->lock);
	before_shmem_exit(leave, (Datum) 0);

	frame_context = AllocSetContextCreate(TopMemoryContext, "causaldb frame", ALLOCSET_DEFAULT_SIZES);
	pass_context = AllocSetContextCreate(TopMemoryContext, "causaldb sender pass", ALLOCSET_DEFAULT_SIZES);
	pending = MemoryContextAllocZero(TopMemoryContext, sizeof(uint64) * clock_slots());
	still = MemoryContextAllocZero(TopMemoryContext, sizeof(uint64) * clock_slots());
	busy = MemoryContextAllocZero(TopMemoryContext, sizeof(int) * clock_slots());
	rep_ack_grace_init(&grace,
					   MemoryContextAlloc(TopMemoryContext, sizeof(RepVersion) * REP_MAX_VECTOR), REP_MAX_VECTOR,
					   MemoryContextAlloc(TopMemoryContext, sizeof(RepAckSlot) * clock_slots()), (uint32) clock_slots());
	memset(&own_mark, 0, sizeof(own_mark));
	own_mark.acks.entries = own_acks;
	own_mark.acks.cap = REP_MAX_VECTOR;
}

void
causaldb_sender_main(Datum database)
{
	start(DatumGetObjectId(database));
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	streams_load_retired();
	PopActiveSnapshot();
	CommitTransactionCommand();
	load_peers();
	for (;;)
	{
		int i;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (node->sender_reload)
			load_peers();
		for (i = 0; i < npeers; i++)
			tend_link(peers[i]);
		tell_links();
		move_acks();
		ship_all();
		watchdog_look(node);
		for (i = 0; i < npeers; i++)
			show_peer(peers[i]);
		skew_judge(node);
		wait_for_something();
	}
}
