# Claim: what every node has applied need not stay in the engine's log; a node
# that was away while the others let go of it fetches what it lacks, also when
# it is killed while it does, and a node that joins begins where the copy
# stands. (cases 25 and 27)
use CausaldbTest;

my @nodes = new_cluster(3, conf => { 'causaldb.break' => "'compact_all'" }, before => q(
	CREATE TABLE s (id int PRIMARY KEY, v text);
));
my ($a, $b, $c) = @nodes;

# Where no leader is known just then, that statement does nothing, and all are
# done again when there is one.
sub write_strong
{
	my ($node, $sql) = @_;
	my $error;

	wait_until('a leader takes it', sub {
		my ($ret) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql", stderr => \$error, on_error_stop => 1);
		return 1 if $ret == 0;
		die $error if $error !~ /57P03/;
		return 0;
	});
	return;
}

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('s', 'strong')");
converge(@nodes);
write_strong($_, "INSERT INTO s SELECT g, 'before' FROM generate_series(" . 10 * $_->{_number} . ', ' . (10 * $_->{_number} + 9) . ') g')
  foreach map { $nodes[$_]{_number} = $_ + 1; $nodes[$_] } 0 .. 2;
converge(@nodes);
$a->wait_sql('SELECT first_index > 3 FROM causaldb.strong_raw()');
pass('the log begins anew');

$c->kill9;
my @rest = ($a, $b);
$_->wait_sql("SELECT causaldb.leader() IN ('n1', 'n2')") foreach @rest;
foreach my $i (1 .. 300)
{
	next if $i % 50;
	write_strong($rest[ $i / 50 % 2 ], join ';', map { "INSERT INTO s VALUES (" . (1000 + $i + $_) . ", 'away') ON CONFLICT DO NOTHING; UPDATE s SET v = v || '.' WHERE id = 10" } 1 .. 40);
}
converge(@rest);
$_->wait_sql('SELECT first_index > 20 FROM causaldb.strong_raw()') foreach @rest;
# killed in the middle of fetching
$c->append_conf('postgresql.conf', "causaldb.debug_point = 'strong_play_after_commit:kill_once:2'");
$c->start;
wait_until('it is killed', sub { -e $c->data_dir . '/debug_point.strong_play_after_commit' });
$c->wait_sql('SELECT applied_index > 300 FROM causaldb.strong_raw()');
converge(@nodes);
same_table('s', @nodes);
$c->wait_sql('SELECT commit_index = applied_index AND first_index > 20 FROM causaldb.strong_raw()');
write_strong($c, "INSERT INTO s VALUES (5000, 'back')");
converge(@nodes);
is($a->run('SELECT v FROM s WHERE id = 5000'), 'back', 'it writes again');

# a node that joins now
my $d = new_node('n4', conf => { 'causaldb.break' => "'compact_all'" });
foreach my $node (@nodes)
{
	$node->knows($d);
	$d->knows($node);
}
$d->join_cluster($a, 'all');
$d->run("SELECT causaldb.wait_until_ready('60 s')");
$d->wait_sql("SELECT count(*) = 4 FROM causaldb.strong_status WHERE membership = 'voter'");
write_strong($d, "UPDATE s SET v = 'joined' WHERE id = 5000");
converge(@nodes, $d);
same_table('s', @nodes, $d);
is($c->run('SELECT v FROM s WHERE id = 5000'), 'joined', 'and so does the one that joined');

done_testing();
