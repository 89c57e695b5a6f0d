-- One database becomes a node: create_cluster, tokens, and what is refused.
-- A node needs the library preloaded; elsewhere there is nothing to test.
SELECT current_setting('shared_preload_libraries') !~ 'causaldb' AS unloaded
\gset
\if :unloaded
\q
\endif
SELECT current_database() AS first
\gset
CREATE DATABASE cluster_one;
CREATE DATABASE cluster_other;
\c cluster_one
CREATE EXTENSION causaldb;
SELECT format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
			  current_setting('port'), current_database(), current_user) AS dsn
\gset
SELECT replace(:'dsn', 'cluster_one', 'cluster_other') AS other_dsn
\gset
-- not a node yet
SELECT causaldb.token();
\echo :SQLSTATE
SELECT causaldb.wait_for('1:');
\echo :SQLSTATE
SELECT causaldb.wait_until_ready();
\echo :SQLSTATE
SELECT count(*) FROM causaldb.nodes;
SELECT count(*) FROM causaldb.streams;
SELECT count(*) FROM causaldb.peers;
-- refused, and nothing said of what is in the connection string
SELECT causaldb.create_cluster('n1', 'sesame open');
\echo :SQLSTATE
SELECT causaldb.create_cluster('n1', NULL);
\echo :SQLSTATE
SELECT causaldb.create_cluster(NULL, :'dsn');
\echo :SQLSTATE
\set VERBOSITY terse
SELECT causaldb.create_cluster('n1', :'other_dsn');
\echo :SQLSTATE
SELECT causaldb.join_cluster('n1', :'dsn', :'other_dsn', 'none');
\echo :SQLSTATE
\set VERBOSITY default
SELECT causaldb.join_cluster('n1', :'dsn', :'dsn', 'none');
\echo :SQLSTATE
SELECT causaldb.join_cluster('n1', :'dsn', :'other_dsn', 'everything');
\echo :SQLSTATE
SELECT causaldb.join_cluster('n1', :'dsn', :'other_dsn', 'all', 'witness');
\echo :SQLSTATE
SELECT causaldb.join_cluster('n1', :'dsn', :'other_dsn', 'none', 'guest');
\echo :SQLSTATE
SELECT causaldb.join_cluster('n1', :'dsn', NULL);
\echo :SQLSTATE
-- what was written before is local history; from now on it is shipped
CREATE TABLE item (id int PRIMARY KEY, note text);
SELECT causaldb.set_consistency('item', 'eventual');
INSERT INTO item VALUES (1, 'before');
SELECT causaldb.create_cluster('n1', :'dsn');
SELECT causaldb.wait_until_ready();
SELECT id, name, role, state, here, orders_tags, running, dsn = :'dsn' AS own_dsn FROM causaldb.nodes;
SELECT causaldb.create_cluster('n1', :'dsn');
\echo :SQLSTATE
SELECT causaldb.join_cluster('n1', :'dsn', :'other_dsn', 'none');
\echo :SQLSTATE
INSERT INTO item VALUES (2, 'after');
SELECT s.node, count(*) FROM causaldb.log l JOIN causaldb.stream s ON s.id = l.stream
 WHERE payload <> '' GROUP BY 1 ORDER BY 1;
-- tokens
SELECT causaldb.token() AS token
\gset
SELECT :'token' ~ '^1:1-[0-9a-f]{16}@[0-9]{13}\.[0-9]+$' AS one_stream;
SELECT causaldb.wait_for(:'token');
SELECT causaldb.wait_for('1:', '0 s');
SELECT causaldb.wait_for('1:7-ff@1000.1', '20 ms');
\echo :SQLSTATE
-- malformed in every part
SELECT t, causaldb.wait_for(t) FROM unnest(ARRAY['1:1-ff@1000']) t;
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['', '1', '2:', '1:x', '1:1', '1:1-', '1:1-g@1.1', '1:1-ff', '1:1-ff@', '1:1-ff@1', '1:1-ff@1.',
		'1:1-ff@1.65536', '1:1-ff@281474976710656.0', '1:1-ffffffffffffffff0@1.1', '1:4294967296-ff@1.1', '1:-1-ff@1.1',
		'1:1-ff@1.1,', '1:1-ff@1.1 ', '1:1-ff@+1.1', '1:1- ff@1.1']
	LOOP
		BEGIN
			PERFORM causaldb.wait_for(t, '0 s');
			RAISE NOTICE 'taken: %', t;
		EXCEPTION WHEN invalid_parameter_value THEN
			IF SQLERRM <> 'malformed token' THEN
				RAISE;
			END IF;
		END;
	END LOOP;
