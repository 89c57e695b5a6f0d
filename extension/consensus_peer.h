/*
 * consensus_peer.h
 *		The consensus process's connections to the other nodes.
 *
 * Messages are lost rather than late: what cannot go out now because a link
 * is down or full is dropped, the engine sends it again.
 */
#ifndef CAUSALDB_CONSENSUS_PEER_H
#define CAUSALDB_CONSENSUS_PEER_H

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
/* It goes out at the next flush, with others to the same node. */
extern void consensus_peer_send(uint32 to, const void *bytes, size_t len);
extern void consensus_peer_flush(void);
/* Connects, takes answers, sends what waits; never waits itself. */
extern void consensus_peer_tend(void);
/* Until the latch is set, a link wants to be tended, or the time is over. */
extern void consensus_peer_wait(long timeout_ms);
extern void consensus_peer_close(void);

#endif
