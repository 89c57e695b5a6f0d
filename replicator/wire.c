/*
 * wire.c
 *		Frames: header, checksum, bodies, and the links of the hash chain.
 *
 * Not for sending, nor for deciding what a frame means to its receiver. The
 * invariants are those of wire.h.
 */
#include "wire.h"

#include <assert.h>
#include <string.h>

#define FRAME_MAGIC_0 'C'
#define FRAME_MAGIC_1 'D'

/* what the checksum covers of the header: version, type, length */
#define FRAME_CHECKED_AT 2
#define FRAME_CHECKED_LEN 6

static uint64_t
frame_checksum(const uint8_t *frame, size_t body_len)
{
	uint64_t seed = rep_hash64(frame + FRAME_CHECKED_AT, FRAME_CHECKED_LEN, 0);

	return rep_hash64(frame + REP_FRAME_HEADER, body_len, seed);
}

const char *
rep_frame_error(RepFrameError e)
{
	switch (e)
	{
		case REP_FRAME_OK:
			return "the frame is sound";
		case REP_FRAME_SHORT:
			return "the frame is truncated or has trailing bytes";
		case REP_FRAME_MAGIC:
			return "the bytes are not a frame";
		case REP_FRAME_VERSION:
			return "the frame has an unknown protocol version";
		case REP_FRAME_LENGTH:
			return "the frame is longer than allowed";
		case REP_FRAME_CHECKSUM:
			return "the frame's checksum does not match its bytes";
		case REP_FRAME_TYPE:
			return "the frame has an unknown type";
		case REP_FRAME_BODY:
			return "the frame's body is malformed";
	}
	return "unknown frame error";
}

void
rep_frame_begin(RepWriter *w)
{
	static const uint8_t blank[REP_FRAME_HEADER] = { 0 };

	assert(w->len == 0);
	rep_write_bytes(w, blank, sizeof(blank));
}

void
rep_frame_end(RepWriter *w, RepFrameType type)
{
	RepWriter header;
	size_t body_len = w->len - REP_FRAME_HEADER;

	assert(w->len >= REP_FRAME_HEADER);
	if (w->len > REP_MAX_FRAME)
		w->full = true;
	if (w->full)
		return;

	rep_writer_init(&header, w->data, REP_FRAME_HEADER);
	rep_write_u8(&header, FRAME_MAGIC_0);
	rep_write_u8(&header, FRAME_MAGIC_1);
	rep_write_u8(&header, REP_WIRE_VERSION);
	rep_write_u8(&header, (uint8_t) type);
	rep_write_u32(&header, (uint32_t) body_len);
	rep_write_u64(&header, frame_checksum(w->data, body_len));
}

RepFrameError
rep_frame_open(const void *data, size_t len, RepFrameType *type,
			   RepReader *body)
{
	const uint8_t *frame = data;
	RepReader r;
	uint8_t magic[2];
	uint8_t version;
	uint8_t kind;
	uint32_t body_len;
	uint64_t checksum;

	/* whoever ignores the result finds nothing to read */
	*type = 0;
	rep_reader_init(body, NULL, 0);
	body->bad = true;

	rep_reader_init(&r, data, len);
	magic[0] = rep_read_u8(&r);
	magic[1] = rep_read_u8(&r);
	version = rep_read_u8(&r);
	kind = rep_read_u8(&r);
	body_len = rep_read_u32(&r);
	checksum = rep_read_u64(&r);
	if (r.bad)
		return REP_FRAME_SHORT;
	if (magic[0] != FRAME_MAGIC_0 || magic[1] != FRAME_MAGIC_1)
		return REP_FRAME_MAGIC;
	if (version != REP_WIRE_VERSION)
		return REP_FRAME_VERSION;
	if (body_len > REP_MAX_FRAME - REP_FRAME_HEADER)
		return REP_FRAME_LENGTH;
	if (body_len != rep_reader_left(&r))
		return REP_FRAME_SHORT;
	if (checksum != frame_checksum(frame, body_len))
		return REP_FRAME_CHECKSUM;
	if (kind < REP_FRAME_HELLO || kind > REP_FRAME_ANSWER)
		return REP_FRAME_TYPE;

	*type = (RepFrameType) kind;
	rep_reader_init(body, frame + REP_FRAME_HEADER, body_len);
	return REP_FRAME_OK;
}

/* ------------------------------------------------------------------------
 * Parts that several bodies share
 * ------------------------------------------------------------------------
 */

