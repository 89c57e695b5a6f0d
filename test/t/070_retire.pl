# Claim: every start of a node opens a stream of its own, and a stream that has
# ended leaves the vectors once every member has all of it: deps stay short
# however often nodes start, and what was written under old streams still
# merges, ships, empties and can be waited for. With strong columns, too, where
# a strong transaction from before could come: and it may leave them out then.
use CausaldbTest;

my ($a, $b) = new_cluster(2, before => 'CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 0); CREATE TABLE s (id int PRIMARY KEY, n int)');
$a->run("SELECT causaldb.set_consistency('t', 'eventual')");
$a->run('INSERT INTO t SELECT generate_series(1, 10)');
converge($a, $b);
my $old_token = $a->run('SELECT causaldb.token()');

foreach my $round (1 .. 4)
{
	my $node = $round % 2 ? $a : $b;
	$node->restart;
	$node->run("UPDATE t SET n = n + 1 WHERE id = $round");
	$node->run("INSERT INTO t VALUES (1000 + $round)");
	converge($a, $b);
}
is($_->run('SELECT count(*) FROM causaldb.stream WHERE node > 0'), 6, $_->name . ' knows six streams') foreach $a, $b;
foreach my $node ($a, $b)
{
	wait_until($node->name . ' has retired the four that ended',
		sub { $node->run('SELECT count(*) FROM causaldb.stream WHERE retired') == 4 });
}
# a node says anew after each start what it leaves out; stream 1 is the strong log
foreach my $node ($a, $b)
{
	wait_until('deps of ' . $node->name . ' name one stream of a node', sub {
		$node->run('UPDATE t SET n = n + 100 WHERE id = 10');
		$node->run('SELECT get_byte(deps, 0) - (position(decode($$01$$, $$hex$$) in substr(deps, 2, 1)) = 1)::int FROM causaldb.log l JOIN causaldb.stream s ON s.id = l.stream JOIN causaldb.local_node n ON n.node = s.node ORDER BY position DESC LIMIT 1') == 1;
	});
}
converge($a, $b);
same_table('t', $a, $b);

# what the ended streams inserted has been seen by a TRUNCATE that does not
# name them
$a->run('TRUNCATE t');
converge($a, $b);
is($b->run('SELECT count(*) FROM t'), 0, 'a TRUNCATE has seen what was inserted under ended streams');

# a start after that: retired streams are known by their rows
$_->restart foreach $a, $b;
$b->run("SELECT causaldb.wait_for('$old_token', '20 s')");
pass('a token of a retired stream is met');
$_->run('INSERT INTO t VALUES (100 + (SELECT node FROM causaldb.local_node))') foreach $a, $b;
converge($a, $b);
same_table('t', $a, $b);
is($a->run('SELECT count(*) FROM t'), 2, 'both sides wrote on');

# ------------------------------------------------------------ strong columns
$a->wait_sql("SELECT count(*) = 2 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach $a, $b;
$a->run("SELECT causaldb.set_consistency('s', 'strong')");
$b->run('INSERT INTO s VALUES (1, 0)');
foreach my $node ($a, $b, $a)
{
	$node->run('UPDATE t SET n = n + 1');
	$node->restart;
	$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach $a, $b;
	foreach my $each ($a, $b)
	{
		$each->wait_sql('SELECT count(*) FROM causaldb.stream WHERE node > 0 AND NOT retired', 2);
	}
	$_->run('UPDATE s SET n = n + 1') foreach $a, $b;
}
is($b->run('SELECT n FROM s'), 6, 'strong transactions leave ended streams out, and are taken');
converge($a, $b);
same_table($_, $a, $b) foreach qw(s t);
is($_->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing is stalled on ' . $_->name) foreach $a, $b;
done_testing();
