/*
 * streams.c
 *		See streams.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "errors.h"
#include "store.h"
#include "streams.h"

/* bytes an encoded vector takes at most */
#define VECTOR_BYTES (10 + REP_MAX_VECTOR * (5 + 8 + 10))

static Datum
vector_datum(const RepVector *v)
{
	bytea *bytes = palloc(VARHDRSZ + VECTOR_BYTES);
	RepWriter w;

	rep_writer_init(&w, VARDATA(bytes), VECTOR_BYTES);
	rep_vector_encode(v, &w);
	Assert(!w.full);
	SET_VARSIZE(bytes, VARHDRSZ + w.len);
	return PointerGetDatum(bytes);
}

static void
decode_vector(bytea *bytes, RepVector *v)
{
	RepReader r;

	v->entries = palloc(sizeof(RepVersion) * REP_MAX_VECTOR);
	v->cap = REP_MAX_VECTOR;
	v->len = 0;
	rep_reader_init(&r, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	rep_vector_decode(&r, v);
	if (r.bad)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("malformed acknowledgement vector in causaldb.stream")));
}

static void
run(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expect)
{
	int rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc != expect)
		elog(ERROR, "causaldb could not run \"%s\": %s", sql, SPI_result_code_string(rc));
}

int32
streams_ensure(RepStreamId stream)
{
	Oid types[2] = {INT4OID, INT8OID};
	Datum values[2] = {Int32GetDatum((int32) stream.node), Int64GetDatum((int64) stream.boot)};
	const char *look = "SELECT id FROM causaldb.stream WHERE node = $1 AND boot = $2";
	bool isnull;
	int32 id;

	SPI_connect();
	run(look, 2, types, values, NULL, SPI_OK_SELECT);
	if (SPI_processed == 0)
	{
		LockRelationOid(store_table(STORE_STREAM), ShareRowExclusiveLock);
		run(look, 2, types, values, NULL, SPI_OK_SELECT);
	}
	if (SPI_processed == 0)
		run("INSERT INTO causaldb.stream (id, node, boot) "
			"SELECT pg_catalog.max(id) + 1, $1, $2 FROM causaldb.stream RETURNING id",
			2, types, values, NULL, SPI_OK_INSERT_RETURNING);
	id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return id;
}

int
streams_read(StreamRow **rows)
{
	MemoryContext caller = CurrentMemoryContext;
	int n;
	int i;

	SPI_connect();
	run("SELECT id, node, boot, applied, chain, closed, closed_chain, acked_at, acks, final, retired "
		"FROM causaldb.stream WHERE id > 0 ORDER BY id",
		0, NULL, NULL, NULL, SPI_OK_SELECT);
	n = (int) SPI_processed;
	*rows = MemoryContextAllocZero(caller, sizeof(StreamRow) * Max(n, 1));
	for (i = 0; i < n; i++)
	{
		StreamRow *row = &(*rows)[i];
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		Datum acks;
		Datum final;
		bool isnull;

		row->id = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		row->stream.node = (uint32) DatumGetInt32(SPI_getbinval(tuple, desc, 2, &isnull));
		row->stream.boot = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 3, &isnull));
		row->applied = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 4, &isnull));
		row->chain = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 5, &isnull));
		row->closed = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 6, &isnull));
		row->closed_chain = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 7, &isnull));
		row->acked_at = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 8, &isnull));
		acks = SPI_getbinval(tuple, desc, 9, &row->has_acks);
		row->has_acks = !row->has_acks;
		if (row->has_acks)
		{
			MemoryContext old = MemoryContextSwitchTo(caller);

			decode_vector(DatumGetByteaPP(acks), &row->acks);
			MemoryContextSwitchTo(old);
		}
		final = SPI_getbinval(tuple, desc, 10, &isnull);
		row->final = isnull ? 0 : (uint64) DatumGetInt64(final);
		row->retired = DatumGetBool(SPI_getbinval(tuple, desc, 11, &isnull));
	}
	SPI_finish();
	return n;
}

