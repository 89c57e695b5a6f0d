/*
 * compat.h
 *		What differs between the PostgreSQL versions we build on.
 *
 * Callers are written for the newest interface; the older ones are bent to
 * it here and nowhere else.
 */
#ifndef CAUSALDB_COMPAT_H
#define CAUSALDB_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "causaldb needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys)                   \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys)                   \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* The primary key's index unless it is deferrable, or InvalidOid. */
#if PG_VERSION_NUM >= 180000
#define compat_primary_key(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define compat_primary_key(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* An empty file for the relation, whose old one goes when this commits. */
#if PG_VERSION_NUM >= 160000
#define compat_new_storage(rel)                                                \
	RelationSetNewRelfilenumber(rel, (rel)->rd_rel->relpersistence)
#else
#define compat_new_storage(rel)                                                \
	RelationSetNewRelfilenode(rel, (rel)->rd_rel->relpersistence)
#endif

/* Index entries of an inserted row; *conflict if a unique index has its key. */
#if PG_VERSION_NUM >= 160000
#define compat_insert_index_entries(info, slot, estate, conflict)              \
	ExecInsertIndexTuples(info, slot, estate, false, true, conflict, NIL, false)
#else
#define compat_insert_index_entries(info, slot, estate, conflict)              \
	ExecInsertIndexTuples(info, slot, estate, false, true, conflict, NIL)
#endif

#if PG_VERSION_NUM >= 170000
#define compat_reindex_relation(relid, flags, params)                          \
	reindex_relation(NULL, relid, flags, params)
#else
#define compat_reindex_relation(relid, flags, params)                          \
	reindex_relation(relid, flags, params)
#endif

/* The running transaction of this backend. */
#if PG_VERSION_NUM >= 170000
#define compat_lxid() (MyProc->vxid.lxid)
#else
#define compat_lxid() (MyProc->lxid)
#endif

/* Memory of a setting's check hook, or NULL. */
#if PG_VERSION_NUM >= 160000
#define compat_guc_malloc(size) guc_malloc(LOG, size)
#else
#define compat_guc_malloc(size) malloc(size)
#endif

#if PG_VERSION_NUM >= 160000
#define compat_owns_relation(relid, role)                                      \
	object_ownercheck(RelationRelationId, relid, role)
#else
#define compat_owns_relation(relid, role) pg_class_ownercheck(relid, role)
#endif

#endif
