/*
 * incoming.h
 *		A transaction of a peer, as the parts of apply hand it on.
 */
#ifndef CAUSALDB_INCOMING_H
#define CAUSALDB_INCOMING_H

#include "shmem.h"
#include "stamp.h"
#include "vector.h"

typedef struct Incoming
{
	int slot; /* of its stream */
	RepStamp stamp; /* stamp.hlc is its position, unless strong */
	uint64 index; /* strong: its position in the strong log; else 0 */
	uint64 xid; /* of the origin */
	uint32 nchunks;
	RepVector deps; /* as it came */
	uint64 *dense; /* position by slot, ndense of them */
	int ndense;
	RepStreamId stranger; /* a stream in deps that this node does not know, or
						   * node 0 */
	uint64 stranger_at;
	const uint8 *payload;
	size_t payload_len;
	bool aside; /* an operator has set it aside */
} Incoming;

/* Its position in the stream of its slot. */
static inline uint64
incoming_position(const Incoming *t)
{
	return t->index > 0 ? t->index : t->stamp.hlc;
}

#endif