RepMark
streams_word(const StreamRow *row)
{
	RepMark word = {.closed = row->closed, .chain = row->closed_chain};

	if (row->has_acks)
	{
		word.acked_at = row->acked_at;
		word.acks = row->acks;
	}
	return word;
}

void
streams_update(const StreamRow *row)
{
	static SPIPlanPtr plan = NULL;
	Datum values[7];
	const char *nulls = row->has_acks ? "       " : "      n";
	int rc;

	SPI_connect();
	if (plan == NULL)
	{
		Oid types[7] = {INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, BYTEAOID};
		SPIPlanPtr fresh = SPI_prepare("UPDATE causaldb.stream SET applied = $2, chain = $3, closed = $4, "
									   "closed_chain = $5, acked_at = $6, acks = $7 WHERE id = $1",
									   7, types);

		if (fresh == NULL || SPI_keepplan(fresh) != 0)
			elog(ERROR, "causaldb could not prepare the update of causaldb.stream");
		plan = fresh;
	}
	values[0] = Int32GetDatum(row->id);
	values[1] = Int64GetDatum((int64) row->applied);
	values[2] = Int64GetDatum((int64) row->chain);
	values[3] = Int64GetDatum((int64) row->closed);
	values[4] = Int64GetDatum((int64) row->closed_chain);
	values[5] = Int64GetDatum((int64) row->acked_at);
	values[6] = row->has_acks ? vector_datum(&row->acks) : (Datum) 0;
	rc = SPI_execute_plan(plan, values, nulls, false, 0);
	if (rc != SPI_OK_UPDATE || SPI_processed != 1)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("stream %d has no row in causaldb.stream", row->id)));
	SPI_finish();
}

/* Our earlier streams have no writer any more: they stand at their last row. */
static uint64
position_at_start(const StreamRow *row, int32 node_id)
{
	uint64 applied = row->applied;

	if ((int32) row->stream.node == node_id)
		applied = Max(applied, store_last_position(row->id, GetActiveSnapshot()));
	return applied;
}

/*
 * Deps shall name transactions of others, as they did before the start, and no
 * position that we only know to be empty: others would wait to hear of that.
 */
static void
name_last_transaction(StreamSlot *slot)
{
	uint64 last = store_last_position(slot->local_id, GetActiveSnapshot());

	if (last > 0 && last < pg_atomic_read_u64(&slot->started))
		pg_atomic_write_u64(&slot->started, last);
}

void
streams_attach(NodeShared *node)
{
	StreamRow *rows;
	int n = streams_read(&rows);
	int i;

	for (i = 0; i < n; i++)
	{
		int slot;

		if (shmem_find_stream(node, rows[i].stream) >= 0 ||
			(rows[i].retired && i < n - RETIRED_SLOTS))
			continue;
		slot = shmem_add_stream(node, rows[i].stream, rows[i].id,
								position_at_start(&rows[i], node->node_id));
		if ((int32) rows[i].stream.node != node->node_id && rows[i].stream.node != 0)
			name_last_transaction(&node->streams[slot]);
		if ((int32) rows[i].stream.node == node->node_id && node->continued)
		{
			/* peers may hold it up to any position we ever called closed, and
			 * our clock has begun above all of those; in a copy of our folder
			 * they may have more of it than we, and send it */
			shmem_max_u64(&node->streams[slot].applied, clock_read(node));
		}
		pg_atomic_write_u64(&node->streams[slot].final, rows[i].final);
		if (rows[i].retired)
		{
			pg_atomic_write_u64(&node->streams[slot].everywhere, rows[i].final);
			pg_atomic_write_u64(&node->streams[slot].stable, rows[i].final);
		}
	}
	pfree(rows);
}

int
streams_strong_slot(NodeShared *node)
{
	int slot = shmem_find_stream(node, STREAMS_STRONG);

	if (slot < 0)
		ereport(ERROR, (errcode(ERRORS_MALFORMED), errmsg("causaldb.stream has lost the row of the strong log")));
	return slot;
}

