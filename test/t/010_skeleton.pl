# Claim: what is written on one node is on the others, by every kind of
# statement, in both directions, and a node killed with SIGKILL comes back to
# where the others are.
use CausaldbTest;

my ($a, $b) = new_cluster(2, before => q(
	CREATE TABLE t (id int PRIMARY KEY, a text, b numeric, c timestamptz DEFAULT '2026-01-01', d bytea, e jsonb, f float8, g bool, h uuid, i int[]);
	CREATE TABLE events (at timestamptz, what text);
));
$a->run("SELECT causaldb.set_consistency('t', 'eventual')");
$a->run("SELECT causaldb.set_consistency('events', 'eventual')");
converge($a, $b);

is($_->run("SELECT applied_time <= clock_timestamp() + interval '1 s' FROM causaldb.streams WHERE own"),
	't', 'the clock of ' . $_->name . ' is not ahead') foreach $a, $b;

$a->run("INSERT INTO t (id, a) SELECT g, 'row ' || g FROM generate_series(1, 1000) g");
converge($a, $b);
same_table('t', $a, $b);

$b->run("UPDATE t SET a = upper(a), b = id / 7.0, d = '\\xdeadbeef', e = '{\"k\": [1, null]}', f = 1e-300, g = id % 2 = 0, h = '11111111-2222-3333-4444-555555555555', i = ARRAY[id, NULL] WHERE id % 3 = 0");
$b->run("DELETE FROM t WHERE id % 10 = 0");
$b->run("UPDATE t SET id = id + 100000 WHERE id % 50 = 1");
$b->run("INSERT INTO events VALUES ('2026-01-02', 'something'), ('2026-01-02', 'something')");
converge($a, $b);
same_table('t', $a, $b);
same_table('events', $a, $b);
is($a->run('SELECT count(*) FROM t WHERE id > 100000'), 20, 'changed keys came');

# only after a crash may one of the first transactions be what crashed it
my $marked = "SELECT pg_relation_size('causaldb.stall') > 0";
$b->stop;
$a->run("INSERT INTO t (id, a) VALUES (1999, 'while b was stopped')");
$b->start;
converge($a, $b);
is($b->run($marked), 'f', 'after a clean stop no try is marked');

$b->kill9;
$a->run("INSERT INTO t (id, a) SELECT g, 'while b was down' FROM generate_series(2001, 2100) g");
$b->start;
$b->run("INSERT INTO t (id, a) VALUES (3000, 'after the kill')");
converge($a, $b);
same_table('t', $a, $b);
is($b->run($marked), 't', 'after a kill each is');
is($a->run('SELECT count(*) FROM t WHERE id BETWEEN 2001 AND 3000'), 101, 'both sides of the kill are there');

$a->run('TRUNCATE t');
converge($a, $b);
same_table('t', $a, $b);
is($b->run('SELECT count(*) FROM t'), 0, 'TRUNCATE came');
is($b->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing is stalled');

done_testing();
