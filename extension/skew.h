/*
 * skew.h
 *		Whether our clock is to be believed: against the time since boot, and
 *		against the peers' clocks.
 *
 * Two decisions, both by causaldb.max_clock_skew. Of the server: does the
 * time of its nodes (wall.h) go on following the wall clock? Of a node, once
 * after each start: is that time the cluster's? Until that is known, and
 * where it is not, its clock counts on from its mark without looking at the
 * time, and rows are not written: what is stamped too far ahead cannot be
 * taken back.
 *
 * Not for a peer's stamps that are ahead (apply_transaction.c).
 *
 * Invariants
 * 1. A wall clock that moves by more than max_clock_skew other than by
 *	  elapsed time and a drift below a tenth, or away from every peer that
 *	  can be reached, is not followed; unless a peer has it and none has ours.
 * 2. Peers in the same server have our clock, so they say nothing about it.
 * 3. A node that is trusted stays so until the server starts again.
 * 4. A node with peers is trusted only if both its time and where its clock
 *	  stands are near some peer's; or an operator says so.
 */
#ifndef CAUSALDB_SKEW_H
#define CAUSALDB_SKEW_H

#include "shmem.h"

/* One look at the wall clock, every second or so: the supervisor's. */
extern void skew_look(void);

/* Decides on a node that is not trusted yet; cheap where it is. */
extern void skew_judge(NodeShared *node);

/*
 * Where writes are refused: palloc'd, by how much this node's clock is off
 * from the nearest peer.
 */
extern char *skew_detail(NodeShared *node);

#endif
