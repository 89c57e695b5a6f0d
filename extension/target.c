/*
 * target.c
 *		See target.h.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errors.h"
#include "identity.h"
#include "target.h"
#include "tree.h"
#include "wall.h"

/* locks held longer than this, or than half the deadlock_timeout of clients,
 * make us look before we wait: clients that wait for us may be about to run
 * their deadlock check */
#define HOLD_BEFORE_LOOK_MS 500

static NodeShared *node;
static HTAB *targets = NULL; /* of the open group */
static MemoryContext group_context;
static bool alone;
static ApplyRole role = ROLE_APPLY;
static TimestampTz alone_since;
static int hold_before_look_ms = HOLD_BEFORE_LOOK_MS;
static TransactionId blocker = InvalidTransactionId;
static bool undone = false; /* the group has undone an insert */
static bool insert_last = false; /* until a group has ended */

void
target_init(NodeShared *n, ApplyRole r, int clients_deadlock_timeout_ms)
{
	node = n;
	role = r;
	hold_before_look_ms = Min(HOLD_BEFORE_LOOK_MS, clients_deadlock_timeout_ms / 2);
	group_context = AllocSetContextCreate(TopMemoryContext, "causaldb apply group", ALLOCSET_DEFAULT_SIZES);
}

void
target_begin_group(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Target), .hcxt = group_context};

	targets = hash_create("causaldb targets", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	alone = false;
	undone = false;
}

void
target_set_alone(bool on)
{
	alone = on;
	alone_since = wall_timer();
}

void
target_fire_at_once(void)
{
	ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);

	all->deferred = false;
	AfterTriggerSetState(all);
	pfree(all);
}

/* Closes every target of the group; the next change opens what it needs. */
void
target_close_all(void)
{
	bool was_alone = alone;
	bool was_undone = undone;
	bool was_last = insert_last;

	target_end_group();
	target_begin_group();
	alone = was_alone;
	undone = was_undone;
	insert_last = was_last;
}

static void
close_target(Target *t)
{
	ListCell *lc;

	ExecResetTupleTable(t->estate->es_tupleTable, false);
	foreach (lc, t->leaves)
	{
		Leaf *leaf = lfirst(lc);

		ExecCloseIndices(leaf->info);
		if (leaf->key_index)
		{
			index_endscan(leaf->scan);
			index_close(leaf->key_index, NoLock);
		}
		if (t->route)
			table_close(leaf->rel, NoLock);
	}
	if (t->route)
		route_close(t->route);
	FreeExecutorState(t->estate);
	table_close(t->rel, NoLock);
}

void
target_end_group(void)
{
	HASH_SEQ_STATUS seq;
	Target *t;

	hash_seq_init(&seq, targets);
	while ((t = hash_seq_search(&seq)) != NULL)
		close_target(t);
	targets = NULL;
	insert_last = false;
	MemoryContextReset(group_context);
}

/* The abort has closed what was open. */
void
target_abort_group(void)
{
	targets = NULL;
	MemoryContextReset(group_context);
}

/* ------------------------------------------------------------ opening */

static Oid
capture_function(void)
{
	static Oid function = InvalidOid;

	if (!OidIsValid(function))
	{
		List *name = list_make2(makeString("causaldb"), makeString("capture"));

		function = LookupFuncName(name, 0, NULL, true);
	}
	return function;
}

/* A trigger other than ours fires on a replica. */
static bool
fires_on_replica(Relation rel)
{
	TriggerDesc *desc = rel->trigdesc;
	int i;

	for (i = 0; desc && i < desc->numtriggers; i++)
	{
		Trigger *trigger = &desc->triggers[i];

		if ((trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA || trigger->tgenabled == TRIGGER_FIRES_ALWAYS) &&
			trigger->tgfoid != capture_function() && (trigger->tgtype & TRIGGER_TYPE_TRUNCATE) == 0)
			return true;
	}
	return false;
}

