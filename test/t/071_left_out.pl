# Claim: what a transaction has seen of an ended stream that its deps leave out
# counts as seen, also on a node which does not know yet that every member has
# that stream.
use CausaldbTest;

my @nodes = new_cluster(3, links => 1, conf => { 'causaldb.relay_delay' => '1h' },
	before => 'CREATE TABLE t (id int PRIMARY KEY, a text)');
my ($n1, $n2, $n3) = @nodes;

$n1->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge(@nodes);

# Neither of the two others hears what the other one has. Node 3's clock is moved
# by what it gets from node 1, which hears that there is nothing new up to there,
# and writes that down; what node 1 writes after its restart must not make node 2
# wait for word of it.
link_between($n2, $n3)->hold($n2 => $n3);
link_between($n2, $n3)->hold($n3 => $n2);
my $at = $n3->run('SELECT closed FROM causaldb.streams WHERE own');
$n1->run("INSERT INTO t SELECT g, 'of the ended stream' FROM generate_series(1, 10) g");
$n1->wait_sql("SELECT applied > $at FROM causaldb.stream WHERE node = 3");
my $ended = $n1->run('SELECT stream FROM causaldb.streams WHERE own');
my $boot = $n1->run('SELECT boot FROM causaldb.streams WHERE own');
$n1->restart;
wait_until('node 1 leaves its ended stream out', sub {
	return $n1->run("SELECT count(*) FROM causaldb.stream WHERE id = $ended AND retired") == 1;
});
$n1->run("TRUNCATE t; INSERT INTO t VALUES (11, 'after it')");
my $token = $n1->run('SELECT causaldb.token()');
$n2->run("SELECT causaldb.wait_for('$token')");
is($n2->run("SELECT stable < applied OR stable IS NULL FROM causaldb.streams WHERE boot = '$boot'"), 't', 'node 2 cannot know that all have the ended stream');
is($n2->run('SELECT string_agg(id::text, $$ $$) FROM t'), '11', 'and yet knows that the TRUNCATE has seen its rows');

link_between($n2, $n3)->pass($n2 => $n3);
link_between($n2, $n3)->pass($n3 => $n2);
converge(@nodes);
same_table('t', @nodes);
is($_->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;
done_testing();
