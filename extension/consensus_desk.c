/*
 * consensus_desk.c
 *		See consensus_desk.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "raft_message.h"

#include "consensus_desk.h"
#include "consensus_payload.h"
#include "strong_turn.h"
#include "wall.h"

/* a proposal without verdict is sent again after */
#define RESUBMIT_MS 1000

/* what we know of each slot */
typedef struct Mine
{
	bool used; /* the engine has been told of it */
	bool again;
	bool travelled; /* an engine, perhaps of a process before us, was told of it
					 * once: that it sent nothing now says nothing */
	RepStamp stamp;
	TimestampTz sent_at;
} Mine;

typedef struct Reader
{
	int slot;
	uint64 serial;
} Reader;

/* the readers of the question that is under way; later ones wait for its end */
typedef struct ReadBatch
{
	uint64 id; /* 0: none is */
	int n;
	Reader *readers;
} ReadBatch;

static NodeShared *node;
static StrongShared *strong;
static Mine mine[STRONG_SLOTS];
static ReadBatch batch;
static uint64 last_batch = 0;
static MemoryContext ask_context; /* of what next() handed out */
static int next_slot;             /* of the round */

void
consensus_desk_init(NodeShared *n)
{
	node = n;
	strong = &n->strong;
	memset(mine, 0, sizeof(mine));
	batch.readers = MemoryContextAlloc(TopMemoryContext,
									   sizeof(Reader) * shmem_shared()->nslots);
	ask_context = AllocSetContextCreate(TopMemoryContext, "causaldb ask",
										ALLOCSET_DEFAULT_SIZES);

	/* those of the process before us: its engine is gone */
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	for (int i = 0; i < STRONG_SLOTS; i++)
		if (strong->slots[i].state == STRONG_SENT)
		{
			mine[i].used = mine[i].again = mine[i].travelled = true;
			mine[i].stamp = strong->slots[i].stamp;
		}
	for (int i = 0; i < shmem_shared()->nslots; i++)
	{
		BackendSlot *b = shmem_slot_at(i);

		if (b->database == node->database &&
			b->read.state == STRONG_READ_ASKED)
			b->read.state = STRONG_READ_WANTED;
	}
	LWLockRelease(&strong->lock);
	pg_atomic_write_u32(&strong->asking, 0);
	pg_atomic_write_u32(&strong->wanted, 1);
}

bool
consensus_desk_wanted(void)
{
	if (pg_atomic_exchange_u32(&strong->wanted, 0) == 0)
		return false;
	next_slot = 0;
	return true;
}

/* ------------------------------------------------------------ proposals */

/* The slot's bytes, copied; NULL if its backend has taken them away. */
static void *
slot_bytes(const StrongSlot *s)
{
	void *copy = MemoryContextAllocHuge(ask_context, s->size);
	ResourceOwner owner = CurrentResourceOwner;
	dsm_segment *segment;

	if (s->handle == 0)
		return memcpy(copy, s->bytes, s->size);
	CurrentResourceOwner = NULL;
	segment = dsm_attach(s->handle);
	CurrentResourceOwner = owner;
	if (segment == NULL)
		return NULL;
	if (dsm_segment_map_length(segment) < s->size)
	{
		dsm_detach(segment);
		return NULL;
	}
	memcpy(copy, dsm_segment_address(segment), s->size);
	dsm_detach(segment);
	return copy;
}

static bool
decode(const void *bytes, size_t size, RepRaftEntry *e)
{
	size_t room = 4096 + size * 4;
	RepArena arena;
	RepReader r;
	const uint8_t *payload;

	rep_arena_init(&arena,
				   MemoryContextAllocExtended(ask_context, room,
											  MCXT_ALLOC_HUGE),
				   room);
	rep_reader_init(&r, bytes, size);
	if (!rep_raft_entry_decode(&r, &arena, e))
		return false;
	payload = rep_read_bytes(&r, e->payload_size);
	if (!rep_reader_done(&r))
		return false;
	if (e->kind == REP_ENTRY_WRITE)
	{
		(void) consensus_payload_put(e->stamp, payload, e->payload_size);
		consensus_payload_pin(e->stamp, true);
	}
	return true;
}

/* The slot's proposal goes to the engine, for the first time or again. */
static bool
take_slot(int i, ConsensusAsk *ask)
{
	StrongSlot *s = &strong->slots[i];
	void *bytes;

	mine[i].used = true;
	mine[i].again = false;
	mine[i].stamp = s->stamp;
	mine[i].sent_at = wall_timer();
	s->state = STRONG_SENT;
	bytes = slot_bytes(s);
	if (bytes == NULL || !decode(bytes, s->size, &ask->entry) ||
		rep_stamp_compare(ask->entry.stamp, s->stamp) != 0)
	{
		if (mine[i].travelled)
			return false;
		/* only its own backend writes it: never sent, so definite */
		s->verdict = REP_VERDICT_TOO_LARGE;
		s->state = STRONG_DECIDED;
		SetLatch(&ProcGlobal->allProcs[s->procno].procLatch);
		return false;
	}
	ask->type = ASK_PROPOSE;
	return true;
}

static bool
ask_of_slot(int i, ConsensusAsk *ask)
{
	StrongSlot *s = &strong->slots[i];
	Mine *m = &mine[i];

	if (m->used && (s->state < STRONG_SENT ||
					rep_stamp_compare(s->stamp, m->stamp) != 0))
	{
		m->used = false;
		/* it is to be aborted now: its first form may be on its way all the same */
		m->travelled = s->state == STRONG_WAITING && rep_stamp_compare(s->stamp, m->stamp) == 0;
		ask->type = ASK_FORGET;
		memset(&ask->entry, 0, sizeof(ask->entry));
		ask->entry.stamp = m->stamp;
		return true;
	}
	if (s->state == STRONG_WAITING ||
		(s->state == STRONG_SENT && m->used && m->again))
		return take_slot(i, ask);
	return false;
}

