/*
 * horizon.h
 *		How much of each stream all strong transactions to come have seen.
 *
 * What every member has acknowledged is stable as far as eventual transactions
 * go: whatever a member wrote before that word of it is here already, as both
 * stand in its stream. A strong transaction stands in nobody's stream. It may
 * have taken its deps before its node acknowledged anything, and still be on
 * its way to the log, or in it and not played here. Who forgot by then what it
 * has not seen would take that for seen, and end with other values than the
 * nodes that played it earlier.
 *
 * So the leader notes what all members (nobody else may propose) have
 * acknowledged, E, and where its log ends, c. When all have applied an entry
 * above c it logs a *horizon*: E, with c + 1 as position of the strong stream;
 * and from then on it refuses (40001) whose deps name less of that stream.
 *
 * Why that is enough: the entry at c + 1 was appended when every member had E.
 * So deps that name it were taken after that. Their node had E then, and they
 * cover it, or leave out what has retired there.
 *
 * Invariants
 * 1. When a horizon has been applied here, every strong transaction that is
 *	  still to be applied here has seen all that it names. So what is stable by
 *	  it need not be known to any of them, and all nodes decide alike: by deps.
 * 2. Deps are never older than the strong position that they name: that is
 *	  read first (clock_strong).
 * 3. A stream retires only when every member has applied the horizon by which
 *	  it is stable. So no node hears that a stream is left out, and takes it for
 *	  stable, while it has yet to play what has not seen all of it.
 */
#ifndef CAUSALDB_HORIZON_H
#define CAUSALDB_HORIZON_H

#include "vector.h"

#include "shmem.h"

/* There are strong transactions; otherwise no horizons, and no need of them. */
extern bool horizon_counts(NodeShared *node);
/* Of what every member has acknowledged of the stream, how much is stable. */
extern uint64 horizon_limit(NodeShared *node, int slot, uint64 everywhere);
/* Every member has applied what made the stream stable (invariant 3). */
extern bool horizon_is_everywhere(NodeShared *node, int slot);
/*
 * The horizon that the leader should log next, if any: false if none is due.
 * `newest` is that of its log, which ends at `last`. v has room for
 * REP_MAX_VECTOR. To be asked again whenever some time has passed.
 */
extern bool horizon_next(NodeShared *node, uint64 term, uint64 last,
						 const RepVector *newest, RepVector *v);
/* What was noted does not count: not all who propose are members. */
extern void horizon_forget(void);
/*
 * The horizon is that of the entry at index, and all entries before that are
 * applied here; before `applied` tells of it.
 */
extern void horizon_applied(NodeShared *node, const RepVector *horizon,
							uint64 index);

#endif
