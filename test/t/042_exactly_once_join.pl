# Claim: a join that is killed on either side leaves the cluster as it was, can
# be typed again, and then brings every transaction once, while the others
# write; fsync is on.
use CausaldbTest;
use CausaldbCrash;

my ($a, $b) = new_cluster(2, before => crash_tables(), conf => crash_conf());
my $c = new_node('n3', conf => crash_conf());
$c->run(crash_tables());
foreach my $node ($a, $b)
{
	$c->knows($node);
	$node->knows($c);
}
tag_crash_tables($a);

my @clients = map { crash_client($_) } $a, $b;
my $join = sprintf "SELECT causaldb.join_cluster('n3', '%s', '%s', 'data')",
  $c->dsn, $b->dsn;

# Types the join where a debug point will kill it.
sub killed_join
{
	my ($point, $how) = @_;

	arm($c, "$point:$how");
	my ($ret) = $c->psql('postgres', $join);
	isnt($ret, 0, "$point, $how: the join fails");
	await_kill($c, $point, $how);
	is($c->run('SELECT count(*) FROM causaldb.local_node'), 0,
		"$point, $how: it is no node");
	is($c->run('SELECT count(*) FROM t'), 0, "$point, $how: it has no rows");
	$_->wait_acked(3) foreach @clients;
	return;
}

$clients[0]->wait_acked(20);
foreach my $point ('join_admitted', 'join_copied')
{
	killed_join($point, $_) foreach 'kill_once', 'kill_postmaster';
}

# the node that is copied from dies in the middle
arm($c, 'join_admitted:hang');
my $session = $c->session;
$session->query_until(qr/typed/, "\\echo typed\n$join;\n\\echo joined :SQLSTATE\n");
wait_until('the join holds', sub {
	return PostgreSQL::Test::Utils::slurp_file($c->logfile, $c->{_log_seen}) =~ /holds at debug point/;
});
$b->kill9;
disarm($c);
$b->start;
my $answer = $session->query_until(qr/joined \d\w+/, "\\echo joined :SQLSTATE\n");
unlike($answer, qr/joined 00000/, 'the join fails when its source dies');
$session->quit;
is($c->run('SELECT count(*) FROM causaldb.local_node'), 0, 'it is no node');

$c->run($join);
$_->run("SELECT causaldb.wait_until_ready('60 s')") foreach $a, $b, $c;
is($a->run('SELECT count(*), max(id) FROM causaldb.node'), '3|3',
	'five attempts before it used no other id');
push @clients, crash_client($c);
$_->wait_acked(5) foreach @clients;
$_->stop foreach @clients;
check_clients('after the join', \@clients, $a, $b, $c);

# and the new member is a node like the others
crash_at($c, 'apply_before_commit', 'kill_postmaster', $a, $b, $c);
compare_all($a, $b, $c);

done_testing();
