/*
 * dead.h
 *		Rows that are dead, and were left so, by the open group.
 *
 * There is nothing to lock. Somebody else may insert the row meanwhile, and
 * what we have merged into the dead (or found nothing to write to) would be
 * lost on this node alone. So such keys are noted, and looked at again when
 * `started` has been raised, just before the commit. Who may it be?
 *
 * - A local client. It writes its row, then takes its deps, then commits: if its
 *	 deps do not name the group, its row, finished or not, is there at our
 *	 second look. That holds for strong transactions too, whose commit may come
 *	 long after.
 * - The other process that applies (the player of the strong log, or the apply
 *	 worker). It writes its row, then looks for what its transaction has not
 *	 seen. Between our second look and our commit it must not do that, as our
 *	 log is not visible yet: it waits.
 *
 * Invariants
 * 1. A group commits only if no operation of another process on a noted key
 *	  has come that had not seen the group and was not looked at.
 * 2. Of two groups, one of either process, that have both noted keys, one is
 *	  through with its commit before the other looks a second time.
 * 3. Who waits here for the other process holds nothing that this one waits for
 *	  until it has committed: a group past its second look waits for nobody.
 */
#ifndef CAUSALDB_DEAD_H
#define CAUSALDB_DEAD_H

#include "catalog.h"
#include "shmem.h"

extern void dead_init(NodeShared *node, ApplyRole role);
extern void dead_begin_group(void);
/*
 * The row of that table with this key; hash is that of UnseenOps, right after
 * unseen_find. The caller has become the owner.
 */
extern void dead_note(uint64 hash, const CatalogApply *apply, const Datum *key);
/* After `started` is raised; ERROR TARGET_YIELD: do the group again. */
extern void dead_before_commit(void);
/* The group is committed, or rolled back. */
extern void dead_end_group(void);
/* After a row is written where there was none, before concurrent operations on
 * it are looked for. */
extern void dead_wait_for_other(void);

#endif
