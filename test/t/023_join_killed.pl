# Claim: a join that is killed at any step has left nothing here but what
# causaldb.join_progress says, and the command it tells finishes it, with the
# node id that was given out and every row once. copy 'none' is refused where
# tables differ, unless forced.
#
# CAUSALDB_ALL=1 takes every step of every kind of copy, with the backend and
# with the whole server killed.
use CausaldbTest;

my @everywhere = ('join_asked', 'join_admitted', 'join_snapshot', 'join_history', 'join_row', 'join_copied');
my %steps = (
	none => [ @everywhere, 'join_compared' ],
	data => [ @everywhere, 'join_table', 'join_rows' ],
	all => [ @everywhere, 'join_table', 'join_rows', 'join_schema', 'join_indexes' ]);
my @cases = (
	[ 'none', 'join_compared', 'kill_once' ],
	[ 'none', 'join_history', 'kill_postmaster' ],
	[ 'data', 'join_row', 'kill_postmaster' ],
	[ 'data', 'join_rows', 'kill_once' ],
	[ 'all', 'join_schema', 'kill_once' ],
	[ 'all', 'join_indexes', 'kill_postmaster' ]);
if ($ENV{CAUSALDB_ALL})
{
	@cases = ();
	foreach my $copy (sort keys %steps)
	{
		push @cases, [ $copy, $_, 'kill_once' ], [ $copy, $_, 'kill_postmaster' ] foreach @{ $steps{$copy} };
	}
}

my $a = new_node('n1');
my $d = new_node('n2');
my $table = 'CREATE TABLE t (id serial PRIMARY KEY, v text, UNIQUE (id, v));';
my $rows = "INSERT INTO t (v) SELECT 'row ' || g FROM generate_series(1, 20) g;";
$d->knows($a);
$a->knows($d);
$a->run("$table $rows");
$a->create_cluster;
$a->run("SELECT causaldb.wait_until_ready(); SELECT causaldb.set_consistency('t', 'eventual');
	UPDATE t SET v = 'other' WHERE id = 7");
my $same = "$table $rows UPDATE t SET v = 'other' WHERE id = 7;";

# Fails the test if the SQL does.
sub in
{
	my ($db, $sql) = @_;
	return $d->safe_psql($db, $sql);
}

sub kill_at
{
	my ($db, $join, $point, $how) = @_;

	unlink $d->data_dir . "/debug_point.$point";
	$d->set_debug_point("$point:$how");
	my ($ret) = $d->psql($db, $join);
	isnt($ret, 0, "$db: killed at $point by $how");
	if ($how eq 'kill_postmaster')
	{
		$d->wait_dead;
		$d->clear_debug_point_offline;
		$d->start;
		return;
	}
	wait_until('the server is back', sub { ($d->psql('postgres', 'SELECT 1'))[0] == 0 });
	$d->clear_debug_point;
	return;
}

my $id = 1;
foreach my $case (@cases)
{
	my ($copy, $point, $how) = @$case;
	my $db = "j" . ++$id;
	my $dsn = $d->dsn . " dbname=$db";
	my $join = sprintf("SELECT causaldb.join_cluster('%s', '%s', '%s', '%s')", $db, $dsn, $a->dsn, $copy);
	my $known = $point eq 'join_asked' ? 'none' : $id;

	$d->run("CREATE DATABASE $db");
	in($db, 'CREATE EXTENSION causaldb;' . ($copy eq 'none' ? $same : $copy eq 'data' ? $table : ''));
	kill_at($db, $join, $point, $how);
	is(in($db, 'SELECT count(*) FROM causaldb.local_node'), 0, "$db: it is no node");
	is(in($db, "SELECT count(*) FROM pg_class WHERE relname = 't'"), $copy eq 'all' ? 0 : 1, "$db: its tables are as before");
	is(in($db, 'SELECT count(*) FROM t'), $copy eq 'none' ? 20 : 0, "$db: with the rows of before") unless $copy eq 'all';
	is(in($db, "SELECT coalesce((SELECT state || ' ' || coalesce(id::text, 'none') FROM causaldb.join_progress), 'none')"),
		$known eq 'none' ? 'none' : "interrupted $known", "$db: and that is what join_progress says");
	like(in($db, 'SELECT what_to_do FROM causaldb.join_progress'),
		qr/keeps node id $id for $db .*Type SELECT causaldb\.join_cluster\('$db', \.\.\., copy => '$copy'\); again/,
		"$db: with what to type") if $known ne 'none';
	in($db, $join);
	is(in($db, 'SELECT node FROM causaldb.local_node'), $id, "$db: which makes it node $id");
	is(in($db, "SELECT state FROM causaldb.join_progress"), 'done', "$db: done");
	# a crash makes a sequence that was used before skip some
	cmp_ok(in($db, "INSERT INTO t (v) VALUES ('$db') RETURNING id"), $copy eq 'none' ? '>=' : '==', 21, "$db: sequences go on");
	in($db, 'DELETE FROM t WHERE id > 20');
	is(in($db, "SELECT count(*) || ' ' || count(DISTINCT id) FROM t WHERE id <= 20"), '20 20', "$db: every row is there once");
	my $token = in($db, 'SELECT causaldb.token()');
	$a->run("SELECT causaldb.wait_for('$token', '60 s')");
	is(scalar(my @files = glob($d->data_dir . '/causaldb/*.join')), 0, "$db: no file is left");
	$d->run("DROP DATABASE $db");
}
is($a->run('SELECT count(*), max(id) FROM causaldb.node'), "$id|$id", 'each has used one node id');

# tables that are declared equal are compared
$d->run("CREATE DATABASE other");
in('other', "CREATE EXTENSION causaldb; $same");
in('other', "UPDATE t SET v = 'ROW 3' WHERE id = 3");
my $none = sprintf("SELECT causaldb.join_cluster('other', '%s', '%s', 'none'", $d->dsn . ' dbname=other', $a->dsn);
my (undef, undef, $said) = $d->psql('other', "\\set VERBOSITY verbose\n$none)", on_error_stop => 1);
like($said, qr/ERROR:  55000: table public\.t is not the same here as in the cluster/, 'a table that differs is refused');
like($said, qr/DETAIL:  Here it has (\d+) rows with digest [0-9a-f]{16}, there \d+ rows with digest [0-9a-f]{16}\./, 'with counts and digests');
like($said, qr/HINT:  Type TRUNCATE public\.t; and join with copy => 'data', or with force => true/, 'and what to type');
in('other', "$none, force => true)");
is(in('other', "SELECT v FROM t WHERE id = 3"), 'ROW 3', 'forced, it joins as it is');
done_testing();
