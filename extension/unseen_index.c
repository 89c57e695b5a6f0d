/*
 * unseen_index.c
 *		See unseen_index.h.
 *
 * upto[s] is how far stream s has been read into the index. Streams of others
 * are read up to what the open group has applied. Our own commits out of
 * order, so it is read to its end with a fresh snapshot each time something
 * has been committed since, and upto moves only to what was closed before;
 * what lies above is read again, and skipped where it is remembered (read
 * twice it would only cost memory: operations are identified by position when
 * they are found). A local commit is visible a moment before it is counted;
 * its slot is still pending then, so what is pending counts as committed too.
 *
 * What another process of this node writes (for the apply worker the strong
 * log, for the player of that all others) is read to its end as well: it is
 * visible a moment before it counts as applied. It is begun, `started`, before
 * that, so what has not begun need not be looked for.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "change.h"
#include "clock.h"
#include "debug_point.h"
#include "identity.h"
#include "logged.h"
#include "omission.h"
#include "store.h"
#include "truncates.h"
#include "unseen_index.h"
#include "wall.h"

/* between two looks at what has been spilled */
#define FORGET_SPILLED_MS 60000

#define OWN_TAIL 256

typedef struct Entry
{
	uint64 hash; /* of table and key */
	uint64 position;
	int32 slot;
	uint32 next : 31; /* index + 1 of the next one of its chain; 0: none */
	uint32 adds : 1; /* it only adds to counters */
} Entry;

/*
 * Operations that only add to counters have a chain of their own: to an
 * operation that does no more than that they do not matter, and a counter may
 * have thousands of them.
 */
typedef struct Bucket
{
	uint64 hash;
	uint32 first[2]; /* index + 1 of the newest; [1]: those that only add */
} Bucket;

static NodeShared *node;
static bool is_player; /* this process plays the strong log */
static MemoryContext index_context = NULL;
static HTAB *buckets;
static Entry *entries;
static uint32 nentries;
static uint32 entries_cap;
static uint64 upto[REP_MAX_STREAMS];
static uint64 commits_read; /* node->commits when our own stream was read */
static const uint64 *group_applied;
static int group_streams;
static bool looked; /* whether causaldb.log_key had rows when we began */
static bool spilled; /* it has */
static bool group_spilled; /* some of them by the open group */
static uint64 changes; /* what bucket chains do not tell of */
static bool whole; /* it has been read to its end since we began */
static bool remembered; /* so have the TRUNCATEs that causaldb.log_key names */
static uint32 truncates_known; /* NodeShared.truncates at the last look at them */
static bool kept; /* some of them are of the open group */
/* positions of our own stream above its upto that have been read already */
static uint64 own_tail[OWN_TAIL];
static int own_tail_len;

static void
empty_index(void)
{
	HASHCTL ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(Bucket)};

	changes++;
	MemoryContextReset(index_context);
	ctl.hcxt = index_context;
	buckets = hash_create("causaldb unseen keys", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	nentries = 0;
	entries_cap = 1024;
	entries = MemoryContextAlloc(index_context, sizeof(Entry) * entries_cap);
}

/* The index is empty; all that is not stable is read into it again. */
static void
read_anew(void)
{
	empty_index();
	memset(upto, 0, sizeof(upto));
	own_tail_len = 0;
	commits_read = PG_UINT64_MAX;
	group_spilled = whole = false;
}

void
unseen_index_init(NodeShared *n, bool player)
{
	node = n;
	is_player = player;
	if (index_context == NULL)
		index_context = AllocSetContextCreate(TopMemoryContext, "causaldb unseen", ALLOCSET_DEFAULT_SIZES);
	read_anew();
	looked = spilled = remembered = kept = false;
}

void
unseen_index_group(const uint64 *applied, int n)
{
	group_applied = applied;
	group_streams = n;
	group_spilled = false;
}

void
unseen_index_rolled_back(void)
{
	int s;

	truncates_rolled_back();
	remembered = kept = false;
	/* what the group has moved to causaldb.log_key is nowhere now */
	if (group_spilled)
	{
		read_anew();
		return;
	}
	/* of our own stream nothing was undone */
	for (s = 0; s < REP_MAX_STREAMS; s++)
		if (s != node->own_slot)
			upto[s] = Min(upto[s], pg_atomic_read_u64(&node->streams[s].applied));
}

