/*
 * strong_commit.h
 *		A strong transaction at its commit: proposed, decided, in its turn.
 *
 * What certification, order and majority mean is the engine's (replicator/
 * raft.h); here is the backend that waits for it.
 *
 * Invariants
 * 1. Until the proposal is handed over, any error is definite: nothing was
 *	  proposed. From then until the verdict nothing but a verdict is definite.
 * 2. Once the verdict is "committed", whatever becomes of the local
 *	  transaction, the entry is applied here: by it, or by the player.
 * 3. From its turn to the end of its commit a backend takes no interrupts, so
 *	  that nobody can abort it in between.
 */
#ifndef CAUSALDB_STRONG_COMMIT_H
#define CAUSALDB_STRONG_COMMIT_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "certify.h"
#include "raft_types.h"

/* bytes a strong transaction may write */
#define STRONG_MAX_BYTES (16 * 1024 * 1024)

/*
 * At PRE_COMMIT, when all rows are written; `truncates`: or tables. Returns in this transaction's turn
 * with its log row inserted; what then commits is the entry. ERROR: 40001 it
 * lost, try again; 57P03 no quorum, nothing was done; 54000 too large; 40003
 * committed or not, this session does not know, or it is committed but not by
 * this session; 23I01 its idempotency key is used.
 */
extern void strong_commit(StringInfo payload, const RepKey *keys,
						  uint32 nkeys, bool truncates);
/*
 * Puts what a payload says into the log without any transaction of this
 * database: the player plays it here as on every node. COMMITTED, at *index; or
 * CONFLICT with the entry at *index. ERROR as above; what has a slot in
 * its own commit must not call it.
 */
extern RepRaftVerdict strong_commit_detached(StringInfo payload,
											 const RepKey *keys, uint32 nkeys,
											 int timeout_ms, uint64 *index);
/*
 * Puts it into the log that the stamp's transaction shall not be, unless it is
 * there. COMMITTED, ABORTED, or OLD_STAMP: it is in what this node has applied
 * up to *index, or nowhere. ERROR 57P03 where nobody decides in time.
 */
extern RepRaftVerdict strong_commit_abort(const RepStamp *stamp,
										  uint64 *index);
/*
 * Puts it into the log that nothing certified before, by that key's base, may
 * come behind: ABORTED. CONFLICT: the key is in use at *index; OLD_BASE: again,
 * with a newer base. ERROR 57P03 as above.
 */
extern RepRaftVerdict strong_commit_claim(const RepKey *key, uint64 *index);
extern void pg_attribute_noreturn() strong_commit_undecided(void);
/* A stamp that no transaction has, above all that this node ever gave. */
extern RepStamp strong_commit_fresh_stamp(void);
/* ERROR where no strong write can be: not a node, SERIALIZABLE. */
extern void strong_commit_check(void);

#endif
