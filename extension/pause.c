/*
 * pause.c
 *		See pause.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "identity.h"
#include "local.h"
#include "member.h"
#include "pause.h"

PG_FUNCTION_INFO_V1(causaldb_pause_peer);
PG_FUNCTION_INFO_V1(causaldb_resume_peer);

void
pause_load(NodeShared *node)
{
	uint32 paused[REP_MAX_MEMBERS];
	int n;
	int i;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT node FROM causaldb.paused", true, REP_MAX_MEMBERS) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not read causaldb.paused");
	n = (int) SPI_processed;
	for (i = 0; i < n; i++)
	{
		bool isnull;

		paused[i] = (uint32) DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	memcpy(node->paused, paused, sizeof(uint32) * n);
	node->npaused = n;
	LWLockRelease(&node->lock);
}

/* The id of a peer by its name, in decimal. */
static char *
peer_id(const char *name)
{
	Member *member;

	(void) member_node();
	member = member_by_name(name);
	if (member == NULL || strcmp(member->state, "dropped") == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("the cluster has no node \"%s\"", name),
						errhint("SELECT name FROM causaldb.peers; shows those there are.")));
	if (member->id == identity_read().node)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("node \"%s\" is this node itself", name),
						errhint("Type SELECT causaldb.pause_peer(name) FROM causaldb.peers; to pause all others.")));
	return psprintf("%d", member->id);
}

/* causaldb.pause_peer(node_name name) */
Datum
causaldb_pause_peer(PG_FUNCTION_ARGS)
{
	const char *who[] = {peer_id(NameStr(*PG_GETARG_NAME(0)))};

	(void) local_query("INSERT INTO causaldb.paused (node) VALUES ($1::pg_catalog.int4) ON CONFLICT DO NOTHING", 1, who);
	member_reload_at_commit();
	PG_RETURN_VOID();
}

/* causaldb.resume_peer(node_name name) */
Datum
causaldb_resume_peer(PG_FUNCTION_ARGS)
{
	const char *who[] = {peer_id(NameStr(*PG_GETARG_NAME(0)))};

	(void) local_query("DELETE FROM causaldb.paused WHERE node = $1::pg_catalog.int4", 1, who);
	member_reload_at_commit();
	PG_RETURN_VOID();
}
