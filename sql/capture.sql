-- Every write of a tagged table is in the log as it was made: rows, order and
-- values, whatever statement made it; and only writes are.
CREATE EXTENSION causaldb;
CREATE SCHEMA capture;
SET search_path = capture, public;

CREATE TABLE seen (at int8);
INSERT INTO seen VALUES (0);
CREATE PROCEDURE seen() LANGUAGE sql AS $$
	UPDATE seen SET at = coalesce((SELECT max(position) FROM causaldb.log), 0)
$$;
-- what was captured, in order, without the times
CREATE FUNCTION changes() RETURNS TABLE (operation text, key jsonb, column_name name, old text, new text)
LANGUAGE sql AS $$
	SELECT operation, key, column_name, old, new FROM causaldb.history
	 WHERE operation <> 'TAG' AND position > (SELECT at FROM seen)
$$;

-- common scalar types, there and back
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN small AS int CHECK (value < 100);
CREATE TYPE pair AS (x int, y text, d date, i interval, f float8);
CREATE TABLE types (
	id uuid PRIMARY KEY,
	b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(8,2), m money,
	t text, v varchar(10), c char(5), by bytea, nm name, ch "char",
	d date, tm time, tz timetz, ts timestamp, tstz timestamptz, iv interval,
	j json, jb jsonb, ia int[], ta text[], r int4range, inet inet, mac macaddr, bits bit varying, pt point,
	e mood, ea mood[], dm small, p pair, rc regclass, o oid, x xml, tsv tsvector);
SELECT causaldb.set_consistency('types', 'eventual');
SET lc_monetary = 'C';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET timezone = 'Asia/Kolkata';
SET extra_float_digits = -10;
INSERT INTO types VALUES ('12345678-1234-1234-1234-123456789abc',
	true, -2, 400000, -9000000000, 0.1, 1e300/3, 12345678901234567890.123, 1.50, 12.34,
	E'text\n', 'varchar', 'ch', '\x00ff', 'name', 'x',
	'2024-02-29', '12:34:56.789', '12:34:56+05', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+00', '1 year 2 mons -3 days 04:05:06',
	'{"a": [1, 2]}', '{"a": [1, 2]}', '{1,NULL,3}', '{a,"b c",NULL}', '[1,5)', '10.0.0.0/8', '08:00:2b:01:02:03', B'10110', '(1.5,2)',
	'happy', '{sad,happy}', 42, '(1,"a b",29/02/2024,1 year -2 days,0.1)', 'pg_class', 1259, '<a>b</a>', 'a fat cat');
RESET datestyle;
RESET intervalstyle;
RESET timezone;
RESET extra_float_digits;
-- shown under the reader's settings, whatever the writer's were
SELECT column_name, new FROM changes();
CALL seen();
UPDATE types SET b = NULL, t = NULL, e = NULL;
DELETE FROM types;
SELECT operation, column_name, old, new FROM changes() WHERE column_name IN ('b', 't', 'e', 'n', 'dm');
CALL seen();

-- no write is no record; "no write" compares images, not "="
CREATE TABLE t (id int PRIMARY KEY, a int, n numeric, s text);
SELECT causaldb.set_consistency('t', 'eventual');
INSERT INTO t VALUES (1, 10, 1.0, repeat('long ', 2000)), (2, 20, 2.0, NULL);
CALL seen();
UPDATE t SET a = a, n = n, s = s;
UPDATE t SET a = a + 0;
UPDATE t SET s = s || '' WHERE id = 1;
SELECT * FROM changes();
UPDATE t SET n = 1.00 WHERE id = 1;
UPDATE t SET s = '' WHERE id = 2;
SELECT * FROM changes();
CALL seen();

-- several rows, CTEs, ON CONFLICT, COPY, functions, DO blocks, MERGE
INSERT INTO t (id, a) VALUES (3, 3), (4, 4);
WITH w AS (UPDATE t SET a = a + 1 WHERE id IN (3, 4) RETURNING id, a)
INSERT INTO t (id, a) SELECT id + 10, a FROM w;
INSERT INTO t (id, a) VALUES (3, 33), (5, 5) ON CONFLICT (id) DO UPDATE SET a = excluded.a;
INSERT INTO t (id, a) VALUES (5, 55) ON CONFLICT DO NOTHING;
COPY t (id, a) FROM stdin;
20	200
21	210
\.
CREATE FUNCTION bump(int) RETURNS int LANGUAGE sql AS 'UPDATE t SET a = a + 1 WHERE id = $1 RETURNING a';
SELECT bump(20);
DO $$ BEGIN FOR i IN 20..21 LOOP UPDATE t SET a = a * 2 WHERE id = i; END LOOP; END $$;
MERGE INTO t USING (VALUES (21), (22)) AS v (id) ON t.id = v.id
	WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, a) VALUES (v.id, -1);
