/*
 * consensus_store.c
 *		See consensus_store.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "bytes.h"
#include "raft_message.h"

#include "consensus_store.h"
#include "strong_log.h"
#include "errors.h"

/* one entry has at most this many bytes, but for its payload */
#define ARENA_BYTES (8 * 1024 * 1024)

static bool batch = false; /* a transaction is open */
static uint64 stored_last = 0;

/* ------------------------------------------------------------ helpers */

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void
need_batch(void)
{
	if (!batch)
		begin();
	batch = true;
}

/* Runs a statement that is prepared at its first use. */
static void
run(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types, Datum *values,
	bool read_only)
{
	int rc;

	if (*plan == NULL)
	{
		SPIPlanPtr fresh = SPI_prepare(sql, nargs, types);

		if (fresh == NULL || SPI_keepplan(fresh) != 0)
			elog(ERROR, "causaldb could not prepare \"%s\"", sql);
		*plan = fresh;
	}
	rc = SPI_execute_plan(*plan, values, NULL, read_only, 0);
	if (rc < 0)
		elog(ERROR, "causaldb could not run \"%s\": %s", sql,
			 SPI_result_code_string(rc));
}

static Datum
bytes_datum(const void *data, size_t len)
{
	bytea *out = palloc(VARHDRSZ + len);

	SET_VARSIZE(out, VARHDRSZ + len);
	if (len > 0)
		memcpy(VARDATA(out), data, len);
	return PointerGetDatum(out);
}

typedef void (*Encode)(const void *what, RepWriter *w);

static void
encode_entry(const void *what, RepWriter *w)
{
	rep_raft_entry_encode(what, w);
}

static void
encode_base(const void *what, RepWriter *w)
{
	rep_raft_base_encode(what, w);
}

static Datum
encoded(Encode encode, const void *what)
{
	RepWriter w;
	bytea *out;

	rep_writer_init(&w, NULL, 0);
	encode(what, &w);
	out = palloc(VARHDRSZ + w.len);
	SET_VARSIZE(out, VARHDRSZ + w.len);
	rep_writer_init(&w, VARDATA(out), w.len);
	encode(what, &w);
	Assert(!w.full);
	return PointerGetDatum(out);
}

static void
pg_attribute_noreturn() malformed(const char *what)
{
	ereport(ERROR, (errcode(ERRORS_MALFORMED),
					errmsg("malformed %s", what),
					errhint("This node's strong log is damaged: remove the "
							"node and let it join again.")));
}

static Datum
column(int i, int attnum)
{
	bool isnull;

	return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, attnum,
						 &isnull);
}

/* ------------------------------------------------------------ start */

void
consensus_store_init(void)
{
	/* a dead standby must not stop the log, no setting weaken it */
	SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
}

static void
decode_base(Datum bytes, RepRaftBase *base)
{
	bytea *b = DatumGetByteaP(bytes);
	size_t room = 4096 + 16 * VARSIZE(b);
	RepArena arena;
	RepReader r;

	rep_arena_init(&arena, palloc(room), room);
	rep_reader_init(&r, VARDATA(b), VARSIZE(b) - VARHDRSZ);
	if (!rep_raft_base_decode(&r, &arena, base) || !rep_reader_done(&r))
		malformed("base in causaldb.strong_state");
}

void
consensus_store_open(uint32 founder, ConsensusState *state)
{
	MemoryContext caller = CurrentMemoryContext;
	RepRaftMember first = { founder, true, false };
	RepRaftBase empty = { .members = &first, .nmembers = 1 };
	Oid types[1] = { BYTEAOID };
	Datum values[1];
	static SPIPlanPtr plan = NULL;

	begin();
	SPI_connect();
	values[0] = encoded(encode_base, &empty);
	run(&plan,
		"INSERT INTO causaldb.strong_state AS s (base) VALUES ($1) "
		"ON CONFLICT (singleton) DO UPDATE SET starts = s.starts + 1 "
		"RETURNING term, vote, starts, base, installing",
		1, types, values, false);
	state->term = (uint64) DatumGetInt64(column(0, 1));
	state->vote = (uint32) DatumGetInt32(column(0, 2));
	state->starts = (uint64) DatumGetInt64(column(0, 3));
	state->install_from = (uint64) DatumGetInt64(column(0, 5));
	state->installing = (int64) state->install_from >= 0;
	MemoryContextSwitchTo(caller);
	decode_base(column(0, 4), &state->base);
	SPI_finish();
	end();
	MemoryContextSwitchTo(caller);
}

