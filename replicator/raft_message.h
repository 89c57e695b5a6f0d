/*
 * raft_message.h
 *		The engine's messages as bytes.
 *
 * Payloads do not travel in here: the host puts them behind, in the order of
 * the entries, each payload_size bytes.
 *
 * Invariants
 * 1. Decoding allocates from the caller's arena only, and never more than a
 *	  small multiple of the input's length.
 * 2. Malformed input makes the reader bad and decode returns false; what the
 *	  message means is for the engine to judge.
 */
#ifndef REP_RAFT_MESSAGE_H
#define REP_RAFT_MESSAGE_H

#include "bytes.h"
#include "raft_types.h"

#define REP_RAFT_MESSAGE_VERSION 1

extern void rep_raft_message_encode(const RepRaftMessage *m, RepWriter *w);
/* Reads one message; what follows it is left in the reader. */
extern bool rep_raft_message_decode(RepReader *r, RepArena *a,
									RepRaftMessage *m);
/* One entry, for the host that keeps its log as bytes. */
extern void rep_raft_entry_encode(const RepRaftEntry *e, RepWriter *w);
extern bool rep_raft_entry_decode(RepReader *r, RepArena *a, RepRaftEntry *e);
extern void rep_raft_base_encode(const RepRaftBase *b, RepWriter *w);
extern bool rep_raft_base_decode(RepReader *r, RepArena *a, RepRaftBase *b);

#endif
