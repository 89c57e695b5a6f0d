/*
 * strong_error.h
 *		What a client is told of a strong transaction that did not commit, or of
 *		which nobody can tell.
 */
#ifndef CAUSALDB_STRONG_ERROR_H
#define CAUSALDB_STRONG_ERROR_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "raft_types.h"

#include "shmem.h"

/* By the slot's verdict; e and payload are what was proposed. */
extern void pg_attribute_noreturn() strong_error_refused(
	const StrongSlot *slot, const RepRaftEntry *e, StringInfo payload);
/* 40001: it held up others, and was aborted before it was decided. */
extern void pg_attribute_noreturn() strong_error_in_the_way(void);
/* 40003: no verdict. */
extern void strong_error_unknown(const RepStamp *stamp, int level);
/* 40003: committed at index, but not by this session. */
extern void strong_error_replayed(uint64 index, int level);
/* The same instead of the error that is being handled. */
extern void pg_attribute_noreturn() strong_error_convert(uint64 index);
/*
 * 23I01: the transaction with that idempotency key is the one with that stamp,
 * committed at index.
 */
extern void pg_attribute_noreturn() strong_error_key_used(
	const char *key, const RepStamp *stamp, uint64 index);
/* hlc@node:boot, as causaldb.outcome takes it; palloc'd */
extern char *strong_error_stamp(const RepStamp *stamp);

#endif
