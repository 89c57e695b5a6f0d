/*
 * join.c
 *		See join.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "capture.h"
#include "clock.h"
#include "debug_point.h"
#include "equality.h"
#include "guc.h"
#include "join.h"
#include "local.h"
#include "member.h"
#include "progress.h"
#include "remote.h"
#include "schema_copy.h"
#include "secret.h"
#include "sequence.h"
#include "shadow_copy.h"
#include "table_copy.h"
#include "wall.h"

#define CONNECT_TIMEOUT_MS 10000

PG_FUNCTION_INFO_V1(causaldb_join_cluster);
PG_FUNCTION_INFO_V1(causaldb_closed_position);
PG_FUNCTION_INFO_V1(causaldb_make_durable);

typedef enum CopyWhat
{
	COPY_NONE, /* the tables are equal already */
	COPY_DATA, /* rows of tagged tables */
	COPY_ALL   /* schema, and rows of all tables */
} CopyWhat;

/* one join on its way */
typedef struct Joiner
{
	const char *name;
	Dsn dsn;
	Dsn via;
	const char *role;
	bool witness;      /* so no tables, whatever copy says */
	CopyWhat copy;
	bool force;        /* 'none': take tables for equal unseen */
	Remote *source;    /* the node that via leads to */
	char *source_node; /* its id; in decimal, as the others here */
	char *coordinator; /* id */
	Dsn coordinator_dsn;
	char *cluster;
	char *id;          /* ours */
	char *closed;      /* position of the source's live stream */
	char *source_boot; /* of that stream */
} Joiner;

/* ------------------------------------------------------------ the source's side */

/* causaldb.closed_position() returns int8; see causaldb--1.0.sql */
Datum
causaldb_closed_position(PG_FUNCTION_ARGS)
{
	NodeShared *node = member_node();

	(void) fcinfo;
	if (clock_state(node) != NODE_OPEN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this node is not ready yet"),
				 errhint(
					 "Type SELECT causaldb.wait_until_ready(); there first.")));
	PG_RETURN_INT64((int64) clock_closed(node));
}

/* causaldb.make_durable() */
Datum
causaldb_make_durable(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	(void) GetCurrentTransactionId();
	ForceSyncCommit();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------ arguments */

static CopyWhat
read_copy(const char *copy)
{
	if (strcmp(copy, "none") == 0)
		return COPY_NONE;
	if (strcmp(copy, "data") == 0)
		return COPY_DATA;
	if (strcmp(copy, "all") != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown kind of copy: \"%s\"", copy),
			 errhint(
				 "Type 'none' if the tables are equal already, 'data' for the rows of tagged tables, 'all' for schema and all rows.")));
	return COPY_ALL;
}

/* True for a witness. */
static bool
read_role(const char *role, CopyWhat copy)
{
	if (strcmp(role, "member") == 0)
		return false;
	if (strcmp(role, "witness") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown role: \"%s\"", role),
						errhint("Type 'member' for a node with tables, 'witness' "
								"for one that keeps the logs only.")));
	if (copy == COPY_ALL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a witness copies no tables"),
						errhint("Leave copy out.")));
	return true;
}

static void
read_arguments(Joiner *join, FunctionCallInfo fcinfo)
{
	static const char *const names[] = { "the node's name",
										 "the connection string",
										 "the connection string via", "copy",
										 "role",
										 "force" };
	int i;

	for (i = 0; i < (int) lengthof(names); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not be null", names[i])));
	join->name = NameStr(*PG_GETARG_NAME(0));
	join->dsn = dsn_of_caller(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	join->via = dsn_of_caller(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	join->copy = read_copy(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	join->role = text_to_cstring(PG_GETARG_TEXT_PP(4));
	join->witness = read_role(join->role, join->copy);
	join->force = PG_GETARG_BOOL(5);
	if (join->force && join->copy != COPY_NONE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("force belongs to copy => 'none'"),
						errhint("Leave force out, or type copy => 'none'.")));
}

/* ------------------------------------------------------------ 1. the source */

static void
check_source_database(Joiner *join)
{
	RemoteRows *rows = remote_query(
		join->source,
		"SELECT pg_encoding_to_char(encoding), datcollate,"
		" EXISTS (SELECT FROM pg_extension WHERE extname = 'causaldb')"
		" FROM pg_database WHERE datname = current_database()",
		0, NULL);

	if (REMOTE_VALUE(rows, 0, 2)[0] != 't')
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(
				 "causaldb is not installed in the database that via leads to"),
			 errhint(
				 "There, type CREATE EXTENSION causaldb and SELECT causaldb.create_cluster(...), or correct the connection string.")));
	if (strcmp(REMOTE_VALUE(rows, 0, 0), GetDatabaseEncodingName()) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the nodes of a cluster need the same server encoding"),
			 errdetail("This database has %s, the other one %s.",
					   GetDatabaseEncodingName(), REMOTE_VALUE(rows, 0, 0)),
			 errhint(
				 "Join with a database made by CREATE DATABASE ... ENCODING '%s' TEMPLATE template0.",
				 REMOTE_VALUE(rows, 0, 0))));
}

