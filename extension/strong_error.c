/*
 * strong_error.c
 *		See strong_error.h.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture_keys.h"
#include "catalog.h"
#include "catalog_tag.h"
#include "errors.h"
#include "guc.h"
#include "local.h"
#include "logged.h"
#include "render.h"
#include "strong_error.h"

/* the change that wrote the key of that hash */
typedef struct Sought
{
	uint64 hash;
	bool is_tag; /* it is the table's tag, no row's */
	char *table; /* NULL: not found */
	char *key;
} Sought;

char *
strong_error_stamp(const RepStamp *stamp)
{
	return psprintf("%llu@%u:%016llx", (unsigned long long) stamp->hlc,
					stamp->stream.node,
					(unsigned long long) stamp->stream.boot);
}

static bool
look_at(CatalogApply *a, RepChange *c, uint32 ordinal, void *arg)
{
	Sought *s = arg;
	const RepDescriptor *d = &a->descriptor;
	Datum key[INDEX_MAX_KEYS];
	uint64 name = catalog_tag_descriptor_hash(d);

	(void) ordinal;
	if (capture_keys_tag(name) == s->hash)
	{
		s->table = catalog_descriptor_name(d);
		s->is_tag = true;
		return false;
	}
	if (c->kind == REP_CHANGE_TRUNCATE || a->key.ncolumns == 0)
		return true;
	logged_key(a, c, key);
	if (capture_keys_hash(name, &a->key, key) != s->hash)
		return true;
	s->table = catalog_descriptor_name(d);
	s->key = render_key(a, c);
	return false;
}

static char *
node_named(uint32 id)
{
	const char *params[1] = { psprintf("%u", id) };
	RemoteRows *rows;

	if (id == 0)
		return NULL;
	rows = local_query("SELECT name FROM causaldb.node WHERE id = $1::int4", 1,
					   params);
	return rows->nrows == 0
			   ? NULL
			   : psprintf("node \"%s\"", REMOTE_VALUE(rows, 0, 0));
}

static void
pg_attribute_noreturn() lost(const StrongSlot *slot, StringInfo payload)
{
	Sought s = { .hash = slot->key };
	const char *winner;

	/* the statement's own snapshot is gone at its commit */
	PushActiveSnapshot(GetLatestSnapshot());
	winner = node_named(slot->winner);
	logged_each_change((uint8 *) payload->data, (size_t) payload->len,
					   look_at, &s);
	PopActiveSnapshot();
	if (s.is_tag)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the tag of table %s was changed", s.table),
				 errdetail("The transaction wrote it under the tag before "
						   "index " UINT64_FORMAT " of the strong log.",
						   slot->index),
				 errhint("Run the transaction again.")));
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("strong transaction lost against a concurrent one%s%s",
					winner ? " of " : "", winner ? winner : ""),
			 s.table ? errdetail("Row %s of table %s was written at index " UINT64_FORMAT " of the strong log.",
								 s.key ? s.key : "", s.table, slot->index)
					 : errdetail("A row was written at index " UINT64_FORMAT " of the strong log.",
								 slot->index),
			 errhint("Run the transaction again.")));
}

static void
pg_attribute_noreturn() retry(const char *message, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("%s", message), errdetail("%s", detail),
					errhint("Run the transaction again.")));
}

static void
pg_attribute_noreturn() no_quorum(const char *message, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRORS_NO_QUORUM), errmsg("%s", message),
			 errdetail("%s Nothing of the transaction was done.", detail),
			 errhint("Try again; look at causaldb.strong_status and causaldb.peers if it does not get better.")));
}

void
strong_error_in_the_way(void)
{
	retry("transaction was in the way of the strong log",
		  "It held a lock that was needed to apply what is committed in the cluster, and was not decided itself.");
}

void
strong_error_refused(const StrongSlot *slot, const RepRaftEntry *e,
					 StringInfo payload)
{
	switch (slot->verdict)
	{
		case REP_VERDICT_CONFLICT:
			lost(slot, payload);
		case REP_VERDICT_OLD_BASE:
			retry("strong transaction is too old to be certified",
				  "Since it wrote its first row the leader has forgotten who wrote what.");
		case REP_VERDICT_HORIZON:
			retry("strong transaction has not seen what every node has",
				  "This node is behind: its history may be forgotten already.");
		case REP_VERDICT_ABORTED:
			if (slot->hurried)
				strong_error_in_the_way();
			if (slot->abort)
				no_quorum("strong transaction was not decided in time",
						  "It was aborted for good after causaldb.strong_timeout.");
			retry("strong transaction was aborted",
				  "Somebody asked for its outcome before it was in the log.");
		case REP_VERDICT_SKEWED:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("this node's clock is too far ahead of the leader's"),
					 errdetail("causaldb.max_clock_skew is %d ms.", guc_max_clock_skew),
					 errhint("Correct the clocks.")));
		case REP_VERDICT_TOO_LARGE:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("strong transaction is too large"),
					 errdetail("It wrote %u rows of strong tables and %u bytes.",
							   e->nkeys, e->payload_size),
					 errhint("Divide it into smaller transactions.")));
		case REP_VERDICT_NOT_HELD:
			no_quorum("strong transaction depends on writes that no majority has yet",
					  "What this node wrote or saw before has not reached enough nodes.");
		case REP_VERDICT_BUSY:
			no_quorum("the leader has too many strong transactions under way",
					  "Its queue was full.");
		case REP_VERDICT_NO_LEADER:
			no_quorum("no leader of the strong log is known to this node",
					  "A majority of the nodes must be up and reach each other.");
		default:
			break;
	}
	strong_error_unknown(&e->stamp, ERROR);
	pg_unreachable();
}

void
strong_error_unknown(const RepStamp *stamp, int level)
{
	ereport(level,
			(errcode(ERRCODE_T_R_STATEMENT_COMPLETION_UNKNOWN),
			 errmsg("it is not known whether the strong transaction is committed"),
			 errdetail("Its stamp is %s.", strong_error_stamp(stamp)),
			 errhint("Type SELECT causaldb.outcome('%s'); before you run it again.",
					 strong_error_stamp(stamp))));
}

void
strong_error_key_used(const char *key, const RepStamp *stamp, uint64 index)
{
	ereport(ERROR,
			(errcode(ERRORS_KEY_USED),
			 errmsg("the transaction with idempotency key \"%s\" is done already", key),
			 errdetail("Outcome: committed. Stamp: %s, at index " UINT64_FORMAT " of the strong log.",
					   strong_error_stamp(stamp), index),
			 errhint("It is done, and this time nothing was: nothing needs to be repeated.")));
}

void
strong_error_replayed(uint64 index, int level)
{
	ereport(level,
			(errcode(ERRCODE_T_R_STATEMENT_COMPLETION_UNKNOWN),
			 errmsg("strong transaction is committed at index " UINT64_FORMAT ", but not by this session",
					index),
			 errdetail("This session was in the way of the strong log, so the log's entry was applied instead."),
			 errhint("Do not run it again.")));
}

void
strong_error_convert(uint64 index)
{
	ErrorData *error;

	MemoryContextSwitchTo(TopTransactionContext);
	error = CopyErrorData();
	FlushErrorState();
	ereport(ERROR,
			(errcode(ERRCODE_T_R_STATEMENT_COMPLETION_UNKNOWN),
			 errmsg("strong transaction is committed at index " UINT64_FORMAT ", but not by this session",
					index),
			 errdetail("Committing it here failed, so the log's entry is applied instead: %s",
					   error->message),
			 errhint("Do not run it again.")));
}
