/*
 * certify.h
 *		First committer wins: who last wrote a key, and at which index.
 *
 * A key is a row or a unique value, as a hash of what the index calls equal.
 * A collision of hashes is a conflict that is none: safe, and rare.
 *
 * Not for deciding what is in the log: the leader asks before it appends and
 * notes after it has. A new leader starts empty and notes its own log.
 *
 * Invariants
 * 1. For each key whose last write is above `low`, that index is here.
 * 2. A base below `low` is never accepted: what is forgotten may have been a
 *	  conflict. So memory is bounded, and forgetting costs only retries.
 * 3. At most `cap` noted writes are remembered, the oldest go first.
 */
#ifndef REP_CERTIFY_H
#define REP_CERTIFY_H

#include "arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum RepKeyMode
{
	REP_KEY_EXCLUSIVE = 1, /* written */
	REP_KEY_SHARED = 2     /* must stay as it is, as a foreign key's parent */
} RepKeyMode;

typedef struct RepKey
{
	uint64_t hash;
	uint64_t base; /* index that had been applied when the row was locked */
	RepKeyMode mode;
} RepKey;

typedef enum RepCertifyResult
{
	REP_CERTIFY_OK,
	REP_CERTIFY_CONFLICT, /* written above its base, at *index */
	REP_CERTIFY_OLD_BASE  /* base is below what is remembered */
} RepCertifyResult;

typedef struct RepCertifySlot
{
	uint64_t hash;
	uint64_t exclusive; /* index of the last such use; 0: none */
	uint64_t shared;
} RepCertifySlot;

typedef struct RepCertifyNote
{
	uint64_t hash;
	uint64_t index;
} RepCertifyNote;

typedef struct RepCertify
{
	RepCertifySlot *slots; /* open addressing, at most half full */
	RepCertifyNote *notes; /* a ring, oldest first */
	uint32_t mask;
	uint32_t cap;
	uint32_t head;
	uint32_t count;
	uint64_t low;
} RepCertify;

extern void rep_certify_init(RepCertify *c, RepArena *a, uint32_t cap);
/* Forgets everything; nothing at or below `low` is remembered. */
extern void rep_certify_reset(RepCertify *c, uint64_t low);
/* Sets *key and *index when the answer is not OK. */
extern RepCertifyResult rep_certify_check(const RepCertify *c,
										  const RepKey *keys, uint32_t n,
										  uint64_t *key, uint64_t *index);
/* The entry at `index` (above all before) used these keys; n <= cap. */
extern void rep_certify_note(RepCertify *c, const RepKey *keys, uint32_t n,
							 uint64_t index);

#endif
