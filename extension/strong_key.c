/*
 * strong_key.c
 *		See strong_key.h.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "debug_point.h"
#include "errors.h"
#include "guc.h"
#include "idempotency.h"
#include "shmem.h"
#include "strong.h"
#include "strong_error.h"
#include "strong_key.h"
#include "wall.h"

/* ours among advisory locks, of which SQL uses 1 and 2; see clock.h, too */
#define LOCK_KEY 0xCD03
#define LOOK_MS 5

static StrongKey noted = { NULL, 0, 0 }; /* TopTransactionContext */
static int noted_nest;
static bool proposed = false; /* this transaction, with its key */

/* ------------------------------------------------------------ the setting */

static bool
is_set(void)
{
	return guc_idempotency_key != NULL && guc_idempotency_key[0] != '\0';
}

static bool
is_of_transaction(void)
{
	return is_set() && guc_idempotency_lxid == compat_lxid();
}

static void
check_setting(void)
{
	if (noted.text && (!is_set() || strcmp(noted.text, guc_idempotency_key) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a transaction has one idempotency key"),
				 errdetail("It wrote with key \"%s\" before.", noted.text),
				 errhint("COMMIT before you set another key.")));
	if (is_set() && !is_of_transaction())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the idempotency key was not set in this transaction"),
				 errdetail("The session has it from an earlier one, whose it was."),
				 errhint("Type RESET causaldb.idempotency_key; and in each transaction SET LOCAL causaldb.idempotency_key = '...';")));
}

/* ------------------------------------------------------------ looking up */

/* Invariant 3; until the end of the transaction. */
static void
lock_key(uint64 hash)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32),
						 (uint32) hash, LOCK_KEY);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static void
refuse_if_used(const char *key)
{
	IdempotencyUse use;

	if (idempotency_find(key, &use) && idempotency_is_kept(&use))
		strong_error_key_used(key, &use.stamp, use.index);
}

static void
note(bool wait)
{
	uint64 hash = idempotency_hash(guc_idempotency_key);
	uint64 base;

	lock_key(hash);
	if (wait)
		strong_wait_applied(strong_read_index(guc_strong_timeout),
							guc_strong_timeout);
	base = strong_applied(); /* invariant 1 */
	DEBUG_POINT("strong_key_base");
	refuse_if_used(guc_idempotency_key);
	noted.text = MemoryContextStrdup(TopTransactionContext, guc_idempotency_key);
	noted.hash = hash;
	noted.base = base;
	noted_nest = GetCurrentTransactionNestLevel();
}

void
strong_key_before_write(void)
{
	if (likely(!is_set()) || IsParallelWorker() || RecoveryInProgress() ||
		!strong_in_use())
		return;
	check_setting();
	if (noted.text == NULL)
		note(true);
	else
		/* what this statement would run into is told as what it is */
		refuse_if_used(noted.text);
}

void
strong_key_note(void)
{
	if (likely(!is_set() && noted.text == NULL))
		return;
	check_setting();
	if (noted.text == NULL)
		note(false);
}

/* ------------------------------------------------------------ the commit */

const StrongKey *
strong_key_at_commit(void)
{
	strong_key_note();
	proposed = noted.text != NULL;
	return proposed ? &noted : NULL;
}

static void
pg_attribute_noreturn() retry(const char *message, char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("%s", message), errdetail("%s", detail),
					errhint("Run the transaction again.")));
}

/*
 * What is committed at that index is known here: the log says it before it is
 * applied, for which our own row locks may be in the way.
 */
static void
wait_for_entry(uint64 index)
{
	StrongShared *strong = &shmem_node()->strong;
	TimestampTz end = TimestampTzPlusMilliseconds(wall_timer(),
												  guc_strong_timeout);

	while (pg_atomic_read_u64(&strong->commit) < index &&
		   pg_atomic_read_u64(&strong->applied) < index &&
		   wall_timer() < end)
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
strong_key_lost(const StrongKey *key, uint64 index)
{
	IdempotencyUse use;

	wait_for_entry(index);
	if (pg_atomic_read_u64(&shmem_node()->strong.commit) >= index)
	{
		switch (idempotency_read(index, key->text, &use))
		{
			case IDEMPOTENCY_USE:
				strong_error_key_used(key->text, &use.stamp, use.index);
			case IDEMPOTENCY_CLAIM:
				retry("strong transaction was aborted",
					  "Somebody asked for the outcome of its idempotency key before it was in the log.");
			case IDEMPOTENCY_NONE:
				break;
		}
	}
	/* applied, and not in the log any more */
	if (idempotency_find(key->text, &use) && use.index > key->base)
		strong_error_key_used(key->text, &use.stamp, use.index);
	retry("strong transaction lost against a concurrent one",
		  psprintf("The entry at index " UINT64_FORMAT " of the strong log has its idempotency key, or one that looks the same.",
				   index));
}

void
strong_key_refuse_eventual(void)
{
	if (likely(!is_of_transaction()))
		return;
	refuse_if_used(guc_idempotency_key);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a transaction that writes no strong column cannot have an idempotency key"),
			 errdetail("It wrote tagged tables, but nothing that goes through the strong log."),
			 errhint("Leave out causaldb.idempotency_key, or tag a column that the transaction writes: SELECT causaldb.set_consistency(..., 'strong', ...);")));
}

/* It wrote nothing that is replicated: perhaps because it is done. */
static void
end_without_writes(void)
{
	if (!is_of_transaction() || !strong_in_use())
		return;
	refuse_if_used(guc_idempotency_key);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(WARNING,
				(errmsg("idempotency key \"%s\" is not used up", guc_idempotency_key),
				 errdetail("The transaction wrote no strong column.")));
}

static void
on_transaction(XactEvent event, void *arg)
{
	(void) arg;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (unlikely(is_set()) && !proposed && !RecoveryInProgress())
				end_without_writes();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			noted.text = NULL;
			proposed = false;
			break;
		default:
			break;
	}
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId id,
				  SubTransactionId parent, void *arg)
{
	int nest;

	(void) id;
	(void) parent;
	(void) arg;
	if (likely(noted.text == NULL))
		return;
	nest = GetCurrentTransactionNestLevel();
	if (event == SUBXACT_EVENT_COMMIT_SUB && noted_nest == nest)
		noted_nest--;
	else if (event == SUBXACT_EVENT_ABORT_SUB && noted_nest >= nest)
		noted.text = NULL;
}

/*
 * capture.c registers later, so at PRE_COMMIT it comes first, and we are told
 * only of what it did not propose.
 */
void
strong_key_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
}
