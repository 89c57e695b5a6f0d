/*
 * outbox.c
 *		See outbox.h.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture.h"
#include "catalog.h"
#include "change.h"
#include "debug_point.h"
#include "errors.h"
#include "meta.h"
#include "outbox.h"
#include "store.h"
#include "streams.h"
#include "wall.h"

/* room a frame needs besides its transactions and descriptors */
#define HEAD_BYTES (REP_FRAME_HEADER + 256 + REP_MAX_VECTOR * 23)

/* a transaction's own bytes besides its payload */
#define TRANSACTION_BYTES (64 + REP_MAX_VECTOR * 23)

void
outbox_restart(OutboxCursor *c, uint64 from)
{
	c->sent = from;
	c->unapplied_len = 0;
	c->chunks_of = 0;
	c->chunks_done = 0;
	c->chain_known = from == 0;
	c->chain_given_up = false;
	c->chain = 0;
}

void
outbox_answered(OutboxCursor *c, uint64 applied, uint64 taken, TimestampTz now)
{
	if (applied > c->applied || taken > c->taken)
	{
		c->moved_at = now;
		c->resends = 0;
	}
	c->applied = Max(c->applied, applied);
	c->taken = Max(c->applied, taken);
	while (c->unapplied_len > 0 && c->unapplied[c->unapplied_head] <= c->applied)
	{
		c->unapplied_head = (c->unapplied_head + 1) % OUTBOX_UNAPPLIED;
		c->unapplied_len--;
	}
}

bool
outbox_has_room(const OutboxCursor *c)
{
	return c->unapplied_len < OUTBOX_UNAPPLIED;
}

/* Descriptors the payload names and the peer does not know are added to list. */
static List *
unknown_descriptors(const void *payload, size_t len, HTAB *known, List *list)
{
	static RepPayload p;
	uint32 i;

	if (!rep_payload_open(&p, payload, len))
		ereport(ERROR, (errcode(ERRORS_MALFORMED), errmsg("malformed payload in causaldb.log")));
	for (i = 0; i < p.ndescriptors; i++)
	{
		uint64 hash = p.descriptors[i];
		bool found;

		(void) hash_search(known, &hash, HASH_ENTER, &found);
		if (!found)
		{
			uint64 *copy = palloc(sizeof(uint64));

			*copy = hash;
			list = lappend(list, copy);
		}
	}
	return list;
}

static void
write_descriptors(List *hashes, StringInfo out, void (*write)(RepWriter *, const void *, size_t))
{
	ListCell *lc;

	foreach (lc, hashes)
	{
		size_t len;
		void *bytes = catalog_get_descriptor(*(uint64 *) lfirst(lc), &len);
		RepWriter w;

		if (bytes == NULL)
			ereport(ERROR, (errcode(ERRORS_MALFORMED),
							errmsg("a descriptor that causaldb.log names is not stored")));
		enlargeStringInfo(out, (int) len + 16);
		rep_writer_init(&w, out->data + out->len, len + 16);
		if (BREAK("bad_descriptor"))
			((char *) bytes)[0] ^= 0x55;
		write(&w, bytes, len);
		Assert(!w.full);
		out->len += (int) w.len;
		pfree(bytes);
	}
}

/* Transactions larger than a log row: how many chunks, or 0. */
static uint32
chunks_in(const StoreLogRow *row)
{
	static RepPayload p;
	RepChange change;
	uint64 nchunks;
	uint64 nchanges;

	if (!rep_payload_open(&p, row->payload, row->payload_len) || p.ndescriptors > 0 ||
		rep_payload_peek(&p) != -1 || !rep_payload_next(&p, NULL, &change) ||
		change.meta != META_CHUNKED ||
		!capture_chunked(change.body.data, change.body.len, &nchunks, &nchanges))
		return 0;
	return (uint32) nchunks;
}

