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
	coordinator	int4 NOT NULL
);
COMMENT ON TABLE causaldb.local_node IS 'who this database is in its cluster; empty outside of one';

CREATE TABLE causaldb.node (
	id			int4 PRIMARY KEY,
	name		name NOT NULL UNIQUE,
	dsn			text NOT NULL,
	role		text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'witness')),
	state		text NOT NULL DEFAULT 'joining' CHECK (state IN ('joining', 'ready', 'dropped')),
	base		bytea
);
COMMENT ON TABLE causaldb.node IS 'nodes of the cluster, with their connection strings; ids are never reused';
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
	opened_at	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	UNIQUE (node, boot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE causaldb.stream IS 'streams: one for each start of each node; ids are of this node only. Stream 0 is local history before there is a cluster';
INSERT INTO causaldb.stream (id, node, boot) VALUES (0, 0, 0);

CREATE TABLE causaldb.descriptor (
	hash		int8 NOT NULL,
	definition	bytea NOT NULL
);
-- not unique: whoever needs a descriptor stores it without waiting for others
CREATE INDEX descriptor_hash ON causaldb.descriptor (hash);
COMMENT ON TABLE causaldb.descriptor IS 'names, types and rules under which changes were written, by content';

CREATE TABLE causaldb.log (
	position	int8 NOT NULL,
	xid			xid8 NOT NULL,
	stream		int4 NOT NULL,
	deps		bytea NOT NULL,
	payload		bytea NOT NULL,
	PRIMARY KEY (stream, position)
) WITH (toast_tuple_target = 8160);
ALTER TABLE causaldb.log ALTER deps SET STORAGE EXTERNAL, ALTER payload SET STORAGE EXTERNAL;
COMMENT ON TABLE causaldb.log IS 'one row a transaction: history, outbox, relay buffer and proof against applying twice';

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
	level		text NOT NULL CHECK (level IN ('eventual', 'strong')),
	whole		bool NOT NULL,
	append_only	bool NOT NULL,
	row_policy	text NOT NULL DEFAULT 'update_wins'
);
COMMENT ON TABLE causaldb.tag IS 'tagged tables of this database';

CREATE TABLE causaldb.tag_column (
	relid		oid NOT NULL REFERENCES causaldb.tag ON DELETE CASCADE,
	attname		name NOT NULL,
	level		text NOT NULL CHECK (level IN ('eventual', 'strong')),
	rule		text NOT NULL DEFAULT 'last_write',
	options		jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (relid, attname)
);
COMMENT ON TABLE causaldb.tag_column IS 'columns tagged by name, and rules that are not the default';

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
	relation	text NOT NULL,
	operation	text NOT NULL,
	key			jsonb,
	old_values	jsonb,
	new_values	jsonb,
	reason		text NOT NULL
);
COMMENT ON TABLE causaldb.lost_found_row IS 'values that this node did not write to their tables; read causaldb.lost_found';

CREATE FUNCTION causaldb.hello(frame bytea) RETURNS bytea
	AS 'MODULE_PATHNAME', 'causaldb_hello' LANGUAGE C VOLATILE STRICT
	SECURITY DEFINER SET search_path = pg_catalog;
COMMENT ON FUNCTION causaldb.hello(bytea) IS 'a peer introduces itself; called by the peer''s sender only';
CREATE FUNCTION causaldb.receive(frame bytea) RETURNS bytea
	AS 'MODULE_PATHNAME', 'causaldb_receive' LANGUAGE C VOLATILE STRICT
	SECURITY DEFINER SET search_path = pg_catalog;
COMMENT ON FUNCTION causaldb.receive(bytea) IS 'takes a frame of changes; called by the peer''s sender only';
REVOKE ALL ON FUNCTION causaldb.hello(bytea), causaldb.receive(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION causaldb.hello(bytea), causaldb.receive(bytea) TO causaldb_replicator;

-- ---------------------------------------------------------------- clean-up of rights
REVOKE ALL ON ALL TABLES IN SCHEMA causaldb FROM PUBLIC;