/* Its rows may be inserted before anything is known of their keys. */
static bool
takes_any(const Leaf *leaf)
{
	TupleConstr *constr = RelationGetDescr(leaf->rel)->constr;

	if (leaf->key_index == NULL || leaf->fires || (constr && constr->has_generated_stored))
		return false;
	for (int i = 0; i < leaf->info->ri_NumIndices; i++)
		if (leaf->info->ri_IndexRelationInfo[i]->ii_ExclusionOps)
			return false;
	return true;
}

/* Makes a leaf of an open table, in memory of the group. */
static Leaf *
add_leaf(Target *t, Relation rel, ResultRelInfo *info)
{
	Leaf *leaf = palloc0(sizeof(Leaf));
	Oid key = t->tagged->append_only ? InvalidOid : compat_primary_key(rel);

	leaf->rel = rel;
	leaf->info = info;
	if (OidIsValid(key))
	{
		leaf->key_index = index_open(key, RowExclusiveLock);
		InitDirtySnapshot(leaf->dirty);
		leaf->scan = compat_index_beginscan(rel, leaf->key_index, &leaf->dirty, t->tagged->key.ncolumns);
	}
	leaf->fires = fires_on_replica(rel);
	if (!leaf->fires)
		info->ri_TrigDesc = NULL;
	t->estate->es_opened_result_relations = lappend(t->estate->es_opened_result_relations, info);
	ExecOpenIndices(info, false);
	leaf->takes_any = takes_any(leaf);
	leaf->found = table_slot_create(rel, &t->estate->es_tupleTable);
	t->leaves = lappend(t->leaves, leaf);
	return leaf;
}

/* For those that are in its way there (victim.h). */
static void
show_wanted(Oid relid)
{
	/* a table that is being dropped may be gone already */
	char *name = get_rel_name(relid) ? catalog_qualified_name(relid) : pstrdup("");

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	strlcpy(node->wanted_table[role], name, TABLE_NAME_LEN);
	LWLockRelease(&node->lock);
	pfree(name);
}

/* Waits, if it must, only where the group holds no other transaction's rows. */
static void
lock_relation(Oid relid, LOCKMODE mode)
{
	if (ConditionalLockRelationOid(relid, mode))
		return;
	if (!alone)
		ereport(ERROR, (errcode(TARGET_YIELD), errmsg("apply makes room for a local transaction")));
	show_wanted(relid);
	LockRelationOid(relid, mode);
}

/* The partition with that OID. */
static Leaf *
open_leaf(Target *t, Oid relid)
{
	ListCell *lc;
	MemoryContext old;
	Relation rel;
	ResultRelInfo *info;
	Leaf *leaf;

	foreach (lc, t->leaves)
		if (RelationGetRelid(((Leaf *) lfirst(lc))->rel) == relid)
			return lfirst(lc);
	old = MemoryContextSwitchTo(group_context);
	lock_relation(relid, RowExclusiveLock);
	rel = table_open(relid, NoLock);
	info = makeNode(ResultRelInfo);
	InitResultRelInfo(info, rel, 0, t->info, 0);
	leaf = add_leaf(t, rel, info);
	leaf->to_root = convert_tuples_by_name(RelationGetDescr(rel), RelationGetDescr(t->rel));
	leaf->from_root = convert_tuples_by_name(RelationGetDescr(t->rel), RelationGetDescr(rel));
	if (leaf->from_root)
		leaf->fresh = ExecInitExtraTupleSlot(t->estate, RelationGetDescr(rel), &TTSOpsVirtual);
	MemoryContextSwitchTo(old);
	return leaf;
}

static void
open_partitioned(Target *t)
{
	t->route = route_open(t->rel, t->estate);
	t->probe = ExecInitExtraTupleSlot(t->estate, RelationGetDescr(t->rel), &TTSOpsVirtual);
	t->converted = ExecInitExtraTupleSlot(t->estate, RelationGetDescr(t->rel), &TTSOpsVirtual);
}

