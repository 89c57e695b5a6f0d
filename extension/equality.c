/*
 * equality.c
 *		See equality.h.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "equality.h"

/* what a value's text form depends on, beyond what a Remote has pinned */
static const char *const settings[][2] = {
	{"timezone", "UTC"},
	{"lc_monetary", "C"},
	{"xmloption", "content"},
	/* and that, which is pinned there already */
	{"datestyle", "ISO, MDY"},
	{"intervalstyle", "postgres"},
	{"extra_float_digits", "3"},
	{"bytea_output", "hex"},
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "off"},
};

void
equality_begin(Remote *source)
{
	size_t i;

	for (i = 0; i < lengthof(settings); i++)
		(void) remote_query(source, psprintf("SELECT set_config('%s', '%s', true)", settings[i][0], settings[i][1]),
							0, NULL);
}

/* The query of either side. md5 is the same on every machine. */
static char *
digest_query(Oid relid, List *columns)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT n, pg_catalog.left(pg_catalog.md5(n || ' ' || digest), 16) FROM ("
								 "SELECT pg_catalog.count(*) AS n, COALESCE(pg_catalog.sum("
								 "('x' || pg_catalog.left(pg_catalog.md5(t::pg_catalog.text), 16))"
								 "::pg_catalog.bit(64)::pg_catalog.int8), 0) AS digest FROM (SELECT ");
	foreach (lc, columns)
		appendStringInfo(&sql, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
						 quote_identifier(strVal(lfirst(lc))));
	appendStringInfo(&sql, " FROM %s%s) t) q", get_rel_relkind(relid) == RELKIND_RELATION ? "ONLY " : "",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)));
	return sql.data;
}

static void
digest_here(const char *sql, Equality *e)
{
	MemoryContext caller = CurrentMemoryContext;
	int nest = NewGUCNestLevel();
	size_t i;

	for (i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "causaldb could not read a table to compare it");
	e->rows[0] = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	e->digest[0] = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	SPI_finish();
	AtEOXact_GUC(false, nest);
}

char *
equality_digest(Oid relid, List *columns)
{
	Equality e;

	digest_here(digest_query(relid, columns), &e);
	return psprintf("%s %s", e.rows[0], e.digest[0]);
}

bool
equality_holds(Remote *source, Oid relid, List *columns, Equality *e)
{
	char *sql;
	RemoteRows *there;

	(void) find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
	sql = digest_query(relid, columns);
	digest_here(sql, e);
	there = remote_query(source, sql, 0, NULL);
	e->rows[1] = REMOTE_VALUE(there, 0, 0);
	e->digest[1] = REMOTE_VALUE(there, 0, 1);
	return strcmp(e->rows[0], e->rows[1]) == 0 && strcmp(e->digest[0], e->digest[1]) == 0;
}
