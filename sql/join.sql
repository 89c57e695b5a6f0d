-- Two databases of one server are two nodes: joining, and writes both ways.
-- A node needs the library preloaded; elsewhere there is nothing to test.
SELECT current_setting('shared_preload_libraries') !~ 'causaldb' AS unloaded
\gset
\if :unloaded
\q
\endif
SELECT current_database() AS first
\gset
CREATE DATABASE join_one ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0;
CREATE DATABASE join_two ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0;
CREATE DATABASE join_three ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;
CREATE DATABASE join_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
\c join_one
CREATE EXTENSION causaldb;
SELECT format('host=%s port=%s user=%s dbname=', split_part(current_setting('unix_socket_directories'), ',', 1),
			  current_setting('port'), current_user) AS base
\gset
SELECT :'base' || 'join_one' AS one, :'base' || 'join_two' AS two, :'base' || 'join_three' AS three,
	   :'base' || 'join_latin' AS latin
\gset
CREATE TABLE item (id int PRIMARY KEY, note text, at timestamptz DEFAULT now(), later interval, n int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE "A b" ("C ""d" int PRIMARY KEY, v int, local_only int DEFAULT 7);
CREATE TABLE plain (id serial PRIMARY KEY, item int REFERENCES item);
CREATE FUNCTION item_count() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.item';
-- code of a table's owner runs as the owner, and stays it
CREATE ROLE regress_join_owner;
CREATE FUNCTION runs_as_owner(int) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	IF current_database() = 'join_one' THEN
		RETURN true;
	ELSIF current_user <> 'regress_join_owner' THEN
		RETURN false;
	END IF;
	PERFORM set_config('role', 'none', true);
	RETURN false;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN true;
END
$$;
CREATE TABLE owned (id int PRIMARY KEY CHECK (runs_as_owner(id)));
ALTER TABLE owned OWNER TO regress_join_owner;
INSERT INTO owned VALUES (1);
CREATE VIEW notes AS SELECT note FROM item;
INSERT INTO item (id, note, later) SELECT i, E'tab\there \\N ' || i, '-1 day 2 hours' FROM generate_series(1, 3) i;
INSERT INTO "A b" VALUES (1, 10, 100);
INSERT INTO plain (item) VALUES (2);
-- via leads to no node, then to one
\c join_two
CREATE EXTENSION causaldb;
SELECT causaldb.join_cluster('n2', :'two', :'one', 'all');
\echo :SQLSTATE
SELECT causaldb.join_cluster('n2', :'two', :'three', 'all');
\echo :SQLSTATE
\c join_one
SELECT causaldb.create_cluster('n1', :'one');
SELECT causaldb.wait_until_ready();
SELECT causaldb.set_consistency('item', 'eventual');
SELECT causaldb.set_consistency('"A b"', 'eventual', ARRAY['v']);
SELECT causaldb.set_merge('"A b"', 'v', 'counter');
SELECT causaldb.set_row_policy('"A b"', 'delete_wins');
UPDATE "A b" SET v = v + 1;
-- a grave lies by its table, whose OID is another one on each node
INSERT INTO causaldb.grave VALUES ('item'::regclass, 11, 12, 9e18, '\x13');
\c join_latin
CREATE EXTENSION causaldb;
SELECT causaldb.join_cluster('n4', :'latin', :'one', 'none');
\echo :SQLSTATE
-- the schema is not here, or is here though it should come
\c join_two
SELECT causaldb.join_cluster('n2', :'two', :'one', 'data');
\echo :SQLSTATE
CREATE TABLE plain ();
SELECT causaldb.join_cluster('n2', :'two', :'one', 'all');
\echo :SQLSTATE
DROP TABLE plain;
SELECT causaldb.join_cluster('n1', :'two', :'one', 'all');
\echo :SQLSTATE
-- all of it
SELECT causaldb.join_cluster('n2', :'two', :'one', 'all');
SELECT causaldb.wait_until_ready();
SELECT id, name, state, here, orders_tags FROM causaldb.nodes;
SELECT name, state, error FROM causaldb.peers;
SELECT relation, column_name, rule, row_policy FROM causaldb.tags ORDER BY relation::text, column_name;
SELECT id, note, later, n FROM item ORDER BY id;
SELECT relid::regclass, key_hash, descriptor, image FROM causaldb.grave;
TABLE "A b";
TABLE plain;
TABLE owned;
SELECT item_count(), (SELECT count(*) FROM notes);
INSERT INTO plain (item) VALUES (3) RETURNING id;
INSERT INTO plain (item) VALUES (9);
-- a write there is seen here, once the token is
INSERT INTO item (id, note) VALUES (4, 'from n2');
UPDATE "A b" SET v = v + 5;
SELECT causaldb.token() AS token
\gset
\c join_one
SELECT causaldb.wait_for(:'token');
SELECT note FROM item WHERE id = 4;
TABLE "A b";
UPDATE item SET note = 'back' WHERE id = 4;
SELECT causaldb.token() AS token
\gset
\c join_two
SELECT causaldb.wait_for(:'token');
SELECT note FROM item WHERE id = 4;
-- a tag set here is ordered there and comes back
CREATE TABLE late (id int PRIMARY KEY, v int);
SELECT causaldb.set_consistency('late', 'eventual');
\echo :SQLSTATE
\c join_one
CREATE TABLE late (id int PRIMARY KEY, v int);
\c join_two
SELECT causaldb.set_consistency('late', 'eventual');
SELECT column_name, rule FROM causaldb.tags WHERE relation = 'late'::regclass;
BEGIN;
INSERT INTO late VALUES (1, 1);
SELECT causaldb.set_merge('late', 'v', 'counter');
\echo :SQLSTATE
ROLLBACK;
SELECT causaldb.admit_node('n5', 'dbname=x', 'member', true);
\echo :SQLSTATE
SELECT causaldb.alter_node('n2', :'two' || ' connect_timeout=9');
\c join_one
SELECT name, dsn LIKE '%connect_timeout=9' AS altered FROM causaldb.nodes;
SELECT column_name, rule FROM causaldb.tags WHERE relation = 'late'::regclass;
-- strong columns of two nodes: the hint is carried out below
CREATE TABLE ballot (id int PRIMARY KEY);
\c join_two
CREATE TABLE ballot (id int PRIMARY KEY);
SELECT causaldb.set_consistency('ballot', 'strong');
INSERT INTO ballot VALUES (1);
\c join_one
-- rows of tagged tables only, by way of a node that orders nothing
\c join_three
CREATE EXTENSION causaldb;
CREATE TABLE item (id int PRIMARY KEY, note text, at timestamptz, later interval, n int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE "A b" ("C ""d" int PRIMARY KEY, v int, local_only int DEFAULT 7);
CREATE TABLE late (id int PRIMARY KEY, v int);
CREATE TABLE ballot (id int PRIMARY KEY);
INSERT INTO late VALUES (1, 1);
ALTER DATABASE join_three SET lc_monetary = 'C.UTF-8';
\c join_three
SELECT causaldb.join_cluster('n3', :'three', :'two');
\echo :SQLSTATE
TRUNCATE late;
ALTER DATABASE join_three SET lc_monetary = 'C';
\c join_three
SELECT causaldb.join_cluster('n3', :'three', :'two');
SELECT causaldb.wait_until_ready();
SELECT count(*) FROM item;
TABLE "A b";
SELECT name, state FROM causaldb.peers;
SELECT state, count(*) FROM causaldb.nodes GROUP BY 1;
TABLE ballot;
SELECT causaldb.set_consistency('ballot', 'strong');
\c :first
DROP DATABASE join_one;
DROP DATABASE join_two;
DROP DATABASE join_three;
DROP DATABASE join_latin;
DROP ROLE regress_join_owner;
