/*
 * remote.c
 *		See remote.h.
 */
#include "postgres.h"

#include "libpq-fe.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "remote.h"

struct Remote
{
	PGconn *conn;
	bool descriptor; /* counted among the process's open files */
	char *whom;
	TimestampTz deadline; /* of statements; 0: none */
	char *piece; /* of a COPY, libpq's */
	MemoryContextCallback at_end;
};

/*
 * Values look the same whatever the role's or database's settings are, and
 * nothing on the other side ends a statement but its end.
 */
static const char *const SETTINGS =
	"SET search_path = pg_catalog, pg_temp; SET datestyle = ISO; SET intervalstyle = postgres; "
	"SET extra_float_digits = 3; SET bytea_output = hex; SET standard_conforming_strings = on; "
	"SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
	"SET row_security = off";

/* ------------------------------------------------------------ closing */

static void
shut(void *arg)
{
	Remote *remote = arg;

	if (remote->piece)
		PQfreemem(remote->piece);
	remote->piece = NULL;
	if (remote->conn)
		PQfinish(remote->conn);
	remote->conn = NULL;
	if (remote->descriptor)
		ReleaseExternalFD();
	remote->descriptor = false;
}

void
remote_close(Remote *remote)
{
	shut(remote);
}

/* ------------------------------------------------------------ waiting */

/*
 * Sleeps until the socket is ready, the latch is set or `deadline` (0: none)
 * has passed; false if it has.
 */
static bool
wait_for_socket(Remote *remote, int events, TimestampTz deadline)
{
	long timeout = -1;

	if (deadline)
	{
		timeout =
			TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (timeout <= 0)
			return false;
		events |= WL_TIMEOUT;
	}
	(void) WaitLatchOrSocket(MyLatch,
							 events | WL_LATCH_SET | WL_EXIT_ON_PM_DEATH,
							 PQsocket(remote->conn), timeout,
							 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

/* libpq's text without its line ends */
static char *
said(const char *text)
{
	char *copy = pstrdup(text);
	size_t len = strlen(copy);
	char *c;

	while (len > 0 && copy[len - 1] == '\n')
		copy[--len] = '\0';
	for (c = copy; *c; c++)
		if (*c == '\n')
			*c = ' ';
	return copy;
}

static void
lost(Remote *remote)
{
	char *reason = said(PQerrorMessage(remote->conn));

	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
					errmsg("lost the connection to %s", remote->whom),
					reason[0] ? errdetail("%s", reason) : 0));
}

/* ------------------------------------------------------------ connecting */

static void
ignore_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

/* Runs the handshake to its end; false, with a reason, if there is none. */
static bool
handshake(Remote *remote, TimestampTz deadline, char **why)
{
	PostgresPollingStatusType poll = PGRES_POLLING_WRITING;

	for (;;)
	{
		int events = 0;

		if (PQstatus(remote->conn) == CONNECTION_BAD ||
			poll == PGRES_POLLING_FAILED)
		{
			*why = said(PQerrorMessage(remote->conn));
			return false;
		}
		if (poll == PGRES_POLLING_OK)
			return true;
		events = poll == PGRES_POLLING_READING ? WL_SOCKET_READABLE
											   : WL_SOCKET_WRITEABLE;
		if (!wait_for_socket(remote, events, deadline))
		{
			*why = pstrdup("It did not answer in time.");
			return false;
		}
		poll = PQconnectPoll(remote->conn);
	}
}

/* NULL, with a reason, if there is no connection; *refused: we do not want it. */
static Remote *
attempt(Dsn dsn, const char *whom, int timeout_ms, const char **refused,
		char **why)
{
	const char *keywords[] = { "client_encoding", "fallback_application_name",
							   NULL };
	const char *values[] = { GetDatabaseEncodingName(), "causaldb admin",
							 NULL };
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	Remote *remote = palloc0(sizeof(Remote));

	*refused = dsn_refusal(dsn);
	if (*refused)
		return NULL;
	remote->whom = pstrdup(whom);
	remote->at_end.func = shut;
	remote->at_end.arg = remote;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &remote->at_end);

	if (!AcquireExternalFD())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("could not connect to %s", whom),
						errdetail("Too many files are open in this process.")));
	remote->descriptor = true;
	remote->conn = dsn_connect(dsn, keywords, values);
	if (remote->conn == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PQsetNoticeReceiver(remote->conn, ignore_notice, NULL);
	if (!handshake(remote, deadline, why))
	{
		shut(remote);
		return NULL;
	}
	/* before anything is said in that name */
	*refused = dsn_connection_refusal(dsn, remote->conn);
	if (*refused)
	{
		shut(remote);
		return NULL;
	}
	remote_command(remote, SETTINGS);
	return remote;
}

Remote *
remote_try(Dsn dsn, const char *whom, int timeout_ms, char **why)
{
	const char *refused;
	Remote *remote = attempt(dsn, whom, timeout_ms, &refused, why);

	if (refused)
		*why = pstrdup(refused);
	return remote;
}

Remote *
remote_connect(Dsn dsn, const char *whom, int timeout_ms)
{
	const char *refused;
	char *why = NULL;
	Remote *remote = attempt(dsn, whom, timeout_ms, &refused, &why);

	if (refused)
		dsn_refuse(refused);
	if (remote == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("could not connect to %s", whom),
				 errdetail("%s", why)));
	return remote;
}

