/*
 * dead.c
 *		See dead.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "causal.h"
#include "clock.h"
#include "dead.h"
#include "debug_point.h"
#include "target.h"
#include "unseen.h"
#include "wall.h"

/* longest wait for local commits with rows locked */
#define PENDING_WAIT_MS 1000
/* how long the apply worker waits for the player, which may wait for it */
#define OTHER_WAIT_MS 20

/* a row that is dead, and was not written because of it */
typedef struct DeadKey
{
	Oid relid;
	Oid owner;
	Datum *key; /* in index order; key_context */
	uint64 hash; /* of table and key */
	int others; /* operations of other processes on it that were looked at */
} DeadKey;

static DeadKey *dead_keys;
static int ndead_keys;
static int dead_keys_cap;
static MemoryContext key_context = NULL; /* reset with every group */

static NodeShared *node;
static ApplyRole role;

void
dead_init(NodeShared *n, ApplyRole r)
{
	node = n;
	role = r;
	if (key_context == NULL)
		key_context = AllocSetContextCreate(TopMemoryContext, "causaldb dead keys", ALLOCSET_SMALL_SIZES);
	dead_end_group(); /* of the process before us */
}

void
dead_begin_group(void)
{
	ndead_keys = 0;
	MemoryContextReset(key_context);
}

void
dead_note(uint64 hash, const CatalogApply *apply, const Datum *key)
{
	MemoryContext old = MemoryContextSwitchTo(key_context);
	DeadKey *d;

	if (ndead_keys == dead_keys_cap)
	{
		dead_keys_cap = Max(64, dead_keys_cap * 2);
		dead_keys = dead_keys ? repalloc_huge(dead_keys, sizeof(DeadKey) * dead_keys_cap)
							  : MemoryContextAlloc(TopMemoryContext, sizeof(DeadKey) * dead_keys_cap);
	}
	d = &dead_keys[ndead_keys++];
	d->relid = apply->relid;
	d->owner = GetUserId();
	d->key = palloc(sizeof(Datum) * apply->key.ncolumns);
	for (int i = 0; i < apply->key.ncolumns; i++)
	{
		const TupleCodec *codec = &apply->codecs[apply->key_columns[i]];

		d->key[i] = datumCopy(key[i], codec->typbyval, codec->typlen);
	}
	d->hash = hash;
	MemoryContextSwitchTo(old);
	d->others = unseen_count_others(hash, false);
}

/* ------------------------------------------------------------ waiting */

static void pg_attribute_noreturn()
yield(const char *why)
{
	ereport(ERROR, (errcode(TARGET_YIELD), errmsg("%s", why)));
}

/* Waits for local commits that may have taken their deps before `started`. */
static void
wait_for_pending(void)
{
	int n = clock_slots();
	uint64 *before = palloc(sizeof(uint64) * n);
	uint64 *now = palloc(sizeof(uint64) * n);
	TimestampTz begin = wall_timer();
	bool waits = true;

	clock_read_pending(node, before);
	while (waits)
	{
		int i;

		clock_read_pending(node, now);
		waits = false;
		for (i = 0; i < n && !waits; i++)
			waits = before[i] != REP_NOT_PENDING && now[i] == before[i];
		if (!waits)
			break;
		if (TimestampDifferenceExceeds(begin, wall_timer(), PENDING_WAIT_MS))
			yield("apply waits for a local commit");
		CHECK_FOR_INTERRUPTS();
		pg_usleep(100);
	}
	pfree(before);
	pfree(now);
}

/* Waits for the end of the other's group, if that leaves dead rows; false if it
 * takes longer. */
static bool
wait_for_other(int timeout_ms)
{
	pg_atomic_uint32 *other = &node->leaving_dead[role == ROLE_APPLY ? ROLE_PLAYER : ROLE_APPLY];
	TimestampTz begin;
	uint32 group;

	/* what we have written comes before this look */
	pg_memory_barrier();
	group = pg_atomic_read_u32(other);
	if ((group & 1) == 0)
		return true;
	begin = wall_timer();
	while (pg_atomic_read_u32(other) == group)
	{
		if (TimestampDifferenceExceeds(begin, wall_timer(), timeout_ms))
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(100);
	}
	return true;
}

void
dead_wait_for_other(void)
{
	if (!BREAK("no_second_look"))
		(void) wait_for_other(INT_MAX);
}

/* ------------------------------------------------------------ the second look */

/* A row with that key has come, or is coming. */
static bool
is_there(const DeadKey *d)
{
	Oid user;
	int context;
	bool there;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(d->owner, context | SECURITY_RESTRICTED_OPERATION);
	there = target_is_there(d->relid, d->key);
	SetUserIdAndSecContext(user, context);
	return there;
}

static void
begin_leaving(void)
{
	pg_atomic_fetch_add_u32(&node->leaving_dead[role], 1);
	Assert(pg_atomic_read_u32(&node->leaving_dead[role]) & 1);
}

void
dead_end_group(void)
{
	if (node && (pg_atomic_read_u32(&node->leaving_dead[role]) & 1))
		pg_atomic_fetch_add_u32(&node->leaving_dead[role], 1);
}

void
dead_before_commit(void)
{
	int i;

	if (ndead_keys == 0 || BREAK("no_second_look"))
		return;
	begin_leaving();
	if (!wait_for_other(role == ROLE_PLAYER ? INT_MAX : OTHER_WAIT_MS))
		yield("apply makes room for the player of the strong log");
	wait_for_pending();
	for (i = 0; i < ndead_keys; i++)
		if (is_there(&dead_keys[i]) || unseen_count_others(dead_keys[i].hash, i == 0) != dead_keys[i].others)
			yield("apply met a concurrent insert of a dead row");
}
