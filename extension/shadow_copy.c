/*
 * shadow_copy.c
 *		See shadow_copy.h.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "identity.h"
#include "local.h"
#include "member.h"
#include "progress.h"
#include "shadow_copy.h"
#include "store.h"
#include "table_copy.h"
#include "tags.h"

static List *
names_of(const char *const *names)
{
	List *list = NIL;

	for (; *names; names++)
		list = lappend(list, makeString(pstrdup(*names)));
	return list;
}

static uint64
bytes_of(Remote *source, const char *table)
{
	RemoteRows *rows = remote_query(
		source, psprintf("SELECT pg_table_size('causaldb.%s')", table), 0,
		NULL);

	return strtoull(REMOTE_VALUE(rows, 0, 0), NULL, 10);
}

uint64
shadow_copy_bytes(Remote *source)
{
	return bytes_of(source, "log") + bytes_of(source, "log_chunk");
}

static uint64
copy_shadow(const ShadowCopy *from, const char *table, const char *query,
			const char *const *columns)
{
	JoinStatus *status = progress_counters();
	TableCopy what = {
		.relid = identity_table(table),
		.from = query,
		.columns = names_of(columns),
		.binary = true,
		.rows = &status->rows,
		.bytes = &status->bytes,
	};

	return table_copy(from->source, &what);
}

/*
 * Streams keep their local ids. The source's live stream stands at what was
 * closed before the snapshot; its ended ones at their last row, as nobody
 * writes there any more. It keeps no chain of what it wrote itself: 0 says
 * that ours begins later.
 */
static void
copy_streams(const ShadowCopy *from)
{
	const char *who[] = { from->node, from->boot, from->closed };
	RemoteRows *rows = remote_query(
		from->source,
		"SELECT coalesce(jsonb_agg(to_jsonb(s) || jsonb_build_object("
		" 'applied', CASE WHEN s.node <> $1::int4 THEN s.applied WHEN s.boot = $2::int8 THEN $3::int8"
		"  ELSE greatest(s.applied, (SELECT max(l.position) FROM causaldb.log l WHERE l.stream = s.id)) END,"
		" 'chain', CASE WHEN s.node = $1::int4 THEN 0 ELSE s.chain END,"
		" 'closed_chain', CASE WHEN s.node = $1::int4 THEN 0 ELSE s.closed_chain END,"
		" 'closed', CASE WHEN s.node = $1::int4 AND s.boot = $2::int8 THEN $3::int8 ELSE s.closed END,"
		" 'acks', encode(s.acks, 'hex'))), '[]')"
		" FROM causaldb.stream s WHERE s.id > 1",
		3, who);
	const char *all[] = { REMOTE_VALUE(rows, 0, 0) };

	(void) local_query(
		"INSERT INTO causaldb.stream"
		" (id, node, boot, applied, chain, closed, closed_chain, acked_at, acks, final, retired, opened_at)"
		" SELECT id, node, boot, applied, chain, closed, closed_chain, acked_at,"
		" pg_catalog.decode(acks, 'hex'), final, retired, opened_at"
		" FROM pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb) AS r(id pg_catalog.int4,"
		" node pg_catalog.int4, boot pg_catalog.int8, applied pg_catalog.int8, chain pg_catalog.int8,"
		" closed pg_catalog.int8, closed_chain pg_catalog.int8, acked_at pg_catalog.int8,"
		" acks pg_catalog.text, final pg_catalog.int8, retired pg_catalog.bool, opened_at pg_catalog.timestamptz)",
		1, all);
}

static void
copy_members(const ShadowCopy *from)
{
	RemoteRows *rows = remote_query(
		from->source,
		"SELECT jsonb_build_object('id', id, 'name', name, 'dsn', dsn, 'role', role,"
		" 'state', state, 'base', encode(base, 'hex'),"
		" 'server_identity', server_identity)"
		" FROM causaldb.node ORDER BY id",
		0, NULL);
	int i;

	(void) local_query("DELETE FROM causaldb.node", 0, NULL);
	for (i = 0; i < rows->nrows; i++)
		member_apply(REMOTE_VALUE(rows, i, 0));
}

