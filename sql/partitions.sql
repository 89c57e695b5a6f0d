-- Partitioned tables: one tag for all of it, one row's history wherever the
-- row lies, and no way to write a partition unseen.
CREATE EXTENSION causaldb;
CREATE SCHEMA parts;
SET search_path = parts, public;
CREATE FUNCTION said(OUT relation text, OUT operation text, OUT key jsonb, OUT fields text) RETURNS SETOF record
	LANGUAGE sql SET search_path = pg_catalog AS $$
	SELECT h.relation, h.operation, h.key,
		string_agg(format('%s: %s -> %s', column_name, COALESCE(old, '-'), COALESCE(new, '-')), ', ' ORDER BY nr)
	FROM (SELECT *, row_number() OVER () AS nr FROM causaldb.history) h
	WHERE position > COALESCE(nullif(current_setting('parts.seen', true), ''), '0')::int8 AND operation <> 'TAG'
	GROUP BY position, h.relation, h.operation, h.key ORDER BY position, min(nr)
$$;
-- what was logged since the last call
CREATE FUNCTION news(OUT relation text, OUT operation text, OUT key jsonb, OUT fields text) RETURNS SETOF record
	LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT * FROM said();
	PERFORM set_config('parts.seen', max(position)::text, false) FROM causaldb.history;
END $$;

-- columns in another order, a dropped one, two levels, a default partition
CREATE TABLE m (id int, at int, v text, n int DEFAULT 0, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE m_low (gone int, n int DEFAULT 0, v text, at int NOT NULL, id int NOT NULL);
ALTER TABLE m_low DROP COLUMN gone;
ALTER TABLE m ATTACH PARTITION m_low FOR VALUES FROM (0) TO (10);
CREATE TABLE m_mid PARTITION OF m FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);
CREATE TABLE m_mid_1 PARTITION OF m_mid FOR VALUES IN (1);
CREATE TABLE m_mid_rest PARTITION OF m_mid DEFAULT;
SELECT causaldb.set_consistency('m', 'eventual');
SELECT causaldb.set_merge('m', 'n', 'counter');
SELECT * FROM causaldb.tags;
SELECT tgrelid::regclass, tgtype, tgenabled, tgisinternal FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'm%' ORDER BY 1, 2;
SELECT FROM news();

-- into the table or into its partition: the same
INSERT INTO m VALUES (1, 1, 'low'), (1, 11, 'mid'), (2, 12, 'rest');
INSERT INTO m_low (id, at, v) VALUES (2, 2, 'low by name');
UPDATE m SET v = v || '!' WHERE id = 1;
UPDATE m_mid_rest SET n = n + 1;
DELETE FROM m_low WHERE id = 2;
SELECT * FROM news();
-- a row moves: its key changes, as it must
UPDATE m SET at = 13 WHERE id = 1 AND at = 1;
SELECT * FROM news();
-- statements of all kinds
INSERT INTO m VALUES (1, 13, 'again') ON CONFLICT (id, at) DO UPDATE SET v = EXCLUDED.v;
MERGE INTO m USING (VALUES (1, 13, 'merged'), (9, 3, 'new')) s (id, at, v) ON m.id = s.id AND m.at = s.at
	WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, at, v) VALUES (s.id, s.at, s.v);
WITH moved AS (DELETE FROM m WHERE id = 9 RETURNING *) INSERT INTO m SELECT id, at + 10, v, n FROM moved;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM m WHERE v = 'new' FOR UPDATE;
FETCH c;
UPDATE m SET v = 'current' WHERE CURRENT OF c;
COMMIT;
COPY m (id, at, v) FROM stdin;
7	7	copied
\.
SELECT * FROM news();
SELECT causaldb.counter_set('m', '{"id": 2, "at": 12}', 'n', 10);
SELECT causaldb.counter_set('m_mid_rest', '{"id": 2, "at": 12}', 'n', 11);
SELECT field, operation, old, new FROM causaldb.field_history('m_mid_rest', '{"id": 2, "at": 12}', 'n');
SELECT * FROM news();

