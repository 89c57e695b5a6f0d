/*
 * shmem.c
 *		Allocates and finds what shmem.h describes.
 */
#include "postgres.h"

#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "guc.h"
#include "shmem.h"

#define TRANCHE_NAME "causaldb"

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;
static CausalShared *shared = NULL;
static NodeShared *my_node = NULL; /* of my_node_database */
static Oid my_node_database = InvalidOid;
static bool my_slot_ready = false;

static int
slot_count(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

static Size
shared_size(void)
{
	Size size = MAXALIGN(sizeof(CausalShared));

	size = add_size(size, mul_size(guc_max_databases, MAXALIGN(sizeof(NodeShared))));
	return add_size(size, mul_size(slot_count(), sizeof(BackendSlot)));
}

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

inline NodeShared *
shmem_node_at(int i)
{
	return (NodeShared *) ((char *) shared + MAXALIGN(sizeof(CausalShared)) +
						   i * MAXALIGN(sizeof(NodeShared)));
}

BackendSlot *
shmem_slot_at(int i)
{
	return (BackendSlot *) shmem_node_at(shared->nnodes) + i;
}

/* Before recovery the control file tells how the server was stopped. */
static bool
was_stopped_cleanly(void)
{
	bool crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool clean = crc_ok && control->state == DB_SHUTDOWNED;

	pfree(control);
	return clean;
}

static void
startup(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("causaldb", shared_size(), &found);
	if (!found)
	{
		int tranche = GetNamedLWLockTranche(TRANCHE_NAME)->lock.tranche;
		int i;

		memset(shared, 0, shared_size());
		LWLockInitialize(&shared->lock, tranche);
		pg_atomic_init_u64(&shared->wall_base, 0);
#ifdef CAUSALDB_TESTING
		pg_atomic_init_u64(&shared->drifted_ms, 0);
#endif
		shared->nnodes = guc_max_databases;
		shared->nslots = slot_count();
		shared->stopped_cleanly = was_stopped_cleanly();
		for (i = 0; i < shared->nnodes; i++)
		{
			NodeShared *node = shmem_node_at(i);
			int s;

			for (s = 0; s < REP_MAX_MEMBERS; s++)
			{
				pg_atomic_init_u32(&node->heard[s].node, 0);
				pg_atomic_init_u64(&node->heard[s].at, 0);
				pg_atomic_init_u32(&node->heard[s].hellos, 0);
			}
			LWLockInitialize(&node->lock, tranche);
			strong_shared_init(&node->strong, tranche);
			ConditionVariableInit(&node->applied_cv);
			pg_atomic_init_u32(&node->state, NODE_UNKNOWN);
			pg_atomic_init_u32(&node->trust, TRUST_WAITING);
			pg_atomic_init_u64(&node->hlc, 0);
			pg_atomic_init_u64(&node->mark, 0);
			pg_atomic_init_u64(&node->last_closed, 0);
			pg_atomic_init_u64(&node->last_commit_lsn, 0);
			pg_atomic_init_u64(&node->last_position, 0);
			pg_atomic_init_u64(&node->commits, 0);
			pg_atomic_init_u32(&node->links_up, 0);
			pg_atomic_init_u32(&node->graves, 0);
			pg_atomic_init_u32(&node->omissions, 0);
			pg_atomic_init_u32(&node->truncates, 0);
			pg_atomic_init_u32(&node->leaving_dead[ROLE_APPLY], 0);
			pg_atomic_init_u32(&node->leaving_dead[ROLE_PLAYER], 0);
			pg_atomic_init_u64(&node->last_unique, 0);
			pg_atomic_init_u32(&node->nstreams, 0);
			pg_atomic_init_u32(&node->stream_turn, 0);
			pg_atomic_init_u64(&node->join.rows, 0);
			pg_atomic_init_u64(&node->join.bytes, 0);
			for (s = 0; s < REP_MAX_STREAMS; s++)
			{
				pg_atomic_init_u64(&node->streams[s].started, 0);
				pg_atomic_init_u64(&node->streams[s].named, 0);
				pg_atomic_init_u64(&node->streams[s].applied, 0);
				pg_atomic_init_u64(&node->streams[s].taken, 0);
				pg_atomic_init_u64(&node->streams[s].seen, 0);
				pg_atomic_init_u64(&node->streams[s].everywhere, 0);
				pg_atomic_init_u64(&node->streams[s].horizon, 0);
				pg_atomic_init_u64(&node->streams[s].horizon_at, 0);
				pg_atomic_init_u64(&node->streams[s].stable, 0);
				pg_atomic_init_u64(&node->streams[s].final, 0);
				pg_atomic_init_u32(&node->streams[s].retired, 0);
			}
		}
		for (i = 0; i < shared->nslots; i++)
		{
			pg_atomic_init_u64(&shmem_slot_at(i)->pending, NO_PENDING);
			pg_atomic_init_u64(&shmem_slot_at(i)->awaited, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Registers the hooks; called from _PG_init while preloading. */
void
shmem_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}

bool
shmem_available(void)
{
	return shared != NULL;
}

CausalShared *
shmem_shared(void)
{
	return shared;
}

NodeShared *
shmem_find_node(Oid database)
{
	/* asked by every statement for its own database */
	if (my_node && database == my_node_database && my_node->database == database)
		return my_node;
	for (int i = 0; i < shared->nnodes; i++)
	{
		NodeShared *node = shmem_node_at(i);

		if (node->database != database)
			continue;
		if (database == MyDatabaseId)
		{
			my_node = node;
			my_node_database = database;
		}
		return node;
	}
	return NULL;
}

/* A node forgets its state; the database is gone or left its cluster. */
void
shmem_release_node(Oid database)
{
	NodeShared *node;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	node = shmem_find_node(database);
	if (node)
	{
		int s;

		pg_atomic_write_u32(&node->state, NODE_UNKNOWN);
		pg_atomic_write_u32(&node->trust, TRUST_WAITING);
		pg_atomic_write_u32(&node->nstreams, 0);
		pg_atomic_write_u64(&node->hlc, 0);
		pg_atomic_write_u64(&node->mark, 0);
		pg_atomic_write_u64(&node->last_closed, 0);
		pg_atomic_write_u64(&node->last_position, 0);
		for (s = 0; s < REP_MAX_STREAMS; s++)
		{
			pg_atomic_write_u64(&node->streams[s].started, 0);
			pg_atomic_write_u64(&node->streams[s].named, 0);
			pg_atomic_write_u64(&node->streams[s].applied, 0);
		}
		node->join.state = JOIN_NONE;
		node->npaused = 0;
		memset(node->peers, 0, sizeof(node->peers));
		for (s = 0; s < REP_MAX_MEMBERS; s++)
		{
			pg_atomic_write_u32(&node->heard[s].node, 0);
			pg_atomic_write_u64(&node->heard[s].at, 0);
			pg_atomic_write_u32(&node->heard[s].hellos, 0);
		}
		memset(node->inboxes, 0, sizeof(node->inboxes));
		memset(&node->own, 0, sizeof(node->own));
		strong_shared_clear(&node->strong);
		node->apply_serial = 0;
		node->stepping_aside = false;
		node->recycling = false;
		node->database = InvalidOid;
	}
	LWLockRelease(&shared->lock);
}

NodeShared *
shmem_node(void)
{
	NodeShared *node;

	node = shmem_find_node(MyDatabaseId);
	if (node)
		return node;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	node = shmem_find_node(MyDatabaseId);
	if (node == NULL)
	{
		node = shmem_find_node(InvalidOid);
		if (node)
			node->database = MyDatabaseId;
	}
	LWLockRelease(&shared->lock);
	if (node == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many databases use causaldb"),
				 errdetail("causaldb.max_databases is %d.", guc_max_databases),
				 errhint("Set causaldb.max_databases = %d in postgresql.conf and restart the server.",
						 guc_max_databases * 2)));
	return node;
}

static void
leave_slot(int code, Datum arg)
{
	(void) code;
	(void) arg;
	pg_atomic_write_u64(&shmem_slot_at(MyProc->pgprocno)->pending, NO_PENDING);
	shmem_slot_at(MyProc->pgprocno)->read.state = STRONG_READ_NONE;
	pg_atomic_write_u64(&shmem_slot_at(MyProc->pgprocno)->awaited, 0);
}

BackendSlot *
shmem_my_slot(void)
{
	BackendSlot *slot = shmem_slot_at(MyProc->pgprocno);

	if (!my_slot_ready)
	{
		pg_atomic_write_u64(&slot->pending, NO_PENDING);
		slot->database = MyDatabaseId;
		before_shmem_exit(leave_slot, 0);
		my_slot_ready = true;
	}
	return slot;
}

int
shmem_find_stream(NodeShared *node, RepStreamId id)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	int i;

	/* newest first: old boots are at the front and rarely asked for */
	for (i = n - 1; i >= 0; i--)
		if (node->streams[i].id.boot == id.boot &&
			node->streams[i].id.node == id.node)
			return i;
	return -1;
}

int
shmem_find_stream_by_local(NodeShared *node, int32 local_id)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	int i;

	for (i = n - 1; i >= 0; i--)
		if (node->streams[i].local_id == local_id)
			return i;
	return -1;
}

/* ------------------------------------------------------------ stream slots */

uint32
shmem_streams_begin(NodeShared *node)
{
	uint32 turn;

	/* what makes it odd makes it even again after some writes to memory */
	while ((turn = pg_atomic_read_u32(&node->stream_turn)) & 1)
		pg_usleep(100);
	pg_read_barrier();
	return turn;
}

bool
shmem_streams_changed(NodeShared *node, uint32 turn)
{
	pg_read_barrier();
	return pg_atomic_read_u32(&node->stream_turn) != turn;
}

static void
begin_turn(NodeShared *node)
{
	Assert(LWLockHeldByMeInMode(&node->lock, LW_EXCLUSIVE));
	pg_atomic_fetch_add_u32(&node->stream_turn, 1);
	pg_write_barrier();
}

static void
end_turn(NodeShared *node)
{
	pg_write_barrier();
	pg_atomic_fetch_add_u32(&node->stream_turn, 1);
}

static void
fill_slot(StreamSlot *slot, RepStreamId id, int32 local_id, uint64 applied)
{
	slot->id = id;
	slot->local_id = local_id;
	pg_atomic_write_u64(&slot->started, applied);
	pg_atomic_write_u64(&slot->named, 0);
	pg_atomic_write_u64(&slot->applied, applied);
	pg_atomic_write_u64(&slot->noted, applied);
	pg_atomic_write_u64(&slot->taken, applied);
	pg_atomic_write_u64(&slot->seen, applied);
	pg_atomic_write_u64(&slot->everywhere, 0);
	pg_atomic_write_u64(&slot->horizon, 0);
	pg_atomic_write_u64(&slot->horizon_at, 0);
	pg_atomic_write_u64(&slot->stable, 0);
	pg_atomic_write_u64(&slot->final, 0);
	pg_atomic_write_u32(&slot->retired, 0);
	slot->blocked_at = 0;
	slot->waits_for.node = 0;
	slot->stalled = false;
}

/* A slot for one more stream, -1 if all are in use. */
static int
free_slot(NodeShared *node)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	int i;

	for (i = 0; i < n; i++)
		if (node->streams[i].local_id == FREE_SLOT)
			return i;
	return n < ALL_STREAM_SLOTS ? n : -1;
}

