/*
 * unseen.c
 *		See unseen.h.
 *
 * A TRUNCATE undoes what it has seen and every UPDATE and DELETE that it has
 * not seen, unless that one had seen an INSERT of the row which the TRUNCATE
 * has not. What is undone is as if it had never been. So TRUNCATEs are
 * indexed as well, by table.
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "logged.h"
#include "omission.h"
#include "store.h"
#include "truncates.h"
#include "unseen.h"
#include "unseen_index.h"

static NodeShared *node;
static const uint64 *group_applied;
static int group_streams;

/* what the transaction that is being applied has done, not logged yet */
static RepStamp current;
static List *current_inserts; /* Inserted; only where something is truncated */
static List *current_truncates; /* Truncate */
static MemoryContext current_context = NULL;
/* what was found for it that may be asked for again: Kept, by hash */
static HTAB *kept;
static HTAB *chunk_keys; /* ChunkKeys */
static MemoryContext kept_context = NULL;

#define KEPT_MAX_BYTES (32 * 1024 * 1024)

typedef struct Truncate
{
	Oid relid;
	RepOp op;
} Truncate;

typedef struct Inserted
{
	uint64 hash; /* of table and key */
	uint32 ordinal;
} Inserted;

void
unseen_init(NodeShared *n, bool player)
{
	node = n;
	if (current_context == NULL)
		current_context = AllocSetContextCreate(TopMemoryContext, "causaldb unseen current", ALLOCSET_SMALL_SIZES);
	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(TopMemoryContext, "causaldb unseen kept", ALLOCSET_DEFAULT_SIZES);
	truncates_init(n);
	unseen_index_init(n, player);
}

void
unseen_group(const uint64 *applied, int n)
{
	group_applied = applied;
	group_streams = n;
	memset(&current, 0, sizeof(current));
	truncates_committed();
	unseen_index_group(applied, n);
}

void
unseen_rolled_back(void)
{
	unseen_index_rolled_back();
}

void
unseen_committed(void)
{
	unseen_index_committed();
}

void
unseen_forget_stable(void)
{
	unseen_index_forget_stable();
}

/* ------------------------------------------------------------ finding */

typedef struct Collecting
{
	Oid relid;
	const Datum *key; /* NULL: any row */
	CatalogApply *apply;
	int slot;
	StoreLogRow *row;
	const uint64 *deps;
	uint32 base; /* added to ordinals */
	UnseenOps *out;
	int room;
	MemoryContext home; /* where `out` is; the current one is scratch */
	const struct ChunkKeys *keys; /* of the chunk that is read, or NULL */
} Collecting;

/* the hashes of table and key of one chunk's changes, by ordinal */
typedef struct ChunkKeys
{
	Place place; /* hash key */
	uint32 n;
	uint32 room;
	uint64 *hashes;
} ChunkKeys;

static RepValue
copy_value(const RepValue *v)
{
	RepValue copy = *v;

	if (!v->null && v->len > 0)
	{
		uint8 *data = palloc(v->len);

		memcpy(data, v->data, v->len);
		copy.data = data;
	}
	return copy;
}

/* The operation's field writes, numbered by local attribute. */
static void
set_writes(UnseenOp *u)
{
	const RepChange *c = &u->change;
	CatalogApply *a = u->apply;
	RepWrite *writes;
	uint32 n = 0;
	uint32 i;

	if (c->kind == REP_CHANGE_DELETE)
		return;
	if (c->kind == REP_CHANGE_INSERT)
	{
		writes = palloc(sizeof(RepWrite) * Max(a->descriptor.ncolumns, 1));
		for (i = 0; i < a->descriptor.ncolumns; i++)
		{
			if (a->attnums[i] == InvalidAttrNumber)
				continue;
			writes[n].field = (uint32) a->attnums[i];
			writes[n++].kind = a->descriptor.columns[i].rule == REP_RULE_STRONG ? REP_WRITE_STRONG : REP_WRITE_SET;
		}
	}
	else
	{
		writes = palloc(sizeof(RepWrite) * Max(c->nfields, 1));
		for (i = 0; i < c->nfields; i++)
		{
			uint32 column = c->fields[i].column;

			if (a->attnums[column] == InvalidAttrNumber)
				continue;
			writes[n].field = (uint32) a->attnums[column];
			if (a->descriptor.columns[column].rule == REP_RULE_STRONG)
				writes[n++].kind = REP_WRITE_STRONG;
			else
				writes[n++].kind = a->descriptor.columns[column].rule == REP_RULE_COUNTER && !c->fields[i].base
					? REP_WRITE_DELTA
					: REP_WRITE_SET;
		}
	}
	u->op.writes = writes;
	u->op.nwrites = n;
}

