# Claim: whichever way a statement reads strong columns, or the rows of a table
# with one, it sees every strong write acknowledged anywhere before it began,
# on every node; and with the wait taken out, every way is seen to read what is
# old. What does not depend on them waits for nobody.
use CausaldbTest;
use IPC::Run;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE seats (id int PRIMARY KEY, status int, note text);
	CREATE TABLE bookings (id int PRIMARY KEY, seat int REFERENCES seats);
	CREATE TABLE plain (id int PRIMARY KEY, v int);
));
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('seats', 'strong', '{status}')");
$a->run("SELECT causaldb.set_consistency('seats', 'eventual', '{note}')");
$a->run("SELECT causaldb.set_consistency('bookings', 'eventual')");
$a->run('INSERT INTO seats SELECT g, 0 FROM generate_series(1, 100) g');
converge(@nodes);
$c->run(q(
	CREATE VIEW shown AS SELECT status FROM seats WHERE id = 1;
	CREATE FUNCTION f_volatile() RETURNS int LANGUAGE plpgsql VOLATILE AS
		'BEGIN RETURN (SELECT status FROM seats WHERE id = 1); END';
	CREATE FUNCTION f_stable() RETURNS int LANGUAGE plpgsql STABLE AS
		'BEGIN RETURN (SELECT status FROM seats WHERE id = 1); END';
	CREATE FUNCTION f_sql() RETURNS int LANGUAGE sql VOLATILE AS
		'SELECT status FROM seats WHERE id = 1';
	CREATE FUNCTION f_sql_stable() RETURNS int LANGUAGE sql STABLE AS
		'SELECT status FROM seats WHERE id = 1';
	CREATE TABLE plain_rows AS SELECT g FROM generate_series(1, 3) g;
	ANALYZE plain_rows;
	CREATE FUNCTION f_parallel() RETURNS int LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS
		'BEGIN RETURN (SELECT status FROM seats WHERE id = 1); END';
	CREATE FUNCTION f_set() RETURNS SETOF int LANGUAGE sql STABLE AS
		'SELECT status FROM seats WHERE id = 1';
));

my $select = 'SELECT status FROM seats WHERE id = 1';
my $v = 0;

