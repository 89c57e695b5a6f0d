# Claim: keys of a large transaction that apply keeps in causaldb.log_key are
# found again by the worker of the next start: a change that has not seen the
# large transaction merges with it.
use CausaldbTest;

my @nodes = new_cluster(3, before => 'CREATE TABLE t (id int PRIMARY KEY, a text)');
my ($n1, $n2, $n3) = @nodes;

$n1->run("SELECT causaldb.set_consistency('t', 'eventual');
	INSERT INTO t SELECT g, 'before' FROM generate_series(1, 1000) g");
converge(@nodes);

# node 3 cannot apply it
my $holder = $n3->session;
$holder->query_safe('BEGIN; SELECT FROM t WHERE id = 1 FOR UPDATE');
$n1->run("UPDATE t SET a = 'large'");
my $large = $n1->run("SELECT max(position) FROM causaldb.history WHERE node = 'n1'");
my $token = $n1->run('SELECT causaldb.token()');
$n2->run("SELECT causaldb.wait_for('$token', '60 s')");

# the first DELETE makes node 2 read the keys
$n3->run('DELETE FROM t WHERE id = 500');
$token = $n3->run('SELECT causaldb.token()');
$n2->run("SELECT causaldb.wait_for('$token', '60 s')");
is($n2->run('SELECT count(*) FROM t WHERE id = 500'), 1, 'an UPDATE that it has not seen wins over a DELETE');
# beside those of the INSERT, if that is not known to be stable yet
is($n2->run("SELECT count(DISTINCT key_hash) FROM causaldb.log_key WHERE position = $large"), 1000, 'the keys are in the table');

$n2->restart;
$n3->run('DELETE FROM t WHERE id = 501');
$token = $n3->run('SELECT causaldb.token()');
$n2->run("SELECT causaldb.wait_for('$token', '60 s')");
is($n2->run('SELECT count(*) FROM t WHERE id = 501'), 1, 'also after a new start');

$holder->query_safe('COMMIT');
$holder->quit;
converge(@nodes);
same_table('t', @nodes);
is($n1->run('SELECT count(*) FROM t'), 1000, 'no row was lost');
done_testing();
