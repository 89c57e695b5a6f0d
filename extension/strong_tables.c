/*
 * strong_tables.c
 *		See strong_tables.h.
 *
 * Both caches are filled on demand and emptied by invalidation messages. A
 * plan names the functions it uses by the hash of their syscache entry alone
 * (PlanInvalItem), so that is the key of the second one; functions whose
 * hashes collide count as the most demanding of them.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog_tag.h"
#include "strong_tables.h"
#include "tree.h"

typedef struct TableEntry
{
	Oid relid; /* hash key */
	bool valid;
	bool strong;
	Bitmapset *columns; /* strong ones, as in RangeTblEntry.selectedCols */
	Bitmapset *keys;
} TableEntry;

typedef struct FunctionEntry
{
	uint32 hash;             /* hash key */
	bool shares_snapshot;    /* its queries read with its caller's */
	bool shares_in_parallel; /* where the caller is a parallel query */
} FunctionEntry;

static HTAB *tables = NULL;
static const TableEntry *last_table = NULL; /* looked up; entries stay in place */
static HTAB *functions = NULL;

/* ------------------------------------------------------------- invalidation */

static void
forget_table(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	TableEntry *e;

	(void) arg;
	if (tables == NULL)
		return;
	if (OidIsValid(relid))
	{
		e = hash_search(tables, &relid, HASH_FIND, NULL);
		if (e)
			e->valid = false;
		return;
	}
	hash_seq_init(&scan, tables);
	while ((e = hash_seq_search(&scan)) != NULL)
		e->valid = false;
}

static void
forget_function(Datum arg, int cache, uint32 hash)
{
	HASH_SEQ_STATUS scan;
	FunctionEntry *e;

	(void) arg;
	(void) cache;
	if (functions == NULL)
		return;
	if (hash != 0)
	{
		(void) hash_search(functions, &hash, HASH_REMOVE, NULL);
		return;
	}
	hash_seq_init(&scan, functions);
	while ((e = hash_seq_search(&scan)) != NULL)
		(void) hash_search(functions, &e->hash, HASH_REMOVE, NULL);
}

/* ------------------------------------------------------------- tables */

static Bitmapset *
with_column(Bitmapset *set, AttrNumber attnum)
{
	MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);

	set = bms_add_member(set, attnum - FirstLowInvalidHeapAttributeNumber);
	MemoryContextSwitchTo(old);
	return set;
}

/* Reads the tag of the table, or of the root it is a partition of. */
static void
fill_table(TableEntry *e)
{
	Relation rel = relation_open(e->relid, NoLock);
	CatalogTag tag = { 0 };
	Relation root;
	RepRule *rules;

	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
	{
		relation_close(rel, NoLock);
		return;
	}
	root = tree_open_root(e->relid, AccessShareLock);
	tag = catalog_tag_read(RelationGetRelid(root));
	if (tag.tagged && (tag.active || tag.fenced))
	{
		Bitmapset *keys = RelationGetIndexAttrBitmap(
			root, INDEX_ATTR_BITMAP_PRIMARY_KEY);

		rules = catalog_tag_rules(root);
		for (int i = 0; i < RelationGetNumberOfAttributes(root); i++)
		{
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(root), i);
			AttrNumber here;
			bool is_key;

			if (att->attisdropped)
				continue;
			here = tree_attribute(rel, root, att->attnum);
			is_key = bms_is_member(att->attnum -
									   FirstLowInvalidHeapAttributeNumber,
								   keys);
			if (is_key)
				e->keys = with_column(e->keys, here);
			else if (catalog_tag_rule(rules[att->attnum], false, tag.strong) ==
					 REP_RULE_STRONG)
				e->columns = with_column(e->columns, here);
		}
		/*
		 * While a tag changes, too: once it is strong somewhere every node has
		 * the fence, so no read that begins later misses a strong write.
		 */
		e->strong = tag.strong || tag.fenced || e->columns != NULL;
	}
	table_close(root, NoLock);
	relation_close(rel, NoLock);
}

static const TableEntry *
look_up(Oid relid)
{
	TableEntry *e;
	bool found;

	if (last_table && last_table->relid == relid && last_table->valid)
		return last_table;
	e = hash_search(tables, &relid, HASH_ENTER, &found);
	if (found && e->valid)
		return last_table = e;
	if (found)
	{
		bms_free(e->columns);
		bms_free(e->keys);
	}
	e->columns = e->keys = NULL;
	e->strong = false;
	/* what comes in while it is filled makes it invalid again */
	e->valid = true;
	PG_TRY();
	{
		fill_table(e);
	}
	PG_CATCH();
	{
		e->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	return e;
}

static bool
looks_at(const Bitmapset *columns, const TableEntry *e)
{
	/* a whole-row reference is attribute 0 */
	return bms_overlap(columns, e->columns) ||
		   bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, columns);
}

