-- Text is kept in the server's encoding, whatever the client's is.
CREATE DATABASE regress_causaldb_utf8 TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
\c regress_causaldb_utf8
CREATE EXTENSION causaldb;
CREATE TABLE t (id int PRIMARY KEY, t text, n name, x xml, j jsonb, v tsvector, ta text[]);
SELECT causaldb.set_consistency('t', 'eventual');
SET client_encoding = 'LATIN1';
INSERT INTO t VALUES (1, convert_from('\xc3a4c3b6', 'UTF8'), convert_from('\xc3a4', 'UTF8')::name,
	xmlparse(content convert_from('\xc3a4', 'UTF8')), to_jsonb(convert_from('\xc3bc', 'UTF8')),
	to_tsvector('simple', convert_from('\xc3bc', 'UTF8')), ARRAY[convert_from('\xc3bc', 'UTF8')]);
-- one that the client's encoding does not have
INSERT INTO t (id, t, ta) VALUES (2, convert_from('\xe282ac', 'UTF8'), ARRAY[convert_from('\xe282ac', 'UTF8')]);
-- and the client's encoding is as it was
SHOW client_encoding;
RESET client_encoding;
SELECT key, column_name, encode(convert_to(new, 'UTF8'), 'escape') AS new
  FROM causaldb.history WHERE operation = 'INSERT';
\c postgres
DROP DATABASE regress_causaldb_utf8;