/* How many streams of the slot's member there are that are not retired; 0 if
 * the member was counted at a slot before this one. */
static int
count_from(NodeShared *node, int first, int n)
{
	uint32 member = node->streams[first].id.node;
	int count = 0;
	int i;

	for (i = 0; i < n; i++)
	{
		if (node->streams[i].id.node != member || pg_atomic_read_u32(&node->streams[i].retired))
			continue;
		if (i < first)
			return 0;
		count++;
	}
	return count;
}

/* Some stream's next transaction has seen this one. */
static bool
is_waited_for(NodeShared *node, RepStreamId stream, int n)
{
	for (int i = 0; i < n; i++)
		if (node->streams[i].local_id != FREE_SLOT &&
			node->streams[i].blocked_at != 0 &&
			rep_stream_compare(node->streams[i].waits_for, stream) == 0)
			return true;
	return false;
}

bool
shmem_has_room(NodeShared *node, RepStreamId stream)
{
	int held = 0;
	int reserved = 0;
	int room;
	int used;
	int n;
	int i;

	LWLockAcquire(&node->lock, LW_SHARED);
	n = used = (int) pg_atomic_read_u32(&node->nstreams);
	for (i = 0; i < n; i++)
	{
		int count = 0;

		if (node->streams[i].local_id == FREE_SLOT)
			used--;
		else if (node->streams[i].id.node != 0)
			count = count_from(node, i, n);
		if (count > 0 && node->streams[i].id.node == stream.node)
			held = count;
		else if (count > 0)
			reserved += Max(0, OWN_SLOTS - count);
	}
	if (is_waited_for(node, stream, n))
	{
		room = ALL_STREAM_SLOTS - used;
		reserved = 0;
	}
	else
		room = STREAM_SLOTS - used;
	LWLockRelease(&node->lock);
	return held < OWN_SLOTS ? room > 0 : room > reserved;
}

