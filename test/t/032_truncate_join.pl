# Claim: a node that joins merges against a TRUNCATE as the others do, also
# where the TRUNCATE is stable by then and what it undoes is not.
use CausaldbTest;

my %conf = (conf => { 'causaldb.relay_delay' => '1h' });
my $table = 'CREATE TABLE t (id int PRIMARY KEY, a text, n int)';
my @nodes = new_cluster(3, links => 1, %conf, before => $table);
my ($n1, $n2, $n3) = @nodes;
my $n4 = new_node('n4', %conf);

sub mute { my ($from, $to) = @_; return link_between($from, $to)->mute($from); }
sub unmute { my ($from, $to) = @_; return link_between($from, $to)->unmute($from); }

# The last that the node has written.
sub position
{
	my ($node) = @_;
	return $node->run("SELECT max(position) FROM causaldb.history WHERE node = '" . $node->name . "'");
}

sub is_stable
{
	my ($node, $position) = @_;
	return $node->wait_sql("SELECT bool_or(stable >= $position) FROM causaldb.streams WHERE node = 'n1'");
}

sub all_have
{
	my ($want, $name) = @_;
	my @rows = map { $_->run('SELECT id, a, n FROM t ORDER BY id') } @nodes;

	return is(join(' / ', @rows), join(' / ', ($want) x @nodes), $name);
}

foreach my $node (@nodes)
{
	$n4->knows($node);
	$node->knows($n4);
}
$n4->run($table);
$n1->run(q(SELECT causaldb.set_consistency('t', 'eventual'); SELECT causaldb.set_merge('t', 'n', 'counter')));
$n1->run(q(INSERT INTO t VALUES (1, 'old', 0)));
converge(@nodes);

# n3 updates what n1 truncates, and n2 does not hear of that
mute($n3, $n2);
mute($n1, $n3);
$n1->run('TRUNCATE t');
$n3->run('UPDATE t SET n = n + 100');
my $truncated = position($n1);
my $updated = position($n3);
$n2->wait_sql('SELECT count(*) = 0 FROM t');
$n1->wait_sql("SELECT count(*) > 0 FROM causaldb.history WHERE position = $updated");
unmute($n1, $n3);
is_stable($n1, $truncated);
mute($n1, $n2);

$n4->join_cluster($n1, 'data');
push @nodes, $n4;
is_stable($n4, $truncated);

# n2 knows neither the update nor n4, which gets by n1 what n2 writes
$n1->set_conf('causaldb.relay_delay', '50ms');
$n2->run(q(INSERT INTO t VALUES (1, 'new', 5)));
$n4->wait_sql('SELECT count(*) = 1 FROM t');
is($n4->run('SELECT id, a, n FROM t'), '1|new|5', 'what the TRUNCATE undid does not come back to the node that joined');
unmute($n1, $n2);
unmute($n3, $n2);
converge(@nodes);
all_have('1|new|5', 'nor anywhere');

done_testing();
