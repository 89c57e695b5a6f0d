# Claim: whatever happens between a strong COMMIT and its answer, the state is
# the same on all nodes and is what the client was told: ok is there, 40001 is
# not, and of 40003 and of a lost connection causaldb.outcome() tells.
# (cases 1 to 8 and 59 of doc/strong_cases.md)
use CausaldbTest;

# where it is killed, or fails; on the node of the client
my @backend = qw(strong_proposing strong_proposed strong_decided strong_turn strong_logged strong_visible);
my @process = qw(consensus_proposing consensus_entries_given consensus_before_sync consensus_after_sync);

my @nodes = new_cluster(3, conf => { 'causaldb.strong_timeout' => "'5s'" }, before => q(
	CREATE TABLE s (id int PRIMARY KEY, v text);
));
my ($a, $b, $c) = @nodes;
my %by_name = map { $_->name => $_ } @nodes;
my %told;
my $id = 0;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('s', 'strong')");
converge(@nodes);
$a->run("INSERT INTO s VALUES (0, 'warm')");
converge(@nodes);

sub set_point
{
	my ($node, $value) = @_;

	$node->run("ALTER SYSTEM SET causaldb.debug_point = '$value'");
	$node->run('SELECT pg_reload_conf()');
	$node->wait_sql("SELECT current_setting('causaldb.debug_point') = '$value'");
	return;
}

sub is_up
{
	my ($node) = @_;

	$node->wait_sql('SELECT causaldb.leader() IS NOT NULL');
	return;
}

# One strong transaction; what the client was told, and its xid.
sub try_one
{
	my ($node, $sql) = @_;
	my ($ret, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nBEGIN; $sql; SELECT 'xid ' || pg_current_xact_id(); COMMIT; SELECT 'ok'",
		on_error_stop => 1);
	my ($xid) = ($out // '') =~ /xid (\d+)/;
	my ($code) = ($err // '') =~ /ERROR:\s+([0-9A-Z]{5})/;
	my ($stamp) = ($err // '') =~ /outcome\('([^']+)'\)/;

	$code = 'ok' if ($out // '') =~ /^ok$/m;
	return ($code // 'lost', $xid, $stamp);
}

# What was told agrees with what is there.
sub judge
{
	my ($what, $node, $key, $code, $xid, $stamp) = @_;
	my $here;

	is_up($_) foreach @nodes;
	if ($code eq 'lost' || $code eq '40003')
	{
		my $outcome = defined $stamp
		  ? $c->run("SELECT causaldb.outcome('$stamp')")
		  : $node->run("SELECT causaldb.outcome('$xid'::xid8)");

		converge(@nodes);
		$here = $c->run("SELECT count(*) FROM s WHERE id = $key");
		is($outcome, $here ? 'committed' : 'aborted', "$what: told $code, outcome tells");
	}
	else
	{
		converge(@nodes);
		$here = $c->run("SELECT count(*) FROM s WHERE id = $key");
		is($here, $code eq 'ok' ? 1 : 0, "$what: told $code, and so it is");
	}
	$told{$code}++;
	is($_->run("SELECT count(*) FROM s WHERE id = $key"), $here, "$what: the same on " . $_->name)
	  foreach $a, $b;
	return;
}

sub one_case
{
	my ($point, $action, $node) = @_;
	my $key = ++$id;

	set_point($node, "$point:$action");
	my @answer = try_one($node, "INSERT INTO s VALUES ($key, '$point')");
	$node->wait_sql('SELECT true');
	set_point($node, '');
	unlink $node->data_dir . "/debug_point.$point";
	judge("$point $action on " . $node->name, $node, $key, @answer);
	return;
}

my $leader = $by_name{ $a->run('SELECT causaldb.leader()') };
my ($follower) = grep { $_ != $leader } @nodes;

one_case($_, 'kill_once', $follower) foreach @backend, 'consensus_before_sync', 'consensus_after_sync';
one_case($_, 'error', $follower) foreach qw(strong_proposing strong_turn strong_logged);
# the consensus process alone, when the leader has the proposal: the next one
# does not know a leader at first, but it is not the first that was told of it
one_case('consensus_before_sync', 'error_once', $follower);
$leader = $by_name{ $a->run('SELECT causaldb.leader()') };
one_case($_, 'kill_once', $leader) foreach qw(strong_proposed strong_decided consensus_entries_given consensus_after_sync);

# a client that cancels while its proposal travels
$leader = $by_name{ $a->run('SELECT causaldb.leader()') };
($follower) = grep { $_ != $leader } @nodes;
foreach my $signal (qw(pg_cancel_backend pg_terminate_backend))
{
	my $key = ++$id;
	my $session = $follower->session;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	set_point($leader, 'consensus_before_sync:delay:1000');
	$session->query_safe("BEGIN; INSERT INTO s VALUES ($key, 'cancel')");
	my $xid = $session->query_safe('SELECT pg_current_xact_id()');
	$session->query_until(qr/going/, "\\set VERBOSITY verbose\n\\echo going\nCOMMIT;\n\\echo told :SQLSTATE\n");
	$follower->wait_sql("SELECT query = 'COMMIT;' AND state = 'active' FROM pg_stat_activity WHERE pid = $pid");
	$follower->run("SELECT $signal($pid)");
	$follower->wait_sql("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND state = 'active')");
	set_point($leader, '');
	eval { $session->quit };
	my ($code) = ($session->{stdout} . $session->{stderr}) =~ /(40001|40003|57014|57P03)/;
	my ($ok) = $session->{stdout} =~ /told 00000/;
	judge("$signal while it travels", $follower, $key, $ok ? 'ok' : $code // 'lost', $xid, undef);
}

is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;
note(join ', ', map { "$_: $told{$_}" } sort keys %told);
ok($told{lost}, 'some connections were lost');
ok($told{40003}, 'some clients were told that it is not known');

done_testing();
