/*
 * omission.c
 *		See omission.h.
 *
 * Rows of causaldb.omission whose stream or omitted stream has no slot any
 * more say nothing that anybody asks for; they are left out when loading.
 * What another node leaves out was stable there, and all that made it so has
 * been applied here before that word of it (horizon.h's invariant 3): so it is
 * stable here too, even if the others have stopped acknowledging it before we
 * came to see it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "bytes.h"
#include "capture.h"
#include "clock.h"
#include "errors.h"
#include "horizon.h"
#include "meta.h"
#include "omission.h"
#include "streams.h"

typedef struct Omission
{
	int slot; /* whose transactions */
	uint64 position; /* after which */
	int omitted; /* have seen all of this slot's stream */
	uint64 final;
} Omission;

static Omission *omissions = NULL;
static int nomissions = 0;
static int room = 0;
static bool writes; /* this process adds to them; others follow the table */
static uint32 loaded; /* node->omissions as of when they were read */

static void
remember(int slot, uint64 position, int omitted, uint64 final)
{
	int i;

	for (i = 0; i < nomissions; i++)
		if (omissions[i].slot == slot && omissions[i].omitted == omitted)
			return;
	if (nomissions == room)
	{
		room = Max(64, room * 2);
		omissions = omissions ? repalloc(omissions, sizeof(Omission) * room)
							  : MemoryContextAlloc(TopMemoryContext, sizeof(Omission) * room);
	}
	omissions[nomissions].slot = slot;
	omissions[nomissions].position = position;
	omissions[nomissions].omitted = omitted;
	omissions[nomissions++].final = final;
}

static void
believe(StreamSlot *slot, uint64 final)
{
	if (pg_atomic_read_u64(&slot->final) == 0)
		pg_atomic_write_u64(&slot->final, final);
	shmem_max_u64(&slot->everywhere, final);
	shmem_max_u64(&slot->stable, final);
}

static void
begin_change(NodeShared *node)
{
	if ((pg_atomic_read_u32(&node->omissions) & 1) == 0)
		pg_atomic_fetch_add_u32(&node->omissions, 1);
}

void
omission_end_group(NodeShared *node)
{
	if (pg_atomic_read_u32(&node->omissions) & 1)
		pg_atomic_fetch_add_u32(&node->omissions, 1);
}

void
omission_load(NodeShared *node, bool apply)
{
	int i;

	writes = apply;
	if (writes)
		omission_end_group(node); /* of the process before us */
	loaded = pg_atomic_read_u32(&node->omissions);
	pg_memory_barrier();
	nomissions = 0;
	SPI_connect();
	if (SPI_execute("SELECT stream, position, omitted, final FROM causaldb.omission", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not read causaldb.omission");
	for (i = 0; i < (int) SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		int slot = shmem_find_stream_by_local(node, DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull)));
		int omitted = shmem_find_stream_by_local(node, DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull)));

		uint64 final = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 4, &isnull));

		if (omitted >= 0 && slot != node->own_slot)
			believe(&node->streams[omitted], final);
		if (slot >= 0 && omitted >= 0)
			remember(slot, (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull)), omitted, final);
	}
	SPI_finish();
}

/*
 * What is visible in the log may leave out what we have not read: the change
 * was counted before its commit, and is odd until after it.
 */
void
omission_follow(NodeShared *node)
{
	uint32 now;
	Oid user;
	int context;

	pg_memory_barrier();
	now = pg_atomic_read_u32(&node->omissions);
	if (writes || (now == loaded && (now & 1) == 0))
		return;
	/* we may be a table's owner just now, who may not read it */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	PushActiveSnapshot(GetLatestSnapshot());
	omission_load(node, false);
	PopActiveSnapshot();
	SetUserIdAndSecContext(user, context);
}

void
omission_add(int slot, uint64 position, uint64 *dense)
{
	int i;

	for (i = 0; i < nomissions; i++)
		if (omissions[i].slot == slot && omissions[i].position < position)
			dense[omissions[i].omitted] = Max(dense[omissions[i].omitted], omissions[i].final);
}

