# CausaldbTest: what a TAP test needs to run and judge several servers.
#
# A test file says `use CausaldbTest;` and gets Test::More, strict, warnings
# and the functions below. Servers are CausaldbNode objects, a subclass of
# PostgreSQL::Test::Cluster; they are stopped and removed at the end of the
# file. Everything lies on Unix sockets in folders of this run, so that any
# number of runs can share a machine.
#
#	my ($a, $b, $c) = new_cluster(3);		# created, joined, ready
#	$a->run('INSERT INTO t VALUES (1)');
#	converge($a, $b, $c);					# by token() and wait_for()
#	same_table('t', $a, $b, $c);			# one test point
package CausaldbTest;

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time usleep);
use PostgreSQL::Test::Utils ();
use CausaldbNode;
use CausaldbLink;
use CausaldbClient;

our @EXPORT = qw(new_node new_cluster converge same_table table_rows
  wait_until link_between record_client sql_error);

sub import
{
	my $caller = caller;
	strict->import;
	warnings->import;
	no strict 'refs';
	*{"${caller}::$_"} = \&{$_} foreach @EXPORT;
	Test::More->export_to_level(1, $caller);
	return;
}

# What cannot go on ends its own file, not the whole run.
{
	no warnings 'redefine';
	*Test::Builder::BAIL_OUT = sub {
		my ($builder, $why) = @_;
		$builder->ok(0, "cannot go on: $why");
		exit 255;
	};
}

# A server of its own, started, with the extension in database postgres.
#
#	build		'testing' (default) or 'release'
#	preload		0 leaves shared_preload_libraries empty
#	conf		{ setting => value }, over the defaults
#	start		0 leaves it stopped (and without extension)
#	extension	0 leaves out CREATE EXTENSION
sub new_node
{
	my ($name, %opt) = @_;
	my $node = CausaldbNode->make($name, %opt);

	return $node if defined $opt{start} && !$opt{start};
	$node->start;
	$node->run('CREATE EXTENSION causaldb')
	  unless defined $opt{extension} && !$opt{extension};
	return $node;
}

# n servers n1 .. nN in one cluster, ready. Options of new_node, and
#
#	before		SQL run on every node before the cluster exists
#	copy		how the others join: 'none' (default), 'data' or 'all'
#	links		1 puts a CausaldbLink between every pair (see link_between)
#	ready		0 does not wait until the nodes are ready
#	cluster		0 leaves the servers to themselves, no cluster is made
sub new_cluster
{
	my ($n, %opt) = @_;
	my $copy = delete $opt{copy} // 'none';
	my $before = delete $opt{before};
	my $links = delete $opt{links};
	my $ready = delete $opt{ready} // 1;
	my $cluster = delete $opt{cluster} // 1;
	my @nodes = map { CausaldbNode->make("n$_", %opt) } 1 .. $n;

	foreach my $node (@nodes)
	{
		$node->knows($_) foreach @nodes;
	}
	if ($links)
	{
		foreach my $i (0 .. $#nodes)
		{
			CausaldbLink->make($nodes[$i], $nodes[$_])
			  foreach $i + 1 .. $#nodes;
		}
	}
	foreach my $node (@nodes)
	{
		$node->start;
		$node->run('CREATE EXTENSION causaldb');
		$node->run($before) if defined $before;
	}
	return @nodes unless $cluster;
	$nodes[0]->create_cluster;
	$_->join_cluster($nodes[0], $copy) foreach @nodes[ 1 .. $#nodes ];
	if ($ready)
	{
		$_->run("SELECT causaldb.wait_until_ready('60 s')") foreach @nodes;
	}
	return @nodes;
}

# The link made by new_cluster(links => 1) between two nodes.
sub link_between
{
	my ($a, $b) = @_;
	return CausaldbLink->between($a, $b);
}

# Commits transactions on a node from another process and writes down which
# of them the server acknowledged; see CausaldbClient.
sub record_client
{
	my ($node, %opt) = @_;
	return CausaldbClient->start($node, %opt);
}

# Waits until every node has what any of them had at the time of the call.
sub converge
{
	my @nodes = @_;
	my @tokens = map { $_->run('SELECT causaldb.token()') } @nodes;

	foreach my $node (@nodes)
	{
		$node->run(join '', map { "SELECT causaldb.wait_for('$_', '60 s');" } @tokens);
	}
	return;
}

# All rows of a table as text, sorted bytewise.
sub table_rows
{
	my ($node, $table) = @_;
	return $node->run(
		qq(SELECT t::text FROM $table t ORDER BY t::text COLLATE "C"));
}

# One test point: the table has the same rows on every node. On failure says
# which rows differ.
sub same_table
{
	my ($table, @nodes) = @_;
	my $digest = qq(SELECT count(*) || ' ' ||
		coalesce(md5(string_agg(md5(t::text), '' ORDER BY t::text COLLATE "C")), '')
		FROM $table t);
	my @digests = map { $_->run($digest) } @nodes;
	my $name = "$table is the same on " . join(', ', map { $_->name } @nodes);
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return pass("$name, $digests[0]") unless grep { $_ ne $digests[0] } @digests;
	foreach my $i (1 .. $#nodes)
	{
		next if $digests[$i] eq $digests[0];
		_show_difference($table, $nodes[0], $nodes[$i]);
	}
	return fail($name);
}

sub _show_difference
{
	my ($table, $a, $b) = @_;
	my (%count, $shown);

	$count{$_}++ foreach split /\n/, table_rows($a, $table);
	$count{$_}-- foreach split /\n/, table_rows($b, $table);
	foreach my $row (sort keys %count)
	{
		next if !$count{$row};
		diag(sprintf('%s only on %s: %s',
				$table, ($count{$row} > 0 ? $a : $b)->name, $row));
		last if ++$shown >= 20;
	}
	return;
}

# Polls a perl condition until it holds; a test point only when it does not.
sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $end = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	while (time < $end)
	{
		return 1 if $condition->();
		usleep(50_000);
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	fail("waited in vain until $what");
	return 0;
}

# Runs SQL that must fail; one test point on its SQLSTATE. Returns all psql
# printed about it, for tests of detail and hint.
sub sql_error
{
	my ($node, $sql, $sqlstate, $name) = @_;
	my ($ret, undef, $stderr) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	my ($got) = $stderr =~ /ERROR:\s+([0-9A-Z]{5}):/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($ret == 0 ? 'no error' : $got // $stderr, $sqlstate, $name // $sql);
	return $stderr;
}

1;
