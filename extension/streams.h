/*
 * streams.h
 *		Rows of causaldb.stream and their shared slots.
 *
 * Invariants
 * 1. A row's `applied` and `chain` are written in the transaction that applies
 *	  what they name, so after a crash they are exactly what is here.
 * 2. A shared slot exists only for a stream whose row is committed.
 * 3. A retired stream has ended and is stable: every member has all of it,
 *	  and whatever still comes has seen it. The newest RETIRED_SLOTS of them
 *	  keep a slot through a new start and a recycling, so that acks go on naming them for
 *	  members that learn it later.
 */
#ifndef CAUSALDB_STREAMS_H
#define CAUSALDB_STREAMS_H

#include "vector.h"

#include "shmem.h"
#include "wire.h"

#define RETIRED_SLOTS (STREAM_SLOTS / 4)

/*
 * The strong log as a stream: its position is the index. It has a row and a
 * slot in every node, from the start.
 */
#define STREAMS_STRONG ((RepStreamId){ 0, 1 })

/* one row of causaldb.stream */
typedef struct StreamRow
{
	int32 id;
	RepStreamId stream;
	uint64 applied;
	uint64 chain;
	uint64 closed; /* the writer's newest word, as far as applied here */
	uint64 closed_chain;
	uint64 acked_at;
	RepVector acks; /* palloc'd in the caller's context; empty if none */
	bool has_acks;
	uint64 final; /* 0: not known to have ended */
	bool retired;
} StreamRow;

/*
 * The local id of a stream, creating its row (in the caller's transaction,
 * under a lock to its end) if it is new.
 */
extern int32 streams_ensure(RepStreamId stream);
/* Reads all rows into a palloc'd array, ordered by id; returns how many. */
extern int streams_read(StreamRow **rows);
/* The writer's newest word, as far as the row's `applied`. */
extern RepMark streams_word(const StreamRow *row);
/* Writes applied, chain, closed, closed_chain, acked_at, acks of the row. */
extern void streams_update(const StreamRow *row);
/*
 * Opens a stream for this boot (a new row, committed) and fills the shared
 * slots of all streams; called once a boot, by the apply worker.
 */
extern void streams_open(NodeShared *node, int32 node_id);
/* The stream gets nothing beyond `final`: its node has begun another one. */
extern void streams_set_final(NodeShared *node, RepStreamId stream, uint64 final);
/*
 * Of a stream that is retired and may have no slot any more: true, and its local id. Whatever deps ask of it is met.
 */
extern bool streams_retired(RepStreamId stream, int32 *id);
/* Global name of a stream by its local id, with or without a slot. */
extern bool streams_name(NodeShared *node, int32 id, RepStreamId *stream);
/* Reads what the two above need; in a transaction, at a process's start. */
extern void streams_load_retired(void);
/* Slot of the strong stream; ERROR if there is none. */
extern int streams_strong_slot(NodeShared *node);
/* Adds shared slots for rows that have none yet. Needs a transaction. */
extern void streams_attach(NodeShared *node);
/* The vector `applied` of this node, into v; the own stream has `own`. */
extern void streams_applied_vector(NodeShared *node, uint64 own, RepVector *v);

#endif
