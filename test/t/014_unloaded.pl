# Claim: on a server that does not preload the library, one node works: tags,
# history in the order of its commits, and ids. Every cluster call says what to
# put where, and does it. What was written meanwhile is history only. A node
# whose server lost its preload takes no writes until it is back.
use CausaldbTest;

my ($n1, $n2) = new_cluster(2, cluster => 0, before => 'CREATE TABLE t (id bigint PRIMARY KEY, a text)');

sub preload
{
	my ($on) = @_;
	$n1->append_conf('postgresql.auto.conf', "shared_preload_libraries = '" . ($on ? 'causaldb' : '') . "'");
	$n1->restart;
	return;
}

preload(0);
$n1->run("SELECT causaldb.set_consistency('t', 'eventual');
	SELECT causaldb.use_node_ids('t', 'id')");

# ------------------------------------------------------------ one node
my @clients = map { my $who = $_; record_client($n1, limit => 40, sql => sub { "INSERT INTO t (a) VALUES ('$who')" }) } 1 .. 3;
$_->finish foreach @clients;
is(join(' ', map { $_->failed } @clients), '', 'three clients write at once');
is($n1->run('SELECT count(*), count(DISTINCT position), count(DISTINCT stream) FROM causaldb.log WHERE stream = 0'),
	$n1->run('SELECT count(*) + 1, count(*) + 1, 1 FROM t'), 'every transaction has its place in the history');
is($n1->run("SELECT count(*) FROM (SELECT position, lag(position) OVER (ORDER BY xid) AS before FROM causaldb.log) p
	WHERE position <= before - 65536 * 60000::bigint"), 0, 'near the time at which it was');

# who waits for another's commit comes after it
my $first = $n1->session;
$first->query_safe("BEGIN; UPDATE t SET a = 'one' WHERE id = (SELECT min(id) FROM t)");
my $second = $n1->session;
$second->query_until(qr/go/, "\\echo go\nUPDATE t SET a = 'two' WHERE id = (SELECT min(id) FROM t);\n");
$n1->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 1);
$first->query_safe('COMMIT');
$second->query_safe('SELECT 1');
$_->quit foreach $first, $second;
is($n1->run("SELECT string_agg(h.new, ',' ORDER BY stamp) FROM
	causaldb.field_history('t', (SELECT jsonb_build_object('id', min(id)) FROM t), 'a') h WHERE h.operation = 'UPDATE'"), 'one,two',
	'who waited for a commit is stamped after it');

# ------------------------------------------------------------ ids
is($n1->run('WITH i AS MATERIALIZED (SELECT g, causaldb.next_id() AS id FROM generate_series(1, 20000) g)
	SELECT count(DISTINCT id), bool_and(later) FROM (SELECT id, id > lag(id, 1, 0::bigint) OVER (ORDER BY g) AS later FROM i) q'),
	'20000|t', 'ids are distinct and grow');
my $last = $n1->run('SELECT max(causaldb.next_id()) FROM generate_series(1, 20000)');
$n1->append_conf('postgresql.auto.conf', "causaldb.clock_offset = '50s'");
$n1->reload;
$n1->run("LOAD 'causaldb'; INSERT INTO t (id, a) VALUES (3, 'ahead')");
$n1->kill9;
$n1->append_conf('postgresql.auto.conf', "causaldb.clock_offset = '-3600000'");
$n1->start;
cmp_ok($n1->run('SELECT causaldb.next_id()'), '>', $last, 'also after a crash, and with the clock set back');
$n1->run("LOAD 'causaldb'; INSERT INTO t (a) VALUES ('set back')");

# ------------------------------------------------------------ the cluster's calls
my $dsn = $n1->dsn;
foreach my $call (
	"create_cluster('n1', '$dsn')",
	"join_cluster('n1', '$dsn', '" . $n2->dsn . "')",
	"alter_node('n1', '$dsn')",
	'token()', "wait_for('1:')", 'wait_until_ready()', 'closed_position()', 'accept_clock()', "hello('x')", "receive('x')")
{
	like(sql_error($n1, "SELECT causaldb.$call", '55000', "refused: $call"),
		qr/HINT:  (Put|Set) shared_preload_libraries = 'causaldb' (into|in) postgresql\.conf and restart the server/, 'with its hint');
}
my ($hint) = sql_error($n1, 'SELECT causaldb.token()', '55000') =~ /HINT:  \w+ (.*?) in/;
foreach my $view (split /\n/, $n1->run(
	"SELECT oid::regclass FROM pg_class WHERE relnamespace = 'causaldb'::regnamespace AND relkind = 'v' ORDER BY 1"))
{
	my ($ret, undef, $stderr) = $n1->psql('postgres', "SELECT * FROM $view");
	is($ret, 0, "$view can be read") or diag($stderr);
}

# ------------------------------------------------------------ preloaded
my $newest = $n1->run('SELECT max(position) FROM causaldb.log');
$n1->append_conf('postgresql.auto.conf', $hint);
$n1->restart;
cmp_ok($n1->run('SELECT causaldb.next_id()'), '>', $last, 'preloaded, ids go on');
$n1->run("INSERT INTO t (a) VALUES ('preloaded')");
cmp_ok($n1->run('SELECT max(position) FROM causaldb.log'), '>', $newest, 'and so do stamps');
$n1->append_conf('postgresql.auto.conf', 'causaldb.clock_offset = 0');
$n1->restart;
$n1->create_cluster;
$n2->join_cluster($n1, 'data');
$_->run("SELECT causaldb.wait_until_ready('60 s')") foreach $n1, $n2;
$n1->run("INSERT INTO t (a) VALUES ('of a node')");
converge($n1, $n2);
same_table('t', $n1, $n2);
is($n2->run("SELECT count(*) FROM causaldb.log l JOIN causaldb.stream s ON s.id = l.stream WHERE s.node = 1 AND position <= $newest"), 0,
	'what was written before there was a cluster is not in the stream');

# ------------------------------------------------------------ a node that lost it
preload(0);
like(sql_error($n1, "INSERT INTO t (a) VALUES ('never')", '55000', 'a node without preload takes no writes'),
	qr/DETAIL:  The database is a node.*HINT:  Put shared_preload_libraries/s, 'and says why');
sql_error($n1, 'SELECT causaldb.next_id()', '55000', 'and gives no ids');
is($n1->run('SELECT count(*) FROM causaldb.nodes'), 2, 'its views are readable');
$n2->run("INSERT INTO t (id, a) VALUES (1, 'meanwhile')");
preload(1);
$n1->run("SELECT causaldb.wait_until_ready('60 s'); INSERT INTO t (id, a) VALUES (2, 'back')");
converge($n1, $n2);
same_table('t', $n1, $n2);

done_testing();
