-- Every refusal: SQLSTATE, what, why, and what to type. What the hint says is
-- taken from the error, typed, and must help.
CREATE EXTENSION causaldb;
CREATE SCHEMA refuse;
SET search_path = refuse, public;
\pset format unaligned
\pset tuples_only

-- Shows how a statement is refused; carries the hint out; says whether the
-- statement, or the one given, works then. Rolls nothing back.
CREATE PROCEDURE refused(statement text, then_statement text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
	cure text;
BEGIN
	BEGIN
		EXECUTE statement;
		RAISE INFO 'NOT REFUSED: %', statement;
		RETURN;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
			detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	END;
	RAISE INFO E'%: %\n  why: %\n  hint: %', state, message, detail, hint;
	cure := substring(hint FROM '[Tt]ype[a-z ]*: (.*;)');
	IF cure IS NULL OR cure ~ '\.\.\.' THEN
		RAISE INFO 'NOTHING TO TYPE';
		RETURN;
	END IF;
	EXECUTE cure;
	EXECUTE COALESCE(then_statement, statement);
	RAISE INFO 'helped';
EXCEPTION WHEN OTHERS THEN
	RAISE INFO 'DID NOT HELP: %', SQLERRM;
END $$;
CREATE PROCEDURE untaggable(relation text, columns text DEFAULT NULL, instead text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
	CALL refused(format('SELECT causaldb.set_consistency(%L, ''eventual'', %L)', relation, columns),
		format('SELECT causaldb.set_consistency(%L, ''eventual'', %L)', COALESCE(instead, relation), columns));
END $$;

SET client_min_messages = error;
CREATE TABLE a (id int PRIMARY KEY, u int UNIQUE, e int, EXCLUDE USING btree (e WITH =), x int, y int, p int);
CREATE UNIQUE INDEX a_partial ON a (y) WHERE p > 0;
CREATE UNIQUE INDEX a_expression ON a ((x + x));
CREATE TABLE deferrable_key (id int, at int, PRIMARY KEY (id, at) DEFERRABLE);
CREATE TABLE deferred_key (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
CREATE TEMPORARY TABLE temporary (id int PRIMARY KEY);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE VIEW a_view AS SELECT id, x FROM a;
CREATE MATERIALIZED VIEW a_matview AS SELECT id, x FROM a;
CREATE SEQUENCE a_sequence;
CREATE FOREIGN DATA WRAPPER w;
CREATE SERVER s FOREIGN DATA WRAPPER w;
CREATE FOREIGN TABLE a_foreign (id int) SERVER s;
CREATE TABLE untagged (id int PRIMARY KEY, v text, needed int NOT NULL);
CREATE TABLE unhashable (id tsvector PRIMARY KEY);
CREATE TABLE generated (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE child2 () INHERITS (parent);
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 (id int PRIMARY KEY);
CREATE TABLE lacks (id int) PARTITION BY RANGE (id);
CREATE TABLE lacks_1 PARTITION OF lacks (id NOT NULL) FOR VALUES FROM (0) TO (10);
ALTER TABLE lacks ALTER id SET NOT NULL;
ALTER TABLE ONLY lacks ADD PRIMARY KEY (id);
CREATE TABLE with_foreign (id int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE with_foreign_1 PARTITION OF with_foreign FOR VALUES FROM (0) TO (10) SERVER s;
CREATE TABLE with_unlogged (id int) PARTITION BY RANGE (id);
CREATE UNLOGGED TABLE with_unlogged_1 PARTITION OF with_unlogged FOR VALUES FROM (0) TO (10);
CREATE TABLE with_unique (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE with_unique_1 PARTITION OF with_unique (UNIQUE (v)) FOR VALUES FROM (0) TO (10);
SET client_min_messages = warning;

-- constraints of columns
CALL untaggable('a', '{u}');
CALL untaggable('a', '{e}');
CALL untaggable('a', '{p}');
CALL untaggable('a', '{x}');
CALL untaggable('with_unique');
-- keys
CALL untaggable('deferrable_key');
CALL untaggable('deferred_key');
CALL untaggable('unhashable');
CALL untaggable('lacks');
-- what is no table of one's own
CALL untaggable('temporary', instead => 'public.temporary_copy');
CALL untaggable('unlogged');
CALL untaggable('pg_catalog.pg_am', instead => 'public.pg_am_copy');
CALL untaggable('causaldb.omission', instead => 'public.omission_copy');
CALL untaggable('a_view', instead => 'a_view_copy');
CALL untaggable('a_matview', instead => 'a_matview_copy');
CALL untaggable('a_foreign', instead => 'a_foreign_copy');
CALL untaggable('a_sequence', instead => 'a_view_copy');
-- inheritance and partitions
CALL untaggable('child');
CALL untaggable('parent');
CALL untaggable('parts_1', instead => 'parts');
CALL untaggable('with_unlogged');
CALL untaggable('with_foreign', instead => 'with_foreign_1_copy');
-- columns
CALL untaggable('untagged', '{v}');
CALL refused($$SELECT causaldb.set_consistency('generated', 'eventual', '{twice}')$$, 'SELECT');
CALL refused($$SELECT causaldb.set_consistency('generated', 'eventual', '{v,ctid}')$$, 'SELECT');
SELECT FROM causaldb.unset_consistency('generated');

-- DDL that would end capture
SELECT FROM causaldb.set_consistency('parts_2', 'eventual');
CALL refused('CREATE TABLE heir2 () INHERITS (parts_2)');
DROP TABLE heir2;
SELECT FROM causaldb.set_consistency('parts_2', 'eventual');
CALL refused('ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20)');
CALL refused('ALTER TABLE parts_1 SET UNLOGGED');
CALL refused($$ALTER TABLE unlogged SET UNLOGGED$$);

CREATE FUNCTION drop_ours(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text := (SELECT tgname FROM pg_trigger WHERE tgrelid = relation AND tgname LIKE '!causaldb%' ORDER BY tgtype LIMIT 1);
BEGIN
	IF name IS NOT NULL THEN
		EXECUTE format('DROP TRIGGER %I ON %s', name, relation);
	END IF;
END $$;
ALTER TABLE parts_1 SET LOGGED;
SELECT FROM causaldb.set_consistency('parts', 'eventual');
CALL refused($$SELECT drop_ours('parent')$$);
CALL refused($$SELECT drop_ours('parts_2')$$);

-- merging
SELECT FROM causaldb.set_consistency('untagged', 'eventual');
CALL refused($$SELECT causaldb.set_merge('untagged', 'v', 'counter')$$);
CALL refused($$SELECT causaldb.set_merge('untagged', 'id', 'counter')$$, 'SELECT');
CALL refused($$SELECT causaldb.set_merge('untagged', 'v', 'max')$$, 'SELECT');
CALL refused($$SELECT causaldb.set_merge('untagged', 'v', 'best')$$, 'SELECT');
CALL refused($$SELECT causaldb.set_merge('untagged', 'v', 'last_write', '{"a": 1}')$$, 'SELECT');
CALL refused($$SELECT causaldb.set_merge('generated', 'id', 'last_write')$$);
CREATE TABLE few (id int PRIMARY KEY, a int, b int);
CALL refused($$SELECT causaldb.set_row_policy('few', 'delete_wins')$$);
SELECT FROM causaldb.unset_consistency('few');
CALL refused($$SELECT causaldb.unset_consistency('few')$$);
CREATE TABLE one (id int PRIMARY KEY, a int, b int);
SELECT FROM causaldb.set_consistency('one', 'eventual', '{a}');
CALL refused($$SELECT causaldb.set_merge('one', 'b', 'counter')$$);
SELECT FROM causaldb.set_consistency('few', 'eventual');
INSERT INTO few VALUES (1, 1, 1);
CALL refused($$SELECT causaldb.set_row_policy('few', 'nobody_wins')$$, 'SELECT');
CALL refused($$SELECT causaldb.counter_set('few', '{"id": 1}', 'a', 5)$$);
CREATE RULE instead AS ON UPDATE TO few DO INSTEAD NOTHING;
CALL refused($$SELECT causaldb.counter_set('few', '{"id": 1}', 'a', 6)$$);
DROP RULE instead ON few;
CALL refused($$SELECT causaldb.set_consistency('few', 'weak')$$);
CALL refused($$SELECT causaldb.set_consistency('few', 'eventual', '{}')$$, 'SELECT');

-- writes
CREATE TABLE keyless (a int, b text, c xml);
SELECT FROM causaldb.set_consistency('keyless', 'eventual');
INSERT INTO keyless VALUES (1, 'x'), (2, 'y');
CALL refused('UPDATE keyless SET b = b || a');
CREATE TABLE keyless_parts (a int) PARTITION BY LIST (a);
CREATE TABLE keyless_1 PARTITION OF keyless_parts FOR VALUES IN (1);
SELECT FROM causaldb.set_consistency('keyless_parts', 'eventual');
CALL refused('TRUNCATE keyless_1', 'SELECT');
INSERT INTO keyless_parts VALUES (1);
CALL refused('DELETE FROM keyless_1');
CREATE TABLE loses (id int PRIMARY KEY, v int);
SELECT FROM causaldb.set_consistency('loses', 'eventual');
ALTER TABLE loses DROP CONSTRAINT loses_pkey;
CALL refused('INSERT INTO loses VALUES (1, 1)');
CALL refused($$SELECT causaldb.use_node_ids('few', 'id')$$);

-- rights
CREATE ROLE regress_causaldb_refused;
GRANT ALL ON SCHEMA refuse TO regress_causaldb_refused;
CREATE TABLE owned (id int PRIMARY KEY);
ALTER TABLE owned OWNER TO regress_causaldb_refused;
-- runs as the role, but for the cure
CREATE PROCEDURE as_refused() LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_causaldb_refused;
	PERFORM causaldb.set_consistency('refuse.owned', 'eventual');
END $$;
CALL refused('CALL as_refused()');

SET client_min_messages = warning;
DROP EXTENSION causaldb CASCADE;
DROP SCHEMA refuse CASCADE;
DROP TABLE public.temporary_copy, public.pg_am_copy, public.omission_copy;
DROP FOREIGN DATA WRAPPER w CASCADE;
DROP OWNED BY regress_causaldb_refused;
DROP ROLE regress_causaldb_refused;