static Oid
find_here(const char *schema, const char *name)
{
	RangeVar *table = makeRangeVar(pstrdup(schema), pstrdup(name), -1);

	return RangeVarGetRelid(table, AccessShareLock, true);
}

/* Graves lie by the table's OID, which is another one here. */
static void
copy_graves(const ShadowCopy *from)
{
	static const char *const columns[] = { "relid", "key_hash", "descriptor",
										   "mark",  "image",    NULL };
	RemoteRows *tables = remote_query(
		from->source,
		"SELECT c.oid::int8, n.nspname, c.relname"
		" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE c.oid IN (SELECT relid FROM causaldb.grave)",
		0, NULL);
	int i;

	for (i = 0; i < tables->nrows; i++)
	{
		Oid relid =
			find_here(REMOTE_VALUE(tables, i, 1), REMOTE_VALUE(tables, i, 2));

		if (OidIsValid(relid))
			(void) copy_shadow(
				from, "grave",
				psprintf("(SELECT %u::oid, key_hash, descriptor, mark, image"
						 " FROM causaldb.grave WHERE relid = %s)",
						 relid, REMOTE_VALUE(tables, i, 0)),
				columns);
	}
}

/* Changes of tags, as documents, that make the source's tags from none. */
static const char *const TAGS =
	"SELECT d.document FROM causaldb.tag t"
	" JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace"
	" CROSS JOIN LATERAL (SELECT jsonb_build_object('schema', n.nspname, 'table', c.relname) AS j) b"
	" CROSS JOIN LATERAL ("
	"  SELECT 1 AS step, b.j || jsonb_build_object('op', 'set_consistency', 'level', 'strong', 'columns', x.names)"
	"   AS document"
	"  FROM (SELECT CASE WHEN t.level <> 'strong' THEN jsonb_agg(a.attname ORDER BY a.attnum) END AS names"
	"   FROM causaldb.tag_column k JOIN pg_attribute a ON a.attrelid = k.relid AND a.attnum = k.attnum"
	"   WHERE k.relid = c.oid AND k.level = 'strong' AND NOT a.attisdropped) x"
	"  WHERE t.level = 'strong' OR x.names IS NOT NULL"
	"  UNION ALL SELECT 2, b.j || jsonb_build_object('op', 'set_consistency', 'level', 'eventual', 'columns',"
	"   CASE WHEN t.whole AND t.level <> 'strong' OR t.level = 'none' THEN NULL ELSE"
	"   (SELECT jsonb_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a"
	"    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
	"    AND (a.attnum IN (SELECT k.attnum FROM causaldb.tag_column k WHERE k.relid = c.oid"
	"      AND k.level = 'eventual')"
	"     OR t.level <> 'strong' AND a.attnum = ANY ((SELECT i.indkey FROM pg_index i WHERE i.indrelid = c.oid"
	"      AND i.indisprimary)::int2[]))) END)::jsonb"
	"  UNION ALL SELECT 3, b.j || jsonb_build_object('op', 'keep_merge', 'column', a.attname,"
	"   'rule', k.rule, 'options', k.options)"
	"  FROM causaldb.tag_column k JOIN pg_attribute a ON a.attrelid = k.relid AND a.attnum = k.attnum"
	"  WHERE k.relid = c.oid AND NOT a.attisdropped AND (k.rule <> 'last_write' OR k.options <> '{}')"
	"  UNION ALL SELECT 4, b.j || jsonb_build_object('op', 'set_row_policy', 'policy', t.row_policy)"
	"  WHERE t.row_policy <> 'update_wins'"
	"  UNION ALL SELECT 5, b.j || jsonb_build_object('op', 'unset_consistency')"
	"  WHERE t.level = 'none'"
	"  UNION ALL SELECT 6, b.j || jsonb_build_object('op', 'fence', 'level', t.becomes, 'columns', to_jsonb(t.becoming))"
	"  WHERE t.becomes IS NOT NULL) d"
	" WHERE t.level <> 'none' OR t.becomes IS NOT NULL OR $1 = 'all'"
	" ORDER BY n.nspname, c.relname, d.step";

