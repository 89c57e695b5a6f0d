/*
 * peer_link.c
 *		See peer_link.h.
 *
 * Start of a link, step by step: connect; then, in pipeline mode, pin the
 * session's settings, say HELLO and prepare the statement that takes frames.
 * The link is up when HELLO has been answered. Every statement has a sync of
 * its own, so that each frame is one transaction on the other side.
 */
#include "postgres.h"

#include "libpq-fe.h"
#include "utils/timestamp.h"

#include "peer_link.h"
#include "wall.h"

#define CONNECT_TIMEOUT_MS 5000
#define FIRST_RETRY_MS 100
#define LAST_RETRY_MS 500

/* results that are still to come before the link is up */
enum
{
	STEP_SETTINGS = 0,
	STEP_HELLO,
	STEP_PREPARE,
	STEP_FRAMES
};

static PGresult *held = NULL; /* of the last answer handed out */

void
peer_link_init(PeerLink *link, const PeerPurpose *purpose, uint32 node, const char *name, Dsn dsn)
{
	memset(link, 0, sizeof(*link));
	link->purpose = purpose;
	link->node = node;
	strlcpy(link->name, name, sizeof(link->name));
	link->by_superuser = dsn.by_superuser;
	link->dsn = strdup(dsn.text);
	if (link->dsn == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	link->state = LINK_DOWN;
}

static Dsn
dsn_of(const PeerLink *link)
{
	return (Dsn){.text = link->dsn, .by_superuser = link->by_superuser};
}

bool
peer_link_is_for(const PeerLink *link, const char *name, Dsn dsn)
{
	return strcmp(link->dsn, dsn.text) == 0 && link->by_superuser == dsn.by_superuser &&
		strcmp(link->name, name) == 0;
}

static void
disconnect(PeerLink *link)
{
	if (link->conn)
		PQfinish(link->conn);
	link->conn = NULL;
	link->inflight = 0;
	link->head = 0;
}

void
peer_link_close(PeerLink *link)
{
	disconnect(link);
	free(link->dsn);
	link->dsn = NULL;
	link->state = LINK_NONE;
}

void
peer_link_fail(PeerLink *link, const char *reason)
{
	int delay = FIRST_RETRY_MS << Min(link->failures, 5);
	char *end;

	strlcpy(link->error, reason && reason[0] ? reason : "the connection was closed", sizeof(link->error));
	/* one line */
	for (end = link->error; *end; end++)
		if (*end == '\n')
			*end = ' ';
	while (end > link->error && end[-1] == ' ')
		*--end = '\0';
	disconnect(link);
	link->failures++;
	link->state = LINK_DOWN;
	link->early_try = TimestampTzPlusMilliseconds(wall_timer(), FIRST_RETRY_MS);
	link->next_try = TimestampTzPlusMilliseconds(wall_timer(), Min(delay, LAST_RETRY_MS));
}

bool
peer_link_is_due(PeerLink *link, NodeShared *node)
{
	uint32 hellos = shmem_hellos(node, link->node);

	if (link->state != LINK_DOWN)
		return false;
	if (hellos != link->hellos)
	{
		link->hellos = hellos;
		link->next_try = Min(link->next_try, link->early_try);
	}
	return wall_timer() >= link->next_try;
}

/* What the other side says besides answers belongs into its own log. */
static void
ignore_notice(void *arg, const PGresult *res)
{
	(void) arg;
	(void) res;
}

void
peer_link_start(PeerLink *link)
{
	const char *const keywords[] = {"fallback_application_name", "keepalives_idle",
									"keepalives_interval", "keepalives_count", "tcp_user_timeout", NULL};
	const char *values[] = {link->purpose->application, "5", "5", "3", "20000", NULL};
	const char *refusal = dsn_refusal(dsn_of(link));

	link->starts++;
	if (refusal)
	{
		peer_link_fail(link, refusal);
		return;
	}
	link->conn = dsn_connect(dsn_of(link), keywords, values);
	if (link->conn == NULL || PQstatus(link->conn) == CONNECTION_BAD)
	{
		peer_link_fail(link, link->conn ? PQerrorMessage(link->conn) : "out of memory");
		return;
	}
	PQsetNoticeReceiver(link->conn, ignore_notice, NULL);
	link->state = LINK_CONNECTING;
	link->wait_events = WL_SOCKET_WRITEABLE;
	link->deadline = TimestampTzPlusMilliseconds(wall_timer(), CONNECT_TIMEOUT_MS);
}

bool
peer_link_wants_hello(const PeerLink *link)
{
	return link->state == LINK_GREETING && link->step == STEP_SETTINGS && link->inflight == 0;
}

static bool
flush_out(PeerLink *link)
{
	int rc = PQflush(link->conn);

	if (rc < 0)
	{
		peer_link_fail(link, PQerrorMessage(link->conn));
		return false;
	}
	link->wait_events = WL_SOCKET_READABLE | (rc > 0 ? WL_SOCKET_WRITEABLE : 0);
	return true;
}

static bool
sent(PeerLink *link, int ok)
{
	if (!ok || !PQpipelineSync(link->conn))
	{
		peer_link_fail(link, PQerrorMessage(link->conn));
		return false;
	}
	link->sent_at[(link->head + link->inflight) % LINK_MAX_INFLIGHT] = wall_timer();
	link->inflight++;
	return true;
}

void
peer_link_greet(PeerLink *link, const void *hello, size_t len)
{
	const char *values[1] = {hello};
	int lengths[1] = {(int) len};
	int formats[1] = {1};

	if (sent(link, PQsendQueryParams(link->conn,
									 "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false),"
									 " pg_catalog.set_config('statement_timeout', '0', false),"
									 " pg_catalog.set_config('lock_timeout', '0', false),"
									 " pg_catalog.set_config('idle_session_timeout', '0', false),"
									 " pg_catalog.set_config('causaldb.strong_reads', 'off', false)",
									 0, NULL, NULL, NULL, NULL, 1)) &&
		sent(link, PQsendQueryParams(link->conn, "SELECT causaldb.hello($1::bytea)",
									 1, NULL, values, lengths, formats, 1)) &&
		sent(link, PQsendPrepare(link->conn, "receive", link->purpose->statement, 0, NULL)))
		(void) flush_out(link);
}

bool
peer_link_can_send(const PeerLink *link)
{
	return link->state == LINK_UP && link->inflight < LINK_MAX_INFLIGHT;
}

void
peer_link_send(PeerLink *link, int stream, const void *frame, size_t len)
{
	const char *values[1] = {frame};
	int lengths[1] = {(int) len};
	int formats[1] = {1};

	Assert(peer_link_can_send(link));
	link->stream[(link->head + link->inflight) % LINK_MAX_INFLIGHT] = stream;
	if (sent(link, PQsendQueryPrepared(link->conn, "receive", 1, values, lengths, formats, 1)))
		(void) flush_out(link);
}

static void
connect_further(PeerLink *link)
{
	const char *refusal;

	switch (PQconnectPoll(link->conn))
	{
		case PGRES_POLLING_READING:
			link->wait_events = WL_SOCKET_READABLE;
			break;
		case PGRES_POLLING_WRITING:
			link->wait_events = WL_SOCKET_WRITEABLE;
			break;
		case PGRES_POLLING_OK:
			refusal = dsn_connection_refusal(dsn_of(link), link->conn);
			if (refusal)
			{
				peer_link_fail(link, refusal);
				break;
			}
			if (PQsetnonblocking(link->conn, 1) != 0 || !PQenterPipelineMode(link->conn))
			{
				peer_link_fail(link, PQerrorMessage(link->conn));
				break;
			}
			link->state = LINK_GREETING;
			link->step = STEP_SETTINGS;
			link->wait_events = WL_SOCKET_READABLE;
			break;
		default:
			peer_link_fail(link, PQerrorMessage(link->conn));
			break;
	}
}

/* A statement is answered; true if the caller wants to see it. */
static bool
take_result(PeerLink *link, PGresult *res, PeerAnswer *answer)
{
	bool show = link->step == STEP_HELLO || link->step == STEP_FRAMES;

	if (show)
	{
		if (PQnfields(res) != 1 || PQntuples(res) != 1 || PQgetisnull(res, 0, 0))
		{
			peer_link_fail(link, "the peer's answer is not one value");
			return false;
		}
		answer->hello = link->step == STEP_HELLO;
		answer->data = PQgetvalue(res, 0, 0);
		answer->len = PQgetlength(res, 0, 0);
		answer->sent_at = link->sent_at[link->head];
		answer->stream = link->stream[link->head];
	}
	return show;
}

/* The next answer in what has been read; false if there is none yet. */
static bool
next_answer(PeerLink *link, PeerAnswer *answer)
{
	PGresult *res;

	while (link->conn && !PQisBusy(link->conn))
	{
		bool show;

		res = PQgetResult(link->conn);
		if (res == NULL)
		{
			/* between two results of the pipeline, or nothing is left */
			if (link->inflight == 0 || PQisBusy(link->conn))
				return false;
			res = PQgetResult(link->conn);
			if (res == NULL)
				return false;
		}
		switch (PQresultStatus(res))
		{
			case PGRES_TUPLES_OK:
			case PGRES_COMMAND_OK:
				show = take_result(link, res, answer);
				if (show)
				{
					held = res;
					return true;
				}
				PQclear(res);
				break;
			case PGRES_PIPELINE_SYNC:
				PQclear(res);
				link->head = (link->head + 1) % LINK_MAX_INFLIGHT;
				link->inflight--;
				if (link->step < STEP_FRAMES)
					link->step++;
				if (link->step == STEP_FRAMES && link->state == LINK_GREETING)
				{
					link->state = LINK_UP;
					link->failures = 0;
					link->error[0] = '\0';
				}
				break;
			default:
				peer_link_fail(link, PQresultErrorMessage(res));
				PQclear(res);
				return false;
		}
	}
	return false;
}

bool
peer_link_poll(PeerLink *link, PeerAnswer *answer)
{
	if (held)
	{
		PQclear(held);
		held = NULL;
	}
	if (link->conn == NULL)
		return false;
	if (link->state == LINK_CONNECTING)
	{
		connect_further(link);
		return false;
	}
	/* many answers come with one read */
	if (next_answer(link, answer))
		return true;
	if (link->conn == NULL)
		return false;
	if (!PQconsumeInput(link->conn) || !flush_out(link))
	{
		if (link->conn)
			peer_link_fail(link, PQerrorMessage(link->conn));
		return false;
	}
	return next_answer(link, answer);
}
