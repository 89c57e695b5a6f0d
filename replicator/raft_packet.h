/*
 * raft_packet.h
 *		A message of the engine with what its entries write, as bytes.
 *
 *	packet = u64 hash of the rest, u8 version, u64 cluster, message (see
 *			 raft_message.h), then for each entry the payload_size bytes that
 *			 it writes
 *
 * Invariants
 * 1. A packet that opens is whole: every entry has its payload, nothing
 *	  follows, and the hash is right. What it means is for the engine to judge.
 */
#ifndef REP_RAFT_PACKET_H
#define REP_RAFT_PACKET_H

#include "raft_message.h"

#define REP_RAFT_PACKET_VERSION 1

typedef struct RepRaftPacket
{
	uint64_t cluster;
	RepRaftMessage message;
	const uint8_t **payloads; /* one an entry, views into the bytes */
} RepRaftPacket;

/*
 * Writes a packet. payloads[i] are the payload_size bytes of entry i; it may
 * be NULL where that is 0.
 */
extern void rep_raft_packet_encode(uint64_t cluster, const RepRaftMessage *m,
								   const uint8_t *const *payloads,
								   RepWriter *w);
/* False if malformed; or if the arena is too small, which is then full. */
extern bool rep_raft_packet_decode(const void *data, size_t len, RepArena *a,
								   RepRaftPacket *p);
#endif
