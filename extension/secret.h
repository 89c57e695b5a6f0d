/*
 * secret.h
 *		Keeps statements with connection strings out of sight.
 *
 * The text of a statement that calls create_cluster and its like may hold a
 * password. The server writes texts of statements to its log (when they fail,
 * by log_statement, by log_min_duration_statement, by auto_explain) and shows
 * them in pg_stat_activity.
 *
 * Invariants
 * 1. What the server log gets of a statement or plan that names such a function
 *	  or causaldb.node, or in which such a function has run, is that name: no
 *	  text, no parameters, no context that quotes it.
 * 2. From the moment such a function runs, pg_stat_activity has the same.
 *
 * Not covered: a text that does not name the function, logged by
 * log_statement before it has run (EXECUTE of a prepared statement with the
 * string as its parameter, a DO block that puts the name together), and
 * processes that have not loaded the library.
 */
#ifndef CAUSALDB_SECRET_H
#define CAUSALDB_SECRET_H

#include "postgres.h"

/*
 * The function of that name (without schema) runs in this statement and has
 * a connection string.
 */
extern void secret_begin(const char *function);

/* Registers the hook; from _PG_init. */
extern void secret_init(void);

#endif
