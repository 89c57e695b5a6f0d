/*
 * tags_foreign.c
 *		See tags_foreign.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "catalog_foreign.h"
#include "errors.h"
#include "finding.h"
#include "tags_foreign.h"

PG_FUNCTION_INFO_V1(causaldb_foreign_key_gap);

static CatalogRelation *
tag_of(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	CatalogRelation *r = catalog_relation_build(rel, CurrentMemoryContext);

	table_close(rel, NoLock);
	return r;
}

static bool
is_strong(Oid relid)
{
	CatalogRelation *r = tag_of(relid);

	return r != NULL && r->strong;
}

/* Why it does not hold, as a sentence; NULL: it does. */
static char *
reason(HeapTuple tup, CatalogForeignGap gap)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tup);
	Oid weak = gap == CATALOG_FOREIGN_CHILD ? form->conrelid : form->confrelid;

	switch (gap)
	{
		case CATALOG_FOREIGN_CHILD:
		case CATALOG_FOREIGN_PARENT:
			return psprintf("Not all of its columns of table %s are strong, "
							"and each node writes the others by itself.",
							catalog_qualified_name(weak));
		case CATALOG_FOREIGN_INDEX:
			return pstrdup("It refers to a unique constraint of a partitioned "
						   "table that is not its primary key.");
		case CATALOG_FOREIGN_TYPES:
			return pstrdup("Its columns are of types whose values have no hash "
						   "in common with those that they refer to.");
		case CATALOG_FOREIGN_HOLDS:
			break;
	}
	return NULL;
}

/* Makes those of its columns strong that decide it. */
static char *
strong_statement(HeapTuple tup, bool of_child)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tup);
	Oid relid = of_child ? form->conrelid : form->confrelid;
	CatalogRelation *r = tag_of(relid);
	AttrNumber ours[INDEX_MAX_KEYS];
	AttrNumber theirs[INDEX_MAX_KEYS];
	StringInfoData columns;
	int n;

	DeconstructFkConstraintRow(tup, &n, ours, theirs, NULL, NULL, NULL, NULL,
							   NULL);
	initStringInfo(&columns);
	for (int i = 0; r != NULL && i < n; i++)
	{
		AttrNumber attnum = of_child ? ours[i] : theirs[i];
		bool is_key = false;

		for (int k = 0; k < r->key.ncolumns; k++)
			is_key |= r->key.columns[k].attnum == attnum;
		if (!is_key)
			appendStringInfo(&columns, "%s%s", columns.len > 0 ? ", " : "",
							 quote_literal_cstr(
								 get_attname(relid, attnum, false)));
	}
	return psprintf("Type: SELECT causaldb.set_consistency(%s, 'strong'%s);",
					quote_literal_cstr(catalog_qualified_name(relid)),
					columns.len > 0 ? psprintf(", ARRAY[%s]", columns.data)
									: "");
}

static void
advise(List **all, HeapTuple tup, Oid relid)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tup);
	CatalogForeignGap gap = catalog_foreign_gap(form->oid);
	char *hint;

	if (gap == CATALOG_FOREIGN_HOLDS)
		return;
	if (gap == CATALOG_FOREIGN_CHILD || gap == CATALOG_FOREIGN_PARENT)
		hint = strong_statement(tup, gap == CATALOG_FOREIGN_CHILD);
	else
		hint = pstrdup("Let it refer to the primary key, with columns of the "
					   "same types.");
	/* who tags the parent first is about to tag the child, most often */
	finding_add(all,
				gap == CATALOG_FOREIGN_CHILD && form->conrelid != relid
					? NOTICE
					: WARNING,
				0, "constraint",
				psprintf("foreign key \"%s\" of table \"%s\" does not hold "
						 "over nodes",
						 NameStr(form->conname), get_rel_name(form->conrelid)),
				reason(tup, gap), hint);
}

List *
tags_foreign_advice(Oid relid)
{
	Relation constraints = table_open(ConstraintRelationId, AccessShareLock);
	/* no index leads from a table to those that refer to it */
	SysScanDesc scan = systable_beginscan(constraints, InvalidOid, false, NULL,
										  0, NULL);
	List *all = NIL;
	HeapTuple tup;

	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tup);

		if (form->contype == CONSTRAINT_FOREIGN &&
			!OidIsValid(form->conparentid) &&
			(form->conrelid == relid || form->confrelid == relid) &&
			(is_strong(form->conrelid) || is_strong(form->confrelid)))
			advise(&all, tup, relid);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return all;
}

/* causaldb.foreign_key_gap(foreign_key oid) returns text */
Datum
causaldb_foreign_key_gap(PG_FUNCTION_ARGS)
{
	Oid oid = PG_GETARG_OID(0);
	HeapTuple tup = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
	char *why;

	if (!HeapTupleIsValid(tup) ||
		((Form_pg_constraint) GETSTRUCT(tup))->contype != CONSTRAINT_FOREIGN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%u is no foreign key", oid),
				 errdetail("It is the oid of a row of pg_constraint whose "
						   "contype is f that is asked for."),
				 errhint("Type: SELECT * FROM causaldb.foreign_keys;")));
	why = reason(tup, catalog_foreign_gap(oid));
	ReleaseSysCache(tup);
	if (why == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(why));
}
