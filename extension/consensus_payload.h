/*
 * consensus_payload.h
 *		What entries write, by stamp: the payloads that the engine leaves to
 *		its host, in the consensus process's memory.
 *
 * A stamp names one transaction for ever, so it names one payload. Those of
 * entries in the table need not be here; those that are not durable yet must.
 *
 * Invariants
 * 1. A payload stays while it waits outside the log, while its entry is not
 *	  durable, and while its own backend waits.
 * 2. Beyond that at most PAYLOAD_CACHE_BYTES are kept, oldest entries go
 *	  first.
 */
#ifndef CAUSALDB_CONSENSUS_PAYLOAD_H
#define CAUSALDB_CONSENSUS_PAYLOAD_H

#include "postgres.h"

#include "raft_types.h"

#define PAYLOAD_CACHE_BYTES ((size_t) 32 * 1024 * 1024)

extern void consensus_payload_init(void);
/* Keeps a copy; nothing new if the stamp is here. True if it is. */
extern bool consensus_payload_put(RepStamp stamp, const void *bytes,
								  size_t len);
/* NULL if it is not here. */
extern const void *consensus_payload_get(RepStamp stamp, size_t *len);
/* Its entry is in our log now, or (0) in none of which we know. */
extern void consensus_payload_logged(RepStamp stamp, uint64 index);
/* A backend of ours waits for its verdict, or does no more. */
extern void consensus_payload_pin(RepStamp stamp, bool pinned);
/* Of a stamp that waits nowhere: forgotten, unless logged or pinned. */
extern void consensus_payload_drop(RepStamp stamp);
/* Entries from `index` on were cut off our log. */
extern void consensus_payload_cut(uint64 index);
/* Forgets what is neither logged nor pinned: nothing waits outside the log. */
extern void consensus_payload_sweep(void);
/* Entries up to `index` are durable: they may go. */
extern void consensus_payload_durable(uint64 index);

#endif
