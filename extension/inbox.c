/*
 * inbox.c
 *		See inbox.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shm_mq.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"
#include "utils/resowner.h"

#include "inbox.h"

#define QUEUE_BYTES (1024 * 1024)

/*
 * The begin of a segment; the queue follows. A worker that looks into a queue
 * without need wakes the sender, who might have waited for room.
 */
typedef struct QueueHead
{
	pg_atomic_uint64 sent; /* frames, counted before they are in the queue */
} QueueHead;

#define HEAD_BYTES MAXALIGN(sizeof(QueueHead))

/* the worker at the other end */
typedef struct Worker
{
	int32 pid;
	Latch *latch;
	uint64 serial; /* counts its starts */
} Worker;

/* the receiving backend's end */
static struct
{
	InboxKind kind;
	dsm_segment *segment;
	shm_mq_handle *queue;
	uint64 worker_serial; /* of the worker it leads to */
	int slot;
} out = {INBOX_APPLY, NULL, NULL, 0, -1};

/* the worker's ends */
static struct
{
	uint64 serial;
	dsm_segment *segment;
	shm_mq_handle *queue;
	uint64 taken; /* frames */
} in[MAX_INBOXES];
static int next_inbox = 0;
static InboxSlot *in_slots = NULL; /* of our kind */

static QueueHead *
head_of(dsm_segment *segment)
{
	return dsm_segment_address(segment);
}

static void *
queue_of(dsm_segment *segment)
{
	return (char *) dsm_segment_address(segment) + HEAD_BYTES;
}

static InboxSlot *
slots_of(NodeShared *node, InboxKind kind)
{
	return kind == INBOX_APPLY ? node->inboxes : node->inboxes + MAX_INBOXES;
}

/* Whole only under the lock; each part alone may be looked at without. */
static Worker
worker_of(NodeShared *node, InboxKind kind)
{
	Worker w;

	if (kind == INBOX_APPLY)
		w = (Worker){node->apply_pid, node->apply_latch, node->apply_serial};
	else
		w = (Worker){node->strong.consensus_pid, node->strong.consensus_latch, node->strong.consensus_serial};
	return w;
}

static void
wake(NodeShared *node, InboxKind kind)
{
	if (kind == INBOX_APPLY)
		shmem_wake_apply(node);
	else
		shmem_wake_consensus(node);
}

static void
no_worker(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("the %s worker of causaldb is not running", out.kind == INBOX_APPLY ? "apply" : "consensus"),
			 errhint("The sender tries again by itself; look for \"causaldb\" in this server's log.")));
}

static void
leave(int code, Datum arg)
{
	NodeShared *node = (NodeShared *) DatumGetPointer(arg);

	(void) code;
	if (out.slot < 0)
		return;
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	if (slots_of(node, out.kind)[out.slot].pid == MyProcPid)
		slots_of(node, out.kind)[out.slot].used = false;
	LWLockRelease(&node->lock);
	out.slot = -1;
}

static void
close_queue(NodeShared *node)
{
	if (out.queue)
		shm_mq_detach(out.queue);
	if (out.segment)
	{
		dsm_detach(out.segment);
		out.segment = NULL;
	}
	out.queue = NULL;
	leave(0, PointerGetDatum(node));
}

static void
open_queue(NodeShared *node)
{
	static bool registered = false;
	ResourceOwner old_owner = CurrentResourceOwner;
	MemoryContext old;
	InboxSlot *slots = slots_of(node, out.kind);
	shm_mq *mq;
	PGPROC *receiver = NULL;
	Worker worker;
	int i;

	if (!registered)
	{
		before_shmem_exit(leave, PointerGetDatum(node));
		registered = true;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	CurrentResourceOwner = NULL;
	out.segment = dsm_create(QUEUE_BYTES, 0);
	CurrentResourceOwner = old_owner;
	pg_atomic_init_u64(&head_of(out.segment)->sent, 0);
	mq = shm_mq_create(queue_of(out.segment), QUEUE_BYTES - HEAD_BYTES);
	shm_mq_set_sender(mq, MyProc);

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	for (i = 0; i < MAX_INBOXES && slots[i].used; i++)
		;
	worker = worker_of(node, out.kind);
	if (i < MAX_INBOXES && worker.pid != 0 && worker.latch != NULL)
	{
		slots[i].used = true;
		slots[i].handle = dsm_segment_handle(out.segment);
		slots[i].serial = ++node->inbox_serial;
		slots[i].pid = MyProcPid;
		out.slot = i;
		out.worker_serial = worker.serial;
		receiver = BackendPidGetProc(worker.pid);
		if (receiver)
			shm_mq_set_receiver(mq, receiver);
	}
	LWLockRelease(&node->lock);
	MemoryContextSwitchTo(old);
	if (receiver == NULL)
	{
		bool full = i == MAX_INBOXES;

		close_queue(node);
		if (full)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("too many connections of peers"),
					 errdetail("At most %d sessions can ship changes to one database.", MAX_INBOXES)));
		no_worker();
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	out.queue = shm_mq_attach(mq, out.segment, NULL);
	MemoryContextSwitchTo(old);
	wake(node, out.kind);
}

