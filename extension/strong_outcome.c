/*
 * strong_outcome.c
 *		What became of a strong transaction whose client was not told.
 *
 * By stamp, as the error 40003 names it, on any node; by idempotency key on
 * any node; or by transaction id on the node that it ran on. The answer is
 * definite: where the log does not have the transaction, an entry is put there
 * that keeps it out for ever.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"
#include "utils/xid8.h"

#include "bytes.h"

#include "errors.h"
#include "guc.h"
#include "idempotency.h"
#include "local.h"
#include "member.h"
#include "strong.h"
#include "strong_commit.h"
#include "wall.h"

PG_FUNCTION_INFO_V1(causaldb_outcome);
PG_FUNCTION_INFO_V1(causaldb_outcome_xid);
PG_FUNCTION_INFO_V1(causaldb_stamp_node);

/* a leader lets no proposal wait outside of the log for longer */
#define HELD_WAIT_MS 5000

/* causaldb.stamp_node(stamp bytea) returns int4: of a row of causaldb.log */
Datum
causaldb_stamp_node(PG_FUNCTION_ARGS)
{
	bytea *stamp = PG_GETARG_BYTEA_PP(0);
	uint64 node;
	RepReader r;

	rep_reader_init(&r, VARDATA_ANY(stamp), VARSIZE_ANY_EXHDR(stamp));
	(void) rep_read_varint(&r);
	node = rep_read_varint(&r);
	if (r.bad || node > PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("malformed stamp in causaldb.log")));
	PG_RETURN_INT32((int32) node);
}

/* What the log says has to be seen as of now, not as of a first statement. */
static void
need_fresh_snapshots(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("causaldb.outcome() needs isolation level READ COMMITTED"),
				 errhint("Call it outside of a transaction block.")));
}

static Datum
answer(bool committed)
{
	return PointerGetDatum(
		cstring_to_text(committed ? "committed" : "aborted"));
}

static RepStamp
parse(const char *text)
{
	unsigned long long hlc;
	unsigned long long boot;
	unsigned int node;
	char rest;
	RepStamp stamp;

	if (sscanf(text, "%llu@%u:%16llx%c", &hlc, &node, &boot, &rest) != 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is no stamp of a strong transaction", text),
				 errhint("Give the stamp that the error's detail shows.")));
	stamp.hlc = hlc;
	stamp.stream.node = node;
	stamp.stream.boot = boot;
	return stamp;
}

/* This node has applied it. */
static bool
is_logged(const RepStamp *stamp)
{
	uint8 bytes[32];
	char hex[65];
	const char *params[1] = { hex };
	RepWriter w;

	rep_writer_init(&w, bytes, sizeof(bytes));
	rep_write_varint(&w, stamp->hlc);
	rep_write_varint(&w, stamp->stream.node);
	rep_write_u64(&w, stamp->stream.boot);
	for (size_t i = 0; i < w.len; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	return local_query("SELECT FROM causaldb.log WHERE stream = 1 AND "
					   "stamp = pg_catalog.decode($1, 'hex')",
					   1, params)
			   ->nrows > 0;
}

static bool
decide(const RepStamp *stamp)
{
	uint64 index = 0;
	RepRaftVerdict verdict = strong_commit_abort(stamp, &index);

	if (verdict != REP_VERDICT_OLD_STAMP)
		return verdict == REP_VERDICT_COMMITTED;
	/* the leader has forgotten: what it forgot is applied here below index */
	strong_wait_applied(index, guc_strong_timeout);
	return is_logged(stamp);
}

/* ------------------------------------------------------------ by key */

/*
 * Where nobody has used the key, an entry claims it: it is refused if the key
 * was used above `base`, and so is everything behind it whose own base is
 * older. So what had the key looked up before is out, for ever; and what looks
 * it up later does so after the answer, or at the same time.
 */
static bool
decide_key(const char *text)
{
	TimestampTz end = TimestampTzPlusMilliseconds(wall_timer(),
												  guc_strong_timeout);
	RepKey key = { .hash = idempotency_hash(text), .mode = REP_KEY_EXCLUSIVE };
	IdempotencyUse use;
	uint64 index = 0;

	do
	{
		key.base = strong_applied();
		if (idempotency_find(text, &use))
			return true;
		switch (strong_commit_claim(&key, &index))
		{
			case REP_VERDICT_ABORTED:
				return false;
			case REP_VERDICT_CONFLICT:
				strong_wait_applied(index, guc_strong_timeout);
				break;
			default:
				strong_wait_applied(strong_read_index(guc_strong_timeout),
									guc_strong_timeout);
				break;
		}
	} while (wall_timer() < end);
	strong_commit_undecided();
}

static void
check_key(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > REP_MAX_IDEMPOTENCY_KEY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an idempotency key has 1 to %d bytes",
						REP_MAX_IDEMPOTENCY_KEY),
				 errhint("Give what causaldb.idempotency_key was set to.")));
}

