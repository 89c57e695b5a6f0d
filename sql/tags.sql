-- Tags: who may set them, what they say, and what is refused with which code,
-- reason and statement to type.
CREATE EXTENSION causaldb;
CREATE SCHEMA tags;
SET search_path = tags, public;

-- what they say
CREATE TABLE t (id int PRIMARY KEY, a int, b numeric, c text);
SELECT causaldb.set_consistency('t', 'eventual', '{a}');
SELECT * FROM causaldb.tags;
SELECT causaldb.set_consistency('t', 'eventual', '{b}');
SELECT causaldb.set_merge('t', 'b', 'counter');
SELECT causaldb.set_row_policy('t', 'delete_wins');
SELECT * FROM causaldb.tags;
SELECT causaldb.set_consistency('t', 'eventual');
ALTER TABLE t ADD COLUMN d text;
SELECT * FROM causaldb.tags;
-- twice is once
SELECT causaldb.set_consistency('t', 'eventual');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass;
SELECT tgenabled, count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass GROUP BY 1;

-- tagging reads and rewrites nothing
CREATE TABLE big (id int PRIMARY KEY, a int);
INSERT INTO big SELECT g, g FROM generate_series(1, 10000) g;
SELECT relfilenode AS before FROM pg_class WHERE oid = 'big'::regclass \gset
SELECT pg_stat_force_next_flush();
SELECT seq_scan AS scans FROM pg_stat_user_tables WHERE relid = 'big'::regclass \gset
SELECT causaldb.set_consistency('big', 'eventual');
SELECT causaldb.set_merge('big', 'a', 'counter');
SELECT relfilenode = :before AS same_file FROM pg_class WHERE oid = 'big'::regclass;
SELECT pg_stat_force_next_flush();
SELECT seq_scan - :scans AS more_scans FROM pg_stat_user_tables WHERE relid = 'big'::regclass;
-- its lock keeps writers out until the tag is committed, not readers
BEGIN;
SELECT causaldb.set_consistency('big', 'eventual');
SELECT mode FROM pg_locks WHERE relation = 'big'::regclass AND pid = pg_backend_pid() AND mode <> 'AccessShareLock';
COMMIT;
SELECT count(*) FROM causaldb.tags WHERE relation = 'big'::regclass;

-- untagged again: nothing is captured, and nothing is left of us
SELECT causaldb.unset_consistency('big');
SELECT count(*) AS log_rows FROM causaldb.log \gset
UPDATE big SET a = 0 WHERE id = 1;
SELECT count(*) - :log_rows AS more_log_rows FROM causaldb.log;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'big'::regclass;
SELECT causaldb.unset_consistency('big');

-- counters
INSERT INTO t VALUES (1, 1, 10, 'x');
UPDATE t SET b = b + 5;
SELECT causaldb.counter_set('t', '{"id": 1}', 'b', 100);
SELECT causaldb.counter_set('t', '1', 'b', 100);
SELECT field, operation, old, new FROM causaldb.field_history('t', '1', 'b');
SELECT causaldb.counter_set('t', '{"id": 2}', 'b', 100);
SELECT causaldb.counter_set('t', '{"id": 1}', 'a', 100);
SELECT causaldb.counter_set('t', '{"di": 1}', 'b', 100);
SELECT causaldb.counter_set('t', '{"id": null}', 'b', 100);

