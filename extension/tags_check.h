/*
 * tags_check.h
 *		What cannot be tagged, and why.
 *
 * Each answers with findings (finding.h), so that a preview says what tagging
 * would. A refusal has SQLSTATE, detail and the statement to type.
 *
 * Of a partitioned table all partitions are looked at as well.
 */
#ifndef CAUSALDB_TAGS_CHECK_H
#define CAUSALDB_TAGS_CHECK_H

#include "postgres.h"

#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* Has this node tables of the cluster at all? */
extern List *tags_check_node(void);
/* Is rel a table whose rows can have eventual columns? After a refusal of its
 * kind the others must not be asked. */
extern List *tags_check_table(Relation rel);
/*
 * Can the columns be tagged together? `tagged` has attribute numbers, those
 * tagged before included, without the key's; `strong` are those among them
 * that are strong.
 */
extern List *tags_check_columns(Relation rel, const Bitmapset *tagged,
								const Bitmapset *strong);
/* Is anything computed from these strong columns and from others together? */
extern List *tags_check_mixed(Relation rel, const Bitmapset *strong);
/* NOTICEs and WARNINGs for who tags it. */
extern List *tags_check_advice(Relation rel);
/* May the column merge by the rule? */
extern List *tags_check_rule(Relation rel, AttrNumber attnum,
							 const char *rule);
/* Attribute numbers of the primary key; NULL if there is none. */
extern Bitmapset *tags_check_key(Relation rel);

#endif