static void
deps_vector(NodeShared *node, const StoreLogRow *row, RepVector *v)
{
	static StoreDep deps[REP_MAX_STREAMS];
	int n = store_decode_deps(row->deps, row->deps_len, row->stamp.hlc, deps, REP_MAX_STREAMS);
	int i;

	v->len = 0;
	for (i = 0; i < n; i++)
	{
		RepStreamId stream;

		if (!streams_name(node, deps[i].stream, &stream) ||
			!rep_vector_set(v, stream, deps[i].position))
			ereport(ERROR, (errcode(ERRORS_MALFORMED),
							errmsg("deps in causaldb.log name stream %d, which is not known", deps[i].stream)));
	}
}

/* A frame is head, then the three parts, each already encoded. */
static void
compose(StringInfo out, StringInfo head, StringInfo descriptors, StringInfo rest, RepFrameType type)
{
	RepWriter w;
	size_t need = REP_FRAME_HEADER + head->len + descriptors->len + rest->len;

	resetStringInfo(out);
	enlargeStringInfo(out, (int) need);
	rep_writer_init(&w, out->data, need);
	rep_frame_begin(&w);
	rep_write_bytes(&w, head->data, head->len);
	rep_write_bytes(&w, descriptors->data, descriptors->len);
	rep_write_bytes(&w, rest->data, rest->len);
	rep_frame_end(&w, type);
	Assert(!w.full);
	out->len = (int) w.len;
}

/* Up to REP_TARGET_FRAME of the chunks of c->chunks_of; clears it at the end. */
static bool
chunks_frame(NodeShared *node, int slot, OutboxCursor *c, HTAB *known, Snapshot snapshot,
			 StringInfo out)
{
	RepChunks head = {.stream = node->streams[slot].id, .xid = c->chunks_xid};
	StringInfoData heads;
	StringInfoData defs;
	StringInfoData body;
	List *unknown = NIL;
	StoreScan *scan;
	StoreChunkRow row;
	RepWriter w;

	initStringInfo(&heads);
	initStringInfo(&defs);
	initStringInfo(&body);
	scan = store_chunks_begin(node->streams[slot].local_id, c->chunks_xid, c->chunk_last, snapshot);
	while (body.len < REP_TARGET_FRAME && store_chunks_next(scan, &row))
	{
		unknown = unknown_descriptors(row.payload, row.payload_len, known, unknown);
		enlargeStringInfo(&body, (int) row.payload_len + 32);
		rep_writer_init(&w, body.data + body.len, row.payload_len + 32);
		rep_write_varint(&w, (uint64) row.ordinal);
		rep_write_blob(&w, row.payload, row.payload_len);
		body.len += (int) w.len;
		if (c->chain_known)
			c->chain = rep_chain_chunk(c->chain, (uint64) row.ordinal, row.payload, row.payload_len);
		c->chunk_last = row.ordinal;
		head.nchunks++;
	}
	store_end(scan);
	if (head.nchunks == 0)
	{
		c->chunks_done = c->chunks_of;
		c->chunks_of = 0;
		return false;
	}
	head.ndescriptors = (uint32) list_length(unknown);
	write_descriptors(unknown, &defs, rep_write_blob);
	enlargeStringInfo(&heads, HEAD_BYTES);
	rep_writer_init(&w, heads.data, HEAD_BYTES);
	rep_chunks_encode(&head, &w);
	heads.len = (int) w.len;
	compose(out, &heads, &defs, &body, REP_FRAME_CHUNKS);
	return true;
}

/* Encodes one transaction at the end of body. */
static void
add_transaction(const StoreLogRow *row, uint32 nchunks, const RepVector *deps, StringInfo body)
{
	RepTransaction t = {.position = row->position,
						.xid = row->xid,
						.nchunks = nchunks,
						.deps = *deps,
						.payload = row->payload,
						.payload_len = row->payload_len};
	size_t cap = TRANSACTION_BYTES + row->payload_len;
	RepWriter w;

	enlargeStringInfo(body, (int) cap);
	rep_writer_init(&w, body->data + body->len, cap);
	rep_transaction_encode(&t, &w);
	Assert(!w.full);
	body->len += (int) w.len;
}