int
shmem_add_stream(NodeShared *node, RepStreamId id, int32 local_id,
				 uint64 applied)
{
	int slot;

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	slot = free_slot(node);
	if (slot < 0)
	{
		LWLockRelease(&node->lock);
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many streams"),
				 errdetail("This node has room for %d streams, one for each start of each node; they leave when every member has all of them.",
						   ALL_STREAM_SLOTS),
				 errhint("Look at causaldb.peers for a member that is down and bring it back.")));
	}
	begin_turn(node);
	fill_slot(&node->streams[slot], id, local_id, applied);
	end_turn(node);
	if (slot == (int) pg_atomic_read_u32(&node->nstreams))
		pg_atomic_write_u32(&node->nstreams, slot + 1);
	LWLockRelease(&node->lock);
	return slot;
}

void
shmem_free_streams(NodeShared *node, const int *slots, int n)
{
	RepStreamId nobody = {0, 0};
	int i;

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	begin_turn(node);
	for (i = 0; i < n; i++)
		fill_slot(&node->streams[slots[i]], nobody, FREE_SLOT, 0);
	end_turn(node);
	LWLockRelease(&node->lock);
}

HeardSlot *
shmem_heard_slot(NodeShared *node, uint32 peer)
{
	HeardSlot *found = NULL;
	int i;

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	for (i = REP_MAX_MEMBERS - 1; i >= 0; i--)
	{
		uint32 owner = pg_atomic_read_u32(&node->heard[i].node);

		if (owner == peer)
		{
			found = &node->heard[i];
			break;
		}
		if (owner == 0)
			found = &node->heard[i];
	}
	if (found)
		pg_atomic_write_u32(&found->node, peer);
	LWLockRelease(&node->lock);
	return found;
}