SELECT * FROM changes() WHERE column_name = 'a';
CALL seen();

-- a change of the key is a delete and an insert
UPDATE t SET id = 100, a = 7 WHERE id = 22;
SELECT operation, key, column_name, old, new FROM changes();
CALL seen();
-- an equal key of another image is the same row
CREATE TABLE k (id numeric PRIMARY KEY, a int);
SELECT causaldb.set_consistency('k', 'eventual');
INSERT INTO k VALUES (1.0, 1);
CALL seen();
UPDATE k SET id = 1.00;
SELECT * FROM changes();
CALL seen();

-- triggers of the user's that write the row again: the last values stand last
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE t SET a = a + 1000 WHERE a < 1000; RETURN NULL; END $$;
CREATE TRIGGER again AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION again();
DELETE FROM t;
CALL seen();
INSERT INTO t (id, a) VALUES (1, 1), (2, 2), (3, 3);
SELECT key, new FROM changes() WHERE column_name = 'a';
SELECT id, a FROM t ORDER BY id;
DROP TRIGGER again ON t;
CALL seen();

-- and write it again where it was deleted: it stands, so the last is an INSERT
CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO t (id, a) SELECT i, 5 FROM generate_series(1, 2) i ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TRIGGER back AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION back();
DELETE FROM t;
SELECT operation, key, new FROM changes() WHERE column_name = 'a' AND key <> '{"id": 3}';
SELECT id, a FROM t ORDER BY id;
CALL seen();
CREATE TRIGGER back2 AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION back();
UPDATE t SET id = id + 2;
SELECT operation, key, new FROM changes() WHERE column_name = 'a';
SELECT id, a FROM t ORDER BY id;
DROP TRIGGER back ON t;
DROP TRIGGER back2 ON t;
CALL seen();

-- TRUNCATE, also by CASCADE
CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t);
SELECT causaldb.set_consistency('child', 'eventual');
TRUNCATE t CASCADE;
SELECT relation, operation, key FROM causaldb.history WHERE position > (SELECT at FROM seen) AND operation <> 'TAG';
CALL seen();

-- session_replication_role does not switch capture off
SET session_replication_role = replica;
INSERT INTO t (id) VALUES (1);
RESET session_replication_role;
SELECT count(*) FROM changes();
CALL seen();

-- generated columns do not travel; untagged ones do not either
CREATE TABLE g (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, private text DEFAULT 'x');
SELECT causaldb.set_consistency('g', 'eventual', '{a}');
INSERT INTO g VALUES (1, 1, DEFAULT, 'secret');
UPDATE g SET private = 'other';
UPDATE g SET a = 2, private = 'third';
SELECT operation, key, column_name, old, new FROM changes();
CALL seen();

-- append-only
CREATE TABLE journal (at int, what text);
SELECT causaldb.set_consistency('journal', 'eventual');
INSERT INTO journal VALUES (1, 'one'), (1, 'one');
UPDATE journal SET at = 2;
\echo :SQLSTATE
DELETE FROM journal;
\echo :SQLSTATE
TRUNCATE journal;
SELECT operation, key, column_name, new FROM changes();
CALL seen();
-- with a key it is a table like any other, by itself
INSERT INTO journal VALUES (1, 'one');
ALTER TABLE journal ADD PRIMARY KEY (at);
UPDATE journal SET what = 'two';
SELECT operation, key, column_name, new FROM changes();
CALL seen();
-- but a key that was there must not go
ALTER TABLE k DROP CONSTRAINT k_pkey;
INSERT INTO k VALUES (2, 2);

-- columns and names that change
ALTER TABLE g RENAME COLUMN a TO b;
ALTER TABLE g RENAME TO gg;
UPDATE gg SET b = 3;
ALTER TABLE t ADD COLUMN later int DEFAULT 5;
UPDATE t SET later = 6;
ALTER TABLE t DROP COLUMN s;
INSERT INTO t (id) VALUES (7);
SELECT relation, operation, key, column_name, old, new FROM causaldb.history
 WHERE position > (SELECT at FROM seen);
CALL seen();

-- PREPARE TRANSACTION is refused before anything is prepared
BEGIN;
INSERT INTO t (id) VALUES (8);
PREPARE TRANSACTION 'p';
\echo :SQLSTATE
SELECT * FROM changes();

-- the cost of one small update in the log, row and index
CREATE TABLE cost (id int PRIMARY KEY, a int);
SELECT causaldb.set_consistency('cost', 'eventual');
INSERT INTO cost SELECT g, g FROM generate_series(1, 100) g;
UPDATE cost SET a = 1000 WHERE id = 5;
SELECT pg_column_size(l.*) + 4 + 28 < 120 AS small FROM causaldb.log l ORDER BY position DESC LIMIT 1;

SET client_min_messages = warning;
DROP SCHEMA capture CASCADE;
DROP EXTENSION causaldb;
