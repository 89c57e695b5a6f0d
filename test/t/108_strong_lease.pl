# Claim: the leader's lease is off by default; with it on the leader reads
# without asking anybody, and a leader that stands still while another one is
# elected never shows what was there before: its lease is over, by the clock that
# a reader looks at (and if readers did not look, they would show it). A lease
# ends before leadership is handed over.
use CausaldbTest;

my @nodes = new_cluster(3, before => 'CREATE TABLE t (id int PRIMARY KEY, v int)');
my ($a, $b, $c) = @nodes;

my $read = 'SELECT v FROM t WHERE id = 1';
my $soon = "SET causaldb.strong_timeout = '300ms'; $read";
my $lease = 'SELECT lease IS NOT NULL FROM causaldb.strong_status WHERE here';
my @stopped;

sub consensus_pid
{
	return $_[0]->run("SELECT pid FROM pg_stat_activity WHERE application_name = 'causaldb consensus' AND backend_type <> 'client backend'");
}

# The node's consensus process stands still, as a paused machine's would.
sub freeze
{
	my ($node) = @_;
	push @stopped, consensus_pid($node);
	kill 'STOP', $stopped[-1] or die "cannot stop $stopped[-1]: $!";
	return;
}

sub thaw
{
	kill 'CONT', pop @stopped while @stopped;
	return;
}
END { thaw(); }

sub lead
{
	my ($node) = @_;
	wait_until(
		$node->name . ' leads',
		sub {
			$node->psql('postgres', "SELECT causaldb.transfer_leadership('" . $node->name . "')");
			return $node->run('SELECT causaldb.leader()') eq $node->name;
		});
	return;
}

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('t', 'strong')");
converge(@nodes);
$a->run('INSERT INTO t VALUES (1, 0)');
lead($a);

is($a->run('SHOW causaldb.leader_lease'), 'off', 'off by default');
is($a->run($lease), 'f', 'so the leader has none');
freeze($_) foreach $b, $c;
sql_error($a, $soon, '57P03', 'without a lease a read needs a majority');
thaw();
$a->wait_sql('SELECT causaldb.leader() IS NOT NULL');

# a lease is asked for on every node; who leads has it
$_->set_conf('causaldb.leader_lease', 'on') foreach @nodes;
# not in the term in which leadership was handed over
lead($b);
lead($a);
$a->wait_sql($lease, 't');
is($b->run($lease), 'f', 'who follows has none');

# tried again where this machine takes longer than the lease
ok( wait_until(
		'a read that no other node can have answered',
		sub {
			lead($a);
			$a->wait_sql($lease, 't');
			freeze($_) foreach $b, $c;
			my ($ret, $out) = $a->psql('postgres', $soon);
			thaw();
			return $ret == 0 && $out eq '0';
		}),
	'with a lease it asks nobody');

# n1 stands still while another leads and writes
foreach my $broken (0, 1)
{
	my $before = $a->run($read);
	my $after = $before + 1;

	$a->set_conf('causaldb.break', 'endless_lease') if $broken;
	$a->wait_sql($lease, 't');
	freeze($a);
	wait_until(
		'another one leads, and writes',
		sub {
			my ($ret) = $b->psql('postgres', "UPDATE t SET v = $after WHERE id = 1");
			return $ret == 0;
		});
	my ($ret, $out) = $a->psql('postgres', $soon);
	if ($broken) { is($out, $before, 'readers that do not look at the clock would') }
	else { isnt($ret, 0, 'a leader that stood still does not show what was before') }
	thaw();
	$a->set_conf('causaldb.break', undef) if $broken;
	$a->wait_sql($read, $after);
	lead($b);
	lead($a);
}

# handed over: whoever read by the lease of the one before reads anew
foreach my $round (1 .. 4)
{
	my ($from, $to) = $round % 2 ? ($a, $b) : ($b, $a);
	my $v = $a->run($read) + 1;

	lead($to);
	$to->run("UPDATE t SET v = $v WHERE id = 1");
	is($from->run($read), $v, "handed over to @{[ $to->name ]}: " . $from->name . ' reads what was written there');
}

done_testing();
