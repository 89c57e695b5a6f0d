# Claim: on a hot standby of a node the views are readable, no worker runs,
# writes are refused and nothing crashes; promotion opens a new stream by
# itself. Nor does a worker run in binary upgrade mode.
use CausaldbTest;

my ($n1, $n2) = new_cluster(2, before => 'CREATE TABLE t (id bigint PRIMARY KEY, a text, n int DEFAULT 0)');
$n1->run("SELECT causaldb.set_consistency('t', 'eventual'); SELECT causaldb.set_merge('t', 'n', 'counter');
	INSERT INTO t VALUES (1, 'first')");
$n2->wait_sql('SELECT count(*) FROM t', 1);
$n2->run("INSERT INTO t VALUES (2, 'of n2')");
converge($n1, $n2);

my $workers = "SELECT count(DISTINCT backend_type) FROM pg_stat_activity WHERE backend_type LIKE 'causaldb%'";
my $at_work = "SELECT count(DISTINCT backend_type) = 3 FROM pg_stat_activity
	WHERE backend_type IN ('causaldb supervisor', 'causaldb apply', 'causaldb sender')";
my @views = split /\n/, $n1->run(
	"SELECT oid::regclass FROM pg_class WHERE relnamespace = 'causaldb'::regnamespace AND relkind = 'v' ORDER BY 1");
cmp_ok(scalar @views, '>', 9, 'views: ' . join(', ', @views));
is($n1->run($at_work), 't', 'a node has its workers');

# ------------------------------------------------------------ a standby
$n1->backup('b');
my $standby = CausaldbNode->new('standby');
$standby->{_services} = {};
$standby->init_from_backup($n1, 'b', has_streaming => 1);
$standby->knows($n2);
$standby->start;
$n1->run("UPDATE t SET a = 'later' WHERE id = 1");
$n1->wait_for_catchup($standby, 'replay');

foreach my $view (@views)
{
	my ($ret, undef, $stderr) = $standby->psql('postgres', "SELECT * FROM $view");
	is($ret, 0, "$view can be read") or diag($stderr);
}
is($standby->run("SELECT string_agg(name, ',' ORDER BY name) FROM causaldb.nodes"), 'n1,n2', 'and says what the primary does');
is($standby->run("SELECT new FROM causaldb.field_history('t', '{\"id\": 1}', 'a') ORDER BY stamp DESC LIMIT 1"), 'later',
	'history too');
is($standby->run($workers), 0, 'no worker runs');

my $mark = sub { PostgreSQL::Test::Utils::slurp_file(glob($standby->data_dir . '/causaldb/*.mark')) };
my $marked = $mark->();
foreach my $sql (
	"INSERT INTO t VALUES (3, 'on a standby')",
	'TRUNCATE t',
	"SELECT causaldb.set_consistency('t', 'eventual', '{a}')",
	"SELECT causaldb.unset_consistency('t')",
	"SELECT causaldb.set_merge('t', 'a', 'last_write')",
	"SELECT causaldb.use_node_ids('t', 'id')",
	'SELECT causaldb.next_id()',
	'SELECT causaldb.token()',
	"SELECT causaldb.wait_for('c1:')",
	'SELECT causaldb.wait_until_ready()',
	"SELECT causaldb.create_cluster('n9', 'dbname=postgres')",
	"SELECT causaldb.alter_node('n2', 'dbname=postgres')",
	"SELECT causaldb.counter_set('t', '{\"id\": 1}', 'n', 1)",
	'SELECT causaldb.retry(1, 1)',
	"SELECT causaldb.hello('x')")
{
	my (undef, undef, $stderr) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	my ($state) = $stderr =~ /ERROR:\s+(\w{5}):/;
	ok(defined $state, "refused: $sql") or diag($stderr);
	note($stderr =~ /(ERROR: .*)/);
}
sql_error($standby, "UPDATE t SET a = '' WHERE id = 1", '25006', 'PostgreSQL itself refuses a write');
like(sql_error($standby, 'SELECT causaldb.token()', '25006', 'and we what needs a node'),
	qr/HINT:  Connect to the primary/, 'with a hint');
is($mark->(), $marked, 'the clock has reserved nothing');
is($standby->run('SELECT trust IS NULL AND refused IS NULL FROM causaldb.clock'), 't', 'no node has a clock here');
unlike(PostgreSQL::Test::Utils::slurp_file($standby->logfile), qr/TRAP|PANIC|terminated by signal/, 'nothing has crashed');

# ------------------------------------------------------------ promotion
$standby->stop;
$n1->run("INSERT INTO t VALUES (6, 'never streamed')");
converge($n1, $n2);
$n1->stop('immediate');
$standby->start;
$n2->run("INSERT INTO t VALUES (4, 'meanwhile')");
# clients and peers find the promoted server under the old name
$_->knows($n1, $standby->host, $standby->port) foreach $standby, $n2;
$standby->promote;
$standby->run("SELECT causaldb.wait_until_ready('60 s')");
is($standby->run($at_work), 't', 'promoted, its workers start');
$standby->run("INSERT INTO t VALUES (5, 'promoted')");
converge($standby, $n2);
same_table('t', $standby, $n2);
is($n2->run('SELECT count(*) FROM t'), 5, 'writes go both ways, and what the standby lacked comes back');
is($standby->run('SELECT a FROM t WHERE id = 6'), 'never streamed', 'from the other node');
is($n2->run("SELECT count(DISTINCT boot) FROM causaldb.streams WHERE node = 'n1'"), 2, 'in a new stream');
is($standby->run("SELECT count(*) FROM causaldb.stalled"), 0, 'nothing is stalled');

# ------------------------------------------------------------ binary upgrade
$standby->stop;
my @start = ('pg_ctl', '-w', '-D', $standby->data_dir, '-l', $standby->logfile, '-o', '-b', 'start');
PostgreSQL::Test::Utils::system_or_bail(@start);
is($standby->run($workers), 0, 'in binary upgrade mode no worker runs');
is($standby->run("SELECT count(*) FROM causaldb.nodes"), 2, 'and views are readable');
PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-D', $standby->data_dir, 'stop');
$standby->start;
$standby->run("SELECT causaldb.wait_until_ready('60 s')");
is($standby->run($at_work), 't', 'afterwards they run again');

done_testing();
