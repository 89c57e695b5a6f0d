/*
 * raft_stamps.h
 *		A bounded map from stamp to a number.
 *
 * The leader's memory of which stamps are in the log (exactly once), and a
 * node's own proposals that have no verdict yet.
 */
#ifndef REP_RAFT_STAMPS_H
#define REP_RAFT_STAMPS_H

#include "arena.h"
#include "stamp.h"

typedef struct RepRaftStampSlot
{
	RepStamp stamp;
	uint64_t value; /* 0: the slot is free */
} RepRaftStampSlot;

typedef struct RepRaftStamps
{
	RepRaftStampSlot *slots; /* open addressing, at most half full */
	uint32_t mask;
	uint32_t cap;
	uint32_t count;
} RepRaftStamps;

extern void rep_raft_stamps_init(RepRaftStamps *t, RepArena *a, uint32_t cap);
extern void rep_raft_stamps_reset(RepRaftStamps *t);
/* 0: not there */
extern uint64_t rep_raft_stamps_get(const RepRaftStamps *t, RepStamp s);
/* Sets or replaces; value is not 0. False when cap are there. */
extern bool rep_raft_stamps_set(RepRaftStamps *t, RepStamp s, uint64_t value);
extern void rep_raft_stamps_remove(RepRaftStamps *t, RepStamp s);

#endif
