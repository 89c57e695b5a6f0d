/*
 * consensus_peer.c
 *		See consensus_peer.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "libpq-fe.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "consensus_peer.h"
#include "peer_link.h"
#include "receive.h"
#include "wall.h"
#include "wire.h"

/* what may wait for room in the pipeline of one link */
#define QUEUE_LIMIT ((size_t) 32 * 1024 * 1024)
/* messages that go out together have at most, unless it is one */
#define BATCH_BYTES ((size_t) 512 * 1024)
/* answers say nothing new: they are read when so many are due, or so often */
#define UNREAD_ANSWERS (LINK_MAX_INFLIGHT / 2)
#define ANSWERS_MS 50

static const PeerPurpose talking = {
	"causaldb consensus", "SELECT causaldb.strong_message($1::bytea)"
};

typedef struct Peer
{
	PeerLink link;
	bool present;  /* has said so in this connection */
	bool readable; /* its socket has something for us */
	TimestampTz polled_at; /* wall_timer */
	StringInfoData queue;  /* messages to send, each after its length */
	/* what is in the wait set */
	int pos; /* -1: nothing */
	int socket;
	uint32 starts; /* of its connection */
} Peer;

static NodeShared *node;
static Peer *peers[REP_MAX_MEMBERS];
static int npeers = 0;
static ConsensusNode nodes[REP_MAX_MEMBERS];
static int nnodes = 0;

void
consensus_peer_init(NodeShared *n)
{
	node = n;
}

const ConsensusNode *
consensus_peer_nodes(int *n)
{
	*n = nnodes;
	return nodes;
}

static Peer *
find_peer(uint32 id)
{
	for (int i = 0; i < npeers; i++)
		if (peers[i]->link.node == id)
			return peers[i];
	return NULL;
}

static void
drop_all(Peer *p)
{
	resetStringInfo(&p->queue);
}

static void
forget_peer(int i)
{
	peer_link_close(&peers[i]->link);
	pfree(peers[i]->queue.data);
	pfree(peers[i]);
	peers[i] = peers[--npeers];
}

/* A node other than this one that is a member. */
static void
take_peer(uint32 id, const char *name, Dsn dsn)
{
	Peer *p = find_peer(id);

	if (p != NULL && !peer_link_is_for(&p->link, name, dsn))
	{
		drop_all(p);
		peer_link_close(&p->link);
		peer_link_init(&p->link, &talking, id, name, dsn);
		p->starts = 0;
	}
	if (p == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		p = palloc0(sizeof(Peer));
		initStringInfo(&p->queue);
		MemoryContextSwitchTo(old);
		peer_link_init(&p->link, &talking, id, name, dsn);
		peers[npeers++] = p;
	}
}

static bool
is_peer(uint32 id)
{
	for (int i = 0; i < nnodes; i++)
		if (nodes[i].id == id)
			return !nodes[i].dropped && id != (uint32) node->node_id;
	return false;
}

static void
take_row(HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	ConsensusNode *n;

	if (nnodes == REP_MAX_MEMBERS)
		return;
	n = &nodes[nnodes++];
	n->id = (uint32) DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
	n->witness = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
	n->dropped = DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull));
	if (is_peer(n->id))
	{
		Dsn dsn = {
			.text = SPI_getvalue(tuple, desc, 3),
			.by_superuser =
				DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull)),
		};

		take_peer(n->id, SPI_getvalue(tuple, desc, 2), dsn);
	}
}

void
consensus_peer_load(void)
{
	LWLockAcquire(&node->strong.lock, LW_EXCLUSIVE);
	node->strong.reload = false;
	LWLockRelease(&node->strong.lock);

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT id, name, dsn, role = 'witness', "
					"state = 'dropped', server_identity AND EXISTS (SELECT FROM "
					"causaldb.local_node l WHERE l.server_identity) "
					"FROM causaldb.node ORDER BY id",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not read causaldb.node");
	nnodes = 0;
	for (int i = 0; i < (int) SPI_processed; i++)
		take_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	for (int i = npeers - 1; i >= 0; i--)
		if (!is_peer(peers[i]->link.node))
			forget_peer(i);
}

/* ------------------------------------------------------------ messages */

/* As many of the messages that wait as go out together. */
static size_t
batch_of(const Peer *p)
{
	RepReader r;
	size_t end = 0;

	rep_reader_init(&r, p->queue.data, (size_t) p->queue.len);
	while (rep_reader_left(&r) > 0)
	{
		size_t len;

		(void) rep_read_blob(&r, &len);
		if (end > 0 && (size_t) p->queue.len - rep_reader_left(&r) > BATCH_BYTES)
			break;
		end = (size_t) p->queue.len - rep_reader_left(&r);
	}
	Assert(!r.bad);
	return end;
}

static void
send_queued(Peer *p)
{
	while (p->queue.len > 0 && peer_link_can_send(&p->link))
	{
		size_t n = batch_of(p);

		peer_link_send(&p->link, 0, p->queue.data, n);
		memmove(p->queue.data, p->queue.data + n, (size_t) p->queue.len - n);
		p->queue.len -= (int) n;
	}
	if (p->link.state == LINK_UP)
		return;
	p->present = false;
	drop_all(p);
}

/* The session over there is known before its first message. */
static void
say_present(Peer *p)
{
	if (p->present || !peer_link_can_send(&p->link))
		return;
	p->present = true;
	peer_link_send(&p->link, 0, "", 0);
}

