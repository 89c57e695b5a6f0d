/*
 * victim.c
 *		See victim.h.
 */
#include "postgres.h"

#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/elog.h"
#include "utils/memutils.h"

#include "victim.h"

static emit_log_hook_type previous_hook = NULL;

void
victim_mark(BackendSlot *slot, LocalTransactionId lxid, const char *table)
{
	if (slot->victim == lxid)
		return;
	/* whoever reads it is that transaction, which has not been signalled yet */
	strlcpy(slot->victim_table, table, sizeof(slot->victim_table));
	pg_write_barrier();
	slot->victim = lxid;
}

/* The error by which the server aborts a transaction for another process. */
static bool
is_dislodged(const ErrorData *e)
{
	return e->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE && e->message_id &&
		(strcmp(e->message_id, "canceling statement due to conflict with recovery") == 0 ||
		 strcmp(e->message_id, "terminating connection due to conflict with recovery") == 0);
}

/* The mark of the running transaction, or NULL. No lock: we may hold any. */
static const BackendSlot *
own_mark(void)
{
	VirtualTransactionId vxid;
	const BackendSlot *slot;

	if (MyProc == NULL || !shmem_available())
		return NULL;
	GET_VXID_FROM_PGPROC(vxid, *MyProc);
	slot = shmem_slot_at(MyProc->pgprocno);
	return slot->victim != InvalidLocalTransactionId && slot->victim == vxid.localTransactionId ? slot : NULL;
}

static void
put_right(ErrorData *e, const char *table)
{
	MemoryContext old = MemoryContextSwitchTo(e->assoc_context);
	bool ends = e->elevel >= FATAL;

	e->message = pstrdup(ends ? "session was ended, as its transaction was in the way of the strong log"
							  : "transaction was in the way of the strong log");
	e->detail = table[0]
		? psprintf("It held a lock in table %s, where what is committed in the cluster had to be applied.", table)
		: pstrdup("It held a lock that was needed to apply what is committed in the cluster.");
	e->hint = pstrdup(ends ? "Connect and run the transaction again; one that idles must not hold locks for longer than causaldb.apply_lock_timeout."
						   : "Run the transaction again.");
	MemoryContextSwitchTo(old);
}

static void
explain(ErrorData *e)
{
	if (is_dislodged(e))
	{
		const BackendSlot *mark = own_mark();

		if (mark)
			put_right(e, mark->victim_table);
	}
	if (previous_hook)
		previous_hook(e);
}

void
victim_init(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = explain;
}
