/*
 * consensus_peer.c
 *		See consensus_peer.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "libpq-fe.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "consensus_peer.h"
#include "peer_link.h"
#include "receive.h"
#include "wall.h"
#include "wire.h"
#include "wall.h"

/* what may wait for room in the pipeline of one link */
#define QUEUE_MESSAGES 256
#define QUEUE_LIMIT ((size_t) 32 * 1024 * 1024)

static const PeerPurpose talking = {
	"causaldb consensus", "SELECT causaldb.strong_message($1::bytea)"
};

typedef struct Queued
{
	void *bytes;
	size_t len;
} Queued;

typedef struct Peer
{
	PeerLink link;
	bool present; /* has said so in this connection */
	Queued queue[QUEUE_MESSAGES];
	int head;
	int n;
	size_t size;
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
drop_first(Peer *p)
{
	Queued *q = &p->queue[p->head];

	p->size -= q->len;
	pfree(q->bytes);
	p->head = (p->head + 1) % QUEUE_MESSAGES;
	p->n--;
}

static void
drop_all(Peer *p)
{
	while (p->n > 0)
		drop_first(p);
}

static void
forget_peer(int i)
{
	drop_all(peers[i]);
	peer_link_close(&peers[i]->link);
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
	}
	if (p == NULL)
	{
		p = MemoryContextAllocZero(TopMemoryContext, sizeof(Peer));
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

static void
send_queued(Peer *p)
{
	while (p->n > 0 && peer_link_can_send(&p->link))
	{
		Queued *q = &p->queue[p->head];

		peer_link_send(&p->link, 0, q->bytes, q->len);
		drop_first(p);
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
	Queued *q;

	if (p == NULL || p->link.state != LINK_UP)
		return;
	if (p->n == 0 && peer_link_can_send(&p->link))
	{
		peer_link_send(&p->link, 0, bytes, len);
		return;
	}
	if (p->n == QUEUE_MESSAGES || (p->n > 0 && p->size + len > QUEUE_LIMIT))
		return;
	q = &p->queue[(p->head + p->n++) % QUEUE_MESSAGES];
	q->bytes = MemoryContextAllocHuge(TopMemoryContext, len + 1);
	memcpy(q->bytes, bytes, len);
	q->len = len;
	p->size += len;
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

static void
tend(Peer *p)
{
	TimestampTz now = wall_timer();
	PeerAnswer answer;

	if (peer_link_is_due(&p->link, node))
		peer_link_start(&p->link);
	while (peer_link_poll(&p->link, &answer))
		if (answer.hello)
			take_hello(p, &answer);
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

int
consensus_peer_count(void)
{
	return npeers;
}

void
consensus_peer_wait_for(WaitEventSet *set)
{
	for (int i = 0; i < npeers; i++)
	{
		PeerLink *link = &peers[i]->link;

		if (link->conn != NULL && PQsocket(link->conn) >= 0)
			AddWaitEventToSet(set, link->wait_events, PQsocket(link->conn),
							  NULL, NULL);
	}
}

void
consensus_peer_close(void)
{
	for (int i = 0; i < npeers; i++)
		peer_link_close(&peers[i]->link);
}