/*
 * Where these differ most databases get along; who joins hears of it. Nothing
 * that merging decides depends on them.
 */
static void
warn_of_locale(Joiner *join)
{
	static const char *const ASK =
		"SELECT pg_catalog.current_setting('lc_monetary'),"
		" d.datcollate || ' (' || d.datlocprovider::pg_catalog.text || coalesce("
		" ' ' || pg_catalog.pg_database_collation_actual_version(d.oid), '') || ')'"
		" FROM pg_catalog.pg_database d"
		" WHERE d.datname = pg_catalog.current_database()";
	RemoteRows *there = remote_query(join->source, ASK, 0, NULL);
	RemoteRows *here = local_query(ASK, 0, NULL);
	const char *money = REMOTE_VALUE(there, 0, 0);
	const char *order = REMOTE_VALUE(there, 0, 1);

	if (strcmp(money, REMOTE_VALUE(here, 0, 0)) != 0)
		ereport(
			WARNING,
			(errmsg("lc_monetary is not the same here as on node %s",
					join->source_node),
			 errdetail("Values of type money travel in the smallest unit of that locale: it is %s there and %s here.",
					   money, REMOTE_VALUE(here, 0, 0)),
			 errhint("Before money is written, type here: ALTER DATABASE %s SET lc_monetary = %s;",
					 quote_identifier(get_database_name(MyDatabaseId)),
					 quote_literal_cstr(money))));
	if (strcmp(order, REMOTE_VALUE(here, 0, 1)) != 0)
		ereport(
			WARNING,
			(errmsg("text is sorted otherwise here than on node %s",
					join->source_node),
			 errdetail("The default collation, its provider and version are %s there and %s here.",
					   order, REMOTE_VALUE(here, 0, 1)),
			 errhint("A constraint or partition bound that compares text may take a value on one node and not on the other: where there are such, use servers with the same locales.")));
}

/*
 * A clock that is wrong must not come into the cluster: what it stamps cannot
 * be taken back.
 */
static void
check_clock(Joiner *join)
{
	TimestampTz asked = wall_timer();
	RemoteRows *rows = remote_query(
		join->source, "SELECT now_ms FROM causaldb.clock_status()", 0, NULL);
	int64 on_its_way = (wall_timer() - asked) / 1000;
	uint64 ours = Max(wall_ms(), rep_hlc_to_ms(clock_read(shmem_node())));
	int64 ahead;

	if (rows->nrows != 1)
		return; /* not preloaded there: it says so itself */
	ahead =
		(int64) (ours - strtoull(REMOTE_VALUE(rows, 0, 0), NULL, 10)) -
		on_its_way / 2;
	if (Abs(ahead) - on_its_way / 2 > guc_max_clock_skew)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(
				 "the clock of this server is not that of the cluster"),
			 errdetail("It is " INT64_FORMAT
					   " ms %s that of node %s; causaldb.max_clock_skew is %d ms.",
					   Abs(ahead), ahead > 0 ? "ahead of" : "behind",
					   join->source_node, guc_max_clock_skew),
			 errhint(
				 "Correct the clock that is wrong, type SELECT causaldb.accept_clock(); on its server, and join again.")));
}

