/*
 * consensus_engine.h
 *		The host of the strong engine: hands it events, carries its actions
 *		out.
 *
 * Invariants (the host's duties of replicator/raft.h)
 * 1. What a message or a commit rests on is durable before it leaves.
 * 2. An error while writing the log ends the process: what it had in memory
 *	  is forgotten, as by a crash, and the next one begins from the tables. A
 *	  node that cannot write thus neither leads nor votes.
 */
#ifndef CAUSALDB_CONSENSUS_ENGINE_H
#define CAUSALDB_CONSENSUS_ENGINE_H

#include "raft.h"

#include "shmem.h"

/* From the tables; `applied` is what this node's tables show. */
extern void consensus_engine_start(NodeShared *node);
/* One event. now_ms and wall_ms are filled in; `more` follows at once. */
extern void consensus_engine_step(RepRaftEvent *ev, bool more);
/* Packets of a peer, each after its length; untrusted. */
extern void consensus_engine_take(const void *bytes, size_t len);
/* Makes durable what was given, sends what waited for it, until nothing is. */
extern void consensus_engine_settle(void);
extern const RepRaft *consensus_engine(void);
extern uint64 consensus_engine_now_ms(void);
/* What is being installed has arrived? Call at every tick. */
extern void consensus_engine_tend_install(void);
/*
 * Lets go of what the engine need not remember any more. `force`, for tests:
 * all that is applied.
 */
extern void consensus_engine_compact(bool force);
/* Time between heartbeats from now on. */
extern void consensus_engine_set_heartbeat(uint32 ms);
/* Whether readers may rest on a lease, when this node leads. */
extern void consensus_engine_set_lease(bool lease);
/* None do from now on; needs no engine. */
extern void consensus_engine_end_lease(StrongShared *strong);
/* The leader changed since the last call. */
extern bool consensus_engine_leader_news(void);
/* The entry at index, which is next to be applied here, writes no rows; what
 * else it says is carried out. False if it is not known to write none. */
extern bool consensus_engine_pass(uint64 index);

#endif