uint64
unseen_index_hash(Oid relid, uint64 hash)
{
	return hash_combine64(hash, (uint64) relid * UINT64CONST(0x9E3779B97F4A7C15));
}

/* ------------------------------------------------------------ spilling */

/*
 * Only this process writes causaldb.log_key, so one look tells whether it is
 * worth a search for every change; mostly it is empty.
 */
static void
look_for_spilled(void)
{
	Relation rel;
	TableScanDesc scan;

	if (likely(looked))
		return;
	rel = table_open(identity_table("log_key"), AccessShareLock);
	scan = table_beginscan(rel, SnapshotAny, 0, NULL);
	if (heap_getnext(scan, ForwardScanDirection) != NULL)
		spilled = true;
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	looked = true;
}

static void
spill_key(Relation rel, uint64 hash, int slot, uint64 position, int32 chunk)
{
	Datum values[4] = {Int64GetDatum((int64) hash), Int64GetDatum((int64) position),
					   Int32GetDatum(node->streams[slot].local_id), Int32GetDatum(chunk)};
	bool nulls[4] = {false, false, false, false};

	store_insert(rel, values, nulls);
	spilled = group_spilled = true;
	changes++;
}

/* Moves the whole index to causaldb.log_key; memory begins anew. */
static void
spill_all(void)
{
	Relation rel = table_open(identity_table("log_key"), RowExclusiveLock);
	uint32 i;

	for (i = 0; i < nentries; i++)
		spill_key(rel, entries[i].hash, entries[i].slot, entries[i].position, NO_CHUNK);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	empty_index();
}

static void
add_entry(uint64 hash, int slot, uint64 position, bool adds)
{
	Bucket *bucket;
	bool found;

	if (nentries >= UNSEEN_INDEX_MAX_ENTRIES)
		spill_all();
	if (nentries == entries_cap)
	{
		entries_cap *= 2;
		entries = repalloc_huge(entries, sizeof(Entry) * entries_cap);
	}
	bucket = hash_search(buckets, &hash, HASH_ENTER, &found);
	if (!found)
		bucket->first[0] = bucket->first[1] = 0;
	else if (bucket->first[adds] && entries[bucket->first[adds] - 1].slot == slot &&
			 entries[bucket->first[adds] - 1].position == position)
		return;
	entries[nentries].hash = hash;
	entries[nentries].slot = slot;
	entries[nentries].position = position;
	entries[nentries].adds = adds;
	entries[nentries].next = bucket->first[adds];
	bucket->first[adds] = ++nentries;
}

/* ------------------------------------------------------------ filling */

typedef struct Filling
{
	int slot;
	uint64 position;
	int32 chunk;
	Relation spill; /* NULL: to memory */
	const StoreLogRow *row;
	bool truncates; /* those only */
} Filling;

/* So that a TRUNCATE is known again after a restart, although it is stable. */
static void
keep_truncate(int slot, uint64 position)
{
	truncates_keep(node->streams[slot].local_id, position);
	spilled = group_spilled = kept = true;
	changes++;
	CommandCounterIncrement();
}

static void
index_truncate(CatalogApply *a, uint32 ordinal, Filling *f)
{
	uint32 base = f->chunk == NO_CHUNK ? 0 : (uint32) f->chunk << 16;

	truncates_add(a->relid, f->slot, f->row, base + ordinal, omission_dense(node, f->row));
	/* those of others are kept as they are applied */
	if (f->slot == node->own_slot && !f->truncates)
		keep_truncate(f->slot, f->position);
}

static bool
index_change(CatalogApply *a, RepChange *c, uint32 ordinal, void *arg)
{
	Filling *f = arg;
	Datum key[INDEX_MAX_KEYS];
	uint64 hash;

	if (c->kind == REP_CHANGE_TRUNCATE)
		index_truncate(a, ordinal, f);
	if (c->kind == REP_CHANGE_TRUNCATE || a->key.ncolumns == 0 || f->truncates)
		return true;
	logged_key(a, c, key);
	hash = unseen_index_hash(a->relid, tuple_key_hash(&a->key, key));
	if (f->spill)
		spill_key(f->spill, hash, f->slot, f->position, f->chunk);
	else
		add_entry(hash, f->slot, f->position, logged_only_adds(a, c));
	return true;
}

