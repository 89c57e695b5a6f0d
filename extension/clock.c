/*
 * clock.c
 *		See clock.h.
 *
 * The durable mark is one small file a database, $PGDATA/causaldb/<oid>.mark,
 * replaced and synced whenever the clock comes near it, by whichever process
 * comes first. It is reserved RESERVE_MS ahead of the wall clock, so that is
 * once in some seconds; only where our clock is ahead of the wall already, it
 * is reserved a little ahead of that: a server that starts again and again
 * begins at its mark each time, and must not run away from its peers. A file
 * and not a table row because a transaction that is about to commit must be
 * able to move it, whatever becomes of itself.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "causal.h"
#include "clock.h"
#include "debug_point.h"
#include "guc.h"
#include "identity.h"
#include "skew.h"
#include "store.h"
#include "wall.h"

#define MARK_FOLDER "causaldb"
/*
 * How far ahead of the time, and at least of our own clock, the mark is set.
 * A start begins there and must not be too far ahead for its peers.
 */
#define RESERVE_MS Max(500, Min(10000, guc_max_clock_skew / 2))
#define RESERVE_BEYOND_MS 200
/* it is set anew when it is no further ahead than this */
#define REFILL_MS (RESERVE_MS / 5)
#define REFILL_BEYOND_MS 50
/* where the library is not preloaded, ids lag behind the time by at most */
#define LOCAL_BLOCK_MS 1000
/* a server that has just started is waited for, so often and long */
#define NAPS 1000
#define NAP_MS 10

static ClockStamp stamp; /* of this process's transaction */
static bool stamped = false; /* a slot of ours is published */
static bool become_node = false; /* at commit of this transaction */
static bool callback_registered = false;

#ifdef CAUSALDB_TESTING
static uint64 early_position = 0; /* the wrong stamp of a broken build */
#endif

/*
 * The time to stamp by: 0 while this node's is not known to be the cluster's
 * (skew.h), so that its clock counts on from its mark.
 */
static uint64
trusted_ms(NodeShared *node)
{
	Trust trust = pg_atomic_read_u32(&node->trust);

	return trust == TRUST_GIVEN || trust == TRUST_ALONE ? wall_ms() : 0;
}

/* ------------------------------------------------------------ the mark */

static void
mark_path(Oid database, char *path)
{
	snprintf(path, MAXPGPATH, "%s/%u.mark", MARK_FOLDER, database);
}

/*
 * The mark on disk, or 0 if there is none. *continued: it was written in this
 * folder on this timeline, so nothing that we have shipped is missing here. In
 * a copy of the folder, as a standby is one, its file is another one.
 */
static uint64
mark_load(Oid database, bool *continued)
{
	char path[MAXPGPATH];
	char text[128];
	char *rest;
	uint64 mark;
	struct stat st;
	int fd;
	ssize_t n;

	*continued = false;
	mark_path(database, path);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
	{
		if (errno == ENOENT)
			return 0;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open file \"%s\": %m", path)));
	}
	n = read(fd, text, sizeof(text) - 1);
	if (n > 0 && fstat(fd, &st) < 0)
		n = -1;
	CloseTransientFile(fd);
	if (n <= 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("could not read the clock's mark from file \"%s\"", path),
						errhint("Restore the file, or remove it if this server's clock is right.")));
	text[n] = '\0';
	mark = strtoull(text, &rest, 10);
	*continued = strtoull(rest, &rest, 10) == (uint64) st.st_ino &&
				 strtoull(rest, NULL, 10) == (uint64) GetWALInsertionTimeLine();
	return mark;
}

static void
mark_store(Oid database, uint64 mark)
{
	char path[MAXPGPATH];
	char fresh[MAXPGPATH + 8];
	char text[128];
	struct stat st;
	int len;
	int fd;

	mark_path(database, path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (MakePGDirectory(MARK_FOLDER) < 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create directory \"%s\": %m", MARK_FOLDER)));
	fd = OpenTransientFile(fresh, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create file \"%s\": %m", fresh)));
	if (fstat(fd, &st) < 0)
		st.st_ino = 0;
	len = snprintf(text, sizeof(text), UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT "\n", mark,
				   (uint64) st.st_ino, (uint64) GetWALInsertionTimeLine());
	errno = 0;
	if (write(fd, text, len) != len)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", fresh),
						errdetail("The clock cannot be moved forward safely, so nothing is committed to tagged tables.")));
	}
	CloseTransientFile(fd);
	(void) durable_rename(fresh, path, ERROR);
}