static void
ask_source(Joiner *join)
{
	RemoteRows *rows;

	join->source = remote_connect(join->via, "the node that via leads to",
								  CONNECT_TIMEOUT_MS);
	if (member_leads_here(join->source))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("via leads to this database itself"),
			 errhint(
				 "It has to be the connection string of a node of the cluster to join.")));
	check_source_database(join);
	rows = remote_query(
		join->source,
		"SELECT l.node, l.coordinator, l.cluster, c.dsn, c.server_identity, l.witness"
		" FROM causaldb.local_node l JOIN causaldb.node c ON c.id = l.coordinator",
		0, NULL);
	if (rows->nrows != 1)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(
				 "the database that via leads to is not a node of a cluster"),
			 errhint(
				 "There, type SELECT causaldb.create_cluster('n1', 'host=... dbname=...') first.")));
	if (REMOTE_VALUE(rows, 0, 5)[0] == 't')
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the node that via leads to is a witness"),
			 errdetail("It has no tables, and so cannot say what there is to have."),
			 errhint(
				 "Join by way of another one; there, type SELECT name FROM causaldb.nodes WHERE role = 'member';")));
	join->source_node = REMOTE_VALUE(rows, 0, 0);
	join->coordinator = REMOTE_VALUE(rows, 0, 1);
	join->cluster = REMOTE_VALUE(rows, 0, 2);
	join->coordinator_dsn.text = REMOTE_VALUE(rows, 0, 3);
	join->coordinator_dsn.by_superuser =
		join->via.by_superuser && REMOTE_VALUE(rows, 0, 4)[0] == 't';
	check_clock(join);
	warn_of_locale(join);
}

/* ------------------------------------------------------------ tables */

/*
 * Tables whose rows are copied: schema, name, what COPY reads, columns (names
 * in hex), bytes. Tagged ones bring the columns that travel; for 'all'
 * every table brings every column that is not computed.
 */
static const char *const TAGGED_TABLES =
	"SELECT n.nspname, c.relname,"
	" CASE c.relkind WHEN 'r' THEN format('%I.%I (%s)', n.nspname, c.relname, x.list)"
	" ELSE format('(SELECT %s FROM %I.%I)', x.list, n.nspname, c.relname) END, x.names,"
	" CASE c.relkind WHEN 'r' THEN pg_table_size(c.oid)"
	" ELSE (SELECT sum(pg_table_size(p.relid)) FROM pg_partition_tree(c.oid) p) END"
	" FROM causaldb.tag t"
	" JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace"
	" CROSS JOIN LATERAL (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS list,"
	"  string_agg(encode(convert_to(a.attname, 'UTF8'), 'hex'), ' ' ORDER BY a.attnum) AS names"
	"  FROM pg_attribute a"
	"  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
	"  AND (t.whole"
	"   OR EXISTS (SELECT FROM causaldb.tag_column k WHERE k.relid = c.oid AND k.attnum = a.attnum)"
	"   OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary"
	"    AND a.attnum = ANY (i.indkey)))) x"
	" WHERE t.level <> 'none' AND x.list IS NOT NULL"
	" AND NOT EXISTS (SELECT FROM pg_partition_ancestors(c.oid) p JOIN causaldb.tag u ON u.relid = p"
	"  WHERE p <> c.oid AND u.level <> 'none')"
	" ORDER BY 1, 2";

static const char *const ALL_TABLES =
	"SELECT n.nspname, c.relname, format('%I.%I (%s)', n.nspname, c.relname, x.list), x.names,"
	" pg_table_size(c.oid)"
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	" CROSS JOIN LATERAL (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS list,"
	"  string_agg(encode(convert_to(a.attname, 'UTF8'), 'hex'), ' ' ORDER BY a.attnum) AS names"
	"  FROM pg_attribute a"
	"  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') x"
	" WHERE c.relkind = 'r' AND c.relpersistence <> 't'"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'causaldb') AND n.nspname !~ '^pg_toast'"
	" AND x.list IS NOT NULL"
	" AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass"
	"  AND d.objid = c.oid AND d.deptype = 'e')"
	" ORDER BY 1, 2";

static Oid
find_table(const char *schema, const char *name, LOCKMODE lock)
{
	return RangeVarGetRelid(makeRangeVar(pstrdup(schema), pstrdup(name), -1),
							lock, true);
}

