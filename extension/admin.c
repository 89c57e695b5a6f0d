/*
 * admin.c
 *		See admin.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "admin.h"
#include "capture.h"
#include "clock.h"
#include "errors.h"
#include "identity.h"
#include "local.h"
#include "member.h"
#include "meta.h"
#include "secret.h"
#include "streams.h"
#include "tag_document.h"
#include "tag_fence.h"
#include "tags.h"
#include "token.h"

#define CONNECT_TIMEOUT_MS 10000
/* how long a change of a tag may take to come back from the coordinator */
#define TAG_TIMEOUT_MS 30000
/* how often wait_until_ready looks at what wakes nobody */
#define READY_NAP_MS 50

PG_FUNCTION_INFO_V1(causaldb_create_cluster);
PG_FUNCTION_INFO_V1(causaldb_admit_node);
PG_FUNCTION_INFO_V1(causaldb_alter_node);
PG_FUNCTION_INFO_V1(causaldb_order_dsn);
PG_FUNCTION_INFO_V1(causaldb_order_tag);
PG_FUNCTION_INFO_V1(causaldb_wait_until_ready);

/* ------------------------------------------------------------ founding */

static void
not_null(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not be null", what)));
}

/* causaldb.create_cluster(node_name name, dsn text) */
Datum
causaldb_create_cluster(PG_FUNCTION_ARGS)
{
	char cluster_text[32];
	const char *params[4];
	int64 cluster = 0;
	Dsn dsn;

	secret_begin("create_cluster");
	not_null(fcinfo, 0, "the node's name");
	not_null(fcinfo, 1, "the connection string");
	member_need_preload();
	dsn = dsn_of_caller(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	member_begin_founding();
	member_check_dsn(dsn);

	while (cluster == 0)
		if (!pg_strong_random(&cluster, sizeof(cluster)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not get random bytes")));
	pg_lltoa(cluster, cluster_text);
	params[0] = NameStr(*PG_GETARG_NAME(0));
	params[1] = dsn.text;
	params[2] = dsn.by_superuser ? "t" : "f";
	params[3] = cluster_text;
	(void) local_query(
		"INSERT INTO causaldb.node (id, name, dsn, role, state, server_identity)"
		" VALUES (1, $1::pg_catalog.name, $2, 'member', 'ready', $3::pg_catalog.bool)",
		3, params);
	(void) local_query(
		"INSERT INTO causaldb.local_node (node, cluster, coordinator, database, server_identity)"
		" VALUES (1, $2::pg_catalog.int8, 1,"
		" (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),"
		" $1::pg_catalog.bool)",
		2, params + 2);
	clock_become_node_at_commit();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------ the coordinator */

/* This node, which must be the coordinator. */
static NodeShared *
coordinating_node(void)
{
	NodeShared *node = member_node();
	Identity id = identity_read();

	if (id.node != id.coordinator)
	{
		Member *coordinator = member_by_id(id.coordinator);

		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("this node does not order members and tags"),
						errdetail("Node \"%s\" does.",
								  coordinator ? coordinator->name : "?"),
						errhint("Connect to that node and try again there.")));
	}
	return node;
}

/* A connection to the coordinator, from another node. */
static Remote *
connect_coordinator(Identity id)
{
	Member *coordinator = member_by_id(id.coordinator);
	char *whom;
	char *why = NULL;
	Remote *remote;

	if (coordinator == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the node that orders members and tags is not known"),
				 errdetail("It has id %d, which is not in causaldb.node.",
						   id.coordinator),
				 errhint("Type on another node, to see whether it is there: "
						 "SELECT * FROM causaldb.nodes;")));
	whom = psprintf("node \"%s\", which orders members and tags",
					coordinator->name);
	remote = remote_try(member_dsn(coordinator), whom, CONNECT_TIMEOUT_MS, &why);
	if (remote == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("could not reach %s", whom), errdetail("%s", why),
			 errhint(
				 "Nothing was changed. Bring that node back and try again; ordinary reads and writes go on meanwhile.")));
	return remote;
}

