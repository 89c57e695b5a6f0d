/*
 * strong_error.c
 *		See strong_error.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture_keys.h"
#include "catalog.h"
#include "catalog_foreign.h"
#include "catalog_tag.h"
#include "errors.h"
#include "guc.h"
#include "local.h"
#include "logged.h"
#include "render.h"
#include "strong.h"
#include "strong_error.h"

/* what a key is of */
typedef enum KeyOf
{
	KEY_OF_NONE, /* not found, or a value of a unique constraint */
	KEY_OF_ROW,
	KEY_OF_TABLE,     /* which it has written rows of */
	KEY_OF_TRUNCATED, /* of a table that it truncates */
	KEY_OF_EXISTENCE, /* of a row that the transaction takes away */
	KEY_OF_PARENT     /* of a row that it refers to */
} KeyOf;

/* the change that wrote the key of that hash */
typedef struct Sought
{
	uint64 hash;
	KeyOf of;
	char *table;
	char *key; /* of the row */
} Sought;

char *
strong_error_stamp(const RepStamp *stamp)
{
	return psprintf("%llu@%u:%016llx", (unsigned long long) stamp->hlc,
					stamp->stream.node,
					(unsigned long long) stamp->stream.boot);
}

/* What the change leaves in the attribute; -1: it does not say. */
static int
written_column(CatalogApply *a, RepChange *c, AttrNumber attnum,
			   const RepValue **value)
{
	int column = 0;

	while (column < (int) a->descriptor.ncolumns &&
		   a->attnums[column] != attnum)
		column++;
	if (column == (int) a->descriptor.ncolumns)
		return -1;
	if (c->kind == REP_CHANGE_INSERT)
	{
		*value = &c->row[column];
		return column;
	}
	for (uint32 i = 0; i < c->nfields; i++)
		if ((int) c->fields[i].column == column)
		{
			*value = &c->fields[i].after;
			return column;
		}
	for (uint32 i = 0; i < a->descriptor.nkeys; i++)
		if (a->keys[i] == column)
		{
			*value = &c->key[i];
			return column;
		}
	return -1;
}

/* It writes a row that refers to the one sought, by this foreign key. */
static bool
refers(Sought *s, CatalogApply *a, RepChange *c, CatalogForeign *f)
{
	Relation index = index_open(f->key.index, AccessShareLock);
	Datum values[INDEX_MAX_KEYS];
	StringInfoData key;
	bool isnull = false;

	initStringInfo(&key);
	for (int i = 0; i < f->key.ncolumns && !isnull; i++)
	{
		const RepValue *v;
		int column = written_column(a, c, f->key.columns[i].attnum, &v);

		isnull = column < 0;
		if (isnull)
			break;
		values[i] = tuple_decode(&a->codecs[column], v, &isnull);
		appendStringInfoString(&key, i == 0 ? "{" : ", ");
		escape_json(&key, get_attname(f->parent,
									  index->rd_index->indkey.values[i],
									  false));
		appendStringInfoString(&key, ": ");
		render_json_value(a, column, v, &key);
	}
	index_close(index, AccessShareLock);
	if (isnull || capture_keys_referred(f, values) != s->hash)
		return false;
	appendStringInfoChar(&key, '}');
	s->of = KEY_OF_PARENT;
	s->table = catalog_qualified_name(f->root);
	s->key = key.data;
	return true;
}

static bool
refers_to_it(Sought *s, CatalogApply *a, RepChange *c)
{
	CatalogRelation *r = catalog_relation(a->relid);
	CatalogForeigns *foreigns;

	if (r == NULL || c->kind == REP_CHANGE_DELETE)
		return false;
	foreigns = catalog_foreign_of(r);
	for (int i = 0; i < foreigns->n; i++)
		if (refers(s, a, c, &foreigns->items[i]))
			return true;
	return false;
}

/* The one of its row or table that has the hash. */
static KeyOf
own_key(const Sought *s, CatalogApply *a, RepChange *c)
{
	uint64 name = catalog_tag_descriptor_hash(&a->descriptor);
	Datum key[INDEX_MAX_KEYS];
	uint64 row;

	if (capture_keys_tag(name) == s->hash)
		return c->kind == REP_CHANGE_TRUNCATE ? KEY_OF_TRUNCATED : KEY_OF_TABLE;
	if (c->kind == REP_CHANGE_TRUNCATE || a->key.ncolumns == 0)
		return KEY_OF_NONE;
	logged_key(a, c, key);
	row = capture_keys_hash(name, &a->key, key);
	if (row == s->hash)
		return KEY_OF_ROW;
	return capture_keys_existence(row) == s->hash ? KEY_OF_EXISTENCE
												  : KEY_OF_NONE;
}

static bool
look_at(CatalogApply *a, RepChange *c, uint32 ordinal, void *arg)
{
	Sought *s = arg;
	KeyOf of = own_key(s, a, c);

	(void) ordinal;
	/* what only refers to itself has that key by what it refers to */
	if (of == KEY_OF_NONE ||
		(of == KEY_OF_EXISTENCE && c->kind != REP_CHANGE_DELETE))
		return c->kind == REP_CHANGE_TRUNCATE || !refers_to_it(s, a, c);
	s->of = of;
	s->table = catalog_descriptor_name(&a->descriptor);
	if (of == KEY_OF_ROW || of == KEY_OF_EXISTENCE)
		s->key = render_key(a, c);
	/* it may truncate the table later on */
	return of == KEY_OF_TABLE;
}

static char *
what_was_done(const Sought *s, uint64 index)
{
	switch (s->of)
	{
		case KEY_OF_EXISTENCE:
			return psprintf("Row %s of table %s is referred to since index " UINT64_FORMAT " of the strong log.",
							s->key, s->table, index);
		case KEY_OF_PARENT:
			return psprintf("Row %s of table %s, which the transaction refers to, was deleted or got another key at index " UINT64_FORMAT " of the strong log.",
							s->key, s->table, index);
		case KEY_OF_TABLE:
			return psprintf("The transaction wrote table %s before index " UINT64_FORMAT " of the strong log.",
							s->table, index);
		case KEY_OF_TRUNCATED:
			return psprintf("Table %s was written, or its tag changed, at index " UINT64_FORMAT " of the strong log.",
							s->table, index);
		case KEY_OF_ROW:
			return psprintf("Row %s of table %s was written at index " UINT64_FORMAT " of the strong log.",
							s->key, s->table, index);
		default:
			return psprintf("A row was written at index " UINT64_FORMAT " of the strong log.",
							index);
	}
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
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 s.of == KEY_OF_TABLE
				 ? errmsg("the tag of table %s was changed, or the table truncated%s%s",
						  s.table, winner ? ", by " : "", winner ? winner : "")
				 : errmsg("strong transaction lost against a concurrent one%s%s",
						  winner ? " of " : "", winner ? winner : ""),
			 errdetail("%s", what_was_done(&s, slot->index)),
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
	strong_owe(index);
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

	strong_owe(index);
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
