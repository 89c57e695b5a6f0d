/*
 * consensus_peer.h
 *		The consensus process's connections to the other nodes.
 *
 * Messages are lost rather than late: what cannot go out now because a link
 * is down or full is dropped, the engine sends it again.
 */
#ifndef CAUSALDB_CONSENSUS_PEER_H
#define CAUSALDB_CONSENSUS_PEER_H

#include "storage/latch.h"

#include "shmem.h"

/* a row of causaldb.node */
typedef struct ConsensusNode
{
	uint32 id;
	bool witness;
	bool dropped;
} ConsensusNode;

extern void consensus_peer_init(NodeShared *node);
/* Reads the nodes; keeps the links of those that have not changed. */
extern void consensus_peer_load(void);
extern const ConsensusNode *consensus_peer_nodes(int *n);
extern void consensus_peer_send(uint32 to, const void *bytes, size_t len);
/* Connects, takes answers, sends what waits; never waits itself. */
extern void consensus_peer_tend(void);
/* Adds the sockets; at most consensus_peer_count() of them. */
extern int consensus_peer_count(void);
extern void consensus_peer_wait_for(WaitEventSet *set);
extern void consensus_peer_close(void);

#endif