/*
 * causaldb.outcome(stamp text DEFAULT NULL, idempotency_key text DEFAULT NULL)
 * returns text
 */
Datum
causaldb_outcome(PG_FUNCTION_ARGS)
{
	bool by_stamp = !PG_ARGISNULL(0);
	RepStamp stamp;
	char *key = NULL;

	if (by_stamp && !PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("causaldb.outcome() takes a stamp or an idempotency key, not both"),
				 errhint("Type SELECT causaldb.outcome('stamp'); or SELECT causaldb.outcome(idempotency_key => 'key');")));
	if (!by_stamp && PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (by_stamp)
		stamp = parse(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	else
		check_key(key = text_to_cstring(PG_GETARG_TEXT_PP(1)));
	(void) member_node();
	need_fresh_snapshots();
	return answer(by_stamp ? decide(&stamp) : decide_key(key));
}

/* ------------------------------------------------------------ by xid */

static bool
xid_is_logged(FullTransactionId xid)
{
	const char *params[1] = { psprintf(UINT64_FORMAT,
									   U64FromFullTransactionId(xid)) };

	return local_query("SELECT FROM causaldb.log l, causaldb.local_node n "
					   "WHERE l.stream = 1 AND l.xid = $1::xid8 AND "
					   "causaldb.stamp_node(l.stamp) = n.node",
					   1, params)
			   ->nrows > 0;
}

static void
wait_ms(long ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(wall_timer(), ms);

	while (wall_timer() < end)
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * No proposal that this node has sent before can enter the log any more: a
 * leader takes ours in the order in which they were sent, those of an earlier
 * term not at all, and keeps none waiting for longer.
 */
static void
fence_proposals(void)
{
	RepStamp stamp = strong_commit_fresh_stamp();
	uint64 index = 0;

	(void) strong_commit_abort(&stamp, &index);
	wait_ms(HELD_WAIT_MS);
	strong_wait_applied(strong_read_index(guc_strong_timeout),
						guc_strong_timeout);
}

/* causaldb.outcome(xid xid8) returns text */
Datum
causaldb_outcome_xid(PG_FUNCTION_ARGS)
{
	FullTransactionId xid = PG_GETARG_FULLTRANSACTIONID(0);

	(void) member_node();
	need_fresh_snapshots();
	if (!FullTransactionIdIsNormal(xid) ||
		FullTransactionIdFollowsOrEquals(xid, ReadNextFullTransactionId()))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("transaction id " UINT64_FORMAT " was not given yet",
						U64FromFullTransactionId(xid)),
				 errhint("Ask on the node that the transaction ran on.")));
	if (xid_is_logged(xid))
		return answer(true);
	if (TransactionIdIsInProgress(XidFromFullTransactionId(xid)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("transaction " UINT64_FORMAT " is still running",
						U64FromFullTransactionId(xid)),
				 errhint("Ask again when it has ended.")));
	fence_proposals();
	PG_RETURN_DATUM(answer(xid_is_logged(xid)));
}
