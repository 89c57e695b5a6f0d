-- Rights that are lent for one thing are lent for no other: with them, names are
-- found in pg_catalog, whatever the search_path of the caller says.
SELECT current_database() AS first
\gset
CREATE DATABASE security_one;
\c security_one
CREATE EXTENSION causaldb;
SELECT format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
			  current_setting('port'), current_database(), current_user) AS dsn
\gset
SELECT causaldb.create_cluster('n1', :'dsn');
SELECT causaldb.wait_until_ready();

-- operators of a caller, first in its search_path
CREATE ROLE causaldb_plain;
CREATE SCHEMA own AUTHORIZATION causaldb_plain;
SET SESSION AUTHORIZATION causaldb_plain;
CREATE TABLE own.ran_as (who name);
CREATE FUNCTION own.same(text, text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO own.ran_as VALUES (current_user);
	RETURN $1 OPERATOR(pg_catalog.=) $2;
END
$$;
CREATE OPERATOR own.= (LEFTARG = text, RIGHTARG = text, FUNCTION = own.same);
SET search_path = own, pg_catalog;
SELECT 'a'::text = 'b'::text AS same;
SELECT causaldb.wait_until_ready();
SELECT causaldb.wait_for(causaldb.token());
SELECT DISTINCT who FROM own.ran_as;
SHOW search_path;
RESET search_path;
RESET SESSION AUTHORIZATION;

-- types and tables of a session's pg_temp hide none of pg_catalog
SELECT p.oid::regprocedure, p.proconfig FROM pg_proc p
 WHERE p.pronamespace = 'causaldb'::regnamespace
   AND (p.prosecdef OR p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql'))
   AND p.proconfig IS DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}';

-- what no frame can carry is refused where it is written
CREATE TABLE public.large (id int PRIMARY KEY, a text);
SELECT causaldb.set_consistency('public.large', 'eventual');
INSERT INTO public.large VALUES (1, repeat('x', 130 * 1024 * 1024));
\echo :SQLSTATE
BEGIN;
INSERT INTO public.large VALUES (2, 'before');
SAVEPOINT s;
INSERT INTO public.large VALUES (1, repeat('x', 130 * 1024 * 1024));
ROLLBACK TO s;
INSERT INTO public.large VALUES (3, 'after');
COMMIT;
SELECT key, column_name, new FROM causaldb.history WHERE relation = 'public.large' AND operation = 'INSERT';
\c :first
DROP DATABASE security_one WITH (FORCE);
DROP ROLE causaldb_plain;
