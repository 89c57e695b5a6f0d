/*
 * stability.c
 *		See stability.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "horizon.h"
#include "stability.h"
#include "streams.h"

typedef struct Acked
{
	uint64 at;
	uint32 len;
	RepVersion *entries; /* TopMemoryContext; room for REP_MAX_VECTOR */
} Acked;

static NodeShared *node;
static Acked acked[REP_MAX_STREAMS];
static uint32 members[REP_MAX_MEMBERS]; /* but ourselves */
static int nmembers;
static bool reload;

static void
remember(int slot, uint64 at, const RepVector *v)
{
	Acked *a = &acked[slot];

	if (a->entries == NULL)
		a->entries = MemoryContextAlloc(TopMemoryContext, sizeof(RepVersion) * REP_MAX_VECTOR);
	a->at = at;
	a->len = v->len;
	memcpy(a->entries, v->entries, sizeof(RepVersion) * v->len);
}

/* Takes up what is in causaldb.stream. Needs a transaction. */
void
stability_init(NodeShared *n)
{
	StreamRow *rows;
	int nrows = streams_read(&rows);
	int i;

	node = n;
	for (i = 0; i < nrows; i++)
	{
		int slot = shmem_find_stream(node, rows[i].stream);

		if (slot >= 0 && rows[i].has_acks)
			remember(slot, rows[i].acked_at, &rows[i].acks);
	}
	reload = true;
}

void
stability_reload(void)
{
	reload = true;
}

void
stability_mark(int slot, const RepMark *mark)
{
	if (mark->acked_at > 0 && mark->acked_at >= acked[slot].at)
		remember(slot, mark->acked_at, &mark->acks);
}

static void
read_members(void)
{
	int i;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT n.id FROM causaldb.node n, causaldb.local_node l "
					"WHERE n.id <> l.node AND n.state <> 'dropped'", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not read causaldb.node");
	nmembers = Min((int) SPI_processed, REP_MAX_MEMBERS);
	for (i = 0; i < nmembers; i++)
	{
		bool isnull;

		members[i] = (uint32) DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	reload = false;
}

/* What the member has acknowledged last, in whichever of its streams. */
static Acked *
newest_ack(uint32 member, int nstreams)
{
	Acked *newest = NULL;
	int s;

	for (s = 0; s < nstreams; s++)
		if (node->streams[s].id.node == member && acked[s].entries &&
			(newest == NULL || acked[s].at > newest->at))
			newest = &acked[s];
	return newest;
}

bool
stability_look(void)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	uint64 closed = clock_closed(node);
	bool moved = false;
	int s;

	if (reload)
		read_members();
	for (s = 0; s < n; s++)
	{
		uint64 stable = s == node->own_slot ? closed : pg_atomic_read_u64(&node->streams[s].applied);
		int m;

		for (m = 0; m < nmembers && stable > 0; m++)
		{
			Acked *a = newest_ack(members[m], n);
			RepVector v = {a ? a->entries : NULL, a ? a->len : 0, REP_MAX_VECTOR};

			/* an ended stream of its own it has seen in all it wrote since */
			if (node->streams[s].id.node == members[m] && pg_atomic_read_u64(&node->streams[s].final) != 0)
				continue;
			/* its own stream it has by writing it: the mark itself says how far */
			if (node->streams[s].id.node == members[m] && a && rep_vector_get(&v, node->streams[s].id) == 0)
				stable = Min(stable, a == &acked[s] ? a->at : stable);
			else
				stable = Min(stable, a ? rep_vector_get(&v, node->streams[s].id) : 0);
		}
		if (shmem_max_u64(&node->streams[s].everywhere, stable) < stable)
			moved = true;
		stable = horizon_limit(node, s, stable);
		if (shmem_max_u64(&node->streams[s].stable, stable) < stable)
			moved = true;
	}
	return moved;
}

uint64
stability_floor(void)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	uint64 floor = PG_UINT64_MAX;
	int s;

	for (s = 0; s < n; s++)
	{
		uint64 stable = pg_atomic_read_u64(&node->streams[s].stable);
		uint64 applied = s == node->own_slot ? PG_UINT64_MAX : pg_atomic_read_u64(&node->streams[s].applied);

		if (stable < applied || s == node->own_slot)
			floor = Min(floor, stable);
	}
	return floor;
}