static uint64
ahead(NodeShared *node, uint64 hlc, int of_time_ms, int of_hlc_ms)
{
	uint64 now = trusted_ms(node);

	return Max(now ? rep_hlc_from_ms(now + of_time_ms) : 0, hlc + rep_hlc_from_ms(of_hlc_ms));
}

/* As mark_reserve, of a caller that holds node->lock. */
static void
reserve_locked(NodeShared *node, uint64 hlc)
{
	uint64 mark;

	if (ahead(node, hlc, REFILL_MS, REFILL_BEYOND_MS) <= pg_atomic_read_u64(&node->mark))
		return;
	mark = ahead(node, hlc, RESERVE_MS, RESERVE_BEYOND_MS);
	mark_store(node->database, mark);
	pg_atomic_write_u64(&node->mark, mark);
}

/*
 * Makes sure that positions up to `hlc` may leave the node (invariant 4). Only
 * the caller that moves the mark waits for the disk, unless the clock has
 * overtaken it.
 */
static void
mark_reserve(NodeShared *node, uint64 hlc)
{
	uint64 mark = pg_atomic_read_u64(&node->mark);
	uint64 refill = ahead(node, hlc, REFILL_MS, REFILL_BEYOND_MS);

	if (refill <= mark)
		return;
	if (hlc <= mark)
	{
		if (!LWLockConditionalAcquire(&node->lock, LW_EXCLUSIVE))
			return;
	}
	else
		LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	reserve_locked(node, hlc);
	LWLockRelease(&node->lock);
}

void
clock_open(NodeShared *node, uint64 above)
{
	uint64 start = above;

	/* two may come at once: the second must not begin at the first one's mark */
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);

	/*
	 * A shared clock that runs already is above the mark it began at. Without
	 * a mark the wall clock alone is above all that was ever shown.
	 */
	if (pg_atomic_read_u64(&node->hlc) == 0)
	{
		uint64 mark = mark_load(node->database, &node->continued);

		start = Max(start, mark ? mark : rep_hlc_from_ms(wall_ms()));
	}
	node->opened_at = wall_boot_ms();
	start = Max(start, rep_hlc_from_ms(trusted_ms(node)));
	reserve_locked(node, start);
	DEBUG_POINT("clock_marked");
	shmem_max_u64(&node->hlc, start);
	LWLockRelease(&node->lock);
}

/* ------------------------------------------------------------ the clock */

uint64
clock_read(NodeShared *node)
{
	return pg_atomic_read_u64(&node->hlc);
}

static uint64
tick(NodeShared *node)
{
	uint64 last = pg_atomic_read_u64(&node->hlc);
	uint64 now = trusted_ms(node);
	uint64 next;

	do
		next = rep_hlc_next(last, now);
	while (!pg_atomic_compare_exchange_u64(&node->hlc, &last, next));
	return next;
}

void
clock_observe(NodeShared *node, uint64 hlc)
{
	/* with nothing observed the clock must not look as if it had been set */
	if (BREAK("no_observe") || hlc == 0)
		return;
	mark_reserve(node, hlc);
	shmem_max_u64(&node->hlc, hlc);
}

uint64
clock_last_position(NodeShared *node)
{
	return pg_atomic_read_u64(&node->last_position);
}

uint64
clock_closed(NodeShared *node)
{
	CausalShared *shared = shmem_shared();
	uint64 closed = pg_atomic_read_u64(&node->hlc);
	int i;

	pg_memory_barrier();
	for (i = 0; i < shared->nslots && !BREAK("no_closed_rule"); i++)
	{
		BackendSlot *slot = shmem_slot_at(i);
		uint64 pending = pg_atomic_read_u64(&slot->pending);

		if (pending != NO_PENDING && slot->database == node->database)
			closed = Min(closed, pending - 1);
	}
	/* a tick may have passed the mark a moment ago (invariant 4) */
	closed = Min(closed, pg_atomic_read_u64(&node->mark));
	return Max(closed, shmem_max_u64(&node->last_closed, closed));
}

int
clock_slots(void)
{
	return shmem_shared()->nslots;
}

