# CausaldbCrash: two nodes, clients on both, one of them killed at a debug
# point, and the proof that nothing was lost or done twice.
#
# A client's transaction i writes a keyed row, a row of an append-only table
# and adds one to a counter that both nodes share; every eighth is too large
# for one log row. So a lost transaction lacks its row, one applied twice
# shows as a double event or a counter too high, and a torn one as tables that
# disagree.
package CausaldbCrash;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time usleep);
use CausaldbTest;

our @EXPORT = qw(crash_tables tag_crash_tables arm disarm await_kill
  crash_client crash_at check_clients compare_all crash_conf);

my @tables = qw(t events big counters);
my $generation = 0;
my $looked = 0;    # check_clients has seen rows up to here

# settings under which one crash takes as little time as it can
sub crash_conf
{
	return {
		'autovacuum' => 'off',
		'causaldb.apply_group' => 4,
		'causaldb.relay_delay' => '100ms',
		'causaldb.heartbeat_interval' => '50ms' };
}

sub crash_tables
{
	return q(
	CREATE TABLE t (id int PRIMARY KEY, v text);
	CREATE TABLE events (id int);
	CREATE TABLE big (id int, part int, pad text, PRIMARY KEY (id, part));
	CREATE TABLE counters (id int PRIMARY KEY, n int);
	);
}

sub tag_crash_tables
{
	my ($node) = @_;
	$node->run("SELECT causaldb.set_consistency('$_', 'eventual')") foreach @tables;
	$node->run("SELECT causaldb.set_merge('counters', 'n', 'counter')");
	$node->run('INSERT INTO counters VALUES (1, 0)');
	return;
}

# A client that commits until it is stopped; its numbers are its own.
sub crash_client
{
	my ($node, %opt) = @_;
	return record_client($node, from => 100_000 * ++$generation + 1, %opt,
		sql => sub {
			my ($i) = @_;
			return (
				"INSERT INTO t VALUES ($i, 'by ' || current_setting('cluster_name'))",
				"INSERT INTO events VALUES ($i)",
				# time to overlap, and no more data than one can compare
				'SELECT pg_sleep(0.005)',
				'UPDATE counters SET n = n + 1 WHERE id = 1',
				$i % 8 ? ()
				: "INSERT INTO big SELECT $i, g, repeat('x', 200) FROM generate_series(1, 100) g"
			);
		});
}

# Sets a debug point without a query, which could meet it.
sub arm
{
	my ($node, $point) = @_;
	my ($name) = $point =~ /^(\w+)/;

	unlink $node->data_dir . "/debug_point.$name";
	PostgreSQL::Test::Utils::append_to_file(
		$node->data_dir . '/postgresql.auto.conf',
		"causaldb.debug_point = '$point'\n");
	$node->{_log_seen} = -s $node->logfile;
	kill('HUP', $node->{_pid});
	return;
}

sub disarm
{
	my ($node) = @_;
	$node->clear_debug_point_offline;
	kill('HUP', $node->{_pid}) if defined $node->{_pid};
	return;
}

# Waits until the armed point has killed, and the server is back.
sub await_kill
{
	my ($node, $name, $how) = @_;
	my $who = $how eq 'kill_postmaster' ? 'the postmaster' : 'process \d+';
	my $log = sub { PostgreSQL::Test::Utils::slurp_file($node->logfile, $node->{_log_seen}) };
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my $killed = wait_until("$name kills on " . $node->name, sub {
		return $log->() =~ /causaldb kills $who at debug point "$name"/;
	});
	if ($killed && $how eq 'kill_postmaster')
	{
		$node->wait_dead;
		disarm($node);
		$node->start;
	}
	elsif ($killed)
	{
		$killed = wait_until('the server restarts itself', sub {
			return $log->() =~ /was terminated by signal 9.*all server processes terminated; reinitializing/s;
		});
	}
	disarm($node) if $how ne 'kill_postmaster';
	# psql would break a pipe of IPC::Run
	wait_until('the server is back', sub {
		return !system('pg_isready', '-q', '-h', $node->host, '-p', $node->port);
	});
	ok($killed, "$name: " . ($how eq 'kill_postmaster' ? 'the postmaster' : 'the process')
		  . ' of ' . $node->name . ' was killed');
	return;
}