uint64 *
omission_dense(NodeShared *node, const StoreLogRow *row)
{
	StoreDep *deps = palloc(sizeof(StoreDep) * REP_MAX_STREAMS);
	uint64 *dense = palloc0(sizeof(uint64) * REP_MAX_STREAMS);
	int n = store_decode_deps(row->deps, row->deps_len, row->stamp.hlc, deps, REP_MAX_STREAMS);
	int i;

	omission_follow(node);
	for (i = 0; i < n; i++)
	{
		int slot = shmem_find_stream_by_local(node, deps[i].stream);

		if (slot >= 0)
			dense[slot] = deps[i].position;
	}
	if (row->strong)
		omission_add(shmem_find_stream(node, row->stamp.stream), row->stamp.hlc, dense);
	else
		omission_add(shmem_find_stream_by_local(node, row->stream), row->position, dense);
	pfree(deps);
	return dense;
}

static void
store(int32 stream, uint64 position, int32 omitted, uint64 final)
{
	Oid types[4] = {INT4OID, INT8OID, INT4OID, INT8OID};
	Datum values[4] = {Int32GetDatum(stream), Int64GetDatum((int64) position), Int32GetDatum(omitted),
					   Int64GetDatum((int64) final)};

	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO causaldb.omission (stream, position, omitted, final) "
							  "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
							  4, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "causaldb could not write causaldb.omission");
	SPI_finish();
}

void
omission_apply(NodeShared *node, int slot, uint64 position, const void *body, size_t len)
{
	RepReader r;

	begin_change(node);
	rep_reader_init(&r, body, len);
	while (rep_reader_left(&r) > 0)
	{
		RepStreamId stream;
		uint64 final;
		int32 id;
		int omitted;

		stream.node = rep_read_u32(&r);
		stream.boot = rep_read_u64(&r);
		final = rep_read_u64(&r);
		if (r.bad)
			ereport(ERROR, (errcode(ERRORS_MALFORMED), errmsg("a peer sent a malformed list of ended streams")));
		omitted = shmem_find_stream(node, stream);
		if (omitted < 0 && !streams_retired(stream, &id))
			ereport(ERROR, (errcode(ERRORS_MALFORMED),
							errmsg("a peer leaves out a stream of node %u that this node does not know", stream.node)));
		if (omitted < 0)
			continue;
		/* a rolled-back group leaves it in memory: it is applied again before
		 * anything after it is */
		store(node->streams[slot].local_id, position, node->streams[omitted].local_id, final);
		remember(slot, position, omitted, final);
	}
}

void
omission_retire(NodeShared *node)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	uint8 *body = palloc(n * 20);
	int *slots = palloc(sizeof(int) * Max(n, 1));
	int count = 0;
	uint64 position;
	RepWriter w;
	int s;

	rep_writer_init(&w, body, n * 20);
	for (s = 0; s < n; s++)
	{
		StreamSlot *slot = &node->streams[s];
		uint64 final = pg_atomic_read_u64(&slot->final);

		if (final == 0 || pg_atomic_read_u32(&slot->retired) || pg_atomic_read_u64(&slot->stable) < final ||
			!horizon_is_everywhere(node, s))
			continue;
		rep_write_u32(&w, slot->id.node);
		rep_write_u64(&w, slot->id.boot);
		rep_write_u64(&w, final);
		slots[count++] = s;
	}
	if (count == 0)
		return;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	begin_change(node);
	capture_meta(META_RETIRE, body, w.len);
	for (s = 0; s < count; s++)
	{
		Oid type = INT4OID;
		Datum value = Int32GetDatum(node->streams[slots[s]].local_id);

		SPI_connect();
		if (SPI_execute_with_args("UPDATE causaldb.stream SET retired = true WHERE id = $1", 1, &type, &value, NULL,
								  false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "causaldb could not retire a stream");
		SPI_finish();
		/* its own position it will only know at commit: no transaction of ours
		 * leaves a stream out before that, so any position below it will do */
		store(node->streams[node->own_slot].local_id, clock_read(node), node->streams[slots[s]].local_id,
			  pg_atomic_read_u64(&node->streams[slots[s]].final));
	}
	position = clock_read(node);
	PopActiveSnapshot();
	CommitTransactionCommand();
	omission_end_group(node);
	for (s = 0; s < count; s++)
	{
		remember(node->own_slot, position, slots[s], pg_atomic_read_u64(&node->streams[slots[s]].final));
		pg_atomic_write_u32(&node->streams[slots[s]].retired, 1);
	}
}