Target *
target_open(Oid relid)
{
	bool found;
	Target *t = hash_search(targets, &relid, HASH_ENTER, &found);
	RangeTblEntry *rte;
	MemoryContext old;

	if (found && t->rel != NULL)
		return t;
	memset((char *) t + sizeof(Oid), 0, sizeof(Target) - sizeof(Oid));
	old = MemoryContextSwitchTo(group_context);
	lock_relation(relid, RowExclusiveLock);
	t->rel = table_open(relid, NoLock);
	t->tagged = catalog_relation(relid);
	if (t->tagged == NULL)
		ereport(ERROR, (errcode(ERRORS_NOT_TAGGED_HERE),
						errmsg("table %s is no longer tagged here", catalog_qualified_name(relid)),
						errdetail("Another node changed rows of it while it was."),
						errhint("Type: SELECT causaldb.set_consistency(%s, 'eventual');",
								quote_literal_cstr(catalog_qualified_name(relid)))));

	t->estate = CreateExecutorState();
	rte = makeNode(RangeTblEntry);
	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = t->rel->rd_rel->relkind;
	rte->rellockmode = AccessShareLock;
	ExecInitRangeTable(t->estate, list_make1(rte));
	t->info = makeNode(ResultRelInfo);
	InitResultRelInfo(t->info, t->rel, 1, NULL, 0);
	if (tree_is_partitioned(t->rel))
		open_partitioned(t);
	else
	{
		t->leaf = add_leaf(t, t->rel, t->info);
		t->found = t->leaf->found;
	}
	EvalPlanQualInit(&t->epq, t->estate, NULL, NIL, -1);
	t->fresh = ExecInitExtraTupleSlot(t->estate, RelationGetDescr(t->rel), &TTSOpsVirtual);
	MemoryContextSwitchTo(old);
	return t;
}

/* ------------------------------------------------------------ locking */

static int32
pid_of(TransactionId xid)
{
	return TransactionIdIsValid(xid) ? BackendXidGetPid(xid) : 0;
}

static void
show_wait(Relation rel, TransactionId xid)
{
	if (rel)
		show_wanted(RelationGetRelid(rel));
	if (role != ROLE_APPLY)
		return;
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->lock_wait_pid = pid_of(xid);
	node->lock_wait_relation = rel ? RelationGetRelid(rel) : InvalidOid;
	node->lock_wait_since = GetCurrentTimestamp();
	LWLockRelease(&node->lock);
	shmem_wake_sender(node); /* the watchdog lives there */
}

static void
end_wait(void)
{
	if (role != ROLE_APPLY)
		return;
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	node->lock_wait_since = 0;
	node->lock_wait_pid = 0;
	LWLockRelease(&node->lock);
}

/* Somebody waits for our transaction to end. */
static bool
have_waiters(void)
{
	LOCKTAG tag;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	SET_LOCKTAG_TRANSACTION(tag, GetTopTransactionIdIfAny());
	return LockHasWaiters(&tag, ExclusiveLock, false);
}

/*
 * We are about to wait for xid. If we may not (invariant 2), gives up: the
 * caller's transaction is rolled back and tried again. Shows whom we wait
 * for otherwise; the caller waits, and calls end_wait.
 */
static void
before_wait(Relation rel, TransactionId xid)
{
	bool long_held = alone && TimestampDifferenceExceeds(alone_since, wall_timer(), hold_before_look_ms);

	blocker = xid;
	if (undone)
		insert_last = true;
	if (!alone || undone || (long_held && have_waiters()))
		ereport(ERROR, (errcode(TARGET_YIELD), errmsg("apply makes room for a local transaction")));
	show_wait(rel, xid);
}

void
target_lock_table(Oid relid)
{
	Relation rel;
	ListCell *lc;

	lock_relation(relid, AccessExclusiveLock);
	rel = table_open(relid, NoLock);
	foreach (lc, tree_members(rel, NoLock))
		lock_relation(lfirst_oid(lc), AccessExclusiveLock);
	table_close(rel, NoLock);
}

