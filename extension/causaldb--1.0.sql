/* extension/causaldb--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION causaldb" to load this file. \quit

-- ---------------------------------------------------------------- roles
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'causaldb_admin') THEN
		CREATE ROLE causaldb_admin NOLOGIN;
		COMMENT ON ROLE causaldb_admin IS 'may tag tables, change the cluster and read connection strings of causaldb';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'causaldb_replicator') THEN
		CREATE ROLE causaldb_replicator NOLOGIN;
		COMMENT ON ROLE causaldb_replicator IS 'may ship changes of causaldb between nodes';
	END IF;
END
$$;

-- ours, or an error: never a schema that somebody else made before
CREATE SCHEMA causaldb;
COMMENT ON SCHEMA causaldb IS 'what causaldb keeps and offers';
GRANT USAGE ON SCHEMA causaldb TO PUBLIC;

-- ---------------------------------------------------------------- tables
CREATE TABLE causaldb.local_node (
	singleton	bool PRIMARY KEY DEFAULT true CHECK (singleton),
	node		int4 NOT NULL,
	cluster		int8 NOT NULL,
	coordinator	int4 NOT NULL,
	database	oid NOT NULL,
	server_identity bool NOT NULL DEFAULT false,
	witness		bool NOT NULL DEFAULT false
);
COMMENT ON COLUMN causaldb.local_node.witness IS 'it keeps the logs of the cluster and none of its tables';
COMMENT ON COLUMN causaldb.local_node.server_identity IS 'a superuser made this database a node: strings of superusers may use this server''s own identity';
COMMENT ON COLUMN causaldb.local_node.database IS 'the database that became a node; a copy of it, made as template, is none';
COMMENT ON TABLE causaldb.local_node IS 'who this database is in its cluster; empty outside of one';

CREATE TABLE causaldb.node (
	id			int4 PRIMARY KEY,
	name		name NOT NULL UNIQUE,
	dsn			text NOT NULL,
	role		text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'witness')),
	state		text NOT NULL DEFAULT 'joining' CHECK (state IN ('joining', 'ready', 'dropped')),
	base		bytea,
	server_identity bool NOT NULL DEFAULT false
);
COMMENT ON TABLE causaldb.node IS 'nodes of the cluster, with their connection strings; ids are never reused';
COMMENT ON COLUMN causaldb.node.server_identity IS 'a superuser gave the connection string';
COMMENT ON COLUMN causaldb.node.base IS 'vector from which the node counts for stability until it acknowledges itself';

CREATE TABLE causaldb.stream (
	id			int4 PRIMARY KEY,
	node		int4 NOT NULL,
	boot		int8 NOT NULL,
	applied		int8 NOT NULL DEFAULT 0,
	chain		int8 NOT NULL DEFAULT 0,
	closed		int8 NOT NULL DEFAULT 0,
	closed_chain int8 NOT NULL DEFAULT 0,
	acked_at	int8 NOT NULL DEFAULT 0,
	acks		bytea,
	final		int8,
	retired		bool NOT NULL DEFAULT false,
	opened_at	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	UNIQUE (node, boot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE causaldb.stream IS 'streams: one for each start of each node; ids are of this node only. Stream 0 is local history before there is a cluster, stream 1 the strong log';
INSERT INTO causaldb.stream (id, node, boot) VALUES (0, 0, 0), (1, 0, 1);

CREATE TABLE causaldb.omission (
	stream		int4 NOT NULL,
	position	int8 NOT NULL,
	omitted		int4 NOT NULL,
	final		int8 NOT NULL,
	PRIMARY KEY (stream, omitted)
);
COMMENT ON TABLE causaldb.omission IS 'ended streams that a stream''s transactions after that position have seen whole and do not name in deps any more';

CREATE TABLE causaldb.descriptor (
	hash		int8 NOT NULL,
	definition	bytea NOT NULL
);
-- not unique: whoever needs a descriptor stores it without waiting for others
CREATE INDEX descriptor_hash ON causaldb.descriptor (hash);
COMMENT ON TABLE causaldb.descriptor IS 'names, types and rules under which changes were written, by content';

CREATE TABLE causaldb.log (
	position	int8 NOT NULL,
	xid			xid8,	-- names the chunks; NULL where there are none
	stream		int4 NOT NULL,
	deps		bytea NOT NULL,
	payload		bytea NOT NULL,
	stamp		bytea,
	PRIMARY KEY (stream, position)
) WITH (toast_tuple_target = 8160);
ALTER TABLE causaldb.log ALTER deps SET STORAGE EXTERNAL, ALTER payload SET STORAGE EXTERNAL;
COMMENT ON TABLE causaldb.log IS 'one row a transaction: history, outbox, relay buffer and proof against applying twice';
COMMENT ON COLUMN causaldb.log.stamp IS 'of a strong transaction, whose position is its index in the strong log';

CREATE TABLE causaldb.log_chunk (
	xid			xid8 NOT NULL,
	stream		int4 NOT NULL,
	ordinal		int4 NOT NULL,
	payload		bytea NOT NULL,
	PRIMARY KEY (stream, xid, ordinal)
) WITH (toast_tuple_target = 8160);
ALTER TABLE causaldb.log_chunk ALTER payload SET STORAGE EXTERNAL;
COMMENT ON TABLE causaldb.log_chunk IS 'pieces of transactions too large for one log row';

CREATE TABLE causaldb.tag (
	relid		oid PRIMARY KEY,
	level		text NOT NULL CHECK (level IN ('eventual', 'strong', 'none')),
	whole		bool NOT NULL,
	append_only	bool NOT NULL,
	row_policy	text NOT NULL DEFAULT 'update_wins',
	becomes		text CHECK (becomes IN ('eventual', 'strong', 'none')),
	becoming	text[]
);
COMMENT ON TABLE causaldb.tag IS 'tagged tables of this database; level none: was tagged, and changes on their way still apply';
COMMENT ON COLUMN causaldb.tag.becomes IS 'level that columns are changing to, while nobody can write the table; none: to no tag';
COMMENT ON COLUMN causaldb.tag.becoming IS 'the columns that are; null: all';

CREATE TABLE causaldb.tag_column (
	relid		oid NOT NULL REFERENCES causaldb.tag ON DELETE CASCADE,
	attnum		int2 NOT NULL,
	level		text NOT NULL CHECK (level IN ('eventual', 'strong')),
	rule		text NOT NULL DEFAULT 'last_write',
	options		jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (relid, attnum)
);
COMMENT ON TABLE causaldb.tag_column IS 'columns tagged one by one, and rules that are not the default';

CREATE TABLE causaldb.strong_state (
	singleton	bool PRIMARY KEY DEFAULT true CHECK (singleton),
	term		int8 NOT NULL DEFAULT 0,
	vote		int4 NOT NULL DEFAULT 0,
	starts		int8 NOT NULL DEFAULT 1,
	installing	int8 NOT NULL DEFAULT -1,
	base		bytea NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE causaldb.strong_state IS 'term and vote of this node in the strong log, and the state that its first entry follows';

CREATE TABLE causaldb.strong_log (
	index		int8 PRIMARY KEY,
	term		int8 NOT NULL,
	entry		bytea NOT NULL,
	payload		bytea NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE causaldb.strong_log ALTER entry SET STORAGE EXTERNAL, ALTER payload SET STORAGE EXTERNAL;
COMMENT ON TABLE causaldb.strong_log IS 'the strong log as this node holds it durably, committed or not yet';

CREATE TABLE causaldb.idempotency (
	index		int8 NOT NULL,
	hlc			int8 NOT NULL,
	node		int4 NOT NULL,
	boot		int8 NOT NULL,
	key			text COLLATE "C" NOT NULL,
	PRIMARY KEY (key, index)
);
CREATE INDEX idempotency_hlc ON causaldb.idempotency (hlc);
COMMENT ON TABLE causaldb.idempotency IS 'idempotency keys of strong transactions that this node has applied, with their stamps';

-- ---------------------------------------------------------------- tags and capture
CREATE FUNCTION causaldb.capture() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_capture';
COMMENT ON FUNCTION causaldb.capture() IS 'trigger of every tagged table';
REVOKE ALL ON FUNCTION causaldb.capture() FROM PUBLIC;

CREATE FUNCTION causaldb.set_consistency(relation regclass, level text, columns name[] DEFAULT NULL) RETURNS void
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_set_consistency';
COMMENT ON FUNCTION causaldb.set_consistency(regclass, text, name[]) IS
	'tags columns of a table, or the whole table and its later columns';

CREATE FUNCTION causaldb.unset_consistency(relation regclass) RETURNS void
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_unset_consistency';
COMMENT ON FUNCTION causaldb.unset_consistency(regclass) IS 'makes a tagged table an ordinary table again';

CREATE FUNCTION causaldb.set_merge(relation regclass, column_name name, rule text, options jsonb DEFAULT '{}') RETURNS void
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_set_merge';
COMMENT ON FUNCTION causaldb.set_merge(regclass, name, text, jsonb) IS
	'says how concurrent writes of a column merge: last_write or counter';

CREATE FUNCTION causaldb.set_row_policy(relation regclass, policy text) RETURNS void
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_set_row_policy';
COMMENT ON FUNCTION causaldb.set_row_policy(regclass, text) IS
	'says what a row becomes that was updated and deleted at once: update_wins, delete_wins or last_write';

CREATE VIEW causaldb.tags AS
	SELECT t.relid::pg_catalog.regclass AS relation,
		a.attname AS column_name,
		CASE WHEN a.attnum = ANY (k.indkey) THEN s.level ELSE COALESCE(c.level, t.level) END AS level,
		CASE WHEN a.attnum = ANY (k.indkey) THEN 'key' WHEN COALESCE(c.level, t.level) = 'strong' THEN 'strong'
			ELSE COALESCE(c.rule, 'last_write') END AS rule,
		CASE s.level WHEN 'strong' THEN 'strong' ELSE t.row_policy END AS row_policy,
		k.indkey IS NULL AS append_only,
		t.whole AS later_columns_too,
		b.level AS becomes
	FROM causaldb.tag t
		JOIN pg_catalog.pg_attribute a ON a.attrelid = t.relid
			AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		LEFT JOIN causaldb.tag_column c ON c.relid = t.relid AND c.attnum = a.attnum
		LEFT JOIN pg_catalog.pg_index k ON k.indrelid = t.relid AND k.indisprimary
		-- one strong column makes existence, and so the key, strong
		CROSS JOIN LATERAL (SELECT CASE WHEN t.level = 'strong' OR EXISTS (SELECT FROM causaldb.tag_column o
			WHERE o.relid = t.relid AND o.level = 'strong') THEN 'strong' ELSE t.level END AS level) s
		CROSS JOIN LATERAL (SELECT CASE WHEN t.becoming IS NULL OR a.attname = ANY (t.becoming) THEN t.becomes END AS level) b
	WHERE t.level <> 'none' AND (t.whole OR c.relid IS NOT NULL OR a.attnum = ANY (k.indkey)) OR b.level IS NOT NULL
	ORDER BY t.relid::pg_catalog.regclass::text, a.attnum;
COMMENT ON VIEW causaldb.tags IS 'tagged columns, and how their writes merge';

CREATE FUNCTION causaldb.foreign_key_gap(foreign_key oid) RETURNS text
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'causaldb_foreign_key_gap';
COMMENT ON FUNCTION causaldb.foreign_key_gap(oid) IS
	'why a foreign key, a row of pg_constraint, does not hold over nodes; NULL: it does';
REVOKE ALL ON FUNCTION causaldb.foreign_key_gap(oid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.foreign_key_gap(oid) TO PUBLIC;

CREATE VIEW causaldb.foreign_keys AS
	SELECT c.conname AS name, c.conrelid::pg_catalog.regclass AS relation, c.confrelid::pg_catalog.regclass AS refers_to,
		g.why_not IS NULL AS holds_over_nodes, g.why_not
	FROM pg_catalog.pg_constraint c CROSS JOIN LATERAL (SELECT causaldb.foreign_key_gap(c.oid) AS why_not OFFSET 0) g
	WHERE c.contype = 'f' AND c.conparentid = 0
		AND EXISTS (SELECT FROM causaldb.tag t WHERE t.level <> 'none' AND t.relid IN (c.conrelid, c.confrelid))
	ORDER BY c.conrelid::pg_catalog.regclass::text, c.conname;
COMMENT ON VIEW causaldb.foreign_keys IS 'foreign keys of tagged tables, and whether they hold over nodes';

CREATE FUNCTION causaldb.preview_checks(relation regclass)
	RETURNS TABLE (aspect text, verdict text, says text, hint text)
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'causaldb_preview_checks';
COMMENT ON FUNCTION causaldb.preview_checks(regclass) IS 'what set_consistency would refuse or warn of; for preview';

CREATE FUNCTION causaldb.preview(relation regclass)
	RETURNS TABLE (aspect text, verdict text, says text, hint text)
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
	SELECT * FROM causaldb.preview_checks($1)
	UNION ALL
	SELECT * FROM (SELECT f.aspect, 'fact', f.says, f.hint FROM (
		SELECT 'key' AS aspect, format('Rows are told apart by the primary key (%s). A change of the key is a DELETE and an INSERT.',
			string_agg(quote_ident(a.attname), ', ' ORDER BY k.place)) AS says, NULL AS hint
		FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = $1 AND i.indisprimary
		HAVING count(*) > 0
		UNION ALL
		SELECT 'merge', format('Of two concurrent writes of a field the one with the later stamp stays (last_write): %s.',
				string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)),
			'Numbers that are added to can add up instead: ' || string_agg(format('SELECT causaldb.set_merge(%L, %L, ''counter'');', $1, a.attname), ' '
				ORDER BY a.attnum) FILTER (WHERE a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype))
		FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND i.indrelid IS NULL
			AND EXISTS (SELECT FROM pg_index k WHERE k.indrelid = $1 AND k.indisprimary)
		HAVING count(*) > 0
		UNION ALL
		SELECT 'merge', 'A row that is updated on one node and deleted on another at once stays (update_wins).',
			format('Other policies: SELECT causaldb.set_row_policy(%L, ''delete_wins''); or ''last_write''.', $1)
		WHERE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = $1 AND i.indisprimary)
		UNION ALL
		SELECT 'generated', format('Column %I is generated: every node computes it, nothing of it travels.', a.attname), NULL
		FROM pg_attribute a WHERE a.attrelid = $1 AND a.attgenerated <> '' AND NOT a.attisdropped
		UNION ALL
		SELECT 'default', format('The default of column %I, %s, is evaluated once, where the row is written, and its value travels.',
			a.attname, pg_get_expr(d.adbin, d.adrelid)), NULL
		FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
		WHERE d.adrelid = $1 AND a.attgenerated = ''
		UNION ALL
		SELECT 'sequence', format('Sequence %s counts on every node for itself; numbers of column %I repeat on other nodes.', e.objid::regclass, a.attname), NULL
		FROM pg_depend e JOIN pg_attribute a ON a.attrelid = e.refobjid AND a.attnum = e.refobjsubid
		WHERE e.classid = 'pg_class'::regclass AND e.refclassid = 'pg_class'::regclass AND e.refobjid = $1
			AND e.deptype IN ('a', 'i') AND (SELECT c.relkind FROM pg_class c WHERE c.oid = e.objid) = 'S'
		UNION ALL
		SELECT 'constraint', CASE c.contype
			WHEN 'c' THEN format('Check constraint %I is checked again where a write of another node is applied; what violates it there waits in causaldb.stalled.', c.conname)
			ELSE CASE WHEN causaldb.foreign_key_gap(c.oid) IS NULL
				THEN format('Foreign key %I holds over nodes, as both tables are strong.', c.conname)
				ELSE format('Foreign key %I is checked where the row is written and not again on other nodes; %s.', c.conname,
				CASE WHEN EXISTS (SELECT FROM causaldb.tags t WHERE t.relation = CASE WHEN c.conrelid = $1 THEN c.confrelid ELSE c.conrelid END)
					OR c.conrelid = c.confrelid THEN 'what it cascades to travels as well'
				ELSE format('table %s is not tagged, and its rows do not travel',
					CASE WHEN c.conrelid = $1 THEN c.confrelid ELSE c.conrelid END::regclass) END) END END, NULL
		FROM pg_constraint c
		WHERE c.conparentid = 0 AND (c.contype = 'c' AND c.conrelid = $1 OR c.contype = 'f' AND $1 IN (c.conrelid, c.confrelid))
		UNION ALL
		SELECT 'trigger', CASE t.tgenabled
			WHEN 'O' THEN format('Trigger %I fires where a row is written and not where it arrives; what it writes to tagged tables travels.', t.tgname)
			WHEN 'D' THEN format('Trigger %I is disabled.', t.tgname)
			ELSE format('Trigger %I fires where a write of another node is applied%s, as the owner of the table; what it writes there stays there.',
				t.tgname, CASE t.tgenabled WHEN 'A' THEN ' as well' ELSE ', and only there' END) END, NULL
		FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal
		UNION ALL
		SELECT 'rule', format('Rule %I acts where a statement is run, not where a write arrives.', r.rulename), NULL
		FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.ev_class = $1 AND c.relkind IN ('r', 'p')
		UNION ALL
		SELECT 'security', 'Row security is asked where a row is written; other nodes apply it as the owner of the table.', NULL
		FROM pg_class c WHERE c.oid = $1 AND c.relrowsecurity
		UNION ALL
		SELECT 'partitions', format('Its partitions (%s) are this node''s own business: other nodes may have others, or none.', count(*)), NULL
		FROM pg_partition_tree($1) p WHERE p.isleaf AND p.level > 0 HAVING count(*) > 0
		UNION ALL
		SELECT 'rows', 'Rows that are here already are not sent: the other nodes must have them, or join afterwards.', NULL
		FROM pg_class c WHERE c.oid = $1 AND c.relkind IN ('r', 'p')
		UNION ALL
		SELECT 'lock', 'Tagging waits for writers of the table, on every node, and keeps them out until it is committed; readers go on.', NULL
		FROM pg_class c WHERE c.oid = $1 AND c.relkind IN ('r', 'p')
	) f
	WHERE NOT EXISTS (SELECT FROM causaldb.preview_checks($1) c WHERE c.verdict = 'refused' AND c.aspect IN ('kind', 'persistence'))
	ORDER BY array_position('{key,merge,generated,default,sequence,constraint,trigger,rule,security,partitions,rows,lock}', f.aspect),
		f.says COLLATE "C" DESC) facts
$$;
COMMENT ON FUNCTION causaldb.preview(regclass) IS
	'tells before a table is tagged what that would mean for it: what is refused or warned of, and what is merely so';

CREATE FUNCTION causaldb.forget_dropped() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	ours record;
BEGIN
	DELETE FROM causaldb.tag WHERE relid IN (
		SELECT objid FROM pg_event_trigger_dropped_objects()
		WHERE classid = 'pg_class'::regclass AND objsubid = 0);
	SELECT format('%I.%I', address_names[1], address_names[2]) AS of_table INTO ours
		FROM pg_event_trigger_dropped_objects()
		WHERE original AND object_type = 'trigger' AND address_names[3] LIKE '!causaldb\_capture\_%'
		LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'cannot drop the trigger that captures what is written to table %', ours.of_table
			USING ERRCODE = 'dependent_objects_still_exist',
				DETAIL = 'The table is tagged, and other nodes would hear of nothing more.',
				HINT = format('Type: SELECT causaldb.unset_consistency(%L);',
					(SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
						WHERE c.oid = COALESCE(pg_partition_root(ours.of_table::regclass), ours.of_table::regclass)));
	END IF;
END
$$;
COMMENT ON FUNCTION causaldb.forget_dropped() IS 'forgets the tags of tables that are dropped, and keeps the triggers of the others';
REVOKE ALL ON FUNCTION causaldb.forget_dropped() FROM PUBLIC;
CREATE EVENT TRIGGER causaldb_forget_dropped ON sql_drop EXECUTE FUNCTION causaldb.forget_dropped();
ALTER EVENT TRIGGER causaldb_forget_dropped ENABLE ALWAYS;

CREATE FUNCTION causaldb.look_at_ddl() RETURNS event_trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_look_at_ddl';
COMMENT ON FUNCTION causaldb.look_at_ddl() IS 'captures what is written to new partitions of tagged tables, and refuses what would end capture';
REVOKE ALL ON FUNCTION causaldb.look_at_ddl() FROM PUBLIC;
CREATE EVENT TRIGGER causaldb_look_at_ddl ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE SCHEMA', 'ALTER FOREIGN TABLE', 'CREATE FOREIGN TABLE')
	EXECUTE FUNCTION causaldb.look_at_ddl();
ALTER EVENT TRIGGER causaldb_look_at_ddl ENABLE ALWAYS;

-- ---------------------------------------------------------------- keys
CREATE FUNCTION causaldb.next_id() RETURNS int8
	LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'causaldb_next_id';
COMMENT ON FUNCTION causaldb.next_id() IS
	'a number that no node gives twice, in the order of time: 41 bits of milliseconds since 2020, 10 of node id, 12 of count';

CREATE FUNCTION causaldb.use_node_ids(relation regclass, column_name name) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	col record;
BEGIN
	SELECT a.atttypid::regtype AS type, a.attidentity AS identity INTO col
	FROM pg_attribute a
	WHERE a.attrelid = relation AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'column "%" of table % does not exist', column_name, relation
			USING ERRCODE = 'undefined_column';
	END IF;
	IF col.type <> 'int8'::regtype THEN
		RAISE EXCEPTION 'column "%" of table % is of type %', column_name, relation, col.type
			USING ERRCODE = 'datatype_mismatch',
				DETAIL = 'Ids of causaldb.next_id() are 64 bits wide.',
				HINT = format('Type on every node: ALTER TABLE %s ALTER COLUMN %I TYPE bigint;', relation, column_name);
	END IF;
	IF col.identity <> '' THEN
		EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP IDENTITY', relation, column_name);
	END IF;
	EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT causaldb.next_id()', relation, column_name);
END
$$;
COMMENT ON FUNCTION causaldb.use_node_ids(regclass, name) IS
	'makes causaldb.next_id() the default of a bigint column, instead of a sequence; call it on every node';

-- ---------------------------------------------------------------- apply
CREATE TABLE causaldb.grave (
	relid		oid NOT NULL,
	key_hash	int8 NOT NULL,
	descriptor	int8 NOT NULL,
	mark		int8 NOT NULL,
	image		bytea NOT NULL
);
CREATE INDEX grave_key ON causaldb.grave (relid, key_hash);
COMMENT ON TABLE causaldb.grave IS 'last images of dead rows on which concurrent operations were merged';

CREATE TABLE causaldb.log_key (
	key_hash	int8 NOT NULL,
	position	int8 NOT NULL,
	stream		int4 NOT NULL,
	chunk		int4 NOT NULL
);
CREATE INDEX log_key_hash ON causaldb.log_key (key_hash);
COMMENT ON TABLE causaldb.log_key IS 'which large unstable transactions wrote which rows; filled only when a concurrent operation asks';

CREATE TABLE causaldb.conflict (
	id			int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	recorded_at	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	conflict_type text NOT NULL,
	relation	text NOT NULL,
	key			jsonb,
	column_name	text,
	rule		text NOT NULL,
	kept_node	int4,
	kept_hlc	int8,
	kept_value	text,
	lost_node	int4,
	lost_hlc	int8,
	lost_value	text,
	outcome		text NOT NULL
);
COMMENT ON TABLE causaldb.conflict IS 'merges on this node that discarded something; read causaldb.conflicts';

CREATE TABLE causaldb.stall (
	stream		int4 NOT NULL,
	position	int8 NOT NULL,
	sqlstate	text,
	message		text,
	detail		text,
	hint		text,
	context		text,
	relation	text,
	first_at	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	last_at		timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	tries		int4 NOT NULL DEFAULT 0,
	crashes		int4 NOT NULL DEFAULT 0,
	trying		bool NOT NULL DEFAULT false,
	server		timestamptz, -- start of the server that tries; NULL: of which no crash leaves anything
	PRIMARY KEY (stream, position)
);
COMMENT ON TABLE causaldb.stall IS 'transactions of peers that could not be applied yet, and marks of tries under way; read causaldb.stalled';

CREATE TABLE causaldb.aside (
	stream		int4 NOT NULL,
	position	int8 NOT NULL,
	decided_by	name NOT NULL DEFAULT SESSION_USER,
	decided_at	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (stream, position)
);
COMMENT ON TABLE causaldb.aside IS 'transactions an operator has set aside on this node';

CREATE TABLE causaldb.lost_found_row (
	id			int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	found_at	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	stream		int4 NOT NULL,
	position	int8 NOT NULL,
	relation	text,
	operation	text NOT NULL,
	key			jsonb,
	old_values	jsonb,
	new_values	jsonb,
	reason		text NOT NULL
);
COMMENT ON TABLE causaldb.lost_found_row IS 'values that this node did not write to their tables; read causaldb.lost_found';

CREATE FUNCTION causaldb.hello(frame bytea) RETURNS bytea
	AS 'MODULE_PATHNAME', 'causaldb_hello' LANGUAGE C VOLATILE STRICT
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION causaldb.hello(bytea) IS 'a peer introduces itself; called by the peer''s sender only';
CREATE FUNCTION causaldb.receive(frame bytea) RETURNS bytea
	AS 'MODULE_PATHNAME', 'causaldb_receive' LANGUAGE C VOLATILE STRICT
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION causaldb.receive(bytea) IS 'takes a frame of changes; called by the peer''s sender only';
CREATE FUNCTION causaldb.strong_message(message bytea) RETURNS bool
	AS 'MODULE_PATHNAME', 'causaldb_strong_message' LANGUAGE C VOLATILE STRICT
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION causaldb.strong_message(bytea) IS 'takes a message of the strong log; called by the peer''s consensus process only';
REVOKE ALL ON FUNCTION causaldb.hello(bytea), causaldb.receive(bytea), causaldb.strong_message(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.hello(bytea), causaldb.receive(bytea), causaldb.strong_message(bytea) TO causaldb_replicator;

-- ---------------------------------------------------------------- counters and history
CREATE FUNCTION causaldb.counter_set(relation regclass, key jsonb, column_name name, value numeric) RETURNS void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'causaldb_counter_set';
COMMENT ON FUNCTION causaldb.counter_set(regclass, jsonb, name, numeric) IS
	'sets a counter to a value, instead of adding the difference';

CREATE FUNCTION causaldb.read_history()
	RETURNS TABLE (relation text, operation text, key jsonb, column_name name, old text, new text,
		stamp text, node name, committed_at timestamptz, level text, "position" int8, stream int4)
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_history';
COMMENT ON FUNCTION causaldb.read_history() IS 'rows of causaldb.history';
REVOKE ALL ON FUNCTION causaldb.read_history() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.read_history() TO causaldb_admin;

CREATE VIEW causaldb.history AS SELECT * FROM causaldb.read_history();
COMMENT ON VIEW causaldb.history IS 'every written field of every tagged table, in order of stamp';

CREATE FUNCTION causaldb.field_history(relation regclass, key jsonb, column_name name DEFAULT NULL)
	RETURNS TABLE (field name, operation text, old text, new text, node name,
		committed_at timestamptz, level text, stamp text)
	LANGUAGE C AS 'MODULE_PATHNAME', 'causaldb_field_history';
COMMENT ON FUNCTION causaldb.field_history(regclass, jsonb, name) IS
	'who wrote what to one row, or to one of its columns, and when';

-- ---------------------------------------------------------------- the cluster
CREATE FUNCTION causaldb.create_cluster(node_name name, dsn text) RETURNS void
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_create_cluster';
COMMENT ON FUNCTION causaldb.create_cluster(name, text) IS 'makes this database the first node of a new cluster; dsn is how other nodes reach it';
REVOKE EXECUTE ON FUNCTION causaldb.create_cluster(name, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.create_cluster(name, text) TO causaldb_admin;

CREATE FUNCTION causaldb.join_cluster(node_name name, dsn text, via text, copy text DEFAULT 'data', role text DEFAULT 'member', force bool DEFAULT false) RETURNS void
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_join_cluster';
COMMENT ON FUNCTION causaldb.join_cluster(name, text, text, text, text, bool) IS 'makes this database a node of the cluster that via leads to; copy is none (tables are the same already; compared unless force), data or all; role is member, or witness for one that has the logs and no tables';
REVOKE EXECUTE ON FUNCTION causaldb.join_cluster(name, text, text, text, text, bool) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.join_cluster(name, text, text, text, text, bool) TO causaldb_admin;

CREATE FUNCTION causaldb.join_status(
	OUT node name, OUT id int4, OUT copy text, OUT state text, OUT phase text, OUT since timestamptz, OUT pid int4,
	OUT "table" text, OUT table_number int4, OUT tables int4,
	OUT "rows" int8, OUT bytes int8, OUT bytes_done int8, OUT bytes_total int8)
	RETURNS SETOF record
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 1
	AS 'MODULE_PATHNAME', 'causaldb_join_status';
COMMENT ON FUNCTION causaldb.join_status() IS 'shared state of the join of this database, raw';

CREATE VIEW causaldb.join_progress AS
	SELECT j.node,
		j.id,
		j.copy,
		j.state,
		j.phase,
		j.since,
		j.pid,
		j."table",
		j.table_number,
		j.tables,
		j."rows",
		j.bytes,
		CASE WHEN j.state = 'done' THEN 100.0
			ELSE pg_catalog.round(100.0 * j.bytes_done / NULLIF(j.bytes_total, 0), 1) END AS percent,
		CASE WHEN j.state = 'interrupted' THEN
			'Nothing of the copy has stayed here' ||
			CASE WHEN j.id IS NULL THEN '. '
				ELSE pg_catalog.format(', but the cluster keeps node id %s for %I and counts it as a member that is joining. ', j.id, j.node) END ||
			pg_catalog.format('Type SELECT causaldb.join_cluster(%L, ..., copy => %L); again, with the same connection string.', j.node, j.copy)
			END AS what_to_do
	FROM causaldb.join_status() j;
COMMENT ON VIEW causaldb.join_progress IS 'the join of this database that runs, or ran last';
COMMENT ON COLUMN causaldb.join_progress.id IS 'node id; null before the cluster has given one out';
COMMENT ON COLUMN causaldb.join_progress.state IS 'running, interrupted, or done';
COMMENT ON COLUMN causaldb.join_progress.phase IS 'source, snapshot, compare, schema, rows, sequences, indexes, history; null if the server has started since';
COMMENT ON COLUMN causaldb.join_progress."table" IS 'what is being copied or compared, since the phase began';
COMMENT ON COLUMN causaldb.join_progress."rows" IS 'of that table, as they come';
COMMENT ON COLUMN causaldb.join_progress.bytes IS 'of that table, as they come';
COMMENT ON COLUMN causaldb.join_progress.percent IS 'of the bytes of all tables and the history there, about';
COMMENT ON COLUMN causaldb.join_progress.what_to_do IS 'if it was interrupted: what is left of it, and what to type';

CREATE FUNCTION causaldb.alter_node(node_name name, dsn text) RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_alter_node';
COMMENT ON FUNCTION causaldb.alter_node(name, text) IS 'lets the other nodes reach a node by another connection string';
REVOKE EXECUTE ON FUNCTION causaldb.alter_node(name, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.alter_node(name, text) TO causaldb_admin;

CREATE TABLE causaldb.paused (
	node	int4 PRIMARY KEY,
	since	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE causaldb.paused IS 'peers to which this node ships nothing and from which it takes nothing';

CREATE FUNCTION causaldb.pause_peer(node_name name) RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_pause_peer';
COMMENT ON FUNCTION causaldb.pause_peer(name) IS 'this node ships nothing to that one and takes nothing it has written, until resume_peer; what has seen it waits';
REVOKE EXECUTE ON FUNCTION causaldb.pause_peer(name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.pause_peer(name) TO causaldb_admin;

CREATE FUNCTION causaldb.resume_peer(node_name name) RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_resume_peer';
COMMENT ON FUNCTION causaldb.resume_peer(name) IS 'ends pause_peer: both nodes catch up';
REVOKE EXECUTE ON FUNCTION causaldb.resume_peer(name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.resume_peer(name) TO causaldb_admin;

CREATE FUNCTION causaldb.wait_until_ready(timeout interval DEFAULT '60 s') RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_wait_until_ready';
COMMENT ON FUNCTION causaldb.wait_until_ready(interval) IS 'returns when this node takes writes, its links to all ready nodes are up and something has come from each of them';
REVOKE EXECUTE ON FUNCTION causaldb.wait_until_ready(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.wait_until_ready(interval) TO PUBLIC;

CREATE FUNCTION causaldb.token() RETURNS text
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'causaldb_token';
COMMENT ON FUNCTION causaldb.token() IS 'names everything that this node has applied or committed; pass it to wait_for on another node';

CREATE FUNCTION causaldb.wait_for(token text, timeout interval DEFAULT '30 s') RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_wait_for';
COMMENT ON FUNCTION causaldb.wait_for(text, interval) IS 'returns when this node has everything that a token names; the next statement sees it';

-- what nodes ask of the node that orders ids and tags
CREATE FUNCTION causaldb.admit_node(node_name name, dsn text, role text, server_identity bool) RETURNS int4
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_admit_node';
COMMENT ON FUNCTION causaldb.admit_node(name, text, text, bool) IS 'for join_cluster: gives a joining node its id';
REVOKE EXECUTE ON FUNCTION causaldb.admit_node(name, text, text, bool) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.admit_node(name, text, text, bool) TO causaldb_admin, causaldb_replicator;

CREATE FUNCTION causaldb.order_dsn(node_name name, dsn text, server_identity bool) RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_order_dsn';
COMMENT ON FUNCTION causaldb.order_dsn(name, text, bool) IS 'for alter_node on another node: carries out and orders a change of a connection string';
REVOKE EXECUTE ON FUNCTION causaldb.order_dsn(name, text, bool) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.order_dsn(name, text, bool) TO causaldb_replicator;

CREATE FUNCTION causaldb.order_tag(change text) RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_order_tag';
COMMENT ON FUNCTION causaldb.order_tag(text) IS 'for set_consistency and its like on another node: carries out and orders a change of a tag';
REVOKE EXECUTE ON FUNCTION causaldb.order_tag(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.order_tag(text) TO causaldb_replicator;

CREATE FUNCTION causaldb.check_tag(change text) RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_check_tag';
COMMENT ON FUNCTION causaldb.check_tag(text) IS 'for set_consistency on another node: refuses what could not be carried out here';
REVOKE EXECUTE ON FUNCTION causaldb.check_tag(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.check_tag(text) TO causaldb_replicator;

CREATE FUNCTION causaldb.tag_digest(change text) RETURNS text
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_tag_digest';
COMMENT ON FUNCTION causaldb.tag_digest(text) IS 'for set_consistency on another node: what columns that had no tag have here, to be compared';
REVOKE EXECUTE ON FUNCTION causaldb.tag_digest(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.tag_digest(text) TO causaldb_replicator;

-- what join_cluster asks of the node it copies from
CREATE FUNCTION causaldb.closed_position() RETURNS int8
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_closed_position';
COMMENT ON FUNCTION causaldb.closed_position() IS 'for join_cluster: up to here this node''s live stream is complete in any later snapshot';
REVOKE EXECUTE ON FUNCTION causaldb.closed_position() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.closed_position() TO causaldb_admin;

CREATE FUNCTION causaldb.make_durable() RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_make_durable';
COMMENT ON FUNCTION causaldb.make_durable() IS 'for join_cluster: the commit of this transaction waits for the disk, and so for all before it';
REVOKE EXECUTE ON FUNCTION causaldb.make_durable() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.make_durable() TO causaldb_admin;

-- ---------------------------------------------------------------- status
CREATE FUNCTION causaldb.position_time("position" int8) RETURNS timestamptz
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'causaldb_position_time';
COMMENT ON FUNCTION causaldb.position_time(int8) IS 'the wall-clock time in a position';

CREATE FUNCTION causaldb.node_status(
	OUT state text, OUT fence_reason text, OUT node int4, OUT boot int8, OUT clock int8, OUT clock_mark int8,
	OUT apply_pid int4, OUT sender_pid int4,
	OUT pending_commits int4, OUT pending_position int8, OUT pending_pid int4,
	OUT lock_wait_since timestamptz, OUT lock_wait_pid int4, OUT lock_wait_relation oid)
	RETURNS SETOF record
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 1
	AS 'MODULE_PATHNAME', 'causaldb_node_status';
COMMENT ON FUNCTION causaldb.node_status() IS 'shared state of this node, raw';

CREATE FUNCTION causaldb.peer_status(
	OUT node int4, OUT state text, OUT since timestamptz, OUT last_answer timestamptz, OUT last_heard timestamptz,
	OUT skew_ms int8, OUT round_trip_us int8, OUT own_applied int8, OUT frames_sent int8, OUT bytes_sent int8, OUT error text)
	RETURNS SETOF record
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 8
	AS 'MODULE_PATHNAME', 'causaldb_peer_status';
COMMENT ON FUNCTION causaldb.peer_status() IS 'shared state of the links to peers, raw';

CREATE FUNCTION causaldb.stream_status(
	OUT id int4, OUT node int4, OUT boot int8, OUT own bool,
	OUT applied int8, OUT started int8, OUT taken int8, OUT seen int8, OUT everywhere int8, OUT stable int8, OUT closed int8,
	OUT blocked_at int8, OUT waits_node int4, OUT waits_boot int8, OUT waits_upto int8, OUT waits_since timestamptz, OUT stalled bool)
	RETURNS SETOF record
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 16
	AS 'MODULE_PATHNAME', 'causaldb_stream_status';
COMMENT ON FUNCTION causaldb.stream_status() IS 'shared state of streams, raw';

CREATE FUNCTION causaldb.clock_status(
	OUT now_ms int8, OUT wall_ahead_ms int8, OUT refused text, OUT refused_since timestamptz,
	OUT trust text, OUT hlc int8, OUT mark int8)
	RETURNS SETOF record
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 1
	AS 'MODULE_PATHNAME', 'causaldb_clock_status';
COMMENT ON FUNCTION causaldb.clock_status() IS 'shared state of this server''s clock, raw';

CREATE FUNCTION causaldb.accept_clock() RETURNS text
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'causaldb_accept_clock';
COMMENT ON FUNCTION causaldb.accept_clock() IS
	'takes this server''s wall clock as right: follows it although it has jumped, and lets this node write although its peers have another time';
REVOKE ALL ON FUNCTION causaldb.accept_clock() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.accept_clock() TO causaldb_admin;

CREATE VIEW causaldb.clock AS
	SELECT pg_catalog.to_timestamp(c.now_ms / 1000.0) AS "time",
		pg_catalog.to_timestamp((c.now_ms + c.wall_ahead_ms) / 1000.0) AS wall,
		c.wall_ahead_ms * interval '1 ms' AS wall_ahead,
		c.refused,
		c.refused_since,
		c.trust,
		c.hlc,
		causaldb.position_time(c.hlc) AS hlc_time,
		causaldb.position_time(c.mark) AS mark_time
	FROM causaldb.clock_status() c;
COMMENT ON VIEW causaldb.clock IS 'this server''s clock, as its nodes take it';
COMMENT ON COLUMN causaldb.clock."time" IS 'what this server''s nodes go by; it follows the wall clock unless that is refused';
COMMENT ON COLUMN causaldb.clock.wall IS 'the wall clock';
COMMENT ON COLUMN causaldb.clock.refused IS 'why the wall clock is not followed, since then; NULL where it is';
COMMENT ON COLUMN causaldb.clock.trust IS
	'waiting until peers are asked; trusted; alone: trusted as no peer could be reached; refused: too far from all peers, so writes are refused';
COMMENT ON COLUMN causaldb.clock.hlc IS 'the largest stamp given or observed here';
COMMENT ON COLUMN causaldb.clock.mark_time IS 'the durable mark, at which the next start begins';

CREATE VIEW causaldb.nodes AS
	SELECT n.id,
		n.name,
		n.role,
		n.state,
		n.id = l.node AS here,
		n.id = l.coordinator AS orders_tags,
		CASE WHEN n.id = l.node THEN s.state END AS running,
		CASE WHEN n.id = l.node THEN s.fence_reason END AS fence_reason,
		CASE WHEN pg_catalog.pg_has_role('causaldb_admin', 'USAGE') THEN n.dsn END AS dsn,
		n.server_identity
	FROM causaldb.node n
		CROSS JOIN causaldb.local_node l
		LEFT JOIN causaldb.node_status() s ON n.id = l.node
	ORDER BY n.id;
COMMENT ON VIEW causaldb.nodes IS 'nodes of the cluster, as this one knows them';
COMMENT ON COLUMN causaldb.nodes.role IS 'a witness keeps the logs of the cluster and none of its tables';
COMMENT ON COLUMN causaldb.nodes.state IS 'joining until its workers are up, then ready; dropped for ever';
COMMENT ON COLUMN causaldb.nodes.here IS 'this is the node you are connected to';
COMMENT ON COLUMN causaldb.nodes.orders_tags IS 'this node hands out node ids and orders changes of tags';
COMMENT ON COLUMN causaldb.nodes.running IS 'of the node you are connected to: open when it takes writes to tagged tables';
COMMENT ON COLUMN causaldb.nodes.server_identity IS 'a superuser gave that string, so it may do without a password: see the setting of that name';
COMMENT ON COLUMN causaldb.nodes.dsn IS 'how other nodes reach it; shown to members of causaldb_admin only';

CREATE VIEW causaldb.peers AS
	SELECT n.name,
		COALESCE(p.state, 'none') AS state,
		p.since,
		p.last_answer,
		p.last_heard,
		p.skew_ms * interval '1 ms' AS skew,
		p.round_trip_us * interval '1 us' AS round_trip,
		p.own_applied AS "position",
		causaldb.position_time(p.own_applied) AS position_time,
		CASE WHEN p.own_applied >= o.written THEN interval '0'
			ELSE causaldb.position_time(o.closed) - causaldb.position_time(p.own_applied) END AS lag,
		p.frames_sent,
		p.bytes_sent,
		p.error
	FROM causaldb.local_node l
		JOIN causaldb.node n ON n.id <> l.node AND n.state <> 'dropped'
		LEFT JOIN causaldb.peer_status() p ON p.node = n.id
		LEFT JOIN (SELECT s.started AS written, s.closed FROM causaldb.stream_status() s WHERE s.own) o ON true
	ORDER BY n.id;
COMMENT ON VIEW causaldb.peers IS 'links from this node to the others';
COMMENT ON COLUMN causaldb.peers.state IS 'connecting, greeting, up, down or paused, since then';
COMMENT ON COLUMN causaldb.peers.last_answer IS 'when it last answered a frame of ours';
COMMENT ON COLUMN causaldb.peers.last_heard IS 'when it last sent us a frame';
COMMENT ON COLUMN causaldb.peers.skew IS 'the peer''s clock minus ours';
COMMENT ON COLUMN causaldb.peers.round_trip IS 'from the last answered frame''s sending to its answer';
COMMENT ON COLUMN causaldb.peers."position" IS 'what the peer has applied of our own stream';
COMMENT ON COLUMN causaldb.peers.lag IS 'how far it is behind what we have written; zero when it has all';
COMMENT ON COLUMN causaldb.peers.error IS 'why the link is not up';

CREATE VIEW causaldb.streams AS
	SELECT COALESCE(n.name, s.node::text::name) AS node,
		pg_catalog.lpad(pg_catalog.to_hex(s.boot), 16, '0') AS boot,
		s.id AS stream,
		s.own,
		NULLIF(s.applied, 0) AS applied,
		causaldb.position_time(NULLIF(s.applied, 0)) AS applied_time,
		NULLIF(s.seen, 0) AS seen,
		CASE WHEN s.seen > s.applied
			THEN GREATEST(causaldb.position_time(s.seen) - causaldb.position_time(NULLIF(s.applied, 0)),
				pg_catalog.clock_timestamp() - s.waits_since)
			ELSE interval '0' END AS lag,
		CASE WHEN s.own THEN s.closed ELSE NULLIF(t.closed, 0) END AS closed,
		NULLIF(s.everywhere, 0) AS everywhere,
		NULLIF(s.stable, 0) AS stable,
		CASE WHEN s.waits_node IS NOT NULL
			THEN pg_catalog.format('%s up to %s', COALESCE(w.name::text, 'node ' || s.waits_node),
				pg_catalog.to_char(causaldb.position_time(s.waits_upto), 'YYYY-MM-DD HH24:MI:SS.MS')) END AS waiting_for,
		s.waits_since AS waiting_since,
		s.stalled,
		CASE WHEN s.own THEN m.pending_commits END AS pending_commits,
		CASE WHEN s.own THEN causaldb.position_time(m.pending_position) END AS pending_since,
		CASE WHEN s.own THEN m.pending_pid END AS pending_pid
	FROM causaldb.stream_status() s
		LEFT JOIN causaldb.node n ON n.id = s.node
		LEFT JOIN causaldb.node w ON w.id = s.waits_node AND s.waits_node > 0
		LEFT JOIN causaldb.stream t ON t.id = s.id
		LEFT JOIN causaldb.node_status() m ON s.own
	WHERE s.node > 0
	ORDER BY s.node, s.id;
COMMENT ON VIEW causaldb.streams IS 'streams this node follows, one for each start of each node, and how far they are here';
COMMENT ON COLUMN causaldb.streams.applied IS 'everything of the stream up to here is visible on this node';
COMMENT ON COLUMN causaldb.streams.seen IS 'the largest position that anything received has named';
COMMENT ON COLUMN causaldb.streams.lag IS 'time between seen and applied, and at least for how long the stream waits';
COMMENT ON COLUMN causaldb.streams.closed IS 'the writer''s word that nothing more comes at or below';
COMMENT ON COLUMN causaldb.streams.everywhere IS 'applied durably by every member up to here';
COMMENT ON COLUMN causaldb.streams.stable IS 'everywhere up to here, and nothing that has not seen it can still come: with strong columns that takes some seconds';
COMMENT ON COLUMN causaldb.streams.waiting_for IS 'what the next transaction of the stream must see applied here first';
COMMENT ON COLUMN causaldb.streams.stalled IS 'the next transaction cannot be applied: see causaldb.stalled';
COMMENT ON COLUMN causaldb.streams.pending_commits IS 'transactions of this node that are in their commit and hold closed back';
COMMENT ON COLUMN causaldb.streams.pending_pid IS 'the process of the oldest of them';

CREATE VIEW causaldb.apply_waits AS
	SELECT COALESCE(m.lock_wait_since, l.waitstart) AS since,
		COALESCE(m.lock_wait_pid, (pg_catalog.pg_blocking_pids(m.apply_pid))[1]) AS pid,
		COALESCE(m.lock_wait_relation, l.relation)::regclass AS relation
	FROM causaldb.node_status() m
		LEFT JOIN pg_catalog.pg_locks l ON l.pid = m.apply_pid AND NOT l.granted
	WHERE m.lock_wait_since IS NOT NULL OR l.pid IS NOT NULL;
COMMENT ON VIEW causaldb.apply_waits IS 'the lock that applying waits for, if it waits: since when, for which process, on which table';

-- errors may quote values of rows, in detail and context
CREATE VIEW causaldb.stalled AS
	SELECT COALESCE(n.name, s.node::text::name) AS node,
		t.stream,
		t.position,
		causaldb.position_time(t.position) AS position_time,
		t.relation,
		t.sqlstate,
		t.message,
		CASE WHEN pg_catalog.pg_has_role('causaldb_admin', 'USAGE') THEN t.detail END AS detail,
		t.hint,
		CASE WHEN pg_catalog.pg_has_role('causaldb_admin', 'USAGE') THEN t.context END AS context,
		t.first_at,
		t.last_at,
		t.tries,
		t.crashes
	FROM causaldb.stall t
		JOIN causaldb.stream s ON s.id = t.stream
		LEFT JOIN causaldb.node n ON n.id = s.node
	WHERE t.sqlstate IS NOT NULL
	ORDER BY t.first_at;
COMMENT ON VIEW causaldb.stalled IS 'transactions of other nodes that cannot be applied here, and why; each is tried again until it can';
COMMENT ON COLUMN causaldb.stalled.stream IS 'stream and position name the transaction, for set_aside';
COMMENT ON COLUMN causaldb.stalled.relation IS 'the table it was at';
COMMENT ON COLUMN causaldb.stalled.detail IS 'shown to members of causaldb_admin only, as it may quote rows; so is context';
COMMENT ON COLUMN causaldb.stalled.crashes IS 'how often it crashed the applying process; after 3 it is not tried any more';

-- ---------------------------------------------------------------- the strong log
CREATE FUNCTION causaldb.leader_id() RETURNS int4
	LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'causaldb_leader_id';
COMMENT ON FUNCTION causaldb.leader_id() IS 'node that leads the strong log as far as this one knows, or NULL';

CREATE FUNCTION causaldb.leader() RETURNS name
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'SELECT n.name FROM causaldb.node n WHERE n.id = causaldb.leader_id()';
COMMENT ON FUNCTION causaldb.leader() IS 'name of the node that leads the strong log as far as this one knows, or NULL';

CREATE FUNCTION causaldb.transfer_leadership(node_name name) RETURNS void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'causaldb_transfer_leadership';
COMMENT ON FUNCTION causaldb.transfer_leadership(name) IS 'has another node lead the strong log, and returns when it does';
REVOKE EXECUTE ON FUNCTION causaldb.transfer_leadership(name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.transfer_leadership(name) TO causaldb_admin, causaldb_replicator;

CREATE FUNCTION causaldb.stamp_node(stamp bytea) RETURNS int4
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'causaldb_stamp_node';
COMMENT ON FUNCTION causaldb.stamp_node(bytea) IS 'node of a strong transaction in causaldb.log';
REVOKE ALL ON FUNCTION causaldb.stamp_node(bytea) FROM PUBLIC;

CREATE FUNCTION causaldb.outcome(stamp text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS text
	LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'causaldb_outcome';
COMMENT ON FUNCTION causaldb.outcome(text, text) IS
	'what became of the strong transaction with that stamp or idempotency key, on any node: committed, or aborted for ever';
CREATE FUNCTION causaldb.outcome(xid xid8) RETURNS text
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'causaldb_outcome_xid';
COMMENT ON FUNCTION causaldb.outcome(xid8) IS
	'the same by the transaction''s id (pg_current_xact_id()), on the node that it ran on; takes some seconds where it is not committed';

CREATE FUNCTION causaldb.strong_raw(
	OUT role text, OUT term int8, OUT commit_index int8, OUT applied_index int8, OUT first_index int8, OUT last_index int8,
	OUT in_use bool, OUT proposals int8, OUT committed int8, OUT conflicts int8, OUT refused int8, OUT replayed int8,
	OUT lease_ms int8, OUT commit_p50_ms float8, OUT commit_p99_ms float8, OUT read_p50_ms float8, OUT read_p99_ms float8)
	RETURNS SETOF record
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'causaldb_strong_raw';
COMMENT ON FUNCTION causaldb.strong_raw() IS 'shared state of this node''s part in the strong log, raw';

CREATE FUNCTION causaldb.strong_members(
	OUT node int4, OUT voter bool, OUT witness bool, OUT match int8, OUT applied int8)
	RETURNS SETOF record
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 3 AS 'MODULE_PATHNAME', 'causaldb_strong_members';
COMMENT ON FUNCTION causaldb.strong_members() IS 'members of the strong log as this node knows them, raw; the leader knows how far they are';

CREATE VIEW causaldb.strong_status AS
	SELECT COALESCE(n.name, m.node::text::name) AS node,
		m.node = l.node AS here,
		m.node = causaldb.leader_id() AS leads,
		CASE WHEN NOT m.voter THEN 'learner' WHEN m.witness THEN 'witness' ELSE 'voter' END AS membership,
		CASE WHEN m.node = l.node THEN r.role END AS role,
		r.term,
		r.commit_index,
		m.match AS log_index,
		m.applied AS applied_index,
		GREATEST(r.commit_index - m.applied, 0) AS lag,
		CASE WHEN m.node = l.node THEN r.proposals END AS proposals,
		CASE WHEN m.node = l.node THEN r.conflicts END AS conflicts,
		CASE WHEN m.node = l.node THEN r.replayed END AS replayed,
		CASE WHEN m.node = l.node THEN pg_catalog.make_interval(secs => r.lease_ms / 1000.0) END AS lease,
		CASE WHEN m.node = l.node THEN pg_catalog.make_interval(secs => r.commit_p50_ms / 1000) END AS commit_p50,
		CASE WHEN m.node = l.node THEN pg_catalog.make_interval(secs => r.commit_p99_ms / 1000) END AS commit_p99,
		CASE WHEN m.node = l.node THEN pg_catalog.make_interval(secs => r.read_p50_ms / 1000) END AS read_p50,
		CASE WHEN m.node = l.node THEN pg_catalog.make_interval(secs => r.read_p99_ms / 1000) END AS read_p99
	FROM causaldb.local_node l
		CROSS JOIN causaldb.strong_raw() r
		CROSS JOIN causaldb.strong_members() m
		LEFT JOIN causaldb.node n ON n.id = m.node
	ORDER BY m.node;
COMMENT ON VIEW causaldb.strong_status IS 'the strong log: a row for each of its members, as the node you are connected to knows them';
COMMENT ON COLUMN causaldb.strong_status.membership IS 'a learner becomes a voter, or a witness, when it has caught up; a witness votes and holds entries as a voter does, but has no tables';
COMMENT ON COLUMN causaldb.strong_status.commit_index IS 'entries up to here are held by a majority, as far as this node knows';
COMMENT ON COLUMN causaldb.strong_status.log_index IS 'entries up to here are durable on the member; known to the leader, and of itself to each node';
COMMENT ON COLUMN causaldb.strong_status.replayed IS 'entries of this node that it had to apply as if they were of another, because their backend was gone';
COMMENT ON COLUMN causaldb.strong_status.commit_p50 IS 'how long half of the strong COMMITs of this node''s clients waited at most, in the last one to two minutes';
COMMENT ON COLUMN causaldb.strong_status.commit_p99 IS 'the same of 99 in 100';
COMMENT ON COLUMN causaldb.strong_status.read_p50 IS 'how long half of the statements here that had to read strong columns waited at most before they began';
COMMENT ON COLUMN causaldb.strong_status.read_p99 IS 'the same of 99 in 100';
COMMENT ON COLUMN causaldb.strong_status.lease IS 'how long strong reads here need ask nobody, counted from now; null without causaldb.leader_lease, and where this node does not lead';

CREATE VIEW causaldb.idempotency_keys AS
	SELECT i.key,
		pg_catalog.format('%s@%s:%s', i.hlc, i.node, pg_catalog.lpad(pg_catalog.to_hex(i.boot), 16, '0')) AS stamp,
		i.index,
		COALESCE(n.name, i.node::text::name) AS node,
		causaldb.position_time(i.hlc) AS committed_at,
		causaldb.position_time(i.hlc)
			+ pg_catalog.current_setting('causaldb.idempotency_retention')::interval AS kept_until
	FROM causaldb.idempotency i
		LEFT JOIN causaldb.node n ON n.id = i.node
	ORDER BY i.index;
COMMENT ON VIEW causaldb.idempotency_keys IS 'idempotency keys that are used, by which strong transaction, as far as this node has applied them';
COMMENT ON COLUMN causaldb.idempotency_keys.stamp IS 'as causaldb.outcome takes it';
COMMENT ON COLUMN causaldb.idempotency_keys.node IS 'where the transaction ran';
COMMENT ON COLUMN causaldb.idempotency_keys.kept_until IS 'from then on a transaction may use the key again';

-- -------------------------------------------------- conflicts and stalls
CREATE VIEW causaldb.conflicts AS
	SELECT c.recorded_at,
		c.conflict_type,
		c.relation,
		c.key,
		c.column_name,
		c.rule,
		COALESCE(k.name, c.kept_node::text::name) AS kept_node,
		causaldb.position_time(c.kept_hlc) AS kept_time,
		c.kept_value,
		COALESCE(l.name, c.lost_node::text::name) AS lost_node,
		causaldb.position_time(c.lost_hlc) AS lost_time,
		c.lost_value,
		c.outcome,
		c.id
	FROM causaldb.conflict c
		LEFT JOIN causaldb.node k ON k.id = c.kept_node
		LEFT JOIN causaldb.node l ON l.id = c.lost_node
	ORDER BY c.id;
COMMENT ON VIEW causaldb.conflicts IS 'merges on this node that discarded something: both sides, the rule and what became of it';
COMMENT ON COLUMN causaldb.conflicts.column_name IS 'NULL where the life of the whole row was decided';
COMMENT ON COLUMN causaldb.conflicts.rule IS 'the column''s merge rule, or the table''s row policy';
COMMENT ON COLUMN causaldb.conflicts.kept_node IS 'who wrote what stands, and when; NULL: what stood here was in no node''s log';
COMMENT ON COLUMN causaldb.conflicts.lost_node IS 'who wrote what was discarded, and when';

CREATE VIEW causaldb.lost_found AS
	SELECT f.found_at,
		COALESCE(n.name, s.node::text::name) AS node,
		f.stream,
		f.position,
		causaldb.position_time(f.position) AS position_time,
		f.relation,
		f.operation,
		f.key,
		f.old_values,
		f.new_values,
		f.reason,
		f.id
	FROM causaldb.lost_found_row f
		LEFT JOIN causaldb.stream s ON s.id = f.stream
		LEFT JOIN causaldb.node n ON n.id = s.node
	ORDER BY f.id;
COMMENT ON VIEW causaldb.lost_found IS 'values that this node did not write to their tables, and why';
COMMENT ON COLUMN causaldb.lost_found.node IS 'who wrote them; stream and position name the transaction';
COMMENT ON COLUMN causaldb.lost_found.relation IS 'NULL for a change that is not of rows';

CREATE FUNCTION causaldb.hasten_apply() RETURNS void
	AS 'MODULE_PATHNAME', 'causaldb_hasten_apply' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION causaldb.hasten_apply() IS 'when this transaction commits, stalled transactions are tried again at once';
REVOKE ALL ON FUNCTION causaldb.hasten_apply() FROM PUBLIC;

CREATE FUNCTION causaldb.require_stalled(stream int4, "position" int8) RETURNS causaldb.stalled
	LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	it causaldb.stalled;
BEGIN
	SELECT * INTO it FROM causaldb.stalled s
		WHERE s.stream = require_stalled.stream AND s.position = require_stalled.position;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no transaction is stalled at position % of stream %', "position", stream
			USING ERRCODE = '55000',
				HINT = 'Type SELECT node, stream, position, message FROM causaldb.stalled; to see those that are.';
	END IF;
	RETURN it;
END
$$;
COMMENT ON FUNCTION causaldb.require_stalled(int4, int8) IS 'the stalled transaction, or an error';
REVOKE ALL ON FUNCTION causaldb.require_stalled(int4, int8) FROM PUBLIC;

CREATE FUNCTION causaldb.set_aside(stream int4, "position" int8) RETURNS text
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	stalled causaldb.stalled := causaldb.require_stalled(stream, "position");
	here name := (SELECT n.name FROM causaldb.local_node l JOIN causaldb.node n ON n.id = l.node);
BEGIN
	INSERT INTO causaldb.aside (stream, position) VALUES (set_aside.stream, set_aside.position)
		ON CONFLICT DO NOTHING;
	PERFORM causaldb.hasten_apply();
	RETURN format('The transaction of node %s at position %s (stream %s, %s) is set aside on node %s only. '
		'Its values go to causaldb.lost_found of this node and to none of its tables; other nodes apply it as always. '
		'What node %s wrote afterwards is applied again. '
		'From now on rows of this node may differ from those of the others%s: '
		'compare them with what causaldb.lost_found shows and write what is missing by hand.',
		stalled.node, "position", stream, to_char(stalled.position_time, 'YYYY-MM-DD HH24:MI:SS.MS'), here,
		stalled.node, COALESCE(', in ' || stalled.relation || ' and what refers to it', ''));
END
$$;
COMMENT ON FUNCTION causaldb.set_aside(int4, int8) IS
	'last resort for a stalled transaction: its values go to causaldb.lost_found of this node instead of its tables, and its stream goes on';
REVOKE ALL ON FUNCTION causaldb.set_aside(int4, int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.set_aside(int4, int8) TO causaldb_admin;

CREATE FUNCTION causaldb.retry(stream int4, "position" int8) RETURNS text
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	stalled causaldb.stalled := causaldb.require_stalled(stream, "position");
BEGIN
	UPDATE causaldb.stall s SET crashes = 0
		WHERE s.stream = retry.stream AND s.position = retry.position AND s.crashes > 0;
	PERFORM causaldb.hasten_apply();
	RETURN format('The transaction of node %s at position %s is tried again now%s. '
		'If it still cannot be applied, causaldb.stalled says why.',
		stalled.node, "position",
		CASE WHEN stalled.crashes > 0 THEN ', and its crashes are counted from zero' ELSE '' END);
END
$$;
COMMENT ON FUNCTION causaldb.retry(int4, int8) IS
	'tries a stalled transaction again at once, also one that was given up because it crashed the applying process';
REVOKE ALL ON FUNCTION causaldb.retry(int4, int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.retry(int4, int8) TO causaldb_admin;

-- ---------------------------------------------------------------- clean-up of rights
REVOKE ALL ON ALL TABLES IN SCHEMA causaldb FROM PUBLIC;
GRANT SELECT ON causaldb.tags, causaldb.foreign_keys TO PUBLIC;
GRANT SELECT ON causaldb.history, causaldb.conflicts, causaldb.lost_found, causaldb.idempotency_keys TO causaldb_admin;

GRANT SELECT ON causaldb.clock, causaldb.join_progress, causaldb.nodes, causaldb.peers, causaldb.streams, causaldb.apply_waits,
	causaldb.stalled, causaldb.strong_status TO PUBLIC;
-- what join_cluster copies from a node
GRANT SELECT ON causaldb.local_node, causaldb.node, causaldb.stream, causaldb.omission, causaldb.descriptor, causaldb.log,
	causaldb.log_chunk, causaldb.tag, causaldb.tag_column, causaldb.grave,
	causaldb.strong_state, causaldb.strong_log, causaldb.idempotency TO causaldb_admin;
-- what a node that was away asks of another
GRANT SELECT ON causaldb.strong_log TO causaldb_replicator;
