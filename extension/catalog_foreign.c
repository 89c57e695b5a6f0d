/*
 * catalog_foreign.c
 *		See catalog_foreign.h.
 *
 * The cache is filled on demand; invalidation messages mark what they may be
 * about, the table's own and its parents'. What is replaced goes at the end of
 * the transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "commands/trigger.h"
#include "parser/parse_coerce.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog_foreign.h"
#include "catalog_tag.h"
#include "tree.h"

typedef struct Entry
{
	Oid relid; /* hash key */
	bool valid;
	MemoryContext context; /* of all below; NULL: never filled */
	CatalogForeigns *foreigns;
} Entry;

static HTAB *cache = NULL;

/* ------------------------------------------------------------ invalidation */

static bool
is_about(const Entry *e, Oid relid)
{
	/* while it is filled it may be about anything */
	if (!OidIsValid(relid) || e->relid == relid || e->foreigns == NULL)
		return true;
	for (int i = 0; i < e->foreigns->n; i++)
		if (e->foreigns->items[i].parent == relid ||
			e->foreigns->items[i].root == relid)
			return true;
	return false;
}

static void
on_relcache(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS all;
	Entry *e;

	(void) arg;
	hash_seq_init(&all, cache);
	while ((e = hash_seq_search(&all)) != NULL)
		if (is_about(e, relid))
			e->valid = false;
}

/* A renamed schema or an altered type. */
static void
on_syscache(Datum arg, int which, uint32 hash)
{
	(void) which;
	(void) hash;
	on_relcache(arg, InvalidOid);
}

static void
prepare_cache(void)
{
	HASHCTL ctl = { .keysize = sizeof(Oid),
					.entrysize = sizeof(Entry),
					.hcxt = CacheMemoryContext };

	if (cache)
		return;
	cache = hash_create("causaldb foreign keys", 32, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(on_relcache, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_syscache, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, on_syscache, (Datum) 0);
}

/* ------------------------------------------------------------ one of them */

/* Only strong transactions write the child's column. */
static bool
is_ordered(const CatalogRelation *r, AttrNumber attnum)
{
	for (int i = 0; i < r->ncolumns; i++)
		if (r->attnums[i] == attnum)
			return r->rules[i] == REP_RULE_STRONG || r->is_key[i];
	return false;
}

/*
 * How a value of the child's column is hashed as that of the parent's: by the
 * type in which the foreign key's check compares it. False: it cannot be.
 */
static bool
set_column(CatalogForeign *f, int i, Relation child, AttrNumber attnum,
		   Oid operator, MemoryContext context)
{
	TupleKeyColumn *column = &f->key.columns[i];
	Oid type = getBaseType(
		TupleDescAttr(RelationGetDescr(child), attnum - 1)->atttypid);
	Oid own;
	Oid compared;

	op_input_types(operator, &own, &compared);
	column->attnum = attnum;
	if (!IsPolymorphicType(compared) && !IsBinaryCoercible(type, compared))
	{
		Oid function;
		CoercionPathType path = find_coercion_pathway(
			compared, type, COERCION_IMPLICIT, &function);

		if (path == COERCION_PATH_FUNC)
			fmgr_info_cxt(function, &f->casts[i], context);
		else if (path != COERCION_PATH_RELABELTYPE)
			return false;
	}
	return own == compared || tuple_key_hash_other(column, compared, context);
}

static uint64
name_hash_of(Oid root)
{
	Relation rel = table_open(root, AccessShareLock);
	uint64 hash = catalog_tag_name_hash(rel);

	table_close(rel, NoLock);
	return hash;
}

/* Fills *f, whatever the parent's tag is. */
static CatalogForeignGap
resolve(CatalogForeign *f, HeapTuple constraint, Relation child,
		const CatalogRelation *r, MemoryContext context)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(constraint);
	Relation parent = table_open(form->confrelid, AccessShareLock);
	Relation index = index_open(form->conindid, AccessShareLock);
	CatalogForeignGap gap = CATALOG_FOREIGN_HOLDS;
	AttrNumber ours[INDEX_MAX_KEYS];
	AttrNumber theirs[INDEX_MAX_KEYS];
	Oid operators[INDEX_MAX_KEYS];
	int n;

	DeconstructFkConstraintRow(constraint, &n, ours, theirs, operators, NULL,
							   NULL, NULL, NULL);
	memset(f, 0, sizeof(*f));
	f->parent = form->confrelid;
	f->root = tree_root(parent);
	f->to_key = index->rd_index->indisprimary;
	f->name_hash = name_hash_of(f->root);
	f->casts = MemoryContextAllocZero(context, sizeof(FmgrInfo) * n);
	for (int i = 0; i < n && gap == CATALOG_FOREIGN_HOLDS; i++)
		if (!is_ordered(r, ours[i]))
			gap = CATALOG_FOREIGN_CHILD;
	if (gap == CATALOG_FOREIGN_HOLDS && !f->to_key)
	{
		f->name_hash = catalog_unique_name_hash(parent, index, f->name_hash);
		if (f->root != f->parent || tree_is_partitioned(parent))
			gap = CATALOG_FOREIGN_INDEX;
	}
	if (gap == CATALOG_FOREIGN_HOLDS &&
		tuple_key_init(&f->key, index, context) != 0)
		gap = CATALOG_FOREIGN_TYPES;
	for (int i = 0; i < f->key.ncolumns && gap == CATALOG_FOREIGN_HOLDS; i++)
	{
		int at = 0;

		while (at < n - 1 && theirs[at] != f->key.columns[i].attnum)
			at++;
		if (!set_column(f, i, child, ours[at], operators[at], context))
			gap = CATALOG_FOREIGN_TYPES;
	}
	index_close(index, NoLock);
	table_close(parent, NoLock);
	return gap;
}

