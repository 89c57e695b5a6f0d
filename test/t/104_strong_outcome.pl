# Claim: whatever happens between a strong COMMIT and its answer, the state is
# the same on all nodes and is what the client was told: ok is there, 40001 is
# not, and of 40003 and of a lost connection causaldb.outcome() tells.
# (cases 1 to 6, 8 and 59 of doc/strong_cases.md, by number below)
use CausaldbTest;

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

# What the client is told; it is on the node unless another one is given.
sub one_case
{
	my ($case, $point, $action, $node, $client) = @_;
	my $key = ++$id;

	$client //= $node;
	set_point($node, "$point:$action");
	my @answer = try_one($client, "INSERT INTO s VALUES ($key, '$point')");
	$node->wait_sql('SELECT true');
	ok(-e $node->data_dir . "/debug_point.$point", "case $case: " . $node->name . " was killed at $point") if $action eq 'kill_once';
	set_point($node, '');
	unlink $node->data_dir . "/debug_point.$point";
	judge("case $case: $point $action on " . $node->name, $client, $key, @answer);
	return $answer[0];
}

sub leader_and_follower
{
	my $name = $a->run('SELECT causaldb.leader()');
	return ($by_name{$name}, grep { $_->name ne $name } @nodes);
}

# Power is lost on the node: what it had not flushed of its log is gone. False,
# and it goes on, if that is nothing. All but who is asked stands still, so that
# nothing is flushed after the answer.
sub lose_power
{
	my ($node) = @_;
	my $session = $node->session;
	my $own = $session->query_safe('SELECT pg_backend_pid()');
	my @others = grep { $_ != $own && $_ != $node->{_pid} } $node->pids;

	kill 'STOP', @others;
	my ($flushed, $more, $file, $offset) =
	  split /\|/, $session->query_safe(q(SELECT f, pg_current_wal_insert_lsn() - f, file_name, file_offset
		FROM pg_current_wal_flush_lsn() f, pg_walfile_name_offset(f)));
	if ($more == 0)
	{
		kill 'CONT', @others;
		$session->quit;
		return 0;
	}
	$node->kill9_all;
	eval { $session->quit };
	open my $wal, '+<', $node->data_dir . "/pg_wal/$file" or die "$file: $!";
	seek($wal, $offset, 0);
	print $wal "\0" x ((-s $wal) - $offset);
	close $wal;
	note("nothing after $flushed: $more bytes less");
	return 1;
}

my ($leader, $follower) = leader_and_follower();

# the client's node dies: with nothing proposed or not knowing (8), decided (3),
# committed and not flushed (4)
one_case(8, $_, 'kill_once', $follower) foreach qw(strong_proposing strong_proposed);
one_case(3, $_, 'kill_once', $follower) foreach qw(strong_decided strong_turn strong_logged);
one_case(4, 'strong_visible', 'kill_once', $follower);
one_case(59, $_, 'kill_once', $follower) foreach qw(consensus_before_sync consensus_after_sync);
# the consensus process alone, when the leader has the proposal: the next one
# does not know a leader at first, but it is not the first that was told of it
one_case(59, 'consensus_before_sync', 'error_once', $follower);
one_case(6, $_, 'error', $follower) foreach qw(strong_proposing strong_turn strong_logged);

# the leader dies, with its own client and with that of another node, which
# proposes it again: a majority has it (1), or only the leader (2)
($leader, $follower) = leader_and_follower();
one_case(3, $_, 'kill_once', $leader) foreach qw(strong_proposed strong_decided);
one_case(2, 'consensus_entries_given', 'kill_once', $leader);
foreach my $case ([ 1, 'consensus_acknowledged' ], [ 2, 'consensus_after_sync' ])
{
	($leader, $follower) = leader_and_follower();
	is(one_case(@$case, 'kill_once', $leader, $follower), 'ok', "case $case->[0]: the client of another node is told by the next leader");
}

# 4: power is lost when the client may have been told
($leader, $follower) = leader_and_follower();
my $lost = wait_until('a commit is not flushed', sub {
	my $key = ++$id;
	my $session = $follower->session;

	set_point($follower, 'strong_visible:hang');
	$session->query_safe("BEGIN; INSERT INTO s VALUES ($key, 'power')");
	my $xid = $session->query_safe('SELECT pg_current_xact_id()');
	my ($walwriter) = $follower->run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	kill 'STOP', $walwriter;
	$session->query_until(qr/going/, "\\echo going\nCOMMIT;\n");
	wait_until('it is committed', sub { $follower->run("SET causaldb.strong_reads = off; SELECT count(*) FROM s WHERE id = $key") eq '1' });
	my $lost = lose_power($follower);
	if ($lost)
	{
		$follower->append_conf('postgresql.auto.conf', "causaldb.debug_point = ''");
		$follower->start;
		judge('case 4: power lost after the commit', $follower, $key, 'lost', $xid);
	}
	else
	{
		set_point($follower, '');
	}
	eval { $session->quit };
	return $lost;
});
ok($lost, 'case 4: the commit was not flushed');

# a client that cancels while its proposal travels
# (5)
($leader, $follower) = leader_and_follower();
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
	judge("case 5: $signal while it travels", $follower, $key, $ok ? 'ok' : $code // 'lost', $xid, undef);
}

is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;
note(join ', ', map { "$_: $told{$_}" } sort keys %told);
ok($told{lost}, 'some connections were lost');
ok($told{40003}, 'some clients were told that it is not known');

done_testing();
