/*
 * dsn.h
 *		Connection strings: how they look, and whose identity they use.
 *
 * Strings are given by causaldb_admin and used by processes that run as the
 * server's operating system user. What that user can prove to another server
 * without a password in the string (peer and ident, a password file, a client
 * certificate, Kerberos) is the server's own identity; a string borrows it
 * only where a superuser has allowed that. Not for connecting (remote.h,
 * peer_link.h).
 *
 * Invariants
 * 1. A string that may not borrow carries a password, names no file or
 *	  service of the server, and leads to one host; and a connection by it
 *	  counts only if the other side has asked for that password.
 * 2. Whether it may is asked again at each connection, by the server that
 *	  connects.
 * 3. No text from here quotes a value of a string.
 */
#ifndef CAUSALDB_DSN_H
#define CAUSALDB_DSN_H

#include "postgres.h"

struct pg_conn;

typedef struct Dsn
{
	const char *text;
	bool by_superuser; /* given by one, as far as this server is concerned */
} Dsn;

/*
 * A string that the current user gives. ERROR 22023 unless it can be parsed,
 * 42501 if it would have to borrow and may not.
 */
extern Dsn dsn_of_caller(const char *text);

/* The setting causaldb.server_identity lets it borrow. */
extern bool dsn_may_borrow(Dsn dsn);

/*
 * Begins to connect, with further keywords after those of the string; both
 * arrays end with NULL. What PQconnectStartParams gives.
 */
extern struct pg_conn *dsn_connect(Dsn dsn, const char *const *keywords,
								   const char *const *values);
/*
 * NULL, or why this server does not use the string or the connection made by
 * it: a constant sentence.
 */
extern const char *dsn_refusal(Dsn dsn);
extern const char *dsn_connection_refusal(Dsn dsn, struct pg_conn *conn);
/* That sentence as an ERROR, 42501. */
extern void dsn_refuse(const char *why) pg_attribute_noreturn();

/*
 * The string in the form key='value', with the password apart (*password,
 * NULL if there is none), pinned to the address that was connected to ("" or
 * NULL: it is not). palloc'd.
 */
extern char *dsn_split(Dsn dsn, const char *address, char **password);

#endif
