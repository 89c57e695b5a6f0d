# Claim: deps may name a position at which its stream has no transaction (a
# node that starts again has seen its peers' heartbeats): a node that was away
# then still finds the order in which everything can be applied.
use CausaldbTest;

my ($a, $b, $c) = new_cluster(3, before => 'CREATE TABLE t (id int PRIMARY KEY)');
$a->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge($a, $b, $c);
$c->stop;

# b hears of a position of a at which a has written nothing: that of its own
# write, which a's clock has observed; started again, b names it in its deps
my $stream = q(SELECT applied FROM causaldb.stream s JOIN causaldb.node n ON n.id = s.node WHERE n.name = 'n1');
my $before = $b->run($stream);
$b->run('INSERT INTO t VALUES (0)');
wait_until('b has kept a later position of a', sub { $b->run($stream) > $before });
$b->restart;
$b->run('INSERT INTO t VALUES (1)');
converge($a, $b);
$a->run('INSERT INTO t VALUES (2)');
$c->start;
converge($a, $b, $c);
same_table('t', $a, $b, $c);
done_testing();
