/*
 * table_copy.c
 *		See table_copy.h.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/copy.h"
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "debug_point.h"
#include "table_copy.h"

/* what the server's callback reads from, NULL at its end: it has no argument */
static Remote *pulling = NULL;
static const char *piece = NULL;
static int piece_left = 0;
static const TableCopy *counting = NULL;

/* One row, as the server sends them; false at the end. */
static bool
next_piece(void)
{
	DEBUG_POINT("join_row");
	if (!remote_copy_next(pulling, &piece, &piece_left))
	{
		pulling = NULL;
		piece_left = 0;
		return false;
	}
	if (counting->rows)
		pg_atomic_fetch_add_u64(counting->rows, 1);
	if (counting->bytes)
		pg_atomic_fetch_add_u64(counting->bytes, piece_left);
	return true;
}

static int
pull(void *out, int at_least, int at_most)
{
	int got = 0;

	while (got < at_most)
	{
		int n;

		if (piece_left == 0)
		{
			if (got >= at_least && got > 0)
				break;
			if (pulling == NULL)
				break;
			if (!next_piece())
				break;
		}
		n = Min(piece_left, at_most - got);
		memcpy((char *) out + got, piece, n);
		piece += n;
		piece_left -= n;
		got += n;
	}
	return got;
}

/* Reads the end of the stream, which CopyFrom does not ask for in binary. */
static void
drain(void)
{
	while (pulling && remote_copy_next(pulling, &piece, &piece_left))
		;
	pulling = NULL;
	piece_left = 0;
}

static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{ "session_replication_role", "replica" },
		{ "datestyle", "ISO" },
		{ "intervalstyle", "postgres" },
		{ "extra_float_digits", "3" },
		{ "search_path", "pg_catalog, pg_temp" },
	};
	size_t i;

	for (i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
}

static void
check_rights(Relation rel)
{
	AclResult result =
		pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_INSERT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, RelationGetRelationName(rel));
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, false) ==
		RLS_ENABLED)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("row-level security of table \"%s\" applies to you",
					RelationGetRelationName(rel)),
			 errhint(
				 "Let the owner of the table or a superuser join the cluster.")));
}

static uint64
copy_in(Relation rel, const TableCopy *what)
{
	ParseState *pstate = make_parsestate(NULL);
	List *options = list_make1(
		makeDefElem("encoding",
					(Node *) makeString(pstrdup(GetDatabaseEncodingName())),
					-1));
	CopyFromState state;
	uint64 rows;

	if (what->binary)
		options =
			lappend(options,
					makeDefElem("format", (Node *) makeString("binary"), -1));
	(void) addRangeTableEntryForRelation(pstate, rel, RowExclusiveLock, NULL,
										 false, false);
	state = BeginCopyFrom(pstate, rel, NULL, NULL, false, pull, what->columns,
						  options);
	rows = CopyFrom(state);
	EndCopyFrom(state);
	free_parsestate(pstate);
	return rows;
}

uint64
table_copy(Remote *source, const TableCopy *what)
{
	Relation rel = table_open(what->relid, RowExclusiveLock);
	Oid user;
	int context;
	int nest;
	uint64 rows;

	if (what->check_rights)
		check_rights(rel);
	remote_copy_begin(source, psprintf("COPY %s TO STDOUT%s", what->from,
									   what->binary ? " (FORMAT binary)" : ""));
	pulling = source;
	piece_left = 0;
	counting = what;

	GetUserIdAndSecContext(&user, &context);
	nest = NewGUCNestLevel();
	pin_settings();
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   context | SECURITY_RESTRICTED_OPERATION);
	PushActiveSnapshot(GetTransactionSnapshot());
	rows = copy_in(rel, what);
	PopActiveSnapshot();
	SetUserIdAndSecContext(user, context);
	AtEOXact_GUC(false, nest);

	drain();
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return rows;
}

static bool
is_empty_alone(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool empty = true;

	if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
	{
		Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
		TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		empty = !table_scan_getnextslot(scan, ForwardScanDirection, slot);
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
		UnregisterSnapshot(snapshot);
	}
	table_close(rel, AccessShareLock);
	return empty;
}

bool
table_copy_is_empty(Oid relid)
{
	List *all = find_all_inheritors(relid, AccessShareLock, NULL);
	ListCell *lc;

	foreach (lc, all)
		if (!is_empty_alone(lfirst_oid(lc)))
			return false;
	return true;
}
