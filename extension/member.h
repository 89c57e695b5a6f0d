/*
 * member.h
 *		Members of the cluster: rows of causaldb.node and how they spread.
 *
 * Who exists is ordered by the coordinator, the node that hands out ids; a
 * node alone says when it is ready. Either is a META_NODE change:
 *
 *	{"id": 3, "name": "n3", "dsn": "...", "role": "member",
 *	 "state": "joining", "base": "<vector in hex>", "server_identity": true}
 *
 * Only `id` must be there; what is missing stays as it is. `server_identity`
 * goes with `dsn`: all along its way to the coordinator it was a superuser's
 * who gave that string, and so each node that a superuser made one may use
 * its own identity with it (dsn.h).
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

#include "remote.h"
#include "shmem.h"

typedef struct Member
{
	int32 id;
	char *name;
	char *dsn;
	char *role;  /* 'member', 'witness' */
	char *state; /* 'joining', 'ready', 'dropped' */
	bytea *base; /* encoded vector, or NULL */
	bool server_identity; /* a superuser gave the dsn */
} Member;

/*
 * The shared state of this database, which is a node of a cluster; else ERROR
 * 55000 that says what to type.
 */
extern NodeShared *member_node(void);
/* Only that the library was preloaded; else the same. */
extern void member_need_preload(void);

/*
 * create_cluster and join_cluster begin with it: refuses where this database
 * is a node already, and waits until no writer of a tagged table is open, so
 * that none is history only at its commit. Holds the locks that keep it so
 * to the end of the transaction.
 */
extern void member_begin_founding(void);

/*
 * The connection leads to this very database: what this transaction locks is
 * seen locked over there.
 */
extern bool member_leads_here(Remote *remote);
/*
 * ERROR 22023 if the connection string leads to another database; WARNING if
 * it leads nowhere now, since only the others need to get through by it.
 */
extern void member_check_dsn(Dsn dsn);

/* Applies a META_NODE change; idempotent. ERROR XX001 if it names nobody. */
extern void member_apply(const char *json);
/* Carries it out here and records it for the others. */
extern void member_change(const char *json);

/* How this node may connect to it. */
extern Dsn member_dsn(const Member *member);

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