/* ------------------------------------------------------------ the chain */

/* How much of the log is read at once to know our own stream's chain again. */
#define RECALL_BYTES (32 * 1024 * 1024)
#define CHAIN_MARKS 1024

/* our own stream's chain hash at ends of frames; a ring */
static struct
{
	uint64 position;
	uint64 chain;
} chain_marks[CHAIN_MARKS];
static uint32 nchain_marks = 0; /* ever made */

static void
remember_chain(uint64 position, uint64 chain)
{
	uint32 last = (nchain_marks + CHAIN_MARKS - 1) % CHAIN_MARKS;

	if (nchain_marks > 0 && chain_marks[last].position >= position)
		return;
	chain_marks[nchain_marks % CHAIN_MARKS].position = position;
	chain_marks[nchain_marks % CHAIN_MARKS].chain = chain;
	nchain_marks++;
}

/* The last mark at or below *position; the start of the stream if none is. */
static uint64
nearest_mark(uint64 *position)
{
	uint64 best = 0;
	uint64 chain = 0;
	uint32 i;

	for (i = 0; i < Min(nchain_marks, CHAIN_MARKS); i++)
		if (chain_marks[i].position <= *position && chain_marks[i].position > best)
		{
			best = chain_marks[i].position;
			chain = chain_marks[i].chain;
		}
	*position = best;
	return chain;
}

static uint64
add_chunks_to_chain(NodeShared *node, const StoreLogRow *row, uint64 chain, size_t *bytes, Snapshot snapshot)
{
	StoreScan *scan = store_chunks_begin(node->streams[node->own_slot].local_id, row->xid, -1, snapshot);
	StoreChunkRow chunk;

	while (*bytes <= RECALL_BYTES && store_chunks_next(scan, &chunk))
	{
		chain = rep_chain_chunk(chain, (uint64) chunk.ordinal, chunk.payload, chunk.payload_len);
		*bytes += chunk.payload_len;
	}
	store_end(scan);
	return chain;
}

/*
 * A connection that begins in the middle of our own stream: the hash there,
 * from the last place where it is known and the log behind that.
 */
static void
recall_chain(NodeShared *node, OutboxCursor *c, Snapshot snapshot)
{
	static RepVersion dep_entries[REP_MAX_VECTOR];
	uint64 from = c->sent;
	uint64 chain = nearest_mark(&from);
	size_t bytes = 0;
	StoreScan *scan = store_log_begin(node->streams[node->own_slot].local_id, from, c->sent, snapshot);
	StoreLogRow row;

	while (bytes <= RECALL_BYTES && store_log_next(scan, &row))
	{
		RepVector deps = {dep_entries, 0, REP_MAX_VECTOR};
		RepStamp stamp = {row.position, node->streams[node->own_slot].id};

		deps_vector(node, &row, &deps);
		chain = rep_chain_link(chain, stamp, &deps, row.payload, row.payload_len);
		bytes += row.payload_len;
		if (chunks_in(&row) > 0)
			chain = add_chunks_to_chain(node, &row, chain, &bytes, snapshot);
	}
	store_end(scan);
	if (bytes > RECALL_BYTES)
	{
		c->chain_given_up = true;
		return;
	}
	c->chain = chain;
	c->chain_known = true;
}

