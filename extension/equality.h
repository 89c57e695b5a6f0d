/*
 * equality.h
 *		Whether a table here has the same rows as one on another node.
 *
 * For join_cluster with copy 'none'. Each side counts its rows and makes a
 * digest of them by itself; only those travel.
 *
 * Invariants
 * 1. The digest is of the values' text forms under settings that are the same
 *	  on both sides, and does not depend on the order of rows.
 * 2. The table cannot change here after it was compared, until the end of the
 *	  transaction.
 */
#ifndef CAUSALDB_EQUALITY_H
#define CAUSALDB_EQUALITY_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "remote.h"

typedef struct Equality
{
	char *rows[2]; /* here, there; in decimal */
	char *digest[2];
} Equality;

/*
 * Rows and digest of the columns (String) as one text, to be compared with that
 * of another node. The table may change meanwhile.
 */
extern char *equality_digest(Oid relid, List *columns);
/* Settings of the source's transaction, once before all comparisons. */
extern void equality_begin(Remote *source);
/*
 * True if the columns (String) of the table are the same on both sides. The
 * caller may read the table, or gets an ERROR.
 */
extern bool equality_holds(Remote *source, Oid relid, List *columns, Equality *e);

#endif
