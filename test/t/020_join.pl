# Claim: a join that is killed at any step is finished by calling it again,
# with the node id it had been given and nothing copied twice; and a node can
# join while the others go on writing, by way of any of them.
use CausaldbTest;

my ($a, $b, $c) = new_cluster(3, cluster => 0);

$a->run(q(
	CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, note text);
	CREATE TABLE event (at timestamptz DEFAULT clock_timestamp(), what text);
	CREATE TABLE elsewhere (id serial PRIMARY KEY, v text);
	INSERT INTO elsewhere (v) SELECT repeat('x', g) FROM generate_series(1, 20) g;
	INSERT INTO account SELECT g, 100, 'old' FROM generate_series(1, 20000) g;));
$a->create_cluster;
$a->run("SELECT causaldb.wait_until_ready()");
$a->run("SELECT causaldb.set_consistency('account', 'eventual')");
$a->run("SELECT causaldb.set_consistency('event', 'eventual')");
$a->run("SELECT causaldb.set_merge('account', 'balance', 'counter')");

# Calls join_cluster, which is expected to be killed; starts the server again.
sub killed_join
{
	my ($node, $via, $copy, $point) = @_;
	my $join = sprintf("SELECT causaldb.join_cluster('%s', '%s', '%s', '%s')",
		$node->name, $node->dsn, $via->dsn, $copy);

	$node->set_debug_point($point);
	my ($ret) = $node->psql('postgres', $join, on_error_stop => 1);
	isnt($ret, 0, $node->name . " is killed: $point");
	if ($point =~ /postmaster/)
	{
		$node->wait_dead;
		$node->clear_debug_point_offline;
		$node->start;
	}
	else
	{
		# a killed backend makes the server restart itself
		wait_until('the server is back',
			sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
		$node->clear_debug_point;
	}
	is($node->run('SELECT count(*) FROM causaldb.local_node'), 0, 'it is no node yet');
	is($node->run("SELECT count(*) FROM pg_class WHERE relname = 'account'"),
		$copy eq 'all' ? 0 : 1, 'and nothing of the copy stayed');
	return;
}

killed_join($b, $a, 'all', 'join_admitted:kill');
killed_join($b, $a, 'all', 'join_admitted:kill_postmaster');
killed_join($b, $a, 'all', 'join_copied:kill');
killed_join($b, $a, 'all', 'join_copied:kill_postmaster');

# writers on a do not stop for any of the joins
my $writer = record_client($a,
	sql => sub { my $i = shift;
		return "INSERT INTO event (what) VALUES ('a $i');
				UPDATE account SET balance = balance + 1, note = 'a $i' WHERE id = 1 + $i % 100" });
$writer->wait_acked(50);
$b->join_cluster($a, 'all');
$b->run('SELECT causaldb.wait_until_ready()');
is($b->run("SELECT string_agg(id || ' ' || name || ' ' || state, ', ' ORDER BY id) FROM causaldb.nodes"),
	'1 n1 ready, 2 n2 ready', 'the id is the one it was given first');
is($b->run("INSERT INTO elsewhere (v) VALUES ('y') RETURNING id"), 21, 'sequences go on');

my $second = record_client($b,
	sql => sub { my $i = shift;
		return "INSERT INTO event (what) VALUES ('b $i');
				UPDATE account SET balance = balance - 1 WHERE id = 1 + $i % 100" });
$second->wait_acked(50);
$c->run(q(
	CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, note text);
	CREATE TABLE event (at timestamptz DEFAULT clock_timestamp(), what text);));
killed_join($c, $b, 'data', 'join_copied:kill');
$c->join_cluster($b, 'data');
$c->run('SELECT causaldb.wait_until_ready()');
$c->run("INSERT INTO event (what) VALUES ('c')");
$_->stop foreach ($writer, $second);
my @acked = map { scalar(my @all = $_->acked) } ($writer, $second);

converge($a, $b, $c);
same_table($_, $a, $b, $c) foreach qw(account event);
foreach my $i (0, 1)
{
	my $who = ('a', 'b')[$i];
	is($c->run("SELECT count(*) || ' ' || count(DISTINCT what) FROM event WHERE what LIKE '$who %'"),
		"$acked[$i] $acked[$i]", "every acknowledged event of $who is there, once");
}
is($c->run('SELECT sum(balance) FROM account'), 20000 * 100 + $acked[0] - $acked[1],
	'and every addition is in the balances, once');
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name)
  foreach ($a, $b, $c);

# the coordinator's word is needed for tags, and said to be missing
$a->kill9;
my $said = sql_error($c, "SELECT causaldb.set_row_policy('account', 'delete_wins')", '57P03',
	'no tag without the node that orders them');
like($said, qr/HINT:  Nothing was changed\. Bring that node back/, 'which the hint tells');
$c->run('UPDATE account SET balance = 0 WHERE id = 20000');
$a->start;
$c->run('SELECT causaldb.wait_until_ready()');
$c->run("SELECT causaldb.set_row_policy('account', 'delete_wins')");
converge($a, $b, $c);
is($_->run("SELECT DISTINCT row_policy FROM causaldb.tags WHERE relation = 'account'::regclass"),
	'delete_wins', 'the tag is on ' . $_->name)
  foreach ($a, $b, $c);
same_table('account', $a, $b, $c);

done_testing();