-- a trigger that moves the row again before it is captured
CREATE FUNCTION move_on() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN UPDATE parts.m SET at = at + 10 WHERE id = NEW.id AND at < 10; RETURN NULL; END $$;
CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO parts.m VALUES (50, 5, 'by trigger'); RETURN NULL; END $$;
CREATE TABLE other (id int PRIMARY KEY);
CREATE TRIGGER t1 AFTER INSERT ON m_low FOR EACH ROW EXECUTE FUNCTION move_on();
CREATE TRIGGER t2 AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION bump();
INSERT INTO other VALUES (1);
SELECT tableoid::regclass, * FROM m WHERE id = 50;
SELECT * FROM news();
DROP TRIGGER t1 ON m_low;
-- moved by a function, while the statement's own events wait
CREATE FUNCTION insert_and_move(i int) RETURNS int LANGUAGE plpgsql AS
	$$ BEGIN UPDATE parts.m SET at = 14 WHERE id = i; RETURN i; END $$;
WITH new AS (INSERT INTO m VALUES (60, 6, 'soon gone') RETURNING id) SELECT id FROM new;
WITH changed AS (UPDATE m SET v = 'changed' WHERE id = 60 RETURNING id) SELECT insert_and_move(id) FROM changed;
SELECT tableoid::regclass, * FROM m WHERE id = 60;
SELECT * FROM news();

-- TRUNCATE of one partition takes its rows, of the table takes all
INSERT INTO m VALUES (3, 3, 'three'), (4, 4, 'four');
SELECT FROM news();
TRUNCATE m_low;
SELECT * FROM news();
TRUNCATE m_mid;
SELECT operation, count(*) FROM news() GROUP BY 1;
INSERT INTO m VALUES (1, 1, 'a'), (2, 12, 'b');
SELECT FROM news();
BEGIN;
TRUNCATE m;
INSERT INTO m VALUES (3, 3, 'three');
SAVEPOINT a;
TRUNCATE m_low;
ROLLBACK TO a;
TRUNCATE m_low, m_mid;
INSERT INTO m VALUES (4, 4, 'four');
COMMIT;
SELECT * FROM news();

-- a new partition is captured from its first row, one that is attached with its rows
CREATE TABLE m_new PARTITION OF m FOR VALUES FROM (20) TO (30);
INSERT INTO m_new VALUES (1, 20, 'first');
CREATE TABLE m_old (LIKE m INCLUDING ALL);
INSERT INTO m_old VALUES (1, 30, 'brought'), (2, 31, 'brought too');
SELECT * FROM news();
ALTER TABLE m ATTACH PARTITION m_old FOR VALUES FROM (30) TO (40);
UPDATE m_old SET v = 'and seen' WHERE id = 1;
SELECT * FROM news();
-- a whole branch
CREATE TABLE branch (LIKE m) PARTITION BY LIST (id);
CREATE TABLE branch_1 PARTITION OF branch FOR VALUES IN (1);
INSERT INTO branch VALUES (1, 41, 'on a branch');
ALTER TABLE m ATTACH PARTITION branch FOR VALUES FROM (40) TO (50);
CREATE TABLE branch_2 PARTITION OF branch FOR VALUES IN (2);
INSERT INTO m VALUES (2, 42, 'on a new leaf');
TRUNCATE branch_2;
SELECT * FROM news();
CREATE SCHEMA parts2 CREATE TABLE m_far PARTITION OF parts.m FOR VALUES FROM (50) TO (60);
INSERT INTO parts2.m_far VALUES (1, 50, 'far');
SELECT * FROM news();
-- rolled back
BEGIN;
CREATE TABLE m_never PARTITION OF m FOR VALUES FROM (60) TO (70);
INSERT INTO m VALUES (1, 60, 'never');
ROLLBACK;
SELECT * FROM news();

