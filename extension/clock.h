/*
 * clock.h
 *		The hybrid logical clock, commit order and what is closed.
 *
 * One stamp a transaction, taken at PRE_COMMIT while its row locks are held.
 *
 * Invariants
 * 1. If transaction B saw A's commit, A's position is below B's, on any node.
 * 2. Every transaction of this node with position <= clock_closed() is
 *	  visible to a snapshot taken afterwards, or aborted.
 * 3. deps of a transaction are read after its slot is published and before it
 *	  ticks; observe(T) precedes raising `started` to T. So "deps cover T"
 *	  implies "stamp above T's".
 * 4. No hlc leaves the node above the durable mark, so that a new start,
 *	  which begins at the mark, stamps above all that was ever seen of us.
 */
#ifndef CAUSALDB_CLOCK_H
#define CAUSALDB_CLOCK_H

#include "shmem.h"
#include "vector.h"

/* where a transaction stands: filled by clock_precommit */
typedef struct ClockStamp
{
	int32 stream; /* causaldb.stream.id */
	uint64 position;
	int ndeps;
	int32 dep_stream[REP_MAX_STREAMS]; /* causaldb.stream.id of each */
	uint64 dep_position[REP_MAX_STREAMS];
} ClockStamp;

extern void clock_init(void);

/*
 * Before a transaction's first row. Waits while this start's clock has not
 * been compared with the peers'. Errors: 55000 when the node is not ready, is
 * fenced, or its clock is not the cluster's.
 */
extern void clock_begin_write(void);

/*
 * Publishes this transaction, reads its deps and stamps it. Call at
 * PRE_COMMIT, once, when all rows are written; then log it. Valid until the
 * next call in this process. Errors: 55000 when the node is not ready or
 * fenced.
 */
extern const ClockStamp *clock_precommit(void);

/*
 * causaldb.stream.id under which a transaction that commits now would be
 * logged; for what must be written before PRE_COMMIT. Errors as
 * clock_precommit.
 */
extern int32 clock_stream(void);

/*
 * The stamp of a strong transaction and all it may have seen, in that order;
 * call at its commit. It is not published: it is not of our own stream.
 */
extern void clock_strong(NodeShared *node, RepStamp *strong, RepVector *deps);

/* A token's own part: the largest position committed here. */
extern uint64 clock_last_position(NodeShared *node);

/* The position below which our own stream gets no more transactions. */
extern uint64 clock_closed(NodeShared *node);
/* Now, without advancing. */
extern uint64 clock_read(NodeShared *node);
/* Takes a position of a peer into account. Precedes raising `started`. */
extern void clock_observe(NodeShared *node, uint64 hlc);

/*
 * Makes the shared clock of this database start above all it ever showed. The
 * time of day counts only where this node is trusted with it (skew.h).
 */
extern void clock_open(NodeShared *node, uint64 above);

/*
 * A number of `bits` more bits than milliseconds have, never given before in
 * this database nor by a crash or restart before, and larger than all that
 * were: milliseconds since 1970, then a count. Not a position. Errors as
 * clock_precommit.
 */
extern uint64 clock_unique(NodeShared *node, int bits);

/*
 * Where the library is not preloaded, a database that is no node has no clock
 * but its log: one committer at a time. Takes that lock until the end of the
 * transaction; error 55000 if the database is a node. Ours among advisory
 * locks, of which SQL uses 1 and 2.
 */
#define CLOCK_LOCK_HISTORY 0xCD01
#define CLOCK_LOCK_IDS 0xCD02
extern void clock_lock_local(uint16 what);
/*
 * As clock_unique, without preload: larger than all that this session was
 * given, and than those of others but for the last second.
 */
extern uint64 clock_local_unique(int bits);

/* Whether this database is a node, and how far. Error 25006 on a standby. */
extern NodeState clock_state(NodeShared *node);
/* create_cluster and join_cluster: this database is a node from commit on. */
extern void clock_become_node_at_commit(void);

/* Slots there are: the length of what clock_read_pending fills. */
extern int clock_slots(void);
/*
 * Of every slot the position below which its process logs nothing, or 0 if
 * no transaction of this database is in its commit there. For the ack grace
 * (replicator/causal.h).
 */
extern void clock_read_pending(NodeShared *node, uint64 *pending);

/* For capture: transactions begun in a deliberately wrong way; no-ops in a
 * release. */
#ifdef CAUSALDB_TESTING
extern void clock_first_write(void);
extern void clock_each_write(void);
#else
#define clock_first_write() ((void) 0)
#define clock_each_write() ((void) 0)
#endif

#endif