static void
base_of(NodeShared *node, StringInfo hex)
{
	RepVersion *entries = palloc(sizeof(RepVersion) * REP_MAX_VECTOR);
	RepVector v = { entries, 0, REP_MAX_VECTOR };
	size_t room = 16 + (size_t) REP_MAX_VECTOR * 24;
	uint8 *bytes = palloc(room);
	RepWriter w;

	streams_applied_vector(node, clock_closed(node), &v);
	rep_writer_init(&w, bytes, room);
	rep_vector_encode(&v, &w);
	if (w.full)
		elog(ERROR, "a vector of %u streams does not fit", v.len);
	enlargeStringInfo(hex, (int) w.len * 2 + 1);
	hex->len += (int) hex_encode((char *) bytes, w.len, hex->data + hex->len);
	hex->data[hex->len] = '\0';
	pfree(bytes);
	pfree(entries);
}

/* The id for a node that is new, or is joining again after an interruption. */
static int32
choose_id(const char *name, const char *dsn, const char *role)
{
	Member *known = member_by_name(name);
	RemoteRows *rows;
	int32 members;

	if (known &&
		(strcmp(known->state, "joining") != 0 || strcmp(known->dsn, dsn) != 0))
		ereport(
			ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("the cluster has a node \"%s\" already", name),
			 strcmp(known->state, "joining") == 0
				 ? errdetail(
					   "A join under this name with another connection string has begun.")
				 : 0,
			 errhint(
				 "Choose another name. Node names and ids are never used again.")));
	/* the strong log may have it as a member already, in its role */
	if (known && strcmp(known->role, role) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("a join of node \"%s\" has begun with another role", name),
				 errhint("Type role => '%s', or choose another name.", known->role)));
	if (known)
		return known->id;
	rows = local_query("SELECT pg_catalog.max(id) + 1,"
					   " pg_catalog.count(*) FILTER (WHERE state <> 'dropped')"
					   " FROM causaldb.node",
					   0, NULL);
	members = pg_strtoint32(REMOTE_VALUE(rows, 0, 1));
	if (members >= REP_MAX_MEMBERS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a cluster has at most %d nodes", REP_MAX_MEMBERS)));
	return pg_strtoint32(REMOTE_VALUE(rows, 0, 0));
}

/*
 * A string as another node hands it on: whether a superuser gave it over there
 * counts only if it is a superuser who says so here.
 */
static Dsn
dsn_handed_on(const char *text, bool by_superuser)
{
	Dsn dsn = { .text = text, .by_superuser = by_superuser && superuser() };
	const char *why = dsn_refusal(dsn);

	if (why)
		dsn_refuse(why);
	return dsn;
}

static void
add_dsn(StringInfo json, Dsn dsn)
{
	appendStringInfoString(json, ", \"dsn\": ");
	escape_json(json, dsn.text);
	appendStringInfo(json, ", \"server_identity\": %s",
					 dsn.by_superuser ? "true" : "false");
}

/*
 * causaldb.admit_node(node_name name, dsn text, role text, server_identity
 * bool) returns int4: the joiner's id. From its commit on, and wherever its
 * stream is applied, the joiner counts for stability.
 */
Datum
causaldb_admit_node(PG_FUNCTION_ARGS)
{
	char *name = NameStr(*PG_GETARG_NAME(0));
	char *role = text_to_cstring(PG_GETARG_TEXT_PP(2));
	NodeShared *node;
	Dsn dsn;
	StringInfoData json;
	int32 id;

	secret_begin("admit_node");
	node = coordinating_node();
	dsn = dsn_handed_on(text_to_cstring(PG_GETARG_TEXT_PP(1)),
						PG_GETARG_BOOL(3));
	(void) local_query("LOCK TABLE causaldb.node IN SHARE ROW EXCLUSIVE MODE",
					   0, NULL);
	id = choose_id(name, dsn.text, role);

	initStringInfo(&json);
	appendStringInfo(&json, "{\"id\": %d, \"name\": ", id);
	escape_json(&json, name);
	add_dsn(&json, dsn);
	appendStringInfoString(&json, ", \"role\": ");
	escape_json(&json, role);
	appendStringInfoString(&json, ", \"state\": \"joining\"");
	if (member_by_id(id) == NULL)
	{
		/* an older base holds more back, so a join that goes on keeps it */
		appendStringInfoString(&json, ", \"base\": \"");
		base_of(node, &json);
		appendStringInfoChar(&json, '"');
	}
	appendStringInfoChar(&json, '}');
	member_change(json.data);
	PG_RETURN_INT32(id);
}