-- refused: arguments
SELECT causaldb.set_consistency('t', 'strong');
\echo :SQLSTATE
SELECT causaldb.set_consistency('t', 'weak');
\echo :SQLSTATE
SELECT causaldb.set_consistency('t', 'eventual', '{nope}');
\echo :SQLSTATE
SELECT causaldb.set_consistency('t', 'eventual', '{ctid}');
\echo :SQLSTATE
SELECT causaldb.set_consistency('t', 'eventual', '{}');
\echo :SQLSTATE
SELECT causaldb.set_consistency(NULL, 'eventual');
\echo :SQLSTATE
SELECT causaldb.set_merge('t', 'b', 'max');
\echo :SQLSTATE
SELECT causaldb.set_merge('t', 'b', 'best');
\echo :SQLSTATE
SELECT causaldb.set_merge('t', 'b', 'counter', '{"x": 1}');
\echo :SQLSTATE
SELECT causaldb.set_merge('t', 'c', 'counter');
\echo :SQLSTATE
SELECT causaldb.set_merge('t', 'id', 'counter');
\echo :SQLSTATE
SELECT causaldb.set_row_policy('t', 'nobody_wins');
\echo :SQLSTATE
SELECT causaldb.set_row_policy('big', 'update_wins');
\echo :SQLSTATE
SELECT causaldb.set_merge('big', 'a', 'counter');
\echo :SQLSTATE

-- refused: tables
CREATE TABLE u (id int PRIMARY KEY, a int UNIQUE, b int, EXCLUDE USING btree (b WITH =));
SELECT causaldb.set_consistency('u', 'eventual');
\echo :SQLSTATE
SELECT causaldb.set_consistency('u', 'eventual', '{a}');
\echo :SQLSTATE
SELECT causaldb.set_consistency('u', 'eventual', '{b}');
\echo :SQLSTATE
CREATE TABLE u2 (id int PRIMARY KEY, a int, b int);
CREATE UNIQUE INDEX u2_expr ON u2 ((a + b)) WHERE b > 0;
SELECT causaldb.set_consistency('u2', 'eventual', '{b}');
\echo :SQLSTATE
-- an index that contains the whole key refuses nothing that the key allows
DROP INDEX u2_expr;
CREATE UNIQUE INDEX u2_wide ON u2 (a, id);
SELECT causaldb.set_consistency('u2', 'eventual', '{a}');
CREATE TABLE def (id int PRIMARY KEY DEFERRABLE, a int);
SELECT causaldb.set_consistency('def', 'eventual');
\echo :SQLSTATE
CREATE TEMPORARY TABLE tmp (id int PRIMARY KEY);
SELECT causaldb.set_consistency('tmp', 'eventual');
\echo :SQLSTATE
CREATE UNLOGGED TABLE unl (id int PRIMARY KEY);
SELECT causaldb.set_consistency('unl', 'eventual');
\echo :SQLSTATE
SELECT causaldb.set_consistency('pg_class', 'eventual');
\echo :SQLSTATE
SELECT causaldb.set_consistency('causaldb.log', 'eventual');
\echo :SQLSTATE
CREATE VIEW vw AS SELECT * FROM t;
SELECT causaldb.set_consistency('vw', 'eventual');
\echo :SQLSTATE
CREATE FOREIGN DATA WRAPPER w;
CREATE SERVER s FOREIGN DATA WRAPPER w;
CREATE FOREIGN TABLE ft (id int) SERVER s;
SELECT causaldb.set_consistency('ft', 'eventual');
\echo :SQLSTATE
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
SELECT causaldb.set_consistency('part', 'eventual');
\echo :SQLSTATE
SELECT causaldb.set_consistency('part1', 'eventual');
\echo :SQLSTATE
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE heir () INHERITS (parent);
SELECT causaldb.set_consistency('parent', 'eventual');
\echo :SQLSTATE
SELECT causaldb.set_consistency('heir', 'eventual');
\echo :SQLSTATE
CREATE TABLE nn (id int PRIMARY KEY, a int, b int NOT NULL, c int NOT NULL DEFAULT 1);
SELECT causaldb.set_consistency('nn', 'eventual', '{a}');
\echo :SQLSTATE
SELECT causaldb.set_consistency('nn', 'eventual', '{a,b}');
CREATE TABLE gen (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a) STORED);
SELECT causaldb.set_consistency('gen', 'eventual', '{b}');
\echo :SQLSTATE
CREATE TABLE nohash (id tsvector PRIMARY KEY);
SELECT causaldb.set_consistency('nohash', 'eventual');
\echo :SQLSTATE
-- told, not refused
CREATE TABLE nokey (a int);
SELECT causaldb.set_consistency('nokey', 'eventual');
CREATE TABLE ser (id serial PRIMARY KEY);
SELECT causaldb.set_consistency('ser', 'eventual');