END
$$;
SELECT causaldb.wait_for('1:' || repeat('1-ff@1.1,', 300) || '1-ff@1.1', '0 s');
\echo :SQLSTATE
-- the views; a position is a time
SELECT node, own, lag, closed >= applied AS closed, waiting_for, stalled, pending_commits FROM causaldb.streams;
SELECT count(*) FROM causaldb.stalled;
SELECT count(*) FROM causaldb.apply_waits;
SELECT abs(extract(epoch FROM now() - causaldb.position_time(applied))) < 60 AS recent FROM causaldb.streams;
SELECT causaldb.alter_node('n9', :'dsn');
\echo :SQLSTATE
SELECT causaldb.alter_node('n1', :'dsn' || ' connect_timeout=5');
SELECT dsn = :'dsn' || ' connect_timeout=5' AS altered FROM causaldb.nodes;
-- what strong columns do not go with; each hint is typed, and the next thing is said
SET client_min_messages = error;
CREATE TABLE seat (id int PRIMARY KEY, status text, code text, note text, was text DEFAULT '',
	label text GENERATED ALWAYS AS (code || status) STORED, title text GENERATED ALWAYS AS (status || note) STORED,
	CHECK (id > 0 AND status <> code), CONSTRAINT mixed CHECK (status <> was), CONSTRAINT by_way CHECK (title <> code));
CREATE UNIQUE INDEX seat_partial ON seat (code) WHERE note IS NULL;
CREATE UNIQUE INDEX seat_expression ON seat ((code || note));
SELECT causaldb.set_consistency('seat', 'strong', '{status,code}');
\echo :SQLSTATE
DROP INDEX public.seat_partial;
SELECT causaldb.set_consistency('seat', 'strong', '{status,code}');
\echo :SQLSTATE
DROP INDEX public.seat_expression;
SELECT causaldb.set_consistency('seat', 'strong', '{status,code}');
\echo :SQLSTATE
ALTER TABLE public.seat DROP CONSTRAINT by_way;
SELECT causaldb.set_consistency('seat', 'strong', '{status,code}');
\echo :SQLSTATE
ALTER TABLE public.seat DROP CONSTRAINT mixed;
SELECT causaldb.set_consistency('seat', 'strong', '{status,code}');
\echo :SQLSTATE
ALTER TABLE public.seat ALTER COLUMN title DROP EXPRESSION;
SELECT causaldb.set_consistency('seat', 'strong', '{status,code}');
SELECT column_name, level FROM causaldb.tags WHERE relation = 'seat'::regclass ORDER BY 1;
SELECT causaldb.set_merge('seat', 'status', 'last_write');
\echo :SQLSTATE
-- nor later on
ALTER TABLE seat ADD CONSTRAINT mixed CHECK (status <> was);
\echo :SQLSTATE
ALTER TABLE seat ADD CONSTRAINT not_mixed CHECK (status <> code || 'x'), ADD CONSTRAINT of_others CHECK (note <> was);
SELECT causaldb.unset_consistency('public.seat');
ALTER TABLE seat ADD CONSTRAINT mixed CHECK (status <> was);
-- and what is strong has a key of one's own types
CREATE TABLE keyless (a int);
SELECT causaldb.set_consistency('keyless', 'strong');
\echo :SQLSTATE
ALTER TABLE public.keyless ADD PRIMARY KEY (a);
SELECT causaldb.set_consistency('keyless', 'strong');
CREATE TYPE colour AS ENUM ('red');
CREATE TABLE coloured (colour colour PRIMARY KEY);
SELECT causaldb.set_consistency('coloured', 'strong');
\echo :SQLSTATE
ALTER TABLE public.coloured ALTER COLUMN colour TYPE text;
SELECT causaldb.set_consistency('coloured', 'strong');
RESET client_min_messages;
-- no rights: state is for everybody, connection strings are not
CREATE ROLE regress_cluster_user;
SET ROLE regress_cluster_user;
SELECT name, state, dsn FROM causaldb.nodes;
SELECT causaldb.token() > '1:' AS token_for_all;
SELECT causaldb.wait_for(:'token');
SELECT dsn FROM causaldb.node;
SELECT causaldb.create_cluster('n2', 'dbname=x');
SELECT causaldb.join_cluster('n2', 'dbname=x', 'dbname=y');
SELECT causaldb.admit_node('n2', 'dbname=x', 'member', true);
SELECT causaldb.alter_node('n1', 'dbname=x');
SELECT causaldb.order_tag('{}');
SELECT causaldb.closed_position();
RESET ROLE;
-- every function and view says what it is for
SELECT p.oid::regprocedure AS no_comment FROM pg_proc p
 WHERE pronamespace = 'causaldb'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL;
SELECT c.oid::regclass AS no_comment FROM pg_class c
 WHERE relnamespace = 'causaldb'::regnamespace AND relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL;
\c :first
DROP ROLE regress_cluster_user;
-- a node's database can be copied, which makes no node, and dropped
CREATE DATABASE cluster_copy TEMPLATE cluster_one;
\c cluster_copy
SELECT causaldb.token();
\c :first
DROP DATABASE cluster_copy;
DROP DATABASE cluster_one;
DROP DATABASE cluster_other;