void
outbox_next(NodeShared *node, int slot, OutboxCursor *c, uint64 upto, HTAB *known,
			const RepMark *mark, bool own, Snapshot snapshot, StringInfo out)
{
	static RepVersion dep_entries[REP_MAX_VECTOR];
	RepInterval head = {.stream = node->streams[slot].id, .from = c->sent, .to = upto};
	StringInfoData heads;
	StringInfoData defs;
	StringInfoData body;
	List *unknown = NIL;
	StoreScan *scan;
	StoreLogRow row;
	RepWriter w;

	/* a frame that ends where the writer has told its hash, for the peer to compare */
	if (!own && mark->chain != 0 && mark->closed > c->sent && mark->closed < upto)
		head.to = upto = mark->closed;
	if (own && !c->chain_known && !c->chain_given_up && c->chunks_of == 0 && c->chunks_done <= c->sent)
		recall_chain(node, c, snapshot);
	if (c->chunks_of != 0 && chunks_frame(node, slot, c, known, snapshot, out))
		return;

	initStringInfo(&heads);
	initStringInfo(&defs);
	initStringInfo(&body);
	scan = store_log_begin(node->streams[slot].local_id, c->sent, upto, snapshot);
	while (store_log_next(scan, &row))
	{
		RepVector deps = {dep_entries, 0, REP_MAX_VECTOR};
		uint32 nchunks = chunks_in(&row);
		bool begun = nchunks > 0 && c->chunks_done == row.position;

		if (nchunks > 0 && !begun && head.ntransactions > 0)
		{
			/* what is before it goes first; its chunks are the next frames */
			head.to = c->sent;
			break;
		}
		deps_vector(node, &row, &deps);
		if (c->chain_known && !begun)
		{
			RepStamp stamp = {row.position, node->streams[slot].id};

			c->chain = rep_chain_link(c->chain, stamp, &deps, row.payload, row.payload_len);
		}
		if (nchunks > 0 && !begun)
		{
			c->chunks_of = row.position;
			c->chunks_xid = row.xid;
			c->chunk_last = -1;
			store_end(scan);
			if (!chunks_frame(node, slot, c, known, snapshot, out))
				ereport(ERROR, (errcode(ERRORS_MALFORMED),
								errmsg("the chunks of a transaction in causaldb.log are missing")));
			return;
		}
		unknown = unknown_descriptors(row.payload, row.payload_len, known, unknown);
		add_transaction(&row, nchunks, &deps, &body);
		head.ntransactions++;
		c->sent = row.position;
		if (body.len >= REP_TARGET_FRAME || head.ntransactions >= REP_MAX_FRAME_TRANSACTIONS)
		{
			head.to = row.position;
			break;
		}
	}
	store_end(scan);
	c->sent = head.to;

	head.mark = *mark;
	if (own)
	{
		head.mark.closed = head.to;
		head.mark.chain = c->chain_known ? c->chain : 0;
		if (c->chain_known)
			remember_chain(head.to, c->chain);
	}
	else if (mark->closed != head.to)
		head.mark.closed = head.mark.chain = 0;
	if (mark->acked_at > head.to)
	{
		head.mark.acked_at = 0;
		head.mark.acks.len = 0;
	}
	head.ndescriptors = (uint32) list_length(unknown);
	enlargeStringInfo(&heads, HEAD_BYTES);
	rep_writer_init(&w, heads.data, HEAD_BYTES);
	rep_interval_encode(&head, &w);
	heads.len = (int) w.len;
	write_descriptors(unknown, &defs, rep_interval_descriptor);
	{
		StringInfoData rest;

		initStringInfo(&rest);
		enlargeStringInfo(&rest, 16 + body.len);
		rep_writer_init(&w, rest.data, 16);
		rep_interval_begin_transactions(&w, head.ntransactions);
		rest.len = (int) w.len;
		appendBinaryStringInfo(&rest, body.data, body.len);
		compose(out, &heads, &defs, &rest, REP_FRAME_INTERVAL);
	}
	if (head.ntransactions > 0)
	{
		int at = (c->unapplied_head + c->unapplied_len) % OUTBOX_UNAPPLIED;

		if (c->unapplied_len < OUTBOX_UNAPPLIED)
		{
			c->unapplied[at] = head.to;
			c->unapplied_len++;
		}
		c->sent_at = wall_timer();
	}
}
