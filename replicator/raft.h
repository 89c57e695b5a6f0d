/*
 * raft.h
 *		The strong log: who leads, what is in the log, what is committed.
 *
 * One engine a node. It takes an event and returns actions; it reads no
 * clock, does no I/O, calls nobody back and allocates nothing. The same events
 * give the same actions. What a proposal writes (its payload) never passes
 * through here: an entry carries what ordering needs (stamp, deps, keys) and
 * a handle of the host's.
 *
 * Words: Raft's (Ongaro, "Consensus: Bridging Theory and Practice", 2014);
 * section numbers in the code are of that text. `deps`, `stamp`, `stream` are
 * the project's. The strong stream has node 0, its position is the index.
 *
 * The host's duties
 * 1. Actions of one step are carried out in their order, and each not before
 *	  every persist action numbered <= its `after` is durable. So: persist
 *	  before send before answer. What does not wait for it may overlap.
 * 2. Persist actions are made durable in their order; a crash may lose a
 *	  suffix of them. After they are, the host says so (REP_EV_PERSISTED).
 * 3. What an action points to is valid until the next step on this engine.
 * 4. now_ms never runs backwards and ticks come at least every heartbeat_ms.
 *	  With the lease on, its rate is within lease_drift_percent of true time.
 * 5. Numbers in options.ticket_base never repeat for one node id, over
 *	  restarts too; the clock's durable mark does.
 *
 * Invariants of the engine
 * 1. A vote, a term and an acknowledgement leave only after they are durable.
 * 2. A leader answers nothing (no read, no verdict) before an entry of its
 *	  own term is committed.
 * 3. An entry is in the log only if, when it was appended, a majority of the
 *	  voters had reported holding its deps, and no later write of its keys
 *	  stood above their bases.
 * 4. A refusal is definite: the proposal is in no log that can still win, and
 *	  no copy of it under way can be taken any more. (A copy is taken only in
 *	  the term it was sent in and in the order of tickets; a resubmission has
 *	  a new ticket; a refusal counts only for the newest ticket.)
 */
#ifndef REP_RAFT_H
#define REP_RAFT_H

#include "raft_types.h"

typedef struct RepRaft RepRaft;

/* Reasonable values for everything but node, seed and ticket_base. */
extern void rep_raft_defaults(RepRaftOptions *o);
/* Bytes rep_raft_init needs for these options. */
extern size_t rep_raft_size(const RepRaftOptions *o);
/* Bytes of arena one step needs at most. */
extern size_t rep_raft_arena_size(const RepRaftOptions *o);

/*
 * An engine in `memory` (rep_raft_size bytes, 16-aligned). Then, before the
 * first step, what was durable: state, base (a new cluster: index 0 and its
 * first members), entries in order, and rep_raft_start. These return false
 * when the input contradicts itself or does not fit.
 */
extern RepRaft *rep_raft_init(void *memory, size_t size,
							  const RepRaftOptions *o);
extern void rep_raft_restore_state(RepRaft *r, uint64_t term, uint32_t vote);
extern bool rep_raft_restore_base(RepRaft *r, const RepRaftBase *base);
extern bool rep_raft_restore_entry(RepRaft *r, const RepRaftEntry *e);
/* `applied`: what the host had durably applied. */
extern bool rep_raft_start(RepRaft *r, uint64_t now_ms, uint64_t applied);

/*
 * Hands one event to the engine; `out` (in the arena, which the caller resets
 * between steps) says what to do. False, with nothing changed, if the arena
 * has less than rep_raft_arena_size left.
 */
extern bool rep_raft_step(RepRaft *r, const RepRaftEvent *event,
						  RepArena *arena, RepRaftActions *out);

/* Another pace of heartbeats from the next on; 0 < ms < election_ms. */
extern void rep_raft_set_heartbeat(RepRaft *r, uint32_t heartbeat_ms);
/* Whether reads rest on a lease from now on. Votes are refused for it anyway. */
extern void rep_raft_set_lease(RepRaft *r, bool lease);
/*
 * As leader with a lease: until when (by the host's now_ms) a reader may take
 * *index for a read index, 0 if not at all. It holds only while no message of
 * a later step has left: the host takes it back before it carries out actions.
 */
extern uint64_t rep_raft_lease(RepRaft *r, uint64_t *index);
extern void rep_raft_status(const RepRaft *r, RepRaftStatus *s);
/*
 * The newest horizon of the log up to index, or of what came before it. Its
 * entries are the engine's until its next step.
 */
extern RepVector rep_raft_horizon(const RepRaft *r, uint64_t index);
/* The leader's view of a member; false if we do not lead or it is none. */
extern bool rep_raft_peer(const RepRaft *r, uint32_t node, uint64_t *match,
						  uint64_t *applied);
/* Term of the entry at index; 0 if it is not known here. */
extern uint64_t rep_raft_term_at(const RepRaft *r, uint64_t index);
/* The entry at index as the log holds it, or NULL. */
extern const RepRaftEntry *rep_raft_entry_at(const RepRaft *r, uint64_t index);

#endif