/* The part of the plan that writes the table as it is named in the statement;
 * writing parts are the plan itself or, of WITH, subplans. */
static const ModifyTable *
writer_of(const PlannedStmt *plan, int rti)
{
	ListCell *lc;

	if (IsA(plan->planTree, ModifyTable) &&
		((ModifyTable *) plan->planTree)->nominalRelation == (Index) rti)
		return (ModifyTable *) plan->planTree;
	if (!plan->hasModifyingCTE)
		return NULL;
	foreach (lc, plan->subplans)
	{
		const Plan *part = lfirst(lc);

		if (part && IsA(part, ModifyTable) &&
			((const ModifyTable *) part)->nominalRelation == (Index) rti)
			return (const ModifyTable *) part;
	}
	return NULL;
}

static bool
depends_on(const PlannedStmt *plan, const RangeTblEntry *rte, int rti)
{
	const ModifyTable *writer;
	const TableEntry *e;

	if (rte->rtekind != RTE_RELATION || rte->relid < FirstNormalObjectId ||
		rte->relkind == RELKIND_VIEW)
		return false;
	/* partitions and children that were expanded: their parent decides */
	if (rte->requiredPerms == 0)
		return false;
	e = look_up(rte->relid);
	if (!e->strong)
		return false;
	writer = writer_of(plan, rti);
	if (writer == NULL)
		return true;
	switch (writer->operation)
	{
		case CMD_INSERT:
			/* RETURNING shows only what it has put there itself */
			return writer->onConflictAction != ONCONFLICT_NONE;
		case CMD_UPDATE:
			return looks_at(rte->selectedCols, e) ||
				   bms_overlap(rte->updatedCols, e->columns) ||
				   bms_overlap(rte->updatedCols, e->keys);
		default:
			return true;
	}
}

/* ------------------------------------------------------------- functions */

/* Finds the functions of that hash; once a function and session. */
static void
fill_function(FunctionEntry *e)
{
	Relation rel = table_open(ProcedureRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);

		if (proc->prolang == INTERNALlanguageId ||
			proc->prolang == ClanguageId ||
			GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(proc->oid)) !=
				e->hash)
			continue;
		if (proc->provolatile == PROVOLATILE_STABLE)
			e->shares_snapshot = true;
		/* in a parallel query nobody takes a new one */
		if (proc->provolatile == PROVOLATILE_VOLATILE &&
			proc->proparallel != PROPARALLEL_UNSAFE)
			e->shares_in_parallel = true;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static bool
shares_snapshot(uint32 hash, bool in_parallel)
{
	FunctionEntry *e = hash_search(functions, &hash, HASH_FIND, NULL);

	if (e == NULL)
	{
		FunctionEntry found = { .hash = hash };

		fill_function(&found);
		e = hash_search(functions, &hash, HASH_ENTER, NULL);
		*e = found;
	}
	return e->shares_snapshot || (in_parallel && e->shares_in_parallel);
}

/* ------------------------------------------------------------- statements */

static void
make_caches(void)
{
	HASHCTL ctl = { .keysize = sizeof(Oid),
					.entrysize = sizeof(TableEntry),
					.hcxt = CacheMemoryContext };

	functions = NULL;
	tables = hash_create("causaldb strong tables", 64, &ctl,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(FunctionEntry);
	functions = hash_create("causaldb functions in plans", 64, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

StrongNeed
strong_tables_need(const PlannedStmt *plan)
{
	ListCell *lc;
	int rti = 0;

	if (unlikely(tables == NULL))
		make_caches();
	foreach (lc, plan->rtable)
		if (depends_on(plan, lfirst_node(RangeTblEntry, lc), ++rti))
			return STRONG_NEED_YES;
	foreach (lc, plan->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

		if (item->cacheId == PROCOID &&
			shares_snapshot(item->hashValue, plan->parallelModeNeeded))
			return STRONG_NEED_MAYBE;
	}
	return STRONG_NEED_NONE;
}

bool
strong_tables_has(Oid relid)
{
	if (unlikely(tables == NULL))
		make_caches();
	return relid >= FirstNormalObjectId && look_up(relid)->strong;
}

void
strong_tables_init(void)
{
	CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_function, (Datum) 0);
}
