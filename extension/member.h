/*
 * member.h
 *		Members of the cluster: rows of causaldb.node and how they spread.
 *
 * Who exists is ordered by the coordinator, the node that hands out ids; a
 * node alone says when it is ready. Either is a META_NODE change:
 *
 *	{"id": 3, "name": "n3", "dsn": "...", "role": "member",
 *	 "state": "joining", "base": "<vector in hex>"}
 *
 * Only `id` must be there; what is missing stays as it is.
 *
 * Invariants
 * 1. An id is handed out once, by the coordinator, ascending.
 * 2. A member counts for stability from the moment its row exists, at its
 *	  base until it acknowledges itself.
 * 3. Connection strings leave this file only to other nodes' code and to
 *	  causaldb_admin.
 */
#ifndef CAUSALDB_MEMBER_H
#define CAUSALDB_MEMBER_H

#include "postgres.h"

typedef struct Member
{
	int32 id;
	char *name;
	char *dsn;
	char *role;  /* 'member', 'witness' */
	char *state; /* 'joining', 'ready', 'dropped' */
	bytea *base; /* encoded vector, or NULL */
} Member;

/* Applies a META_NODE change; idempotent. ERROR XX001 if malformed. */
extern void member_apply(const char *json);

/* One member or NULL; palloc'd. */
extern Member *member_by_id(int32 id);
extern Member *member_by_name(const char *name);

/*
 * This node has opened its stream: if its row still says 'joining', it says
 * 'ready' and tells the others. Needs a transaction; cheap when done already.
 */
extern void member_ready(void);

/* The workers look at membership and tags again when this commits. */
extern void member_reload_at_commit(void);

/* Registers callbacks; from _PG_init. */
extern void member_init(void);

#endif