uint32
shmem_hellos(NodeShared *node, uint32 peer)
{
	int i;

	for (i = 0; i < REP_MAX_MEMBERS; i++)
		if (pg_atomic_read_u32(&node->heard[i].node) == peer)
			return pg_atomic_read_u32(&node->heard[i].hellos);
	return 0;
}

bool
shmem_is_paused(NodeShared *node, uint32 peer)
{
	bool paused = false;
	int i;

	/* mostly there is none, and a frame more or less is none too many */
	if (node->npaused == 0)
		return false;
	LWLockAcquire(&node->lock, LW_SHARED);
	for (i = 0; i < node->npaused; i++)
		paused = paused || node->paused[i] == peer;
	LWLockRelease(&node->lock);
	return paused;
}

/* Latches of workers are process-lifetime memory of PGPROC: always valid. */
void
shmem_wake_sender(NodeShared *node)
{
	Latch *latch = node->sender_latch;

	if (latch)
		SetLatch(latch);
}

void
shmem_wake_apply(NodeShared *node)
{
	Latch *latch = node->apply_latch;

	if (latch)
		SetLatch(latch);
}

void
shmem_wake_consensus(NodeShared *node)
{
	Latch *latch = node->strong.consensus_latch;

	if (latch)
		SetLatch(latch);
}

void
shmem_wake_supervisor(void)
{
	Latch *latch = shared ? shared->supervisor_latch : NULL;

	if (latch)
		SetLatch(latch);
}
