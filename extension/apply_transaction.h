/*
 * apply_transaction.h
 *		Applies one transaction of a peer inside the caller's local one.
 */
#ifndef CAUSALDB_APPLY_TRANSACTION_H
#define CAUSALDB_APPLY_TRANSACTION_H

#include "incoming.h"

/* what the transaction was besides rows */
typedef struct ApplyEffects
{
	bool ends_group; /* it changed tags or members: commit before the next */
	bool members; /* the set of members changed */
} ApplyEffects;

extern void apply_transaction_init(NodeShared *node);
/*
 * Carries out all changes of t and inserts its log row. *chain is the hash
 * of the stream before t and becomes the one after it. Errors leave the local
 * transaction to be rolled back; apply_transaction_relation then names the
 * table it was at.
 */
extern void apply_transaction(const Incoming *t, uint64 *chain, ApplyEffects *effects);
extern const char *apply_transaction_relation(void);

/* So far ahead of our clock that it must not be observed: see skew.h. */
extern bool apply_transaction_skewed(uint64 hlc);
/* The same as an error, 55000, naming the node that wrote it. */
extern void apply_transaction_check_skew(uint32 writer, uint64 hlc);

#endif
