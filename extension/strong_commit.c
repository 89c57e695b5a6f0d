/*
 * strong_commit.c
 *		See strong_commit.h.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "raft_message.h"
#include "strong_set.h"

#include "capture_keys.h"
#include "catalog.h"
#include "catalog_tag.h"
#include "clock.h"
#include "debug_point.h"
#include "errors.h"
#include "guc.h"
#include "idempotency.h"
#include "shmem.h"
#include "store.h"
#include "streams.h"
#include "strong_commit.h"
#include "strong_error.h"
#include "strong_key.h"
#include "strong_latency.h"
#include "strong_turn.h"
#include "truncates.h"
#include "wall.h"

/* a lost wake-up costs no more than */
#define LOOK_MS 50
/* how long the answer to "abort it, unless it is there" may take */
#define ABORT_WAIT_MS 3000

static NodeShared *node;
static StrongShared *strong;
static StrongSlot *slot = NULL; /* of the running transaction */
static dsm_segment *segment = NULL;
static uint64 turn = 0; /* index that is being committed */
static bool truncating = false; /* by a transaction with a TRUNCATE */
static bool registered = false;

/* ------------------------------------------------------------ the slot */

static void
release_slot(void)
{
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	slot->state = STRONG_FREE;
	LWLockRelease(&strong->lock);
	slot = NULL;
	if (segment)
		dsm_detach(segment);
	segment = NULL;
	/* the consensus process lets go of it when it is awake next */
	pg_atomic_write_u32(&strong->wanted, 1);
}

static void
free_slot(void)
{
	if (slot == NULL)
		return;
	release_slot();
	/* an entry that was to be ours may be the player's now */
	strong_turn_wake(node);
}

static void
leave(int code, Datum arg)
{
	(void) code;
	(void) arg;
	free_slot();
}

static void
at_end(XactEvent event, void *arg)
{
	(void) arg;
	if (slot == NULL)
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		DEBUG_POINT("strong_visible");
		shmem_max_u64(&node->last_commit_lsn, XactLastCommitEnd);
		if (truncating)
			pg_atomic_fetch_add_u32(&node->truncates, 1);
		(void) strong_turn_applied(node, turn);
		turn = 0;
		release_slot();
		RESUME_INTERRUPTS();
	}
	else if (event == XACT_EVENT_ABORT)
	{
		/* the error has let interrupts in again */
		turn = 0;
		free_slot();
	}
}

static void
no_leader(void)
{
	ereport(ERROR,
			(errcode(ERRORS_NO_QUORUM),
			 errmsg("no leader of the strong log is known to this node"),
			 errdetail("The transaction wrote strong columns; nothing of it was done."),
			 errhint("Try again when a majority of the nodes is up and reach each other: look at causaldb.strong_status. Eventual columns can be written all the same.")));
}

static bool
try_slot(void)
{
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	for (int i = 0; i < STRONG_SLOTS && slot == NULL; i++)
		if (strong->slots[i].state == STRONG_FREE)
			slot = &strong->slots[i];
	if (slot)
	{
		slot->state = STRONG_FILLING;
		slot->pid = MyProcPid;
		slot->procno = MyProc->pgprocno;
		slot->abort = slot->hurried = false;
		slot->verdict = 0;
		slot->index = 0;
	}
	LWLockRelease(&strong->lock);
	return slot != NULL;
}

