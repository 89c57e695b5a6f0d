# Claim: an eventual UPDATE of a row that is deleted strongly at the same time is
# discarded on every node, under every row policy and in whatever order the two
# arrive, stands in causaldb.conflicts there, and is in nobody's way who takes
# the freed unique value. Of a row that is inserted again meanwhile it counts on
# every node or on none, also where it is being applied just then, or is
# everywhere before the log brings the insert; with the second look at dead rows
# taken out, or the horizon, that is seen to fail.
use CausaldbTest;

my @policies = qw(update_wins delete_wins last_write);
my @nodes = new_cluster(3, before => join '', map {
	"CREATE TABLE $_ (id int PRIMARY KEY, seat int UNIQUE, e text, n int);\n"
} @policies);
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
foreach my $table (@policies)
{
	$a->run("SELECT causaldb.set_consistency('$table', 'strong', '{seat}');
		SELECT causaldb.set_consistency('$table', 'eventual', '{e, n}');
		SELECT causaldb.set_merge('$table', 'n', 'counter');
		SELECT causaldb.set_row_policy('$table', '$table')");
}
converge(@nodes);
$a->run(join ';', map { "INSERT INTO $_ SELECT g, g, 'e', 0 FROM generate_series(1, 9) g" } @policies);
converge(@nodes);

# What the node has, whatever the log will bring.
sub has
{
	my ($node, $sql) = @_;
	return $node->run("SET causaldb.strong_reads = off; $sql");
}

sub wait_has
{
	my ($node, $sql, $wanted) = @_;
	return $node->wait_sql("SET causaldb.strong_reads = off; $sql", $wanted);
}

# ------------------------------------------------------------ discarded
# n2 has not seen the delete when it writes, so it has the update first; the
# others have the delete first
$b->set_debug_point('strong_play_before:hang');
$a->run(join ';', map { "DELETE FROM $_ WHERE id = 1" } @policies);
$c->run(join ';', map { "INSERT INTO $_ VALUES (100, 1, 'taken', 0)" } @policies);
$b->run(join ';', map { "UPDATE $_ SET e = 'late', n = n + 5 WHERE id = 1" } @policies);
$b->clear_debug_point;
converge(@nodes);
foreach my $table (@policies)
{
	same_table($table, @nodes);
	is($a->run("SELECT string_agg(id || ' ' || e || ' ' || n, ', ') FROM $table WHERE id = 1 OR seat = 1"), '100 taken 0',
		"$table: the update does not revive it, the value is another's");
	foreach my $node (@nodes)
	{
		is($node->run("SELECT count(*) || ' ' || max(lost_node) FROM causaldb.conflicts
				WHERE relation = 'public.$table' AND key = '{\"id\": 1}' AND rule = 'strong' AND lost_value LIKE '%late%'"),
			'1 n2', "$table: the discarded one is in conflicts on " . $node->name);
	}
}

# ------------------------------------------------------------ inserted again
# n2's player is held, so its update has not seen that the row was deleted and
# is inserted again. Where the row is dead the update is applied, and held at
# $point with nothing to hold on to; then comes the insert, which has not seen
# it. On n1 as a transaction of a client, on n3 from the log.
sub meet
{
	my ($id, $point, @where) = @_;
	my $sees = grep { $_ == $a } @where;

	$b->set_debug_point('strong_play_before:hang');
	$a->run("DELETE FROM update_wins WHERE id = $id");
	wait_has($c, "SELECT count(*) FROM update_wins WHERE id = $id", 0);
	$a->run("SELECT causaldb.pause_peer('n2')") unless $sees;
	my @from = map { -s $_->logfile } @where;
	$_->set_debug_point("$point:hang") foreach @where;
	is($b->run("UPDATE update_wins SET n = n + 5 WHERE id = $id RETURNING n"), 5, "row $id is still there on n2");
	$where[$_]->wait_for_log(qr/holds at debug point "$point"/, $from[$_]) foreach 0 .. $#where;
	$a->run("INSERT INTO update_wins VALUES ($id, $id, 'again', 10)");
	my $index = $a->run("SELECT commit_index FROM causaldb.strong_status WHERE node = 'n1'");
	$c->wait_sql("SELECT commit_index >= $index FROM causaldb.strong_status WHERE node = 'n3'");
	return $sees;
}

sub part
{
	my ($id, $sees, @where) = @_;

	$b->clear_debug_point;
	wait_has($b, "SELECT e FROM update_wins WHERE id = $id", 'again');
	$_->clear_debug_point foreach @where;
	$a->run("SELECT causaldb.resume_peer('n2')") unless $sees;
	converge(@nodes);
	return;
}

# every node's count
sub counts
{
	my ($id) = @_;
	return join ' ', map { $_->run("SELECT n FROM update_wins WHERE id = $id") } @nodes;
}

my $sees = meet(2, 'apply_before_started', $a, $c);
wait_has($c, 'SELECT n FROM update_wins WHERE id = 2', 10);
part(2, $sees, $a, $c);
is(counts(2), '15 15 15', 'an update that is looked up before the insert and committed after it counts everywhere');

$sees = meet(3, 'apply_before_commit', $c);
part(3, $sees, $c);
is(counts(3), '15 15 15', 'one that is about to commit when the log brings the insert does, too');

# The same once more, but n2 gets the delete and the insert when all have the
# update and it knows that: still its insert has not seen it.
sub late
{
	my ($id) = @_;

	$sees = meet($id, 'apply_before_started', $a, $c);
	wait_has($c, "SELECT n FROM update_wins WHERE id = $id", 10);
	$_->clear_debug_point foreach $a, $c;
	my $at = $b->run('SELECT max(l.position) FROM causaldb.log l JOIN causaldb.stream s ON s.id = l.stream WHERE s.node = 2');
	$b->wait_sql("SELECT everywhere >= $at FROM causaldb.streams WHERE own", 't');
	part($id, $sees);
	return counts($id);
}

is(late(6), '15 15 15', 'and one that all nodes have long since when the log brings the insert');
same_table($_, @nodes) foreach @policies;
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

# ------------------------------------------------------------ without them
$b->set_break('no_horizon');
is(late(7), '15 10 15', 'broken: what all nodes have is taken for seen by the log');
$b->set_break('');
$_->set_break('no_second_look') foreach $a, $c;
$sees = meet(4, 'apply_before_started', $a, $c);
wait_has($c, 'SELECT n FROM update_wins WHERE id = 4', 10);
part(4, $sees, $a, $c);
is(counts(4), '10 15 10', 'broken: without the second look it counts on one of them only');
$sees = meet(5, 'apply_before_commit', $c);
wait_has($c, 'SELECT n FROM update_wins WHERE id = 5', 10);
part(5, $sees, $c);
is(counts(5), '15 15 10', 'broken: here as well');

done_testing();
