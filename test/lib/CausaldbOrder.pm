# CausaldbOrder: overlapping transactions on two nodes, watched; see
# test/order/commit_order.c for what is counted.
package CausaldbOrder;

use strict;
use warnings;

use Exporter 'import';
use CausaldbTest;

our @EXPORT = qw(order_table drive broken sound);

my $seed = $ENV{CAUSALDB_SEED} // $$;

sub order_table
{
	return q(CREATE TABLE t (writer int, number int, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), PRIMARY KEY (writer, number)));
}

# One run on two nodes; returns its counts.
sub drive
{
	my ($rounds, $transactions, @nodes) = @_;
	my ($out, $err) = PostgreSQL::Test::Utils::run_command(
		[ "$ENV{CAUSALDB_WORK}/tests/build/commit_order", $rounds, $transactions,
			++$seed, map { $_->connstr('postgres') . ' user=postgres' } @nodes ]);

	note("seed $seed: $out");
	diag($err) if $err ne '';
	return $out =~ /(\w+)=(\d+)/g;
}

# What of the counts says that commit order is broken.
sub broken
{
	my (%count) = @_;
	return join(' ', map { $_ . '=' . ($count{$_} // '?') } qw(lost reordered gaps older deps));
}

sub sound { return 'lost=0 reordered=0 gaps=0 older=0 deps=0'; }

1;
