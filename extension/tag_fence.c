/*
 * tag_fence.c
 *		See tag_fence.h.
 *
 * The session that changes the tag asks every other node by itself, over a
 * connection of its own: first whether the change can be carried out there, and
 * to catch up while nothing is fenced yet, so that a node which is away or far
 * behind costs the writers nothing.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "change.h"

#include "capture.h"
#include "capture_keys.h"
#include "debug_point.h"
#include "equality.h"
#include "errors.h"
#include "guc.h"
#include "identity.h"
#include "local.h"
#include "member.h"
#include "meta.h"
#include "strong.h"
#include "strong_commit.h"
#include "tag_document.h"
#include "tag_fence.h"
#include "tags.h"
#include "token.h"
#include "wall.h"

PG_FUNCTION_INFO_V1(causaldb_check_tag);
PG_FUNCTION_INFO_V1(causaldb_tag_digest);

/* a node's own word on why it is late is waited for so much longer */
#define GRACE_MS 500
/* taking a fence back may take that long, beyond the call's own time */
#define UNDO_MS 5000
#define LEADER_NAP_MS 50
/* of an entry that need not have seen any other change of the tag */
#define SINCE_ANY PG_UINT64_MAX

typedef struct FenceNode
{
	int32 id;
	char *name;
	Remote *remote;
	char *token; /* what it has when it has played the fence */
} FenceNode;

static NodeShared *node;
static FenceNode others[REP_MAX_MEMBERS]; /* all members but ourselves */
static int nothers;
static TimestampTz end; /* wall_timer */

static int
left_ms(void)
{
	return (int) Max(TimestampDifferenceMilliseconds(wall_timer(), end), 1);
}

/* ------------------------------------------------------------ the members */

static void
pg_attribute_noreturn() held_back(const char *name, const char *why)
{
	ereport(ERROR,
			(errcode(ERRORS_TIMED_OUT),
			 errmsg("node \"%s\" holds the change of the tag back", name),
			 errdetail("%s", why),
			 errhint("The old tag stays. Every node must have the table's old "
					 "writes before it changes: look at causaldb.peers and "
					 "causaldb.streams, and try again, maybe with a longer "
					 "causaldb.strong_timeout.")));
}

/* The members as this node knows them now; a witness has no tables. */
static RemoteRows *
read_members(void)
{
	return local_query(
		"SELECT n.id, n.name, n.state FROM causaldb.node n, "
		"causaldb.local_node l WHERE n.id <> l.node AND n.state <> 'dropped' "
		"AND n.role <> 'witness' ORDER BY n.id",
		0, NULL);
}

static void
connect_all(void)
{
	RemoteRows *rows = read_members();

	nothers = 0;
	for (int i = 0; i < rows->nrows; i++)
	{
		FenceNode *o = &others[nothers++];
		char *why = NULL;

		o->id = pg_strtoint32(REMOTE_VALUE(rows, i, 0));
		o->name = REMOTE_VALUE(rows, i, 1);
		o->token = NULL;
		if (strcmp(REMOTE_VALUE(rows, i, 2), "ready") != 0)
			held_back(o->name, "It is joining.");
		o->remote = remote_try(member_dsn(member_by_id(o->id)),
							   psprintf("node \"%s\"", o->name), left_ms(),
							   &why);
		if (o->remote == NULL)
			held_back(o->name, why);
	}
}

static void
close_all(void)
{
	for (int i = 0; i < nothers; i++)
		remote_close(others[i].remote);
}

/* It did not answer, rather than that it refused. */
static bool
is_away(int code)
{
	return code == ERRORS_TIMED_OUT || code == ERRCODE_ADMIN_SHUTDOWN ||
		   code == ERRCODE_CRASH_SHUTDOWN ||
		   ERRCODE_TO_CATEGORY(code) == ERRCODE_CONNECTION_EXCEPTION;
}

