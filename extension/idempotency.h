/*
 * idempotency.h
 *		Which idempotency keys are used: causaldb.idempotency.
 *
 * Not for what a transaction with a key does about it (strong_key.h).
 *
 * Invariants
 * 1. The row of a key is inserted in the local transaction that applies the
 *	  entry of the strong log which has it, so a snapshot that has the one has
 *	  the other.
 * 2. A key that was used once is free again idempotency_retention after the
 *	  stamp of who used it; rows go later than that by max_clock_skew, which is
 *	  as much as another node's clock, by which a copied row was kept, may be
 *	  behind. Who uses it again is one at a time, as the key is certified.
 */
#ifndef CAUSALDB_IDEMPOTENCY_H
#define CAUSALDB_IDEMPOTENCY_H

#include "postgres.h"

#include "stamp.h"

/* who used a key */
typedef struct IdempotencyUse
{
	uint64 index; /* in the strong log */
	RepStamp stamp;
} IdempotencyUse;

/* what the entry at an index of this node's strong log is to a key */
typedef enum IdempotencyEntry
{
	IDEMPOTENCY_NONE,  /* another one's, or not there any more */
	IDEMPOTENCY_USE,   /* the transaction that has it */
	IDEMPOTENCY_CLAIM, /* an entry that keeps out who had it before */
} IdempotencyEntry;

/* As certified (certify.h); the same on every node. */
extern uint64 idempotency_hash(const char *key);
/* The last use of the key that is applied here; false if none is known. */
extern bool idempotency_find(const char *key, IdempotencyUse *use);
/* By now the key is not free again yet. */
extern bool idempotency_is_kept(const IdempotencyUse *use);
/* Reads what is committed at that index; fills use unless NONE. */
extern IdempotencyEntry idempotency_read(uint64 index, const char *key,
										 IdempotencyUse *use);
/* The running transaction applies that entry, which has the key. */
extern void idempotency_insert(const void *key, size_t len,
							   const IdempotencyUse *use);
/* Deletes what is long free again. */
extern void idempotency_forget(void);

#endif