void
clock_read_pending(NodeShared *node, uint64 *pending)
{
	int n = clock_slots();
	int i;

	pg_memory_barrier();
	for (i = 0; i < n; i++)
	{
		BackendSlot *slot = shmem_slot_at(i);
		uint64 p = pg_atomic_read_u64(&slot->pending);

		pending[i] = p == NO_PENDING || slot->database != node->database ? REP_NOT_PENDING : p;
	}
}

/* ------------------------------------------------------------ readiness */

static void
refuse(NodeShared *node, NodeState state)
{
	if (state == NODE_FENCED)
	{
		char reason[sizeof(node->fence_reason)];

		LWLockAcquire(&node->lock, LW_SHARED);
		strlcpy(reason, node->fence_reason, sizeof(reason));
		LWLockRelease(&node->lock);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this node takes no writes to tagged tables"),
				 errdetail("%s", reason),
				 errhint("Look at causaldb.nodes and causaldb.streams.")));
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this node is not ready yet"),
			 errdetail("Its workers have not opened a stream for this start of the server."),
			 errhint("Type SELECT causaldb.wait_until_ready(); if that fails, look for \"causaldb\" in the server log and check that max_worker_processes leaves room for four workers a database.")));
}

/* What was logged while the library was not preloaded knows no mark. */
static uint64
local_history_end(void)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	uint64 last = store_last_position(0, snapshot);

	UnregisterSnapshot(snapshot);
	return last;
}

NodeState
clock_state(NodeShared *node)
{
	NodeState state = pg_atomic_read_u32(&node->state);

	if (state == NODE_OPEN || state == NODE_LOCAL || state == NODE_FENCED)
		return state;

	if (state == NODE_UNKNOWN)
	{
		Identity id = identity_read();
		uint32 unknown = NODE_UNKNOWN;

		/* the data folder, and so the mark, is the primary's */
		if (RecoveryInProgress())
			ereport(ERROR,
					(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
					 errmsg("this server is a standby, so it is no node"),
					 errdetail("Views of causaldb can be read here; its workers start when the server is promoted."),
					 errhint("Connect to the primary.")));
		if (id.node == 0)
		{
			/* nobody to compare with */
			pg_atomic_write_u32(&node->trust, TRUST_GIVEN);
			clock_open(node, local_history_end());
		}
		(void) pg_atomic_compare_exchange_u32(&node->state, &unknown,
											  id.node ? NODE_OPENING : NODE_LOCAL);
		if (id.node)
			shmem_wake_supervisor();
	}
	return pg_atomic_read_u32(&node->state);
}

static void
nap(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 NAP_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Waits some seconds for the workers of a server that has just started. */
static NodeState
wait_open(NodeShared *node)
{
	NodeState state = clock_state(node);
	int tries;

	for (tries = 0; state == NODE_OPENING && tries < NAPS; tries++)
	{
		nap();
		state = clock_state(node);
	}
	return state;
}

void
clock_begin_write(void)
{
	NodeShared *node = shmem_node();
	NodeState state;
	int tries;

	if (likely(pg_atomic_read_u32(&node->trust) == TRUST_GIVEN))
		return;
	state = wait_open(node);
	if (state != NODE_OPEN && state != NODE_LOCAL)
		refuse(node, state);
	for (tries = 0; pg_atomic_read_u32(&node->trust) == TRUST_WAITING && tries < NAPS; tries++)
		nap();
	switch ((Trust) pg_atomic_read_u32(&node->trust))
	{
		case TRUST_GIVEN:
		case TRUST_ALONE:
			break;
		case TRUST_WAITING:
			refuse(node, NODE_OPENING);
			break;
		case TRUST_REFUSED:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("this node takes no writes to tagged tables, as its clock is not the cluster's"),
					 errdetail("%s", skew_detail(node)),
					 errhint("Correct the clock of this server. If it is right, type SELECT causaldb.accept_clock();")));
	}
}

/* ------------------------------------------------------------ commit */

int32
clock_stream(void)
{
	NodeShared *node = shmem_node();
	NodeState state = wait_open(node);

	if (state != NODE_OPEN && state != NODE_LOCAL)
		refuse(node, state);
	return state == NODE_OPEN ? node->streams[node->own_slot].local_id : 0;
}