/* ------------------------------------------------------------ retired */

static StreamRow *retired = NULL; /* TopMemoryContext */
static int nretired = 0;

void
streams_load_retired(void)
{
	StreamRow *rows;
	int n = streams_read(&rows);
	int i;

	if (retired)
		pfree(retired);
	retired = MemoryContextAllocZero(TopMemoryContext, sizeof(StreamRow) * Max(n, 1));
	nretired = 0;
	for (i = 0; i < n; i++)
		if (rows[i].retired)
			retired[nretired++] = rows[i];
	pfree(rows);
}

bool
streams_retired(RepStreamId stream, int32 *id)
{
	int i;

	for (i = 0; i < nretired; i++)
		if (rep_stream_compare(retired[i].stream, stream) == 0)
		{
			*id = retired[i].id;
			return true;
		}
	return false;
}

bool
streams_name(NodeShared *node, int32 id, RepStreamId *stream)
{
	int slot = shmem_find_stream_by_local(node, id);
	int i;

	if (slot >= 0)
	{
		*stream = node->streams[slot].id;
		return true;
	}
	for (i = 0; i < nretired; i++)
		if (retired[i].id == id)
		{
			*stream = retired[i].stream;
			return true;
		}
	return false;
}

/* Better no row than one more at each try of a node that cannot open. */
static void
check_room(const StreamRow *rows, int n)
{
	int live = 0;
	int i;

	for (i = 0; i < n; i++)
		if (!rows[i].retired || i >= n - RETIRED_SLOTS)
			live++;
	if (live >= ALL_STREAM_SLOTS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("this node cannot open a stream: it has %d that are not everywhere yet", live),
				 errdetail("Every start of a node begins one; they leave when every member has all of them."),
				 errhint("A member has been away for too long: SELECT * FROM causaldb.nodes; shows which, and its node has to leave the cluster.")));
}

void
streams_open(NodeShared *node, int32 node_id)
{
	RepStreamId own = {(uint32) node_id, 0};
	StreamRow *rows;
	uint64 above = 0;
	int n;
	int i;

	while (own.boot == 0)
		if (!pg_strong_random(&own.boot, sizeof(own.boot)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not get random bytes for a new stream")));

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	n = streams_read(&rows);
	check_room(rows, n);
	for (i = 0; i < n; i++)
		above = Max(above, position_at_start(&rows[i], node_id));
	(void) streams_ensure(own);
	PopActiveSnapshot();
	CommitTransactionCommand();

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	clock_open(node, above);
	node->node_id = node_id;
	streams_attach(node);
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->own = own;
	node->own_slot = shmem_find_stream(node, own);
	LWLockRelease(&node->lock);
	Assert(node->own_slot >= 0);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
streams_set_final(NodeShared *node, RepStreamId stream, uint64 final)
{
	int slot = shmem_find_stream(node, stream);
	Oid types[3] = {INT4OID, INT8OID, INT8OID};
	Datum values[3] = {Int32GetDatum((int32) stream.node), Int64GetDatum((int64) stream.boot),
					   Int64GetDatum((int64) final)};

	SPI_connect();
	run("UPDATE causaldb.stream SET final = $3 WHERE node = $1 AND boot = $2", 3, types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	if (slot >= 0)
		pg_atomic_write_u64(&node->streams[slot].final, final);
}

void
streams_applied_vector(NodeShared *node, uint64 own, RepVector *v)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	uint32 turn;
	int i;

	do
	{
		turn = shmem_streams_begin(node);
		v->len = 0;
		for (i = 0; i < n; i++)
		{
			uint64 at = i == node->own_slot ? own : pg_atomic_read_u64(&node->streams[i].applied);

			if (at && !rep_vector_set(v, node->streams[i].id, at))
				elog(ERROR, "causaldb: a vector of %d streams has no room", n);
		}
	} while (shmem_streams_changed(node, turn));
}
