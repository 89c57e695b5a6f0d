# BenchStrong: rows on strong columns, beside PostgreSQL's own way of having a
# majority hold what is committed: two synchronous standbys of which one has to
# answer (synchronous_standby_names = 'ANY 1 (...)'), synchronous_commit on.
#
# One stage serves all rows: three nodes, and a primary with its standbys. They
# idle while the other side is measured. Each client has keys of its own.
package BenchStrong;

use strict;
use warnings;

use BenchServer;
use Time::HiRes qw(time);

our @rows = (
	[ strong_latency => \&latency_row ],
	[ strong_throughput => \&throughput_row ],
	[ strong_reads => \&reads_row ],
	[ strong_hot => \&hot_row ],
	[ strong_failover => \&failover_row ],
	[ strong_elsewhere => \&elsewhere_row ]);

my $clients_most = 32;
my $accounts = 3200 * $clients_most;
my %stage;    # nodes, by_name, quorum: made by the first row that asks

# ------------------------------------------------------------------ the stage

sub tables
{
	my ($server) = @_;

	$server->run(
		'CREATE TABLE account (aid int PRIMARY KEY, bid int, abalance int, filler char(84))',
		'CREATE TABLE history (id bigint PRIMARY KEY, tid int, bid int, aid int, delta int, mtime timestamptz, filler char(22))',
		'CREATE TABLE hot (id int PRIMARY KEY, n int)',
		'CREATE TABLE untagged (LIKE account INCLUDING ALL)',
		"INSERT INTO account SELECT g, 1, 0, '' FROM generate_series(1, $accounts) g",
		'INSERT INTO untagged SELECT * FROM account',
		'INSERT INTO hot SELECT g, 0 FROM generate_series(1, 100) g',
		'VACUUM ANALYZE account', 'VACUUM ANALYZE untagged');
	return;
}

sub stage
{
	return \%stage if %stage;
	my $quorum = BenchServer->make('quorum');

	tables($quorum);
	$quorum->standby($_) foreach qw(standby1 standby2);
	$quorum->run("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby1, standby2)'",
		'SELECT pg_reload_conf()');
	$quorum->when("(SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum') = 2");

	my @nodes = BenchRows::causaldb_nodes(3, \&tables);
	$nodes[0]->when("(SELECT count(*) FROM causaldb.strong_status WHERE membership = 'voter') = 3");
	$nodes[0]->run(map { "SELECT causaldb.set_consistency('$_', 'strong')" } qw(account history hot));
	%stage = (
		quorum => $quorum,
		nodes => \@nodes,
		by_name => { map { ("node$_" => $nodes[ $_ - 1 ]) } 1 .. 3 });
	settle();
	return \%stage;
}

# All nodes name one leader and have applied what it has.
sub settle
{
	$_->when('causaldb.leader() IS NOT NULL') foreach @{ $stage{nodes} };
	leader()->when('(SELECT bool_and(lag = 0) FROM causaldb.strong_status)');
	return;
}

sub leader
{
	return $stage{by_name}{ $stage{nodes}[0]->run('SELECT causaldb.leader()') };
}

sub other
{
	my $leader = leader();
	my ($other) = grep { $_ != $leader } @{ $stage{nodes} };
	return $other;
}

sub script
{
	my ($name, $text) = @_;
	my $file = "$ENV{HOME}/$name.sql";

	open my $out, '>', $file or die "$file: $!";
	print $out $text;
	close $out;
	return $file;
}

# What pgbench -N does; every client has keys of its own.
sub write_script
{
	return script('strong_write', <<"EOS");
\\set aid random(0, $accounts / $clients_most - 1) * $clients_most + :client_id + 1
\\set delta random(-5000, 5000)
\\set id random(1, 4611686018427387904)
BEGIN;
UPDATE account SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM account WHERE aid = :aid;
INSERT INTO history (id, tid, bid, aid, delta, mtime) VALUES (:id, 1, 1, :aid, :delta, CURRENT_TIMESTAMP);
END;
EOS
}

