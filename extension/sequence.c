/*
 * sequence.c
 *		See sequence.h.
 *
 * The table is read with its owner's rights and the sequence moved with its
 * own owner's: who joins needs neither.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "sequence.h"

/* one column that a sequence feeds */
typedef struct Fed
{
	Oid sequence;
	char *column;
	bool down;
} Fed;

static char *
qualified(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

static Oid
owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Runs the query as that role; its first value as text, NULL if there is none. */
static char *
ask_as(Oid role, const char *sql)
{
	MemoryContext caller = CurrentMemoryContext;
	char *value = NULL;
	Oid user;
	int context;
	int nest;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(role, context | SECURITY_RESTRICTED_OPERATION);
	nest = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not run \"%s\"", sql);
	if (SPI_processed > 0)
	{
		value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		if (value)
			value = MemoryContextStrdup(caller, value);
	}
	SPI_finish();
	AtEOXact_GUC(false, nest);
	SetUserIdAndSecContext(user, context);
	return value;
}

/* Owned sequences and those a default names. */
static int
fed_columns(Oid relid, Fed **fed)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(relid)};
	int n;
	int i;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(
			"SELECT DISTINCT d.seq, a.attname, q.seqincrement < 0 FROM pg_catalog.pg_attribute a"
			" JOIN (SELECT objid AS seq, refobjid AS rel, refobjsubid AS att FROM pg_catalog.pg_depend"
			"  WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
			"  AND refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND deptype IN ('a', 'i')"
			"  UNION ALL SELECT p.refobjid, f.adrelid, f.adnum FROM pg_catalog.pg_depend p"
			"  JOIN pg_catalog.pg_attrdef f ON f.oid = p.objid"
			"  WHERE p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass"
			"  AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) d"
			" ON d.rel = a.attrelid AND d.att = a.attnum"
			" JOIN pg_catalog.pg_sequence q ON q.seqrelid = d.seq"
			" WHERE a.attrelid = $1 AND NOT a.attisdropped AND a.atttypid IN (20, 21, 23)",
			1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "causaldb could not look for sequences");
	n = (int) SPI_processed;
	*fed = MemoryContextAllocZero(caller, sizeof(Fed) * Max(n, 1));
	for (i = 0; i < n; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		(*fed)[i].sequence = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		(*fed)[i].column = MemoryContextStrdup(caller, SPI_getvalue(tuple, desc, 2));
		(*fed)[i].down = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	}
	SPI_finish();
	return n;
}

void
sequence_follow(Oid relid)
{
	Fed *fed;
	int n = fed_columns(relid, &fed);
	int i;

	for (i = 0; i < n; i++)
	{
		char *last = ask_as(owner_of(relid),
							psprintf("SELECT %s(%s) FROM %s", fed[i].down ? "min" : "max",
									 quote_identifier(fed[i].column), qualified(relid)));

		if (last == NULL)
			continue;
		(void) ask_as(owner_of(fed[i].sequence),
					  psprintf("SELECT setval(%u::regclass, greatest(q.seqmin, least(q.seqmax, %s::int8)))"
							   " FROM %s s, pg_sequence q WHERE q.seqrelid = %u"
							   " AND (%s::int8 %s s.last_value OR %s::int8 = s.last_value)",
							   fed[i].sequence, quote_literal_cstr(last), qualified(fed[i].sequence), fed[i].sequence,
							   quote_literal_cstr(last), fed[i].down ? "<" : ">", quote_literal_cstr(last)));
	}
	pfree(fed);
}
