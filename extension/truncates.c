/*
 * truncates.c
 *		See truncates.h.
 *
 * When a TRUNCATE is stable, all that has not seen it has arrived: every
 * member's later transactions have seen it. So it waits until what was here by
 * then is stable, and goes.
 */
#include "postgres.h"

#include "access/table.h"
#include "utils/memutils.h"

#include "change.h"
#include "clock.h"
#include "identity.h"
#include "truncates.h"

/* fewer are not worth a look at which of them has seen which */
#define MANY 16

typedef struct Truncate
{
	Oid relid;
	RepOp op;
	uint64 position; /* of its stream */
	uint64 deps[REP_MAX_STREAMS];
	bool stable;
	uint64 here[REP_MAX_STREAMS]; /* what had arrived when it became stable */
} Truncate;

static NodeShared *node;
static Truncate **truncates;
static int ntruncates;
static int room;
static int committed; /* of them were there at the last look */

void
truncates_init(NodeShared *n)
{
	while (ntruncates > 0)
		pfree(truncates[--ntruncates]);
	node = n;
	committed = 0;
}

void
truncates_keep(int32 stream, uint64 position)
{
	Relation rel = table_open(identity_table("log_key"), RowExclusiveLock);
	Datum values[4] = { Int64GetDatum((int64) STORE_TRUNCATE_HASH),
						Int64GetDatum((int64) position),
						Int32GetDatum(stream), Int32GetDatum(-1) };
	bool nulls[4] = { false, false, false, false };

	store_insert(rel, values, nulls);
	table_close(rel, RowExclusiveLock);
}

void
truncates_add(Oid relid, int slot, const StoreLogRow *row, uint32 ordinal,
			  const uint64 *deps)
{
	Truncate *t;
	int i;

	for (i = 0; i < ntruncates; i++)
	{
		t = truncates[i];
		if (t->relid == relid && t->op.slot == (uint32) slot &&
			t->position == row->position && t->op.ordinal == ordinal)
			return;
	}
	if (ntruncates == room)
	{
		room = Max(16, room * 2);
		truncates = truncates ? repalloc(truncates, sizeof(Truncate *) * room)
							  : MemoryContextAlloc(TopMemoryContext,
												   sizeof(Truncate *) * room);
	}
	t = MemoryContextAllocZero(TopMemoryContext, sizeof(Truncate));
	t->relid = relid;
	memcpy(t->deps, deps, sizeof(t->deps));
	t->position = row->position;
	t->op.stamp = row->stamp;
	if (row->strong)
		t->op.index = row->position;
	else
		t->op.stamp.stream = node->streams[slot].id;
	t->op.slot = (uint32) slot;
	t->op.ordinal = ordinal;
	t->op.deps = t->deps;
	t->op.ndeps = REP_MAX_STREAMS;
	t->op.kind = (RepOpKind) REP_CHANGE_TRUNCATE;
	truncates[ntruncates++] = t;
}

bool
truncates_any(void)
{
	return ntruncates > 0;
}

List *
truncates_of(Oid relid)
{
	List *ops = NIL;
	int i;

	for (i = 0; i < ntruncates; i++)
		if (truncates[i]->relid == relid)
			ops = lappend(ops, &truncates[i]->op);
	return ops;
}

uint64
truncates_floor(int slot)
{
	uint64 floor = pg_atomic_read_u64(&node->streams[slot].stable);
	int i;

	for (i = 0; i < ntruncates; i++)
	{
		Truncate *t = truncates[i];

		floor = Min(floor, t->op.slot == (uint32) slot ? t->position - 1
													   : t->deps[slot]);
	}
	return floor;
}

static void
forget(int i)
{
	pfree(truncates[i]);
	truncates[i] = truncates[--ntruncates];
	committed = Min(committed, ntruncates);
}

static bool
was_followed(const Truncate *t)
{
	int i;

	for (i = 0; i < ntruncates; i++)
		if (truncates[i] != t && truncates[i]->relid == t->relid &&
			rep_op_has_seen(&truncates[i]->op, &t->op))
			return true;
	return false;
}

void
truncates_committed(void)
{
	int i;

	if (ntruncates - committed < MANY)
		return;
	for (i = ntruncates - 1; i >= 0; i--)
		if (was_followed(truncates[i]))
			forget(i);
	committed = ntruncates;
}

void
truncates_rolled_back(void)
{
	int i;

	for (i = ntruncates - 1; i >= 0; i--)
	{
		int slot = (int) truncates[i]->op.slot;

		if (slot != node->own_slot &&
			truncates[i]->position >
				pg_atomic_read_u64(&node->streams[slot].applied))
			forget(i);
	}
}

/* What is here of the stream. */
static uint64
arrived(int slot)
{
	return slot == node->own_slot
			   ? clock_last_position(node)
			   : pg_atomic_read_u64(&node->streams[slot].applied);
}

static bool
is_settled(Truncate *t)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	int s;

	if (!t->stable)
	{
		if (t->position >
			pg_atomic_read_u64(&node->streams[t->op.slot].stable))
			return false;
		for (s = 0; s < n; s++)
			t->here[s] = arrived(s);
		t->stable = true;
	}
	for (s = 0; s < n; s++)
		if (pg_atomic_read_u64(&node->streams[s].stable) < t->here[s])
			return false;
	return true;
}

void
truncates_settle(void)
{
	int i;

	for (i = ntruncates - 1; i >= 0; i--)
		if (is_settled(truncates[i]))
			forget(i);
}
