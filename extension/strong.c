/*
 * strong.c
 *		See strong.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "debug_point.h"
#include "errors.h"
#include "guc.h"
#include "identity.h"
#include "shmem.h"
#include "strong.h"
#include "wall.h"

/* a lost wake-up costs no more than */
#define LOOK_MS 100

static uint64 last_serial = 0; /* of this process's questions */
static uint64 owed = 0;

/*
 * Before the consensus process has said what is used: is there to be one? The
 * table is read once a session. Where it said that the database is no node, only
 * a stream that opens can make it one.
 */
static bool
is_node(const NodeShared *node)
{
	static enum
	{
		NOT_READ,
		NO_NODE,
		IS_NODE
	} was = NOT_READ;

	if (node != NULL && node->own.boot != 0)
		return true;
	if (was == NOT_READ)
		was = identity_installed() && identity_read().node != 0 ? IS_NODE
																 : NO_NODE;
	return was == IS_NODE;
}

bool
strong_in_use(void)
{
	NodeShared *node;

	if (!shmem_available())
		return false;
	node = shmem_find_node(MyDatabaseId);
	if (node != NULL && pg_atomic_read_u32(&node->strong.known) != 0)
	{
		pg_read_barrier();
		return pg_atomic_read_u32(&node->strong.used) != 0;
	}
	return is_node(node);
}

uint64
strong_applied(void)
{
	return pg_atomic_read_u64(&shmem_node()->strong.applied);
}

uint64
strong_owed(void)
{
	return owed;
}

void
strong_owe(uint64 index)
{
	owed = Max(owed, index);
}

static void
pg_attribute_noreturn() no_leader(void)
{
	ereport(ERROR,
			(errcode(ERRORS_NO_QUORUM),
			 errmsg("no leader of the strong log is known to this node"),
			 errdetail("A majority of the cluster's nodes must be up and "
					   "reach each other."),
			 errhint("Look at causaldb.strong_status and causaldb.peers. "
					 "Eventual columns can be read and written all the "
					 "same.")));
}

static void
give_up(StrongShared *strong, StrongRead *read)
{
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	read->state = STRONG_READ_NONE;
	LWLockRelease(&strong->lock);
}