/* With copy 'all' nothing may be there yet; else everything, and empty. */
static void
check_table(Joiner *join, const char *schema, const char *name)
{
	Oid relid = find_table(schema, name, NoLock);
	char *qualified = quote_qualified_identifier(schema, name);

	if (join->copy == COPY_ALL && OidIsValid(relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s exists here already", qualified),
			 errdetail("copy => 'all' brings schema and rows of every table."),
			 errhint(
				 "Type DROP TABLE %s; or join with copy => 'data' if the schema is here.",
				 qualified)));
	if (join->copy != COPY_ALL && !OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s does not exist here", qualified),
				 errdetail("It is tagged in the cluster."),
				 errhint(
					 "Create it as it is there, or join with copy => 'all'.")));
	if (join->copy == COPY_DATA && !table_copy_is_empty(relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s is not empty", qualified),
			 errdetail("Its rows are to be copied from the cluster."),
			 errhint(
				 "Type TRUNCATE %s; or join with copy => 'none' if the tables are equal already.",
				 qualified)));
}

/* Nobody would hear of what is written to it. */
static void
check_untagged(void)
{
	RemoteRows *tagged = local_query(
		"SELECT relid::pg_catalog.regclass FROM causaldb.tag"
		" WHERE level <> 'none' ORDER BY 1 LIMIT 1",
		0, NULL);

	if (tagged->nrows > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is tagged here", REMOTE_VALUE(tagged, 0, 0)),
				 errdetail("A witness has no tagged tables."),
				 errhint("Type SELECT causaldb.unset_consistency(%s); or join "
						 "with another database.",
						 quote_literal_cstr(REMOTE_VALUE(tagged, 0, 0)))));
}

/* Before anything is changed anywhere. */
static void
check_tables(Joiner *join)
{
	RemoteRows *tables;
	int i;

	if (join->witness)
	{
		check_untagged();
		return;
	}
	tables = remote_query(join->source,
						  join->copy == COPY_ALL ? ALL_TABLES : TAGGED_TABLES,
						  0, NULL);
	for (i = 0; i < tables->nrows; i++)
		check_table(join, REMOTE_VALUE(tables, i, 0),
					REMOTE_VALUE(tables, i, 1));
}

/* Column names, which came in hex so that any of them can be told apart. */
static List *
read_names(char *hex)
{
	List *names = NIL;
	char *save = NULL;
	char *one;

	for (one = strtok_r(hex, " ", &save); one; one = strtok_r(NULL, " ", &save))
	{
		size_t len = strlen(one);
		char *name = palloc0(len / 2 + 1);

		(void) hex_decode(one, len, name);
		name = pg_any_to_server(name, (int) len / 2, PG_UTF8);
		names = lappend(names, makeString(name));
	}
	return names;
}

static uint64
table_bytes(RemoteRows *tables, int i)
{
	return strtoull(REMOTE_VALUE(tables, i, 4), NULL, 10);
}

/* What there is to copy or to compare, history included. */
static RemoteRows *
list_tables(Joiner *join)
{
	RemoteRows *tables =
		remote_query(join->source,
					 join->copy == COPY_ALL ? ALL_TABLES : TAGGED_TABLES, 0,
					 NULL);
	uint64 bytes = shadow_copy_bytes(join->source);
	int i;

	for (i = 0; i < tables->nrows; i++)
		bytes += table_bytes(tables, i);
	progress_total(tables->nrows + SHADOW_COPY_TABLES, bytes);
	return tables;
}

/* Columns of the other side must be here before their values are compared. */
static void
check_columns(Oid relid, const char *qualified, List *columns)
{
	ListCell *lc;

	foreach (lc, columns)
		if (get_attnum(relid, strVal(lfirst(lc))) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table %s has no column \"%s\" here", qualified,
							strVal(lfirst(lc))),
					 errdetail("It is tagged in the cluster."),
					 errhint("Add it as it is there with ALTER TABLE %s ADD COLUMN ...;",
							 qualified)));
}

/* For 'none': what is declared to be equal is. */
static void
compare_rows(Joiner *join)
{
	RemoteRows *tables = list_tables(join);
	int i;

	equality_begin(join->source);
	for (i = 0; i < tables->nrows; i++)
	{
		char *schema = REMOTE_VALUE(tables, i, 0);
		char *name = REMOTE_VALUE(tables, i, 1);
		char *qualified = quote_qualified_identifier(schema, name);
		List *columns = read_names(REMOTE_VALUE(tables, i, 3));
		Oid relid = find_table(schema, name, ShareRowExclusiveLock);
		Equality e;

		check_table(join, schema, name);
		check_columns(relid, qualified, columns);
		progress_table(qualified, table_bytes(tables, i));
		if (!join->force && !equality_holds(join->source, relid, columns, &e))
			ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is not the same here as in the cluster",
						qualified),
				 errdetail(
					 "Here it has %s rows with digest %s, there %s rows with digest %s.",
					 e.rows[0], e.digest[0], e.rows[1], e.digest[1]),
				 errhint(
					 "Type TRUNCATE %s; and join with copy => 'data', or with force => true if the difference is meant to stay.",
					 qualified)));
	}
	DEBUG_POINT("join_compared");
}

