# Claim: a node that joins gets the strong columns' tags as they are, those in
# unique indexes and of whole tables too, and how they merged before; it writes
# and reads them strongly at once.
use CausaldbTest;

my ($a, $b) = new_cluster(2, before => q(
	CREATE TABLE c (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, note text, mail text UNIQUE);
	CREATE TABLE w (id int PRIMARY KEY, x text, y text)));

$a->run(q(SELECT causaldb.set_consistency('c', 'eventual', '{n,note}'); SELECT causaldb.set_merge('c', 'n', 'counter')));
$a->run(q(SELECT causaldb.set_consistency('c', 'strong', '{n,mail}')));
$b->run(q(SELECT causaldb.set_consistency('w', 'strong')));
$b->run(q(SELECT causaldb.set_consistency('w', 'eventual', '{y}')));
$a->run("INSERT INTO c VALUES (1, 1, 'a', 'm'); INSERT INTO w VALUES (1, 'x', 'y')");

my $c = new_node('n3');
$_->knows($c), $c->knows($_) foreach $a, $b;
$c->join_cluster($a, 'all');
$c->run('SELECT causaldb.wait_until_ready()');
is($c->run('SELECT * FROM causaldb.tags'), $a->run('SELECT * FROM causaldb.tags'), 'tags are as they are elsewhere');
$c->run('UPDATE c SET n = n + 1 WHERE id = 1');
is($b->run('SELECT n FROM c'), 2, 'the new node writes strongly');
$b->run('UPDATE c SET n = n + 1 WHERE id = 1');
is($c->run('SELECT n FROM c'), 3, 'and reads so');
sql_error($c, "INSERT INTO c VALUES (2, 0, 'b', 'm')", '23505', 'unique is unique');

# how n merged before it was strong is known there, too
$c->run(q(SELECT causaldb.set_consistency('c', 'eventual', '{n}')));
is($_->run("SELECT level || ' ' || rule FROM causaldb.tags WHERE relation = 'c'::regclass AND column_name = 'n'"),
	'eventual counter', 'a counter again, on ' . $_->name) foreach $c;
$_->wait_sql("SELECT rule = 'counter' FROM causaldb.tags WHERE relation = 'c'::regclass AND column_name = 'n'") foreach $a, $b;
$_->run('UPDATE c SET n = n + 1 WHERE id = 1') foreach $a, $b, $c;
converge($a, $b, $c);
is($_->run('SELECT n FROM c'), 6, 'and it counts, on ' . $_->name) foreach $a, $b, $c;

done_testing();
