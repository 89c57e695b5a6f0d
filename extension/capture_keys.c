/*
 * capture_keys.c
 *		See capture_keys.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "capture_keys.h"
#include "errors.h"
#include "shmem.h"

/* the keys from `first` on are of nest level `nest` or deeper ones' */
typedef struct Mark
{
	int nest;
	uint32 first;
} Mark;

static RepKey *keys = NULL; /* TopTransactionContext */
static uint32 nkeys = 0;
static uint32 keys_cap = 0;
static Mark *marks = NULL; /* ascending nest; level 1 has none */
static int nmarks = 0;
static int marks_cap = 0;

/*
 * Many rows refer to few: where a shared key was put last, by its hash. What
 * stands there is looked at, so nothing here need be forgotten.
 */
#define RECENT 1024
static uint32 recent[RECENT];

uint64
capture_keys_hash(uint64 name_hash, TupleKey *key, const Datum *values)
{
	return hash_combine64(tuple_key_hash(key, values), name_hash);
}

uint64
capture_keys_existence(uint64 row_hash)
{
	return rep_hash64("exists", 6, row_hash);
}

uint64
capture_keys_referred(CatalogForeign *f, const Datum *values)
{
	Datum compared[INDEX_MAX_KEYS];
	uint64 hash;

	for (int i = 0; i < f->key.ncolumns; i++)
		/* as the check does: a cast may take a modifier, and how explicit it is */
		compared[i] = OidIsValid(f->casts[i].fn_oid)
						  ? FunctionCall3(&f->casts[i], values[i],
										  Int32GetDatum(-1),
										  BoolGetDatum(false))
						  : values[i];
	hash = capture_keys_hash(f->name_hash, &f->key, compared);
	return f->to_key ? capture_keys_existence(hash) : hash;
}

uint64
capture_keys_tag(uint64 name_hash)
{
	return rep_hash64("tag", 3, name_hash);
}

static void
mark_level(void)
{
	int nest = GetCurrentTransactionNestLevel();

	if (nest == 1 || (nmarks > 0 && marks[nmarks - 1].nest == nest))
		return;
	if (nmarks == marks_cap)
	{
		marks_cap = Max(8, marks_cap * 2);
		marks = marks == NULL
					? MemoryContextAlloc(TopTransactionContext,
										 sizeof(Mark) * marks_cap)
					: repalloc(marks, sizeof(Mark) * marks_cap);
	}
	marks[nmarks++] = (Mark){ nest, nkeys };
}

static void
pg_attribute_noreturn() too_many(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("a transaction wrote too many rows of strong tables"),
			 errdetail("At most %d rows can be written in one; each value of a unique constraint, and each row that foreign keys refer to, counts as one more.",
					   CAPTURE_MAX_KEYS),
			 errhint("Divide it into smaller transactions.")));
}

static void
grow(void)
{
	keys_cap = Max(16, keys_cap * 2);
	keys = keys == NULL ? MemoryContextAlloc(TopTransactionContext,
											 sizeof(RepKey) * keys_cap)
						: repalloc(keys, sizeof(RepKey) * keys_cap);
}

static void
put(RepKey key)
{
	if (nkeys == CAPTURE_MAX_KEYS)
		too_many();
	if (nkeys == keys_cap)
		grow();
	keys[nkeys++] = key;
}

static void
add(uint64 hash)
{
	RepKey key = { .hash = hash, .mode = REP_KEY_EXCLUSIVE };

	key.base = pg_atomic_read_u64(&shmem_node()->strong.applied);
	mark_level();
	/* a row written again is locked since: one base is as good as another */
	if (nkeys > 0 && keys[nkeys - 1].hash == key.hash &&
		keys[nkeys - 1].mode == key.mode)
		return;
	put(key);
}

/* One that stands is of this level or an outer one, so it stays as long. */
static void
add_shared(uint64 hash)
{
	uint32 *at = &recent[hash % RECENT];

	if (*at < nkeys && keys[*at].hash == hash &&
		keys[*at].mode == REP_KEY_SHARED)
		return;
	mark_level();
	*at = nkeys;
	put((RepKey){ .hash = hash, .mode = REP_KEY_SHARED });
}

