/*
 * finding.h
 *		Sentences about a table: refusals, advice and what is merely so.
 *
 * Whoever looks at a table makes a list of these; one caller raises it as
 * errors and notices, another one shows it as rows. So a preview says what
 * tagging would say.
 */
#ifndef CAUSALDB_FINDING_H
#define CAUSALDB_FINDING_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* level of what is merely so: shown, never raised */
#define FINDING_FACT 0

typedef struct Finding
{
	int level;    /* ERROR: a refusal; WARNING, NOTICE, or FINDING_FACT */
	int sqlstate; /* of an ERROR */
	const char *aspect; /* a word: "key", "constraint", ... */
	char *says;
	char *detail; /* sentences, or NULL */
	char *hint;   /* sentences with what to type, or NULL */
} Finding;

/* Appends one to the list; strings are kept as they are. */
extern void finding_add(List **all, int level, int sqlstate,
						const char *aspect, char *says, char *detail,
						char *hint);
/* The first ERROR of the list, or NULL. */
extern const Finding *finding_refusal(List *all);
/* Raises the first ERROR if there is one, else each WARNING and NOTICE. */
extern void finding_raise(List *all);

#endif