CREATE TABLE ck (id int PRIMARY KEY, low int CHECK (low > 0), high int, CHECK (low < high), CHECK (id < high));
SELECT causaldb.set_consistency('ck', 'eventual');
-- what the hints say to type helps
ALTER TABLE tags.ser ALTER COLUMN id TYPE bigint; SELECT causaldb.use_node_ids('tags.ser', 'id');
ALTER TABLE tags.ck DROP CONSTRAINT ck_check;
SELECT causaldb.unset_consistency('ser'), causaldb.unset_consistency('ck');
SELECT causaldb.set_consistency('ser', 'eventual'), causaldb.set_consistency('ck', 'eventual');
INSERT INTO ser DEFAULT VALUES;
SELECT id > 4294967296 AS of_node FROM ser;
DROP TABLE ser;

-- who may
CREATE ROLE regress_causaldb_owner;
CREATE ROLE regress_causaldb_other;
GRANT USAGE ON SCHEMA tags TO regress_causaldb_owner, regress_causaldb_other;
CREATE TABLE owned (id int PRIMARY KEY, a int);
ALTER TABLE owned OWNER TO regress_causaldb_owner;
SET ROLE regress_causaldb_owner;
SELECT causaldb.set_consistency('owned', 'eventual');
RESET ROLE;
GRANT causaldb_admin TO regress_causaldb_owner, regress_causaldb_other;
SET ROLE regress_causaldb_other;
SELECT causaldb.set_consistency('owned', 'eventual');
SET ROLE regress_causaldb_owner;
SELECT causaldb.set_consistency('owned', 'eventual');
INSERT INTO owned VALUES (1, 1);
SELECT field, new FROM causaldb.field_history('owned', '1');
SET ROLE regress_causaldb_other;
-- history shows what the table shows, to whom it shows it
SELECT field, new FROM causaldb.field_history('owned', '1');
RESET ROLE;
GRANT SELECT (a) ON owned TO regress_causaldb_other;
SET ROLE regress_causaldb_other;
SELECT field, new FROM causaldb.field_history('owned', '1', 'a');
SELECT field, new FROM causaldb.field_history('owned', '1');
SELECT relation FROM causaldb.history LIMIT 0;
RESET ROLE;
REVOKE causaldb_admin FROM regress_causaldb_other;
SET ROLE regress_causaldb_other;
SELECT relation FROM causaldb.history LIMIT 0;
SELECT count(*) FROM causaldb.log;
RESET ROLE;
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON owned TO regress_causaldb_other;
SET ROLE regress_causaldb_other;
SELECT field, new FROM causaldb.field_history('owned', '1');
RESET ROLE;

-- a table that goes takes its tag along; so does the extension
SET client_min_messages = warning;
DROP TABLE t CASCADE;
CREATE TABLE of_other (id int PRIMARY KEY);
SELECT causaldb.set_consistency('of_other', 'eventual');
INSERT INTO of_other VALUES (1);
ALTER TABLE of_other OWNER TO regress_causaldb_other;
REASSIGN OWNED BY regress_causaldb_other TO regress_causaldb_owner;
INSERT INTO of_other VALUES (2);
SELECT key, operation FROM causaldb.history WHERE relation ~ 'of_other' ORDER BY 1;
ALTER TABLE of_other OWNER TO regress_causaldb_other;
DROP OWNED BY regress_causaldb_other;
SELECT to_regclass('of_other');
SELECT count(*) FROM causaldb.tag WHERE relid NOT IN (SELECT oid FROM pg_class);
DROP EXTENSION causaldb;
INSERT INTO owned VALUES (2, 2);
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'owned'::regclass;
DROP SCHEMA tags CASCADE;
DROP FOREIGN DATA WRAPPER w CASCADE;
DROP OWNED BY regress_causaldb_owner, regress_causaldb_other;
DROP ROLE regress_causaldb_owner, regress_causaldb_other;