/* On the coordinator. */
static void
order_dsn(const char *name, Dsn dsn)
{
	StringInfoData json;
	Member *member;

	(void) local_query("LOCK TABLE causaldb.node IN SHARE ROW EXCLUSIVE MODE",
					   0, NULL);
	member = member_by_name(name);
	if (member == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("the cluster has no node \"%s\"", name),
			 errhint(
				 "Type SELECT name FROM causaldb.nodes to see which it has.")));
	if (member->id == identity_read().node)
		member_check_dsn(dsn);
	initStringInfo(&json);
	appendStringInfo(&json, "{\"id\": %d", member->id);
	add_dsn(&json, dsn);
	appendStringInfoChar(&json, '}');
	member_change(json.data);
}

/*
 * causaldb.order_dsn(node_name name, dsn text, server_identity bool): what
 * alter_node asks of the coordinator.
 */
Datum
causaldb_order_dsn(PG_FUNCTION_ARGS)
{
	char *dsn = text_to_cstring(PG_GETARG_TEXT_PP(1));

	secret_begin("order_dsn");
	(void) coordinating_node();
	order_dsn(NameStr(*PG_GETARG_NAME(0)),
			  dsn_handed_on(dsn, PG_GETARG_BOOL(2)));
	PG_RETURN_VOID();
}

/* causaldb.alter_node(node_name name, dsn text): peers connect by another dsn. */
Datum
causaldb_alter_node(PG_FUNCTION_ARGS)
{
	char *name = NameStr(*PG_GETARG_NAME(0));
	Dsn dsn;
	Identity id;

	secret_begin("alter_node");
	(void) member_node();
	dsn = dsn_of_caller(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	id = identity_read();
	if (id.node == id.coordinator)
		order_dsn(name, dsn);
	else
	{
		const char *params[] = { name, dsn.text, dsn.by_superuser ? "t" : "f" };

		(void) remote_query(connect_coordinator(id),
							"SELECT causaldb.order_dsn($1::name, $2, $3::bool)",
							3, params);
	}
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------ tags */

static void
pg_attribute_noreturn() refuse_now(const char *change)
{
	uint64 name_hash;

	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the tag of table %s is being changed",
					tag_document_table(change, &name_hash)),
			 errdetail("Somebody else changes it, or was interrupted."),
			 errhint("Try again. If this goes on, see in causaldb.tags what it "
					 "is becoming, and call causaldb.set_consistency with "
					 "that level or with the old one, or "
					 "causaldb.unset_consistency.")));
}

/* What needs a fence goes another way; where one is up, nothing is ordered. */
static void
order_tag(const char *change)
{
	if (tags_needs_fence(change))
		refuse_now(change);
	tags_apply(change);
	if (tags_fenced(change))
		refuse_now(change);
	capture_meta(META_TAG, change, strlen(change));
}

/*
 * causaldb.order_tag(change text): what a node that is not the coordinator
 * asks of it; the change is in tags.h's form.
 */
Datum
causaldb_order_tag(PG_FUNCTION_ARGS)
{
	(void) coordinating_node();
	order_tag(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* Sends a change to the coordinator and waits until it has come back. */
static void
carry_tag(Identity id, const char *change)
{
	NodeShared *node = member_node();
	const char *params[] = { change };
	Remote *remote;
	RemoteRows *rows;
	char *lag = NULL;

	/* whatever it has locked would keep the change from being applied here */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(
			ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg(
				 "a tag cannot be changed in a transaction that has written something"),
			 errdetail(
				 "The change goes by way of another node and could not be rolled back."),
			 errhint("COMMIT first.")));
	remote = connect_coordinator(id);

	(void) remote_query(remote, "SELECT causaldb.order_tag($1)", 1, params);
	rows = remote_query(remote, "SELECT causaldb.token()", 0, NULL);
	remote_close(remote);
	if (rows->nrows != 1)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("the node that orders tags gave no token"),
			 errdetail("It may have set the tag: SELECT * FROM causaldb.tags; there shows it."),
			 errhint("See that both nodes have the same version of causaldb, then type it again.")));
	if (!token_wait(node, REMOTE_VALUE(rows, 0, 0), TAG_TIMEOUT_MS, &lag))
		ereport(
			ERROR,
			(errcode(ERRORS_TIMED_OUT),
			 errmsg(
				 "the tag is set, but this node has not heard of it in time"),
			 errdetail("%s", lag),
			 errhint(
				 "It takes effect here by itself when the stream arrives; look at causaldb.streams and causaldb.stalled.")));
}

