/*
 * strong_block.c
 *		See strong_block.h.
 *
 * The log stands still where an entry is committed but not applied. What the
 * next entry waits for is a lock of the player's, or work of the apply worker's
 * (its deps), which may wait for a lock itself. From there whoever blocks is
 * looked for along all edges of lock waits. Where that leads to one who waits
 * for the log to go on, the ring is closed; the deadlock check of the server
 * does not see it, as only the lock waits are its own.
 */
#include "postgres.h"

#include "access/transam.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/procsignal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "guc.h"
#include "strong_block.h"
#include "victim.h"
#include "wall.h"

/* the log stands still so long before anybody is looked for */
#define PATIENCE_MS 100
#define MAX_PROCESSES 256

static NodeShared *node;
static StrongShared *strong;
static char wanted_table[TABLE_NAME_LEN]; /* where the player, or apply, waits */

/* Waits for a lock now. */
static bool
waits(int32 pid)
{
	PGPROC *proc = pid != 0 ? BackendPidGetProc(pid) : NULL;

	return proc && proc->waitStatus == PROC_WAIT_STATUS_WAITING;
}

/* Those it waits for: at most `room`; how many. */
static int
blockers_of(int32 pid, int32 *out, int room)
{
	ArrayType *pids = DatumGetArrayTypeP(
		DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(pid)));
	int n = ArrayGetNItems(ARR_NDIM(pids), ARR_DIMS(pids));

	n = Min(n, room);
	memcpy(out, ARR_DATA_PTR(pids), sizeof(int32) * n);
	return n;
}

/* Slot of that backend's proposal, or NULL; the lock is held. */
static StrongSlot *
slot_of(int32 pid)
{
	for (int i = 0; i < STRONG_SLOTS; i++)
		if (strong->slots[i].state != STRONG_FREE &&
			strong->slots[i].pid == pid)
			return &strong->slots[i];
	return NULL;
}

static void
abort_client(PGPROC *proc)
{
	VirtualTransactionId vxid;

	GET_VXID_FROM_PGPROC(vxid, *proc);
	if (!VirtualTransactionIdIsValid(vxid))
		return;
	victim_mark(shmem_slot_at(proc->pgprocno), vxid.localTransactionId, wanted_table);
	(void) CancelVirtualTransaction(vxid, PROCSIG_RECOVERY_CONFLICT_LOCK);
}

/* It is no strong transaction at its commit, and may be aborted now. */
static bool
is_victim(const BackendSlot *backend, long stuck_ms)
{
	/* its local commit is under way, and ends by itself */
	if (pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &backend->pending)) != NO_PENDING)
		return false;
	return stuck_ms >= guc_apply_lock_timeout ||
		pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &backend->awaited)) > pg_atomic_read_u64(&strong->applied);
}

/* The log has stood still for that long, and this process is in its way. */
static void
dislodge(int32 pid, long stuck_ms)
{
	PGPROC *proc = BackendPidGetProc(pid);
	StrongSlot *slot;
	bool victim;

	if (proc == NULL || pid == node->apply_pid || pid == strong->player_pid)
		return;
	/* a turn begins under this lock, and so does a commit (invariant 1) */
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	slot = slot_of(pid);
	if (slot != NULL && slot->state == STRONG_DECIDED &&
		slot->index > pg_atomic_read_u64(&strong->applied) + 1)
	{
		slot->state = STRONG_REPLAY;
		SetLatch(&proc->procLatch);
	}
	else if (slot != NULL && !slot->abort && stuck_ms >= guc_apply_lock_timeout &&
			 (slot->state == STRONG_WAITING || slot->state == STRONG_SENT))
	{
		slot->hurried = true;
		SetLatch(&proc->procLatch);
	}
	victim = slot == NULL && is_victim(shmem_slot_at(proc->pgprocno), stuck_ms);
	if (victim)
		abort_client(proc);
	LWLockRelease(&strong->lock);
}

static void
look_from(int32 root, ApplyRole role, long stuck_ms)
{
	int32 seen[MAX_PROCESSES];
	int n = 1;

	LWLockAcquire(&node->lock, LW_SHARED);
	strlcpy(wanted_table, node->wanted_table[role], sizeof(wanted_table));
	LWLockRelease(&node->lock);
	seen[0] = root;
	for (int i = 0; i < n; i++)
	{
		int32 found[MAX_PROCESSES];
		int nfound = blockers_of(seen[i], found, MAX_PROCESSES);

		for (int k = 0; k < nfound; k++)
		{
			int j = 0;

			while (j < n && seen[j] != found[k])
				j++;
			if (j == n && n < MAX_PROCESSES)
				seen[n++] = found[k];
		}
		if (i > 0)
			dislodge(seen[i], stuck_ms);
	}
}

void
strong_block_look(NodeShared *n)
{
	static MemoryContext context = NULL;
	static uint64 last_applied = 0;
	static TimestampTz since = 0;
	uint64 applied = pg_atomic_read_u64(&n->strong.applied);
	TimestampTz now = wall_timer();
	MemoryContext old;
	long stuck_ms;

	node = n;
	strong = &n->strong;
	if (applied != last_applied ||
		applied >= pg_atomic_read_u64(&strong->commit))
	{
		last_applied = applied;
		since = now;
		return;
	}
	stuck_ms = TimestampDifferenceMilliseconds(since, now);
	if (stuck_ms < PATIENCE_MS)
		return;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "causaldb blockers",
										ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	if (waits(strong->player_pid))
		look_from(strong->player_pid, ROLE_PLAYER, stuck_ms);
	if (pg_atomic_read_u32(&strong->lacks_deps) && waits(node->apply_pid))
		look_from(node->apply_pid, ROLE_APPLY, stuck_ms);
	MemoryContextSwitchTo(old);
	MemoryContextReset(context);
}
