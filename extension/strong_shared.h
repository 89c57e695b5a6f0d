/*
 * strong_shared.h
 *		What backends, the consensus process and the player of strong entries
 *		share: who leads, how far the strong log is, and proposals under way.
 *
 * One StrongShared a database, inside its NodeShared. Only types; strong.h is
 * what others call.
 *
 * Words
 * slot: one proposal of this node, from the backend's PRE_COMMIT to its end.
 * turn: the right to commit index i, once i - 1 is visible here.
 *
 * Invariants
 * 1. applied <= commit. Every entry at or below `applied` is visible to a
 *	  snapshot taken after it was read.
 * 2. `commit` is durable in this node's own log.
 * 3. An index has one owner: the slot with its stamp while that is SENT,
 *	  DECIDED or TURN, else the player. It changes under `lock` only, and never
 *	  for a slot in TURN.
 */
#ifndef CAUSALDB_STRONG_SHARED_H
#define CAUSALDB_STRONG_SHARED_H

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "bounds.h"
#include "raft_types.h"
#include "stamp.h"

/* proposals of one database under way at once */
#define STRONG_SLOTS 64
/* bytes of a proposal that need no segment of their own */
#define STRONG_INLINE 8192

typedef enum StrongSlotState
{
	STRONG_FREE = 0,
	STRONG_FILLING, /* its backend writes the proposal */
	STRONG_WAITING, /* the consensus process has not looked at it yet */
	STRONG_SENT,    /* it has */
	STRONG_DECIDED, /* verdict, index, key, winner are set */
	STRONG_TURN,    /* its backend commits it: never disturbed */
	STRONG_REPLAY,  /* decided, but the player is to play it */
	STRONG_LEFT     /* its backend waits no more */
} StrongSlotState;

typedef struct StrongSlot
{
	StrongSlotState state; /* lock; so all below */
	int pid;
	int procno;
	RepStamp stamp;
	bool abort;      /* an ABORT entry instead of a write */
	bool hurried;    /* others wait for its end: it shall ask for the abort */
	uint32 size;     /* of the proposal: an entry, then its payload */
	uint32 handle;   /* dsm_handle of its bytes; 0: they are inline */
	RepRaftVerdict verdict;
	uint64 index;
	uint64 key;
	uint32 winner; /* node of the entry at index, 0: not known */
	char bytes[STRONG_INLINE];
} StrongSlot;

/* one member as the leader, or at least we, see it; lock */
typedef struct StrongMember
{
	uint32 node;
	bool voter;
	bool witness;
	bool known; /* match and applied are: we lead */
	uint64 match;
	uint64 applied;
} StrongMember;

/* how many took how long; see strong_latency.h */
#define STRONG_LATENCY_STEPS 128

typedef struct StrongLatency
{
	int64 minute; /* the newest that is counted; changes under lock */
	pg_atomic_uint32 count[2][STRONG_LATENCY_STEPS]; /* of even and of odd minutes */
} StrongLatency;

typedef struct StrongShared
{
	LWLock lock; /* guards what names it */
	pg_atomic_uint64 commit;
	pg_atomic_uint64 applied;
	pg_atomic_uint32 leader; /* node, 0: none known */
	pg_atomic_uint32 used;   /* there is, or was, a strong column */
	pg_atomic_uint32 known;  /* `used` says so since this start: before, the
							  * consensus process has not looked yet */
	pg_atomic_uint32 want_held; /* the leader waits for what we come to hold */
	pg_atomic_uint32 wanted;    /* a slot or a read is there to be looked at */
	pg_atomic_uint32 asking;    /* readers' question is under way: who wants
								 * another joins the next one */
	pg_atomic_uint32 lacks_deps; /* the player waits for what the apply worker
								  * is to apply */
	pg_atomic_uint32 awaited;    /* the apply worker has looked at `applied` */
	pg_atomic_uint64 last_stamped; /* largest position of our own stream that
									* a transaction has or had */
	ConditionVariable applied_cv; /* `applied` moved */

	/* the leader's lease, written by its consensus process alone: until then
	 * (CLOCK_BOOTTIME, ms; 0: there is none) nobody else leads, and all that
	 * is acknowledged anywhere is at or below the index. The count moves when
	 * it is taken back. See strong_lease_index. */
	pg_atomic_uint64 lease_until;
	pg_atomic_uint64 lease_index;
	pg_atomic_uint64 lease_ends;

	/* processes; lock */
	Latch *consensus_latch;
	Latch *player_latch;
	int32 consensus_pid;
	int32 player_pid;
	uint64 consensus_serial; /* counts starts of the consensus process */
	bool reload;             /* members changed */
	uint32 transfer_to;      /* node that shall lead, 0: none asked */
	/* the player is to fetch the entries up to install_to, all committed, from
	 * that node: our log does not have them, and the leader's not any more */
	uint32 install_from; /* 0: no */
	uint64 install_to;

	/* the last answer of the leader, and when it was asked (wall_timer): all
	 * that was acknowledged before that is at or below the index; lock */
	TimestampTz fresh_at;
	uint64 fresh_index;

	StrongLatency commits; /* of this node, from COMMIT to its turn */
	StrongLatency reads;   /* statements of this node that waited */

	/* for strong_status; lock */
	int role; /* RepRaftRole */
	uint64 term;
	uint64 first;
	uint64 last;
	bool established;
	int nmembers;
	StrongMember members[REP_MAX_MEMBERS];
	uint64 proposals;
	uint64 committed;
	uint64 conflicts;
	uint64 refused;
	uint64 replayed;

	StrongSlot slots[STRONG_SLOTS];
} StrongShared;

/* one backend's question for a read index; StrongShared.lock */
typedef enum StrongReadState
{
	STRONG_READ_NONE = 0,
	STRONG_READ_WANTED,
	STRONG_READ_ASKED,
	STRONG_READ_READY,
	STRONG_READ_FAILED
} StrongReadState;

typedef struct StrongRead
{
	StrongReadState state;
	uint64 serial; /* of the question */
	uint64 index;  /* READY */
} StrongRead;

static inline void
strong_shared_init(StrongShared *s, int tranche)
{
	LWLockInitialize(&s->lock, tranche);
	pg_atomic_init_u64(&s->commit, 0);
	pg_atomic_init_u64(&s->applied, 0);
	pg_atomic_init_u32(&s->leader, 0);
	pg_atomic_init_u32(&s->used, 0);
	pg_atomic_init_u32(&s->known, 0);
	pg_atomic_init_u32(&s->want_held, 0);
	pg_atomic_init_u32(&s->wanted, 0);
	pg_atomic_init_u32(&s->lacks_deps, 0);
	pg_atomic_init_u32(&s->awaited, 0);
	pg_atomic_init_u64(&s->last_stamped, 0);
	pg_atomic_init_u64(&s->lease_until, 0);
	pg_atomic_init_u64(&s->lease_index, 0);
	pg_atomic_init_u64(&s->lease_ends, 0);
	ConditionVariableInit(&s->applied_cv);
}

/* The database is gone or left its cluster. */
static inline void
strong_shared_clear(StrongShared *s)
{
	pg_atomic_write_u64(&s->commit, 0);
	pg_atomic_write_u64(&s->applied, 0);
	pg_atomic_write_u32(&s->leader, 0);
	pg_atomic_write_u32(&s->used, 0);
	pg_atomic_write_u32(&s->want_held, 0);
	pg_atomic_write_u64(&s->last_stamped, 0);
	pg_atomic_write_u64(&s->lease_until, 0);
	s->consensus_serial = 0;
	s->role = 0;
	s->nmembers = 0;
}

#endif