const char *
remote_address(Remote *remote)
{
	return PQhostaddr(remote->conn);
}

/* ------------------------------------------------------------ statements */

void
remote_set_timeout(Remote *remote, int timeout_ms)
{
	remote->deadline =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
}

static void
wait_in_time(Remote *remote, int events)
{
	if (wait_for_socket(remote, events, remote->deadline))
		return;
	/* what it still may answer is not for the next statement */
	shut(remote);
	ereport(ERROR, (errcode(ERRORS_TIMED_OUT),
					errmsg("%s did not answer in time", remote->whom)));
}

/* Raises what the other side said as our own error. */
static void
raise_error(Remote *remote, PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	int code = ERRCODE_CONNECTION_FAILURE;

	if (state && strlen(state) == 5)
		code = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
	message = said(message ? message : PQresultErrorMessage(result));
	detail = detail ? pstrdup(detail) : NULL;
	hint = hint ? pstrdup(hint) : NULL;
	PQclear(result);
	ereport(ERROR, (errcode(code), errmsg("%s", message),
					detail ? errdetail("%s", detail) : 0,
					hint ? errhint("%s", hint) : 0,
					errcontext("said by %s", remote->whom)));
}

/* The next result, or NULL when the statement is over. */
static PGresult *
next_result(Remote *remote)
{
	int flushed;

	while ((flushed = PQflush(remote->conn)) == 1)
	{
		wait_in_time(remote, WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE);
		if (PQconsumeInput(remote->conn) == 0)
			lost(remote);
	}
	if (flushed < 0)
		lost(remote);
	while (PQisBusy(remote->conn))
	{
		wait_in_time(remote, WL_SOCKET_READABLE);
		if (PQconsumeInput(remote->conn) == 0)
			lost(remote);
	}
	return PQgetResult(remote->conn);
}

static RemoteRows *
take_rows(PGresult *result)
{
	RemoteRows *rows = palloc0(sizeof(RemoteRows));
	int i;

	rows->nrows = PQntuples(result);
	rows->ncolumns = PQnfields(result);
	rows->values =
		palloc0(sizeof(char *) * Max(1, rows->nrows * rows->ncolumns));
	for (i = 0; i < rows->nrows * rows->ncolumns; i++)
	{
		int row = i / rows->ncolumns;
		int column = i % rows->ncolumns;

		if (!PQgetisnull(result, row, column))
			rows->values[i] = pstrdup(PQgetvalue(result, row, column));
	}
	return rows;
}

/* Reads all results; keeps the rows of the last one that has some. */
static RemoteRows *
collect(Remote *remote)
{
	RemoteRows *rows = NULL;
	PGresult *result;

	while ((result = next_result(remote)) != NULL)
	{
		switch (PQresultStatus(result))
		{
			case PGRES_TUPLES_OK:
				rows = take_rows(result);
				PQclear(result);
				break;
			case PGRES_COMMAND_OK:
			case PGRES_EMPTY_QUERY:
				PQclear(result);
				break;
			case PGRES_COPY_OUT:
				/* the end of a COPY is not reached by asking for results */
				PQclear(result);
				return NULL;
			default:
				raise_error(remote, result);
		}
	}
	if (PQstatus(remote->conn) == CONNECTION_BAD)
		lost(remote);
	return rows;
}

RemoteRows *
remote_query(Remote *remote, const char *sql, int nparams,
			 const char *const *params)
{
	RemoteRows *rows;

	if (PQsendQueryParams(remote->conn, sql, nparams, NULL, params, NULL, NULL,
						  0) == 0)
		lost(remote);
	rows = collect(remote);
	return rows ? rows : palloc0(sizeof(RemoteRows));
}

void
remote_command(Remote *remote, const char *sql)
{
	if (PQsendQuery(remote->conn, sql) == 0)
		lost(remote);
	(void) collect(remote);
}

/* ------------------------------------------------------------ COPY */

void
remote_copy_begin(Remote *remote, const char *sql)
{
	PGresult *result;

	if (PQsendQuery(remote->conn, sql) == 0)
		lost(remote);
	result = next_result(remote);
	if (result == NULL)
		lost(remote);
	if (PQresultStatus(result) != PGRES_COPY_OUT)
		raise_error(remote, result);
	PQclear(result);
}

bool
remote_copy_next(Remote *remote, const char **bytes, int *len)
{
	if (remote->piece)
		PQfreemem(remote->piece);
	remote->piece = NULL;
	for (;;)
	{
		*len = PQgetCopyData(remote->conn, &remote->piece, 1);
		if (*len > 0)
		{
			*bytes = remote->piece;
			return true;
		}
		if (*len == -2)
			lost(remote);
		if (*len == -1)
		{
			(void) collect(remote);
			return false;
		}
		(void) wait_for_socket(remote, WL_SOCKET_READABLE, 0);
		if (PQconsumeInput(remote->conn) == 0)
			lost(remote);
	}
}

char *
remote_quote(const char *literal)
{
	return quote_literal_cstr(literal);
}