static void
take_slot(TimestampTz end)
{
	while (!try_slot())
	{
		if (wall_timer() >= end)
			ereport(ERROR,
					(errcode(ERRORS_NO_QUORUM),
					 errmsg("too many strong transactions wait for the leader"),
					 errdetail("Nothing of this one was done."),
					 errhint("Try again.")));
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ------------------------------------------------------------ proposing */

static void
pg_attribute_noreturn() damaged_payload(void)
{
	ereport(ERROR,
			(errcode(ERRORS_MALFORMED),
			 errmsg("what this strong transaction wrote cannot be read"),
			 errdetail("Nothing of it was done."),
			 errhint("Run the transaction again; if that fails, too, check the data folder for damage.")));
}

static void
pg_attribute_noreturn() missing_descriptor(void)
{
	ereport(ERROR,
			(errcode(ERRORS_MALFORMED),
			 errmsg("a row of causaldb.descriptor is missing"),
			 errdetail("It says what the columns mean that this strong transaction wrote. Nothing of it was done."),
			 errhint("Run the transaction in a new session. Nobody must delete rows of causaldb.descriptor.")));
}

/*
 * The keys, those that foreign keys refer to with their base (capture_keys.h),
 * and one for the tag of each table that the payload names, whatever its
 * columns' level: shared, so only a change of the tag conflicts. The
 * transaction has had the tables locked since it wrote them, so what is applied
 * now changed no tag since, and a change above that base has not been seen.
 * So no entry stands in the log behind a change of the tag that it was not
 * written under, even where its backend is long gone.
 */
static const RepKey *
with_tags(const RepKey *keys, uint32 *nkeys, const StringInfo payload)
{
	static RepPayload p;
	uint64 base = pg_atomic_read_u64(&strong->applied);
	RepKey *out;

	if (!rep_payload_open(&p, payload->data, payload->len))
		damaged_payload();
	out = palloc(sizeof(RepKey) * (*nkeys + p.ndescriptors + 1));
	memcpy(out, keys, sizeof(RepKey) * *nkeys);
	for (uint32 i = 0; i < *nkeys; i++)
		if (out[i].mode == REP_KEY_SHARED)
			out[i].base = base;
	for (uint32 i = 0; i < p.ndescriptors; i++)
	{
		const RepDescriptor *d = catalog_descriptor(p.descriptors[i]);

		if (d == NULL)
			missing_descriptor();
		out[(*nkeys)++] = (RepKey){
			.hash = capture_keys_tag(catalog_tag_descriptor_hash(d)),
			.base = base,
			.mode = REP_KEY_SHARED
		};
	}
	return out;
}

/* The write set: the payload with the descriptors that it names; of `set` xid
 * and key are filled in. */
static void
append_set(StringInfo out, const StringInfo payload, RepStrongSet *set)
{
	static RepPayload p;
	RepWriter w;
	uint8 head[REP_STRONG_SET_HEAD];
	size_t *lens;
	void **bytes;

	if (!rep_payload_open(&p, payload->data, payload->len))
		damaged_payload();
	lens = palloc(sizeof(size_t) * (p.ndescriptors + 1));
	bytes = palloc(sizeof(void *) * (p.ndescriptors + 1));
	rep_writer_init(&w, head, sizeof(head));
	set->ndescriptors = p.ndescriptors;
	rep_strong_set_begin(&w, set);
	appendBinaryStringInfo(out, (char *) head, (int) w.len);
	for (uint32 i = 0; i < p.ndescriptors; i++)
	{
		bytes[i] = catalog_get_descriptor(p.descriptors[i], &lens[i]);
		if (bytes[i] == NULL)
			missing_descriptor();
		tuple_append_varint(out, lens[i]);
		appendBinaryStringInfo(out, bytes[i], (int) lens[i]);
	}
	tuple_append_varint(out, (uint64) payload->len);
	appendBinaryStringInfo(out, payload->data, payload->len);
}

/* What is to be certified: the idempotency key first, since it says most. */
static void
set_keys(RepRaftEntry *e, const RepKey *keys, uint32 nkeys, const StrongKey *key)
{
	RepKey *all;

	e->keys = keys;
	e->nkeys = nkeys;
	if (key == NULL)
		return;
	all = palloc(sizeof(RepKey) * (nkeys + 1));
	all[0] = (RepKey){ .hash = key->hash,
					   .base = key->base,
					   .mode = REP_KEY_EXCLUSIVE };
	memcpy(all + 1, keys, sizeof(RepKey) * nkeys);
	e->keys = all;
	e->nkeys = nkeys + 1;
}

static void
put_in_slot(const RepRaftEntry *e, const StringInfo set)
{
	RepWriter w;
	size_t size;
	char *to = slot->bytes;

	rep_writer_init(&w, NULL, 0);
	rep_raft_entry_encode(e, &w);
	size = w.len + (set ? set->len : 0);
	slot->handle = 0;
	if (size > STRONG_INLINE)
	{
		segment = dsm_create(size, 0);
		dsm_pin_mapping(segment);
		slot->handle = dsm_segment_handle(segment);
		to = dsm_segment_address(segment);
	}
	rep_writer_init(&w, to, size);
	rep_raft_entry_encode(e, &w);
	if (set)
		rep_write_bytes(&w, set->data, set->len);
	Assert(!w.full);
	slot->size = (uint32) size;
	slot->stamp = e->stamp;
}

static void
hand_over(void)
{
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	slot->state = STRONG_WAITING;
	strong->proposals++;
	LWLockRelease(&strong->lock);
	pg_atomic_write_u32(&strong->wanted, 1);
	shmem_wake_consensus(node);
}

/* ------------------------------------------------------------ waiting */

static bool
is_decided(void)
{
	StrongSlotState state;

	LWLockAcquire(&strong->lock, LW_SHARED);
	state = slot->state;
	LWLockRelease(&strong->lock);
	return state == STRONG_DECIDED || state == STRONG_REPLAY;
}

static void
nap(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 LOOK_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	/* others wait for us to take these in */
	if (ProcSignalBarrierPending)
		ProcessProcSignalBarrier();
}

/* Nobody has looked at it yet: takes it back. */
static bool
withdraw(void)
{
	bool back;

	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	back = slot->state == STRONG_WAITING && !slot->abort;
	if (back)
		slot->state = STRONG_FILLING;
	LWLockRelease(&strong->lock);
	if (back)
		free_slot();
	return back;
}

/* From now on we want to know only whether it is there: first one wins. */
static void
ask_to_abort(const RepStamp *stamp)
{
	RepRaftEntry e = { .kind = REP_ENTRY_ABORT, .stamp = *stamp };

	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	if (slot->state == STRONG_SENT || slot->state == STRONG_WAITING)
	{
		dsm_segment *old = segment;

		segment = NULL;
		put_in_slot(&e, NULL);
		slot->abort = true;
		slot->state = STRONG_WAITING;
		if (old)
			dsm_detach(old);
	}
	LWLockRelease(&strong->lock);
	pg_atomic_write_u32(&strong->wanted, 1);
	shmem_wake_consensus(node);
}

/*
 * Waits for the verdict, if need be by having it aborted, and to the end of
 * that time. False: there is none.
 */
static bool
wait_for_verdict(const RepStamp *stamp, TimestampTz end)
{
	TimestampTz last = 0; /* once we have asked for the abort */

	while (!is_decided())
	{
		bool hurried = slot->hurried;
		bool pressed = ProcDiePending || QueryCancelPending || hurried ||
					   wall_timer() >= end;

		if (pressed && last == 0)
		{
			if (withdraw())
			{
				CHECK_FOR_INTERRUPTS();
				if (hurried)
					strong_error_in_the_way();
				no_leader();
			}
			ask_to_abort(stamp);
			last = TimestampTzPlusMilliseconds(wall_timer(),
											   ABORT_WAIT_MS);
		}
		if (last != 0 && wall_timer() >= last)
			return false;
		nap();
	}
	return true;
}

/* True: it is our turn, and nobody can take it from us. False: replayed. */
static bool
try_turn(bool *lost)
{
	bool ours = false;

	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	*lost = slot->state == STRONG_REPLAY;
	if (!*lost && pg_atomic_read_u64(&strong->applied) == slot->index - 1 &&
		pg_atomic_read_u64(&strong->commit) >= slot->index)
	{
		slot->state = STRONG_TURN;
		ours = true;
	}
	LWLockRelease(&strong->lock);
	return ours;
}

static void
wait_for_turn(void)
{
	uint64 index = slot->index;
	bool lost = false;

	DEBUG_POINT("strong_decided");
	while (!try_turn(&lost))
	{
		if (lost || ProcDiePending)
		{
			/* the player is to have it: our locks go with this error */
			free_slot();
			strong_error_replayed(index, ProcDiePending ? FATAL : ERROR);
		}
		nap();
	}
}

/* ------------------------------------------------------------ committing */

static void
insert_row(const RepStamp *stamp, const RepVector *deps, StringInfo payload)
{
	StoreDep *rest = palloc(sizeof(StoreDep) * (deps->len + 1));
	StringInfoData encoded;
	int n = 0;

	for (uint32 i = 0; i < deps->len; i++)
	{
		int s = shmem_find_stream(node, deps->entries[i].stream);

		Assert(s >= 0);
		rest[n].stream = node->streams[s].local_id;
		rest[n++].position = deps->entries[i].position;
	}
	initStringInfo(&encoded);
	store_encode_deps(rest, n, stamp->hlc, &encoded);
	store_insert_log(node->streams[streams_strong_slot(node)].local_id,
					 slot->index, U64FromFullTransactionId(
									  GetTopFullTransactionId()),
					 stamp, encoded.data, (size_t) encoded.len, payload->data,
					 (size_t) payload->len);
}

static void
take_turn(const RepStamp *stamp, const RepVector *deps, StringInfo payload,
		  const StrongKey *key)
{
	uint64 index = slot->index;
	IdempotencyUse use = { index, *stamp };

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		/* the majority is what makes it durable */
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		DEBUG_POINT("strong_turn");
		insert_row(stamp, deps, payload);
		if (truncating)
			truncates_keep(node->streams[streams_strong_slot(node)].local_id,
						   index);
		if (key)
			idempotency_insert(key->text, strlen(key->text), &use);
		strong_turn_starts(node, index);
		turn = index;
		DEBUG_POINT("strong_logged");
	}
	PG_CATCH();
	{
		strong_error_convert(index);
	}
	PG_END_TRY();
}

/* ------------------------------------------------------------ all of it */

void
strong_commit_check(void)
{
	if (!shmem_available() || shmem_node()->own.boot == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this database cannot write strong columns"),
				 errdetail("It is no node of a cluster, or the server was started without causaldb."),
				 errhint("Put shared_preload_libraries = 'causaldb' into postgresql.conf, restart the server, and type SELECT causaldb.wait_until_ready();")));
	if (IsolationIsSerializable())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot write strong columns in a SERIALIZABLE transaction"),
				 errdetail("Conflicts of reads with writes of other nodes would not be seen."),
				 errhint("Use BEGIN ISOLATION LEVEL REPEATABLE READ, and SELECT ... FOR UPDATE for rows that are only read.")));
}

