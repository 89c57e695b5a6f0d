/*
 * remote.h
 *		Short conversations with another server over libpq, for administration.
 *
 * One statement after the other, waiting; a cancel, a timeout or the end of
 * the transaction ends the wait and closes the connection. Not for shipping
 * changes (the sender has connections of its own).
 *
 * Invariants
 * 1. No message, detail or hint ever holds a connection string or a password;
 *	  what libpq says of a string it cannot parse is not passed on, since it
 *	  quotes it.
 * 2. A connection is closed at the latest when the memory context it was made
 *	  in goes, also after an ERROR.
 * 3. Whatever settings the other side's role has, values come in the server
 *	  encoding of this database and under pinned settings.
 */
#ifndef CAUSALDB_REMOTE_H
#define CAUSALDB_REMOTE_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "dsn.h"

typedef struct Remote Remote;

/* what a statement gave; palloc'd in the caller's context */
typedef struct RemoteRows
{
	int nrows;
	int ncolumns;
	char **values; /* row by row; NULL is NULL */
} RemoteRows;

#define REMOTE_VALUE(rows, row, column)                                        \
	((rows)->values[(row) * (rows)->ncolumns + (column)])

/*
 * Connects within timeout_ms. `whom` names the other side for people ("node
 * n2", "the server named by via"). remote_connect raises 08001, or 42501
 * where dsn.h refuses; remote_try returns NULL and a palloc'd reason.
 */
extern Remote *remote_connect(Dsn dsn, const char *whom, int timeout_ms);
extern Remote *remote_try(Dsn dsn, const char *whom, int timeout_ms,
						  char **why);
/* The address it has connected to, "" for a socket; lives as it does. */
extern const char *remote_address(Remote *remote);
extern void remote_close(Remote *remote);

/* Statements from now on are over in that time (ms), or lost: 57P03. */
extern void remote_set_timeout(Remote *remote, int timeout_ms);

/*
 * Runs one statement with text parameters. An error of the other side is
 * raised here with its SQLSTATE, message, detail and hint; a lost connection
 * is 08006.
 */
extern RemoteRows *remote_query(Remote *remote, const char *sql, int nparams,
								const char *const *params);
/* The same for statements without parameters that give no rows. */
extern void remote_command(Remote *remote, const char *sql);

/* COPY ... TO STDOUT, then piece by piece; a piece lives until the next call. */
extern void remote_copy_begin(Remote *remote, const char *sql);
/* False at the end, when the other side has confirmed it. */
extern bool remote_copy_next(Remote *remote, const char **bytes, int *len);

/* Quoted for SQL; palloc'd. */
extern char *remote_quote(const char *literal);

#endif