/* Puts down what matches, with copies of its values. */
static void
add_op(Collecting *k, CatalogApply *a, RepChange *c, uint32 ordinal)
{
	UnseenOp *u;
	uint32 i;

	if (k->deps == NULL)
		k->deps = omission_dense(node, k->row);
	if (k->out->n == k->room)
	{
		k->room = Max(8, k->room * 2);
		k->out->details = k->out->details ? repalloc_huge(k->out->details, sizeof(UnseenOp) * k->room)
										  : palloc(sizeof(UnseenOp) * k->room);
	}
	u = &k->out->details[k->out->n++];
	memset(u, 0, sizeof(*u));
	u->apply = a;
	u->change = *c;
	u->op.stamp = k->row->stamp;
	u->op.index = k->row->strong ? k->row->position : 0;
	if (!k->row->strong)
		u->op.stamp.stream = node->streams[k->slot].id;
	u->op.slot = (uint32) k->slot;
	u->op.ordinal = k->base + ordinal;
	u->op.deps = k->deps;
	u->op.ndeps = REP_MAX_STREAMS;
	u->op.kind = (RepOpKind) c->kind;

	if (c->kind == REP_CHANGE_UPDATE)
	{
		u->change.fields = palloc(sizeof(RepField) * Max(c->nfields, 1));
		for (i = 0; i < c->nfields; i++)
		{
			u->change.fields[i] = c->fields[i];
			u->change.fields[i].before = copy_value(&c->fields[i].before);
			u->change.fields[i].after = copy_value(&c->fields[i].after);
		}
		u->change.key = palloc(sizeof(RepValue) * Max(a->descriptor.nkeys, 1));
		for (i = 0; i < a->descriptor.nkeys; i++)
			u->change.key[i] = copy_value(&c->key[i]);
	}
	else
	{
		u->change.row = palloc(sizeof(RepValue) * a->descriptor.ncolumns);
		for (i = 0; i < a->descriptor.ncolumns; i++)
			u->change.row[i] = copy_value(&c->row[i]);
	}
	set_writes(u);
}

