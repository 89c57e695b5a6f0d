/*
 * capture_buffer.c
 *		The changes of the running transaction, in memory and in chunks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture_buffer.h"
#include "clock.h"
#include "errors.h"
#include "local.h"
#include "meta.h"
#include "shmem.h"
#include "store.h"

/* descriptor indexes take one byte, so that joining segments moves nothing */
#define SEGMENT_MAX_DESCRIPTORS 127

typedef struct Segment
{
	struct Segment *next;
	int32 ordinal;
	bool written; /* by a child that is about to commit */
	uint32 nchanges;
	uint32 starts_cap;
	uint32 *starts; /* offsets of the changes in `bytes` */
	int ndescriptors;
	int descriptors_cap;
	CatalogRelation **descriptors;
	StringInfoData bytes;
} Segment;

typedef struct Level
{
	struct Level *outer;
	int nest;
	Segment *first; /* in memory, ascending ordinals */
	Segment *last;
	size_t bytes;     /* of those */
	int32 last_chunk; /* largest ordinal written, or -1 */
	uint64 nchunks;   /* written by this level and its committed children */
	uint64 nchanges;  /* in those */
} Level;

static struct
{
	MemoryContext context; /* NULL: nothing captured */
	MemoryContext scratch; /* for writing chunks; reset after each */
	Level *top;
	Segment *spare;
	int32 next_ordinal;
	int32 stream; /* of the chunks; -1: none written yet */
} buffer;

/* ------------------------------------------------------------ segments */

static void
make_buffer(void)
{
	buffer.context =
		AllocSetContextCreate(TopTransactionContext, "causaldb capture",
							  ALLOCSET_DEFAULT_SIZES);
	buffer.scratch = NULL;
	buffer.top = NULL;
	buffer.spare = NULL;
	buffer.next_ordinal = 0;
	buffer.stream = -1;
}

static Segment *
make_segment(void)
{
	MemoryContext old = MemoryContextSwitchTo(buffer.context);
	Segment *s = buffer.spare;

	if (s != NULL)
		buffer.spare = s->next;
	else
	{
		s = palloc0(sizeof(Segment));
		initStringInfo(&s->bytes);
	}
	s->next = NULL;
	s->written = false;
	s->nchanges = 0;
	s->ndescriptors = 0;
	resetStringInfo(&s->bytes);
	if (buffer.next_ordinal == PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("transaction has too many captured changes")));
	s->ordinal = buffer.next_ordinal++;
	MemoryContextSwitchTo(old);
	return s;
}

/* Keeps ordinary segments for the next use; a huge one is given back. */
static void
free_segment(Segment *s)
{
	if (s->bytes.maxlen > 4 * CAPTURE_CHUNK_BYTES)
	{
		pfree(s->bytes.data);
		if (s->starts != NULL)
			pfree(s->starts);
		if (s->descriptors != NULL)
			pfree(s->descriptors);
		pfree(s);
		return;
	}
	s->next = buffer.spare;
	buffer.spare = s;
}

static void
add_start(Segment *s, uint32 start)
{
	if (s->nchanges == s->starts_cap)
	{
		s->starts_cap = Max(16, 2 * s->starts_cap);
		s->starts = s->starts == NULL
						? MemoryContextAlloc(buffer.context,
											 sizeof(uint32) * s->starts_cap)
						: repalloc(s->starts, sizeof(uint32) * s->starts_cap);
	}
	s->starts[s->nchanges++] = start;
}

/* Index of rel in the segment's table, or -1 if the table is full. */
static int
descriptor_index(Segment *s, CatalogRelation *rel)
{
	for (int i = s->ndescriptors - 1; i >= 0; i--)
		if (s->descriptors[i] == rel || s->descriptors[i]->hash == rel->hash)
			return i;
	if (s->ndescriptors == SEGMENT_MAX_DESCRIPTORS)
		return -1;
	if (s->ndescriptors == s->descriptors_cap)
	{
		s->descriptors_cap = Max(4, 2 * s->descriptors_cap);
		s->descriptors =
			s->descriptors == NULL
				? MemoryContextAlloc(buffer.context, sizeof(CatalogRelation *) *
														 s->descriptors_cap)
				: repalloc(s->descriptors,
						   sizeof(CatalogRelation *) * s->descriptors_cap);
	}
	s->descriptors[s->ndescriptors] = rel;
	return s->ndescriptors++;
}