-- what leaves is told of
ALTER TABLE m DETACH PARTITION m_new;
INSERT INTO m_new VALUES (2, 21, 'its own');
ALTER TABLE m DETACH PARTITION branch;
INSERT INTO branch VALUES (1, 48, 'its own');
ALTER TABLE m DETACH PARTITION m_old CONCURRENTLY;
UPDATE m_old SET v = 'its own';
SELECT * FROM news();
SELECT tgrelid::regclass FROM pg_trigger WHERE tgrelid IN ('m_new'::regclass, 'm_old'::regclass, 'branch_1'::regclass, 'branch'::regclass);
-- and comes back with what it has
ALTER TABLE m ATTACH PARTITION m_old FOR VALUES FROM (30) TO (40);
SELECT * FROM news();

-- nobody switches it off in silence
ALTER TABLE m DISABLE TRIGGER ALL;
INSERT INTO m VALUES (5, 5, 'seen');
ALTER TABLE m ENABLE TRIGGER ALL;
SELECT tgenabled, count(*) FROM pg_trigger WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('m')) GROUP BY 1;
SET session_replication_role = replica;
INSERT INTO m VALUES (6, 6, 'seen too');
CREATE TABLE m_replica PARTITION OF m FOR VALUES FROM (70) TO (80);
INSERT INTO m VALUES (7, 71, 'seen as well');
RESET session_replication_role;
SELECT * FROM news();

-- refused
SELECT causaldb.set_consistency('m_low', 'eventual');
SELECT causaldb.set_consistency('m_mid', 'eventual');
CREATE TABLE alone (LIKE m INCLUDING ALL);
SELECT causaldb.set_consistency('alone', 'eventual');
ALTER TABLE m ATTACH PARTITION alone FOR VALUES FROM (80) TO (90);
CREATE TABLE plain (id int, at int, v text, n int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
ALTER TABLE plain ATTACH PARTITION alone FOR VALUES FROM (80) TO (90);
ALTER TABLE plain ATTACH PARTITION m FOR VALUES FROM (0) TO (100);
CREATE TABLE heir () INHERITS (alone);
CREATE TABLE heir (LIKE alone);
ALTER TABLE heir INHERIT alone;
CREATE TABLE ancestor (LIKE alone);
ALTER TABLE alone INHERIT ancestor;
ALTER TABLE alone SET UNLOGGED;
ALTER TABLE m_low SET UNLOGGED;
CREATE UNLOGGED TABLE m_unlogged PARTITION OF m FOR VALUES FROM (80) TO (90);
CREATE TABLE m_unique (LIKE m INCLUDING ALL, UNIQUE (v));
ALTER TABLE m ATTACH PARTITION m_unique FOR VALUES FROM (80) TO (90);
CREATE TABLE keyless (a int) PARTITION BY LIST (a);
CREATE TABLE keyless_1 PARTITION OF keyless FOR VALUES IN (1);
CREATE TABLE keyless_2 PARTITION OF keyless FOR VALUES IN (2);
SELECT causaldb.set_consistency('keyless', 'eventual');
INSERT INTO keyless VALUES (1);
UPDATE keyless SET a = 2;
TRUNCATE keyless_1;
TRUNCATE keyless;
SELECT * FROM news();

-- untagged again
SELECT causaldb.unset_consistency('m');
INSERT INTO m VALUES (8, 8, 'unseen');
CREATE TABLE m_later PARTITION OF m FOR VALUES FROM (80) TO (90);
INSERT INTO m VALUES (8, 88, 'unseen');
SELECT * FROM news();
SELECT count(*) FROM pg_trigger WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('m'));

SET client_min_messages = warning;
DROP TABLE keyless;
SELECT count(*) FROM causaldb.tag WHERE relid NOT IN (SELECT oid FROM pg_class);
DROP EXTENSION causaldb;
DROP SCHEMA parts, parts2 CASCADE;
