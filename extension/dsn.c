/*
 * dsn.c
 *		See dsn.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "libpq-fe.h"
#include "miscadmin.h"

#include "dsn.h"
#include "guc.h"

#define MAX_KEYWORDS 16
/* relative to the data folder, and never there: no certificate is shown */
#define NO_CERTIFICATE "causaldb/none"

/*
 * All that a string without leave to borrow may say. The others name files,
 * services or Kerberos principals of the server, or are of a libpq that is
 * newer than this list.
 */
static const char *const harmless[] = {
	"host",
	"hostaddr",
	"port",
	"dbname",
	"user",
	"password",
	"connect_timeout",
	"client_encoding",
	"options",
	"application_name",
	"fallback_application_name",
	"keepalives",
	"keepalives_idle",
	"keepalives_interval",
	"keepalives_count",
	"tcp_user_timeout",
	"sslmode",
	"sslcompression",
	"sslsni",
	"ssl_min_protocol_version",
	"ssl_max_protocol_version",
	"requirepeer",
	"channel_binding",
	"gssencmode",
	"target_session_attrs",
};

/* ------------------------------------------------------------ reading */

static PQconninfoOption *
parse(const char *text)
{
	char *ignored = NULL;
	PQconninfoOption *options = PQconninfoParse(text, &ignored);

	if (ignored)
		PQfreemem(ignored);
	return options;
}

static bool
is_harmless(const char *keyword)
{
	int i;

	for (i = 0; i < (int) lengthof(harmless); i++)
		if (strcmp(keyword, harmless[i]) == 0)
			return true;
	return false;
}

static bool
is_any_of(const char *keyword, const char *a, const char *b, const char *c)
{
	return strcmp(keyword, a) == 0 || strcmp(keyword, b) == 0 ||
		   strcmp(keyword, c) == 0;
}

/* Invariant 1, as far as the string alone tells. */
static const char *
refusal_of(const PQconninfoOption *options)
{
	bool password = false;
	const PQconninfoOption *option;

	for (option = options; option->keyword; option++)
	{
		if (option->val == NULL || option->val[0] == '\0')
			continue;
		if (!is_harmless(option->keyword))
			return "The connection string names a file, service or principal of the server.";
		if (is_any_of(option->keyword, "host", "hostaddr", "port") &&
			strchr(option->val, ','))
			return "The connection string names more than one host.";
		password |= strcmp(option->keyword, "password") == 0;
	}
	return password ? NULL : "The connection string has no password.";
}

bool
dsn_may_borrow(Dsn dsn)
{
	return guc_server_identity == SERVER_IDENTITY_ALWAYS ||
		   (guc_server_identity == SERVER_IDENTITY_SUPERUSER &&
			dsn.by_superuser);
}

const char *
dsn_refusal(Dsn dsn)
{
	PQconninfoOption *options = parse(dsn.text);
	const char *why;

	if (options == NULL)
		return "The connection string cannot be parsed.";
	why = dsn_may_borrow(dsn) ? NULL : refusal_of(options);
	PQconninfoFree(options);
	return why;
}

const char *
dsn_connection_refusal(Dsn dsn, struct pg_conn *conn)
{
	if (dsn_may_borrow(dsn) || PQconnectionUsedPassword(conn))
		return NULL;
	return "The other side did not ask for the password.";
}

void
dsn_refuse(const char *why)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		 errmsg("the connection would borrow this server's own identity"),
		 errdetail("%s", why),
		 errhint(
			 "Put user and password into the connection string and have the other side ask for them, or have a superuser give it; or one types ALTER SYSTEM SET causaldb.server_identity = 'always'; SELECT pg_reload_conf(); here.")));
}

Dsn
dsn_of_caller(const char *text)
{
	Dsn dsn = { .text = text, .by_superuser = superuser() };
	PQconninfoOption *options = parse(text);
	const char *why;

	if (options == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the connection string cannot be parsed"),
			 errdetail(
				 "It is not repeated here because it may hold a password."),
			 errhint(
				 "Write it like 'host=10.0.0.1 port=5432 dbname=app user=causaldb password=...'.")));
	PQconninfoFree(options);
	why = dsn_refusal(dsn);
	if (why)
		dsn_refuse(why);
	return dsn;
}

/* ------------------------------------------------------------ using */

struct pg_conn *
dsn_connect(Dsn dsn, const char *const *keywords, const char *const *values)
{
	const char *all[MAX_KEYWORDS + 4] = { "dbname" };
	const char *with[MAX_KEYWORDS + 4] = { dsn.text };
	int n = 1;
	int i;

	for (i = 0; keywords[i] && i < MAX_KEYWORDS; i++)
	{
		all[n] = keywords[i];
		with[n++] = values[i];
	}
	Assert(keywords[i] == NULL);
	if (!dsn_may_borrow(dsn))
	{
		all[n] = "gssencmode";
		with[n++] = "disable";
		all[n] = "sslcert";
		with[n++] = NO_CERTIFICATE;
	}
	return PQconnectStartParams(all, with, true);
}

static void
add_option(StringInfo text, const char *keyword, const char *value)
{
	const char *c;

	appendStringInfo(text, "%s='", keyword);
	for (c = value; *c; c++)
	{
		if (*c == '\'' || *c == '\\')
			appendStringInfoChar(text, '\\');
		appendStringInfoChar(text, *c);
	}
	appendStringInfoString(text, "' ");
}

char *
dsn_split(Dsn dsn, const char *address, char **password)
{
	PQconninfoOption *options = parse(dsn.text);
	PQconninfoOption *option;
	StringInfoData rest;

	if (options == NULL)
		elog(ERROR, "a connection string that was used cannot be parsed");
	initStringInfo(&rest);
	*password = NULL;
	for (option = options; option->keyword; option++)
	{
		if (option->val == NULL)
			continue;
		if (strcmp(option->keyword, "password") == 0)
			*password = pstrdup(option->val);
		else
			add_option(&rest, option->keyword, option->val);
	}
	PQconninfoFree(options);
	if (!dsn_may_borrow(dsn))
	{
		/* the later word wins */
		if (address && address[0])
			add_option(&rest, "hostaddr", address);
		add_option(&rest, "gssencmode", "disable");
		add_option(&rest, "sslcert", NO_CERTIFICATE);
	}
	return rest.data;
}