static size_t
payload_size(const Segment *s)
{
	return 2 + 8 * (size_t) s->ndescriptors + (size_t) s->bytes.len;
}

/* Kind and descriptor index stand at the start of every change but META. */
static CatalogRelation *
descriptor_at(const Segment *s, uint32 start)
{
	if (s->bytes.data[start] == REP_CHANGE_META)
		return NULL;
	return s->descriptors[(unsigned char) s->bytes.data[start + 1]];
}

/* Appends the change [start, start + len) of `from`; false if no room. */
static bool
copy_change(Segment *to, const Segment *from, uint32 start, int len)
{
	CatalogRelation *rel = descriptor_at(from, start);
	int index = rel == NULL ? 0 : descriptor_index(to, rel);
	int at = to->bytes.len;

	if (index < 0)
		return false;
	add_start(to, (uint32) at);
	appendBinaryStringInfo(&to->bytes, from->bytes.data + start, len);
	if (rel != NULL)
		to->bytes.data[at + 1] = (char) index;
	return true;
}

/* Appends all of `from`, which comes right behind; false if it won't fit. */
static bool
join_segments(Segment *to, const Segment *from, size_t limit)
{
	if (payload_size(to) + payload_size(from) > limit ||
		to->ndescriptors + from->ndescriptors > SEGMENT_MAX_DESCRIPTORS)
		return false;
	for (uint32 i = 0; i < from->nchanges; i++)
	{
		uint32 start = from->starts[i];
		uint32 end = i + 1 < from->nchanges ? from->starts[i + 1]
											: (uint32) from->bytes.len;

		if (!copy_change(to, from, start, (int) (end - start)))
			elog(ERROR, "a joined segment has too many descriptors");
	}
	return true;
}

static StringInfo
make_payload(const Segment *s)
{
	StringInfo out = makeStringInfo();
	uint64 hashes[SEGMENT_MAX_DESCRIPTORS];
	RepWriter w;

	for (int i = 0; i < s->ndescriptors; i++)
	{
		catalog_store_descriptor(s->descriptors[i]);
		hashes[i] = s->descriptors[i]->hash;
	}
	enlargeStringInfo(out, (int) payload_size(s));
	rep_writer_init(&w, out->data, (size_t) out->maxlen);
	rep_payload_begin(&w, hashes, (uint32) s->ndescriptors);
	Assert(!w.full);
	out->len = (int) w.len;
	appendBinaryStringInfo(out, s->bytes.data, s->bytes.len);
	return out;
}

/* -------------------------------------------------------------- levels */

static Level *
current_level(void)
{
	int nest = GetCurrentTransactionNestLevel();

	if (buffer.context == NULL)
		make_buffer();
	if (buffer.top == NULL || buffer.top->nest < nest)
	{
		Level *level = MemoryContextAllocZero(buffer.context, sizeof(Level));

		level->outer = buffer.top;
		level->nest = nest;
		level->last_chunk = -1;
		buffer.top = level;
	}
	Assert(buffer.top->nest == nest);
	return buffer.top;
}

static void
append_segment(Level *level, Segment *s)
{
	if (level->last == NULL)
		level->first = s;
	else
		level->last->next = s;
	level->last = s;
	s->next = NULL;
	level->bytes += (size_t) s->bytes.len;
}

static void
write_chunk(Segment *s)
{
	MemoryContext old;
	StringInfo payload;

	if (buffer.scratch == NULL)
		buffer.scratch = AllocSetContextCreate(buffer.context, "causaldb chunk",
											   ALLOCSET_DEFAULT_SIZES);
	if (buffer.stream < 0)
		buffer.stream = shmem_available() ? clock_stream() : 0;
	old = MemoryContextSwitchTo(buffer.scratch);
	payload = make_payload(s);
	store_insert_chunk(buffer.stream,
					   U64FromFullTransactionId(GetTopFullTransactionId()),
					   s->ordinal, payload->data, (size_t) payload->len);
	MemoryContextSwitchTo(old);
	MemoryContextReset(buffer.scratch);
}

