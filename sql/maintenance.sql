-- Maintenance that stays on this node: who may, and what history says of it.
CREATE EXTENSION causaldb;
CREATE SCHEMA maint;
SET search_path = maint, public;
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
SELECT causaldb.set_consistency('t', 'eventual');
SELECT causaldb.set_consistency('p', 'eventual');
CREATE VIEW said AS SELECT relation, operation, key, old, replace(new, format('"%s"', session_user), '"me"') AS new FROM causaldb.history WHERE operation <> 'TAG';

INSERT INTO t VALUES (1, 'captured');
BEGIN;
SET LOCAL causaldb.capture = off;
INSERT INTO t SELECT g, 'local' FROM generate_series(2, 11) g;
UPDATE t SET v = 'by hand' WHERE id IN (1, 2);
DELETE FROM t WHERE id = 3;
SAVEPOINT a;
DELETE FROM t;
INSERT INTO p VALUES (1, 'rolled back');
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO t VALUES (12, 'kept');
SAVEPOINT c;
INSERT INTO t VALUES (13, 'kept too');
RELEASE b;
COMMIT;
SHOW causaldb.capture;
UPDATE t SET v = 'captured again' WHERE id = 2;
SELECT * FROM said;
SELECT count(*) FROM t;

-- partitions, TRUNCATE, and both sorts in one transaction
BEGIN;
INSERT INTO p VALUES (1, 'captured');
SET LOCAL causaldb.capture = off;
INSERT INTO p VALUES (2, 'local');
UPDATE p1 SET v = 'local' WHERE id = 1;
TRUNCATE p1;
TRUNCATE t;
CREATE TABLE p2 (LIKE p INCLUDING ALL);
INSERT INTO p2 VALUES (101, 'brought'), (102, 'brought');
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (100) TO (200);
SET LOCAL causaldb.capture = on;
INSERT INTO p VALUES (3, 'captured');
COMMIT;
SELECT * FROM said OFFSET 3;
-- dropped meanwhile
BEGIN;
SET LOCAL causaldb.capture = off;
INSERT INTO t VALUES (1, 'x');
DROP TABLE t;
COMMIT;
SELECT * FROM said OFFSET 7;
-- nothing written, nothing said; a transaction that is refused anyway
BEGIN;
SET LOCAL causaldb.capture = off;
SELECT count(*) FROM p;
COMMIT;
BEGIN;
SET LOCAL causaldb.capture = off;
INSERT INTO p VALUES (4, 'x');
PREPARE TRANSACTION 'local';
SELECT count(*) FROM said;

-- who may
CREATE ROLE regress_causaldb_maint;
GRANT ALL ON SCHEMA maint TO regress_causaldb_maint;
GRANT ALL ON p TO regress_causaldb_maint;
SET ROLE regress_causaldb_maint;
SET causaldb.capture = off;
\echo :SQLSTATE
RESET ROLE;
SET causaldb.capture = off;
SET ROLE regress_causaldb_maint;
INSERT INTO p VALUES (5, 'sneaked in');
\echo :SQLSTATE
SET causaldb.capture = on;
INSERT INTO p VALUES (5, 'in the open');
RESET ROLE;
GRANT causaldb_admin TO regress_causaldb_maint;
SET ROLE regress_causaldb_maint;
SET causaldb.capture = off;
INSERT INTO p VALUES (6, 'allowed');
RESET causaldb.capture;
RESET ROLE;
SELECT * FROM said OFFSET 8;
-- not for good
ALTER SYSTEM SET causaldb.capture = off;

DROP EXTENSION causaldb CASCADE;
DROP SCHEMA maint CASCADE;
DROP ROLE regress_causaldb_maint;
