# Claim: whatever statement writes rows, and whatever PostgreSQL writes for it
# (cascades, triggers, rules of row security), the other node has them.
use CausaldbTest;

my ($a, $b) = new_cluster(2, before => q(
	CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0);
	CREATE TABLE region (code text PRIMARY KEY);
	CREATE TABLE customer (id int PRIMARY KEY, region text REFERENCES region ON UPDATE CASCADE ON DELETE SET NULL);
	CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customer ON DELETE CASCADE);
	CREATE TABLE line (id int, part int, orders int DEFAULT 0 REFERENCES orders ON DELETE SET DEFAULT, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
	CREATE TABLE line_1 PARTITION OF line FOR VALUES IN (1);
	CREATE TABLE line_2 PARTITION OF line FOR VALUES IN (2);
	CREATE TABLE secret (id int PRIMARY KEY, who text, v text);
	CREATE TABLE checked (id int PRIMARY KEY, v int);
	CREATE TABLE seen (node text, id int);
	CREATE ROLE reader;
	CREATE ROLE owner;
	GRANT ALL ON secret TO reader;
	ALTER TABLE secret OWNER TO owner;
	ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY own ON secret USING (who = CURRENT_USER::text);
	CREATE FUNCTION even() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF (SELECT sum(v) % 2 FROM checked) <> 0 THEN RAISE 'odd'; END IF; RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER sum_is_even AFTER INSERT OR UPDATE ON checked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION even();
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN INSERT INTO public.seen VALUES (TG_NAME, NEW.id); RETURN NULL; END $$;
	CREATE TRIGGER here AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION see();
	CREATE TRIGGER always AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION see();
	CREATE TRIGGER replica AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION see();
	ALTER TABLE t ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica;
));
my @tables = qw(t region customer orders line secret checked);
$a->run("SELECT causaldb.set_consistency('$_', 'eventual')") foreach @tables;
converge($a, $b);

# Runs SQL here; both then have the rows that are wanted, and nothing stalls.
sub writes
{
	my ($node, $sql, $query, $want, $name) = @_;

	$node->run($sql);
	converge($a, $b);
	is($_->run($query), $want, "$name, on " . $_->name) foreach $a, $b;
	is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, "$name: nothing is stalled on " . $_->name) foreach $a, $b;
	return;
}
my $t = q(SELECT string_agg(id || v || n, ' ' ORDER BY id) FROM t);

writes($a, q(INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')), $t, '1a0 2b0 3c0', 'INSERT');
writes($b, q(MERGE INTO t USING (VALUES (1, 'A'), (3, NULL), (4, 'd')) s (id, v) ON t.id = s.id
	WHEN MATCHED AND s.v IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET v = s.v, n = t.n + 1
	WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)), $t, '1A1 2b0 4d0', 'MERGE');
writes($a, q(INSERT INTO t VALUES (1, 'x'), (5, 'e') ON CONFLICT (id) DO UPDATE SET v = t.v || EXCLUDED.v WHERE t.id = 1), $t,
	'1Ax1 2b0 4d0 5e0', 'ON CONFLICT DO UPDATE');
writes($b, q(INSERT INTO t VALUES (1, 'y'), (6, 'f') ON CONFLICT DO NOTHING), $t, '1Ax1 2b0 4d0 5e0 6f0', 'ON CONFLICT DO NOTHING');
writes($a, q(WITH gone AS (DELETE FROM t WHERE id > 4 RETURNING *), changed AS (UPDATE t SET n = n + 10 WHERE id < 3 RETURNING *)
	INSERT INTO t SELECT id + 10, v || (SELECT count(*) FROM changed) FROM gone), $t, '1Ax11 2b10 4d0 15e20 16f20', 'writable CTEs');
writes($b, q(BEGIN; DECLARE c CURSOR FOR SELECT * FROM t ORDER BY id FOR UPDATE; MOVE 2 IN c; UPDATE t SET v = 'cur' WHERE CURRENT OF c;
	FETCH c; DELETE FROM t WHERE CURRENT OF c; COMMIT), $t, '1Ax11 2cur10 15e20 16f20', 'WHERE CURRENT OF');
writes($a, q(UPDATE t SET id = -id WHERE id > 10), $t, '-16f20 -15e20 1Ax11 2cur10', 'a change of the key');

# cascades are writes of their own, whatever the tables are
writes($a, q(INSERT INTO region VALUES ('n'), ('s'); INSERT INTO customer VALUES (1, 'n'), (2, 's'); INSERT INTO orders VALUES (0, 1), (1, 1), (2, 2), (3, 2);
	INSERT INTO line VALUES (1, 1, 2), (2, 2, 2), (3, 2, 3)),
	'SELECT count(*) FROM line', 3, 'rows that refer to others');
writes($b, q(UPDATE region SET code = 'north' WHERE code = 'n'), q(SELECT region FROM customer WHERE id = 1), 'north', 'ON UPDATE CASCADE');
writes($a, q(DELETE FROM region WHERE code = 's'), q(SELECT region IS NULL FROM customer WHERE id = 2), 't', 'ON DELETE SET NULL');
writes($b, q(DELETE FROM customer WHERE id = 2), q(SELECT (SELECT string_agg(id::text, ' ' ORDER BY id) FROM orders) || ':' || (SELECT string_agg(DISTINCT orders::text, ' ') FROM line)),
	'0 1:0', 'ON DELETE CASCADE, then SET DEFAULT');

# row security decides here, and nothing of it elsewhere
writes($a, q(SET ROLE reader; INSERT INTO secret VALUES (1, 'reader', 'mine'); RESET ROLE; INSERT INTO secret VALUES (2, 'nobody', 'not mine');
	SET ROLE reader; UPDATE secret SET v = 'changed'; DELETE FROM secret WHERE id = 2),
	q(SELECT string_agg(id || v, ' ' ORDER BY id) FROM secret), '1changed 2not mine', 'row security');

# a deferred trigger is asked at the commit, once
writes($a, q(BEGIN; INSERT INTO checked VALUES (1, 1); INSERT INTO checked VALUES (2, 3); COMMIT), q(SELECT sum(v) FROM checked), 4, 'a deferred trigger');
like(sql_error($b, 'INSERT INTO checked VALUES (3, 1)', 'P0001'), qr/odd/, 'which says no');
writes($b, 'SELECT', q(SELECT count(*) FROM checked), 2, 'and nothing comes of it');

# triggers that fire where a write arrives
my $seen = q(SELECT string_agg(node, ' ' ORDER BY node) FROM seen WHERE id = 50);
$a->run(q(INSERT INTO t VALUES (50, 'x')));
converge($a, $b);
is($a->run($seen), 'always here', 'triggers of the origin');
is($b->run($seen), 'always replica', 'triggers of the other');
same_table($_, $a, $b) foreach @tables;

done_testing();
