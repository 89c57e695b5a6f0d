/*
 * local.c
 *		See local.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "identity.h"
#include "local.h"

#define MAX_PARAMETERS 8

void
local_enter(LocalRights *before)
{
	HeapTuple tuple =
		SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(identity_schema()));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("causaldb is not installed in this database"),
						errhint("Type CREATE EXTENSION causaldb.")));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	GetUserIdAndSecContext(&before->user, &before->context);
	SetUserIdAndSecContext(owner,
						   before->context | SECURITY_LOCAL_USERID_CHANGE);
	before->settings = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
local_leave(const LocalRights *before)
{
	AtEOXact_GUC(true, before->settings);
	SetUserIdAndSecContext(before->user, before->context);
}

static RemoteRows *
take_rows(MemoryContext context)
{
	MemoryContext before = MemoryContextSwitchTo(context);
	RemoteRows *rows = palloc0(sizeof(RemoteRows));
	int row;
	int column;

	rows->nrows = SPI_tuptable ? (int) SPI_processed : 0;
	rows->ncolumns = SPI_tuptable ? SPI_tuptable->tupdesc->natts : 0;
	rows->values =
		palloc0(sizeof(char *) * Max(1, rows->nrows * rows->ncolumns));
	for (row = 0; row < rows->nrows; row++)
		for (column = 0; column < rows->ncolumns; column++)
		{
			char *value = SPI_getvalue(SPI_tuptable->vals[row],
									   SPI_tuptable->tupdesc, column + 1);

			REMOTE_VALUE(rows, row, column) =
				value ? MemoryContextStrdup(context, value) : NULL;
		}
	MemoryContextSwitchTo(before);
	return rows;
}

RemoteRows *
local_query(const char *sql, int nparams, const char *const *params)
{
	MemoryContext context = CurrentMemoryContext;
	Oid types[MAX_PARAMETERS];
	Datum values[MAX_PARAMETERS];
	char nulls[MAX_PARAMETERS];
	LocalRights rights;
	RemoteRows *rows;
	int i;

	if (nparams > MAX_PARAMETERS)
		elog(ERROR, "%d parameters are too many", nparams);
	local_enter(&rights);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (i = 0; i < nparams; i++)
	{
		types[i] = TEXTOID;
		nulls[i] = params[i] ? ' ' : 'n';
		values[i] = params[i] ? CStringGetTextDatum(params[i]) : (Datum) 0;
	}
	if (SPI_execute_with_args(sql, nparams, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not run \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	rows = take_rows(context);
	SPI_finish();
	local_leave(&rights);
	return rows;
}
