/*
 * tree.h
 *		Partitioned tables: which table a partition is part of, and which
 *		tables hold the rows.
 *
 * The tagged table is the root. What nodes tell each other names the root and
 * its columns only, so each node partitions as it likes.
 *
 * Words: the *root* is the topmost partitioned table, or any table that is
 * no partition; a *leaf* has rows; a *member* is the root or what is below it.
 * A partition whose DETACH CONCURRENTLY is under way, or was interrupted, is
 * *leaving*: statements on the root do not see its rows any more, so it is no
 * member. But transactions that began before still write it by the root's
 * name, and anybody by its own, so what is written to it is captured as the
 * root's until it has left; then its triggers go in the same transaction.
 */
#ifndef CAUSALDB_TREE_H
#define CAUSALDB_TREE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* The root of the table, which is itself unless it is a partition; of one that
 * is leaving the root that it leaves. */
extern Oid tree_root(Relation rel);
/* The table that it is a partition of, or is leaving, or inherits from (the
 * first of them); or none. */
extern Oid tree_parent(Oid relid);
/* Opens the root, also if a partition of it is named. */
extern Relation tree_open_root(Oid relid, LOCKMODE lock);
/* Members, the root first, each locked in that mode till the end of the
 * transaction. Of a table that is not partitioned: itself alone. */
extern List *tree_members(Relation root, LOCKMODE lock);
/* Those, and what is leaving: all whose rows are captured as the root's. */
extern List *tree_captured(Relation root, LOCKMODE lock);
extern bool tree_is_partitioned(Relation rel);
/* Has rows of its own. */
extern bool tree_is_leaf(Relation rel);
/* The member's attribute by the name of the root's, which all members have. */
extern AttrNumber tree_attribute(Relation member, Relation root,
								 AttrNumber attnum);
/* The same to write by it; ERROR 55000 if it is not as the root's: DDL on the
 * root does not reach what is leaving. */
extern AttrNumber tree_written_attribute(Relation member, Relation root,
										 AttrNumber attnum);

#endif