static RemoteRows *
ask(FenceNode *o, const char *sql, int nparams, const char *const *params)
{
	MemoryContext old = CurrentMemoryContext;
	RemoteRows *volatile rows = NULL;

	remote_set_timeout(o->remote, left_ms() + GRACE_MS);
	PG_TRY();
	{
		rows = remote_query(o->remote, sql, nparams, params);
	}
	PG_CATCH();
	{
		ErrorData *error;

		/* all that it holds is a connection, which goes with our memory */
		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (!is_away(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		held_back(o->name, error->detail ? psprintf("%s: %s", error->message,
													error->detail)
										 : error->message);
	}
	PG_END_TRY();
	return rows;
}

/* Returns when it has all that these tokens name. */
static void
wait_there(FenceNode *o, const char *tokens)
{
	const char *params[2] = { tokens, psprintf("%d ms", left_ms()) };

	(void) ask(o,
			   "SELECT causaldb.wait_for(t, $2::pg_catalog.interval) "
			   "FROM pg_catalog.unnest($1::pg_catalog.text[]) t",
			   2, params);
}

static void
wait_here(const FenceNode *o)
{
	char *lag = NULL;

	if (!token_wait(node, o->token, left_ms(), &lag))
		held_back(o->name, psprintf("This node lacks what that one wrote: %s",
									lag));
}

/*
 * Returns when every node has what any node had at the time of the call, the
 * entries that we have applied included. A token has no character that needs
 * quotes in an array but the comma.
 */
static void
catch_up(void)
{
	StringInfoData all;
	char *ours = token_make(node);

	initStringInfo(&all);
	appendStringInfo(&all, "{\"%s\"", ours);
	for (int i = 0; i < nothers; i++)
	{
		FenceNode *o = &others[i];

		wait_there(o, psprintf("{\"%s\"}", ours));
		o->token = REMOTE_VALUE(ask(o, "SELECT causaldb.token()", 0, NULL),
								0, 0);
		appendStringInfo(&all, ",\"%s\"", o->token);
	}
	appendStringInfoChar(&all, '}');
	for (int i = 0; i < nothers; i++)
	{
		wait_there(&others[i], all.data);
		wait_here(&others[i]);
	}
}

/*
 * Nobody has joined whom we did not ask. Whoever is admitted after the node
 * that admits has played the fence copies the fence, too.
 */
static void
check_members(void)
{
	RemoteRows *rows = read_members();

	for (int i = 0; i < rows->nrows; i++)
		if (i >= nothers ||
			pg_strtoint32(REMOTE_VALUE(rows, i, 0)) != others[i].id)
			held_back(REMOTE_VALUE(rows, i, 1), "It is joining.");
}

static void
check_all(const char *change)
{
	const char *params[1] = { change };

	for (int i = 0; i < nothers; i++)
		(void) ask(&others[i], "SELECT causaldb.check_tag($1)", 1, params);
}

/* NULL: nothing is to be compared. Read by its owner, whoever asks. */
static char *
digest_here(const char *change)
{
	Oid relid;
	List *columns = tags_fresh_columns(change, &relid);
	Relation rel;
	char *digest;
	Oid user;
	int context;

	if (columns == NIL)
		return NULL;
	GetUserIdAndSecContext(&user, &context);
	rel = relation_open(relid, AccessShareLock);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   context | SECURITY_RESTRICTED_OPERATION);
	digest = equality_digest(relid, columns);
	SetUserIdAndSecContext(user, context);
	relation_close(rel, AccessShareLock);
	return digest;
}

/*
 * Behind the fence: rows and columns that had no tag were written by each node
 * for itself. A strong column has one value.
 */
static void
compare_all(const char *change)
{
	const char *params[1] = { change };
	char *ours = digest_here(change);

	for (int i = 0; i < nothers && ours != NULL; i++)
	{
		FenceNode *o = &others[i];
		char *theirs =
			REMOTE_VALUE(ask(o, "SELECT causaldb.tag_digest($1)", 1, params),
						 0, 0);
		uint64 name_hash;

		if (theirs != NULL && strcmp(ours, theirs) == 0)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is not the same on node \"%s\" as on this "
						"one",
						tag_document_table(change, &name_hash), o->name),
				 errdetail("Rows, or columns that had no tag, were written by "
						   "each node for itself, and a strong column has one "
						   "value. The old tag stays."),
				 errhint("Make them equal on all nodes, and try again.")));
	}
}

