/*
 * strong_tables.h
 *		Which statements depend on strong columns, or on the existence of rows
 *		of tables that have some.
 *
 * Not for what is done about it (strong_read.c).
 *
 * What depends on a table with a strong column: every read of it, whatever
 * the columns, since whether a row is there is strong; every DELETE; ON
 * CONFLICT. What does not: INSERT alone, and an UPDATE of eventual columns
 * that looks at eventual columns and the key alone: such a write stays
 * eventual, and meets the row's existence where it is merged.
 */
#ifndef CAUSALDB_STRONG_TABLES_H
#define CAUSALDB_STRONG_TABLES_H

#include "postgres.h"

#include "nodes/plannodes.h"

typedef enum StrongNeed
{
	STRONG_NEED_NONE,
	/* it calls a stable function written in SQL or a procedural language,
	 * whose queries share its snapshot and may read anything */
	STRONG_NEED_MAYBE,
	STRONG_NEED_YES
} StrongNeed;

/* Its tables are locked. */
extern StrongNeed strong_tables_need(const PlannedStmt *plan);
/* Reading the whole table depends on strong columns. It is locked. */
extern bool strong_tables_has(Oid relid);
extern void strong_tables_init(void);

#endif
