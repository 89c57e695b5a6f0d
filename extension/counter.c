/*
 * counter.c
 *		causaldb.counter_set: an absolute write of a counter.
 *
 * An ordinary UPDATE of a counter replicates as the difference it makes; this
 * one as the value it sets, whatever other nodes add meanwhile to the value
 * it replaces.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture.h"
#include "catalog.h"
#include "errors.h"
#include "key.h"
#include "tree.h"

PG_FUNCTION_INFO_V1(causaldb_counter_set);

static AttrNumber
counter_column(Relation rel, const CatalogRelation *r, const char *name)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), name);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist",
							   name, RelationGetRelationName(rel))));
	for (int i = 0; r != NULL && i < r->ncolumns; i++)
		if (r->attnums[i] == attnum && r->rules[i] == REP_RULE_COUNTER)
			return attnum;
	ereport(ERROR,
			(errcode(ERRORS_UNTAGGABLE),
			 errmsg("column \"%s\" of table \"%s\" is not a counter", name,
					RelationGetRelationName(rel)),
			 errhint("Type: SELECT causaldb.set_merge(%s, %s, 'counter');",
					 quote_literal_cstr(
						 catalog_qualified_name(RelationGetRelid(rel))),
					 quote_literal_cstr(name))));
}

/* " AND "-joined comparisons of the key with $2, $3, ... */
static void
append_condition(StringInfo sql, Relation rel, const TupleKey *key)
{
	for (int i = 0; i < key->ncolumns; i++)
	{
		HeapTuple tup =
			SearchSysCache1(OPEROID,
							ObjectIdGetDatum(key->columns[i].eq_operator));
		Form_pg_operator op = (Form_pg_operator) GETSTRUCT(tup);
		char *name =
			get_attname(RelationGetRelid(rel), key->columns[i].attnum, false);

		appendStringInfo(sql, "%s %s OPERATOR(%s.%s) $%d", i > 0 ? " AND" : "",
						 quote_identifier(name),
						 quote_identifier(get_namespace_name(op->oprnamespace)),
						 NameStr(op->oprname), i + 2);
		ReleaseSysCache(tup);
	}
}

/* No UPDATE came of ours: another rule than INSTEAD does not do that. */
static void
pg_attribute_noreturn() refuse_rule(Relation rel)
{
	Oid types[1] = { OIDOID };
	Datum values[1] = { ObjectIdGetDatum(RelationGetRelid(rel)) };
	char *name = "";

	if (SPI_execute_with_args("SELECT rulename FROM pg_catalog.pg_rewrite "
							  "WHERE ev_class OPERATOR(pg_catalog.=) $1 AND "
							  "ev_type OPERATOR(pg_catalog.=) '2' AND "
							  "is_instead ORDER BY 1",
							  1, types, values, NULL, true, 1) ==
			SPI_OK_SELECT &&
		SPI_processed == 1)
		name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rule \"%s\" does something else instead of the UPDATE "
					"that sets a counter of table \"%s\"",
					name, RelationGetRelationName(rel)),
			 errdetail("Nothing was set."),
			 errhint("Type: ALTER TABLE %s DISABLE RULE %s;",
					 catalog_qualified_name(RelationGetRelid(rel)),
					 quote_identifier(name))));
}

static void
run_update(Relation rel, const CatalogRelation *r, AttrNumber attnum,
		   Datum *values)
{
	StringInfoData sql;
	Oid types[INDEX_MAX_KEYS + 1];
	int result;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s%s SET %s = $1 WHERE",
					 tree_is_partitioned(rel) ? "" : "ONLY ",
					 catalog_qualified_name(RelationGetRelid(rel)),
					 quote_identifier(
						 get_attname(RelationGetRelid(rel), attnum, false)));
	append_condition(&sql, rel, &r->key);
	types[0] = NUMERICOID;
	for (int i = 0; i < r->key.ncolumns; i++)
		types[i + 1] =
			get_atttype(RelationGetRelid(rel), r->key.columns[i].attnum);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_with_args(sql.data, r->key.ncolumns + 1, types, values,
								   NULL, false, 0);
	if (result != SPI_OK_UPDATE)
		refuse_rule(rel);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("table \"%s\" has no row with this key",
							   RelationGetRelationName(rel))));
	SPI_finish();
}

/* causaldb.counter_set(relation, key, column_name, value) */
Datum
causaldb_counter_set(PG_FUNCTION_ARGS)
{
	Relation rel = tree_open_root(PG_GETARG_OID(0), RowExclusiveLock);
	CatalogRelation *r = catalog_relation(RelationGetRelid(rel));
	AttrNumber attnum = counter_column(rel, r, NameStr(*PG_GETARG_NAME(2)));
	Datum values[INDEX_MAX_KEYS + 1];

	values[0] = PG_GETARG_DATUM(3);
	key_from_jsonb(rel, &r->key, PG_GETARG_JSONB_P(1), &values[1]);
	PG_TRY();
	{
		capture_base.relid = RelationGetRelid(rel);
		capture_base.attnum = attnum;
		run_update(rel, r, attnum, values);
	}
	PG_FINALLY();
	{
		capture_base.relid = InvalidOid;
	}
	PG_END_TRY();
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}
