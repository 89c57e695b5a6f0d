# Claim: a stream that has forked is found also where its writer does not reach
# the node that has the other side of it: a relay passes the writer's hash on,
# and its acknowledgements, too.
use CausaldbTest;

my ($n1, $n2, $n3) = my @nodes = new_cluster(3, links => 1, conf => { 'causaldb.relay_delay' => '50ms' },
	before => 'CREATE TABLE t (id int PRIMARY KEY, a text)');
$n1->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge(@nodes);

# ------------------------------------------------------------ nothing has forked
link_between($n1, $n3)->cut;
foreach my $round (1 .. 3)
{
	$n1->run("INSERT INTO t VALUES ($round, 'one'), ($round + 100, 'more')");
	$n1->run("INSERT INTO t SELECT 1000 * $round + g, repeat('large ', 300) FROM generate_series(1, 50) g");
	$n3->run("INSERT INTO t VALUES (10 + $round, 'three')");
	converge(@nodes);
}
same_table('t', @nodes);
is($_->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing stalls on ' . $_->name) foreach @nodes;
my $written = $n1->run("SELECT max(position) FROM causaldb.history WHERE node = 'n1'");
$_->wait_sql("SELECT bool_or(stable >= $written) FROM causaldb.streams WHERE node = 'n1'") foreach @nodes;
pass('what is relayed becomes stable on both sides of it');
my $own = 'SELECT id FROM causaldb.stream_status() WHERE own';
$n3->wait_sql("SELECT bool_or(chain <> 0 AND closed >= $written AND closed_chain <> 0) FROM causaldb.stream WHERE node = 1");
pass("the writer's hash is known behind the relay");

# n1 acknowledges what is older than its own last write, and then nobody writes
link_between($n2, $n3)->hold($n3 => $n2);
$n3->run("INSERT INTO t VALUES (20, 'older')");
my $older = $n3->run("SELECT max(position) FROM causaldb.history WHERE node = 'n3'");
$n1->run("INSERT INTO t VALUES (21, 'newer')");
$n2->wait_sql('SELECT count(*) FROM t WHERE id = 21', 1);
link_between($n2, $n3)->pass($n3 => $n2);
$_->wait_sql("SELECT bool_or(stable >= $older) FROM causaldb.streams WHERE node = 'n3'") foreach @nodes;
pass('an acknowledgement comes through although its writer writes nothing more');
link_between($n1, $n3)->resume;

# ------------------------------------------------------------ a fork
# n3 gets what n2 does not, and then n1 lives on as if it had not written that
my $last = "stream = ($own) AND position = (SELECT max(position) FROM causaldb.log WHERE stream = ($own))";
my $workers = q(SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = 'causaldb sender');
converge(@nodes);
$_->set_conf('causaldb.relay_delay', '1h') foreach $n2, $n3;
link_between($n1, $n2)->cut;
$n1->run("INSERT INTO t VALUES (4, 'on this side')");
$n3->wait_sql('SELECT count(*) FROM t WHERE id = 4', 1);
link_between($n1, $n3)->cut;
$n1->run("DELETE FROM causaldb.log WHERE $last");
my $before = $n1->run($workers);
$n1->run("SELECT pg_terminate_backend($before)");
$n1->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'causaldb sender' AND pid <> $before", 1);
$n1->run("INSERT INTO t VALUES (5, 'on the other')");
link_between($n1, $n2)->resume;
$n2->wait_sql('SELECT count(*) FROM t WHERE id = 5', 1);
is($n2->run('SELECT count(*) FROM t WHERE id = 4'), 0, 'n2 has the other side');
$n2->set_conf('causaldb.relay_delay', '50ms');
$n3->wait_sql("SELECT string_agg(node || ' ' || sqlstate, ',') FROM causaldb.stalled", 'n1 XX001');
like($n3->run('SELECT message FROM causaldb.stalled'), qr/stream \d+ of node 1 has forked/, 'the fork is found behind the relay');

done_testing();