/* Sequences go on where the source's stand; for copy 'all'. */
static void
copy_sequences(Joiner *join)
{
	RemoteRows *rows = remote_query(
		join->source,
		"SELECT format('%I.%I', schemaname, sequencename), last_value"
		" FROM pg_sequences WHERE last_value IS NOT NULL"
		" AND schemaname <> 'causaldb' ORDER BY 1",
		0, NULL);
	int i;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (i = 0; i < rows->nrows; i++)
		if (SPI_execute(
				psprintf(
					"SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s)",
					quote_literal_cstr(REMOTE_VALUE(rows, i, 0)),
					REMOTE_VALUE(rows, i, 1)),
				false, 0) < 0)
			elog(ERROR, "could not set a sequence: %s",
				 SPI_result_code_string(SPI_result));
	SPI_finish();
}

static void
copy_rows(Joiner *join)
{
	RemoteRows *tables = list_tables(join);
	JoinStatus *status = progress_counters();
	int i;

	for (i = 0; i < tables->nrows; i++)
	{
		char *schema = REMOTE_VALUE(tables, i, 0);
		char *name = REMOTE_VALUE(tables, i, 1);
		TableCopy what = {
			.relid = find_table(schema, name, ShareRowExclusiveLock),
			.from = REMOTE_VALUE(tables, i, 2),
			.columns = read_names(REMOTE_VALUE(tables, i, 3)),
			.check_rights = true,
			.rows = &status->rows,
			.bytes = &status->bytes,
		};
		uint64 rows;

		if (!OidIsValid(what.relid) || join->copy == COPY_DATA)
			check_table(join, schema, name);
		progress_table(quote_qualified_identifier(schema, name),
					   table_bytes(tables, i));
		DEBUG_POINT("join_table");
		rows = table_copy(join->source, &what);
		ereport(NOTICE,
				(errmsg("copied " UINT64_FORMAT " rows of table %s (%d of %d)",
						rows, quote_qualified_identifier(schema, name), i + 1,
						tables->nrows)));
	}
	DEBUG_POINT("join_rows");
	progress_phase("sequences");
	if (join->copy == COPY_ALL)
		copy_sequences(join);
	for (i = 0; i < tables->nrows; i++)
		sequence_follow(find_table(REMOTE_VALUE(tables, i, 0),
								   REMOTE_VALUE(tables, i, 1), NoLock));
}

/* ------------------------------------------------------------ 2, 3. admission */

static void
be_admitted(Joiner *join)
{
	bool same = strcmp(join->source_node, join->coordinator) == 0;
	Remote *coordinator =
		same ? join->source
			 : remote_connect(join->coordinator_dsn,
							  "the node that hands out node ids",
							  CONNECT_TIMEOUT_MS);
	const char *who[] = { join->name, join->dsn.text, join->role,
						  join->dsn.by_superuser ? "t" : "f" };
	RemoteRows *rows =
		remote_query(coordinator,
					 "SELECT causaldb.admit_node($1::name, $2, $3, $4::bool)",
					 4, who);
	RemoteRows *token;

	join->id = REMOTE_VALUE(rows, 0, 0);
	progress_admitted(pg_strtoint32(join->id));
	token = remote_query(coordinator, "SELECT causaldb.token()", 0, NULL);
	if (!same)
	{
		const char *wait[] = { REMOTE_VALUE(token, 0, 0) };

		remote_close(coordinator);
		(void) remote_query(join->source,
							"SELECT causaldb.wait_for($1, '5 min')", 1, wait);
	}
	ereport(NOTICE, (errmsg("admitted as node %s", join->id)));
	DEBUG_POINT("join_admitted");
}

/* ------------------------------------------------------------ 4. the snapshot */