static bool
route_tag(const char *change)
{
	Identity id = identity_read();

	if (id.node == 0)
		return false;
	if (tags_needs_fence(change))
		tag_fence_change(change);
	else if (id.node == id.coordinator)
		order_tag(change);
	else
		carry_tag(id, change);
	return true;
}

/* ------------------------------------------------------------ readiness */

/* A frame of that node has come since then. */
static bool
is_heard(NodeShared *node, int32 id, TimestampTz since)
{
	int i;

	for (i = 0; i < REP_MAX_MEMBERS; i++)
		if ((int32) pg_atomic_read_u32(&node->heard[i].node) == id)
			return (TimestampTz) pg_atomic_read_u64(&node->heard[i].at) >=
				   since;
	return false;
}

static bool
is_linked(NodeShared *node, int32 id, char *error, size_t len)
{
	bool up = false;
	int i;

	error[0] = '\0';
	LWLockAcquire(&node->lock, LW_SHARED);
	for (i = 0; i < REP_MAX_MEMBERS; i++)
		if ((int32) node->peers[i].node == id)
		{
			up = node->peers[i].state == LINK_UP;
			strlcpy(error, node->peers[i].error, len);
		}
	LWLockRelease(&node->lock);
	return up;
}

/* NULL if this node is ready, else a sentence on what it waits for. */
static char *
not_ready_because(NodeShared *node, TimestampTz since)
{
	Identity id = identity_read();
	RemoteRows *others;
	char error[256];
	int i;

	if (clock_state(node) != NODE_OPEN)
		return pstrdup(
			"Its workers have not opened a stream for this start of the server.");
	others = local_query(
		"SELECT id, name FROM causaldb.node WHERE state = 'ready'"
		" AND id NOT IN (SELECT node FROM causaldb.paused) ORDER BY id",
		0, NULL);
	for (i = 0; i < others->nrows; i++)
	{
		int32 other = pg_strtoint32(REMOTE_VALUE(others, i, 0));
		char *name = REMOTE_VALUE(others, i, 1);

		if (other == id.node)
			continue;
		if (!is_linked(node, other, error, sizeof(error)))
			return psprintf("The link to node \"%s\" is not up%s%s.", name,
							error[0] ? ": " : "", error);
		if (!is_heard(node, other, since))
			return psprintf("Nothing has come from node \"%s\" yet.", name);
	}
	return NULL;
}

/* causaldb.wait_until_ready(timeout interval) */
Datum
causaldb_wait_until_ready(PG_FUNCTION_ARGS)
{
	NodeShared *node = member_node();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(now, token_milliseconds(
											 PG_GETARG_INTERVAL_P(0)));
	/* links are never silent longer than a heartbeat interval of the peer */
	TimestampTz since = TimestampTzPlusMilliseconds(now, -1000);
	char *why;

	ConditionVariablePrepareToSleep(&node->applied_cv);
	while ((why = not_ready_because(node, since)) != NULL)
	{
		if (GetCurrentTimestamp() >= deadline)
			ereport(
				ERROR,
				(errcode(ERRORS_TIMED_OUT),
				 errmsg("this node is not ready yet"), errdetail("%s", why),
				 errhint(
					 "Look at causaldb.peers, and for \"causaldb\" in the server log.")));
		(void) ConditionVariableTimedSleep(&node->applied_cv, READY_NAP_MS,
										   PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
	member_ready();
	PG_RETURN_VOID();
}

void
admin_init(void)
{
	tags_route = route_tag;
	member_init();
}
