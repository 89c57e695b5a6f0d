# BenchRows: what is measured, one function a comparison.
#
# Each returns { title, goal, unit, better, raw, ... } with every value it has
# seen, in the order of measuring; nothing is thrown away, the report takes the
# medians. The two sides of a comparison always take turns.
package BenchRows;

use strict;
use warnings;

use BenchServer;
use Time::HiRes qw(time);

our $note = sub { };    # told what goes on
our @left_out;          # sentences on what could not be measured here

# name => [ function, short name ], in the order of measuring
our @rows = (
	[ pgbench => \&pgbench_row ],
	[ bulk => \&bulk_row ],
	[ backlog => \&backlog_row ],
	[ large => \&large_row ],
	[ lag => \&lag_row ],
	[ select => \&select_row ],
	[ bytes => \&bytes_row ]);

# ------------------------------------------------------------------ servers

my %causaldb = ('shared_preload_libraries' => "'causaldb'");
my %native = ('wal_level' => 'logical');
my %pglogical = (%native,
	'shared_preload_libraries' => "'pglogical'",
	'track_commit_timestamp' => 'on');

# A cluster of as many nodes with the same tables in it, tagged by $tag.
sub causaldb_nodes
{
	my ($n, $tables, @tag) = @_;
	my @nodes = map { BenchServer->make("causaldb$_", %causaldb) } 1 .. $n;

	foreach my $node (@nodes)
	{
		$node->run('CREATE EXTENSION causaldb');
		$tables->($node);
	}
	$nodes[0]->run("SELECT causaldb.create_cluster('node1', '" . $nodes[0]->dsn . "')",
		"SELECT causaldb.wait_until_ready()");
	$nodes[0]->run(@tag) if @tag;
	foreach my $i (1 .. $#nodes)
	{
		$nodes[$i]->run(sprintf("SELECT causaldb.join_cluster('node%d', '%s', '%s', 'none')",
				$i + 1, $nodes[$i]->dsn, $nodes[0]->dsn),
			'SELECT causaldb.wait_until_ready()');
	}
	return @nodes;
}

# A publisher and its subscriber, equal tables on both.
sub native_pair
{
	my ($tables, $options, $suffix) = @_;
	my @pair = map { BenchServer->make("native$_" . ($suffix // ''), %native) } 1 .. 2;

	$tables->($_) foreach @pair;
	$pair[0]->run('CREATE PUBLICATION all_tables FOR ALL TABLES');
	$pair[1]->run("CREATE SUBSCRIPTION s CONNECTION '" . $pair[0]->dsn
		  . "' PUBLICATION all_tables WITH (copy_data = false" . ($options // '') . ')');
	return @pair;
}

# A provider and its subscriber, equal tables on both; nothing if pglogical is
# not installed. Tables without a key go into the set for those.
sub pglogical_pair
{
	my ($tables) = @_;
	my @pair = map { BenchServer->make("pglogical$_", %pglogical, output_plugins()) } 1 .. 2;

	foreach my $node (@pair)
	{
		$tables->($node);
		$node->run('CREATE EXTENSION pglogical',
			sprintf("SELECT pglogical.create_node('%s', '%s')", $node->{name}, $node->dsn));
	}
	$pair[0]->run("SELECT pglogical.replication_set_add_table(CASE WHEN relhasindex THEN 'default' "
		  . "ELSE 'default_insert_only' END, oid) FROM pg_class "
		  . "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace");
	$pair[1]->run("SELECT pglogical.create_subscription('s', '" . $pair[0]->dsn
		  . "', synchronize_structure := false, synchronize_data := false)",
		"SELECT pglogical.wait_for_subscription_sync_complete('s')");
	return @pair;
}

# Servers of late let only those plugins be used that are named.
sub output_plugins
{
	return unless BenchServer::has_setting('output_plugin_libraries');
	return ('output_plugin_libraries' => "'pgoutput, test_decoding, pglogical_output'");
}

# The side named pglogical, or nothing where there is none.
sub pglogical_side
{
	my ($tables) = @_;
	my $why = 'pglogical: Debian\'s package postgresql-15-pglogical is not installed and could not be.';

	return [ pglogical => pglogical_pair($tables) ] if BenchServer::has_extension('pglogical');
	push @left_out, $why unless grep { $_ eq $why } @left_out;
	return;
}

# ------------------------------------------------------------- foreground

# pgbench -N, tables tagged, no peer, beside a plain server.
sub pgbench_row
{
	my ($size) = @_;
	my $scale = $size->{scale};
	my $fill = sub { $_[0]->pgbench(options => [ '-i', '-q', '-s', $scale ]) };
	my $plain = BenchServer->make('plain');
	my @tag = map { "SELECT causaldb.set_consistency('pgbench_$_', 'eventual')" }
	  qw(accounts branches tellers history);
	my %result;

	$fill->($plain);
	my ($tagged) = causaldb_nodes(1, $fill, @tag);
	foreach my $mode (qw(on off))
	{
		my $run = sub {
			my ($server, $seconds) = @_;
			return $server->pgbench(pgoptions => "-c synchronous_commit=$mode",
				options => [ '-n', '-N', '-M', 'prepared', '-c', 8, '-j', 2, '-T', $seconds ]);
		};
		my %raw = (plain => [], causaldb => []);

		$_->run('CHECKPOINT') foreach $plain, $tagged;
		$run->($_, $size->{warm_up}) foreach $plain, $tagged;
		foreach my $pair (1 .. $size->{pairs})
		{
			my @order = ([ plain => $plain ], [ causaldb => $tagged ]);

			@order = reverse @order if $pair % 2 == 0;
			push @{ $raw{ $_->[0] } }, $run->($_->[1], $size->{seconds}) foreach @order;
			$note->("synchronous_commit $mode", map { $raw{$_}[-1] } qw(plain causaldb));
		}
		$result{"pgbench_$mode"} = {
			title => "pgbench -N, prepared, 8 clients, scale $scale, no peer, synchronous_commit $mode",
			against => 'plain', unit => 'tps', better => 'more', goal => 0.92, raw => \%raw };
	}
	BenchServer::drop_all();
	return \%result;
}

# One large INSERT and one large UPDATE, tagged beside untagged. Fresh tables
# for each pair, so that neither side finds the other's dead rows.
sub bulk_row
{
	my ($size) = @_;
	my $rows = $size->{bulk_rows};
	my $table = sub {
		return "CREATE TABLE bulk_$_[0] (id int PRIMARY KEY, n int, what text, at timestamptz)";
	};
	my $plain = BenchServer->make('plain');
	my ($tagged) = causaldb_nodes(1, sub { });
	my %insert = (plain => [], causaldb => []);
	my %update = (plain => [], causaldb => []);

	foreach my $pair (0 .. $size->{bulk_pairs})
	{
		my @order = ([ plain => $plain ], [ causaldb => $tagged ]);

		@order = reverse @order if $pair % 2 == 0;
		foreach my $side (@order)
		{
			my ($name, $server) = @$side;

			$server->run($table->($pair));
			$server->run("SELECT causaldb.set_consistency('bulk_$pair', 'eventual')")
			  if $name eq 'causaldb';
			$server->run('CHECKPOINT');
			my $inserted = $server->seconds(
				"INSERT INTO bulk_$pair SELECT g, g % 1000, 'row number ' || g, "
				  . "'2026-01-01'::timestamptz + g * interval '1 s' FROM generate_series(1, $rows) g");
			$server->run("VACUUM ANALYZE bulk_$pair", 'CHECKPOINT');
			my $updated = $server->seconds("UPDATE bulk_$pair SET n = n + 1");
			$server->run("TRUNCATE bulk_$pair");

			# the first pair only warms up
			next if $pair == 0;
			push @{ $insert{$name} }, $inserted;
			push @{ $update{$name} }, $updated;
		}
		$note->('insert, update', map { $_->{plain}[-1], $_->{causaldb}[-1] } \%insert, \%update)
		  if $pair;
	}
	BenchServer::drop_all();
	return {
		bulk_insert => {
			title => "INSERT ... SELECT of $rows rows (int key, int, text, timestamptz)",
			against => 'plain', unit => 's', better => 'less', goal => 0.5, raw => \%insert },
		bulk_update => {
			title => "UPDATE of one int in all $rows rows",
			against => 'plain', unit => 's', better => 'less', goal => 0.6, raw => \%update } };
}

# ------------------------------------------------------------------ draining

my $mark_table = 'CREATE TABLE mark (id int PRIMARY KEY)';

sub marked { return "EXISTS (SELECT FROM mark WHERE id = $_[0])"; }

# One drain: the peer is stopped, $work is done on the source between two
# marks, the peer is started. Returns seconds from the call that starts the
# peer to its having the last mark, and to its having the first.
sub drain
{
	my ($source, $peer, $mark, $work) = @_;
	my ($first, $last) = (2 * $mark, 2 * $mark + 1);

	$peer->when(marked($first - 1)) if $mark > 1;
	$peer->stop;
	$source->run("INSERT INTO mark VALUES ($first)");
	$work->($source);
	$source->run("INSERT INTO mark VALUES ($last)");
	my $began = time;
	$peer->start;
	my @seen = $peer->when(marked($first), marked($last));
	return ($seen[1] - $began, $seen[0] - $began);
}

# Drains in turns; @sides are [ name, source, peer ].
sub drain_in_turns
{
	my ($pairs, $work, $check, @sides) = @_;
	my (%raw, %link);

	foreach my $pair (1 .. $pairs)
	{
		foreach my $side ($pair % 2 ? @sides : reverse @sides)
		{
			my ($name, $source, $peer) = @$side;
			my ($all, $link) = drain($source, $peer, $pair, $work);
			my ($here, $there) = map { $_->run($check) } $source, $peer;

			die "$name: the peer has $there, its source $here\n" if $here ne $there;
			push @{ $raw{$name} }, $all;
			push @{ $link{$name} }, $link;
		}
		$note->(map { sprintf "%s %.2f s (link %.2f)", $_->[0], $raw{ $_->[0] }[-1], $link{ $_->[0] }[-1] } @sides);
	}
	return (\%raw, \%link);
}

# Two-row transactions: pgbench's UPDATE of an account and INSERT into history,
# from eight sessions at once.
sub backlog_row
{
	my ($size) = @_;
	my $scale = $size->{backlog_scale};
	my $each = $size->{backlog} / 8;
	my $tables = sub {
		my ($server) = @_;
		$server->pgbench(options => [ '-i', '-q', '-s', $scale ]);
		$server->run('TRUNCATE pgbench_history', $mark_table);
	};
	# eight sessions, each a loop on the server: only the drain is measured
	my $script = "$ENV{HOME}/two_rows.sql";
	open my $out, '>', $script or die "$script: $!";
	print $out <<"EOS";
DO \$\$
DECLARE
	account int;
	amount int;
BEGIN
	FOR i IN 1 .. $each LOOP
		account := 1 + floor(random() * 100000 * $scale);
		amount := floor(random() * 10000) - 5000;
		UPDATE pgbench_accounts SET abalance = abalance + amount WHERE aid = account;
		INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, account, amount, CURRENT_TIMESTAMP);
		COMMIT;
	END LOOP;
END \$\$;
EOS
	close $out;
	my $work = sub {
		$_[0]->pgbench(pgoptions => '-c synchronous_commit=off',
			options => [ '-n', '-c', 8, '-j', 2, '-t', 1, '-f', $script ]);
	};
	my @tag = map { "SELECT causaldb.set_consistency('$_', 'eventual')" }
	  qw(pgbench_accounts pgbench_history mark);
	my @native = native_pair($tables);
	my @streaming = native_pair($tables, ', streaming = on', 'streaming');
	my @pglogical = pglogical_side($tables);
	my @causaldb = causaldb_nodes(2, $tables, @tag);
	my ($raw, $link) = drain_in_turns($size->{drain_pairs}, $work,
		'SELECT (SELECT sum(abalance) FROM pgbench_accounts), count(*), sum(delta) FROM pgbench_history',
		[ native => @native ], [ native_streaming => @streaming ], @pglogical, [ causaldb => @causaldb ]);

	BenchServer::drop_all();
	return {
		backlog => {
			title => "draining $size->{backlog} transactions of two rows (UPDATE by key, INSERT) into a stopped peer",
			against => 'native', unit => 's', better => 'less', goal => 2, raw => $raw, link => $link } };
}

# One transaction of many rows, against native with and without streaming.
sub large_row
{
	my ($size) = @_;
	my $rows = $size->{bulk_rows};
	my $tables = sub {
		$_[0]->run('CREATE TABLE bulk (run int, id int, n int, what text, at timestamptz, PRIMARY KEY (run, id))',
			$mark_table);
	};
	my $run = 0;
	my $work = sub {
		$run++;
		$_[0]->run("INSERT INTO bulk SELECT $run, g, g % 1000, 'row number ' || g, "
			  . "'2026-01-01'::timestamptz + g * interval '1 s' FROM generate_series(1, $rows) g");
	};
	my @native = native_pair($tables);
	my @streaming = native_pair($tables, ', streaming = on', 'streaming');
	my @pglogical = pglogical_side($tables);
	my @causaldb = causaldb_nodes(2, $tables,
		map { "SELECT causaldb.set_consistency('$_', 'eventual')" } qw(bulk mark));
	my ($raw, $link) = drain_in_turns($size->{large_pairs}, $work, 'SELECT count(*), sum(n) FROM bulk',
		[ native => @native ], [ native_streaming => @streaming ], @pglogical, [ causaldb => @causaldb ]);

	BenchServer::drop_all();
	return {
		large => {
			title => "draining one transaction of $rows inserted rows into a stopped peer",
			against => 'native', unit => 's', better => 'less', goal => 1.5, raw => $raw, link => $link } };
}

# ---------------------------------------------------------------------- lag

my $lag_rate = 1000;
my $lag_writers = 8;

# First sight on the peer minus the return of COMMIT at a steady rate; lag.c is
# the client. In turns, all samples kept by steps of 10 us.
sub lag_row
{
	my ($size) = @_;
	my $tables = sub {
		$_[0]->run('CREATE TABLE lag (writer int PRIMARY KEY, n int)',
			"INSERT INTO lag SELECT g, 0 FROM generate_series(0, $lag_writers - 1) g");
	};
	my @native = native_pair($tables);
	my @causaldb = causaldb_nodes(2, $tables, "SELECT causaldb.set_consistency('lag', 'eventual')");
	my @sides = ([ native => @native ], [ causaldb => @causaldb ]);
	my $samples = $size->{lag_samples} / $size->{lag_turns};
	my %lag = map { $_->[0] => { steps => {}, median => [], p99 => [], tps => [], poll => [] } } @sides;

	lag_turn(@$_, $size->{lag_warm_up}) foreach @sides;
	foreach my $turn (1 .. $size->{lag_turns})
	{
		foreach my $side ($turn % 2 ? @sides : reverse @sides)
		{
			my $all = $lag{ $side->[0] };
			my $found = lag_turn(@$side, $samples);

			$all->{steps}{$_} += $found->{steps}{$_} foreach keys %{ $found->{steps} };
			push @{ $all->{median} }, percentile($found->{steps}, 50);
			push @{ $all->{p99} }, percentile($found->{steps}, 99);
			push @{ $all->{$_} }, $found->{$_} foreach qw(tps poll);
		}
		$note->('median, 99 %, ms', map { $_->[0], map { $_->[-1] } @{ $lag{ $_->[0] } }{qw(median p99)} } @sides);
	}
	BenchServer::drop_all();
	return {
		lag => {
			title => "lag at $lag_rate transactions a second: first sight on the peer minus return of COMMIT, "
			  . "$size->{lag_samples} samples",
			goal => { median => 2, p99 => 20 }, unit => 'ms', step_us => 10,
			overall => { map {
				my $steps = $lag{$_}{steps};
				$_ => { median => percentile($steps, 50), p99 => percentile($steps, 99) }
			} keys %lag },
			lag => \%lag } };
}

# One run of the client between the two; all rows begin at 0 again.
sub lag_turn
{
	my ($name, $source, $peer, $samples) = @_;
	my %found = (steps => {});

	$source->run('UPDATE lag SET n = 0');
	$peer->when('NOT EXISTS (SELECT FROM lag WHERE n <> 0)');
	my @words = map { quotemeta } BenchServer::program('bench-lag'), $source->dsn, $peer->dsn, $samples,
	  $lag_rate, $lag_writers;
	foreach (`@words 2>&1`)
	{
		if (/^tps (\d+)$/) { $found{tps} = $1 + 0 }
		elsif (/^poll ([\d.]+) ([\d.]+)$/) { $found{poll} = [ $1 + 0, $2 + 0 ] }
		elsif (/^(-?\d+) (\d+)$/) { $found{steps}{$1} = $2 + 0 }
		else { die "bench-lag, $name: $_" }
	}
	die "bench-lag failed on $name\n" if $? || !defined $found{tps};
	return \%found;
}

# In ms, the upper end of the step.
sub percentile
{
	my ($steps, $percent) = @_;
	my ($all, $below) = (0, 0);

	$all += $_ foreach values %$steps;
	foreach my $step (sort { $a <=> $b } keys %$steps)
	{
		$below += $steps->{$step};
		return ($step + 1) / 100 if $below * 100 >= $percent * $all;
	}
	die "no samples\n";
}

# ------------------------------------------------------------------ reading

# A SELECT by key: instructions in a server of one process, then throughput.
sub select_row
{
	my ($size) = @_;
	return { select_instructions($size), select_throughput($size) };
}

# Instructions of one EXECUTE of a prepared SELECT by key: what a run with many
# of them takes more than a run with few.
sub select_instructions
{
	my ($size) = @_;

	if (system('valgrind --version >/dev/null 2>&1') != 0)
	{
		push @left_out, 'instructions of a SELECT: Debian\'s package valgrind is not installed and could not be.';
		return ();
	}
	my ($node) = causaldb_nodes(1,
		sub {
			$_[0]->run(map { ("CREATE TABLE $_ (id int PRIMARY KEY, n int, what text)",
						"INSERT INTO $_ SELECT g, g, 'row ' || g FROM generate_series(1, 1000) g",
						"VACUUM ANALYZE $_") } qw(tagged untagged)) },
		"SELECT causaldb.set_consistency('tagged', 'eventual')");
	# all hint bits are set and nothing is left to recover
	$node->run('VACUUM ANALYZE tagged', 'VACUUM ANALYZE untagged', 'CHECKPOINT');
	$node->stop;
	my @sides = (
		[ plain => 'untagged', '' ],
		[ tagged_only => 'tagged', '' ],
		[ preloaded_only => 'untagged', 'causaldb' ],
		[ causaldb => 'tagged', 'causaldb' ]);
	my ($few, $many) = (100, 100 + $size->{select_count});
	my %raw;

	foreach my $turn (1 .. $size->{select_turns})
	{
		foreach my $side (@sides)
		{
			my ($name, $table, $preload) = @$side;
			my ($less, $more) = map { $node->instructions($preload, select_script($table, $_)) } $few, $many;

			push @{ $raw{$name} }, ($more - $less) / ($many - $few);
		}
		$note->('instructions', map { $_->[0], $raw{ $_->[0] }[-1] } @sides);
	}
	BenchServer::drop_all();
	return (select_instructions => {
			title => 'instructions of a SELECT by key, prepared (callgrind, single-user server)',
			unit => 'instructions', goal => 1, raw => \%raw });
}

sub select_script
{
	my ($table, $n) = @_;
	my $script = "PREPARE by_key(int) AS SELECT n, what FROM $table WHERE id = \$1;\n"
	  . "SET plan_cache_mode = force_generic_plan;\n";

	$script .= sprintf "EXECUTE by_key(%d);\n", 1 + $_ * 7 % 1000 foreach 1 .. $n;
	return $script;
}

# Two untagged servers and a tagged one, in turns of changing order.
sub select_throughput
{
	my ($size) = @_;
	my $scale = $size->{scale};
	my $fill = sub { $_[0]->pgbench(options => [ '-i', '-q', '-s', $scale ]) };
	my @plain = map { BenchServer->make($_) } qw(plain plain_again);

	$fill->($_) foreach @plain;
	my ($tagged) = causaldb_nodes(1, $fill,
		map { "SELECT causaldb.set_consistency('pgbench_$_', 'eventual')" } qw(accounts branches tellers history));
	my @sides = ([ plain => $plain[0] ], [ plain_again => $plain[1] ], [ causaldb => $tagged ]);
	my $run = sub {
		my ($server, $seconds) = @_;
		return $server->pgbench(
			options => [ '-n', '-S', '-M', 'prepared', '-c', 8, '-j', 2, '-T', $seconds ]);
	};
	my %raw;

	$_->[1]->run('CHECKPOINT') foreach @sides;
	$run->($_->[1], $size->{warm_up}) foreach @sides;
	foreach my $turn (1 .. $size->{read_turns})
	{
		push @sides, shift @sides;
		push @{ $raw{ $_->[0] } }, $run->($_->[1], $size->{read_seconds}) foreach @sides;
		$note->('SELECT', map { $raw{$_}[-1] } qw(plain plain_again causaldb));
	}
	BenchServer::drop_all();
	return (select_tps => {
			title => "pgbench -S, prepared, 8 clients, scale $scale",
			unit => 'tps', raw => \%raw });
}

# -------------------------------------------------------------------- space

# What the log takes for a one-column UPDATE of an int, one a transaction:
# alone, and where each names what it has seen of two peers.
sub bytes_row
{
	my ($size) = @_;
	return {
		log_bytes => log_bytes($size, 1, 'no peer'),
		log_bytes_peers => log_bytes($size, 3, 'two peers in deps') };
}

sub log_bytes
{
	my ($size, $nnodes, $what) = @_;
	my $updates = $size->{updates};
	my ($node, @peers) = causaldb_nodes($nnodes,
		sub { $_[0]->run('CREATE TABLE t (id int PRIMARY KEY, n int)',
				'INSERT INTO t SELECT g, 0 FROM generate_series(1, 10000) g') },
		"SELECT causaldb.set_consistency('t', 'eventual')");
	my $look = "SELECT pg_relation_size('causaldb.log'), pg_relation_size('causaldb.log_pkey')";
	my $script = "$ENV{HOME}/one_int.sql";
	open my $out, '>', $script or die "$script: $!";
	print $out "\\set id random(1, 10000)\nUPDATE t SET n = n + 1 WHERE id = :id;\n";
	close $out;

	# one transaction of each peer is all that deps need to name it
	foreach my $i (0 .. $#peers)
	{
		$peers[$i]->run("UPDATE t SET n = -7 WHERE id = $i + 1");
		$node->when("(SELECT n FROM t WHERE id = $i + 1) = -7");
	}
	my @before = split /\|/, $node->run($look);
	$node->pgbench(pgoptions => '-c synchronous_commit=off',
		options => [ '-n', '-M', 'prepared', '-c', 4, '-j', 2, '-t', $updates / 4, '-f', $script ]);
	my @after = split /\|/, $node->run($look);
	my ($heap, $key) = map { ($after[$_] - $before[$_]) / $updates } 0, 1;
	my $deps = $node->run('SELECT avg(length(deps)) FROM causaldb.log');
	$note->("heap, key; $what, deps of $deps bytes", $heap, $key);
	BenchServer::drop_all();
	return {
		title => "log of an UPDATE of one int by key, $what, heap and primary key ($updates transactions)",
		unit => 'bytes', better => 'less', goal => 120,
		raw => { heap => [ $heap ], primary_key => [ $key ] } };
}

1;
