/*
 * tags_check.h
 *		What cannot be tagged, and why.
 *
 * Every refusal is an ERROR with SQLSTATE, detail and the statement to type.
 */
#ifndef CAUSALDB_TAGS_CHECK_H
#define CAUSALDB_TAGS_CHECK_H

#include "postgres.h"

#include "nodes/bitmapset.h"
#include "utils/relcache.h"

/* ERROR unless rel is a table whose rows can have eventual columns. */
extern void tags_check_table(Relation rel);
/*
 * ERROR unless the columns can be eventual together; `tagged` has attribute
 * numbers, those tagged before included, without the key's.
 */
extern void tags_check_columns(Relation rel, const Bitmapset *tagged);
/* NOTICEs and WARNINGs for who tags it. */
extern void tags_check_advise(Relation rel);
/* ERROR unless the column may merge by the rule. */
extern void tags_check_rule(Relation rel, AttrNumber attnum, const char *rule);
/* Attribute numbers of the primary key; NULL if there is none. */
extern Bitmapset *tags_check_key(Relation rel);

#endif