static void
begin(void)
{
	node = shmem_node();
	strong = &node->strong;
	if (!registered)
	{
		RegisterXactCallback(at_end, NULL);
		before_shmem_exit(leave, (Datum) 0);
		registered = true;
	}
}

/* Hands the entry over, which names its keys; fills in the rest of it. */
static void
propose(RepRaftEntry *e, RepVector *deps, StringInfo payload,
		RepStrongSet *set, TimestampTz end)
{
	StringInfoData bytes;

	if (pg_atomic_read_u32(&strong->leader) == 0)
		no_leader();
	initStringInfo(&bytes);
	append_set(&bytes, payload, set);
	take_slot(end);
	/* who was about to abort us has done so, and from now on nobody will */
	CHECK_FOR_INTERRUPTS();
	clock_strong(node, &e->stamp, deps);
	e->deps = deps->entries;
	e->ndeps = deps->len;
	e->payload_size = (uint32) bytes.len;
	put_in_slot(e, &bytes);
	DEBUG_POINT("strong_proposing");
	hand_over();
	DEBUG_POINT("strong_proposed");
}

/* Ends the proposal with the error of a verdict that is none for it. */
static void
refused_by(const RepRaftEntry *e, StringInfo payload)
{
	StrongSlot refused = { .verdict = slot->verdict,
						   .index = slot->index,
						   .key = slot->key,
						   .winner = slot->winner,
						   .abort = slot->abort,
						   .hurried = slot->hurried };

	free_slot();
	CHECK_FOR_INTERRUPTS();
	strong_error_refused(&refused, e, payload);
}