uint64
clock_unique(NodeShared *node, int bits)
{
	NodeState state = wait_open(node);
	uint64 last;
	uint64 next;

	if (state != NODE_OPEN && state != NODE_LOCAL)
		refuse(node, state);
	last = pg_atomic_read_u64(&node->last_unique);
	do
	{
		uint64 ms = Max(trusted_ms(node), rep_hlc_to_ms(clock_read(node)));

		next = Max(last + 1, ms << bits);
		/* the next start begins at the mark, above this millisecond */
		mark_reserve(node, rep_hlc_from_ms((next >> bits) + 1));
	} while (!pg_atomic_compare_exchange_u64(&node->last_unique, &last, next));
	return next;
}

/*
 * What this transaction may have seen. It is noted as named before our tick, so
 * before anybody can see us: whoever does names no less.
 */
static void
read_deps(NodeShared *node)
{
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	int slots[REP_MAX_STREAMS];
	uint32 turn;
	int i;

	do
	{
		turn = shmem_streams_begin(node);
		stamp.ndeps = 0;
		for (i = 0; i < n; i++)
		{
			uint64 seen = pg_atomic_read_u64(&node->streams[i].started);

			seen = Max(seen, pg_atomic_read_u64(&node->streams[i].named));
			if (i == node->own_slot || seen == 0 ||
				pg_atomic_read_u32(&node->streams[i].retired))
				continue;
			slots[stamp.ndeps] = i;
			stamp.dep_stream[stamp.ndeps] = node->streams[i].local_id;
			stamp.dep_position[stamp.ndeps++] = seen;
		}
	} while (shmem_streams_changed(node, turn));
	for (i = 0; i < stamp.ndeps; i++)
		shmem_max_u64(&node->streams[slots[i]].named, stamp.dep_position[i]);
}

/* ------------------------------------------------------------ not preloaded */

void
clock_lock_local(uint16 what)
{
	LOCKTAG tag;

	if (identity_read().node != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this node takes no writes to tagged tables"),
				 errdetail("The database is a node of a cluster, but the server was started without causaldb."),
				 errhint("Put shared_preload_libraries = 'causaldb' into postgresql.conf and restart the server.")));
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, what);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

uint64
clock_local_unique(int bits)
{
	static uint64 next = 0; /* of this process's block of one millisecond */
	static uint64 end = 0;
	static Oid block_database = InvalidOid;
	LOCKTAG tag;
	bool continued;
	uint64 ms;

	if (next < end && block_database == MyDatabaseId && (end >> bits) + LOCAL_BLOCK_MS > wall_ms())
		return next++;
	PreventCommandDuringRecovery("causaldb.next_id()");
	clock_lock_local(CLOCK_LOCK_IDS);
	/* all that was given, by whichever start, lies below the mark */
	ms = Max(wall_ms(), rep_hlc_to_ms(mark_load(MyDatabaseId, &continued)));
	mark_store(MyDatabaseId, rep_hlc_from_ms(ms + 1));
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, CLOCK_LOCK_IDS);
	(void) LockRelease(&tag, ExclusiveLock, false);
	block_database = MyDatabaseId;
	next = ms << bits;
	end = (ms + 1) << bits;
	return next++;
}

const ClockStamp *
clock_precommit(void)
{
	NodeShared *node = shmem_node();
	BackendSlot *slot = shmem_my_slot();
	NodeState state = wait_open(node);

	if (state != NODE_OPEN && state != NODE_LOCAL)
		refuse(node, state);

	/* may wait for the disk, so before the slot holds closed() back */
	mark_reserve(node, rep_hlc_next(clock_read(node), trusted_ms(node)));

	stamped = true;
	if (!BREAK("no_closed_rule"))
		pg_atomic_write_u64(&slot->pending, pg_atomic_read_u64(&node->hlc));
	pg_memory_barrier();

	stamp.ndeps = 0;
	stamp.stream = 0;
	if (state == NODE_OPEN)
	{
		stamp.stream = node->streams[node->own_slot].local_id;
		if (BREAK("deps_after_tick"))
			stamp.position = tick(node);
		DEBUG_POINT("precommit_deps");
		read_deps(node);
	}
	if (!BREAK("deps_after_tick"))
		stamp.position = tick(node);
#ifdef CAUSALDB_TESTING
	if (early_position && (BREAK("stamp_at_first_write") || BREAK("stamp_at_trigger")))
		stamp.position = early_position;
#endif
	if (!BREAK("no_closed_rule"))
		pg_atomic_write_u64(&slot->pending, stamp.position);
	shmem_max_u64(&node->strong.last_stamped, stamp.position);

	/*
	 * The tick may have passed the mark reserved above if other transactions
	 * ticked in between; the log row must not be written before it holds.
	 */
	mark_reserve(node, stamp.position);
	DEBUG_POINT("precommit_stamped");
	return &stamp;
}

