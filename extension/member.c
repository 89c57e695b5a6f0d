/*
 * member.c
 *		See member.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "commands/dbcommands.h"
#include "postmaster/postmaster.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "capture.h"
#include "clock.h"
#include "identity.h"
#include "local.h"
#include "member.h"
#include "meta.h"

#define CHECK_TIMEOUT_MS 5000

static bool reload = false; /* at commit of this transaction */
static bool callback_registered = false;

/* ------------------------------------------------------------ telling workers */

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	NodeShared *node;

	(void) arg;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (reload && event == XACT_EVENT_COMMIT && shmem_available() &&
		(node = shmem_find_node(MyDatabaseId)) != NULL)
	{
		LWLockAcquire(&node->lock, LW_EXCLUSIVE);
		node->apply_reload = true;
		node->sender_reload = true;
		node->strong.reload = true;
		LWLockRelease(&node->lock);
		shmem_wake_apply(node);
		shmem_wake_sender(node);
		shmem_wake_consensus(node);
		shmem_wake_supervisor();
	}
	reload = false;
}

void
member_reload_at_commit(void)
{
	reload = true;
}

void
member_init(void)
{
	if (!callback_registered)
		RegisterXactCallback(at_end_of_transaction, NULL);
	callback_registered = true;
}

/* ------------------------------------------------------------ being one */

void
member_need_preload(void)
{
	if (!shmem_available())
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(
				 "causaldb is not preloaded, so this database cannot be a node"),
			 errhint(
				 "Put shared_preload_libraries = 'causaldb' into postgresql.conf and restart the server.")));
}

NodeShared *
member_node(void)
{
	NodeShared *node;
	NodeState state;

	member_need_preload();
	node = shmem_node();
	state = clock_state(node);
	if (state == NODE_LOCAL || state == NODE_UNKNOWN)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this database is not a node of a cluster"),
			 errhint(
				 "Type SELECT causaldb.create_cluster('n1', 'host=... dbname=...'), or causaldb.join_cluster(...) to join one.")));
	return node;
}

void
member_begin_founding(void)
{
	RemoteRows *tagged;
	Identity id;
	int i;

	/* the error, should there be no room, is better here than at commit */
	(void) shmem_node();
	(void) local_query(
		"LOCK TABLE causaldb.local_node IN SHARE ROW EXCLUSIVE MODE", 0, NULL);
	id = identity_read();
	if (id.node != 0)
	{
		Member *self = member_by_id(id.node);

		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("this database is a node of a cluster already"),
						errdetail("It is node %d (%s).", id.node,
								  self ? self->name : "?")));
	}
	(void) local_query("LOCK TABLE causaldb.tag IN SHARE ROW EXCLUSIVE MODE", 0,
					   NULL);
	tagged = local_query(
		"SELECT relid::pg_catalog.int8 FROM causaldb.tag ORDER BY relid", 0,
		NULL);
	for (i = 0; i < tagged->nrows; i++)
		LockRelationOid((Oid) strtoul(REMOTE_VALUE(tagged, i, 0), NULL, 10),
						ShareRowExclusiveLock);
}

bool
member_leads_here(Remote *remote)
{
	uint64 key;
	char pid[16];
	char high[16];
	char low[16];
	const char *params[] = { pid, high, low };
	RemoteRows *rows;

	if (!pg_strong_random(&key, sizeof(key)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not get random bytes")));
	(void) DirectFunctionCall1(pg_advisory_xact_lock_int8,
							   Int64GetDatum((int64) key));
	snprintf(pid, sizeof(pid), "%d", MyProcPid);
	snprintf(high, sizeof(high), "%u", (uint32) (key >> 32));
	snprintf(low, sizeof(low), "%u", (uint32) key);
	rows = remote_query(
		remote,
		"SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
		" WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
		" AND l.pid = $1::int4 AND l.classid = $2::oid AND l.objid = $3::oid"
		" AND d.datname = current_database()",
		3, params);
	return rows->nrows == 1;
}

void
member_check_dsn(Dsn dsn)
{
	char *why = NULL;
	Remote *remote =
		remote_try(dsn, "this database by its own connection string",
				   CHECK_TIMEOUT_MS, &why);

	if (remote == NULL)
	{
		ereport(
			WARNING,
			(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg(
				 "this database cannot be reached by the connection string given for it"),
			 errdetail("%s", why),
			 errhint(
				 "The other nodes will use it: see that they get through, or type SELECT causaldb.alter_node(...) with a better one.")));
		return;
	}
	if (!member_leads_here(remote))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the connection string leads to another database"),
			 errdetail(
				 "The other nodes would take that database for this one."),
			 errhint(
				 "Check host, port and dbname in it: this database is \"%s\" on port %d.",
				 get_database_name(MyDatabaseId), PostPortNumber)));
	remote_close(remote);
}

