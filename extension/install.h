/*
 * install.h
 *		Our triggers on a tagged table and on its partitions.
 *
 * Not for: what they do (capture.h), which tables are tagged (tags.h).
 *
 * Invariants
 * 1. A table with rows of a tagged table has a row trigger that fires always,
 *	  before the user's own; what can be truncated has one for that.
 * 2. They are internal triggers: dumps leave them out, as they leave out the
 *	  tag, and PostgreSQL does not clone them to partitions. That is ours to
 *	  do, when a table is tagged (tags.c) and after DDL (ddl.c).
 */
#ifndef CAUSALDB_INSTALL_H
#define CAUSALDB_INSTALL_H

#include "postgres.h"

#include "utils/relcache.h"

/*
 * Gives a member of a tagged table the triggers it lacks and makes those it
 * has fire always. True if it had none. The caller has it locked as CREATE
 * TRIGGER locks.
 */
extern bool install_triggers(Relation member);
/* It has some of them. */
extern bool install_is_there(Oid member);
/* Takes our triggers off; locked as DROP TRIGGER locks. True if it had any. */
extern bool install_remove(Relation member);

#endif
