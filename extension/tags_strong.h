/*
 * tags_strong.h
 *		What cannot have strong columns, and why.
 *
 * Findings as those of tags_check.h, which are asked as well.
 */
#ifndef CAUSALDB_TAGS_STRONG_H
#define CAUSALDB_TAGS_STRONG_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* May columns of the table become strong? */
extern List *tags_strong_check(Relation rel);
/* And may they here? A node that joins is none yet when it is told of them. */
extern List *tags_strong_check_cluster(void);
/* May writes of the column merge by a rule? */
extern List *tags_strong_check_rule(Relation rel, AttrNumber attnum);

#endif