# For so long; to warm up, 0, a few transactions of every client.
sub options
{
	my ($file, $clients, $seconds) = @_;
	return [ '-n', '-M', 'prepared', '-c', $clients, '-j', 1, '-f', $file,
		$seconds ? ('-T', $seconds) : ('-t', 50) ];
}

# ------------------------------------------------------------------ writing

# One client: the COMMIT alone, and the whole transaction, whose UPDATE and
# SELECT are linearizable reads.
sub latency_row
{
	my ($size) = @_;
	my $stage = stage();
	my $file = write_script();
	my %server = (quorum => $stage->{quorum}, leader => leader(), other => other());
	my (%commit, %all);

	foreach my $turn (0 .. $size->{pairs})
	{
		my @order = $turn % 2 ? qw(quorum leader other) : qw(other leader quorum);

		foreach my $side (@order)
		{
			my ($whole, $end) = $server{$side}->latencies(
				options => options($file, 1, $turn ? $size->{strong_seconds} : 0));

			# the first turn only warms up
			next unless $turn;
			push @{ $all{$side} }, $whole;
			push @{ $commit{$side} }, $end;
		}
		$BenchRows::note->('commit, whole, ms', map { ($_, $commit{$_}[-1], $all{$_}[-1]) } @order) if $turn;
	}
	my $row = sub {
		my ($what, $place, $goal, $raw) = @_;
		return {
			title => "$what, 1 client at $place",
			against => 'quorum', unit => 'ms', better => 'less', goal => $goal,
			raw => { quorum => $raw->{quorum}, causaldb => $raw->{ $place eq 'another node' ? 'other' : 'leader' } } };
	};
	return {
		strong_commit_leader => $row->('COMMIT of strong writes', "the leader's node", 0.77, \%commit),
		strong_commit_other => $row->('COMMIT of strong writes', 'another node', 0.62, \%commit),
		strong_latency_leader => $row->('pgbench -N on strong tables', "the leader's node", 0.77, \%all),
		strong_latency_other => $row->('pgbench -N on strong tables', 'another node', 0.62, \%all) };
}

sub throughput_row
{
	my ($size) = @_;
	my $stage = stage();
	my $file = write_script();
	my %result;

	foreach my $clients (8, $clients_most)
	{
		my %server = (quorum => $stage->{quorum}, causaldb => leader());
		my %raw;

		foreach my $turn (0 .. $size->{pairs})
		{
			foreach my $side ($turn % 2 ? qw(quorum causaldb) : qw(causaldb quorum))
			{
				my $tps = $server{$side}->pgbench(
					options => options($file, $clients, $turn ? $size->{strong_seconds} : 0));
				push @{ $raw{$side} }, $tps if $turn;
			}
			$BenchRows::note->("$clients clients, tps", map { ($_, $raw{$_}[-1]) } sort keys %raw) if $turn;
		}
		$result{"strong_throughput_$clients"} = {
			title => "pgbench -N on strong tables, $clients clients at the leader's node",
			against => 'quorum', unit => 'tps', better => 'more', goal => 0.8, raw => \%raw };
	}
	return \%result;
}

# ------------------------------------------------------------------ reading

