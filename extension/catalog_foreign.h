/*
 * catalog_foreign.h
 *		Foreign keys of strong tables, as their writers see them.
 *
 * A row that refers to another one is good as long as that one is there. The
 * strong log keeps that over nodes: who writes the first certifies a key that
 * tells the second one, shared, and who takes the second away has that key
 * exclusively (capture_keys.h).
 *
 * Words: the *child* refers to the *parent*. What a foreign key refers to is the
 * parent's primary key, or the columns of another unique constraint.
 *
 * Whether the parent is strong is not looked at: a key that nobody has
 * exclusively costs little, and a parent that becomes strong while the child's
 * transaction is open is then no case of its own.
 *
 * Invariants
 * 1. What catalog_foreign_of hands out never changes; it stays valid until the
 *	  end of the transaction.
 * 2. A foreign key is there only if all its columns are strong or of the key,
 *	  so no transaction but a strong one changes what a row refers to.
 */
#ifndef CAUSALDB_CATALOG_FOREIGN_H
#define CAUSALDB_CATALOG_FOREIGN_H

#include "postgres.h"

#include "fmgr.h"

#include "catalog.h"

typedef struct CatalogForeign
{
	Oid parent; /* the table, or the partition of one */
	Oid root;   /* itself, or what the parent is a partition of */
	bool to_key;      /* it refers to the primary key */
	uint64 name_hash; /* of the parent, with the columns unless to_key */
	TupleKey key;     /* the parent's index, with attributes and hash functions
					   * of the child; eq is not for these */
	FmgrInfo *casts;  /* by column, before it is hashed; fn_oid 0: none */
} CatalogForeign;

typedef struct CatalogForeigns
{
	bool referred; /* some foreign key refers to this table */
	int n;
	CatalogForeign *items;
} CatalogForeigns;

/* Those of the table, which the caller has locked. */
extern CatalogForeigns *catalog_foreign_of(const CatalogRelation *r);

/* What is missing for the strong log to keep a foreign key. */
typedef enum CatalogForeignGap
{
	CATALOG_FOREIGN_HOLDS,
	CATALOG_FOREIGN_CHILD,  /* the child, or a column of it, is not strong */
	CATALOG_FOREIGN_PARENT, /* the parent, or a column of it, is not */
	CATALOG_FOREIGN_INDEX,  /* values of that unique index are not ordered */
	CATALOG_FOREIGN_TYPES   /* the child's values have no hash of the parent's */
} CatalogForeignGap;

/* As tags are now. Of a constraint that is there and is a foreign key. */
extern CatalogForeignGap catalog_foreign_gap(Oid constraint);

#endif