void
target_wait_for_blocker(void)
{
	TransactionId xid = blocker;

	blocker = InvalidTransactionId;
	if (!TransactionIdIsValid(xid))
		return;
	show_wait(NULL, xid);
	XactLockTableWait(xid, NULL, NULL, XLTW_None);
	end_wait();
}

static int
scan_keys(Target *t, const Datum *key, ScanKeyData *skey)
{
	TupleKey *k = &t->tagged->key;
	int i;

	for (i = 0; i < k->ncolumns; i++)
		ScanKeyEntryInitializeWithInfo(&skey[i], 0, (AttrNumber) (i + 1), BTEqualStrategyNumber, InvalidOid,
									   k->columns[i].collation, &k->columns[i].eq, key[i]);
	return k->ncolumns;
}

/* The tuple's newest locker or updater, for people and for waiting. */
static TransactionId
holder_of(TupleTableSlot *slot)
{
	bool isnull;
	Datum xmax = slot_getsysattr(slot, MaxTransactionIdAttributeNumber, &isnull);

	return isnull ? InvalidTransactionId : DatumGetTransactionId(xmax);
}

/* Locks what leaf->found holds. False if it changed under us: look again. */
static bool
lock_found(Leaf *leaf, LockTupleMode mode)
{
	TM_FailureData failure;
	TM_Result rc;

	rc = table_tuple_lock(leaf->rel, &leaf->found->tts_tid, GetLatestSnapshot(), leaf->found,
						  GetCurrentCommandId(false), mode, LockWaitSkip, 0, &failure);
	if (rc == TM_WouldBlock)
	{
		TransactionId xid = holder_of(leaf->found);

		/* a multixact is waited for in the lock itself */
		before_wait(leaf->rel, TransactionIdIsInProgress(xid) ? xid : InvalidTransactionId);
		rc = table_tuple_lock(leaf->rel, &leaf->found->tts_tid, GetLatestSnapshot(), leaf->found,
							  GetCurrentCommandId(false), mode, LockWaitBlock, 0, &failure);
		end_wait();
	}
	switch (rc)
	{
		case TM_Ok:
			return true;
		case TM_Invisible: /* of our own present command (invariant 4) */
			CommandCounterIncrement();
			return false;
		case TM_Updated:
		case TM_Deleted:
			return false;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a row of table \"%s\" cannot be locked to apply a write", RelationGetRelationName(leaf->rel)),
					 errdetail("Its state is %d: something else that this transaction does has changed it.", (int) rc),
					 errhint("Look for triggers of the table that are ENABLE REPLICA or ENABLE ALWAYS and write the row itself; it is tried again.")));
	}
	return false;
}

/* The leaf where a row of that key would be, or NULL if there is none. */
static Leaf *
leaf_of_key(Target *t, const Datum *key)
{
	TupleTableSlot *probe = t->probe;
	Oid relid;

	if (t->route == NULL)
		return t->leaf;
	ExecClearTuple(probe);
	memset(probe->tts_isnull, true, RelationGetDescr(t->rel)->natts * sizeof(bool));
	for (int i = 0; i < t->tagged->key.ncolumns; i++)
	{
		int at = t->tagged->key.columns[i].attnum - 1;

		probe->tts_values[at] = key[i];
		probe->tts_isnull[at] = false;
	}
	ExecStoreVirtualTuple(probe);
	relid = route_find(t->route, probe);
	return OidIsValid(relid) ? open_leaf(t, relid) : NULL;
}

