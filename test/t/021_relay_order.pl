# Claim: two nodes that cannot reach each other get each other's transactions
# completely and in order from a third that reaches both.
use CausaldbTest;
use CausaldbOrder;

my ($a, $b, $c) = new_cluster(3, links => 1, before => order_table(),
	conf => { 'causaldb.relay_delay' => '20ms' });
$a->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge($a, $b, $c);
link_between($a, $c)->cut;
# more is applied while the relay looks at what it has
$b->set_debug_point('sender_snapshot:delay:5');

my %count = drive(3, 40, $a, $c);
is(broken(%count), sound(), 'nothing lost, reordered or stamped too early');
is($count{transactions}, 1920, 'all of it was committed');
cmp_ok($count{looks}, '>', 50, 'the other node was watched');
same_table('t', $a, $b, $c);
is($a->run(q(SELECT state <> 'up' FROM causaldb.peers WHERE name = 'n3')), 't',
	'the two never spoke');

done_testing();