# One crash of $node at the point, a name or name:count, while a client writes
# on each of the nodes (two on one that is named twice); then the comparison.
# Options come first: lossy => 1 where the node's own clients commit
# asynchronously, so that what they were told may be lost, if it is lost
# everywhere; also => 'name:action' for another debug point at the same time.
sub crash_at
{
	my $opt = ref $_[0] eq 'HASH' ? shift : {};
	my ($node, $point, $how, @nodes) = @_;
	my ($name, $count) = split /:/, $point;
	my $start = time;
	my @clients = map { crash_client($_) } @nodes;
	my %seen;

	$_->wait_acked(3) foreach @clients;
	arm($node, "$name:$how" . ($count ? ":$count" : '') . ($opt->{also} ? ",$opt->{also}" : ''));
	await_kill($node, $name, $how);
	my $back = time;
	$_->wait_acked(5) foreach @clients;
	$_->stop foreach @clients;
	@clients = grep { $_->{node} != $node } @clients if $opt->{lossy};
	check_clients("$name, $how", \@clients, grep { !$seen{$_}++ } @nodes);
	note(sprintf '%s %s: killed and back after %.1f s, compared after %.1f s',
		$name, $how, $back - $start, time - $start);
	return;
}

# What clients were told against what is there, on every node. Looks at the
# rows of the clients since this library's last look; the counter counts all.
# With { restored => 1 } a writer may have lost what its peers have.
sub check_clients
{
	my ($what, $clients, @nodes) = @_;
	my $opt = ref $nodes[0] eq 'HASH' ? shift @nodes : {};
	my @acked = map { $_->acked } @$clients;
	my @failed = map { $_->failed } @$clients;
	my $from = $looked;
	my %of = map { $_ => "(SELECT * FROM $_ WHERE id > $from)" } qw(t events big);
	my $query = join(' UNION ALL ', "SELECT 'id', id::text FROM $of{t} t",
		"SELECT 'double', count(*) - count(DISTINCT id) || '' FROM $of{events} e",
		qq(SELECT 'torn', count(*)::text FROM $of{t} t FULL JOIN $of{events} e USING (id)
			FULL JOIN (SELECT id, count(*) FROM $of{big} b GROUP BY id) b USING (id)
			WHERE t.id IS NULL OR e.id IS NULL OR (id % 8 = 0) <> (b.id IS NOT NULL) OR b.count <> 100),
		"SELECT 'miscounted', n - (SELECT count(*) FROM t) || '' FROM counters",
		# a peer has what its writer, when it came back, had not
		q(SELECT 'unflushed', count(*)::text FROM causaldb.log l
			JOIN causaldb.stream s ON s.id = l.stream WHERE l.position > s.final),
		"SELECT 'stalled', count(*)::text FROM causaldb.stalled",
		map { qq(SELECT '$_', md5(string_agg(x::text, ',' ORDER BY x::text COLLATE "C")) FROM $of{$_} x) }
		  sort keys %of);
	my %digests;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$looked = 100_000 * ($generation + 1);
	is("@failed", '', "$what: no transaction was refused");
	converge(@nodes);
	foreach my $node (@nodes)
	{
		my $name = $node->name;
		my (%have, %is);

		foreach my $line (split /\n/, $node->run($query))
		{
			my ($key, $value) = split /\|/, $line;
			$have{$value} = 1 if $key eq 'id';
			$is{$key} = $value if $key ne 'id' && !$of{$key};
			$is{unflushed} = 0 if $opt->{restored};
			$digests{$key}{$name} = $value if $of{$key};
		}
		is(join(' ', grep { !$have{$_} } @acked), '',
			"$what: $name has all " . @acked . ' acknowledged');
		is(join(' ', map { "$_ $is{$_}" } sort keys %is),
			'double 0 miscounted 0 stalled 0 torn 0 unflushed 0',
			"$what: on $name nothing is double, miscounted, stalled or torn");
	}
	foreach my $table (sort keys %of)
	{
		my %different = map { $_ => 1 } values %{ $digests{$table} };

		is(scalar keys %different, 1, "$what: $table is the same everywhere")
		  or same_table($of{$table}, @nodes);
	}
	return;
}

# Whole tables, whenever they were written.
sub compare_all
{
	my (@nodes) = @_;
	same_table($_, @nodes) foreach @tables;
	return;
}

1;
