/*
 * catalog.h
 *		What this database knows of tagged tables and of descriptors.
 *
 * Two caches: by relid for capture, by descriptor hash for apply. Both are
 * filled from causaldb.tag, tag_column, descriptor and PostgreSQL's catalogs,
 * and dropped by invalidation messages.
 *
 * Invariants
 * 1. What a cache hands out never changes; it stays valid until the end of
 *	  the transaction, also when an invalidation retires it meanwhile.
 * 2. Read tag rows only under a lock on the tagged table, or on the partition
 *	  of it, that conflicts with SHARE ROW EXCLUSIVE, which every change of a
 *	  tag holds on all of them.
 * 3. A descriptor is in causaldb.descriptor, committed or by the same
 *	  transaction, before any row that names its hash. It may be there
 *	  several times: storing it never waits for another transaction.
 */
#ifndef CAUSALDB_CATALOG_H
#define CAUSALDB_CATALOG_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/bitmapset.h"
#include "utils/relcache.h"

#include "catalog_unique.h"
#include "change.h"
#include "tuple.h"

/*
 * One table as its writers see it: a tagged one, or a partition of a tagged
 * one. A partition's descriptor is that of the root, whatever it is called.
 */
typedef struct CatalogRelation
{
	Oid relid;
	Oid root;         /* the tagged table, relid itself unless a partition */
	bool append_only; /* it has no primary key */
	RepRowPolicy policy;
	int ncolumns;             /* of the descriptor, ascending root attribute */
	AttrNumber *attnums;      /* descriptor column -> attribute */
	AttrNumber *root_attnums; /* descriptor column -> attribute of the root */
	AttrNumber max_attnum;
	TupleCodec *codecs;
	RepRule *rules;
	bool strong;      /* it has a strong column: existence is strong */
	bool fenced;      /* its tag is being changed: nobody may write it */
	uint64 name_hash; /* of schema and name, the same on every node */
	int nuniques;     /* values that the strong log orders, besides the key's */
	CatalogUnique *uniques;
	int nkeys;
	int *keys;    /* the key's descriptor columns, in descriptor order */
	bool *is_key; /* by descriptor column */
	TupleKey key; /* columns in index order; ncolumns 0 if append-only */
	uint64 hash;  /* of the descriptor */
	void *definition;
	size_t definition_len;
	bool stored; /* the descriptor is known to be committed */
} CatalogRelation;

/* one descriptor as this database can apply it */
typedef struct CatalogApply
{
	RepDescriptor descriptor;
	Oid relid;
	Oid owner;           /* of the local table */
	AttrNumber *attnums; /* descriptor column -> local attribute; 0: has none */
	TupleCodec *codecs;  /* by descriptor column, of the local type */
	int *keys;           /* the key's descriptor columns, in descriptor order */
	int *key_columns;    /* index column -> descriptor column */
	int *key_places;     /* index column -> place in `keys`, so in a change's
					  * RepChange.key */
	TupleKey key; /* the local primary key; index is InvalidOid and ncolumns
				   * 0 if append-only */
} CatalogApply;

/*
 * The table, or NULL if neither it nor the root it is a partition of is
 * tagged. The caller has it locked. ERROR 55000 if it was tagged with a key
 * that it has lost.
 */
extern CatalogRelation *catalog_relation(Oid relid);
extern CatalogRelation *catalog_relation_build(Relation rel,
											   MemoryContext context);

/*
 * How to apply changes written under the descriptor. Takes ROW EXCLUSIVE on
 * the local table. ERROR: no such descriptor XX001; no such table 42P01,
 * column 42703, type 42804, key 55000, each with the DDL to type as hint; not
 * tagged here 42501.
 */
extern CatalogApply *catalog_apply(uint64 hash);
/* It is cached: catalog_apply raises no error, unless a change comes first. */
extern bool catalog_apply_known(uint64 hash);
/* ERROR: the table here lacks the descriptor's column. */
extern void pg_attribute_noreturn() catalog_refuse_missing(
	const CatalogApply *a, int column);

/*
 * The decoded descriptor alone, cached; NULL if it is not stored. Its views
 * stay valid until the end of the transaction.
 */
extern const RepDescriptor *catalog_descriptor(uint64 hash);

/*
 * Stores a descriptor unless it is there already. ERROR XX001 if the bytes
 * are malformed or do not have this hash.
 */
extern void catalog_put_descriptor(uint64 hash, const void *bytes, size_t len);
/* ERROR XX001 if the bytes are no descriptor; nothing is stored. */
extern void catalog_check_descriptor(const void *bytes, size_t len);
/* Palloc'd bytes, or NULL if it is not stored. */
extern void *catalog_get_descriptor(uint64 hash, size_t *len);
/* Makes sure rel's own descriptor is stored, for a row that names it. */
extern void catalog_store_descriptor(CatalogRelation *rel);

/* "schema"."table", quoted as needed; palloc'd */
extern char *catalog_descriptor_name(const RepDescriptor *d);
extern char *catalog_qualified_name(Oid relid);
/* ALTER TABLE ... ADD PRIMARY KEY with all columns that can be in one. */
extern char *catalog_key_statement(Relation rel);

#endif
