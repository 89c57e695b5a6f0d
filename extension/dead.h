/*
 * dead.h
 *		Rows that are dead, and were left so, by the open group.
 *
 * There is nothing to lock. A local client may insert the row meanwhile, and
 * what we have merged into the dead (or found nothing to write to) would be
 * lost on this node alone. So such keys are noted, and looked at again when
 * `started` has been raised, just before the commit: a local transaction that
 * takes its deps later has seen the group.
 *
 * Invariants
 * 1. A group commits only if no operation of this node on a noted key has
 *	  come that had not seen the group and was not looked at.
 */
#ifndef CAUSALDB_DEAD_H
#define CAUSALDB_DEAD_H

#include "shmem.h"

extern void dead_init(NodeShared *node);
extern void dead_begin_group(void);
/* The hash of UnseenOps, right after unseen_find. */
extern void dead_note(uint64 hash);
/* After `started` is raised; ERROR TARGET_YIELD: do the group again. */
extern void dead_before_commit(void);

#endif
