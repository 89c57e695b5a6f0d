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

# name => [ function, short name ], in the order of measuring
our @rows = (
	[ pgbench => \&pgbench_row ],
	[ bulk => \&bulk_row ],
	[ backlog => \&backlog_row ],
	[ large => \&large_row ],
	[ bytes => \&bytes_row ]);

# ------------------------------------------------------------------ servers

my %causaldb = ('shared_preload_libraries' => "'causaldb'");
my %native = ('wal_level' => 'logical');

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
		$note->('seconds', map { "$_->[0] $raw{$_->[0]}[-1] (link $link{$_->[0]}[-1])" } @sides);
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
	my @causaldb = causaldb_nodes(2, $tables, @tag);
	my ($raw, $link) = drain_in_turns($size->{drain_pairs}, $work,
		'SELECT (SELECT sum(abalance) FROM pgbench_accounts), count(*), sum(delta) FROM pgbench_history',
		[ native => @native ], [ causaldb => @causaldb ]);

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
	my @causaldb = causaldb_nodes(2, $tables,
		map { "SELECT causaldb.set_consistency('$_', 'eventual')" } qw(bulk mark));
	my ($raw, $link) = drain_in_turns($size->{large_pairs}, $work, 'SELECT count(*), sum(n) FROM bulk',
		[ native => @native ], [ native_streaming => @streaming ], [ causaldb => @causaldb ]);

	BenchServer::drop_all();
	return {
		large => {
			title => "draining one transaction of $rows inserted rows into a stopped peer",
			against => 'native', unit => 's', better => 'less', goal => 1.5, raw => $raw, link => $link } };
}

# -------------------------------------------------------------------- space

# What the log takes for a one-column UPDATE of an int, one a transaction.
sub bytes_row
{
	my ($size) = @_;
	my $updates = $size->{updates};
	my ($node) = causaldb_nodes(1,
		sub { $_[0]->run('CREATE TABLE t (id int PRIMARY KEY, n int)',
				'INSERT INTO t SELECT g, 0 FROM generate_series(1, 10000) g') },
		"SELECT causaldb.set_consistency('t', 'eventual')");
	my $look = "SELECT pg_relation_size('causaldb.log'), pg_relation_size('causaldb.log_pkey')";
	my $script = "$ENV{HOME}/one_int.sql";
	open my $out, '>', $script or die "$script: $!";
	print $out "\\set id random(1, 10000)\nUPDATE t SET n = n + 1 WHERE id = :id;\n";
	close $out;

	my @before = split /\|/, $node->run($look);
	$node->pgbench(pgoptions => '-c synchronous_commit=off',
		options => [ '-n', '-M', 'prepared', '-c', 4, '-j', 2, '-t', $updates / 4, '-f', $script ]);
	my @after = split /\|/, $node->run($look);
	my ($heap, $key) = map { ($after[$_] - $before[$_]) / $updates } 0, 1;
	$note->('heap, key', $heap, $key);
	BenchServer::drop_all();
	return {
		log_bytes => {
			title => "log of an UPDATE of one int by key, heap and primary key ($updates transactions)",
			unit => 'bytes', better => 'less', goal => 120,
			raw => { heap => [ $heap ], primary_key => [ $key ] } } };
}

1;