/* False if one of the values is NULL. */
static bool
hash_of(uint64 name_hash, TupleKey *key, TupleTableSlot *slot, uint64 *hash)
{
	Datum values[INDEX_MAX_KEYS];

	for (int i = 0; i < key->ncolumns; i++)
	{
		int at = key->columns[i].attnum - 1;

		if (slot->tts_isnull[at])
			return false;
		values[i] = slot->tts_values[at];
	}
	*hash = capture_keys_hash(name_hash, key, values);
	return true;
}

void
capture_keys_add(CatalogRelation *r, TupleTableSlot *slot)
{
	uint64 hash;

	if (hash_of(r->name_hash, &r->key, slot, &hash))
		add(hash);
}

void
capture_keys_add_uniques(CatalogRelation *r, TupleTableSlot *slot,
						 TupleTableSlot *other)
{
	for (int i = 0; i < r->nuniques; i++)
	{
		CatalogUnique *u = &r->uniques[i];
		uint64 before;
		uint64 after;
		bool has = hash_of(u->name_hash, &u->key, slot, &before);
		bool gets = other && hash_of(u->name_hash, &u->key, other, &after);

		/* NULLs are not equal to anything */
		if (has && gets && before == after)
			continue;
		if (has)
			add(before);
		if (gets)
			add(after);
	}
}

void
capture_keys_add_table(CatalogRelation *r)
{
	add(capture_keys_tag(r->name_hash));
}

void
capture_keys_add_gone(CatalogRelation *r, TupleTableSlot *slot)
{
	uint64 hash;

	if (catalog_foreign_of(r)->referred &&
		hash_of(r->name_hash, &r->key, slot, &hash))
		add(capture_keys_existence(hash));
}

/* False if one of its columns is NULL: then it refers to nothing. */
static bool
referring_values(const CatalogForeign *f, TupleTableSlot *slot, Datum *values)
{
	for (int i = 0; i < f->key.ncolumns; i++)
	{
		int at = f->key.columns[i].attnum - 1;

		if (slot->tts_isnull[at])
			return false;
		values[i] = slot->tts_values[at];
	}
	return true;
}

static bool
same_values(const CatalogForeign *f, TupleTableSlot *slot, const Datum *a,
			const Datum *b)
{
	for (int i = 0; i < f->key.ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor,
											  f->key.columns[i].attnum - 1);

		if (!datum_image_eq(a[i], b[i], att->attbyval, att->attlen))
			return false;
	}
	return true;
}

void
capture_keys_add_referred(CatalogRelation *r, TupleTableSlot *from,
						  TupleTableSlot *slot)
{
	CatalogForeigns *all = catalog_foreign_of(r);

	for (int i = 0; i < all->n; i++)
	{
		CatalogForeign *f = &all->items[i];
		Datum before[INDEX_MAX_KEYS];
		Datum after[INDEX_MAX_KEYS];

		if (referring_values(f, slot, after) &&
			!(from && referring_values(f, from, before) &&
			  same_values(f, slot, before, after)))
			add_shared(capture_keys_referred(f, after));
	}
}

uint32
capture_keys_count(void)
{
	return nkeys;
}

const RepKey *
capture_keys(void)
{
	return keys;
}

void
capture_keys_sub_commit(int nest)
{
	if (nmarks == 0 || marks[nmarks - 1].nest != nest)
		return;
	/* they are the parent's now; its own mark, if it has one, is below */
	if (nest == 2 || (nmarks > 1 && marks[nmarks - 2].nest == nest - 1))
		nmarks--;
	else
		marks[nmarks - 1].nest = nest - 1;
}

void
capture_keys_sub_abort(int nest)
{
	if (nmarks == 0 || marks[nmarks - 1].nest != nest)
		return;
	nkeys = marks[--nmarks].first;
}

void
capture_keys_reset(void)
{
	/* its memory is the transaction's */
	keys = NULL;
	marks = NULL;
	nkeys = keys_cap = 0;
	nmarks = marks_cap = 0;
}
