/*
 * tag_fence.h
 *		Making eventual columns strong, or strong ones eventual or untagged,
 *		while clients of all nodes write them.
 *
 * A write of the old tag and one of the new, of which neither has seen the
 * other, would be merged by one node and ordered by another. So the change
 * goes through the strong log in two entries, and between them nobody writes
 * the table:
 *
 *	fence	Who plays it waits for the table's writers to end, and refuses new
 *			ones (40001). Reads are strong from here on.
 *	settle	When every node has played the fence, and has applied whatever any
 *			node wrote before it did: the new tag, writers are let in again.
 *	unfence	Instead, when that does not come in time or the call is cancelled:
 *			the tag stays as it was.
 *
 * Invariants
 * 1. In the log, a fence is followed by one settle or unfence that names its
 *	  index, unless another fence of the table comes in between, which takes
 *	  its place: the leader refuses what has not seen the last of them.
 * 2. No transaction that wrote the table before a node played an entry of this
 *	  kind stands in the log behind it (strong_commit.c, with_tags).
 * 3. When settle is in the log, no node can ever apply an old write of the
 *	  table that it does not have already.
 *
 * doc/consistency.md has the argument. Not for what a tag means (tags.h).
 */
#ifndef CAUSALDB_TAG_FENCE_H
#define CAUSALDB_TAG_FENCE_H

#include "postgres.h"

/*
 * Carries out a change that tags_needs_fence names, in causaldb.strong_timeout.
 * ERROR, and the old tag is in force: 57P03 that names the member which holds it
 * back, 40001 where somebody else changes the tag at once, or any other error
 * of the call, as when it is cancelled. ERROR 40003: it may be either.
 */
extern void tag_fence_change(const char *change);

#endif
