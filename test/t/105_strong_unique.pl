# Claim: a unique column that is strong is unique over the cluster, also while
# clients on all nodes insert the same values at once; a value that was freed
# can be taken by another node. (case 43 of doc/strong_cases.md)
use CausaldbTest;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE people (id bigint PRIMARY KEY, mail text UNIQUE, note text);
));
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
sql_error($a, "SELECT causaldb.set_consistency('people', 'eventual')", '55000', 'an eventual column cannot be unique');
$a->run("SELECT causaldb.set_consistency('people', 'strong', '{mail}')");
$a->run("SELECT causaldb.set_consistency('people', 'eventual', '{note}')");
converge(@nodes);

# all nodes insert the same hundred values, under keys of their own
my @clients = map {
	my $k = $_;
	record_client($nodes[$k], limit => 100,
		sql => sub { my $i = shift; "INSERT INTO people VALUES (" . (1000 * ($k + 1) + $i) . ", 'm$i')" });
} 0 .. 2;
$_->finish foreach @clients;
converge(@nodes);
same_table('people', @nodes);
is($a->run('SELECT count(*) FROM people'), 100, 'each value is there once');
my $acked = 0;
$acked += scalar $_->acked foreach @clients;
is($acked, 100, 'and somebody was told so of each');
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

# freed by one node, taken by another, and exchanged
$b->run("UPDATE people SET mail = 'other' WHERE mail = 'm1'");
converge(@nodes);
$c->run("INSERT INTO people VALUES (9000, 'm1')");
$c->run("DELETE FROM people WHERE mail = 'm2'");
converge(@nodes);
$a->run("INSERT INTO people VALUES (9001, 'm2'), (9002, NULL), (9003, NULL)");
converge(@nodes);
same_table('people', @nodes);

# two sessions that have both inserted it
my $one = $a->session;
my $two = $b->session;
$one->query_safe("BEGIN; INSERT INTO people VALUES (9100, 'new')");
$two->query_safe("BEGIN; INSERT INTO people VALUES (9101, 'new')");
$one->query_safe('COMMIT');
$two->query("\\set VERBOSITY verbose\nCOMMIT;");
like($two->{stderr}, qr/40001/, 'the second one loses');
$one->quit;
$two->{stderr} = '';
$two->quit;
converge(@nodes);
same_table('people', @nodes);

done_testing();