static HeapTuple
find_constraint(Oid oid)
{
	HeapTuple tup = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for constraint %u", oid);
	return tup;
}

/* One that PostgreSQL keeps for a partition of the parent: it says nothing
 * that the foreign key which refers to the parent does not say. */
static bool
is_of_partition(HeapTuple constraint)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(constraint);
	HeapTuple above;
	bool same;

	if (!OidIsValid(form->conparentid))
		return false;
	above = find_constraint(form->conparentid);
	same = ((Form_pg_constraint) GETSTRUCT(above))->conrelid == form->conrelid;
	ReleaseSysCache(above);
	return same;
}

/* ------------------------------------------------------------ all of them */

/* A foreign key has triggers on the table that it refers to. */
static bool
is_referred(Relation rel)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		if (RI_FKey_trigger_type(rel->trigdesc->triggers[i].tgfoid) ==
			RI_TRIGGER_PK)
			return true;
	return false;
}

static CatalogForeigns *
build(const CatalogRelation *r, MemoryContext context)
{
	Relation rel = table_open(r->relid, NoLock);
	List *keys = copyObject(RelationGetFKeyList(rel));
	CatalogForeigns *out = MemoryContextAllocZero(context, sizeof(*out));
	ListCell *cell;

	out->referred = is_referred(rel);
	out->items = MemoryContextAlloc(context, sizeof(CatalogForeign) *
												 (list_length(keys) + 1));
	foreach (cell, keys)
	{
		HeapTuple tup =
			find_constraint(lfirst_node(ForeignKeyCacheInfo, cell)->conoid);

		if (!is_of_partition(tup) &&
			resolve(&out->items[out->n], tup, rel, r, context) ==
				CATALOG_FOREIGN_HOLDS)
			out->n++;
		ReleaseSysCache(tup);
	}
	list_free_deep(keys);
	table_close(rel, NoLock);
	return out;
}

CatalogForeigns *
catalog_foreign_of(const CatalogRelation *r)
{
	Entry *e;
	bool found;
	MemoryContext context;
	CatalogForeigns *foreigns;

	prepare_cache();
	e = hash_search(cache, &r->relid, HASH_FIND, NULL);
	if (likely(e != NULL && e->valid))
		return e->foreigns;
	e = hash_search(cache, &r->relid, HASH_ENTER, &found);
	if (!found)
	{
		e->context = NULL;
		e->foreigns = NULL;
	}
	/* the transaction's until it is whole; what is there may be in use */
	context = AllocSetContextCreate(TopTransactionContext,
									"causaldb foreign keys",
									ALLOCSET_SMALL_SIZES);
	if (e->context)
		MemoryContextSetParent(e->context, TopTransactionContext);
	e->context = NULL;
	e->foreigns = NULL;
	/* what comes in while it is filled makes it invalid again */
	e->valid = true;
	PG_TRY();
	{
		foreigns = build(r, context);
	}
	PG_CATCH();
	{
		e->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSetParent(context, CacheMemoryContext);
	e->context = context;
	e->foreigns = foreigns;
	return foreigns;
}

/* ------------------------------------------------------------ for people */

/* The strong log keeps the rows, or values, that the index tells apart. */
static bool
is_kept(Oid parent, Oid index, bool primary)
{
	Relation rel = table_open(parent, AccessShareLock);
	CatalogRelation *r = catalog_relation_build(rel, CurrentMemoryContext);
	bool kept = r != NULL && r->strong && primary;

	for (int i = 0; r != NULL && r->strong && i < r->nuniques; i++)
		kept |= r->uniques[i].key.index == index;
	table_close(rel, NoLock);
	return kept;
}

CatalogForeignGap
catalog_foreign_gap(Oid constraint)
{
	HeapTuple tup = find_constraint(constraint);
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tup);
	Relation child = table_open(form->conrelid, AccessShareLock);
	CatalogRelation *r = catalog_relation_build(child, CurrentMemoryContext);
	CatalogForeignGap gap = CATALOG_FOREIGN_CHILD;
	CatalogForeign f;

	if (r != NULL && r->strong)
		gap = resolve(&f, tup, child, r, CurrentMemoryContext);
	if (gap == CATALOG_FOREIGN_HOLDS &&
		!is_kept(f.parent, form->conindid, f.to_key))
		gap = CATALOG_FOREIGN_PARENT;
	table_close(child, NoLock);
	ReleaseSysCache(tup);
	return gap;
}
