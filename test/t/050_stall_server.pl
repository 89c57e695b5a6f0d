# Claim: a server that dies as a whole while it tries a transaction, however
# often, says nothing against that transaction, unlike a process that crashes
# while the server lives on; where crashes end the server, both count.
use CausaldbTest;

my ($n1, $n2) = my @nodes = new_cluster(2, before => 'CREATE TABLE t (id int PRIMARY KEY)');
$n1->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge(@nodes);

# Starts n2 as often as it is lost with this row.
sub lose_with
{
	my ($id, $times) = @_;

	$n2->set_debug_point('apply_row_done:kill_postmaster');
	$n1->run("INSERT INTO t VALUES ($id)");
	foreach (2 .. $times)
	{
		$n2->wait_dead;
		$n2->start;
	}
	$n2->wait_dead;
	$n2->clear_debug_point_offline;
	$n2->start;
	return;
}

# the first try is among others, the next ones are marked
lose_with(1, 5);
$n2->wait_sql('SELECT count(*) FROM t WHERE id = 1', 1);
pass('a transaction with which the server was lost five times is applied');
converge(@nodes);
is($n2->run('SELECT count(*) FROM causaldb.stall'), 0, 'and nothing is said against it');

# no postmaster lives on that could tell
$n2->append_conf('postgresql.conf', 'restart_after_crash = off');
$n2->restart;
$n2->run("SELECT causaldb.wait_until_ready('60 s')");
lose_with(2, 4);
$n2->wait_sql('SELECT crashes FROM causaldb.stalled', 3);
like($n2->run('SELECT message FROM causaldb.stalled'), qr/crashed the applying process 3 times/,
	'where crashes end the server it is given up');
is($n2->run('SELECT count(*) FROM t WHERE id = 2'), 0, 'and not tried any more');

done_testing();