/* Looks once. False if it had to wait: look again. */
static bool
try_lock_row(Leaf *leaf, ScanKey skey, int nkeys, LockTupleMode mode, bool *found)
{
	TransactionId wait_for = InvalidTransactionId;
	/* the scan may keep a list of dead entries from one look to the next */
	MemoryContext old = MemoryContextSwitchTo(group_context);

	index_rescan(leaf->scan, skey, nkeys, NULL, 0);
	*found = index_getnext_slot(leaf->scan, ForwardScanDirection, leaf->found);
	if (*found)
	{
		wait_for = TransactionIdIsValid(leaf->dirty.xmin) ? leaf->dirty.xmin : leaf->dirty.xmax;
		ExecMaterializeSlot(leaf->found);
	}
	/* lets go of the pages */
	index_rescan(leaf->scan, NULL, nkeys, NULL, 0);
	MemoryContextSwitchTo(old);

	if (!*found)
		return true;
	if (!TransactionIdIsValid(wait_for))
		return lock_found(leaf, mode);
	/* somebody is inserting, updating or deleting it right now */
	before_wait(leaf->rel, wait_for);
	XactLockTableWait(wait_for, NULL, NULL, XLTW_None);
	end_wait();
	return false;
}

bool
target_lock_row(Target *t, const Datum *key, bool whole)
{
	LockTupleMode mode = whole ? LockTupleExclusive : LockTupleNoKeyExclusive;
	ScanKeyData skey[INDEX_MAX_KEYS];
	int nkeys = scan_keys(t, key, skey);
	Leaf *leaf = leaf_of_key(t, key);
	bool found = false;

	if (leaf == NULL)
		return false;
	do
		CHECK_FOR_INTERRUPTS();
	while (!try_lock_row(leaf, skey, nkeys, mode, &found));
	if (!found)
		return false;
	t->leaf = leaf;
	t->found = leaf->to_root ? execute_attr_map_slot(leaf->to_root->attrMap, leaf->found, t->converted) : leaf->found;
	return true;
}

bool
target_is_there(Oid relid, const Datum *key)
{
	Target *t = target_open(relid);
	ScanKeyData skey[INDEX_MAX_KEYS];
	int nkeys = scan_keys(t, key, skey);
	Leaf *leaf = leaf_of_key(t, key);
	MemoryContext old = MemoryContextSwitchTo(group_context);
	bool there = false;

	if (leaf)
	{
		index_rescan(leaf->scan, skey, nkeys, NULL, 0);
		while (!there && index_getnext_slot(leaf->scan, ForwardScanDirection, leaf->found))
		{
			bool isnull;
			Datum xmin = slot_getsysattr(leaf->found, MinTransactionIdAttributeNumber, &isnull);

			there = !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
		}
		ExecClearTuple(leaf->found);
		index_rescan(leaf->scan, NULL, nkeys, NULL, 0);
	}
	MemoryContextSwitchTo(old);
	return there;
}

/* ------------------------------------------------------------ writing */

/* Of all columns: the next row of the group may lack others than this one. */
static void
prepare_defaults(Target *t)
{
	TupleDesc desc = RelationGetDescr(t->rel);
	MemoryContext old = MemoryContextSwitchTo(t->estate->es_query_cxt);
	int i;

	t->defaults = palloc0(sizeof(ExprState *) * Max(desc->natts, 1));
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr *expr;

		if (att->attisdropped || att->attgenerated)
			continue;
		expr = (Expr *) build_column_default(t->rel, i + 1);
		if (expr)
			t->defaults[i] = ExecInitExpr(expression_planner(expr), NULL);
	}
	MemoryContextSwitchTo(old);
}

void
target_new_row(Target *t, const bool *known)
{
	TupleTableSlot *slot = t->fresh;
	int natts = RelationGetDescr(t->rel)->natts;
	ExprContext *econtext;
	int i;

	if (t->defaults == NULL)
		prepare_defaults(t);
	ExecClearTuple(slot);
	ResetPerTupleExprContext(t->estate);
	econtext = GetPerTupleExprContext(t->estate);
	for (i = 0; i < natts; i++)
	{
		slot->tts_values[i] = (Datum) 0;
		slot->tts_isnull[i] = true;
		if (!known[i] && t->defaults[i])
			slot->tts_values[i] = ExecEvalExpr(t->defaults[i], econtext, &slot->tts_isnull[i]);
	}
}

