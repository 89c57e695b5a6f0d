/*
 * shadow_copy.h
 *		causaldb's own tables from the node that a joiner copies from.
 *
 * Members, streams, descriptors, the log with its chunks, graves and tags;
 * all of one snapshot, which the caller has opened on the connection.
 *
 * Invariants
 * 1. Streams keep the local ids they have there, so that log rows and their
 *	  deps are copied as they are.
 * 2. What lies by the OID of a table there lies by the OID of the table of
 *	  that name here.
 */
#ifndef CAUSALDB_SHADOW_COPY_H
#define CAUSALDB_SHADOW_COPY_H

#include "postgres.h"

#include "remote.h"

typedef struct ShadowCopy
{
	Remote *source;     /* inside its snapshot */
	const char *node;   /* its id; in decimal, as the next two */
	const char *boot;   /* of its live stream */
	const char *closed; /* what was closed of that before the snapshot */
	bool all_tables;    /* every table that was ever tagged there is here */
	bool witness;       /* no table is: what belongs to one is left out */
} ShadowCopy;

/* tables that progress counts, and their bytes there */
#define SHADOW_COPY_TABLES 2
extern uint64 shadow_copy_bytes(Remote *source);
/* Copies all of them into this database, which is no node yet. */
extern void shadow_copy(const ShadowCopy *from);

#endif
