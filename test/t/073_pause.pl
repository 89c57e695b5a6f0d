# Claim: pause_peer keeps a peer's writes away, also those that others relay and
# what has seen them, over a restart; resume_peer brings all of it, in order.
use CausaldbTest;

my ($a, $b, $c) = new_cluster(3, conf => { 'causaldb.relay_delay' => '50ms' },
	before => 'CREATE TABLE t (id int PRIMARY KEY)');
$a->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge($a, $b, $c);

like(sql_error($a, "SELECT causaldb.pause_peer('n9')", '42704', 'a peer that is none'), qr/causaldb\.peers/, 'with a hint');
sql_error($a, "SELECT causaldb.pause_peer('n1')", '22023', 'nor is the node itself');
$a->run("SELECT causaldb.pause_peer('n2')");
$a->wait_sql("SELECT state FROM causaldb.peers WHERE name = 'n2'", 'paused');
$b->wait_sql("SELECT error ~ 'node 1 takes nothing from node 2 for now' FROM causaldb.peers WHERE name = 'n1'");

# b's write, one of c that has seen it, and one of a itself
$b->run('INSERT INTO t VALUES (2)');
converge($b, $c);
$c->run('INSERT INTO t VALUES (3)');
my $after = $c->run('SELECT causaldb.token()');
$a->run('INSERT INTO t VALUES (1)');
$a->restart;
$a->run("SELECT causaldb.wait_until_ready('60 s')");
$a->wait_sql("SELECT state FROM causaldb.peers WHERE name = 'n2'", 'paused');
$a->wait_sql("SELECT bool_or(waiting_for ~ '^n2 ') FROM causaldb.streams WHERE node = 'n3'");
is($a->run('SELECT array_agg(id ORDER BY id) FROM t'), '{1}', 'a has only its own row');
$c->wait_sql('SELECT array_agg(id ORDER BY id) FROM t', '{1,2,3}');
pass('to the others everything came');

$a->run("SELECT causaldb.resume_peer('n2')");
converge($a, $b, $c);
same_table('t', $a, $b, $c);
is($a->run('SELECT count(*) FROM t'), 3, 'after resume_peer a has all');
$a->wait_sql("SELECT state FROM causaldb.peers WHERE name = 'n2'", 'up');
is($_->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing is stalled on ' . $_->name) foreach $a, $b, $c;
done_testing();
