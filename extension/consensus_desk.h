/*
 * consensus_desk.h
 *		The consensus process's side of what it shares with backends:
 *		proposals and questions for read indexes come in, answers go out.
 *
 * Not for the backends' side (strong.h), nor for the engine: what comes in is
 * handed to the caller as values, what goes out as well.
 */
#ifndef CAUSALDB_CONSENSUS_DESK_H
#define CAUSALDB_CONSENSUS_DESK_H

#include "raft.h"

#include "shmem.h"

typedef enum ConsensusAskType
{
	ASK_PROPOSE, /* entry: new, or to be sent again */
	ASK_FORGET,  /* entry.stamp: its backend waits no more */
	ASK_READ,    /* id: a batch of readers */
	ASK_CANCEL   /* id: none of that batch waits any more */
} ConsensusAskType;

typedef struct ConsensusAsk
{
	ConsensusAskType type;
	uint64 id;
	RepRaftEntry entry; /* lives until the next call */
} ConsensusAsk;

extern void consensus_desk_init(NodeShared *node);
/* Something may have come in since the last round of consensus_desk_next. */
extern bool consensus_desk_wanted(void);
/* What to tell the engine next; false at the end of the round. */
extern bool consensus_desk_next(ConsensusAsk *ask);
/* The engine has been told to forget it. */
extern void consensus_desk_forgotten(RepStamp stamp);
/* All proposals without verdict come again in the next round. */
extern void consensus_desk_resubmit(void);

extern void consensus_desk_verdict(const RepRaftAction *a, uint32 winner);
extern void consensus_desk_read_ready(uint64 id, uint64 index);
extern void consensus_desk_read_failed(uint64 id);

/*
 * Entries up to `commit` are committed and durable in our log. Moves `applied`
 * over entries that write nothing (`pass` does that of an index), and wakes who
 * has its turn.
 */
extern void consensus_desk_commit(uint64 commit);
extern void consensus_desk_advance(bool (*pass)(uint64 index));

#endif