/* causaldb.tag_digest(change text) returns text */
Datum
causaldb_tag_digest(PG_FUNCTION_ARGS)
{
	char *digest;

	(void) member_node();
	digest = digest_here(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (digest == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(digest));
}

/* causaldb.check_tag(change text) */
Datum
causaldb_check_tag(PG_FUNCTION_ARGS)
{
	(void) member_node();
	tags_check(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------ the entries */

static void
wait_for_leader(void)
{
	while (pg_atomic_read_u32(&node->strong.leader) == 0)
	{
		if (wall_timer() >= end)
			ereport(ERROR,
					(errcode(ERRORS_NO_QUORUM),
					 errmsg("no leader of the strong log is known to this "
							"node"),
					 errdetail("What makes columns strong, or strong ones "
							   "eventual, goes through that log."),
					 errhint("Try again when a majority of the nodes is up and "
							 "reach each other: look at "
							 "causaldb.strong_status.")));
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LEADER_NAP_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static StringInfo
payload_of(const char *document)
{
	size_t len = strlen(document);
	StringInfo out = makeStringInfo();
	RepWriter w;

	enlargeStringInfo(out, (int) len + 64);
	rep_writer_init(&w, out->data, (size_t) out->maxlen);
	rep_payload_begin(&w, NULL, 0);
	rep_write_meta(&w, META_TAG, document, len);
	Assert(!w.full);
	out->len = (int) w.len;
	return out;
}

/*
 * Puts the change into the log and returns its index. `since` is the last
 * change of this table's tag that it builds on; ERROR 40001 if there is a later
 * one. Every strong writer of the table who has not seen it loses.
 */
static uint64
order(const char *document, uint64 since, int timeout_ms)
{
	uint64 name_hash;
	char *table = tag_document_table(document, &name_hash);
	uint64 tag = capture_keys_tag(name_hash);
	RepKey keys[2] = {
		{ .hash = tag, .base = SINCE_ANY, .mode = REP_KEY_EXCLUSIVE },
		{ .hash = rep_hash64("change", 6, tag),
		  .base = since,
		  .mode = REP_KEY_EXCLUSIVE },
	};
	uint64 index = 0;

	if (strong_commit_detached(payload_of(document), keys, lengthof(keys),
							   timeout_ms, &index) == REP_VERDICT_CONFLICT)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("somebody else changes the tag of table %s", table),
				 errdetail("That change is at index " UINT64_FORMAT
						   " of the strong log.",
						   index),
				 errhint("Look at causaldb.tags, and try again.")));
	return index;
}

/*
 * In the handler of an error: lifts the fence at that index, unless it is gone,
 * and raises the error again.
 */
static void
pg_attribute_noreturn()
take_back(const char *change, uint64 index, MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	PG_TRY();
	{
		strong_wait_applied(
			order(tag_document_with_op(change, "unfence"), index, UNDO_MS),
			UNDO_MS);
	}
	PG_CATCH();
	{
		ErrorData *why;

		MemoryContextSwitchTo(context);
		why = CopyErrorData();
		FlushErrorState();
		/* one of us has settled it, or somebody else's fence is in its place */
		if (why->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE)
			ereport(WARNING,
					(errmsg("the table cannot be written yet: its old tag "
							"could not be put in force again"),
					 errdetail("%s", why->message),
					 errhint("When a majority of the nodes is up, call "
							 "causaldb.set_consistency again, with the new or "
							 "with the old level, or "
							 "causaldb.unset_consistency.")));
	}
	PG_END_TRY();
	ReThrowError(error);
}

static void
fence_and_settle(const char *change)
{
	MemoryContext context = CurrentMemoryContext;
	const char *settle = tag_document_with_op(change, "settle");
	uint64 fence = order(tag_document_with_op(change, "fence"), SINCE_ANY,
						 left_ms());
	volatile uint64 settled = 0;

	PG_TRY();
	{
		DEBUG_POINT("tag_fence_ordered");
		strong_wait_applied(fence, left_ms());
		catch_up();
		check_members();
		compare_all(change);
		DEBUG_POINT("tag_fence_passed");
		settled = order(settle, fence, left_ms());
	}
	PG_CATCH();
	{
		take_back(change, fence, context);
	}
	PG_END_TRY();
	strong_wait_applied(settled, left_ms() + UNDO_MS);
}

void
tag_fence_change(const char *change)
{
	node = member_node();
	end = TimestampTzPlusMilliseconds(wall_timer(), guc_strong_timeout);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || capture_pending())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("a tag cannot be changed in a transaction that has "
						"written something"),
				 errdetail("The change waits for all writers of the table, and "
						   "could not be rolled back."),
				 errhint("COMMIT first.")));
	wait_for_leader();
	connect_all();
	check_all(change);
	if (BREAK("no_tag_fence"))
		strong_wait_applied(order(tag_document_with_op(change, "settle"),
								  SINCE_ANY, left_ms()),
							left_ms());
	else
	{
		catch_up();
		fence_and_settle(change);
	}
	close_all();
}
