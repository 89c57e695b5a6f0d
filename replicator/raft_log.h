/*
 * raft_log.h
 *		The log in memory: entries first..last, and what is durable of them.
 *
 * It mirrors what the host persists. Payloads are not here.
 *
 * Invariants
 * 1. first <= last + 1; the entry at i has index i; terms never fall.
 * 2. Entries at or below `base` are the host's state; base_term is the term
 *	  at base; first == base + 1.
 * 3. stable <= last. Every entry at or below `stable` is durable.
 * 4. Outstanding persists are in order, none promises more than `last`.
 */
#ifndef REP_RAFT_LOG_H
#define REP_RAFT_LOG_H

#include "raft_types.h"
#include "raft_ring.h"

#define REP_RAFT_OUTSTANDING 64

typedef struct RepRaftPersist
{
	uint64_t persist; /* its number */
	uint64_t upto;    /* the log up to here is durable with it */
} RepRaftPersist;

typedef struct RepRaftLog
{
	RepRaftEntry *slots; /* by index & mask */
	uint64_t *at;        /* each slot's position in the ring */
	RepRaftRing bodies;
	uint32_t mask;
	uint64_t base;
	uint64_t base_term;
	uint64_t last;
	uint64_t stable;
	RepRaftPersist outstanding[REP_RAFT_OUTSTANDING];
	uint32_t noutstanding;
} RepRaftLog;

extern void rep_raft_log_init(RepRaftLog *log, RepArena *a, uint32_t entries,
							  uint32_t bytes);
/* Everything goes; the log stands at (base, term), durably. */
extern void rep_raft_log_reset(RepRaftLog *log, uint64_t base, uint64_t term);
/* Copies the entry (e->index == last + 1); false when there is no room. */
extern bool rep_raft_log_append(RepRaftLog *log, const RepRaftEntry *e);
/* Removes the entries from `from` on; from > base. */
extern void rep_raft_log_truncate(RepRaftLog *log, uint64_t from);
/* Removes the entries up to `upto`; base <= upto <= last. */
extern void rep_raft_log_compact(RepRaftLog *log, uint64_t upto);
/* NULL outside base + 1 .. last */
extern const RepRaftEntry *rep_raft_log_get(const RepRaftLog *log,
											uint64_t index);
/* 0 when unknown */
extern uint64_t rep_raft_log_term(const RepRaftLog *log, uint64_t index);
extern uint64_t rep_raft_log_last_term(const RepRaftLog *log);
/* Entries from `index` on that lie side by side, at most `most`. */
extern const RepRaftEntry *rep_raft_log_run(const RepRaftLog *log,
											uint64_t index, uint32_t most,
											uint32_t *n);
/* There is room for a proposal of this size beside what a term start needs. */
extern bool rep_raft_log_has_room(const RepRaftLog *log, const RepRaftEntry *e);
/* Percent of the room for entries, or for bytes, that is taken. */
extern uint32_t rep_raft_log_used(const RepRaftLog *log);
/* The persist with this number will make the log durable up to `last`. */
extern void rep_raft_log_persisting(RepRaftLog *log, uint64_t persist);
/* Everything numbered <= persist is durable; true if `stable` grew. */
extern bool rep_raft_log_persisted(RepRaftLog *log, uint64_t persist);
/* The persist after which the log up to index is durable; 0: it is. */
extern uint64_t rep_raft_log_after(const RepRaftLog *log, uint64_t index);

#endif