/* Waits for the latch or the end of the time; false when that is over. */
static bool
wait_until(TimestampTz end)
{
	long left = TimestampDifferenceMilliseconds(wall_timer(), end);

	if (left <= 0)
		return false;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Min(left, LOOK_MS), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

static StrongReadState
ask(NodeShared *node, StrongRead *read, TimestampTz end)
{
	StrongShared *strong = &node->strong;

	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	read->serial = ++last_serial;
	read->index = 0;
	read->state = STRONG_READ_WANTED;
	LWLockRelease(&strong->lock);
	pg_atomic_write_u32(&strong->wanted, 1);
	pg_memory_barrier();
	if (pg_atomic_read_u32(&strong->asking) == 0)
		shmem_wake_consensus(node);
	while (read->state == STRONG_READ_WANTED ||
		   read->state == STRONG_READ_ASKED)
		if (!wait_until(end))
			break;
	pg_read_barrier();
	return read->state;
}

/*
 * The index by the lease, if this node holds one. The lease was there before
 * the index was read and its end is later than a clock read after that, and
 * nobody took it back in between: so when the index was read nobody else led,
 * and whatever had been acknowledged was at or below it (consensus_engine.c
 * raises it first). A process that stands still at any point of this only
 * reads a later clock.
 */
static bool
lease_index(StrongShared *strong, uint64 *index)
{
	uint64 until = pg_atomic_read_u64(&strong->lease_until);
	uint64 ends;

	if (until == 0)
		return false;
	ends = pg_atomic_read_u64(&strong->lease_ends);
	pg_memory_barrier();
	until = pg_atomic_read_u64(&strong->lease_until);
	pg_memory_barrier();
	*index = pg_atomic_read_u64(&strong->lease_index);
	pg_memory_barrier();
	if (until == 0 || (wall_boot_ms() >= until && !BREAK("endless_lease")))
		return false;
	pg_memory_barrier();
	return pg_atomic_read_u64(&strong->lease_until) != 0 &&
		   pg_atomic_read_u64(&strong->lease_ends) == ends;
}

uint64
strong_read_index(int timeout_ms)
{
	NodeShared *node = shmem_node();
	StrongRead *read = &shmem_my_slot()->read;
	TimestampTz end = TimestampTzPlusMilliseconds(wall_timer(),
												  timeout_ms);
	volatile StrongReadState state = STRONG_READ_NONE;
	uint64 index;

	if (lease_index(&node->strong, &index))
		return index;
	if (pg_atomic_read_u32(&node->strong.leader) == 0)
		no_leader();
	PG_TRY();
	{
		state = ask(node, read, end);
	}
	PG_CATCH();
	{
		give_up(&node->strong, read);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (state == STRONG_READ_READY)
		return read->index;
	give_up(&node->strong, read);
	if (pg_atomic_read_u32(&node->strong.leader) == 0)
		no_leader();
	ereport(ERROR,
			(errcode(ERRORS_NO_QUORUM),
			 errmsg("strong read got no answer from the leader in %d ms",
					timeout_ms),
			 errdetail("A majority of the cluster's nodes must confirm who "
					   "leads."),
			 errhint("Look at causaldb.strong_status and causaldb.peers, or "
					 "raise causaldb.strong_timeout.")));
}

bool
strong_fresh_index(TimestampTz now, int max_age_ms, uint64 *index)
{
	StrongShared *strong = &shmem_node()->strong;
	bool fresh;

	if (max_age_ms <= 0)
		return false;
	LWLockAcquire(&strong->lock, LW_SHARED);
	fresh = strong->fresh_at != 0 &&
			!TimestampDifferenceExceeds(strong->fresh_at, now, max_age_ms);
	*index = strong->fresh_index;
	LWLockRelease(&strong->lock);
	return fresh;
}

void
strong_note_fresh(TimestampTz asked, uint64 index)
{
	StrongShared *strong = &shmem_node()->strong;

	if (guc_max_staleness <= 0)
		return;
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	if (asked > strong->fresh_at)
	{
		strong->fresh_at = asked;
		strong->fresh_index = index;
	}
	LWLockRelease(&strong->lock);
}

/* Sleeps until it is applied here; false at the end of the time. */
static bool
sleep_until_applied(StrongShared *strong, uint64 index, TimestampTz end)
{
	ConditionVariablePrepareToSleep(&strong->applied_cv);
	while (pg_atomic_read_u64(&strong->applied) < index)
	{
		long left = TimestampDifferenceMilliseconds(wall_timer(), end);

		if (left <= 0)
			break;
		(void) ConditionVariableTimedSleep(&strong->applied_cv,
										   Min(left, LOOK_MS),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return pg_atomic_read_u64(&strong->applied) >= index;
}

void
strong_wait_applied(uint64 index, int timeout_ms)
{
	StrongShared *strong = &shmem_node()->strong;
	TimestampTz end = TimestampTzPlusMilliseconds(wall_timer(),
												  timeout_ms);
	pg_atomic_uint64 *awaited = &shmem_my_slot()->awaited;
	volatile bool done = false;

	if (pg_atomic_read_u64(&strong->applied) >= index)
		return;
	/* what we hold may be in the way of what we wait for (strong_block.h) */
	pg_atomic_write_u64(awaited, index);
	PG_TRY();
	{
		done = sleep_until_applied(strong, index, end);
	}
	PG_FINALLY();
	{
		pg_atomic_write_u64(awaited, 0);
	}
	PG_END_TRY();
	if (done)
		return;
	ereport(ERROR,
			(errcode(ERRORS_NO_QUORUM),
			 errmsg("this node did not apply strong writes up to " UINT64_FORMAT " in %d ms",
					index, timeout_ms),
			 errdetail("It has applied them up to " UINT64_FORMAT ".",
					   pg_atomic_read_u64(&strong->applied)),
			 errhint("Look at causaldb.stalled, causaldb.apply_waits and "
					 "causaldb.streams for what they wait for.")));
}
