# Claim: a stream that has forked is found also after connections were made anew:
# its writer's log says something else of transactions that another node has. The
# other node stalls it, says so, and applies nothing more of it; streams that have
# not forked go on, whoever is connected anew.
use CausaldbTest;

my ($n1, $n2) = new_cluster(2, before => 'CREATE TABLE t (id int PRIMARY KEY, a text)');
$n1->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge($n1, $n2);

my $workers = q(SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = 'causaldb sender');

# A new sender knows nothing but what the log says.
sub restart_sender
{
	my ($node) = @_;
	my $before = $node->run($workers);
	$node->run("SELECT pg_terminate_backend($before)");
	$node->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'causaldb sender' AND pid <> $before", 1);
	return;
}

# ------------------------------------------------------------ nothing has forked
$n1->run("INSERT INTO t VALUES (1, 'one')");
$n1->run("INSERT INTO t SELECT g, repeat('large ', 300) FROM generate_series(10, 200) g");
$n2->run("INSERT INTO t VALUES (2, 'two')");
converge($n1, $n2);
foreach my $round (1 .. 3)
{
	restart_sender($n1);
	restart_sender($n2);
	$n1->run("UPDATE t SET a = 'round $round' WHERE id = 1");
	$n1->run("UPDATE t SET a = a || '$round' WHERE id > 9");
	$n2->run("UPDATE t SET a = 'round $round' WHERE id = 2");
	# links alone, too
	$n2->run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'causaldb sender' AND backend_type = 'client backend'");
	$n1->run("INSERT INTO t VALUES (1000 + $round, 'again')");
	converge($n1, $n2);
}
same_table('t', $n1, $n2);
is($_->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing stalls on ' . $_->name) foreach $n1, $n2;

# the hash is known, and so it is compared
my $own = 'SELECT id FROM causaldb.stream_status() WHERE own';
$n2->wait_sql("SELECT chain <> 0 FROM causaldb.stream s JOIN causaldb.stream_status() t USING (id)
	WHERE s.node = 1 ORDER BY t.applied DESC LIMIT 1");
pass('the chain is known where the stream is applied');

# ------------------------------------------------------------ a fork
$n1->run("INSERT INTO t VALUES (3, 'on this side'), (4, 'of the fork')");
converge($n1, $n2);
# what a node has that lived on from an older copy of itself
$n1->run("DELETE FROM causaldb.log WHERE stream = ($own) AND position = (SELECT max(position) FROM causaldb.log WHERE stream = ($own))");
restart_sender($n1);
$n1->run("INSERT INTO t VALUES (5, 'on the other')");
$n2->wait_sql("SELECT string_agg(node || ' ' || sqlstate, ',') FROM causaldb.stalled", 'n1 XX001');
like($n2->run('SELECT message FROM causaldb.stalled'), qr/stream \d+ of node 1 has forked/, 'the fork is found');
$n2->run("INSERT INTO t VALUES (6, 'of n2')");
$n1->wait_sql('SELECT count(*) FROM t WHERE id = 6', 1);
pass('the other stream goes on');

done_testing();
