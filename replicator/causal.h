/*
 * causal.h
 *		When a transaction may be applied, and when it is stable.
 *
 * Not for order inside a row (merge.h) nor for waiting: the host waits, these
 * functions only say for what. Positions are dense arrays: slot s of an array
 * is stream s of the caller's own numbering; what an array is too short for
 * counts as position 0.
 *
 * Invariants
 * 1. A transaction is ready only when its predecessor in its stream and
 *	  everything its deps name is applied.
 * 2. Once an acknowledgement V was let through with a frame that ends at
 *	  `to`, every later transaction of the stream has deps at or above V.
 */
#ifndef REP_CAUSAL_H
#define REP_CAUSAL_H

#include "vector.h"

typedef struct RepDelivery
{
	uint32_t slot;   /* the transaction's own stream; its entry in deps, if
					* any, is not looked at */
	uint64_t before; /* position of its predecessor there, 0 for the first */
	const uint64_t *deps;
	uint32_t ndeps;
} RepDelivery;

typedef struct RepWait
{
	uint32_t slot;
	uint64_t position; /* must be applied first */
} RepWait;

/*
 * The transaction can be applied where applied[0..napplied) is. If not, *first
 * says what it waits for first: its predecessor, else the lowest slot that is
 * behind. The stream of an expelled member counts as met beyond its cut when
 * the caller gives it the position UINT64_MAX.
 */
extern bool rep_causal_ready(const uint64_t *applied, uint32_t napplied,
							 const RepDelivery *t, RepWait *first);

/*
 * stable[0..nslots) = the minimum over the members of what each has
 * acknowledged; acks holds nmembers rows of nslots positions. Nothing is
 * stable without members.
 */
extern void rep_causal_stable(const uint64_t *acks, uint32_t nmembers,
							  uint32_t nslots, uint64_t *stable);

/*
 * A receiver may count the acknowledgement `acks`, which came in stream `slot`
 * with acked_at, only where it has applied that stream up to acked_at, and
 * itself what the acknowledgement names.
 */
extern bool rep_causal_ack_counts(const uint64_t *applied, uint32_t napplied,
								  uint32_t slot, uint64_t acked_at,
								  const uint64_t *acks, uint32_t nacks);

/* the value of a slot of shared memory without a transaction in its commit */
#define REP_NOT_PENDING UINT64_MAX

/* one slot that held a transaction when the acknowledgement was taken */
typedef struct RepAckSlot
{
	int slot;         /* as the host numbers them */
	uint64_t pending; /* what it held then */
} RepAckSlot;

typedef enum RepAckPhase
{
	REP_ACK_IDLE,    /* begin is next */
	REP_ACK_WAITING, /* poll, until it says true; then finish */
	REP_ACK_READY    /* usable says with which frames it may go */
} RepAckPhase;

/*
 * The grace period of an acknowledgement. The writer takes V, what it has
 * durably applied; a local transaction under way may have read its deps before
 * that and get a position after it. So V may only go with a frame that ends at
 * or above g, a clock value read after all of those have their position. A
 * slot's value changes when its transaction has: from the clock that it saw
 * to its own stamp, or to empty, or to what a later transaction put there. In
 * order:
 *
 *	take V; memory barrier; read all slots; rep_ack_grace_begin
 *	read the slots in `waiting`; rep_ack_grace_poll; again until true
 *	only then: load the hlc; rep_ack_grace_finish
 *	for each frame: if rep_ack_grace_usable(to): send V with it
 *
 * Slots are read one after the other, each by one atomic load.
 */
typedef struct RepAckGrace
{
	RepAckPhase phase;
	RepVector acks; /* V; entries are the caller's */
	uint64_t g;
	uint32_t nwaiting;
	uint32_t cap;
	RepAckSlot *waiting; /* caller's array of cap */
} RepAckGrace;

/* entries has room for ventries, waiting for as many slots as there are. */
extern void rep_ack_grace_init(RepAckGrace *a, RepVersion *entries,
							   uint32_t ventries, RepAckSlot *waiting,
							   uint32_t cap);
/*
 * Starts over with V and n slots, their numbers and values; those that are
 * empty are passed over. False, and idle, if V or the slots do not fit.
 */
extern bool rep_ack_grace_begin(RepAckGrace *a, const RepVector *v,
								const int *slots, const uint64_t *pending,
								uint32_t n);
/*
 * now[i] is the present value of the slot a->waiting[i].slot, for all
 * a->nwaiting; those that changed wait no more. True when none is left: call
 * rep_ack_grace_finish next.
 */
extern bool rep_ack_grace_poll(RepAckGrace *a, const uint64_t *now);
/* hlc must have been loaded after the slots of the poll that said true. */
extern void rep_ack_grace_finish(RepAckGrace *a, uint64_t hlc);
/* V may go with a frame that ends at `to`. */
extern bool rep_ack_grace_usable(const RepAckGrace *a, uint64_t to);

#endif
