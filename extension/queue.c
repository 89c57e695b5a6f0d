/*
 * queue.c
 *		See queue.h.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"

#include "omission.h"
#include "queue.h"
#include "streams.h"

/* one interval frame, decoded once */
typedef struct Piece
{
	dlist_node link;
	MemoryContext context; /* holds this and all below */
	size_t size;
	RepInterval interval;
	RepTransaction *transactions; /* views into the frame */
	uint32 next; /* of the open group */
	uint32 done; /* as of the last commit */
	bool ended; /* the open group has passed its end */
} Piece;

typedef struct Queue
{
	dlist_head pieces;
	size_t size;
} Queue;

static NodeShared *node;
static Queue queues[REP_MAX_STREAMS];
static MemoryContext queue_context;

void
queue_init(NodeShared *n)
{
	int s;

	node = n;
	queue_context = AllocSetContextCreate(TopMemoryContext, "causaldb queues", ALLOCSET_DEFAULT_SIZES);
	for (s = 0; s < REP_MAX_STREAMS; s++)
		dlist_init(&queues[s].pieces);
}

static void
drop_piece(Queue *q, Piece *p)
{
	dlist_delete(&p->link);
	q->size -= p->size;
	MemoryContextDelete(p->context);
}

void
queue_drop(int slot)
{
	Queue *q = &queues[slot];

	while (!dlist_is_empty(&q->pieces))
		drop_piece(q, dlist_head_element(Piece, link, &q->pieces));
	pg_atomic_write_u64(&node->streams[slot].taken, pg_atomic_read_u64(&node->streams[slot].applied));
}

static RepVersion *
copy_entries(const RepVector *v)
{
	RepVersion *copy = palloc(sizeof(RepVersion) * Max(v->len, 1));

	memcpy(copy, v->entries, sizeof(RepVersion) * v->len);
	return copy;
}

/* Decodes the frame into a piece of its own context. */
static Piece *
decode(const void *frame, size_t len)
{
	MemoryContext context = AllocSetContextCreate(queue_context, "causaldb interval", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Piece *p = palloc0(sizeof(Piece));
	uint8 *bytes = palloc(len);
	RepVersion *scratch = palloc(sizeof(RepVersion) * REP_MAX_VECTOR);
	RepFrameType type;
	RepReader r;
	uint32 i;
	bool ok;

	memcpy(bytes, frame, len);
	p->context = context;
	p->size = len;
	p->interval.mark.acks.entries = scratch;
	p->interval.mark.acks.cap = REP_MAX_VECTOR;
	ok = rep_frame_open(bytes, len, &type, &r) == REP_FRAME_OK && type == REP_FRAME_INTERVAL &&
		rep_interval_decode(&r, &p->interval);
	if (ok)
	{
		p->interval.mark.acks.entries = copy_entries(&p->interval.mark.acks);
		for (i = 0; i < p->interval.ndescriptors; i++)
		{
			size_t n;

			(void) rep_read_blob(&r, &n);
		}
		ok = rep_interval_decode_count(&r, &p->interval);
	}
	if (ok)
		p->transactions = palloc(sizeof(RepTransaction) * Max(p->interval.ntransactions, 1));
	for (i = 0; ok && i < p->interval.ntransactions; i++)
	{
		RepTransaction *t = &p->transactions[i];

		t->deps.entries = scratch;
		t->deps.cap = REP_MAX_VECTOR;
		ok = rep_transaction_decode(&r, t);
		t->deps.entries = copy_entries(&t->deps);
	}
	pfree(scratch);
	MemoryContextSwitchTo(old);
	if (!ok)
	{
		/* the receiving backend has read all of it before */
		MemoryContextDelete(context);
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("malformed interval in a queue of causaldb")));
	}
	return p;
}

bool
queue_put(int slot, const void *frame, size_t len)
{
	Queue *q = &queues[slot];
	StreamSlot *s = &node->streams[slot];
	uint64 taken = pg_atomic_read_u64(&s->taken);
	Piece *p = decode(frame, len);

	(void) shmem_max_u64(&s->seen, p->interval.to);
	if (p->interval.from > taken || p->interval.to < taken ||
		(q->size > 0 && q->size + len > QUEUE_BYTES))
	{
		MemoryContextDelete(p->context);
		return false;
	}
	dlist_push_tail(&q->pieces, &p->link);
	q->size += len;
	pg_atomic_write_u64(&s->taken, p->interval.to);
	return true;
}

static Piece *
current(Queue *q)
{
	dlist_iter iter;

	dlist_foreach(iter, &q->pieces)
	{
		Piece *p = dlist_container(Piece, link, iter.cur);

		if (!p->ended)
			return p;
	}
	return NULL;
}

static void
make_dense(const RepVector *deps, Incoming *t)
{
	uint32 i;
	int32 id;

	t->stranger.node = 0;
	t->ndense = (int) pg_atomic_read_u32(&node->nstreams);
	memset(t->dense, 0, sizeof(uint64) * REP_MAX_STREAMS);
	for (i = 0; i < deps->len; i++)
	{
		int slot = shmem_find_stream(node, deps->entries[i].stream);

		if (slot >= 0)
			t->dense[slot] = deps->entries[i].position;
		else if (!streams_retired(deps->entries[i].stream, &id))
		{
			t->stranger = deps->entries[i].stream;
			t->stranger_at = deps->entries[i].position;
		}
	}
}

QueueItem
queue_look(int slot, Incoming *t, uint64 *end, const RepMark **mark)
{
	Piece *p = current(&queues[slot]);
	RepTransaction *r;

	if (p == NULL)
		return QUEUE_EMPTY;
	if (p->next == p->interval.ntransactions)
	{
		*end = p->interval.to;
		*mark = &p->interval.mark;
		return QUEUE_END;
	}
	r = &p->transactions[p->next];
	t->slot = slot;
	t->stamp.hlc = r->position;
	t->index = 0;
	t->stamp.stream = p->interval.stream;
	t->xid = r->xid;
	t->nchunks = r->nchunks;
	t->deps = r->deps;
	t->payload = r->payload;
	t->payload_len = r->payload_len;
	t->aside = false;
	make_dense(&r->deps, t);
	omission_add(slot, r->position, t->dense);
	return QUEUE_TRANSACTION;
}

void
queue_pass(int slot)
{
	Piece *p = current(&queues[slot]);

	if (p->next == p->interval.ntransactions)
		p->ended = true;
	else
		p->next++;
}

void
queue_commit(int slot)
{
	Queue *q = &queues[slot];
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &q->pieces)
	{
		Piece *p = dlist_container(Piece, link, iter.cur);

		if (p->ended)
			drop_piece(q, p);
		else
			p->done = p->next;
	}
}

void
queue_rewind(int slot)
{
	dlist_iter iter;

	dlist_foreach(iter, &queues[slot].pieces)
	{
		Piece *p = dlist_container(Piece, link, iter.cur);

		p->ended = false;
		p->next = p->done;
	}
}