/* Takes the level's first segment out, as written. */
static void
drop_written(Level *level, Level *account)
{
	Segment *s = level->first;

	level->first = s->next;
	if (level->first == NULL)
		level->last = NULL;
	level->bytes -= (size_t) s->bytes.len;
	account->last_chunk = Max(account->last_chunk, s->ordinal);
	account->nchunks++;
	account->nchanges += s->nchanges;
	free_segment(s);
}

/* Writes the level's segments, but for the last one if keep_last. */
static void
flush_level(Level *level, bool keep_last)
{
	while (level->first != NULL && !(keep_last && level->first == level->last))
	{
		write_chunk(level->first);
		drop_written(level, level);
	}
}

/* ------------------------------------------------------------- changes */

/* The segment that the level's next change goes to. */
static Segment *
open_segment(Level *level)
{
	Segment *s = level->last;

	if (s == NULL || s->written || s->ordinal < level->last_chunk ||
		s->ndescriptors == SEGMENT_MAX_DESCRIPTORS ||
		payload_size(s) >= CAPTURE_CHUNK_BYTES)
	{
		s = make_segment();
		append_segment(level, s);
	}
	return s;
}

StringInfo
capture_buffer_open(CatalogRelation *rel, RepChangeKind kind)
{
	Level *level = current_level();
	Segment *s = open_segment(level);
	int start = s->bytes.len;
	int index = rel == NULL ? 0 : descriptor_index(s, rel);

	Assert(index >= 0);
	add_start(s, (uint32) start);
	appendStringInfoCharMacro(&s->bytes, (char) kind);
	if (rel != NULL)
		appendStringInfoCharMacro(&s->bytes, (char) index);
	return &s->bytes;
}

/* Moves the last change of an overfull segment into one of its own. */
static void
split_last_change(Level *level)
{
	Segment *s = level->last;
	uint32 start = s->starts[s->nchanges - 1];
	Segment *fresh = make_segment();

	(void) copy_change(fresh, s, start, s->bytes.len - (int) start);
	s->nchanges--;
	s->bytes.len = (int) start;
	append_segment(level, fresh);
}

/* What no frame could carry must not commit: peers would wait for ever. */
static void
check_change_size(const Segment *s, uint32 start)
{
	size_t size = (size_t) s->bytes.len - start;
	CatalogRelation *rel;

	if (likely(size <= REP_MAX_CHANGE))
		return;
	rel = descriptor_at(s, start);
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("one change%s%s is too large to be sent to other nodes",
					rel ? " of table " : "",
					rel ? catalog_qualified_name(rel->relid) : ""),
			 errdetail("It takes %zu bytes; the limit is %zu. An UPDATE counts "
					   "the old and the new values of the columns it changes.",
					   size, (size_t) REP_MAX_CHANGE),
			 errhint("Divide the value over several rows, or leave its column "
					 "out of the columns given to causaldb.set_consistency().")));
}

void
capture_buffer_close(void)
{
	Level *level = buffer.top;
	Segment *s = level->last;
	uint32 start = s->starts[s->nchanges - 1];

	check_change_size(s, start);
	level->bytes += (size_t) s->bytes.len - start;
	if (payload_size(s) > CAPTURE_CHUNK_BYTES && s->nchanges > 1)
	{
		level->bytes -= (size_t) s->bytes.len - start;
		split_last_change(level);
	}
	if (level->bytes > CAPTURE_LEVEL_BYTES)
		flush_level(level, level->last->bytes.len <= CAPTURE_CHUNK_BYTES);
}

bool
capture_buffer_pending(void)
{
	for (Level *level = buffer.top; level != NULL; level = level->outer)
		if (level->first != NULL || level->nchunks > 0)
			return true;
	return false;
}

static StringInfo
chunked_payload(const Level *level)
{
	StringInfo out = makeStringInfo();
	uint8 body[20];
	RepWriter b;
	RepWriter w;

	rep_writer_init(&b, body, sizeof(body));
	rep_write_varint(&b, level->nchunks);
	rep_write_varint(&b, level->nchanges);
	rep_writer_init(&w, out->data, (size_t) out->maxlen);
	rep_payload_begin(&w, NULL, 0);
	rep_write_meta(&w, META_CHUNKED, body, b.len);
	Assert(!w.full);
	out->len = (int) w.len;
	return out;
}