static bool
already_spilled(int slot, uint64 position)
{
	/* a large transaction is read once: upto passes it for good, but for our
	 * own stream's open end, where it is looked up */
	Relation rel = table_open(identity_table("log_key"), AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key[2];
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key[0], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum((int64) position));
	ScanKeyInit(&key[1], 3, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(node->streams[slot].local_id));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 2, key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum hash = heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull);

		found = (uint64) DatumGetInt64(hash) != STORE_TRUNCATE_HASH;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static void
index_large(int slot, const StoreLogRow *row, Snapshot snapshot)
{
	Filling f = {.slot = slot, .position = row->position, .row = row};
	MemoryContext scratch;
	MemoryContext old;
	StoreScan *scan;
	StoreChunkRow chunk;

	if (already_spilled(slot, row->position))
	{
		spilled = true; /* perhaps by another process */
		return;
	}
	scratch = AllocSetContextCreate(CurrentMemoryContext, "causaldb chunk keys", ALLOCSET_DEFAULT_SIZES);
	f.spill = table_open(identity_table("log_key"), RowExclusiveLock);
	scan = store_chunks_begin(node->streams[slot].local_id, row->xid, -1, snapshot);
	while (store_chunks_next(scan, &chunk))
	{
		f.chunk = chunk.ordinal;
		old = MemoryContextSwitchTo(scratch);
		logged_each_change(chunk.payload, chunk.payload_len, index_change, &f);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	store_end(scan);
	table_close(f.spill, RowExclusiveLock);
	MemoryContextDelete(scratch);
	CommandCounterIncrement();
}

/* Whether this position of our own stream was read before it was closed. */
static bool
in_own_tail(uint64 position)
{
	int i;

	for (i = 0; i < own_tail_len; i++)
		if (own_tail[i] == position)
			return true;
	return false;
}

/*
 * Reads stream s from upto[s] into the index, to `end`. Above `closed` there
 * may be more to come: what is read there is remembered.
 */
static void
fill(int s, uint64 end, uint64 closed)
{
	uint64 tail[OWN_TAIL];
	int ntail = 0;
	uint64 from = Max(upto[s], truncates_floor(s));
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "causaldb keys", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	StoreScan *scan = store_log_begin(node->streams[s].local_id, from, end, snapshot);
	StoreLogRow row;

	while (store_log_next(scan, &row))
	{
		Filling f = {.slot = s, .position = row.position, .chunk = NO_CHUNK, .row = &row};

		if (row.position > closed && ntail < OWN_TAIL)
			tail[ntail++] = row.position;
		if (s == node->own_slot && in_own_tail(row.position))
			continue;
		old = MemoryContextSwitchTo(scratch);
		if (logged_is_chunked(&row))
			index_large(s, &row, snapshot);
		else
			logged_each_change(row.payload, row.payload_len, index_change, &f);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	store_end(scan);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(scratch);
	if (s == node->own_slot)
	{
		memcpy(own_tail, tail, sizeof(uint64) * ntail);
		own_tail_len = ntail;
	}
}

/*
 * TRUNCATEs of others, as soon as the log has them, and those that counted
 * before we began. Whether they are stable is no matter.
 */
static void
remember_truncates(void)
{
	Places places;
	Snapshot snapshot;
	uint32 known = pg_atomic_read_u32(&node->truncates);
	int i;

	if (unlikely(known != truncates_known))
	{
		/* one of a process that is not ours, too */
		truncates_known = known;
		spilled = true;
		remembered = false;
	}
	if (likely(remembered))
		return;
	remembered = true;
	unseen_index_places(STORE_TRUNCATE_HASH, NULL, false, &places);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (i = 0; i < places.n; i++)
	{
		Filling f = {.slot = places.items[i].slot, .position = places.items[i].position, .chunk = NO_CHUNK, .truncates = true};
		StoreLogRow row;
		StoreChunkRow chunk;
		StoreScan *scan;

		if (!store_log_fetch(node->streams[f.slot].local_id, f.position, snapshot, &row))
		{
			remembered = false; /* its transaction is being applied */
			continue;
		}
		f.row = &row;
		logged_each_change(row.payload, row.payload_len, index_change, &f);
		if (!logged_is_chunked(&row))
			continue;
		scan = store_chunks_begin(row.stream, row.xid, -1, snapshot);
		while (store_chunks_next(scan, &chunk))
		{
			f.chunk = chunk.ordinal;
			logged_each_change(chunk.payload, chunk.payload_len, index_change, &f);
		}
		store_end(scan);
	}
	UnregisterSnapshot(snapshot);
}

/* A local transaction may be visible that is not counted yet. */
static bool
has_pending(void)
{
	BackendSlot *slot = shmem_slot_at(0);
	BackendSlot *end = slot + clock_slots();

	pg_memory_barrier();
	for (; slot < end; slot++)
		if (pg_atomic_read_u64(&slot->pending) != NO_PENDING && slot->database == node->database)
			return true;
	return false;
}

static void
catch_up_own(bool pending)
{
	uint64 commits = pg_atomic_read_u64(&node->commits);
	uint64 closed;

	pg_read_barrier();
	if (commits == commits_read && !pending)
		return;
	closed = clock_closed(node);
	fill(node->own_slot, PG_INT64_MAX, closed);
	upto[node->own_slot] = Max(upto[node->own_slot], closed);
	commits_read = pending ? PG_UINT64_MAX : commits;
}

bool
unseen_index_is_open(int slot)
{
	bool is_strong = node->streams[slot].id.node == 0;

	return slot == node->own_slot || is_strong != is_player;
}

/* Reads what another process may have written since. */
static void
catch_up_open(int s)
{
	uint64 applied = pg_atomic_read_u64(&node->streams[s].applied);

	pg_read_barrier();
	if (pg_atomic_read_u64(&node->streams[s].started) <= upto[s])
		return;
	fill(s, PG_INT64_MAX, PG_UINT64_MAX);
	upto[s] = Max(upto[s], applied);
}

void
unseen_index_catch_up_others(void)
{
	int s;

	remember_truncates();
	for (s = 0; s < group_streams; s++)
		if (s == node->own_slot)
			catch_up_own(has_pending());
		else if (unseen_index_is_open(s))
			catch_up_open(s);
}

static void
catch_up_stream(int s)
{
	if (upto[s] >= group_applied[s])
		return;
	fill(s, group_applied[s], PG_UINT64_MAX);
	upto[s] = group_applied[s];
}

void
unseen_index_catch_up_all(void)
{
	int s;

	remember_truncates();
	for (s = 0; s < group_streams; s++)
		if (s == node->own_slot)
			catch_up_own(has_pending());
		else if (unseen_index_is_open(s))
			catch_up_open(s);
		else
			catch_up_stream(s);
	whole = true;
}

bool
unseen_index_catch_up(const Incoming *t)
{
	bool any = false;
	int s;

	remember_truncates();
	for (s = 0; s < group_streams; s++)
	{
		uint64 seen = s < t->ndense ? t->dense[s] : 0;

		if (s == t->slot && t->index == 0)
			continue;
		if (s == node->own_slot)
		{
			bool pending = has_pending();

			if (!pending && clock_last_position(node) <= seen)
				continue;
			any = true;
			catch_up_own(pending);
		}
		else if (unseen_index_is_open(s))
		{
			if (pg_atomic_read_u64(&node->streams[s].started) <= seen)
				continue;
			any = true;
			catch_up_open(s);
		}
		else if (group_applied[s] > seen)
		{
			any = true;
			catch_up_stream(s);
		}
	}
	/* what t has seen matters too: a TRUNCATE undoes by it (unseen.c) */
	if (any && (!whole || truncates_any()))
		unseen_index_catch_up_all();
	return any;
}

void
unseen_index_note_truncate(const Incoming *t)
{
	keep_truncate(t->slot, incoming_position(t));
	remembered = false;
}

void
unseen_index_committed(void)
{
	if (kept)
		pg_atomic_fetch_add_u32(&node->truncates, 1);
	kept = false;
}

/*
 * Empties causaldb.log_key of what is stable. It is read whole, so seldom.
 */
static void
forget_spilled(void)
{
	static TimestampTz last = 0;
	TimestampTz now = wall_timer();
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;
	bool left = false;

	if (!spilled || !TimestampDifferenceExceeds(last, now, FORGET_SPILLED_MS))
		return;
	last = now;
	rel = table_open(identity_table("log_key"), RowExclusiveLock);
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Datum values[4];
		bool nulls[4];
		int slot;

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		slot = shmem_find_stream_by_local(node, DatumGetInt32(values[2]));
		if (slot >= 0 && (uint64) DatumGetInt64(values[1]) > truncates_floor(slot))
			left = true;
		else
			simple_heap_delete(rel, &tuple->t_self);
	}
	table_endscan(scan);
	table_close(rel, RowExclusiveLock);
	/* a rolled-back delete is seen by the next look after a restart only, and
	 * then merely costs a search */
	spilled = left;
}

void
unseen_index_forget_stable(void)
{
	Entry *old_entries;
	uint32 n = nentries;
	uint32 i;

	remember_truncates();
	truncates_settle();
	if (!is_player)
		forget_spilled();
	if (BREAK("early_prune"))
		empty_index(); /* what is applied here is not stable for that */
	if (n < 4096 || nentries == 0)
		return;
	old_entries = palloc_extended(sizeof(Entry) * n, MCXT_ALLOC_HUGE);
	memcpy(old_entries, entries, sizeof(Entry) * n);
	empty_index();
	for (i = 0; i < n; i++)
		if (old_entries[i].position > truncates_floor(old_entries[i].slot))
			add_entry(old_entries[i].hash, old_entries[i].slot, old_entries[i].position, old_entries[i].adds);
	pfree(old_entries);
}

/* ------------------------------------------------------------ finding */

static void
add_place(Places *places, int slot, uint64 position, int32 chunk)
{
	Place *p;

	if (places->n == places->room)
	{
		places->room = Max(8, places->room * 2);
		places->items = places->items ? repalloc(places->items, sizeof(Place) * places->room)
									  : palloc(sizeof(Place) * places->room);
	}
	p = &places->items[places->n++];
	memset(p, 0, sizeof(*p));
	p->slot = slot;
	p->position = position;
	p->chunk = chunk;
}

static int
compare_places(const void *x, const void *y)
{
	const Place *a = x;
	const Place *b = y;

	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	return a->chunk < b->chunk ? -1 : a->chunk > b->chunk;
}

bool
unseen_index_has_seen(const Incoming *t, int slot, uint64 position)
{
	if (slot == t->slot && t->index == 0)
		return true;
	/* by its deps alone, so that all nodes say the same of it */
	return slot < t->ndense && position <= t->dense[slot];
}

/* t NULL: those that it has seen, too */
static void
spilled_places(const Incoming *t, uint64 hash, Places *places)
{
	Relation rel = table_open(identity_table("log_key"), AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	List *indexes = RelationGetIndexList(rel);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum((int64) hash));
	scan = systable_beginscan(rel, linitial_oid(indexes), true, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum values[4];
		bool nulls[4];
		int slot;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		slot = shmem_find_stream_by_local(node, DatumGetInt32(values[2]));
		if (slot >= 0 && !(t && unseen_index_has_seen(t, slot, (uint64) DatumGetInt64(values[1]))))
			add_place(places, slot, (uint64) DatumGetInt64(values[1]), DatumGetInt32(values[3]));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

uint64
unseen_index_state(uint64 hash)
{
	Bucket *bucket = hash_search(buckets, &hash, HASH_FIND, NULL);

	return hash_combine64(changes, bucket ? (uint64) bucket->first[0] << 32 | bucket->first[1] : 0);
}

void
unseen_index_places(uint64 hash, const Incoming *t, bool adding, Places *places)
{
	Bucket *bucket = hash_search(buckets, &hash, HASH_FIND, NULL);
	int chain;
	int from;
	int n = 0;

	memset(places, 0, sizeof(*places));
	for (chain = 0; bucket && chain < (adding ? 1 : 2); chain++)
	{
		uint32 i;

		for (i = bucket->first[chain]; i != 0; i = entries[i - 1].next)
			if (!(t && unseen_index_has_seen(t, entries[i - 1].slot, entries[i - 1].position)))
				add_place(places, entries[i - 1].slot, entries[i - 1].position, NO_CHUNK);
	}
	look_for_spilled();
	if (spilled)
		spilled_places(t, hash, places);
	if (places->n < 2)
		return;
	qsort(places->items, places->n, sizeof(Place), compare_places);
	for (from = 0; from < places->n; from++)
		if (from == 0 || compare_places(&places->items[n - 1], &places->items[from]) != 0)
			places->items[n++] = places->items[from];
	places->n = n;
}
