/*
 * consensus_store.h
 *		The strong log and its state in tables: causaldb.strong_log and
 *		causaldb.strong_state.
 *
 * Written by the consensus process only. What it gives between two commits
 * becomes durable together, before consensus_store_commit returns, whatever
 * the settings of replication or of roles say.
 *
 * Invariants
 * 1. Entries of the table connect: base.index + 1 and upwards without a gap,
 *	  below it as many as are still kept for members that are behind.
 * 2. A cut and what takes its place are in one transaction.
 */
#ifndef CAUSALDB_CONSENSUS_STORE_H
#define CAUSALDB_CONSENSUS_STORE_H

#include "postgres.h"

#include "raft.h"

typedef struct ConsensusState
{
	uint64 term;
	uint32 vote;
	uint64 starts; /* of the consensus process, this one included */
	RepRaftBase base;
	bool installing; /* tables may show more than the log has */
	uint64 install_from; /* where they and the log agreed when that began */
} ConsensusState;

/* Settings of this process that durability rests on. */
extern void consensus_store_init(void);
/*
 * Reads the state, counting this start; a node that has none yet begins with
 * an empty log whose only voter is `founder`. Palloc'd.
 */
extern void consensus_store_open(uint32 founder, ConsensusState *state);
/*
 * Gives every entry above the base to the engine, in order; ERROR XX001 if one
 * is malformed or is refused.
 */
extern void consensus_store_restore(RepRaft *raft, uint64 base);

/* This database has strong columns, or its log a strong transaction. */
extern bool consensus_store_used(void);

/* Each opens the transaction if none is. */
extern void consensus_store_state(uint64 term, uint32 vote);
/* Entries from `index` on are gone. */
extern void consensus_store_cut(uint64 index);
extern void consensus_store_entry(const RepRaftEntry *e, const void *payload);
/* `install`: nothing of the old log remains. */
extern void consensus_store_base(const RepRaftBase *base, bool install);
/* Entries above the log's are about to be applied; it stands at `from`. */
extern void consensus_store_installing(uint64 from);
/* Something was given since the last commit. */
extern bool consensus_store_open_batch(void);
/* It is durable when this returns. */
extern void consensus_store_commit(void);

/*
 * What the entry at `index` writes; palloc'd, NULL if it is not in the table.
 * For entries that are durable.
 */
extern void *consensus_store_payload(uint64 index, size_t *len);
/* Entries up to and with `index` may go. */
extern void consensus_store_forget(uint64 index);

#endif
