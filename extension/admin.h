/*
 * admin.h
 *		Founding a cluster, and what its coordinator orders: ids and tags.
 *
 * The coordinator is the node that created the cluster. Calls made elsewhere
 * are carried to it and come back in the ordinary stream; a caller waits for
 * that. SQL: create_cluster, admit_node, alter_node, order_tag,
 * wait_until_ready.
 *
 * Invariants
 * 1. Ids and tags are ordered by one node, whose transactions on them
 *	  exclude each other to their ends: so their stamps are in that order.
 * 2. No transaction that is history only (stream 0) is open across the moment
 *	  at which this database becomes a node.
 */
#ifndef CAUSALDB_ADMIN_H
#define CAUSALDB_ADMIN_H

#include "postgres.h"

/* Takes the hooks of the layers below; from _PG_init. */
extern void admin_init(void);

#endif