bool
target_wrote_found(Target *t)
{
	bool isnull;
	Datum xmin = slot_getsysattr(t->leaf->found, MinTransactionIdAttributeNumber, &isnull);

	return !isnull && TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

void
target_copy_row(Target *t)
{
	TupleTableSlot *slot = t->fresh;
	int natts = RelationGetDescr(t->rel)->natts;

	slot_getallattrs(t->found);
	ExecClearTuple(slot);
	ResetPerTupleExprContext(t->estate);
	memcpy(slot->tts_values, t->found->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, t->found->tts_isnull, natts * sizeof(bool));
}

typedef enum Write
{
	WRITE_INSERT,
	WRITE_UPDATE,
	WRITE_DELETE
} Write;

/* Where the fresh row belongs. */
static Leaf *
leaf_of_fresh(Target *t)
{
	Oid relid;

	if (t->route == NULL)
		return t->leaf;
	relid = route_find(t->route, t->fresh);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("table %s has no partition for a row here", catalog_qualified_name(t->relid)),
				 errdetail("Another node wrote the row."),
				 errhint("Create the partition, or one for all that has none; type: CREATE TABLE %s PARTITION OF %s DEFAULT;",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(t->rel)),
													psprintf("%s_default", RelationGetRelationName(t->rel))),
						 catalog_qualified_name(t->relid))));
	return open_leaf(t, relid);
}

static void
write_row(Target *t, Write what)
{
	TupleTableSlot *fresh = t->fresh;
	Leaf *leaf = t->leaf;

	t->estate->es_output_cid = GetCurrentCommandId(true);
	t->estate->es_snapshot = GetActiveSnapshot();
	if (what != WRITE_DELETE)
		ExecStoreVirtualTuple(fresh);
	if (what == WRITE_INSERT)
		leaf = leaf_of_fresh(t);
	if (what != WRITE_DELETE && leaf->from_root)
		fresh = execute_attr_map_slot(leaf->from_root->attrMap, fresh, leaf->fresh);
	if (leaf->fires)
		AfterTriggerBeginQuery();
	switch (what)
	{
		case WRITE_INSERT:
			ExecSimpleRelationInsert(leaf->info, t->estate, fresh);
			break;
		case WRITE_UPDATE:
			ExecSimpleRelationUpdate(leaf->info, t->estate, &t->epq, leaf->found, fresh);
			break;
		case WRITE_DELETE:
			ExecSimpleRelationDelete(leaf->info, t->estate, &t->epq, leaf->found);
			break;
	}
	if (!leaf->fires)
		return;
	AfterTriggerEndQuery(t->estate);
	CommandCounterIncrement();
}

bool
target_insert_first(Target *t)
{
	Leaf *leaf = t->leaf;
	bool conflict = false;

	if (t->route || insert_last || !leaf->takes_any)
		return false;
	t->estate->es_output_cid = GetCurrentCommandId(true);
	t->estate->es_snapshot = GetActiveSnapshot();
	ExecStoreVirtualTuple(t->fresh);
	simple_table_tuple_insert(leaf->rel, t->fresh);
	list_free(compat_insert_index_entries(leaf->info, t->fresh, t->estate, &conflict));
	if (conflict)
		target_undo_insert(t);
	return !conflict;
}

void
target_undo_insert(Target *t)
{
	undone = true;
	CommandCounterIncrement();
	simple_table_tuple_delete(t->leaf->rel, &t->fresh->tts_tid, GetActiveSnapshot());
	CommandCounterIncrement();
}

void
target_keep_insert(Target *t)
{
	Relation rel = t->leaf->rel;

	if (RelationGetDescr(rel)->constr)
		ExecConstraints(t->leaf->info, t->fresh, t->estate);
	if (rel->rd_rel->relispartition)
		ExecPartitionCheck(t->leaf->info, t->fresh, t->estate, true);
}

void
target_insert(Target *t)
{
	write_row(t, WRITE_INSERT);
}

void
target_update(Target *t)
{
	write_row(t, WRITE_UPDATE);
}

void
target_delete(Target *t)
{
	write_row(t, WRITE_DELETE);
}