static bool
collect_change(CatalogApply *a, RepChange *c, uint32 ordinal, void *arg)
{
	Collecting *k = arg;
	MemoryContext old;

	if (a->relid != k->relid || c->kind == REP_CHANGE_TRUNCATE)
		return true;
	if (k->keys && (ordinal > k->keys->n || k->keys->hashes[ordinal - 1] != k->out->hash))
		return true;
	if (k->key)
	{
		Datum key[INDEX_MAX_KEYS];

		if (a->key.ncolumns != k->apply->key.ncolumns)
			return true;
		logged_key(a, c, key);
		if (!tuple_key_equal(&k->apply->key, key, k->key))
			return true;
	}
	old = MemoryContextSwitchTo(k->home);
	add_op(k, a, c, ordinal);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * Keys of a chunk are decoded once for a transaction that asks for many of its
 * rows, one after the other.
 */
static bool
hash_change(CatalogApply *a, RepChange *c, uint32 ordinal, void *arg)
{
	ChunkKeys *keys = arg;
	Datum key[INDEX_MAX_KEYS];

	if (ordinal > keys->room)
	{
		uint32 room = Max(ordinal, Max(64, 2 * keys->room));

		keys->hashes = keys->hashes ? repalloc_huge(keys->hashes, sizeof(uint64) * room)
									: MemoryContextAlloc(kept_context, sizeof(uint64) * room);
		keys->room = room;
	}
	while (keys->n < ordinal)
		keys->hashes[keys->n++] = 0;
	if (c->kind == REP_CHANGE_TRUNCATE || a->key.ncolumns == 0)
		return true;
	logged_key(a, c, key);
	keys->hashes[ordinal - 1] = unseen_index_hash(a->relid, tuple_key_hash(&a->key, key));
	return true;
}

static const ChunkKeys *
keys_of_chunk(const Place *place, const StoreChunkRow *chunk)
{
	HASHCTL ctl = {.keysize = sizeof(Place), .entrysize = sizeof(ChunkKeys), .hcxt = kept_context};
	ChunkKeys *keys;
	bool found;

	if (chunk_keys == NULL)
		chunk_keys = hash_create("causaldb unseen chunks", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	keys = hash_search(chunk_keys, place, HASH_FIND, NULL);
	if (keys)
		return keys;
	if (MemoryContextMemAllocated(kept_context, true) > KEPT_MAX_BYTES)
		return NULL;
	keys = hash_search(chunk_keys, place, HASH_ENTER, &found);
	keys->n = keys->room = 0;
	keys->hashes = NULL;
	logged_each_change(chunk->payload, chunk->payload_len, hash_change, keys);
	return keys;
}

/* Operations of one transaction (or one chunk of it) on the row. */
static void
collect(Collecting *k, const Place *place, Snapshot snapshot)
{
	StoreLogRow row;

	if (!store_log_fetch(node->streams[place->slot].local_id, place->position, snapshot, &row))
		return; /* its group was rolled back */
	k->slot = place->slot;
	k->row = &row;
	k->deps = NULL;
	k->base = 0;
	k->keys = NULL;
	if (place->chunk == NO_CHUNK)
		logged_each_change(row.payload, row.payload_len, collect_change, k);
	else
	{
		StoreChunkRow chunk;
		StoreScan *scan = store_chunks_begin(row.stream, row.xid, place->chunk - 1, snapshot);

		/* ordinals of later chunks are above those of earlier ones */
		k->base = (uint32) place->chunk << 16;
		if (store_chunks_next(scan, &chunk) && chunk.ordinal == place->chunk)
		{
			k->keys = keys_of_chunk(place, &chunk);
			logged_each_change(chunk.payload, chunk.payload_len, collect_change, k);
		}
		store_end(scan);
	}
}

static void
collect_places(Collecting *k, const Places *places)
{
	Snapshot snapshot;
	MemoryContext scratch;
	int i;

	if (places->n == 0)
		return;
	k->home = CurrentMemoryContext;
	scratch = AllocSetContextCreate(CurrentMemoryContext, "causaldb unseen scratch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (i = 0; i < places->n; i++)
	{
		collect(k, &places->items[i], snapshot);
		MemoryContextReset(scratch);
	}
	UnregisterSnapshot(snapshot);
	MemoryContextSwitchTo(k->home);
	MemoryContextDelete(scratch);
}

/* ------------------------------------------------------------ finding again */

/*
 * Where large transactions have written the same rows often, each change of the
 * one would read all those pages of the other again. So what took many is kept
 * while the transaction lasts and nothing is added.
 */
#define WORTH_KEEPING 16 /* places */

typedef struct Kept
{
	uint64 hash; /* of table and key */
	uint64 state;
	bool all; /* also what the transaction has seen */
	Oid relid;
	Datum key[INDEX_MAX_KEYS];
	UnseenOps ops;
} Kept;

static void
forget_kept(void)
{
	if (kept || chunk_keys)
		MemoryContextReset(kept_context);
	kept = chunk_keys = NULL;
}

/* The operations that were kept; their values stay where they are. */
static bool
find_kept(Collecting *k, uint64 hash, bool all)
{
	Kept *was = kept ? hash_search(kept, &hash, HASH_FIND, NULL) : NULL;

	if (was == NULL || was->relid != k->relid || was->all != all || was->state != unseen_index_state(hash) ||
		!tuple_key_equal(&k->apply->key, was->key, k->key))
		return false;
	k->out->n = was->ops.n;
	k->out->details = palloc(sizeof(UnseenOp) * Max(was->ops.n, 1));
	memcpy(k->out->details, was->ops.details, sizeof(UnseenOp) * was->ops.n);
	return true;
}

/* As collect_places; an older answer goes on being used by whoever has it. */
static void
collect_and_keep(Collecting *k, uint64 hash, bool all, const Places *places)
{
	HASHCTL ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(Kept), .hcxt = kept_context};
	MemoryContext old;
	Kept *now;

	if (kept == NULL)
		kept = hash_create("causaldb unseen kept", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	now = hash_search(kept, &hash, HASH_ENTER, NULL);
	now->relid = InvalidOid;
	old = MemoryContextSwitchTo(kept_context);
	collect_places(k, places);
	now->ops = *k->out;
	now->ops.details = palloc(sizeof(UnseenOp) * Max(k->out->n, 1));
	memcpy(now->ops.details, k->out->details, sizeof(UnseenOp) * k->out->n);
	for (int i = 0; i < k->apply->key.ncolumns; i++)
	{
		TupleCodec *codec = &k->apply->codecs[k->apply->key_columns[i]];

		now->key[i] = datumCopy(k->key[i], codec->typbyval, codec->typlen);
	}
	MemoryContextSwitchTo(old);
	now->all = all;
	now->state = unseen_index_state(hash);
	now->relid = k->relid;
}

/* ------------------------------------------------------------ TRUNCATE */

/* Forgets what an earlier transaction has noted. */
static void
see_current(const Incoming *t)
{
	if (rep_stamp_compare(t->stamp, current) == 0)
		return;
	MemoryContextReset(current_context);
	forget_kept();
	current = t->stamp;
	current_inserts = current_truncates = NIL;
}

static void
note_insert(uint64 hash, uint32 ordinal)
{
	MemoryContext old = MemoryContextSwitchTo(current_context);
	Inserted *copy = palloc(sizeof(Inserted));

	copy->hash = hash;
	copy->ordinal = ordinal;
	current_inserts = lappend(current_inserts, copy);
	MemoryContextSwitchTo(old);
}

/* Before that change of it: changes are looked at more than once. */
static bool
inserted_by_current(uint64 hash, uint32 before)
{
	ListCell *lc;

	foreach (lc, current_inserts)
	{
		const Inserted *inserted = lfirst(lc);

		if (inserted->hash == hash && inserted->ordinal < before)
			return true;
	}
	return false;
}

void
unseen_note_truncate(const Incoming *t, const RepOp *op, CatalogApply *apply)
{
	MemoryContext old;
	Truncate *copy;
	uint64 *deps;

	see_current(t);
	old = MemoryContextSwitchTo(current_context);
	copy = palloc(sizeof(Truncate));
	deps = palloc(sizeof(uint64) * Max(op->ndeps, 1));
	copy->relid = apply->relid;
	copy->op = *op;
	memcpy(deps, op->deps, sizeof(uint64) * op->ndeps);
	copy->op.deps = deps;
	current_truncates = lappend(current_truncates, copy);
	MemoryContextSwitchTo(old);
	unseen_index_note_truncate(t);
}

/* RepOps of all TRUNCATEs of the table that still count, or of t itself. */
static List *
truncates_here(CatalogApply *apply)
{
	List *ops = truncates_of(apply->relid);
	ListCell *lc;

	foreach (lc, current_truncates)
	{
		Truncate *own = lfirst(lc);

		if (own->relid == apply->relid)
			ops = lappend(ops, &own->op);
	}
	return ops;
}

/* The TRUNCATE undoes o; `row` are the logged operations on o's row. */
static bool
undoes(const RepOp *truncate, const RepOp *o, const UnseenOps *row, bool inserted_too)
{
	int i;

	if (rep_op_has_seen(truncate, o))
		return true;
	if (o->kind == REP_OP_INSERT || inserted_too || rep_op_has_seen(o, truncate))
		return false;
	for (i = 0; i < row->n; i++)
	{
		const RepOp *other = &row->details[i].op;

		if (other->kind == REP_OP_INSERT && rep_op_has_seen(o, other) && !rep_op_has_seen(truncate, other))
			return false;
	}
	return true;
}

static bool
is_undone(List *truncate_ops, const RepOp *o, const UnseenOps *row, bool inserted_too)
{
	ListCell *lc;

	foreach (lc, truncate_ops)
		if (undoes(lfirst(lc), o, row, inserted_too))
			return true;
	return false;
}

/* Leaves what t, if given, has not seen and no TRUNCATE undoes. */
static void
filter(const Incoming *t, List *truncate_ops, UnseenOps *row)
{
	bool *keep = palloc(sizeof(bool) * Max(row->n, 1));
	int n = 0;
	int i;

	for (i = 0; i < row->n; i++)
	{
		const RepOp *o = &row->details[i].op;

		keep[i] = !(t && unseen_index_has_seen(t, (int) o->slot, o->index > 0 ? o->index : o->stamp.hlc)) &&
			 !is_undone(truncate_ops, o, row, false);
	}
	for (i = 0; i < row->n; i++)
		if (keep[i])
			row->details[n++] = row->details[i];
	row->n = n;
}

/* ------------------------------------------------------------ for apply */

void
unseen_find(const Incoming *t, const RepOp *op, CatalogApply *apply, const Datum *key, bool adding,
			UnseenOps *out)
{
	Collecting k = {.relid = apply->relid, .key = key, .apply = apply, .out = out};
	List *truncate_ops;
	Places places;
	int n;

	memset(out, 0, sizeof(*out));
	out->hash = unseen_index_hash(apply->relid, tuple_key_hash(&apply->key, key));
	see_current(t);
	if (!unseen_index_catch_up(t))
		return;
	truncate_ops = truncates_here(apply);
	if (!find_kept(&k, out->hash, truncate_ops != NIL))
	{
		unseen_index_places(out->hash, truncate_ops == NIL ? t : NULL, adding && truncate_ops == NIL, &places);
		if (places.n < WORTH_KEEPING || adding || MemoryContextMemAllocated(kept_context, true) > KEPT_MAX_BYTES)
			collect_places(&k, &places);
		else
			collect_and_keep(&k, out->hash, truncate_ops != NIL, &places);
	}
	if (truncate_ops != NIL)
	{
		out->voided = is_undone(truncate_ops, op, out, inserted_by_current(out->hash, op->ordinal));
		if (op->kind == REP_OP_INSERT)
			note_insert(out->hash, op->ordinal);
	}
	if (truncate_ops != NIL)
		filter(t, truncate_ops, out);
	out->ops = palloc(sizeof(RepOp) * Max(out->n, 1));
	for (n = 0; n < out->n; n++)
		out->ops[n] = out->details[n].op;
}

void
unseen_find_all(CatalogApply *apply, const Datum *key, UnseenOps *out)
{
	Collecting k = {.relid = apply->relid, .key = key, .apply = apply, .out = out};
	Places places;

	memset(out, 0, sizeof(*out));
	out->hash = unseen_index_hash(apply->relid, tuple_key_hash(&apply->key, key));
	unseen_index_catch_up_all();
	unseen_index_places(out->hash, NULL, false, &places);
	collect_places(&k, &places);
	filter(NULL, truncates_here(apply), out);
}

bool
unseen_truncated_here(CatalogApply *apply, uint64 mark)
{
	ListCell *lc;

	foreach (lc, truncates_of(apply->relid))
	{
		const RepOp *op = lfirst(lc);

		if (op->stamp.stream.node == (uint32) node->node_id &&
			op->stamp.hlc > mark)
			return true;
	}
	return false;
}

int
unseen_count_others(uint64 hash, bool fresh)
{
	Places places;
	int n = 0;
	int i;

	if (fresh)
		unseen_index_catch_up_others();
	unseen_index_places(hash, NULL, false, &places);
	for (i = 0; i < places.n; i++)
		if (unseen_index_is_open(places.items[i].slot))
			n++;
	return n;
}

/*
 * Visits what no TRUNCATE undoes. Rows with a key are looked at again by it,
 * all their operations together; those without stand or fall alone.
 */
static void
visit_standing(List *truncate_ops, const UnseenOps *ops, UnseenVisit visit, void *arg)
{
	int i;

	for (i = 0; i < ops->n; i++)
		if (ops->details[i].apply->key.ncolumns > 0 ||
			!is_undone(truncate_ops, &ops->details[i].op, ops, false))
			visit(&ops->details[i], arg);
}

void
unseen_visit(const Incoming *t, CatalogApply *apply, UnseenVisit visit, void *arg)
{
	List *truncate_ops;
	int s;
	Snapshot snapshot;

	if (!unseen_index_catch_up(t))
		return;
	truncate_ops = truncates_here(apply);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (s = 0; s < group_streams; s++)
	{
		StoreScan *scan;
		StoreLogRow row;
		uint64 seen = s < t->ndense ? t->dense[s] : 0;

		if (s == t->slot && t->index == 0)
			continue;
		scan = store_log_begin(node->streams[s].local_id, seen,
							   unseen_index_is_open(s) ? PG_INT64_MAX : group_applied[s], snapshot);
		while (store_log_next(scan, &row))
		{
			UnseenOps ops = {0};
			Collecting k = {.relid = apply->relid, .apply = apply, .out = &ops, .slot = s, .row = &row, .home = CurrentMemoryContext};

			k.deps = omission_dense(node, &row);
			if (logged_is_chunked(&row))
			{
				StoreChunkRow chunk;
				StoreScan *chunks = store_chunks_begin(row.stream, row.xid, -1, snapshot);

				while (store_chunks_next(chunks, &chunk))
				{
					k.base = (uint32) chunk.ordinal << 16;
					logged_each_change(chunk.payload, chunk.payload_len, collect_change, &k);
					visit_standing(truncate_ops, &ops, visit, arg);
					ops.n = 0;
				}
				store_end(chunks);
			}
			else
				logged_each_change(row.payload, row.payload_len, collect_change, &k);
			visit_standing(truncate_ops, &ops, visit, arg);
		}
		store_end(scan);
	}
	UnregisterSnapshot(snapshot);
}

static int
column_of(const UnseenOp *op, AttrNumber attnum)
{
	uint32 i;

	for (i = 0; i < op->apply->descriptor.ncolumns; i++)
		if (op->apply->attnums[i] == attnum)
			return (int) i;
	return -1;
}

static const RepField *
field_of(const UnseenOp *op, int column)
{
	uint32 i;

	for (i = 0; i < op->change.nfields; i++)
		if ((int) op->change.fields[i].column == column)
			return &op->change.fields[i];
	return NULL;
}

const RepValue *
unseen_after(const UnseenOp *op, AttrNumber attnum)
{
	int column = column_of(op, attnum);
	const RepField *f;

	if (column < 0 || op->op.kind == REP_OP_DELETE)
		return NULL;
	if (op->op.kind == REP_OP_INSERT)
		return &op->change.row[column];
	f = field_of(op, column);
	return f ? &f->after : NULL;
}

const RepValue *
unseen_before(const UnseenOp *op, AttrNumber attnum)
{
	int column = column_of(op, attnum);
	const RepField *f;

	if (column < 0 || op->op.kind == REP_OP_INSERT)
		return NULL;
	if (op->op.kind == REP_OP_DELETE)
		return &op->change.row[column];
	f = field_of(op, column);
	return f ? &f->before : NULL;
}
