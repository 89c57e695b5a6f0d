/*
 * target.h
 *		A table as the apply worker writes it: open, with its executor state,
 *		rows found and locked by key.
 *
 * Of a partitioned table rows are written where it routes them here; who asks
 * sees them in the form of the table itself.
 *
 * Invariants
 * 1. A row is locked before its concurrent operations are looked up.
 * 2. No wait for a lock of a local client starts while that client, over any
 *	  number of others, waits for us; and none at all while an open group
 *	  holds other transactions' rows (target_wait).
 * 3. The caller has become the table's owner, under
 *	  SECURITY_RESTRICTED_OPERATION: defaults, index expressions and triggers
 *	  are code of users.
 * 4. A new command begins only where a row is locked that the present one has
 *	  written, or where users' triggers may look. The server keeps, to the end of
 *	  the transaction, each pair of commands one of which has written a row and
 *	  the other has written it again: there are as many of them as commands at
 *	  the origin, not as rows.
 */
#ifndef CAUSALDB_TARGET_H
#define CAUSALDB_TARGET_H

#include "access/genam.h"
#include "access/tupconvert.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"

#include "catalog.h"
#include "route.h"
#include "shmem.h"

/*
 * SQLSTATE of "cannot wait here": the group is rolled back and the transaction
 * tried again alone, after the blocker is gone. Never seen by a user.
 */
#define TARGET_YIELD MAKE_SQLSTATE('C', 'D', 'B', '0', '1')

/* a table with rows: the target itself, or one of its partitions */
typedef struct Leaf
{
	Relation rel;
	Relation key_index; /* NULL: append-only */
	IndexScanDesc scan; /* of key_index; holds no page between looks */
	SnapshotData dirty; /* the scan's */
	ResultRelInfo *info;
	bool fires; /* user triggers may fire */
	bool takes_any; /* see target_insert_first */
	TupleTableSlot *found; /* the row as it stands, in the leaf's form */
	TupleTableSlot *fresh; /* room for the row to write in the leaf's form */
	TupleConversionMap *to_root; /* NULL: the forms are the same */
	TupleConversionMap *from_root;
} Leaf;

typedef struct Target
{
	Oid relid; /* hash key */
	Relation rel;
	CatalogRelation *tagged; /* how it is tagged here */
	EState *estate;
	ResultRelInfo *info;
	EPQState epq;
	Route *route; /* NULL: not partitioned */
	List *leaves; /* Leaf; of a partitioned table those used so far */
	Leaf *leaf; /* where the found row is */
	TupleTableSlot *found; /* the row as it stands */
	TupleTableSlot *fresh; /* the row to write */
	TupleTableSlot *probe; /* a row of nothing but a key, for the route */
	TupleTableSlot *converted; /* room for a found row in the target's form */
	ExprState **defaults; /* by attribute, of those not replicated */
} Target;

/* Waits of the apply worker are shown and watched in shared memory. */
extern void target_init(NodeShared *node, ApplyRole role, int clients_deadlock_timeout_ms);
/* Around a group: its targets are closed at its end. `alone`: the group has
 * one transaction only, so it may wait. */
extern void target_begin_group(void);
extern void target_set_alone(bool alone);
/* Deferred triggers of this transaction fire with the row, as the owner of its
 * table: at the commit they would fire as the worker. */
extern void target_fire_at_once(void);
extern void target_end_group(void);
extern void target_abort_group(void);
/* Inside a group, before a TRUNCATE or DDL. */
extern void target_close_all(void);

extern Target *target_open(Oid relid);
/* Keeps everybody else out of the table and its partitions until the end of
 * the group. */
extern void target_lock_table(Oid relid);
/*
 * Finds the row with this key (values in index order) and locks it; its
 * values are then in t->found. False if there is none: nothing is locked then,
 * and whoever inserts must look for concurrent operations once more behind
 * the new index entry. `whole`: it is to be deleted.
 */
extern bool target_lock_row(Target *t, const Datum *key, bool whole);
/*
 * Another transaction's row with this key stands in the table, or is just being
 * written; locks nothing and does not wait. The caller has become the owner.
 */
extern bool target_is_there(Oid relid, const Datum *key);
/* Fills t->fresh with NULLs or defaults; the caller sets what it knows. */
extern void target_new_row(Target *t, const bool *known);
/* The row in t->found was written by the open group. */
extern bool target_wrote_found(Target *t);
/* t->fresh becomes a copy of t->found. */
extern void target_copy_row(Target *t);
extern void target_insert(Target *t);
/*
 * Inserts t->fresh although nobody has looked for its key. True: no unique
 * index knew it, and now no other transaction can insert it; the caller looks
 * for concurrent operations and then says keep or undo. False: nothing is
 * left of it, or was not tried; the caller goes the usual way. A group that
 * has undone an insert never waits (its dead row would make others wait for
 * it whom it may be waiting for): it gives up, and the next one does not try.
 */
extern bool target_insert_first(Target *t);
extern void target_undo_insert(Target *t);
extern void target_keep_insert(Target *t);
extern void target_update(Target *t);
extern void target_delete(Target *t);

/* The transaction that made target_lock_row give up; waits for its end. */
extern void target_wait_for_blocker(void);

#endif
