# CausaldbApart: nodes that write apart from each other, and crowds of clients
# that write at random.
package CausaldbApart;

use strict;
use warnings;

use CausaldbTest ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(usleep);

our @EXPORT = qw(hold_all pass_all apart random_rounds);

sub import
{
	my $caller = caller;
	no strict 'refs';
	*{"${caller}::$_"} = \&{$_} foreach @EXPORT;
	return;
}

sub _each_way
{
	my ($nodes, $do) = @_;
	foreach my $from (@$nodes)
	{
		foreach my $to (@$nodes)
		{
			$do->(CausaldbTest::link_between($from, $to), $from, $to)
			  if $from != $to;
		}
	}
	return;
}

sub hold_all
{
	return _each_way([@_], sub { $_[0]->hold($_[1], $_[2]) });
}

sub pass_all
{
	return _each_way([@_], sub { $_[0]->pass($_[1], $_[2]) });
}

# Runs SQL on nodes that cannot hear each other: apart($nodes, i => sql, ...),
# nodes counted from 1. Returns when all have everything.
sub apart
{
	my ($nodes, @writes) = @_;

	hold_all(@$nodes);
	while (my ($i, $sql) = splice @writes, 0, 2)
	{
		$nodes->[ $i - 1 ]->run($sql);
	}
	pass_all(@$nodes);
	CausaldbTest::converge(@$nodes);
	return;
}

# Starts psql on a script; its errors go to a file beside it.
my $scripts = 0;

sub _start
{
	my ($node, $sql) = @_;
	my $file = $node->basedir . '/crowd' . ++$scripts;
	my $pid;

	open my $out, '>', $file or die "$file: $!";
	print $out $sql;
	close $out;
	$pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		local %ENV = $node->_get_env();
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', "$file.errors";
		exec 'psql', '-Xq', '-d', $node->connstr('postgres'), '-f', $file;
	}
	return { pid => $pid, errors => "$file.errors" };
}

sub _shake_links
{
	my ($nodes) = @_;

	_each_way(
		$nodes,
		sub {
			my ($link, $from, $to) = @_;
			my $dice = int(rand 4);

			return $link->hold($from, $to) if $dice == 0;
			return $link->delay($from, $to, int(rand 40)) if $dice == 1;
			return $link->pass($from, $to);
		});
	return;
}

# Crowds of clients write while links are held, delayed and released; after
# each round all nodes must have the same rows. Options:
#
#	rounds, clients (a node), transactions (a client), transaction => sub that
#	returns the SQL of one, tables => [...], round => sub called after each
#
# Returns how many rounds went well; stops at the first that did not. Errors
# of clients are test failures: replication never makes a local one fail.
sub random_rounds
{
	my ($nodes, %opt) = @_;
	my $good = 0;

	foreach my $round (1 .. $opt{rounds})
	{
		my @crowd;

		hold_all(@$nodes) if rand() < 0.3;
		foreach my $node (@$nodes)
		{
			foreach (1 .. $opt{clients})
			{
				push @crowd, _start($node, join "\n",
					map { $opt{transaction}->() } 1 .. $opt{transactions});
			}
		}
		foreach (1 .. 1 + int(rand 4))
		{
			usleep(int(rand 60_000));
			_shake_links($nodes);
		}
		foreach my $client (@crowd)
		{
			waitpid($client->{pid}, 0);
			my $errors = PostgreSQL::Test::Utils::slurp_file($client->{errors});
			Test::More::fail("a client of round $round failed: $errors")
			  if $errors ne '' && !($opt{errors} && $errors =~ $opt{errors});
		}
		pass_all(@$nodes);
		CausaldbTest::converge(@$nodes);
		last unless _same_everywhere($nodes, $opt{tables}, $round);
		$good++;
	}
	return $good;
}

sub _same_everywhere
{
	my ($nodes, $tables, $round) = @_;
	my $same = 1;

	foreach my $table (@$tables)
	{
		my @rows = map { CausaldbTest::table_rows($_, $table) } @$nodes;

		next unless grep { $_ ne $rows[0] } @rows;
		$same = 0;
		Test::More::diag("round $round: $table differs");
		Test::More::diag($nodes->[$_]->name . ":\n$rows[$_]") foreach 0 .. $#rows;
		_show_history($nodes, $table, \@rows);
	}
	return $same;
}

# What each node has of the first row that differs, for whoever must find out.
sub _show_history
{
	my ($nodes, $table, $rows) = @_;
	my %count;
	my $id;

	foreach my $all (@$rows)
	{
		$count{$_}++ foreach split /\n/, $all;
	}
	foreach my $row (sort keys %count)
	{
		next if $count{$row} == @$rows;
		($id) = $row =~ /^\((\d+)/;
		last;
	}
	return unless defined $id;
	foreach my $node (@$nodes)
	{
		Test::More::diag('log of row ' . $id . ' on ' . $node->name . ":\n"
			  . $node->run(
				"SELECT stamp, stream, operation, column_name, old, new
				   FROM causaldb.history
				  WHERE relation LIKE '%$table' AND (key->>'id')::numeric = $id
				  ORDER BY position DESC, stream LIMIT 60"));
		Test::More::diag('streams of ' . $node->name . ":\n"
			  . $node->run('SELECT stream, node, applied, stable FROM causaldb.streams'));
	}
	return;
}

1;