/* A varint that must fit 32 bits. */
static uint32_t
read_u32_varint(RepReader *r)
{
	uint64_t v = rep_read_varint(r);

	if (v > UINT32_MAX)
		r->bad = true;
	return r->bad ? 0 : (uint32_t) v;
}

/*
 * How many things follow. Each takes at least `size` bytes, so a count the
 * rest cannot hold is a lie, told before anybody loops over it.
 */
static uint32_t
read_count(RepReader *r, size_t size, uint32_t most)
{
	uint64_t v = rep_read_varint(r);

	if (v > most || v > rep_reader_left(r) / size)
		r->bad = true;
	return r->bad ? 0 : (uint32_t) v;
}

static void
write_stream(RepWriter *w, RepStreamId s)
{
	rep_write_varint(w, s.node);
	rep_write_u64(w, s.boot);
}

static RepStreamId
read_stream(RepReader *r)
{
	RepStreamId s;

	s.node = read_u32_varint(r);
	s.boot = rep_read_u64(r);
	return s;
}

/* ------------------------------------------------------------------------
 * HELLO and ANSWER
 * ------------------------------------------------------------------------
 */

void
rep_hello_encode(const RepHello *h, RepWriter *w)
{
	write_stream(w, h->from);
	rep_write_u64(w, h->cluster);
	rep_write_varint(w, h->encoding);
	rep_write_varint(w, h->hlc);
	rep_vector_encode(&h->applied, w);
}

bool
rep_hello_decode(RepReader *body, RepHello *h)
{
	h->from = read_stream(body);
	h->cluster = rep_read_u64(body);
	h->encoding = read_u32_varint(body);
	h->hlc = rep_read_varint(body);
	rep_vector_decode(body, &h->applied);
	return rep_reader_done(body);
}

void
rep_answer_encode(const RepAnswer *a, RepWriter *w)
{
	rep_write_varint(w, a->hlc);
	rep_write_varint(w, a->taken);
	rep_vector_encode(&a->applied, w);
}

bool
rep_answer_decode(RepReader *r, RepAnswer *a)
{
	a->hlc = rep_read_varint(r);
	a->taken = rep_read_varint(r);
	rep_vector_decode(r, &a->applied);
	return rep_reader_done(r);
}

/* ------------------------------------------------------------------------
 * INTERVAL
 * ------------------------------------------------------------------------
 */

static void
mark_encode(const RepMark *m, RepWriter *w)
{
	const RepVector none = { NULL, 0, 0 };

	rep_write_varint(w, m->closed);
	rep_write_u64(w, m->chain);
	rep_write_varint(w, m->acked_at);
	rep_vector_encode(m->acked_at == 0 ? &none : &m->acks, w);
}

static void
mark_decode(RepReader *r, RepMark *m)
{
	m->closed = rep_read_varint(r);
	m->chain = rep_read_u64(r);
	m->acked_at = rep_read_varint(r);
	rep_vector_decode(r, &m->acks);
	if (m->acked_at == 0 && m->acks.len > 0)
		r->bad = true;
}

void
rep_interval_encode(const RepInterval *i, RepWriter *w)
{
	write_stream(w, i->stream);
	rep_write_varint(w, i->from);
	rep_write_varint(w, i->to);
	mark_encode(&i->mark, w);
	rep_write_varint(w, i->ndescriptors);
}

void
rep_interval_descriptor(RepWriter *w, const void *d, size_t len)
{
	rep_write_blob(w, d, len);
}

void
rep_interval_begin_transactions(RepWriter *w, uint32_t n)
{
	assert(n <= REP_MAX_FRAME_TRANSACTIONS);
	rep_write_varint(w, n);
}

bool
rep_interval_decode(RepReader *r, RepInterval *i)
{
	i->stream = read_stream(r);
	i->from = rep_read_varint(r);
	i->to = rep_read_varint(r);
	mark_decode(r, &i->mark);
	i->ndescriptors = read_count(r, 1, UINT32_MAX);
	i->ntransactions = 0;
	if (i->from > i->to)
		r->bad = true;
	return !r->bad;
}

bool
rep_interval_decode_count(RepReader *r, RepInterval *i)
{
	/* position, xid, nchunks, count of deps, payload length */
	i->ntransactions = read_count(r, 5, REP_MAX_FRAME_TRANSACTIONS);
	return !r->bad;
}

/* Distance d modulo 2^64 read as signed; small either way is short. */
static uint64_t
zigzag(uint64_t d)
{
	return d << 1 ^ (d >> 63 ? UINT64_MAX : 0);
}

static uint64_t
unzigzag(uint64_t z)
{
	return z >> 1 ^ (z & 1 ? UINT64_MAX : 0);
}