# By key, 16 readers, beside the same of an untagged table of the same server:
# on a follower, and at the leader with its lease.
sub reads_row
{
	my ($size) = @_;
	my $stage = stage();
	my %file = map {
		$_ => script("read_$_", "\\set aid random(1, $accounts)\nSELECT abalance FROM $_ WHERE aid = :aid;\n")
	} qw(account untagged);
	my %of = (plain => 'untagged', causaldb => 'account');
	my $measure = sub {
		my ($server) = @_;
		my %raw;

		foreach my $turn (0 .. $size->{pairs})
		{
			foreach my $side ($turn % 2 ? qw(plain causaldb) : qw(causaldb plain))
			{
				my $tps = $server->pgbench(
					options => options($file{ $of{$side} }, 16, $turn ? $size->{strong_seconds} : 0));
				push @{ $raw{$side} }, $tps if $turn;
			}
			$BenchRows::note->('16 readers, tps', map { ($_, $raw{$_}[-1]) } sort keys %raw) if $turn;
		}
		return \%raw;
	};
	my $row = sub {
		my ($where, $goal, $raw) = @_;
		return {
			title => "strong read by key, 16 readers $where",
			against => 'plain', unit => 'tps', better => 'more', goal => $goal, raw => $raw };
	};
	my $follower = $measure->(other());

	set_all("causaldb.leader_lease = 'on'");
	my $lease = $measure->(leader());
	set_all("causaldb.leader_lease = 'off'");
	return {
		strong_reads => $row->('on a follower', 0.4, $follower),
		strong_reads_lease => $row->('at the leader, with causaldb.leader_lease', 0.9, $lease) };
}

sub set_all
{
	my ($setting) = @_;

	$_->run("ALTER SYSTEM SET $setting", 'SELECT pg_reload_conf()') foreach @{ $stage{nodes} };
	return;
}

# ------------------------------------------------------------------ contention