# the last line of what psql prints, or the error
sub psql_gives
{
	my ($sql, @options) = @_;
	my ($ret, $out, $err) = $c->psql('postgres', $sql, @options);
	return $ret == 0 ? ((split /\n/, $out)[-1] // '') : "error: $err";
}

# pgbench speaks the protocols that psql does not; its script divides by zero
# when what it reads is old
sub pgbench_gives
{
	my ($mode, $options, $times) = @_;
	my $file = $c->basedir . '/script.sql';

	open my $out, '>', $file or die "$file: $!";
	print $out "SELECT 1 / (status = $v)::int FROM seats WHERE id = 1;\n" x ($times // 1);
	close $out;
	local $ENV{PGOPTIONS} = $options // '';
	my $ok = IPC::Run::run(
		[ 'pgbench', '-n', '-t', 1, '-M', $mode, '-f', $file, '-h', $c->host, '-p', $c->port, '-U', 'postgres', 'postgres' ],
		'>', \my $stdout, '2>', \my $stderr);
	return $ok && $stdout =~ /transactions actually processed: 1\/1/ ? $v : 'old';
}

# sessions that were there, with their plans, before the write
my %old;
foreach my $mode (qw(custom generic))
{
	$old{$mode} = $c->session;
	$old{$mode}->query_safe("SET plan_cache_mode = force_${mode}_plan; PREPARE p(int) AS SELECT status FROM seats WHERE id = \$1; EXECUTE p(1)");
}

my @ways = (
	[ 'a simple query' => sub { psql_gives($select) } ],
	[ 'the extended protocol' => sub { pgbench_gives('extended') } ],
	[ 'a named prepared statement, custom plan' => sub { pgbench_gives('prepared', '-c plan_cache_mode=force_custom_plan', 2) } ],
	[ 'a named prepared statement, generic plan' => sub { pgbench_gives('prepared', '-c plan_cache_mode=force_generic_plan', 2) } ],
	[ 'EXECUTE of an old statement, custom plan' => sub { $old{custom}->query_safe('EXECUTE p(1)') } ],
	[ 'EXECUTE of an old statement, generic plan' => sub { $old{generic}->query_safe('EXECUTE p(1)') } ],
	[ 'a cursor and FETCH' => sub { psql_gives("BEGIN; DECLARE k CURSOR FOR $select; FETCH k; COMMIT") } ],
	[ 'a statement in a block' => sub { psql_gives("BEGIN; $select; COMMIT") } ],
	[ 'a PL/pgSQL function, volatile' => sub { psql_gives('SELECT f_volatile()') } ],
	[ 'a PL/pgSQL function, stable' => sub { psql_gives('SELECT f_stable()') } ],
	[ 'an SQL function, volatile' => sub { psql_gives('SELECT f_sql()') } ],
	[ 'an SQL function, stable' => sub { psql_gives('SELECT f_sql_stable()') } ],
	[ 'an SQL function in FROM' => sub { psql_gives('SELECT * FROM f_set()') } ],
	[ 'a DO block' => sub { psql_gives("DO \$\$ BEGIN IF (SELECT status FROM seats WHERE id = 1) <> $v THEN RAISE 'old'; END IF; END \$\$; SELECT $v") } ],
	[ 'a view' => sub { psql_gives('SELECT * FROM shown') } ],
	[ 'a CTE' => sub { psql_gives("WITH q AS MATERIALIZED ($select) SELECT * FROM q") } ],
	[ 'a subselect in a statement on another table' => sub { psql_gives("SELECT v.x FROM (VALUES ($v)) v(x) WHERE v.x = (SELECT status FROM seats WHERE id = 1)") } ],
	[ 'COPY of a query' => sub { psql_gives("COPY ($select) TO STDOUT") } ],
	[ 'COPY of the table' => sub { (split /\t/, (grep { /^1\t/ } split /\n/, $c->run('COPY seats TO STDOUT'))[0])[1] } ],
	[ 'CREATE TABLE AS' => sub { psql_gives("CREATE TEMP TABLE x AS $select; SELECT * FROM pg_temp.x") } ],
	[ 'a parallel query' => sub { psql_gives("SET force_parallel_mode = on; SET parallel_setup_cost = 0; $select") } ],
	[ 'a function in a parallel query' => sub { psql_gives("SET force_parallel_mode = on; SET parallel_setup_cost = 0; SELECT f_parallel()") } ],
	[ 'a function in the leader of a parallel query' => sub { psql_gives("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = on; SET max_parallel_workers = 0; SELECT min(f_parallel()) FROM plain_rows") } ],
	[ 'a parallel query, REPEATABLE READ' => sub { psql_gives("SET default_transaction_isolation = 'repeatable read'; SET force_parallel_mode = on; SET parallel_setup_cost = 0;\n$select") } ],
	[ 'the last one of several in a string' => sub { psql_gives("SELECT 1 \\; $select") } ],
	[ 'SERIALIZABLE, alone' => sub { psql_gives("SET default_transaction_isolation = 'serializable';\n$select") } ],
	[ 'REPEATABLE READ, alone' => sub { psql_gives("SET default_transaction_isolation = 'repeatable read';\n$select") } ],
	[ 'REPEATABLE READ, in a block' => sub { psql_gives("BEGIN ISOLATION LEVEL REPEATABLE READ; $select; COMMIT") } ],
	[ 'REPEATABLE READ, set in a block' => sub { psql_gives("BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; $select; COMMIT") } ],
	[ 'WHERE of an UPDATE of an eventual column' => sub { psql_gives("UPDATE seats SET note = 'n' WHERE id = 1 AND status = $v RETURNING $v") } ],
	[ 'RETURNING of an UPDATE of an eventual column' => sub { psql_gives('UPDATE seats SET note = \'n\' WHERE id = 1 RETURNING status') } ]);

# what depends on a row that was inserted elsewhere; the key is 1000 + $v
my @rows = (
	[ 'count(*)' => sub { psql_gives('SELECT count(*) + ' . ($v - 1) . ' FROM seats WHERE id = ' . (1000 + $v)) } ],
	[ 'an eventual column alone' => sub { psql_gives("SELECT $v FROM seats WHERE note = 'made $v'") } ],
	[ 'ON CONFLICT' => sub { psql_gives('WITH i AS (INSERT INTO seats VALUES (' . (1000 + $v) . ", 0) ON CONFLICT DO NOTHING RETURNING 1) SELECT $v - count(*) FROM i") } ],
	[ 'a foreign key' => sub { psql_gives("INSERT INTO bookings VALUES ($v, " . (1000 + $v) . ") RETURNING $v") } ]);

sub write_elsewhere
{
	my ($makes_row) = @_;
	$v++;
	$a->run($makes_row
		? "INSERT INTO seats VALUES (1000 + $v, $v, 'made $v')"
		: "UPDATE seats SET status = $v WHERE id = 1");
	return;
}

# n3 plays what others write late, and every way waits for it
$c->set_debug_point('strong_play_before:delay:150');
foreach my $row (0, 1)
{
	foreach my $way ($row ? @rows : @ways)
	{
		write_elsewhere($row);
		is($way->[1]->(), $v, "$way->[0] sees the write");
	}
}

# without the wait, all of them read what is old
$c->clear_debug_point;
converge(@nodes);
$c->set_conf('causaldb.break', 'no_read_barrier');
$_->query_safe("SELECT 'the setting is read'") foreach values %old;
$c->set_debug_point('strong_play_before:hang');
foreach my $row (0, 1)
{
	foreach my $way ($row ? @rows : @ways)
	{
		write_elsewhere($row);
		isnt($way->[1]->(), $v, "broken: $way->[0] does not");
	}
}
$c->clear_debug_point;
converge(@nodes);
$c->set_conf('causaldb.break', undef);

# ------------------------------------------------------------ who does not wait
$c->set_debug_point('strong_play_before:hang');
write_elsewhere(0);
$c->run("SET causaldb.strong_timeout = '300ms'; SELECT count(*) FROM plain; INSERT INTO plain VALUES (1, 1)");
is($c->run("SET causaldb.strong_timeout = '300ms'; UPDATE seats SET note = 'mine' WHERE id = 2 RETURNING note"), 'mine',
	'an eventual UPDATE of a strong table waits for nobody');
is($c->run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT v FROM plain; COMMIT"), 1,
	'nor does a REPEATABLE READ block that reads nothing strong');
isnt($c->run("SET causaldb.strong_reads = off; $select"), $v, 'strong_reads = off reads what is here');
sql_error($c, "SET causaldb.strong_timeout = '300ms'; $select", '57P03', 'a strong read that cannot be had in time fails');
sql_error($c, "SET causaldb.strong_timeout = '300ms'; SET causaldb.strong_reads = always; SELECT v FROM plain", '57P03',
	'with always, so does any other');
sql_error($c, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT v FROM plain; $select; COMMIT", '40001',
	'REPEATABLE READ whose snapshot does not cover it');
$c->clear_debug_point;
converge(@nodes);

# ------------------------------------------------------------ bounded staleness
is($c->run("SET causaldb.max_staleness = '1h'; $select"), $v, 'nothing is known yet: max_staleness asks');
$c->set_debug_point('strong_play_before:hang');
write_elsewhere(0);
is($c->run("SET causaldb.max_staleness = '1h'; $select"), $v - 1, 'then it reads what was fresh within that time');
sql_error($c, "SET causaldb.strong_timeout = '300ms'; SET causaldb.max_staleness = '1ms'; SELECT pg_sleep(0.01); $select", '57P03',
	'and asks again when it is over');
$c->clear_debug_point;
converge(@nodes);

# ------------------------------------------------------------ no quorum
$_->kill9 foreach $a, $b;
$c->wait_sql('SELECT causaldb.leader() IS NULL');
my $said = sql_error($c, $select, '57P03', 'no quorum, no strong read');
like($said, qr/HINT:.*causaldb\.strong_status/, 'the hint tells where to look');
is($c->run('SELECT v FROM plain'), 1, 'other tables are read');
is($c->run("UPDATE seats SET note = 'alone' WHERE id = 3 RETURNING note"), 'alone', 'and eventual columns written');
$_->start foreach $a, $b;
$c->wait_sql($select, $v);
# who is about to be killed must not lead, or nobody does for a while
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach $a, $b;
$c->run("SELECT causaldb.transfer_leadership('n1')");
$_->wait_sql("SELECT causaldb.leader() = 'n1'") foreach $a, $b;

# ------------------------------------------------------------ a start
# before the node knows what it has missed, it knows that it does not know
$c->kill9;
write_elsewhere(0);
my @said;
$c->append_conf('postgresql.auto.conf', "causaldb.debug_point = 'consensus_starts:hang'");
$c->start;
foreach (1 .. 3)
{
	my ($ret, $out) = $c->psql('postgres', $select);
	push @said, $ret == 0 ? $out : 'refused';
}
is("@said", 'refused refused refused', 'a node that has just started does not say what it had before');
is($c->run('SELECT v FROM plain'), 1, 'but what is not strong');
$c->clear_debug_point;
$c->wait_sql($select, $v);
converge(@nodes);
same_table('seats', @nodes);
$_->quit foreach values %old;

done_testing();
