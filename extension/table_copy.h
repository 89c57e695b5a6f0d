/*
 * table_copy.h
 *		One table's rows from another node into a table here, by COPY.
 *
 * Not for which tables, nor from which snapshot (join.c).
 *
 * Invariants
 * 1. Rows pass through: memory does not grow with the table.
 * 2. No user trigger fires and no foreign key is checked: what is copied is a
 *	  consistent whole already.
 * 3. Code that belongs to the table (constraints, index expressions, types)
 *	  runs as the table's owner under SECURITY_RESTRICTED_OPERATION.
 */
#ifndef CAUSALDB_TABLE_COPY_H
#define CAUSALDB_TABLE_COPY_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "port/atomics.h"

#include "remote.h"

typedef struct TableCopy
{
	Oid relid;         /* here; locked by the caller */
	const char *from;  /* what COPY reads: a table, or a query in parentheses */
	List *columns;     /* names (String), in the order of `from` */
	bool binary;       /* else text; text columns travel as text only */
	bool check_rights; /* the caller needs INSERT on the table */
	pg_atomic_uint64 *rows;  /* counted up as they come; may be NULL */
	pg_atomic_uint64 *bytes; /* the same */
} TableCopy;

/* Copies; returns how many rows came. */
extern uint64 table_copy(Remote *source, const TableCopy *what);

/* No row is visible in the table or its partitions. */
extern bool table_copy_is_empty(Oid relid);

#endif
