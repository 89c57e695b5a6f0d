# Claim: stock TPC-B of pgbench on all three nodes at once, its balances as
# counters and its history append-only, while one node is killed with SIGKILL
# and comes back: the tables end identical and the sums agree.
use CausaldbTest;
use IPC::Run;
use Time::HiRes qw(time);

my $scale = $ENV{CAUSALDB_PGBENCH_SCALE} // 1;
my $seconds = $ENV{CAUSALDB_PGBENCH_SECONDS} // 8;
my ($a, @others) = new_cluster(3, cluster => 0, conf => { max_connections => 100 });
my @nodes = ($a, @others);

$a->create_cluster;
$a->run("SELECT causaldb.wait_until_ready('30 s')");
$a->command_ok([ 'pgbench', '-i', '-q', '-s', $scale, 'postgres' ], 'pgbench -i');
$a->run(q(
	SELECT causaldb.set_consistency(t, 'eventual') FROM unnest('{pgbench_accounts,pgbench_tellers,pgbench_branches,pgbench_history}'::regclass[]) t;
	SELECT causaldb.set_merge('pgbench_accounts', 'abalance', 'counter');
	SELECT causaldb.set_merge('pgbench_tellers', 'tbalance', 'counter');
	SELECT causaldb.set_merge('pgbench_branches', 'bbalance', 'counter')));
$_->join_cluster($a, 'all') foreach @others;
$_->run("SELECT causaldb.wait_until_ready('60 s')") foreach @nodes;

my @runs = map {
	my $node = $_;
	my ($in, $out) = ('', '');
	my $h = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 4, '-T', $seconds, '-h', $node->host, '-p', $node->port, '-U', 'postgres', 'postgres' ],
		\$in, \$out, '2>&1');
	{ node => $node, handle => $h, out => \$out };
} @nodes;

wait_until('every node has work',
	sub { !grep { $_->run('SELECT count(*) FROM pgbench_history') < 100 } @nodes });
$others[0]->kill9;
$others[0]->start;
foreach my $run (@runs)
{
	IPC::Run::finish($run->{handle});
	note($run->{node}->name . ': ' . ${ $run->{out} });
}
my $began = time;
converge(@nodes);
note(sprintf('converged %.1f s after the last client', time - $began));
same_table($_, @nodes) foreach qw(pgbench_accounts pgbench_tellers pgbench_branches pgbench_history);
foreach my $node (@nodes)
{
	is($node->run(q(SELECT count(DISTINCT s) FROM (
		SELECT sum(abalance) s FROM pgbench_accounts UNION ALL SELECT sum(bbalance) FROM pgbench_branches
		UNION ALL SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(delta) FROM pgbench_history) x)),
		1, 'the sums agree on ' . $node->name);
	is($node->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing is stalled on ' . $node->name);
}
cmp_ok($a->run('SELECT count(*) FROM pgbench_history'), '>', 500, 'a real amount of work');
is($a->run('SELECT count(DISTINCT node) FROM causaldb.stream WHERE node > 0'), 3, 'all nodes wrote');
done_testing();
