-- What is rolled back is not in the log, what stands is, in order, and large
-- transactions go to page-sized chunks without changing that.
CREATE EXTENSION causaldb;
CREATE SCHEMA savepoints;
SET search_path = savepoints, public;
CREATE TABLE t (id int PRIMARY KEY, s text);
-- a witness of its own: written by another trigger, rolled back with the rows
CREATE TABLE witness (n bigserial, what text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO witness (what) VALUES (concat_ws(' ', TG_OP, coalesce(NEW.id, OLD.id), md5(coalesce(NEW.s, OLD.s))));
	RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION watch();
CREATE FUNCTION differences() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*)
	  FROM (SELECT row_number() OVER (ORDER BY n) AS r, what FROM witness) w
	  FULL JOIN (SELECT row_number() OVER () AS r,
						concat_ws(' ', operation, key->>'id', md5(coalesce(new, old))) AS what
				   FROM causaldb.history WHERE relation = 'savepoints.t') h USING (r)
	 WHERE w.what IS DISTINCT FROM h.what
$$;
SELECT causaldb.set_consistency('t', 'eventual');

-- small: one log row, no chunk
BEGIN;
INSERT INTO t VALUES (1, 'one');
SAVEPOINT a;
INSERT INTO t VALUES (2, 'two');
SAVEPOINT b;
UPDATE t SET s = 'uno' WHERE id = 1;
ROLLBACK TO b;
INSERT INTO t VALUES (3, 'three');
RELEASE a;
SAVEPOINT c;
DELETE FROM t WHERE id = 1;
ROLLBACK TO c;
UPDATE t SET s = 'drei' WHERE id = 3;
COMMIT;
SELECT operation, key, old, new FROM causaldb.history WHERE relation = 'savepoints.t';
SELECT count(*) AS chunks FROM causaldb.log_chunk;

-- everything rolled back: no log row
SELECT count(*) AS log_rows FROM causaldb.log \gset
BEGIN;
SAVEPOINT a;
INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1000, 5000) g;
ROLLBACK TO a;
COMMIT;
BEGIN;
INSERT INTO t VALUES (9, 'nine');
ROLLBACK;
SELECT count(*) - :log_rows AS more_log_rows FROM causaldb.log;
SELECT count(*) AS chunks FROM causaldb.log_chunk;

-- large, with rollbacks of levels that have written chunks
BEGIN;
INSERT INTO t SELECT g, repeat('a', 200) FROM generate_series(10000, 11000) g;
SAVEPOINT a;
INSERT INTO t SELECT g, repeat('b', 200) FROM generate_series(12000, 13000) g;
SAVEPOINT b;
UPDATE t SET s = s || '!' WHERE id >= 12500;
ROLLBACK TO b;
UPDATE t SET s = s || '?' WHERE id >= 12900;
RELEASE a;
SAVEPOINT c;
DELETE FROM t WHERE id >= 10000;
ROLLBACK TO c;
INSERT INTO t VALUES (14000, 'last');
COMMIT;
SELECT differences();

-- a loop of exception blocks: the parent cannot write, the children must
DO $$ BEGIN
	FOR i IN 20000..24000 LOOP
		BEGIN
			INSERT INTO t VALUES (i, 'loop ' || i);
			IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SELECT differences();

-- changes of parent and children interleave, chunks in between
DO $$ BEGIN
	FOR i IN 1..60 LOOP
		INSERT INTO t VALUES (30000 + i, repeat('p', 10));
		BEGIN
			INSERT INTO t SELECT 40000 + i * 100 + g, repeat('c', 50 * (i % 4)) FROM generate_series(1, i % 40) g;
			BEGIN
				UPDATE t SET s = s || 'u' WHERE id BETWEEN 40000 + i * 100 AND 40050 + i * 100;
				IF i % 4 = 1 THEN RAISE EXCEPTION 'no'; END IF;
			EXCEPTION WHEN raise_exception THEN NULL;
			END;
			IF i % 5 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
		UPDATE t SET s = s || 'q' WHERE id = 30000 + i;
	END LOOP;
END $$;
SELECT differences();

-- a child that has written chunks leaves its rest behind those of the parent
DO $$ BEGIN
	FOR i IN 1..45 LOOP
		INSERT INTO t VALUES (60000 + i, 'parent');
		BEGIN
			INSERT INTO t SELECT 70000 + i * 1000 + g, repeat('c', 180) FROM generate_series(1, 330 + i) g;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
		COMMIT;
	END LOOP;
END $$;
SELECT differences();

-- several tables, met in another order by every level
CREATE TABLE t2 (id int PRIMARY KEY, s text);
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON t2 FOR EACH ROW EXECUTE FUNCTION watch();
SELECT causaldb.set_consistency('t2', 'eventual');
CREATE OR REPLACE FUNCTION differences() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*)
	  FROM (SELECT row_number() OVER (ORDER BY n) AS r, what FROM witness) w
	  FULL JOIN (SELECT row_number() OVER () AS r,
						concat_ws(' ', operation, key->>'id', md5(coalesce(new, old))) AS what
				   FROM causaldb.history WHERE operation <> 'TAG') h USING (r)
	 WHERE w.what IS DISTINCT FROM h.what
$$;
BEGIN;
INSERT INTO t VALUES (150001, 't first');
INSERT INTO t2 VALUES (1, 't2 second');
SAVEPOINT a;
INSERT INTO t2 VALUES (2, 't2 first');
UPDATE t SET s = 't second' WHERE id = 150001;
RELEASE a;
SAVEPOINT b;
UPDATE t2 SET s = 'gone';
ROLLBACK TO b;
DELETE FROM t2 WHERE id = 1;
DELETE FROM t WHERE id = 150001;
COMMIT;
SELECT relation, operation, key, old, new FROM causaldb.history WHERE operation <> 'TAG' AND position = (SELECT max(position) FROM causaldb.log);
SELECT differences();

-- one value larger than a page, and than the buffer
INSERT INTO t VALUES (50000, repeat('large', 100000));
BEGIN;
INSERT INTO t VALUES (50001, 'before');
INSERT INTO t VALUES (50002, repeat('large', 5000));
INSERT INTO t VALUES (50003, 'after');
COMMIT;
SELECT differences();

-- chunks fill pages, and say how many they are
SELECT max(octet_length(payload)) <= 8100 AS page_sized
  FROM causaldb.log_chunk WHERE octet_length(payload) < 20000;
SELECT count(*) AS chunks_without_a_log_row FROM causaldb.log_chunk c
 WHERE NOT EXISTS (SELECT FROM causaldb.log l WHERE l.xid = c.xid AND l.stream = c.stream);

SET client_min_messages = warning;
DROP SCHEMA savepoints CASCADE;
DROP EXTENSION causaldb;
