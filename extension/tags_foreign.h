/*
 * tags_foreign.h
 *		What becomes of foreign keys where one of the tables is strong.
 *
 * One holds over nodes if both tables are strong (catalog_foreign.h). Any other
 * is checked on the node where the row is written, against what that node has;
 * who tags one of the tables is told so.
 */
#ifndef CAUSALDB_TAGS_FOREIGN_H
#define CAUSALDB_TAGS_FOREIGN_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* Findings about the foreign keys of the table and of those that refer to it,
 * as its tag, and theirs, are now. */
extern List *tags_foreign_advice(Oid relid);

#endif