/* All segments as one, or NULL if together they are too large. */
static Segment *
join_all(Level *level)
{
	Segment *whole = level->first;

	if (level->nchunks > 0 || level->bytes > REP_MAX_INLINE_PAYLOAD ||
		payload_size(whole) > REP_MAX_INLINE_PAYLOAD)
		return NULL;
	while (whole->next != NULL)
	{
		Segment *s = whole->next;

		if (!join_segments(whole, s, REP_MAX_INLINE_PAYLOAD))
			return NULL;
		whole->next = s->next;
		if (level->last == s)
			level->last = whole;
	}
	return whole;
}

StringInfo
capture_buffer_finish(int32 *stream)
{
	MemoryContext old = MemoryContextSwitchTo(buffer.context);
	Level *level = buffer.top;
	Segment *whole;
	StringInfo payload;

	Assert(level != NULL && level->outer == NULL);
	whole = level->first == NULL ? NULL : join_all(level);
	if (whole != NULL)
		payload = make_payload(whole);
	else
	{
		flush_level(level, false);
		payload = chunked_payload(level);
	}
	*stream = buffer.stream;
	MemoryContextSwitchTo(old);
	return payload;
}

/* What joins the chunks of a transaction into one payload again. */
typedef struct Joined
{
	uint64 hashes[REP_MAX_PAYLOAD_DESCRIPTORS];
	uint32 nhashes;
	StringInfoData changes;
} Joined;

static void
pg_attribute_noreturn() too_large(size_t limit)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("strong transaction is too large"),
			 errdetail("It wrote more than %zu bytes, or more tables than one "
					   "payload can name.",
					   limit),
			 errhint("Divide it into smaller transactions.")));
}

static uint32
joined_index(Joined *j, uint64 hash, size_t limit)
{
	uint32 i = 0;

	while (i < j->nhashes && j->hashes[i] != hash)
		i++;
	/* an index of one byte, so that changes only have to be copied */
	if (i == SEGMENT_MAX_DESCRIPTORS)
		too_large(limit);
	j->hashes[i] = hash;
	j->nhashes = Max(j->nhashes, i + 1);
	return i;
}

static void
pg_attribute_noreturn() damaged_chunk(void)
{
	ereport(ERROR,
			(errcode(ERRORS_MALFORMED),
			 errmsg("a chunk of this transaction is malformed"),
			 errdetail("What it wrote is kept in causaldb.log_chunk until its commit, and cannot be read."),
			 errhint("Run the transaction again; if that fails, too, check the data folder for damage.")));
}

static void
join_payload(Joined *j, const void *bytes, size_t len, size_t limit)
{
	RepPayload *p = palloc(sizeof(RepPayload));
	RepChange c = { .row = palloc(sizeof(RepValue) * REP_MAX_COLUMNS),
					.key = palloc(sizeof(RepValue) * REP_MAX_COLUMNS),
					.fields = palloc(sizeof(RepField) * REP_MAX_COLUMNS) };

	if (!rep_payload_open(p, bytes, len))
		damaged_chunk();
	while (!rep_payload_at_end(p))
	{
		int d = rep_payload_peek(p);
		const RepDescriptor *desc =
			d < 0 ? NULL : catalog_descriptor(p->descriptors[d]);
		int at = j->changes.len;

		if (!rep_payload_next(p, desc, &c))
			damaged_chunk();
		if ((size_t) at + c.size > limit)
			too_large(limit);
		appendBinaryStringInfo(&j->changes, (const char *) c.start,
							   (int) c.size);
		if (d >= 0)
			j->changes.data[at + 1] =
				(char) joined_index(j, p->descriptors[d], limit);
	}
}