static void
copy_tags(const ShadowCopy *from)
{
	const char *which[] = { from->all_tables ? "all" : "tagged" };
	RemoteRows *rows = remote_query(from->source, TAGS, 1, which);
	int i;

	for (i = 0; i < rows->nrows; i++)
		tags_apply(REMOTE_VALUE(rows, i, 0));
}

/* What is kept of tables that are here. */
static void
copy_of_tables(const ShadowCopy *from)
{
	static const char *const log_key[] = { "key_hash", "position", "stream",
										   "chunk", NULL };

	/* Of what the source remembers only the TRUNCATEs: the rest is read anew
	 * from the log above what is stable, a TRUNCATE may be below (truncates.h). */
	(void) copy_shadow(
		from, "log_key",
		psprintf("(SELECT key_hash, position, stream, chunk FROM causaldb.log_key"
				 " WHERE key_hash = " INT64_FORMAT " AND stream <> 0)",
				 (int64) STORE_TRUNCATE_HASH),
		log_key);
	copy_graves(from);
	copy_tags(from);
}

void
shadow_copy(const ShadowCopy *from)
{
	static const char *const descriptor[] = { "hash", "definition", NULL };
	static const char *const log[] = { "position", "xid",     "stream",
									   "deps",     "payload", "stamp",
									   NULL };
	static const char *const strong_state[] = { "term", "vote", "base", NULL };
	static const char *const strong_log[] = { "index", "term", "entry",
											  "payload", NULL };
	static const char *const idempotency[] = { "index", "hlc", "node", "boot",
											   "key", NULL };
	static const char *const omission[] = { "stream", "position", "omitted",
											"final", NULL };
	static const char *const chunk[] = { "xid", "stream", "ordinal", "payload",
										 NULL };
	uint64 rows;

	copy_members(from);
	copy_streams(from);
	(void) copy_shadow(
		from, "omission",
		"(SELECT stream, position, omitted, final FROM causaldb.omission)",
		omission);
	(void) copy_shadow(from, "descriptor",
					   "(SELECT hash, definition FROM causaldb.descriptor)",
					   descriptor);
	(void) copy_shadow(
		from, "strong_state",
		"(SELECT term, 0::pg_catalog.int4 AS vote, base FROM causaldb.strong_state)",
		strong_state);
	/* of the strong log what the copied tables show, so nothing undecided */
	(void) copy_shadow(
		from, "strong_log",
		"(SELECT index, term, entry, payload FROM causaldb.strong_log WHERE index <= "
		"(SELECT pg_catalog.max(l.position) FROM causaldb.log l WHERE l.stream = 1))",
		strong_log);
	(void) copy_shadow(
		from, "idempotency",
		"(SELECT index, hlc, node, boot, key FROM causaldb.idempotency)",
		idempotency);
	progress_table("causaldb.log", bytes_of(from->source, "log"));
	rows = copy_shadow(
		from, "log",
		"(SELECT position, xid, stream, deps, payload, stamp FROM causaldb.log WHERE stream <> 0)",
		log);
	progress_table("causaldb.log_chunk", bytes_of(from->source, "log_chunk"));
	(void) copy_shadow(
		from, "log_chunk",
		"(SELECT xid, stream, ordinal, payload FROM causaldb.log_chunk WHERE stream <> 0)",
		chunk);
	ereport(NOTICE,
			(errmsg("copied " UINT64_FORMAT " transactions of history", rows)));
	if (!from->witness)
		copy_of_tables(from);
}