void
consensus_store_restore(RepRaft *raft, uint64 base)
{
	Oid types[1] = { INT8OID };
	Datum values[1] = { Int64GetDatum((int64) base) };
	void *memory = palloc_extended(ARENA_BYTES, MCXT_ALLOC_HUGE);
	RepArena arena;
	Portal portal;

	stored_last = base;
	rep_arena_init(&arena, memory, ARENA_BYTES);
	begin();
	SPI_connect();
	portal = SPI_cursor_open_with_args(
		NULL,
		"SELECT index, entry FROM causaldb.strong_log WHERE index > $1 "
		"ORDER BY index",
		1, types, values, NULL, true, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, 1000);
		if (SPI_processed == 0)
			break;
		for (int i = 0; i < (int) SPI_processed; i++)
		{
			bytea *b = DatumGetByteaPP(column(i, 2));
			RepRaftEntry e;
			RepReader r;

			rep_arena_reset(&arena);
			rep_reader_init(&r, VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
			if (!rep_raft_entry_decode(&r, &arena, &e) ||
				!rep_reader_done(&r) ||
				e.index != (uint64) DatumGetInt64(column(i, 1)) ||
				!rep_raft_restore_entry(raft, &e))
				malformed("entry in causaldb.strong_log");
			stored_last = e.index;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
	end();
	pfree(memory);
}

bool
consensus_store_used(void)
{
	bool used;

	begin();
	SPI_connect();
	if (SPI_execute("SELECT FROM causaldb.tag WHERE level = 'strong' UNION ALL "
					"SELECT FROM causaldb.tag_column WHERE level = 'strong' "
					"UNION ALL SELECT FROM causaldb.strong_log "
					"WHERE pg_catalog.length(payload) > 0 LIMIT 1",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not look for strong columns");
	used = SPI_processed > 0;
	SPI_finish();
	end();
	return used;
}

/* ------------------------------------------------------------ writing */

void
consensus_store_state(uint64 term, uint32 vote)
{
	static SPIPlanPtr plan = NULL;
	Oid types[2] = { INT8OID, INT4OID };
	Datum values[2] = { Int64GetDatum((int64) term),
						Int32GetDatum((int32) vote) };

	need_batch();
	SPI_connect();
	run(&plan, "UPDATE causaldb.strong_state SET term = $1, vote = $2", 2,
		types, values, false);
	SPI_finish();
}

void
consensus_store_cut(uint64 index)
{
	static SPIPlanPtr plan = NULL;
	Oid types[1] = { INT8OID };
	Datum values[1] = { Int64GetDatum((int64) index) };

	need_batch();
	if (index > stored_last)
		return;
	SPI_connect();
	run(&plan, "DELETE FROM causaldb.strong_log WHERE index >= $1", 1, types,
		values, false);
	SPI_finish();
	stored_last = index - 1;
	CommandCounterIncrement();
}

void
consensus_store_entry(const RepRaftEntry *e, const void *payload)
{
	bytea *entry;
	bytea *bytes;

	Assert(e->index == stored_last + 1);
	need_batch();
	entry = DatumGetByteaPP(encoded(encode_entry, e));
	bytes = DatumGetByteaPP(bytes_datum(payload, e->payload_size));
	strong_log_insert(e->index, e->term, entry, bytes);
	pfree(entry);
	pfree(bytes);
	stored_last = e->index;
}

void
consensus_store_base(const RepRaftBase *base, bool install)
{
	static SPIPlanPtr plan = NULL;
	Oid types[1] = { BYTEAOID };
	Datum values[1];

	need_batch();
	if (install)
	{
		/* what is below the base may never have been committed */
		consensus_store_cut(0);
		stored_last = base->index;
	}
	SPI_connect();
	values[0] = encoded(encode_base, base);
	run(&plan, "UPDATE causaldb.strong_state SET base = $1, installing = -1",
		1, types, values, false);
	SPI_finish();
}

void
consensus_store_installing(uint64 from)
{
	static SPIPlanPtr plan = NULL;
	Oid types[1] = { INT8OID };
	Datum values[1] = { Int64GetDatum((int64) from) };

	need_batch();
	SPI_connect();
	/* the first try is the one that counts */
	run(&plan,
		"UPDATE causaldb.strong_state SET installing = $1 "
		"WHERE installing < 0",
		1, types, values, false);
	SPI_finish();
}

bool
consensus_store_open_batch(void)
{
	return batch;
}

void
consensus_store_commit(void)
{
	if (!batch)
		return;
	batch = false;
	end();
}

/* ------------------------------------------------------------ reading */

void *
consensus_store_payload(uint64 index, size_t *len)
{
	MemoryContext caller = CurrentMemoryContext;
	bool own = !batch;
	Snapshot snapshot;
	bytea *bytes;
	void *out = NULL;

	if (own)
		begin();
	else
		CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (strong_log_read(index, snapshot, NULL, &bytes))
	{
		*len = VARSIZE(bytes) - VARHDRSZ;
		out = MemoryContextAllocHuge(caller, *len + 1);
		memcpy(out, VARDATA(bytes), *len);
		pfree(bytes);
	}
	UnregisterSnapshot(snapshot);
	if (own)
		end();
	MemoryContextSwitchTo(caller);
	return out;
}

void
consensus_store_forget(uint64 index)
{
	static SPIPlanPtr plan = NULL;
	Oid types[1] = { INT8OID };
	Datum values[1] = { Int64GetDatum((int64) index) };

	need_batch();
	SPI_connect();
	run(&plan, "DELETE FROM causaldb.strong_log WHERE index <= $1", 1, types,
		values, false);
	SPI_finish();
}
