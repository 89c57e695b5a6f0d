/*
 * token.h
 *		Tokens: what a node holds, as text that another node can wait for.
 *
 *	1:NODE-BOOT@MILLISECONDS.COUNTER,...
 *
 * 1 is the format's version; then for each stream its node's id, its boot in
 * hex and the position up to which the node holds it. A stream that a reader
 * does not know is one it still has to hear of.
 *
 * Invariants
 * 1. A token covers every transaction that a snapshot taken before it could
 *	  see, also one whose commit is not finished in every respect.
 * 2. A wait is over once everything named is visible to the next snapshot.
 */
#ifndef CAUSALDB_TOKEN_H
#define CAUSALDB_TOKEN_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "shmem.h"

/* The token of this node, palloc'd. */
extern char *token_make(NodeShared *node);

/*
 * Waits until this node holds what the token names. True if it does; false
 * after timeout_ms, with a sentence on the first stream that lags in *lag.
 * ERROR 22023 if the token is malformed.
 */
extern bool token_wait(NodeShared *node, const char *token, int64 timeout_ms,
					   char **lag);

/* A position's time, milliseconds of the wall clock. */
extern TimestampTz token_time(uint64 position);

/* Milliseconds of an interval (a month is 30 days), at most a year. */
extern int64 token_milliseconds(const Interval *interval);

#endif
