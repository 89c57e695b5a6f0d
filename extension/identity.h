/*
 * identity.h
 *		Who this database is: reads causaldb.local_node and causaldb.stream.
 */
#ifndef CAUSALDB_IDENTITY_H
#define CAUSALDB_IDENTITY_H

#include "stamp.h"

typedef struct Identity
{
	int32 node; /* 0: not in a cluster */
	int32 coordinator; /* the node that orders ids and tags */
	uint64 cluster;
	bool server_identity; /* a superuser has made it a node */
	bool witness; /* it keeps logs and no tables */
} Identity;

/* OID of our schema, or InvalidOid where the extension is not installed. */
extern Oid identity_schema(void);
/* OID of a table of ours; error if it is missing. Cached. */
extern Oid identity_table(const char *name);
/* Reads who we are; needs a transaction. node 0 outside a cluster. */
extern Identity identity_read(void);
/* The extension is installed and at home in this database. */
extern bool identity_installed(void);

#endif
