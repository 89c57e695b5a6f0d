/*
 * reinstall.h
 *		Gives tagged tables our triggers back after pg_upgrade.
 *
 * Tags are rows and come along; our triggers are internal ones, which no dump
 * has (install.h), so in the new cluster nothing would be captured and nobody
 * told. Looked at once after each start of the server, before the node takes
 * part in anything.
 *
 * Invariants
 * 1. Once the node is open, each tagged table and each of its partitions has
 *	  its triggers.
 */
#ifndef CAUSALDB_REINSTALL_H
#define CAUSALDB_REINSTALL_H

#include "postgres.h"

/*
 * In a transaction of its own. Waits for writers of a table that lacks its
 * triggers, and of no other; what they have written is not captured, which the
 * server log says.
 */
extern void reinstall_triggers(void);

#endif
