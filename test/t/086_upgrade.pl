# Claim: a node that goes through pg_upgrade stays the same node: what it had is
# there, what its clients write is captured again, partitions included, and goes
# both ways in a new stream. A dump of it that is restored elsewhere is no node.
use CausaldbTest;

my ($a, $b) = new_cluster(2, before => q(
	CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0);
	CREATE TABLE p (id int, g int, v text, PRIMARY KEY (id, g)) PARTITION BY LIST (g);
	CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
	CREATE TABLE s (id int PRIMARY KEY, v text);
));
$a->wait_sql("SELECT count(*) = 2 FROM causaldb.strong_status WHERE membership = 'voter'");
$a->run("SELECT causaldb.set_consistency(x, 'eventual') FROM unnest('{t,p}'::regclass[]) x");
$a->run("SELECT causaldb.set_merge('t', 'n', 'counter')");
$a->run("SELECT causaldb.set_consistency('s', 'strong')");
$a->run("INSERT INTO t VALUES (1, 'before'); INSERT INTO p VALUES (1, 1, 'before'); INSERT INTO s VALUES (1, 'before')");
converge($a, $b);
my $tags = $b->run('SELECT * FROM causaldb.tags ORDER BY 1, 2');

# ------------------------------------------------------------ a dump
my $dump = $b->basedir . '/dump.sql';
$b->run('CREATE DATABASE restored');
PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-h', $b->host, '-p', $b->port, '-U', 'postgres', '-f', $dump, 'postgres');
PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-h', $b->host, '-p', $b->port, '-U', 'postgres',
	'-f', $dump, 'restored');
my $in_copy = sub { return $b->safe_psql('restored', $_[0]) };
is($in_copy->('SELECT count(*) FROM causaldb.local_node') . $in_copy->('SELECT count(*) FROM causaldb.tags'), '00',
	'a dump that was restored is no node and has no tags');
is($in_copy->("INSERT INTO t VALUES (2, 'in the copy'); SELECT count(*) FROM t"), 2, 'but the rows');
$b->run('DROP DATABASE restored');

# ------------------------------------------------------------ pg_upgrade
my $new = $b->data_dir . '.new';
my $bin = "$ENV{CAUSALDB_WORK}/pg/bin";

$b->stop;
PostgreSQL::Test::Utils::system_or_bail('initdb', '-D', $new, '-U', 'postgres', '-A', 'trust', '--no-sync', '--encoding=UTF8',
	'--locale=C.UTF-8');
PostgreSQL::Test::Utils::system_or_bail('cp', $b->data_dir . "/$_", "$new/$_") foreach qw(postgresql.conf postgresql.auto.conf);
chdir $b->basedir or die $!;
PostgreSQL::Test::Utils::system_or_bail("$bin/pg_upgrade", '-b', $bin, '-B', $bin, '-d', $b->data_dir, '-D', $new,
	'-U', 'postgres', '-p', $b->port, '-P', $b->port, '-s', $b->host);
rename $b->data_dir, $b->data_dir . '.old' or die $!;
rename $new, $b->data_dir or die $!;
$a->run("INSERT INTO t VALUES (3, 'meanwhile')");
$b->start;
$b->run("SELECT causaldb.wait_until_ready('60 s')");

is($b->run('SELECT * FROM causaldb.tags ORDER BY 1, 2'), $tags, 'the tags are what they were');
is($b->run("SELECT new FROM causaldb.field_history('t', '{\"id\": 1}', 'v')"), 'before',
	'and so is history');
$b->run("INSERT INTO t VALUES (4, 'after'); UPDATE t SET n = n + 1 WHERE id = 1;
	INSERT INTO p VALUES (2, 1, 'after'); INSERT INTO p1 VALUES (3, 1, 'by its own name')");
$b->wait_sql('SELECT causaldb.leader() IS NOT NULL');
$b->run("INSERT INTO s VALUES (2, 'after')");
$a->run("UPDATE t SET n = n + 1 WHERE id = 1");
converge($a, $b);
same_table($_, $a, $b) foreach qw(t p s);
is($a->run("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t") . '/' . $a->run('SELECT n FROM t WHERE id = 1') . '/'
	  . $a->run("SELECT string_agg(id::text, ' ' ORDER BY id) FROM p") . '/' . $a->run('SELECT count(*) FROM s'),
	'1 3 4/2/1 2 3/2', 'what was written before, meanwhile and afterwards is everywhere');
is($a->run("SELECT count(DISTINCT boot) FROM causaldb.streams WHERE node = 'n2'"), 2, 'in a new stream of the same node');
$b->run('TRUNCATE t');
converge($a, $b);
is($a->run('SELECT count(*) FROM t'), 0, 'TRUNCATE is captured, too');
is($a->run('SELECT count(*) FROM causaldb.stalled') + $b->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled');
PostgreSQL::Test::Utils::system_or_bail('rm', '-rf', $b->data_dir . '.old');

done_testing();