/*
 * How much of the strong log may have been seen, entries that write nothing
 * included: by these a horizon tells how old deps are (horizon.h).
 */
static uint64
log_position(NodeShared *node, int n)
{
	for (int i = 0; i < n; i++)
	{
		StreamSlot *s = &node->streams[i];

		if (s->id.node == 0)
			return Max(pg_atomic_read_u64(&s->applied),
					   Max(pg_atomic_read_u64(&s->started), pg_atomic_read_u64(&s->named)));
	}
	return 0;
}

void
clock_strong(NodeShared *node, RepStamp *strong, RepVector *deps)
{
	NodeState state = wait_open(node);
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	uint64 own;
	uint64 log;
	int i;

	if (state != NODE_OPEN)
		refuse(node, state);
	mark_reserve(node, rep_hlc_next(clock_read(node), wall_ms()));
	log = log_position(node, n);
	pg_memory_barrier();
	deps->len = 0;
	for (i = 0; i < n; i++)
	{
		uint64 seen;

		if (node->streams[i].id.node == 0)
		{
			if (log > 0)
				(void) rep_vector_set(deps, node->streams[i].id, log);
			continue;
		}
		seen = Max(pg_atomic_read_u64(&node->streams[i].started), pg_atomic_read_u64(&node->streams[i].named));
		if (i == node->own_slot || seen == 0 || pg_atomic_read_u32(&node->streams[i].retired))
			continue;
		if (!rep_vector_set(deps, node->streams[i].id, seen))
			elog(ERROR, "causaldb: deps of %d streams have no room", n);
	}
	/* whatever of our own stream is visible was stamped before */
	own = pg_atomic_read_u64(&node->strong.last_stamped);
	if (own > 0)
		(void) rep_vector_set(deps, node->own, own);
	strong->hlc = tick(node);
	strong->stream = node->own;
	mark_reserve(node, strong->hlc);
}

static void
end_pending(void)
{
	pg_atomic_write_u64(&shmem_my_slot()->pending, NO_PENDING);
}

static void
end_of_commit(void)
{
	NodeShared *node = shmem_node();

	/* Visible now, locks still held: see STRONG order of CommitTransaction. */
	shmem_max_u64(&node->last_commit_lsn, XactLastCommitEnd);
	if (stamp.stream != 0)
		shmem_max_u64(&node->last_position, stamp.position);
	pg_atomic_fetch_add_u64(&node->commits, 1);
	pg_write_barrier();
	end_pending();
	/* the sender says that a link is up before it looks what there is to send */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&node->links_up) > 0)
		shmem_wake_sender(node);
	if (pg_atomic_read_u32(&node->strong.want_held))
		shmem_wake_consensus(node);
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	(void) arg;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (stamped)
			{
				DEBUG_POINT("commit_visible");
				end_of_commit();
			}
			if (become_node)
			{
				NodeShared *node = shmem_node();

				pg_atomic_write_u32(&node->state, NODE_OPENING);
				shmem_wake_supervisor();
			}
			break;
		case XACT_EVENT_ABORT:
			if (stamped)
				end_pending();
			break;
		default:
			return;
	}
	stamped = false;
	become_node = false;
#ifdef CAUSALDB_TESTING
	early_position = 0;
#endif
}

void
clock_become_node_at_commit(void)
{
	become_node = true;
}

/* Registers the end-of-transaction callback; from _PG_init. */
void
clock_init(void)
{
	if (!callback_registered)
		RegisterXactCallback(at_end_of_transaction, NULL);
	callback_registered = true;
}

#ifdef CAUSALDB_TESTING
/*
 * Two wrong orders: the stamp of the first write, or of the last trigger. The
 * slot is not published for them, as whoever makes that mistake would not.
 */
void
clock_first_write(void)
{
	if (shmem_available() && early_position == 0 && BREAK("stamp_at_first_write"))
		early_position = tick(shmem_node());
}

void
clock_each_write(void)
{
	if (shmem_available() && BREAK("stamp_at_trigger"))
		early_position = tick(shmem_node());
}
#endif