# 16 sessions on three nodes, every other write on one row: whoever is told that
# it is committed is counted once in the rows, whoever is told 40001 is not.
sub hot_row
{
	my ($size) = @_;
	my @nodes = @{ stage()->{nodes} };
	my $each = $size->{hot_writes} / 16;
	my $sum = 'SELECT sum(n) FROM hot';
	my $before = leader()->run($sum);
	my (@pipes, %told);
	my $began = time;

	foreach my $client (0 .. 15)
	{
		my $own = 2 + $client;
		my $file = script("hot_$client",
			"\\set VERBOSITY sqlstate\n"
			  . join('', map { sprintf "UPDATE hot SET n = n + 1 WHERE id = %d;\n", $_ % 2 ? 1 : $own } 1 .. $each));
		open my $pipe, '-|', $nodes[ $client % 3 ]->psql($file) or die "psql: $!";
		push @pipes, $pipe;
	}
	foreach my $pipe (@pipes)
	{
		while (my $line = <$pipe>)
		{
			if ($line =~ /ERROR:\s+(\w{5})/) { $told{$1}++ }
			elsif ($line =~ /^UPDATE 1$/) { $told{ok}++ }
			else { die "psql: $line" }
		}
		close $pipe or die "psql failed\n";
	}
	my $seconds = time - $began;
	settle();
	my @sums = map { $_->run($sum) - $before } @nodes;
	my ($ok, $unknown) = ($told{ok} // 0, $told{40003} // 0);

	die "nodes differ: @sums\n" if grep { $_ != $sums[0] } @sums;
	die "lost or doubled: $ok were told so, $unknown do not know, rows have $sums[0]\n"
	  if $sums[0] < $ok || $sums[0] > $ok + $unknown;
	$BenchRows::note->('winners a second', $ok / $seconds, map { ("told $_:", $told{$_}) } sort keys %told);
	return {
		strong_hot => {
			title => "16 sessions on three nodes, half of their writes on one row ($size->{hot_writes} tried, none lost)",
			unit => 'winners a second', goal => 300, raw => { causaldb => [ $ok / $seconds ] }, told => \%told } };
}

# ------------------------------------------------------------------ failover

# From SIGKILL of the leader's postmaster until a client of another node that
# does nothing but try has a strong write acknowledged.
sub failover_row
{
	my ($size) = @_;
	my @nodes = @{ stage()->{nodes} };
	my $write = 'UPDATE hot SET n = n + 1 WHERE id = 100';
	my $sum = 'SELECT n FROM hot WHERE id = 100';
	my $before = leader()->run($sum);
	my (@seconds, $acknowledged);

	foreach my $turn (1 .. $size->{leader_kills})
	{
		my $leader = leader();
		my ($client) = grep { $_ != $leader } @nodes;

		my $killed = time;
		my $pid = $leader->kill;
		1 until $client->tries($write);
		push @seconds, time - $killed;
		$acknowledged++;
		# until its parent has noticed, no server can start there
		select undef, undef, undef, 0.01 while kill 0, $pid;
		$leader->start;
		settle();
		$BenchRows::note->("kill $turn, seconds", $seconds[-1]);
	}
	my $after = leader()->run($sum);
	die "lost: $acknowledged were acknowledged, the row has @{[ $after - $before ]}\n"
	  if $after - $before < $acknowledged;
	return {
		strong_failover => {
			title => 'time without strong writes after SIGKILL of the leader',
			unit => 's', goal => { median => 2, worst => 3 }, raw => { causaldb => \@seconds } } };
}

# ------------------------------------------------------ tables without strong columns

# Instructions of a statement on a table that is untagged or eventual, in the
# same database before and after another table has become strong.
sub elsewhere_row
{
	my ($size) = @_;
	my %statement = (
		SELECT => 'AS SELECT n, what FROM %s WHERE id = $1',
		UPDATE => 'AS UPDATE %s SET n = n + 1 WHERE id = $1',
		INSERT => "AS INSERT INTO %s VALUES (1000000 + \$1, 1, 'new')");
	my %row;

	if (system('valgrind --version >/dev/null 2>&1') != 0)
	{
		push @BenchRows::left_out,
		  'instructions beside a strong table: Debian\'s package valgrind is not installed and could not be.';
		return {};
	}
	BenchServer::drop_all();
	%stage = ();
	my @tables = qw(eventual untagged);
	my ($node) = BenchRows::causaldb_nodes(1,
		sub {
			$_[0]->run(map { ("CREATE TABLE $_ (id int PRIMARY KEY, n int, what text)",
						"INSERT INTO $_ SELECT g, g, 'row ' || g FROM generate_series(1, 2000) g") } @tables, 'strong') },
		"SELECT causaldb.set_consistency('eventual', 'eventual')");

	foreach my $side (qw(before after))
	{
		$node->run("SELECT causaldb.set_consistency('strong', 'strong')") if $side eq 'after';
		foreach my $table (@tables)
		{
			foreach my $what (sort keys %statement)
			{
				push @{ $row{"$what, $table"}{$side} },
				  map { instructions($node, sprintf($statement{$what}, $table), $size->{select_count}) } 1 .. $size->{select_turns};
			}
		}
	}
	BenchServer::drop_all();
	return {
		strong_elsewhere => {
			title => 'instructions of a statement on a table without strong columns, once another table has one (callgrind, single-user server)',
			unit => 'instructions', goal => 1, raw => \%row } };
}

# Of one EXECUTE: what a run with many takes more than a run with few. Each
# run begins with the same rows.
sub instructions
{
	my ($node, $statement, $n) = @_;
	my ($few, $many) = map { $_ + 100 } 0, $n;
	my $script = sub {
		return "PREPARE it(int) $statement;\nSET plan_cache_mode = force_generic_plan;\n"
		  . "SET synchronous_commit = off;\nBEGIN;\n"
		  . join('', map { sprintf "EXECUTE it(%d);\n", $_ } 1 .. $_[0]) . "ROLLBACK;\n";
	};
	$node->run('VACUUM FULL eventual', 'VACUUM FULL untagged', 'VACUUM ANALYZE', 'CHECKPOINT');
	$node->stop;
	my ($less, $more) = map { $node->instructions('causaldb', $script->($_)) } $few, $many;
	$node->start;
	$node->when('causaldb.leader() IS NOT NULL');

	$BenchRows::note->($statement, ($more - $less) / $n);
	return ($more - $less) / $n;
}

1;
