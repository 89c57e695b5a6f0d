/*
 * stall.c
 *		See stall.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "postmaster/postmaster.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "stall.h"

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
}

static void
end(bool synced)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	/* the worker commits asynchronously; a mark must outlive the crash it is for */
	if (synced && !XLogRecPtrIsInvalid(XactLastCommitEnd))
		XLogFlush(XactLastCommitEnd);
}

static void
run(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	int rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc < 0)
		elog(ERROR, "causaldb could not run \"%s\": %s", sql, SPI_result_code_string(rc));
}

int
stall_begin_try(int32 stream, uint64 position, bool synced)
{
	Oid types[3] = {INT4OID, INT8OID, TIMESTAMPTZOID};
	Datum values[3] = {Int32GetDatum(stream), Int64GetDatum((int64) position), TimestampTzGetDatum(PgStartTime)};
	bool isnull;
	int crashes;

	begin();
	run("INSERT INTO causaldb.stall AS s (stream, position, trying, server) VALUES ($1, $2, true, $3) "
		"ON CONFLICT (stream, position) DO UPDATE SET trying = s.crashes < " CppAsString2(STALL_CRASHES) ", server = $3 "
		"RETURNING crashes",
		3, types, values, restart_after_crash ? "   " : "  n");
	crashes = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	end(synced);
	return crashes;
}

void
stall_clear(int32 stream, uint64 position)
{
	Oid types[2] = {INT4OID, INT8OID};
	Datum values[2] = {Int32GetDatum(stream), Int64GetDatum((int64) position)};

	SPI_connect();
	run("DELETE FROM causaldb.stall WHERE stream = $1 AND position <= $2", 2, types, values, NULL);
	SPI_finish();
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text ? ' ' : 'n';
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

void
stall_record(int32 stream, uint64 position, const ErrorData *error, const char *relation)
{
	Oid types[8] = {INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[8];
	char nulls[9] = "        ";

	begin();
	values[0] = Int32GetDatum(stream);
	values[1] = Int64GetDatum((int64) position);
	values[2] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
	values[3] = text_or_null(error->message, &nulls[3]);
	values[4] = text_or_null(error->detail, &nulls[4]);
	values[5] = text_or_null(error->hint, &nulls[5]);
	values[6] = text_or_null(error->context, &nulls[6]);
	values[7] = text_or_null(relation, &nulls[7]);
	run("INSERT INTO causaldb.stall AS s (stream, position, sqlstate, message, detail, hint, context, relation, tries) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1) "
		"ON CONFLICT (stream, position) DO UPDATE SET sqlstate = $3, message = $4, detail = $5, hint = $6, "
		"context = $7, relation = $8, last_at = pg_catalog.clock_timestamp(), tries = s.tries + 1, trying = false",
		8, types, values, nulls);
	end(false);
}

void
stall_count_crashes(bool server_started)
{
	Oid types[1] = {TIMESTAMPTZOID};
	Datum values[1] = {TimestampTzGetDatum(PgStartTime)};

	begin();
	/* a crash ends all processes: where only the worker began anew,
	 * an error ended the one before */
	if (server_started)
		run("UPDATE causaldb.stall SET crashes = crashes + COALESCE(server = $1, true)::pg_catalog.int4, trying = false, "
			"last_at = pg_catalog.clock_timestamp() WHERE trying",
			1, types, values, NULL);
	else
		run("UPDATE causaldb.stall SET trying = false WHERE trying", 0, NULL, NULL, NULL);
	end(true);
}

List *
stall_streams(void)
{
	MemoryContext context = CurrentMemoryContext;
	List *ids = NIL;
	uint64 i;

	SPI_connect();
	run("SELECT t.stream FROM causaldb.stall t JOIN causaldb.stream s ON s.id = t.stream WHERE t.position > s.applied",
		0, NULL, NULL, NULL);
	for (i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		int32 id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		MemoryContext old = MemoryContextSwitchTo(context);

		ids = lappend_int(ids, id);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return ids;
}

bool
stall_is_aside(int32 stream, uint64 position)
{
	Oid types[2] = {INT4OID, INT8OID};
	Datum values[2] = {Int32GetDatum(stream), Int64GetDatum((int64) position)};
	bool found;

	SPI_connect();
	run("SELECT FROM causaldb.aside WHERE stream = $1 AND position = $2", 2, types, values, NULL);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

ErrorData *
stall_crash_error(int crashes)
{
	ErrorData *error = palloc0(sizeof(ErrorData));

	error->sqlerrcode = ERRCODE_CRASH_SHUTDOWN;
	error->message = psprintf("this transaction crashed the applying process %d times and is not tried any more", crashes);
	error->detail = "The server log has a crash of the process \"causaldb apply\" for each.";
	error->hint = "Remove the cause and type SELECT causaldb.retry(stream, position) with the values of causaldb.stalled. Or set the transaction aside with causaldb.set_aside(stream, position).";
	return error;
}
