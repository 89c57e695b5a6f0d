/*
 * local.h
 *		Statements on our own tables, in the running transaction.
 *
 * For administration, where a sentence of SQL says it best; what happens for
 * every row or transaction goes through store.h. Runs as the owner of schema
 * causaldb, whoever calls, so statements are constants and name no table but
 * ours.
 */
#ifndef CAUSALDB_LOCAL_H
#define CAUSALDB_LOCAL_H

#include "postgres.h"

#include "remote.h"

/*
 * Runs one statement with text parameters (cast them in the statement); its
 * rows as text, palloc'd in the caller's context.
 */
extern RemoteRows *local_query(const char *sql, int nparams,
							   const char *const *params);

/*
 * Rights of the owner of schema causaldb, until left or the transaction ends.
 * The caller's search_path is not in force meanwhile: what it names must not
 * run with these rights.
 */
typedef struct LocalRights
{
	Oid user;
	int context;
	int settings; /* GUC nest level */
} LocalRights;

extern void local_enter(LocalRights *before);
extern void local_leave(const LocalRights *before);

#endif
