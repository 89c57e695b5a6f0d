/*
 * tags.h
 *		Tags: which columns have which consistency, and how they merge.
 *
 * A change of a tag is a function of a document (tag_document.h) that names
 * everything by name, so that it means the same on every node.
 *
 * Invariants
 * 1. tags_apply is idempotent: a document applied twice is applied once.
 * 2. A change of a tag holds SHARE ROW EXCLUSIVE or more on the table to the
 *	  end of its transaction, so no writer of the table is open across it.
 * 3. A table that cannot keep the promise is refused, with what to type.
 */
#ifndef CAUSALDB_TAGS_H
#define CAUSALDB_TAGS_H

#include "postgres.h"

#include "nodes/pg_list.h"

/*
 * Carries one change out in this database. ERROR with SQLSTATE, detail and
 * hint if it cannot be. Says nothing about rights: the caller has checked.
 */
extern void tags_apply(const char *change);

/* ERROR as tags_apply, without doing anything. */
extern void tags_check(const char *change);
/*
 * The change makes columns strong here, or strong ones eventual or untagged, or
 * is made while another one's fence is up.
 */
extern bool tags_needs_fence(const char *change);
/*
 * Columns (String) that had no tag here and become strong, with the key; the
 * key alone where rows had none. NIL: all had one.
 */
extern List *tags_fresh_columns(const char *change, Oid *relid);
/* A fence is up on the table. */
extern bool tags_fenced(const char *change);

/*
 * Set by the cluster's administration: takes a checked change and, inside a
 * cluster, sends it to the node that orders tags. True if it did; false
 * outside of a cluster, where it is carried out at once.
 */
typedef bool (*TagsRoute)(const char *change);
extern TagsRoute tags_route;

#endif
