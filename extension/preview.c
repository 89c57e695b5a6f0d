/*
 * preview.c
 *		What tagging a table would say, before it is tagged.
 *
 * The same findings that set_consistency raises, all of them, as rows. What
 * is merely so (facts) causaldb.preview adds in SQL.
 */
#include "postgres.h"

#include "access/relation.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "finding.h"
#include "tags_check.h"
#include "tree.h"

PG_FUNCTION_INFO_V1(causaldb_preview_checks);

static const char *
verdict(int level)
{
	switch (level)
	{
		case ERROR:
			return "refused";
		case WARNING:
			return "warning";
		case NOTICE:
			return "notice";
		default:
			return "fact";
	}
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* "Cannot tag ... . Detail." */
static char *
sentences(const Finding *f)
{
	char *out = f->detail == NULL ? psprintf("%s.", f->says)
								  : psprintf("%s. %s", f->says, f->detail);

	out[0] = (char) pg_toupper((unsigned char) out[0]);
	return out;
}

static void
put_findings(ReturnSetInfo *result, List *findings)
{
	ListCell *cell;

	foreach (cell, findings)
	{
		const Finding *f = lfirst(cell);
		Datum values[4];
		bool nulls[4];

		values[0] = text_or_null(f->aspect, &nulls[0]);
		values[1] = text_or_null(verdict(f->level), &nulls[1]);
		values[2] = text_or_null(sentences(f), &nulls[2]);
		values[3] = text_or_null(f->hint, &nulls[3]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* All that would travel if the whole table were tagged. */
static Bitmapset *
all_columns(Relation rel)
{
	Bitmapset *out = NULL;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && att->attgenerated == '\0')
			out = bms_add_member(out, att->attnum);
	}
	return out;
}

/* causaldb.preview_checks(relation) */
Datum
causaldb_preview_checks(PG_FUNCTION_ARGS)
{
	Relation rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	put_findings(result, tags_check_node());
	put_findings(result, tags_check_table(rel));
	if (tree_is_leaf(rel) || tree_is_partitioned(rel))
	{
		put_findings(result, tags_check_columns(rel, all_columns(rel), NULL));
		put_findings(result, tags_check_advice(rel));
	}
	relation_close(rel, AccessShareLock);
	return (Datum) 0;
}
