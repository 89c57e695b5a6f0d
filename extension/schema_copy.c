/*
 * schema_copy.c
 *		See schema_copy.h.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "schema_copy.h"

#define OURS "causaldb"

/* ------------------------------------------------------------ running pg_dump */

/* One word for the shell. */
static void
add_word(StringInfo command, const char *word)
{
	const char *c;

	appendStringInfoString(command, " '");
	for (c = word; *c; c++)
		if (*c == '\'')
			appendStringInfoString(command, "'\\''");
		else
			appendStringInfoChar(command, *c);
	appendStringInfoChar(command, '\'');
}

static char *
dump_command(const char *dsn, const char *snapshot, SchemaPart part)
{
	char path[MAXPGPATH];
	StringInfoData command;

	strlcpy(path, my_exec_path, sizeof(path));
	get_parent_directory(path);
	strlcat(path, "/pg_dump", sizeof(path));
	if (access(path, X_OK) != 0)
		ereport(
			ERROR,
			(errcode_for_file_access(),
			 errmsg("could not find pg_dump beside the server: %m"),
			 errhint(
				 "Install PostgreSQL's client programs, or bring the schema yourself and join with copy => 'data'.")));
	initStringInfo(&command);
	appendStringInfoString(&command, "exec");
	add_word(&command, path);
	appendStringInfoString(
		&command,
		" --no-password --lock-wait-timeout=60000 --no-publications --no-subscriptions");
	appendStringInfo(&command,
					 " --exclude-schema=%s --encoding=%s --section=%s", OURS,
					 GetDatabaseEncodingName(),
					 part == SCHEMA_BEFORE_ROWS ? "pre-data" : "post-data");
	add_word(&command, psprintf("--snapshot=%s", snapshot));
	add_word(&command, psprintf("--dbname=%s", dsn));
	return command.data;
}

/* Starts the program; the password goes by the child's environment. */
static FILE *
start(const char *command, const char *password)
{
	const char *old = getenv("PGPASSWORD");
	char *before = old ? pstrdup(old) : NULL;
	FILE *pipe;

	if (password)
		setenv("PGPASSWORD", password, 1);
	pipe = OpenPipeStream(command, PG_BINARY_R);
	if (password)
	{
		if (before)
			setenv("PGPASSWORD", before, 1);
		else
			unsetenv("PGPASSWORD");
	}
	if (pipe == NULL)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not start pg_dump: %m")));
	return pipe;
}

static char *
read_all(FILE *pipe)
{
	int fd = fileno(pipe);
	StringInfoData text;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read from pg_dump: %m")));
	initStringInfo(&text);
	for (;;)
	{
		ssize_t n;

		enlargeStringInfo(&text, 64 * 1024);
		n = read(fd, text.data + text.len, 64 * 1024);
		if (n == 0)
			break;
		if (n > 0)
		{
			text.len += (int) n;
			text.data[text.len] = '\0';
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			ereport(ERROR, (errcode_for_file_access(),
							errmsg("could not read from pg_dump: %m")));
		(void) WaitLatchOrSocket(MyLatch,
								 WL_LATCH_SET | WL_SOCKET_READABLE |
									 WL_EXIT_ON_PM_DEATH,
								 fd, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return text.data;
}

static char *
dump(Dsn dsn, const char *address, const char *snapshot, SchemaPart part)
{
	char *password;
	char *rest = dsn_split(dsn, address, &password);
	FILE *pipe = start(dump_command(rest, snapshot, part), password);
	char *text = read_all(pipe);
	int status = ClosePipeStream(pipe);

	if (status != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("pg_dump could not read the schema of the other node"),
				 errdetail("%s", wait_result_to_str(status)),
				 errhint("Its own words are in this server's log.")));
	return text;
}

/*
 * Blanks out pg_dump's two commands for psql: \restrict KEY in the head and
 * \unrestrict KEY at the end. The key is random, so nothing else is hit.
 */
static void
strip_psql_commands(char *text)
{
	char *line = strstr(text, "\n\\restrict ");
	char *key;
	char *again;

	if (line == NULL)
		return;
	key = line + strlen("\n\\restrict ");
	key = pnstrdup(key, strcspn(key, "\r\n"));
	memset(line + 1, ' ', strcspn(line + 1, "\n"));
	again = strstr(text, psprintf("\n\\unrestrict %s", key));
	if (again)
		memset(again + 1, ' ', strcspn(again + 1, "\n"));
}

/* ------------------------------------------------------------ running its SQL */

static bool
is_ours(Node *node)
{
	return node && IsA(node, String) && strcmp(strVal(node), OURS) == 0;
}

/* Invariant 1: what the other database says of the extension itself. */
static bool
is_left_out(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateExtensionStmt:
			return strcmp(((CreateExtensionStmt *) statement)->extname, OURS) ==
				   0;
		case T_CommentStmt:
			return ((CommentStmt *) statement)->objtype == OBJECT_EXTENSION &&
				   is_ours(((CommentStmt *) statement)->object);
		default:
			return false;
	}
}

static void
statement_context(void *arg)
{
	errcontext("bringing the schema: %s", (const char *) arg);
}

static void
run_one(const char *sql)
{
	ErrorContextCallback callback = { .callback = statement_context,
									  .arg = unconstify(char *, sql) };

	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (SPI_execute(sql, false, 0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a statement of the schema cannot be run here: %s", SPI_result_code_string(SPI_result)),
				 errhint("Bring the schema with pg_dump --schema-only and psql, then call join_cluster with copy => 'data'.")));
	error_context_stack = callback.previous;
}

void
schema_copy(Dsn dsn, const char *address, const char *snapshot, SchemaPart part)
{
	char *text = dump(dsn, address, snapshot, part);
	List *statements;
	ListCell *lc;
	int nest;

	strip_psql_commands(text);
	statements = raw_parser(text, RAW_PARSE_DEFAULT);
	nest = NewGUCNestLevel();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	foreach (lc, statements)
	{
		RawStmt *statement = lfirst_node(RawStmt, lc);
		int len = statement->stmt_len
					  ? statement->stmt_len
					  : (int) strlen(text + statement->stmt_location);

		CHECK_FOR_INTERRUPTS();
		if (!is_left_out(statement->stmt))
			run_one(pnstrdup(text + statement->stmt_location, len));
	}
	SPI_finish();
	AtEOXact_GUC(false, nest);
}
