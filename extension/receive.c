/*
 * receive.c
 *		The receiving end of a link: checks frames, stages chunks, hands
 *		intervals to the apply worker.
 *
 * A frame is untrusted. What this file lets through is well formed, from a
 * session that has said HELLO as a known node of this cluster; whether its
 * content can be applied is for the apply worker to say.
 *
 * Invariants
 * 1. No frame is taken before the session's HELLO.
 * 2. A chunk is stored (and durable no later than the interval that needs it)
 *	  before the interval that needs it is handed over: same session, in order,
 *	  and nothing is taken after a frame that failed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "catalog.h"
#include "clock.h"
#include "debug_point.h"
#include "errors.h"
#include "inbox.h"
#include "receive.h"
#include "streams.h"
#include "wall.h"

PG_FUNCTION_INFO_V1(causaldb_hello);
PG_FUNCTION_INFO_V1(causaldb_receive);

#define ANSWER_BYTES (REP_FRAME_HEADER + 64 + REP_MAX_VECTOR * 23)

static uint32 peer_node = 0; /* who said HELLO in this session */
static bool refused = false; /* a frame of this session */
static HeardSlot *heard = NULL; /* of that peer */

static void
malformed(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("malformed frame from a peer: %s", what)));
}

static NodeShared *
open_node(void)
{
	NodeShared *node;

	if (!shmem_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("causaldb is not preloaded on this server"),
				 errhint("Set shared_preload_libraries = 'causaldb' in postgresql.conf and restart the server.")));
	node = shmem_node();
	if (clock_state(node) != NODE_OPEN || node->stepping_aside)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("this node is not ready yet"),
				 errhint("The sender tries again by itself.")));
	return node;
}

static RepFrameType
open_frame(bytea *frame, RepReader *body)
{
	RepFrameType type;
	RepFrameError e = rep_frame_open(VARDATA_ANY(frame), VARSIZE_ANY_EXHDR(frame), &type, body);

	if (e != REP_FRAME_OK)
		malformed(rep_frame_error(e));
	return type;
}

void
receive_hello_of(NodeShared *node, RepHello *hello)
{
	hello->from = node->own;
	hello->cluster = node->cluster;
	hello->encoding = (uint32) GetDatabaseEncoding();
	hello->hlc = rep_hlc_from_ms(wall_ms());
	streams_applied_vector(node, clock_closed(node), &hello->applied);
}

/* A paused peer's own connection; what others relay of it is dropped silently. */
static void
refuse_paused(NodeShared *node, uint32 peer)
{
	if (shmem_is_paused(node, peer))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node %d takes nothing from node %u for now", node->node_id, peer),
				 errdetail("It was told to by causaldb.pause_peer()."),
				 errhint("Type SELECT causaldb.resume_peer(...); there.")));
}