/* Returns the exported snapshot's name. */
static char *
take_snapshot(Joiner *join)
{
	RemoteRows *rows = remote_query(join->source,
									"SELECT causaldb.closed_position(), boot"
									" FROM causaldb.stream_status() WHERE own",
									0, NULL);

	if (rows->nrows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the node that via leads to is not ready yet"),
				 errhint("There, type SELECT causaldb.wait_until_ready();")));
	join->closed = REMOTE_VALUE(rows, 0, 0);
	join->source_boot = REMOTE_VALUE(rows, 0, 1);
	progress_phase("snapshot");
	remote_command(join->source,
				   "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE");
	rows = remote_query(join->source, "SELECT pg_export_snapshot()", 0, NULL);
	return REMOTE_VALUE(rows, 0, 0);
}

/* ------------------------------------------------------------ all of it */

static void
copy_tables(Joiner *join, const char *snapshot)
{
	if (join->copy == COPY_ALL)
	{
		progress_phase("schema");
		schema_copy(join->via, remote_address(join->source), snapshot,
					SCHEMA_BEFORE_ROWS);
		DEBUG_POINT("join_schema");
	}
	progress_phase(join->copy == COPY_NONE ? "compare" : "rows");
	if (join->copy == COPY_NONE)
		compare_rows(join);
	else
		copy_rows(join);
	if (join->copy == COPY_ALL)
	{
		progress_phase("indexes");
		schema_copy(join->via, remote_address(join->source), snapshot,
					SCHEMA_AFTER_ROWS);
		DEBUG_POINT("join_indexes");
	}
}

/* Nothing that is copied is a change of this node's own. */
static void
copy_everything(Joiner *join)
{
	char *snapshot = take_snapshot(join);
	ShadowCopy from = {
		.source = join->source,
		.node = join->source_node,
		.boot = join->source_boot,
		.closed = join->closed,
		.all_tables = join->copy == COPY_ALL,
		.witness = join->witness,
	};

	DEBUG_POINT("join_snapshot");
	if (join->witness)
		progress_total(SHADOW_COPY_TABLES, shadow_copy_bytes(join->source));
	else
		copy_tables(join, snapshot);
	progress_phase("history");
	shadow_copy(&from);
	DEBUG_POINT("join_history");
	(void) remote_query(join->source, "SELECT causaldb.make_durable()", 0,
						NULL);
	remote_command(join->source, "COMMIT");
	remote_close(join->source);
}

/* No local write may be stamped at or below what was copied. */
static void
advance_clock(void)
{
	RemoteRows *rows = local_query(
		"SELECT GREATEST((SELECT pg_catalog.max(position) FROM causaldb.log),"
		" (SELECT pg_catalog.max(applied) FROM causaldb.stream), 0)",
		0, NULL);

	clock_observe(shmem_node(), strtoull(REMOTE_VALUE(rows, 0, 0), NULL, 10));
}

static void
become_node(Joiner *join)
{
	const char *who[] = { join->id, join->cluster, join->coordinator,
						  join->dsn.by_superuser ? "t" : "f",
						  join->witness ? "t" : "f" };

	advance_clock();
	(void) local_query(
		"INSERT INTO causaldb.local_node (node, cluster, coordinator, database, server_identity, witness)"
		" VALUES ($1::pg_catalog.int4, $2::pg_catalog.int8, $3::pg_catalog.int4,"
		" (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),"
		" $4::pg_catalog.bool, $5::pg_catalog.bool)",
		5, who);
	clock_become_node_at_commit();
}

/*
 * causaldb.join_cluster(node_name name, dsn text, via text, copy text, role
 * text, force bool)
 */
Datum
causaldb_join_cluster(PG_FUNCTION_ARGS)
{
	Joiner join = { 0 };

	secret_begin("join_cluster");
	read_arguments(&join, fcinfo);
	member_need_preload();
	member_begin_founding();
	progress_begin(join.name, text_to_cstring(PG_GETARG_TEXT_PP(3)));
	member_check_dsn(join.dsn);
	ask_source(&join);
	check_tables(&join);
	DEBUG_POINT("join_asked");
	be_admitted(&join);

	capture_applying = true;
	PG_TRY();
	{
		copy_everything(&join);
	}
	PG_FINALLY();
	{
		capture_applying = false;
	}
	PG_END_TRY();
	DEBUG_POINT("join_copied");

	become_node(&join);
	progress_finish();
	ereport(
		NOTICE,
		(errmsg(
			 "this database is node %s of the cluster once this transaction commits",
			 join.id),
		 errhint("Type SELECT causaldb.wait_until_ready();")));
	PG_RETURN_VOID();
}
