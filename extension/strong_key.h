/*
 * strong_key.h
 *		The idempotency key of the running transaction: the same transaction,
 *		sent as often as one likes and to whichever nodes, takes effect once.
 *
 * The key is certified like a row that the transaction writes. Which keys are
 * used is idempotency.h.
 *
 * Invariants
 * 1. The key's base is read before the key is looked up. So who used it is at
 *	  or below the base, and found; or above, and then the leader refuses this
 *	  transaction; or there is none.
 * 2. It is looked up before the transaction's first strong write, as soon as
 *	  a statement shows that it may come. An entry that claims the key from
 *	  then on keeps this transaction out of the log.
 * 3. On one node transactions with one key follow each other, so that the
 *	  second is told what it is, and not what its writes run into.
 * 4. A key counts in the transaction it was set in, and no transaction has two.
 */
#ifndef CAUSALDB_STRONG_KEY_H
#define CAUSALDB_STRONG_KEY_H

#include "postgres.h"

typedef struct StrongKey
{
	const char *text;
	uint64 hash;
	uint64 base;
} StrongKey;

extern void strong_key_init(void);
/*
 * A statement is about to begin that may write strong columns. It waits for a
 * transaction with the same key on this node, and until this node has what was
 * acknowledged anywhere. ERROR 23I01 if the key is used, 55000 if it is not of
 * this transaction.
 */
extern void strong_key_before_write(void);
/* A row was written strongly. Errors as above. */
extern void strong_key_note(void);
/* At PRE_COMMIT of a strong transaction: its key, or NULL. Errors as above. */
extern const StrongKey *strong_key_at_commit(void);
/* At PRE_COMMIT, what was captured is not strong. ERROR 0A000 with a key. */
extern void strong_key_refuse_eventual(void);
/*
 * It was refused because of its key, by the entry at that index. 23I01 if that
 * is the same transaction, else 40001.
 */
extern void pg_attribute_noreturn() strong_key_lost(const StrongKey *key,
													uint64 index);

#endif