/* What the catalog calls this node id, or NULL. */
static char *
node_name(uint32 id)
{
	Oid type = INT4OID;
	Datum value = Int32GetDatum((int32) id);
	char *name = NULL;
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	if (SPI_execute_with_args("SELECT name::text FROM causaldb.node WHERE id = $1 AND state <> 'dropped'",
							  1, &type, &value, NULL, true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
		name = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return name;
}

/*
 * causaldb.hello(frame bytea) returns bytea: who we are, to a peer that says
 * who it is.
 */
Datum
causaldb_hello(PG_FUNCTION_ARGS)
{
	NodeShared *node = open_node();
	RepVersion theirs[REP_MAX_VECTOR];
	RepVersion ours[REP_MAX_VECTOR];
	RepHello hello = {.applied = {theirs, 0, REP_MAX_VECTOR}};
	RepHello answer = {.applied = {ours, 0, REP_MAX_VECTOR}};
	RepReader body;
	RepWriter w;
	bytea *out;

	if (open_frame(PG_GETARG_BYTEA_PP(0), &body) != REP_FRAME_HELLO ||
		!rep_hello_decode(&body, &hello))
		malformed("it is no HELLO");
	if (hello.cluster != node->cluster)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("node %u belongs to another cluster", hello.from.node),
				 errdetail("Its cluster is " UINT64_FORMAT ", ours is " UINT64_FORMAT ".",
						   hello.cluster, node->cluster),
				 errhint("Correct the connection string on that node with causaldb.alter_node().")));
	if (hello.from.node == (uint32) node->node_id || node_name(hello.from.node) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("node %u is not a peer of node %d", hello.from.node, node->node_id),
				 errhint("It may be too early: the sender tries again by itself.")));
	if (hello.encoding != (uint32) GetDatabaseEncoding())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("node %u has another server encoding", hello.from.node),
				 errdetail("This database is %s, the peer's encoding is %s.",
						   GetDatabaseEncodingName(), pg_encoding_to_char((int) hello.encoding)),
				 errhint("All nodes of a cluster need the same server encoding.")));
	refuse_paused(node, hello.from.node);
	peer_node = hello.from.node;
	heard = shmem_heard_slot(node, peer_node);

	/* every frame is a transaction of its own; waiting for the disk is for
	 * the apply worker and the acks */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);

	receive_hello_of(node, &answer);
	out = palloc(VARHDRSZ + ANSWER_BYTES);
	rep_writer_init(&w, VARDATA(out), ANSWER_BYTES);
	rep_frame_begin(&w);
	rep_hello_encode(&answer, &w);
	rep_frame_end(&w, REP_FRAME_HELLO);
	if (w.full)
		elog(ERROR, "causaldb: a HELLO does not fit");
	SET_VARSIZE(out, VARHDRSZ + w.len);
	/* it is there: who has lost it need not wait for the next try */
	if (heard)
		pg_atomic_fetch_add_u32(&heard->hellos, 1);
	shmem_wake_sender(node);
	shmem_wake_consensus(node);
	PG_RETURN_BYTEA_P(out);
}

