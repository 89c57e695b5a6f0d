/*
 * stall.h
 *		Transactions that could not be applied: durable marks and what an
 *		operator has decided.
 *
 * Invariants
 * 1. Before a single try of a transaction that may be what crashed us, its
 *	  mark is on disk; after STALL_CRASHES crashes it is not tried again.
 * 2. What ends the server as a whole is no crash of a transaction: a process
 *	  that crashes takes the others along, but the postmaster lives on and
 *	  starts them again. Where it is told not to (restart_after_crash), the two
 *	  cannot be told apart, and both count.
 */
#ifndef CAUSALDB_STALL_H
#define CAUSALDB_STALL_H

#include "nodes/pg_list.h"
#include "utils/elog.h"

#define STALL_CRASHES 3

/*
 * Each of these is a transaction of its own; none may be open. mark: the try
 * begins (synced if `synced`); returns how often it crashed us before.
 */
extern int stall_begin_try(int32 stream, uint64 position, bool synced);
/* In a transaction: the stream went well up to there. */
extern void stall_clear(int32 stream, uint64 position);
extern void stall_record(int32 stream, uint64 position, const ErrorData *error, const char *relation);
/* At the worker's start: tries that were under way were crashes. */
extern void stall_count_crashes(bool server_started);
/* Ids of streams with a mark above their `applied`. In a transaction. */
extern List *stall_streams(void);
/* Set aside by an operator? In a transaction. */
extern bool stall_is_aside(int32 stream, uint64 position);
/* An error of ours, for a transaction that is not tried any more. */
extern ErrorData *stall_crash_error(int crashes);

#endif
