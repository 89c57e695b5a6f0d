/*
 * wire.h
 *		Frames: what one node tells another.
 *
 *	frame = u8 'C', u8 'D', u8 version (1), u8 type, u32 body length, u64
 *			checksum (rep_hash64 of version, type, length and body), body
 *
 * Types
 *	HELLO     who dials: node, boot, cluster id, server encoding, the vector of
 *			  what the dialler has applied. The answer is a HELLO too.
 *	INTERVAL  one stream's transactions in (from, to], in order, and the
 *			  writer's newest mark (closed, ack vector, chain hash). Without
 *			  transactions it is a heartbeat.
 *	CHUNKS    pieces of one large transaction; they precede the interval that
 *			  has the transaction.
 *	ANSWER    the receiver's applied vector and its limits, after every frame.
 *
 * Invariants
 * 1. Decoding copies nothing and allocates nothing; views live as long as the
 *	  frame's bytes.
 * 2. In an interval from <= to, transactions' positions ascend strictly
 *	  within (from, to], deps of every transaction name other streams only and
 *	  the mark's closed is <= to of the writer's own reading (no rule for
 *	  relays).
 * 3. Malformed input makes the reader bad and the functions return false.
 */
#ifndef REP_WIRE_H
#define REP_WIRE_H

#include "bounds.h"
#include "bytes.h"
#include "vector.h"

#define REP_WIRE_VERSION 1
#define REP_FRAME_HEADER 16

typedef enum RepFrameType
{
	REP_FRAME_HELLO = 1,
	REP_FRAME_INTERVAL = 2,
	REP_FRAME_CHUNKS = 3,
	REP_FRAME_ANSWER = 4
} RepFrameType;

typedef enum RepFrameError
{
	REP_FRAME_OK = 0,
	REP_FRAME_SHORT, /* truncated or trailing bytes */
	REP_FRAME_MAGIC,
	REP_FRAME_VERSION,
	REP_FRAME_LENGTH,
	REP_FRAME_CHECKSUM,
	REP_FRAME_TYPE,
	REP_FRAME_BODY
} RepFrameError;

/* A sentence for each error, lower case, no full stop. */
extern const char *rep_frame_error(RepFrameError e);

/* Reserves the header; the body is written next. */
extern void rep_frame_begin(RepWriter *w);
/* Fills the header in; the writer must have started with rep_frame_begin. */
extern void rep_frame_end(RepWriter *w, RepFrameType type);
/* Checks header, length, checksum; *body stands at the body. */
extern RepFrameError rep_frame_open(const void *data, size_t len,
									RepFrameType *type, RepReader *body);

typedef struct RepHello
{
	RepStreamId from; /* node and its live boot */
	uint64_t cluster; /* random id given at create_cluster */
	uint32_t encoding; /* server_encoding's number */
	uint64_t hlc; /* the sender's clock, for skew */
	RepVector applied; /* entries are the caller's */
} RepHello;

extern void rep_hello_encode(const RepHello *h, RepWriter *w);
extern bool rep_hello_decode(RepReader *body, RepHello *h);

/* the writer's newest word on its own stream, passed on by relays */
typedef struct RepMark
{
	uint64_t closed; /* no more transactions at or below */
	uint64_t chain; /* chain hash at `closed` */
	uint64_t acked_at; /* `acks` holds once the stream is applied up to here;
						* 0: no acks in this mark */
	RepVector acks; /* what the writer had durably applied */
} RepMark;

typedef struct RepInterval
{
	RepStreamId stream;
	uint64_t from;
	uint64_t to;
	RepMark mark; /* mark.acks.entries are the caller's */
	uint32_t ndescriptors; /* definitions that come first: see next */
	uint32_t ntransactions;
} RepInterval;

typedef struct RepTransaction
{
	uint64_t position;
	uint64_t xid; /* of the origin, names its chunks */
	uint32_t nchunks; /* 0: the payload is all */
	RepVector deps; /* entries are the caller's */
	const uint8_t *payload;
	size_t payload_len;
} RepTransaction;

/*
 * Interval body = stream, from, to, mark, varint ndescriptors, blobs, varint
 * ntransactions, transactions. Written in this order; counts are given ahead.
 * A transaction's deps are written as varint node, u64 boot, varint distance
 * (position - dep if positive, zig-zag), so that near positions are short.
 */
extern void rep_interval_encode(const RepInterval *i, RepWriter *w);
extern void rep_interval_descriptor(RepWriter *w, const void *d, size_t len);
extern void rep_interval_begin_transactions(RepWriter *w, uint32_t n);
extern void rep_transaction_encode(const RepTransaction *t, RepWriter *w);

/* Head up to and with ndescriptors; then descriptors by rep_read_blob; then
 * rep_interval_decode_count; then the transactions. */
extern bool rep_interval_decode(RepReader *r, RepInterval *i);
extern bool rep_interval_decode_count(RepReader *r, RepInterval *i);
extern bool rep_transaction_decode(RepReader *r, RepTransaction *t);
/*
 * Invariant 2 for one transaction of the interval: its position lies above
 * `before` (the position of the one in front of it; i->from for the first)
 * and not above i->to, and its deps do not name i->stream. The caller asks
 * for each transaction it decodes; after the last, rep_reader_done.
 */
extern bool rep_interval_accepts(const RepInterval *i, uint64_t before,
								 const RepTransaction *t);

/*
 * Chunks body = stream, xid, varint ndescriptors, varint nchunks, then the
 * definitions as blobs, then the chunks. After the last, rep_reader_done.
 */
typedef struct RepChunks
{
	RepStreamId stream;
	uint64_t xid;
	uint32_t ndescriptors; /* definitions that come first, as blobs */
	uint32_t nchunks; /* then: varint ordinal, blob payload */
} RepChunks;

extern void rep_chunks_encode(const RepChunks *c, RepWriter *w);
extern bool rep_chunks_decode(RepReader *r, RepChunks *c);
extern void rep_chunk_encode(RepWriter *w, uint64_t ordinal,
							 const void *payload, size_t len);
/* A view of the chunk's payload, or NULL (and r->bad) if malformed. */
extern const uint8_t *rep_chunk_decode(RepReader *r, uint64_t *ordinal,
									   size_t *len);

typedef struct RepAnswer
{
	uint64_t hlc; /* the receiver's clock */
	uint64_t taken; /* of the frame's stream: received and kept up to here,
					 * applied or not; 0 for HELLO and CHUNKS */
	RepVector applied; /* entries are the caller's */
} RepAnswer;

extern void rep_answer_encode(const RepAnswer *a, RepWriter *w);
extern bool rep_answer_decode(RepReader *r, RepAnswer *a);

/*
 * One link of the hash chain: from the hash before, the stamp, the deps and
 * the payload. For a chunked transaction the payload is the log row's, and
 * then every chunk is linked in by rep_chain_chunk in ordinal order.
 */
extern uint64_t rep_chain_link(uint64_t before, RepStamp stamp,
							   const RepVector *deps, const void *payload,
							   size_t len);
extern uint64_t rep_chain_chunk(uint64_t before, uint64_t ordinal,
								const void *payload, size_t len);

#endif