void
consensus_desk_forgotten(RepStamp stamp)
{
	consensus_payload_pin(stamp, false);
}

void
consensus_desk_resubmit(void)
{
	for (int i = 0; i < STRONG_SLOTS; i++)
		mine[i].again = mine[i].used;
	pg_atomic_write_u32(&strong->wanted, 1);
}

/* Verdicts may be lost on their way: asks again for old proposals. */
static void
resubmit_old(void)
{
	TimestampTz now = wall_timer();

	for (int i = 0; i < STRONG_SLOTS; i++)
		if (mine[i].used && TimestampDifferenceExceeds(mine[i].sent_at, now,
													   RESUBMIT_MS))
			mine[i].again = true;
}

/* ------------------------------------------------------------ reads */

static bool
still_asks(const Reader *r)
{
	const StrongRead *read = &shmem_slot_at(r->slot)->read;

	return read->state == STRONG_READ_ASKED && read->serial == r->serial;
}

/* All who wait become one question. */
static bool
ask_of_readers(ConsensusAsk *ask)
{
	batch.n = 0;
	for (int i = 0; i < shmem_shared()->nslots; i++)
	{
		BackendSlot *slot = shmem_slot_at(i);

		if (slot->database != node->database ||
			slot->read.state != STRONG_READ_WANTED)
			continue;
		slot->read.state = STRONG_READ_ASKED;
		batch.readers[batch.n++] = (Reader){ i, slot->read.serial };
	}
	if (batch.n == 0)
		return false;
	batch.id = ++last_batch;
	pg_atomic_write_u32(&strong->asking, 1);
	ask->type = ASK_READ;
	ask->id = batch.id;
	return true;
}

/*
 * The question is over: who has waited for that has its turn. A reader that
 * comes at the same time and sees that one is still under way is seen by us.
 */
static void
end_question(void)
{
	batch.id = 0;
	pg_atomic_write_u32(&strong->asking, 0);
	pg_memory_barrier();
	pg_atomic_write_u32(&strong->wanted, 1);
	SetLatch(MyLatch);
}

/* The readers' question, or that it is no longer asked. */
static bool
ask_of_batch(ConsensusAsk *ask)
{
	if (batch.id == 0)
		return ask_of_readers(ask);
	for (int i = 0; i < batch.n; i++)
		if (still_asks(&batch.readers[i]))
			return false;
	ask->type = ASK_CANCEL;
	ask->id = batch.id;
	end_question();
	return true;
}

static void
end_batch(uint64 id, StrongReadState state, uint64 index)
{
	if (batch.id != id)
		return;
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	for (int i = 0; i < batch.n; i++)
		if (still_asks(&batch.readers[i]))
		{
			StrongRead *read = &shmem_slot_at(batch.readers[i].slot)->read;

			read->index = index;
			read->state = state;
		}
	LWLockRelease(&strong->lock);
	/* not under the lock, which those who ask next want */
	for (int i = 0; i < batch.n; i++)
		SetLatch(&ProcGlobal->allProcs[batch.readers[i].slot].procLatch);
	end_question();
}

void
consensus_desk_read_ready(uint64 id, uint64 index)
{
	end_batch(id, STRONG_READ_READY, index);
}

void
consensus_desk_read_failed(uint64 id)
{
	end_batch(id, STRONG_READ_FAILED, 0);
}

bool
consensus_desk_next(ConsensusAsk *ask)
{
	bool found = false;

	MemoryContextReset(ask_context);
	if (next_slot == 0)
		resubmit_old();
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	while (!found && next_slot < STRONG_SLOTS)
	{
		found = ask_of_slot(next_slot, ask);
		/* a slot that was forgotten may hold a new proposal already */
		if (!found || ask->type != ASK_FORGET)
			next_slot++;
	}
	if (!found)
		found = ask_of_batch(ask);
	LWLockRelease(&strong->lock);
	return found;
}

/* ------------------------------------------------------------ answers */

void
consensus_desk_verdict(const RepRaftAction *a, uint32 winner)
{
	int procno = -1;

	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	for (int i = 0; i < STRONG_SLOTS; i++)
	{
		StrongSlot *s = &strong->slots[i];

		if ((s->state != STRONG_SENT && s->state != STRONG_WAITING) ||
			rep_stamp_compare(s->stamp, a->stamp) != 0)
			continue;
		if (mine[i].travelled && (a->verdict == REP_VERDICT_NO_LEADER || a->verdict == REP_VERDICT_BUSY))
			continue;
		s->verdict = a->verdict;
		s->index = a->index;
		s->key = a->key;
		s->winner = winner;
		s->state = STRONG_DECIDED;
		if (a->verdict == REP_VERDICT_COMMITTED)
			strong->committed++;
		else if (a->verdict == REP_VERDICT_CONFLICT)
			strong->conflicts++;
		else
			strong->refused++;
		procno = s->procno;
	}
	LWLockRelease(&strong->lock);
	if (procno >= 0)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

void
consensus_desk_advance(bool (*pass)(uint64 index))
{
	uint64 commit = pg_atomic_read_u64(&strong->commit);
	uint64 next = pg_atomic_read_u64(&strong->applied) + 1;

	while (next <= commit && pass(next) &&
		   strong_turn_applied(node, next))
		next++;
}

void
consensus_desk_commit(uint64 commit)
{
	pg_atomic_write_u64(&strong->commit, commit);
	strong_turn_wake(node);
}