static void
deps_encode(const RepVector *deps, uint64_t position, RepWriter *w)
{
	rep_write_varint(w, deps->len);
	for (uint32_t i = 0; i < deps->len; i++)
	{
		write_stream(w, deps->entries[i].stream);
		rep_write_varint(w, zigzag(position - deps->entries[i].position));
	}
}

static void
deps_decode(RepReader *r, uint64_t position, RepVector *deps)
{
	/* node, boot, distance */
	uint32_t n = read_count(r, 10, REP_MAX_VECTOR);

	deps->len = 0;
	if (n > deps->cap)
		r->bad = true;
	for (uint32_t i = 0; i < n && !r->bad; i++)
	{
		RepVersion *e = &deps->entries[i];

		e->stream = read_stream(r);
		e->position = position - unzigzag(rep_read_varint(r));
		if (i > 0 && rep_stream_compare(e[-1].stream, e->stream) >= 0)
			r->bad = true;
	}
	if (!r->bad)
		deps->len = n;
}

void
rep_transaction_encode(const RepTransaction *t, RepWriter *w)
{
	rep_write_varint(w, t->position);
	rep_write_varint(w, t->xid);
	rep_write_varint(w, t->nchunks);
	deps_encode(&t->deps, t->position, w);
	rep_write_blob(w, t->payload, t->payload_len);
}

bool
rep_transaction_decode(RepReader *r, RepTransaction *t)
{
	t->position = rep_read_varint(r);
	t->xid = rep_read_varint(r);
	t->nchunks = read_u32_varint(r);
	deps_decode(r, t->position, &t->deps);
	t->payload = rep_read_blob(r, &t->payload_len);
	return !r->bad;
}

bool
rep_interval_accepts(const RepInterval *i, uint64_t before,
					 const RepTransaction *t)
{
	if (t->position <= before || t->position > i->to)
		return false;
	for (uint32_t k = 0; k < t->deps.len; k++)
		if (rep_stream_compare(t->deps.entries[k].stream, i->stream) == 0)
			return false;
	return true;
}

/* ------------------------------------------------------------------------
 * CHUNKS
 * ------------------------------------------------------------------------
 */

void
rep_chunks_encode(const RepChunks *c, RepWriter *w)
{
	write_stream(w, c->stream);
	rep_write_varint(w, c->xid);
	rep_write_varint(w, c->ndescriptors);
	rep_write_varint(w, c->nchunks);
}

bool
rep_chunks_decode(RepReader *r, RepChunks *c)
{
	c->stream = read_stream(r);
	c->xid = rep_read_varint(r);
	c->ndescriptors = read_count(r, 1, UINT32_MAX);
	c->nchunks = read_count(r, 2, UINT32_MAX);
	return !r->bad;
}

void
rep_chunk_encode(RepWriter *w, uint64_t ordinal, const void *payload,
				 size_t len)
{
	rep_write_varint(w, ordinal);
	rep_write_blob(w, payload, len);
}

const uint8_t *
rep_chunk_decode(RepReader *r, uint64_t *ordinal, size_t *len)
{
	*ordinal = rep_read_varint(r);
	return rep_read_blob(r, len);
}

/* ------------------------------------------------------------------------
 * The hash chain
 * ------------------------------------------------------------------------
 */

/* One stream and a number, in fixed width, hashed onto h. */
static uint64_t
chain_version(uint64_t h, RepStreamId s, uint64_t number)
{
	uint8_t b[20];
	RepWriter w;

	rep_writer_init(&w, b, sizeof(b));
	rep_write_u32(&w, s.node);
	rep_write_u64(&w, s.boot);
	rep_write_u64(&w, number);
	return rep_hash64(b, sizeof(b), h);
}

uint64_t
rep_chain_link(uint64_t before, RepStamp stamp, const RepVector *deps,
			   const void *payload, size_t len)
{
	uint64_t h = chain_version(before, stamp.stream, stamp.hlc);

	for (uint32_t i = 0; i < deps->len; i++)
		h = chain_version(h, deps->entries[i].stream,
						  deps->entries[i].position);

	/* the count keeps a dep from being taken for payload */
	return rep_hash64(payload, len, h ^ deps->len);
}

uint64_t
rep_chain_chunk(uint64_t before, uint64_t ordinal, const void *payload,
				size_t len)
{
	uint8_t b[8];
	RepWriter w;

	rep_writer_init(&w, b, sizeof(b));
	rep_write_u64(&w, ordinal);
	return rep_hash64(payload, len, rep_hash64(b, sizeof(b), before));
}
