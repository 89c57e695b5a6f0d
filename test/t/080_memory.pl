# Claim: memory does not grow with a transaction. A statement over a million
# rows of a tagged table has at most 32 MB more resident (RssAnon) than the
# same statement on an untagged one; sender, receiver and apply worker have
# the same for a transaction three times as large.
use CausaldbTest;

my $limit_kb = 32 * 1024;
my $flat_kb = 4 * 1024;
my $rows = $ENV{CAUSALDB_MEMORY_ROWS} // 1_000_000;

# Disks are not what is tested.
my @same = (build => 'release',
	conf => { fsync => 'off', max_wal_size => '4GB', shared_buffers => '128MB', wal_level => 'minimal', max_wal_senders => 0 });
my $tables = 'CREATE TABLE tagged (id int PRIMARY KEY, v int, s text DEFAULT $$some text$$); CREATE TABLE untagged (LIKE tagged INCLUDING ALL)';
my $solo = new_node('solo', @same);
$solo->run($tables);
$solo->create_cluster;
$solo->run("SELECT causaldb.wait_until_ready('30 s'); SELECT causaldb.set_consistency('tagged', 'eventual')");

sub rss_anon
{
	my ($pid) = @_;
	open my $status, '<', "/proc/$pid/status" or return 0;
	my ($kb) = join('', <$status>) =~ /RssAnon:\s+(\d+)/;
	return $kb // 0;
}

# Largest RssAnon of each process while the code runs in a child.
sub peak
{
	my ($pids, $do) = @_;
	my %peak = map { $_ => rss_anon($_) } @$pids;
	my $child = fork // die "fork: $!";

	if ($child == 0)
	{
		my $ok = eval { $do->(); 1 };
		print STDERR $@ if !$ok;
		require POSIX;
		POSIX::_exit($ok ? 0 : 1);
	}
	wait_until('the measured statement is over', sub {
		my $over = waitpid($child, 1) != 0;

		foreach my $pid (@$pids)
		{
			my $now = rss_anon($pid);
			$peak{$pid} = $now if $now > $peak{$pid};
		}
		return $over;
	}, 300);
	die 'the measured statement failed' if $? != 0;
	return map { $peak{$_} } @$pids;
}

# Peak of one backend over one statement.
sub statement_peak
{
	my ($sql) = @_;
	my $session = $solo->session;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my ($peak) = peak([$pid], sub { $session->query_safe($sql) });

	$session->quit;
	return $peak;
}

foreach my $what (
	[ 'INSERT', "INSERT INTO %s SELECT g, g FROM generate_series(1, $rows) g" ],
	[ 'UPDATE', 'UPDATE %s SET v = v + 1' ])
{
	my ($name, $sql) = @$what;
	my $plain = statement_peak(sprintf($sql, 'untagged'));
	my $tagged = statement_peak(sprintf($sql, 'tagged'));

	cmp_ok($tagged - $plain, '<=', $limit_kb,
		"$name of $rows rows: $tagged kB tagged, $plain kB untagged");
}
$solo->stop('immediate');

my ($a, $b) = new_cluster(2, before => $tables, @same);
$a->run("SELECT causaldb.set_consistency('tagged', 'eventual')");
converge($a, $b);
my @peaks;
my @names = qw(sender receiver apply);
my $small = int($rows / 16);
foreach my $n ($small, 3 * $small)
{
	my ($sender) = $a->run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'causaldb sender'");
	my ($apply) = $b->run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'causaldb apply'");
	my ($receiver) = $b->run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name LIKE 'causaldb sender%'");

	push @peaks, [ peak([ $sender, $receiver, $apply ], sub {
		# all three are there before the first is applied
		my $holder = $b->session;
		my $chunks = 'SELECT count(*) FROM causaldb.log_chunk';

		$holder->query_safe('BEGIN; LOCK TABLE tagged');
		$a->run("INSERT INTO tagged SELECT g, g FROM generate_series(1, $n) g");
		# of rows that are written twice, too
		$a->run('BEGIN; UPDATE tagged SET v = v + 1; UPDATE tagged SET v = v + 1; COMMIT');
		$a->run('DELETE FROM tagged');
		$b->wait_sql($chunks, $a->run($chunks));
		$holder->query_safe('COMMIT');
		$holder->quit;
		converge($a, $b);
	}) ];
}
foreach my $i (0 .. 2)
{
	cmp_ok($peaks[1][$i] - $peaks[0][$i], '<=', $flat_kb,
		"$names[$i]: $peaks[0][$i] kB for $small rows, $peaks[1][$i] kB for three times as many");
}
is($b->run('SELECT count(*) FROM tagged'), 0, 'and all of it was applied');
done_testing();
