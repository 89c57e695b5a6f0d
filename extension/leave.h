/*
 * leave.h
 *		A database that stops being a node because its extension is gone.
 *
 * Not for leaving a cluster that goes on with the others' consent.
 */
#ifndef CAUSALDB_LEAVE_H
#define CAUSALDB_LEAVE_H

#include "shmem.h"

/*
 * False if the extension was dropped, or made anew, under our feet. Outside
 * of a transaction; for the apply worker.
 */
extern bool leave_is_node(const NodeShared *node);

/*
 * Makes this an ordinary database again: the sender and the sessions of peers
 * end, and what the processes of this server share about it is as if it had
 * never been a node. Does nothing where there was none. The caller, the apply
 * worker, exits.
 */
extern void leave_cluster(void);

#endif