void
consensus_peer_send(uint32 to, const void *bytes, size_t len)
{
	Peer *p = find_peer(to);
	uint8 head[10];
	RepWriter w;

	if (p == NULL || p->link.state != LINK_UP)
		return;
	if (p->queue.len > 0 && (size_t) p->queue.len + len > QUEUE_LIMIT)
		return;
	rep_writer_init(&w, head, sizeof(head));
	rep_write_varint(&w, len);
	appendBinaryStringInfo(&p->queue, (char *) head, (int) w.len);
	appendBinaryStringInfo(&p->queue, bytes, (int) len);
}

void
consensus_peer_flush(void)
{
	for (int i = 0; i < npeers; i++)
		send_queued(peers[i]);
}

/* ------------------------------------------------------------ links */

static void
greet(Peer *p)
{
	static RepVersion entries[REP_MAX_VECTOR];
	static char bytes[REP_FRAME_HEADER + 64 + REP_MAX_VECTOR * 23];
	RepHello hello = { .applied = { entries, 0, REP_MAX_VECTOR } };
	RepWriter w;

	receive_hello_of(node, &hello);
	rep_writer_init(&w, bytes, sizeof(bytes));
	rep_frame_begin(&w);
	rep_hello_encode(&hello, &w);
	rep_frame_end(&w, REP_FRAME_HELLO);
	peer_link_greet(&p->link, bytes, w.len);
}

static void
take_hello(Peer *p, const PeerAnswer *a)
{
	static RepVersion entries[REP_MAX_VECTOR];
	RepHello hello = { .applied = { entries, 0, REP_MAX_VECTOR } };
	RepFrameType type;
	RepReader body;

	if (rep_frame_open(a->data, a->len, &type, &body) != REP_FRAME_OK ||
		type != REP_FRAME_HELLO || !rep_hello_decode(&body, &hello))
		peer_link_fail(&p->link, "the peer's HELLO cannot be read");
	else if (hello.from.node != p->link.node || hello.cluster != node->cluster)
		peer_link_fail(&p->link, "the connection string leads elsewhere");
}

static bool
wants_poll(const Peer *p, TimestampTz now)
{
	return p->link.state != LINK_UP || p->readable ||
		   p->link.inflight >= UNREAD_ANSWERS ||
		   TimestampDifferenceExceeds(p->polled_at, now, ANSWERS_MS);
}

static void
tend(Peer *p)
{
	TimestampTz now = wall_timer();
	PeerAnswer answer;

	if (peer_link_is_due(&p->link, node))
		peer_link_start(&p->link);
	if (wants_poll(p, now))
	{
		p->polled_at = now;
		p->readable = false;
		while (peer_link_poll(&p->link, &answer))
			if (answer.hello)
				take_hello(p, &answer);
	}
	if (peer_link_wants_hello(&p->link))
		greet(p);
	if ((p->link.state == LINK_CONNECTING ||
		 p->link.state == LINK_GREETING) &&
		now >= p->link.deadline)
		peer_link_fail(&p->link, "the peer did not answer in time");
	say_present(p);
	send_queued(p);
}

void
consensus_peer_tend(void)
{
	for (int i = 0; i < npeers; i++)
		tend(peers[i]);
}

/* ------------------------------------------------------------ waiting */

/* What its socket is waited for: not for answers as long as few are due. */
static uint32
events_of(const Peer *p)
{
	if (p->link.state == LINK_UP && p->link.inflight < UNREAD_ANSWERS &&
		p->link.wait_events == WL_SOCKET_READABLE &&
		WaitEventSetCanReportClosed())
		return WL_SOCKET_CLOSED;
	return p->link.wait_events;
}

static bool
has_socket(const Peer *p)
{
	return p->link.conn != NULL && PQsocket(p->link.conn) >= 0;
}

/* It is in the wait set as it is now, or not at all and has no socket. */
static bool
is_waited_for(const Peer *p)
{
	if (!has_socket(p))
		return p->pos < 0;
	/* one that is opened after another was closed may have the same number;
	 * libpq itself goes from one to the next while it connects */
	return p->pos >= 0 && p->starts == p->link.starts &&
		   p->socket == PQsocket(p->link.conn) &&
		   p->link.state != LINK_CONNECTING;
}

static WaitEventSet *wait_set = NULL;
static int waited_peers; /* in the set */

static void
make_wait_set(void)
{
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = CreateWaitEventSet(TopMemoryContext, npeers + 2);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	for (int i = 0; i < npeers; i++)
	{
		Peer *p = peers[i];

		p->starts = p->link.starts;
		p->socket = PQsocket(p->link.conn);
		p->pos = has_socket(p)
					 ? AddWaitEventToSet(wait_set, events_of(p),
										 PQsocket(p->link.conn), NULL, p)
					 : -1;
	}
	waited_peers = npeers;
}

static void
tend_wait_set(void)
{
	bool fits = wait_set != NULL && waited_peers == npeers;

	for (int i = 0; i < npeers && fits; i++)
		fits = is_waited_for(peers[i]);
	if (!fits)
		make_wait_set();
	for (int i = 0; i < npeers && fits; i++)
		if (peers[i]->pos >= 0)
			ModifyWaitEvent(wait_set, peers[i]->pos, events_of(peers[i]),
							NULL);
}

void
consensus_peer_wait(long timeout_ms)
{
	WaitEvent events[REP_MAX_MEMBERS + 2];
	int n;

	tend_wait_set();
	n = WaitEventSetWait(wait_set, timeout_ms, events, lengthof(events),
						 PG_WAIT_EXTENSION);
	for (int i = 0; i < n; i++)
		if (events[i].user_data != NULL)
			((Peer *) events[i].user_data)->readable = true;
	ResetLatch(MyLatch);
}

void
consensus_peer_close(void)
{
	for (int i = 0; i < npeers; i++)
		peer_link_close(&peers[i]->link);
}
