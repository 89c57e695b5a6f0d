-- History: every written field once, in order, readable also when the table
-- has changed or gone since.
CREATE EXTENSION causaldb;
CREATE SCHEMA history;
SET search_path = history, public;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE people (name text COLLATE "C", born numeric, city text, feels mood, PRIMARY KEY (name, born));
SELECT causaldb.set_consistency('people', 'eventual');
INSERT INTO people VALUES ('ann', 1980.0, 'Oslo', 'sad'), ('bob', 1990, 'Bern', NULL);
UPDATE people SET city = 'Rome' WHERE name = 'ann';
UPDATE people SET city = 'Nice', feels = 'happy';
DELETE FROM people WHERE name = 'bob';

\d causaldb.history
SELECT relation, operation, key, column_name, old, new, node, level,
	   committed_at BETWEEN now() - interval '1 hour' AND clock_timestamp() + interval '1 s' AS recent,
	   stamp = position || '@0' AS stamped, stream
  FROM causaldb.history WHERE operation <> 'TAG';
SELECT operation, new FROM causaldb.history WHERE operation = 'TAG';
SELECT bool_and(position >= before) AS in_order
  FROM (SELECT position, lag(position, 1, 0::int8) OVER () AS before FROM causaldb.history) h;

-- one row, one field; the key by its own equality
SELECT field, operation, old, new, level FROM causaldb.field_history('people', '{"name": "ann", "born": 1980}');
SELECT field, operation, old, new FROM causaldb.field_history('people', '{"name": "ann", "born": "1980.00"}', 'city');
SELECT field, operation, old, new FROM causaldb.field_history('people', '{"name": "Ann", "born": 1980}', 'city');
SELECT field, operation, old, new FROM causaldb.field_history('people', '{"name": "bob", "born": 1990}', 'born');
SELECT * FROM causaldb.field_history('people', '{"name": "ann"}');
SELECT * FROM causaldb.field_history('people', '"ann"');
SELECT * FROM causaldb.field_history('people', NULL);

-- a large transaction, walked without holding it
CREATE TABLE big (id int PRIMARY KEY, a int);
SELECT causaldb.set_consistency('big', 'eventual');
INSERT INTO big SELECT g, g FROM generate_series(1, 20000) g;
UPDATE big SET a = -a;
SELECT count(*), sum(new::int) FROM causaldb.history WHERE relation = 'history.big';
SELECT field, operation, old, new FROM causaldb.field_history('big', '777');

-- the table changes, the type goes, the table goes: history stays
ALTER TABLE people ADD COLUMN note text;
UPDATE people SET note = 'new', city = 'Kiel';
SELECT field, operation, old, new FROM causaldb.field_history('people', '{"name": "ann", "born": 1980}') WHERE operation = 'UPDATE';
DROP TABLE people;
DROP TYPE mood;
SELECT operation, key, column_name, old, new FROM causaldb.history WHERE relation = 'history.people';

SET client_min_messages = warning;
DROP SCHEMA history CASCADE;
DROP EXTENSION causaldb;
