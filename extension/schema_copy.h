/*
 * schema_copy.h
 *		The schema of another database, by the server's own pg_dump.
 *
 * In two parts, so that rows are loaded between them, before indexes, foreign
 * keys and triggers are made. Not for rows.
 *
 * Invariants
 * 1. Schema causaldb and the extension are left out. (So are its triggers, by
 *	  pg_dump itself: they are internal.)
 * 2. Statements run one by one with the rights of the caller; what pg_dump
 *	  sets for its session is gone afterwards.
 * 3. The password, if any, stands in no argument list.
 */
#ifndef CAUSALDB_SCHEMA_COPY_H
#define CAUSALDB_SCHEMA_COPY_H

#include "postgres.h"

#include "dsn.h"

typedef enum SchemaPart
{
	SCHEMA_BEFORE_ROWS, /* types, functions, tables, defaults */
	SCHEMA_AFTER_ROWS   /* indexes, constraints, triggers, rules, policies */
} SchemaPart;

/*
 * Brings one part of the schema that `dsn` leads to, as the exported snapshot
 * sees it. `address` is where a connection by it has led before: what may not
 * borrow this server's identity goes nowhere else. Errors of a statement tell
 * which it was.
 */
extern void schema_copy(Dsn dsn, const char *address, const char *snapshot,
						SchemaPart part);

#endif
