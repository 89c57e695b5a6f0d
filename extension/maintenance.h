/*
 * maintenance.h
 *		What is written with causaldb.capture = off: counted, not captured.
 *
 * At the commit each table's counts become one META change, so history says
 * on every node what one of them has done for itself alone.
 *
 * Invariants
 * 1. Counts of a rolled-back subtransaction are not told.
 * 2. Memory grows with the tables written and with open subtransactions, not
 *	  with the rows.
 */
#ifndef CAUSALDB_MAINTENANCE_H
#define CAUSALDB_MAINTENANCE_H

#include "postgres.h"

#include "lib/stringinfo.h"

typedef enum MaintenanceKind
{
	MAINTENANCE_INSERT,
	MAINTENANCE_UPDATE,
	MAINTENANCE_DELETE,
	MAINTENANCE_TRUNCATE
} MaintenanceKind;

/* One row, or one TRUNCATE, of the tagged table with that OID. */
extern void maintenance_count(Oid root, MaintenanceKind kind);
extern bool maintenance_pending(void);
/*
 * Takes one table's note away: u16 length of the table's qualified name, the
 * name, then JSON text. False if there is none left.
 */
extern bool maintenance_take(StringInfo body);
/* The name in such a body, palloc'd, and *text what follows; NULL if
 * malformed. */
extern char *maintenance_read(const void *body, size_t len, char **text);
extern void maintenance_sub_commit(int nest);
extern void maintenance_sub_abort(int nest);
extern void maintenance_reset(void);

#endif
