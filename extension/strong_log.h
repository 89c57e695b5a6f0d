/*
 * strong_log.h
 *		Rows of causaldb.strong_log, written and read without SQL.
 *
 * Not for what the bytes mean (replicator/raft_message.h), nor for who may
 * write when (consensus_store.h).
 */
#ifndef CAUSALDB_STRONG_LOG_H
#define CAUSALDB_STRONG_LOG_H

#include "postgres.h"

#include "utils/snapshot.h"

/* The row of one index; a second one is ERROR 23505. */
extern void strong_log_insert(uint64 index, uint64 term, bytea *entry,
							  bytea *payload);
/*
 * The row as the snapshot sees it, its bytes in CurrentMemoryContext; false
 * if there is none. What is not asked for is NULL.
 */
extern bool strong_log_read(uint64 index, Snapshot snapshot, bytea **entry,
							bytea **payload);

#endif
