/*
 * unseen_index.h
 *		Where the unstable operations on a row are, by key.
 *
 * The part of unseen.c that reads the log; for its sake only. Operations are
 * named by place; whoever asks reads them there.
 *
 * Invariants
 * 1. When unseen_index_catch_up has returned true, every operation this node
 *	  has logged, is not stable, and t has not seen is in the index; and if there
 *	  are TRUNCATEs that count (truncates.h), whatever one of them has not seen.
 * 2. An entry may name an operation that was rolled back, or one twice.
 */
#ifndef CAUSALDB_UNSEEN_INDEX_H
#define CAUSALDB_UNSEEN_INDEX_H

#include "catalog.h"
#include "incoming.h"
#include "store.h"

#define UNSEEN_INDEX_MAX_ENTRIES (512 * 1024)
#define NO_CHUNK (-1)

/* where an operation is */
typedef struct Place
{
	int slot;
	uint64 position;
	int32 chunk; /* of a large transaction; else NO_CHUNK */
} Place;

typedef struct Places
{
	Place *items; /* CurrentMemoryContext */
	int n;
	int room;
} Places;

/*
 * `player`: this process plays the strong log, and others apply the rest; else
 * it applies what is not the strong log.
 */
extern void unseen_index_init(NodeShared *node, bool player);
extern void unseen_index_group(const uint64 *applied, int n);
extern void unseen_index_rolled_back(void);
/* The group is visible, and does not count as applied yet. */
extern void unseen_index_committed(void);
extern void unseen_index_forget_stable(void);

/* False: t has seen everything that is here. */
extern bool unseen_index_catch_up(const Incoming *t);
/* Makes it complete, whoever has seen what. */
extern void unseen_index_catch_up_all(void);
/* Reads what other processes of this node have logged since. */
extern void unseen_index_catch_up_others(void);
/*
 * Where operations with this hash are, each once: t's unseen ones, or, t NULL,
 * all; `adding`: those that only add to counters may be left out.
 */
extern void unseen_index_places(uint64 hash, const Incoming *t, bool adding, Places *places);
/* t has a TRUNCATE, which the log does not have yet. */
extern void unseen_index_note_truncate(const Incoming *t);
/* Other processes write the stream: it may be further than we were told. */
extern bool unseen_index_is_open(int slot);
/* As long as it is the same, so are the places of the hash. */
extern uint64 unseen_index_state(uint64 hash);
extern uint64 unseen_index_hash(Oid relid, uint64 key_hash);
extern bool unseen_index_has_seen(const Incoming *t, int slot, uint64 position);

#endif