/* The same transaction may have been first. */
static void
pg_attribute_noreturn() lost_by_key(const StrongKey *key)
{
	uint64 index = slot->index;

	free_slot();
	CHECK_FOR_INTERRUPTS();
	strong_key_lost(key, index);
}

void
strong_commit(StringInfo payload, const RepKey *keys, uint32 nkeys,
			  bool truncates)
{
	static RepVersion entries[REP_MAX_VECTOR];
	RepVector deps = { entries, 0, REP_MAX_VECTOR };
	RepRaftEntry e = { .kind = REP_ENTRY_WRITE };
	RepStrongSet set = { 0 };
	const StrongKey *key;
	TimestampTz began = wall_timer();
	TimestampTz end = TimestampTzPlusMilliseconds(began, guc_strong_timeout);

	begin();
	truncating = truncates;
	strong_commit_check();
	set.xid = U64FromFullTransactionId(GetTopFullTransactionId());
	key = strong_key_at_commit();
	if (key)
	{
		set.key = (const uint8_t *) key->text;
		set.key_len = strlen(key->text);
	}
	/* it counts its keys, so it comes first */
	keys = with_tags(keys, &nkeys, payload);
	set_keys(&e, keys, nkeys, key);
	propose(&e, &deps, payload, &set, end);
	if (!wait_for_verdict(&e.stamp, end))
	{
		free_slot();
		strong_error_unknown(&e.stamp, ProcDiePending ? FATAL : ERROR);
	}
	if (slot->verdict != REP_VERDICT_COMMITTED)
	{
		if (key && slot->verdict == REP_VERDICT_CONFLICT &&
			slot->key == key->hash)
			lost_by_key(key);
		refused_by(&e, payload);
	}
	wait_for_turn();
	strong_latency_note(strong, &strong->commits, began);
	take_turn(&e.stamp, &deps, payload, key);
}

