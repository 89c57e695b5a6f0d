-- A preview says what tagging would say, and what is merely so.
CREATE EXTENSION causaldb;
CREATE SCHEMA prev;
SET search_path = prev, public;
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE everything (
	id serial PRIMARY KEY, customer int REFERENCES customer ON DELETE CASCADE, boss int REFERENCES everything,
	low int CHECK (low > 0), high int, CHECK (low < high), price numeric, says text DEFAULT now()::text,
	twice numeric GENERATED ALWAYS AS (price * 2) STORED, nr int GENERATED ALWAYS AS IDENTITY, code text UNIQUE);
CREATE TABLE belongs (id int PRIMARY KEY, everything int REFERENCES everything ON DELETE CASCADE);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER here AFTER INSERT ON everything FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER everywhere AFTER INSERT ON everything FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER elsewhere AFTER INSERT ON everything FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER nowhere AFTER INSERT ON everything FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE everything ENABLE ALWAYS TRIGGER everywhere, ENABLE REPLICA TRIGGER elsewhere, DISABLE TRIGGER nowhere;
CREATE RULE r AS ON DELETE TO everything DO NOTHING;
ALTER TABLE everything ENABLE ROW LEVEL SECURITY;
SELECT causaldb.set_consistency('belongs', 'eventual');
\pset format unaligned
\pset tuples_only
\pset recordsep '\n\n'
\pset fieldsep '\n  '
SELECT * FROM causaldb.preview('everything');
CREATE TABLE part (a int) PARTITION BY LIST (a);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
SELECT * FROM causaldb.preview('part');
SELECT * FROM causaldb.preview('part_1');
CREATE VIEW v AS SELECT * FROM customer;
SELECT * FROM causaldb.preview('v');
CREATE UNLOGGED TABLE many (id int PRIMARY KEY DEFERRABLE, a int UNIQUE, b int UNIQUE);
SELECT * FROM causaldb.preview('many') WHERE verdict = 'refused';
\pset format aligned
\pset tuples_only

-- one source of truth: the first refusal is what tagging raises, and where
-- there is none tagging warns of just what the preview warns of
CREATE FUNCTION tagging_agrees(relation regclass, OUT says text, OUT agrees bool) LANGUAGE plpgsql AS $$
DECLARE
	refusal record;
	message text;
	detail text;
	hint text;
BEGIN
	SELECT * INTO refusal FROM causaldb.preview(relation) p WHERE p.verdict = 'refused' LIMIT 1;
	PERFORM causaldb.set_consistency(relation, 'eventual');
	says := 'tagged';
	agrees := refusal IS NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	says := message;
	agrees := refusal.hint = hint AND lower(refusal.says) = lower(message || '. ' || detail);
END $$;
SET client_min_messages = error;
SELECT t.r, a.* FROM unnest('{everything,part,part_1,v,many,customer,pg_class}'::regclass[]) t(r), tagging_agrees(t.r) a;
RESET client_min_messages;
SELECT causaldb.unset_consistency('customer');
-- anyone who sees the catalogs may ask
CREATE ROLE regress_causaldb_reader;
GRANT USAGE ON SCHEMA prev TO regress_causaldb_reader;
SET ROLE regress_causaldb_reader;
SELECT count(*) > 10 FROM causaldb.preview('everything');
RESET ROLE;

SET client_min_messages = warning;
DROP EXTENSION causaldb;
DROP SCHEMA prev CASCADE;
DROP ROLE regress_causaldb_reader;
