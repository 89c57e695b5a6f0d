/*
 * watchdog.h
 *		Makes apply the victim of every deadlock with a local client.
 */
#ifndef CAUSALDB_WATCHDOG_H
#define CAUSALDB_WATCHDOG_H

#include "shmem.h"

/* how often a waiting apply worker is looked at */
#define WATCHDOG_MS 20

/* Some process that waits for `pid` is, over any number of others, what pid
 * waits for. Looks at the lock tables once for each process on the way. */
extern bool watchdog_in_cycle(int32 pid);
/* Cancels what the apply worker does if it waits in a cycle. */
/* The apply worker waits for some lock, so that a look is due soon. */
extern bool watchdog_wanted(NodeShared *node);
extern void watchdog_look(NodeShared *node);

#endif