RepRaftVerdict
strong_commit_detached(StringInfo payload, const RepKey *keys, uint32 nkeys,
					   int timeout_ms, uint64 *index)
{
	static RepVersion entries[REP_MAX_VECTOR];
	RepVector deps = { entries, 0, REP_MAX_VECTOR };
	RepRaftEntry e = { .kind = REP_ENTRY_WRITE, .keys = keys, .nkeys = nkeys };
	RepStrongSet set = { 0 };
	TimestampTz end = TimestampTzPlusMilliseconds(wall_timer(), timeout_ms);
	RepRaftVerdict verdict;

	begin();
	propose(&e, &deps, payload, &set, end);
	if (!wait_for_verdict(&e.stamp, end))
	{
		free_slot();
		strong_error_unknown(&e.stamp, ProcDiePending ? FATAL : ERROR);
	}
	verdict = slot->verdict;
	*index = slot->index;
	if (verdict != REP_VERDICT_COMMITTED && verdict != REP_VERDICT_CONFLICT)
		refused_by(&e, payload);
	/* from here on the entry is the player's */
	free_slot();
	return verdict;
}

RepStamp
strong_commit_fresh_stamp(void)
{
	static RepVersion entries[REP_MAX_VECTOR];
	RepVector deps = { entries, 0, REP_MAX_VECTOR };
	RepStamp stamp;

	begin();
	clock_strong(node, &stamp, &deps);
	return stamp;
}

/* Proposes the ABORT; the verdict on it, or 0 if there was none in time. */
static RepRaftVerdict
propose_abort(const RepRaftEntry *e, uint64 *index)
{
	TimestampTz end = TimestampTzPlusMilliseconds(wall_timer(),
												  guc_strong_timeout);
	RepRaftVerdict verdict = 0;

	begin();
	if (slot != NULL)
		elog(ERROR, "causaldb: a strong transaction asks for an outcome in its commit");
	take_slot(end);
	slot->abort = true;
	put_in_slot(e, NULL);
	hand_over();
	while (!is_decided() && wall_timer() < end)
	{
		nap();
		CHECK_FOR_INTERRUPTS();
	}
	if (is_decided())
	{
		verdict = slot->verdict;
		*index = slot->index;
	}
	free_slot();
	return verdict;
}

void
strong_commit_undecided(void)
{
	ereport(ERROR,
			(errcode(ERRORS_NO_QUORUM),
			 errmsg("the outcome of a strong transaction cannot be decided now"),
			 errdetail("No leader with a majority has answered."),
			 errhint("Ask again when causaldb.leader() is not null.")));
}

RepRaftVerdict
strong_commit_abort(const RepStamp *stamp, uint64 *index)
{
	RepRaftEntry e = { .kind = REP_ENTRY_ABORT, .stamp = *stamp };
	RepRaftVerdict verdict = propose_abort(&e, index);

	if (verdict != REP_VERDICT_COMMITTED && verdict != REP_VERDICT_ABORTED &&
		verdict != REP_VERDICT_OLD_STAMP)
		strong_commit_undecided();
	return verdict;
}

RepRaftVerdict
strong_commit_claim(const RepKey *key, uint64 *index)
{
	RepRaftEntry e = { .kind = REP_ENTRY_ABORT, .keys = key, .nkeys = 1 };
	RepRaftVerdict verdict;

	e.stamp = strong_commit_fresh_stamp();
	verdict = propose_abort(&e, index);
	if (verdict != REP_VERDICT_ABORTED && verdict != REP_VERDICT_CONFLICT &&
		verdict != REP_VERDICT_OLD_BASE)
		strong_commit_undecided();
	return verdict;
}