/* ------------------------------------------------------------ rows */

void
member_apply(const char *json)
{
	const char *params[] = { json };
	RemoteRows *rows;

	rows = local_query(
		"UPDATE causaldb.node n"
		" SET name = COALESCE(j.d->>'name', n.name::pg_catalog.text),"
		" dsn = COALESCE(j.d->>'dsn', n.dsn),"
		" role = COALESCE(j.d->>'role', n.role),"
		" state = COALESCE(j.d->>'state', n.state),"
		" base = COALESCE(pg_catalog.decode(j.d->>'base', 'hex'), n.base),"
		" server_identity = CASE WHEN j.d->>'dsn' IS NULL THEN n.server_identity"
		" ELSE COALESCE((j.d->>'server_identity')::pg_catalog.bool, false) END"
		" FROM (SELECT $1::pg_catalog.jsonb AS d) j"
		" WHERE n.id = (j.d->>'id')::pg_catalog.int4"
		" RETURNING n.id",
		1, params);
	if (rows->nrows == 0)
		rows = local_query(
			"INSERT INTO causaldb.node (id, name, dsn, role, state, base, server_identity)"
			" SELECT (d->>'id')::pg_catalog.int4, d->>'name', d->>'dsn', d->>'role',"
			" d->>'state', pg_catalog.decode(d->>'base', 'hex'),"
			" COALESCE((d->>'server_identity')::pg_catalog.bool, false)"
			" FROM (SELECT $1::pg_catalog.jsonb AS d) j RETURNING id",
			1, params);
	if (rows->nrows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a change of the cluster's members names no member")));
	member_reload_at_commit();
}

void
member_change(const char *json)
{
	member_apply(json);
	capture_meta(META_NODE, json, strlen(json));
}

#define MEMBER_COLUMNS                                                         \
	"SELECT id, name, dsn, role, state, pg_catalog.encode(base, 'hex'), server_identity FROM causaldb.node "

static Member *
from_rows(RemoteRows *rows)
{
	Member *member;
	char *base;

	if (rows->nrows == 0)
		return NULL;
	member = palloc0(sizeof(Member));
	member->id = pg_strtoint32(REMOTE_VALUE(rows, 0, 0));
	member->name = REMOTE_VALUE(rows, 0, 1);
	member->dsn = REMOTE_VALUE(rows, 0, 2);
	member->role = REMOTE_VALUE(rows, 0, 3);
	member->state = REMOTE_VALUE(rows, 0, 4);
	base = REMOTE_VALUE(rows, 0, 5);
	member->server_identity = REMOTE_VALUE(rows, 0, 6)[0] == 't';
	if (base)
	{
		size_t len = strlen(base);

		member->base = palloc(VARHDRSZ + len / 2);
		SET_VARSIZE(member->base,
					VARHDRSZ + hex_decode(base, len, VARDATA(member->base)));
	}
	return member;
}

Dsn
member_dsn(const Member *member)
{
	return (Dsn){ .text = member->dsn,
				  .by_superuser = member->server_identity &&
								  identity_read().server_identity };
}

Member *
member_by_id(int32 id)
{
	char text[16];
	const char *params[] = { text };

	pg_ltoa(id, text);
	return from_rows(local_query(MEMBER_COLUMNS
								 "WHERE id = $1::pg_catalog.int4",
								 1, params));
}

Member *
member_by_name(const char *name)
{
	const char *params[] = { name };

	return from_rows(local_query(MEMBER_COLUMNS
								 "WHERE name = $1::pg_catalog.name",
								 1, params));
}

void
member_ready(void)
{
	Identity id = identity_read();
	char text[16];
	const char *params[] = { text };
	RemoteRows *rows;

	if (id.node == 0)
		return;
	pg_ltoa(id.node, text);
	rows = local_query(
		"UPDATE causaldb.node SET state = 'ready'"
		" WHERE id = $1::pg_catalog.int4 AND state = 'joining'"
		" RETURNING pg_catalog.jsonb_build_object('id', id, 'state', state)",
		1, params);
	if (rows->nrows == 1)
	{
		char *json = REMOTE_VALUE(rows, 0, 0);

		capture_meta(META_NODE, json, strlen(json));
		member_reload_at_commit();
	}
}