/* Everything is in chunks: reads them back, and takes them away. */
static StringInfo
join_chunks(size_t limit)
{
	StringInfo out = makeStringInfo();
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionId());
	const char *params[2] = { psprintf("%d", buffer.stream),
							  psprintf(UINT64_FORMAT, xid) };
	Joined j = { .nhashes = 0 };
	StoreChunkRow chunk;
	StoreScan *scan;
	RepWriter w;

	initStringInfo(&j.changes);
	CommandCounterIncrement();
	scan = store_chunks_begin(buffer.stream, xid, -1, SnapshotSelf);
	while (store_chunks_next(scan, &chunk))
		join_payload(&j, chunk.payload, chunk.payload_len, limit);
	store_end(scan);
	PushActiveSnapshot(GetLatestSnapshot());
	(void) local_query("DELETE FROM causaldb.log_chunk "
					   "WHERE stream = $1::int4 AND xid = $2::xid8",
					   2, params);
	PopActiveSnapshot();
	enlargeStringInfo(out, 16 + 8 * (int) j.nhashes);
	rep_writer_init(&w, out->data, (size_t) out->maxlen);
	rep_payload_begin(&w, j.hashes, j.nhashes);
	Assert(!w.full);
	out->len = (int) w.len;
	appendBinaryStringInfo(out, j.changes.data, j.changes.len);
	return out;
}

StringInfo
capture_buffer_finish_whole(size_t limit)
{
	MemoryContext old = MemoryContextSwitchTo(buffer.context);
	Level *level = buffer.top;
	Segment *whole = level->first == NULL ? NULL : join_all(level);
	StringInfo payload;

	Assert(level->outer == NULL);
	if (whole != NULL)
		payload = make_payload(whole);
	else
	{
		flush_level(level, false);
		payload = join_chunks(limit);
	}
	MemoryContextSwitchTo(old);
	return payload;
}

/* ---------------------------------------------------- subtransactions */

/* The level of the subtransaction at this nest level, if it wrote. */
static Level *
level_at(Level *level, int nest)
{
	return level != NULL && level->nest == nest ? level : NULL;
}

static void
write_ahead(Level *level)
{
	for (Segment *s = level->first; s != NULL; s = s->next)
	{
		write_chunk(s);
		s->written = true;
	}
}

/*
 * The child's changes are about to be the parent's. The parent cannot write
 * while a child is open, so a loop of small children would grow it without
 * end: the child writes for both, once there is enough of it. The parent's
 * segments stay until the child has committed, in case it does not.
 */
void
capture_buffer_sub_pre_commit(int nest)
{
	Level *child = level_at(buffer.top, nest);
	Level *parent;

	if (child == NULL)
		return;
	parent = level_at(child->outer, nest - 1);
	if (child->bytes + (parent ? parent->bytes : 0) <= CAPTURE_LEVEL_BYTES)
		return;
	if (parent != NULL)
		write_ahead(parent);
	write_ahead(child);
}

static void
drop_all_written(Level *level, Level *account)
{
	while (level->first != NULL && level->first->written)
		drop_written(level, account);
}

void
capture_buffer_sub_commit(int nest)
{
	Level *child = level_at(buffer.top, nest);
	Level *parent;
	int32 last_chunk;

	if (child == NULL)
		return;
	parent = level_at(child->outer, nest - 1);
	if (parent == NULL)
	{
		drop_all_written(child, child);
		child->nest = nest - 1;
		return;
	}
	drop_all_written(parent, parent);
	drop_all_written(child, child);
	/* nothing may move to before a chunk that is written */
	last_chunk = Max(parent->last_chunk, child->last_chunk);
	while (child->first != NULL)
	{
		Segment *s = child->first;

		child->first = s->next;
		if (parent->last != NULL && parent->last->ordinal > last_chunk &&
			join_segments(parent->last, s, CAPTURE_CHUNK_BYTES))
		{
			parent->bytes += (size_t) s->bytes.len;
			free_segment(s);
		}
		else
			append_segment(parent, s);
	}
	parent->last_chunk = last_chunk;
	parent->nchunks += child->nchunks;
	parent->nchanges += child->nchanges;
	buffer.top = parent;
	pfree(child);
}

void
capture_buffer_sub_abort(int nest)
{
	Level *child = level_at(buffer.top, nest);

	if (child == NULL)
		return;
	buffer.top = child->outer;
	while (child->first != NULL)
	{
		Segment *s = child->first;

		child->first = s->next;
		free_segment(s);
	}
	pfree(child);
	for (Level *level = buffer.top; level != NULL; level = level->outer)
		for (Segment *s = level->first; s != NULL; s = s->next)
			s->written = false;
}

void
capture_buffer_reset(void)
{
	memset(&buffer, 0, sizeof(buffer)); /* its memory is the transaction's */
}