/* Stores the chunks of a large transaction; those that are here stay. */
static void
stage_chunks(NodeShared *node, RepReader *body)
{
	RepChunks chunks;
	Oid types[4] = {INT4OID, INT8OID, INT4OID, BYTEAOID};
	int32 stream;
	uint32 i;

	if (!rep_chunks_decode(body, &chunks))
		malformed("its chunks' head cannot be read");
	if (chunks.stream.boot == node->own.boot || chunks.stream.node == 0)
		malformed("it has chunks of a stream that is not its own");
	for (i = 0; i < chunks.ndescriptors; i++)
	{
		size_t len;
		const uint8 *bytes = rep_read_blob(body, &len);

		if (body->bad)
			malformed("a descriptor is cut off");
		catalog_put_descriptor(rep_hash64(bytes, len, 0), bytes, len);
	}
	if (shmem_is_paused(node, chunks.stream.node))
		return;
	stream = streams_ensure(chunks.stream);
	SPI_connect();
	for (i = 0; i < chunks.nchunks; i++)
	{
		uint64 ordinal = rep_read_varint(body);
		size_t len;
		const uint8 *bytes = rep_read_blob(body, &len);
		bytea *payload;
		Datum values[4];

		if (body->bad || ordinal > PG_INT32_MAX)
			malformed("a chunk is cut off");
		payload = palloc(VARHDRSZ + len);
		SET_VARSIZE(payload, VARHDRSZ + len);
		memcpy(VARDATA(payload), bytes, len);
		values[0] = Int32GetDatum(stream);
		values[1] = Int64GetDatum((int64) chunks.xid);
		values[2] = Int32GetDatum((int32) ordinal);
		values[3] = PointerGetDatum(payload);
		if (SPI_execute_with_args("INSERT INTO causaldb.log_chunk (stream, xid, ordinal, payload) "
								  "VALUES ($1, ($2::text)::xid8, $3, $4) ON CONFLICT DO NOTHING",
								  4, types, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "causaldb could not store a chunk");
		pfree(payload);
	}
	SPI_finish();
	if (rep_reader_left(body) != 0)
		malformed("bytes follow its chunks");
}

/* Checks an interval as far as one can without applying it. */
static void
check_interval(NodeShared *node, RepReader body, RepInterval *interval)
{
	static RepVersion deps[REP_MAX_VECTOR];
	uint64 before;
	uint32 i;

	if (!rep_interval_decode(&body, interval))
		malformed("its interval cannot be read");
	if (interval->stream.boot == node->own.boot || interval->stream.node == 0)
		malformed("it is of a stream that is not its own");
	for (i = 0; i < interval->ndescriptors; i++)
	{
		size_t len;
		const uint8 *bytes = rep_read_blob(&body, &len);

		if (body.bad)
			malformed("a descriptor is cut off");
		/* here it fails one link; the apply worker serves all of them */
		catalog_check_descriptor(bytes, len);
	}
	if (!rep_interval_decode_count(&body, interval))
		malformed("its transactions cannot be read");
	before = interval->from;
	for (i = 0; i < interval->ntransactions; i++)
	{
		RepTransaction t = {.deps = {deps, 0, REP_MAX_VECTOR}};

		if (!rep_transaction_decode(&body, &t))
			malformed("a transaction cannot be read");
		/* what stands out of order would be taken for applied already */
		if (!rep_interval_accepts(interval, before, &t))
			malformed("its transactions are not in the order of their stream");
		before = t.position;
	}
	if (rep_reader_left(&body) != 0)
		malformed("bytes follow its transactions");
}

/*
 * causaldb.receive(frame bytea) returns bytea: takes one frame and answers
 * with what is applied here.
 */
Datum
causaldb_receive(PG_FUNCTION_ARGS)
{
	static RepVersion acks[REP_MAX_VECTOR];
	static RepVersion applied[REP_MAX_VECTOR];
	NodeShared *node = open_node();
	bytea *frame = PG_GETARG_BYTEA_PP(0);
	RepAnswer answer = {.applied = {applied, 0, REP_MAX_VECTOR}};
	RepReader body;
	RepWriter w;
	bytea *out;

	if (peer_node == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("a frame came before HELLO"),
				 errhint("Only the sender of a peer calls causaldb.receive().")));
	if (refused)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("an earlier frame of this session failed"),
				 errhint("The sender connects again by itself.")));
	refused = true;
	refuse_paused(node, peer_node);
	if (heard)
		pg_atomic_write_u64(&heard->at, (uint64) GetCurrentTimestamp());
	switch (open_frame(frame, &body))
	{
		case REP_FRAME_INTERVAL:
			{
				RepInterval interval = {.mark = {.acks = {acks, 0, REP_MAX_VECTOR}}};
				int slot;

				check_interval(node, body, &interval);
				if (!shmem_is_paused(node, interval.stream.node))
					inbox_send(node, INBOX_APPLY, VARDATA_ANY(frame), VARSIZE_ANY_EXHDR(frame));
				DEBUG_POINT("receive_handed_over");
				slot = shmem_find_stream(node, interval.stream);
				if (slot >= 0)
					answer.taken = pg_atomic_read_u64(&node->streams[slot].taken);
				break;
			}
		case REP_FRAME_CHUNKS:
			stage_chunks(node, &body);
			DEBUG_POINT("receive_chunks_stored");
			break;
		default:
			malformed("a receiver takes intervals and chunks only");
	}

	answer.hlc = rep_hlc_from_ms(wall_ms());
	streams_applied_vector(node, clock_closed(node), &answer.applied);
	out = palloc(VARHDRSZ + ANSWER_BYTES);
	rep_writer_init(&w, VARDATA(out), ANSWER_BYTES);
	rep_frame_begin(&w);
	rep_answer_encode(&answer, &w);
	rep_frame_end(&w, REP_FRAME_ANSWER);
	if (w.full)
		elog(ERROR, "causaldb: an answer does not fit");
	SET_VARSIZE(out, VARHDRSZ + w.len);
	refused = false;
	PG_RETURN_BYTEA_P(out);
}
