/*
 * tag_document.h
 *		Changes of tags as documents.
 *
 * A change of a tag is a function of a JSON document that names everything by
 * name, so that it means the same on every node:
 *
 *	{"op": "set_consistency", "schema": s, "table": t, "level": "eventual",
 *	 "columns": null | [c, ...]}
 *	{"op": "unset_consistency", "schema": s, "table": t}
 *	{"op": "set_merge", "schema": s, "table": t, "column": c, "rule": r,
 *	 "options": {...}}
 *	{"op": "set_row_policy", "schema": s, "table": t, "policy": p}
 *
 * What makes eventual columns strong, or strong ones eventual or untagged, is
 * not carried out as set_consistency or unset_consistency but in steps that
 * tag_fence.h explains, with the same members, and "level": "none" for the
 * latter: "fence" (nobody writes the table from here on), then "settle" (it is
 * so) or "unfence" (it stays as it was).
 *
 * A node that joins is told "keep_merge" instead of set_merge: of strong columns
 * too, whose rule holds again when they are eventual.
 *
 * Not for what they mean (tags.h).
 */
#ifndef CAUSALDB_TAG_DOCUMENT_H
#define CAUSALDB_TAG_DOCUMENT_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* as a level: without a tag */
#define TAG_LEVEL_NONE "none"

/* one change, read from its document; what it does not say is NULL */
typedef struct TagChange
{
	char *op;
	char *schema;
	char *table;
	char *level;
	List *columns; /* of char *; NIL: all, later ones too */
	char *column;
	char *rule;
	char *options;
	char *policy;
} TagChange;

/* ERROR XX001 if it is no document, or names no op, schema or table. */
extern TagChange tag_document_read(const char *change);
extern void pg_attribute_noreturn() tag_document_refuse(const char *change,
													   const char *what);

/* {"op": ..., "schema": ..., "table": ... and no end yet */
extern void tag_document_begin(StringInfo out, const char *op, Relation rel);
extern void tag_document_add(StringInfo out, const char *name,
							 const char *value);
extern void tag_document_add_columns(StringInfo out, List *columns);
/* Columns as text[]. */
extern Datum tag_document_names(List *columns);
/* Is the table without a tag after the change, or what it is a step of? */
extern bool tag_document_ends_tag(const TagChange *c);
/* A set_consistency or unset_consistency with another op; palloc'd. */
extern char *tag_document_with_op(const char *change, const char *op);
/* The table's name for people, and its hash as catalog.h has it. */
extern char *tag_document_table(const char *change, uint64 *name_hash);

#endif
