-- The extension installs into a schema of its own and leaves nothing behind.
CREATE EXTENSION causaldb;
SELECT extversion FROM pg_extension WHERE extname = 'causaldb';
-- everything of ours is in that schema
SELECT count(*) AS elsewhere
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
  LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
  LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
  LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND extname = 'causaldb'
   AND coalesce(p.pronamespace, c.relnamespace, t.typnamespace)
	   IS DISTINCT FROM (SELECT oid FROM pg_namespace WHERE nspname = 'causaldb')
   AND (p.oid IS NOT NULL OR c.oid IS NOT NULL OR t.oid IS NOT NULL);
-- its functions never look names up on the caller's search path
SELECT proname
  FROM pg_proc
 WHERE pronamespace = 'causaldb'::regnamespace
   AND prolang NOT IN (SELECT oid FROM pg_language WHERE lanname = 'c')
   AND NOT coalesce(array_to_string(proconfig, ',') ~ 'search_path=', false)
 ORDER BY 1;
-- parallel queries go on, also before the database is a node
SET force_parallel_mode = on;
SELECT count(*) > 0 AS parallel FROM pg_class;
RESET force_parallel_mode;
DROP EXTENSION causaldb CASCADE;
SELECT count(*) AS left_over FROM pg_namespace WHERE nspname = 'causaldb';