void
inbox_attach(NodeShared *node, InboxKind kind)
{
	if (out.queue && out.kind != kind)
		close_queue(node); /* a session that serves both: slow, but right */
	out.kind = kind;
	if (out.queue && out.worker_serial != worker_of(node, kind).serial)
	{
		/* what the former worker had not applied is lost: peer starts over */
		close_queue(node);
		no_worker();
	}
	if (out.queue == NULL)
		open_queue(node);
}

void
inbox_send(NodeShared *node, InboxKind kind, const void *frame, size_t len)
{
	shm_mq_result rc;

	inbox_attach(node, kind);
	pg_atomic_fetch_add_u64(&head_of(out.segment)->sent, 1);
	/* a worker that goes before it has attached tells nobody: look now and then */
	while ((rc = shm_mq_send(out.queue, len, frame, true, true)) == SHM_MQ_WOULD_BLOCK &&
		   out.worker_serial == worker_of(node, kind).serial && worker_of(node, kind).pid != 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	if (rc != SHM_MQ_SUCCESS)
	{
		close_queue(node);
		no_worker();
	}
	/* shm_mq_send has woken the worker */
}

static void
drop_in(int i)
{
	if (in[i].queue)
		shm_mq_detach(in[i].queue);
	if (in[i].segment)
		dsm_detach(in[i].segment);
	in[i].segment = NULL;
	in[i].queue = NULL;
	in[i].serial = 0;
}

void
inbox_open(NodeShared *node, InboxKind kind)
{
	in_slots = slots_of(node, kind);
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	memset(in_slots, 0, sizeof(InboxSlot) * MAX_INBOXES);
	LWLockRelease(&node->lock);
	memset(in, 0, sizeof(in));
}

/* Attaches queues that are new, drops those whose backend left. */
static void
refresh(NodeShared *node)
{
	int i;

	for (i = 0; i < MAX_INBOXES; i++)
	{
		InboxSlot slot;
		ResourceOwner old_owner;
		MemoryContext old;
		shm_mq *mq;

		slot = in_slots[i]; /* re-read under the lock if it is news */
		if (!slot.used || slot.serial == in[i].serial)
			continue;
		LWLockAcquire(&node->lock, LW_SHARED);
		slot = in_slots[i];
		LWLockRelease(&node->lock);
		if (!slot.used || slot.serial == in[i].serial)
			continue;
		drop_in(i);
		old_owner = CurrentResourceOwner;
		CurrentResourceOwner = NULL;
		old = MemoryContextSwitchTo(TopMemoryContext);
		in[i].segment = dsm_attach(slot.handle);
		CurrentResourceOwner = old_owner;
		in[i].serial = slot.serial;
		in[i].taken = 0;
		if (in[i].segment)
		{
			mq = queue_of(in[i].segment);
			if (shm_mq_get_receiver(mq) == MyProc)
				in[i].queue = shm_mq_attach(mq, in[i].segment, NULL);
		}
		MemoryContextSwitchTo(old);
	}
}

/* Something is in it, or will be at once; or its backend has left. */
static bool
is_worth_a_look(int i)
{
	return in[i].queue != NULL &&
		   (pg_atomic_read_u64(&head_of(in[i].segment)->sent) != in[i].taken ||
			!in_slots[i].used || in_slots[i].serial != in[i].serial);
}

const void *
inbox_next(NodeShared *node, size_t *len)
{
	int tries;

	refresh(node);
	for (tries = 0; tries < MAX_INBOXES; tries++)
	{
		int i = next_inbox;
		void *data;
		Size n;
		shm_mq_result rc;

		if (is_worth_a_look(i))
		{
			rc = shm_mq_receive(in[i].queue, &n, &data, true);
			if (rc == SHM_MQ_SUCCESS)
			{
				in[i].taken++;
				*len = n;
				return data;
			}
			if (rc == SHM_MQ_DETACHED)
			{
				/* keep the serial: a slot is re-read only for a new one */
				uint64 serial = in[i].serial;

				drop_in(i);
				in[i].serial = serial;
			}
		}
		next_inbox = (next_inbox + 1) % MAX_INBOXES;
	}
	return NULL;
}
