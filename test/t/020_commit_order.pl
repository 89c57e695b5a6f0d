# Claim: transactions that overlap arrive on the other node completely and in
# the order of their stamps, and whoever saw a commit is stamped after it, on
# either node, even where the nodes' clocks disagree by seconds. Each of five
# wrong orders makes the same run fail, so it can.
use CausaldbTest;
use CausaldbOrder;

my ($a, $b) = new_cluster(2, before => order_table());
$a->set_conf('causaldb.clock_offset', '3s');
$a->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge($a, $b);

# After this a node's clock is above all that it has seen of the other.
sub exchange
{
	my ($number) = @_;

	foreach my $node ($a, $b)
	{
		$node->run(sprintf "INSERT INTO t VALUES (%d, $number)", $node == $a ? -1 : -2);
		converge($a, $b);
	}
	return;
}

exchange(1);

# as fast as it goes
my %count = drive(2, 100, $a, $b);
is(broken(%count), sound(), 'nothing lost, reordered or stamped too early');
is($count{transactions}, 3200, 'all of it was committed');
cmp_ok($count{overtaken}, '>', 1000, 'transactions overlapped');
cmp_ok($count{looks}, '>', 50, 'the other node was watched');

# with every window in a commit wide open
foreach my $node ($a, $b)
{
	$node->set_debug_point('precommit_deps:delay:1,precommit_stamped:delay:3,commit_visible:delay:1');
}
%count = drive(2, 40, $a, $b);
is(broken(%count), sound(), 'so it is where each commit takes its time');

my %shows = (
	stamp_at_first_write => 'lost',
	stamp_at_trigger => 'lost',
	no_closed_rule => 'lost',
	deps_after_tick => 'deps',
	no_observe => 'older');

foreach my $mistake (sort keys %shows)
{
	$_->set_break($mistake) foreach $a, $b;
	%count = drive(10, 10, $a, $b);
	cmp_ok($count{ $shows{$mistake} } // 0, '>', 0, "$mistake is seen");
}

$_->set_break(undef) foreach $a, $b;
exchange(2);
%count = drive(1, 20, $a, $b);
is(broken(%count), sound(), 'and all is well without a mistake');

done_testing();
