# Claim: what cannot be applied stalls its own stream and nothing else, says
# why and where, is tried again and heals by itself when the cause is gone.
# What crashes the applying process is given up after three marked tries, and
# the server stays up. set_aside is the last resort. In a deadlock with local
# clients apply is the victim: replication never makes a local one fail.
# Length of the deadlock part: CAUSALDB_DEADLOCKS.
use CausaldbTest;

my $deadlocks = $ENV{CAUSALDB_DEADLOCKS} // 60;

my @nodes = new_cluster(
	3,
	links => 1,
	conf => { 'causaldb.stall_retry_max' => '300ms', 'causaldb.relay_delay' => '1h' },
	before => q(
	CREATE TABLE t (id int PRIMARY KEY, a text, b text);
	CREATE TABLE other (id int PRIMARY KEY, a text);
	CREATE TABLE counters (id int PRIMARY KEY, n int);
));
my ($n1, $n2, $n3) = @nodes;

$n1->run("SELECT causaldb.set_consistency('t', 'eventual');
	SELECT causaldb.set_consistency('other', 'eventual');
	SELECT causaldb.set_consistency('counters', 'eventual');
	SELECT causaldb.set_merge('counters', 'n', 'counter')");
converge(@nodes);

my $what = 'SELECT node, sqlstate, relation, message FROM causaldb.stalled';

# Waits until n2 has a stall of that SQLSTATE and returns its columns.
sub stalled_as
{
	my ($sqlstate, $name) = @_;
	$n2->wait_sql("SELECT string_agg(sqlstate, ',') FROM causaldb.stalled", $sqlstate);
	my ($node, $state, $relation, $message) = split /\|/, $n2->run($what);
	is($state, $sqlstate, "$name: $message");
	return ($node, $relation, $message);
}

sub healed
{
	my ($name) = @_;
	$n2->wait_sql('SELECT count(*) FROM causaldb.stalled', 0);
	converge(@nodes);
	same_table('t', @nodes);
	is($n2->run('SELECT count(*) FROM causaldb.stall'), 0, "$name: healed by itself");
	return;
}

# ------------------------------------------------------------ a missing table
link_between($n1, $n3)->hold($n1 => $n3);
$_->run('CREATE TABLE late (id int PRIMARY KEY)') foreach $n1, $n3;
$n1->run("SELECT causaldb.set_consistency('late', 'eventual'); INSERT INTO late VALUES (1)");
my ($node) = stalled_as('42P01', 'a missing table stalls');
is($node, 'n1', 'the stream of its writer');
$n3->run("INSERT INTO t VALUES (1, 'of n3', '')");
$n2->wait_sql('SELECT count(*) FROM t', 1);
pass('what does not depend on it goes on');
link_between($n1, $n3)->pass($n1 => $n3);
$n3->wait_sql('SELECT count(*) FROM late', 1);
$n3->run("INSERT INTO t VALUES (2, 'having seen it', '')");
$n2->wait_sql("SELECT EXISTS (SELECT FROM causaldb.streams WHERE node = 'n3' AND waiting_for LIKE 'n1 up to %')");
is($n2->run('SELECT count(*) FROM t'), 1, 'what depends on it waits for it');
$n2->run('CREATE TABLE late (id int PRIMARY KEY)');
healed('the table is created');
same_table('late', @nodes);

# ------------------------------------------------------------ a missing column
$n2->run('ALTER TABLE t DROP COLUMN b');
$n1->run("INSERT INTO t VALUES (10, 'a', 'b')");
my (undef, $relation, $message) = stalled_as('42703', 'a missing column stalls');
is($relation, 'public.t', 'with its table');
like($n2->run('SELECT hint FROM causaldb.stalled'), qr/ALTER TABLE/, 'and what to type');
like($n2->run('SELECT context FROM causaldb.stalled'), qr/applying change 1 on public\.t of transaction \d+ of node 1/,
	'and where it was');
$n1->run("UPDATE t SET b = ''");
$n2->run('ALTER TABLE t ADD COLUMN b text DEFAULT $$$$');
healed('the column is added');

# ------------------------------------------------------------ constraints
$n2->run("CREATE UNIQUE INDEX only_here ON t (a)");
$n1->run("INSERT INTO t VALUES (20, 'of n3', '')");
stalled_as('23505', 'a unique index of one node stalls');
$n2->wait_sql('SELECT tries > 2 FROM causaldb.stalled');
pass('it is tried again and again');
is($n2->run('SELECT last_at > first_at FROM causaldb.stalled'), 't', 'at times that are shown');
$n2->run("DELETE FROM t WHERE id = 1");
healed('the row in its way is deleted');
$n2->run('DROP INDEX only_here');

$n2->run("ALTER TABLE t ADD CONSTRAINT short CHECK (length(a) < 20) NOT VALID");
$n1->run("INSERT INTO t VALUES (21, repeat('long', 10), '')");
stalled_as('23514', 'a check of one node stalls');
$n2->run('ALTER TABLE t DROP CONSTRAINT short');
healed('the check is dropped');

# ------------------------------------------------------------ set aside
$n2->run('DROP TABLE other');
$n1->run("INSERT INTO other VALUES (1, 'kept aside'); INSERT INTO t VALUES (30, 'next', '')");
stalled_as('42P01', 'a dropped table stalls');
my ($stream, $position) = split /\|/, $n2->run('SELECT stream, position FROM causaldb.stalled');
like(sql_error($n2, "SELECT causaldb.set_aside($stream, $position + 1)", '55000', 'only what is stalled is set aside'),
	qr/HINT:  .*causaldb\.stalled/, 'with a hint where to look');
$n2->run('CREATE ROLE somebody');
sql_error($n2, "SET ROLE somebody; SELECT causaldb.set_aside($stream, $position)", '42501',
	'only an administrator sets aside');
like($n2->run("SELECT causaldb.set_aside($stream, $position)"),
	qr/node n1 at position $position.*node n2 only.*lost_found.*may differ/s, 'set_aside says what follows');
$n2->wait_sql('SELECT count(*) FROM t WHERE id = 30', 1);
pass('the stream goes on');
is($n2->run('SELECT node, position, relation, operation, key, new_values FROM causaldb.lost_found'),
	qq(n1|$position|public.other|INSERT|{"id": 1}|{"a": "kept aside", "id": 1}), 'the values are in lost_found');
is($n3->run('SELECT count(*) FROM other'), 1, 'other nodes have applied it');
healed('set aside');

# ------------------------------------------------------------ poison
sub up { return ($n2->psql('postgres', 'SELECT 1'))[0] == 0 }

# A transaction of n1 that kills the process which applies it on n2.
sub poison
{
	my ($id) = @_;
	converge(@nodes);
	# so that what n3 writes does not depend on it; rows only, as members write
	# changes of their own when a node has started
	link_between($n1, $n3)->hold($n1 => $n3);
	$n2->set_debug_point('apply_row_done:kill');
	$n1->run("INSERT INTO t VALUES ($id, 'poison', 'p')");
	wait_until('it is given up', sub {
			my ($ret, $out) = $n2->psql('postgres', 'SELECT crashes FROM causaldb.stalled');
			return $ret == 0 && defined $out && $out eq '3';
	});
	$n2->clear_debug_point;
	return split /\|/, $n2->run('SELECT stream, position FROM causaldb.stalled');
}

my $log = -s $n2->logfile;
($stream, $position) = poison(40);
my @kills = PostgreSQL::Test::Utils::slurp_file($n2->logfile, $log) =~ /kills process/g;
# one more if it was applied among others first, unmarked
ok(@kills == 3 || @kills == 4, 'three marked tries crashed: ' . @kills . ' crashes');
like($n2->run('SELECT message FROM causaldb.stalled'), qr/crashed the applying process 3 times and is not tried any more/,
	'and that is the reason shown');
my $start = $n2->run('SELECT pg_postmaster_start_time()');
$n3->run("INSERT INTO counters VALUES (99, 0)");
$n2->wait_sql('SELECT count(*) FROM counters', 1);
ok(up() && $n2->run('SELECT pg_postmaster_start_time()') eq $start, 'the server stays up and other streams go on');
is($n2->run('SELECT count(*) FROM t WHERE id = 40'), 0, 'it is not tried any more, even where it would do no harm now');
link_between($n1, $n3)->pass($n1 => $n3);
like($n2->run("SELECT causaldb.retry($stream, $position)"), qr/tried again now, and its crashes are counted from zero/,
	'retry gives it another chance');
healed('poison, retried');

($stream, $position) = poison(41);
link_between($n1, $n3)->pass($n1 => $n3);
$n2->run("SELECT causaldb.set_aside($stream, $position)");
$n1->run("INSERT INTO t VALUES (42, 'after poison', '')");
$n2->wait_sql('SELECT count(*) FROM t WHERE id = 42', 1);
is($n2->run("SELECT string_agg(new_values->>'a', ',') FROM causaldb.lost_found WHERE relation = 'public.t'"), 'poison',
	'poison set aside is in lost_found');
is($n2->run('SELECT count(*) FROM t WHERE id = 41'), 0, 'and not in the table');
$n2->run("INSERT INTO t VALUES (41, 'poison', 'p')");

# ------------------------------------------------------------ locks
my $holder = $n2->session;
$holder->query_safe("BEGIN; UPDATE t SET a = 'held' WHERE id = 2");
my $pid = $holder->query_safe('SELECT pg_backend_pid()');
$n1->run("UPDATE t SET b = 'waits' WHERE id = 2");
$n2->wait_sql("SELECT pid = $pid AND relation = 't'::regclass AND since <= clock_timestamp() FROM causaldb.apply_waits");
pass('apply that waits for a row says for whom, where and since when');
$holder->query_safe('COMMIT');
converge(@nodes);
same_table('t', @nodes);
$holder->query_safe('BEGIN; LOCK TABLE t IN EXCLUSIVE MODE');
$n1->run("UPDATE t SET b = 'waits again' WHERE id = 2");
$n2->wait_sql("SELECT pid = $pid AND relation = 't'::regclass FROM causaldb.apply_waits");
pass('and so for a table');
$holder->query_safe('COMMIT');
$holder->quit;
converge(@nodes);

# ------------------------------------------------------------ deadlocks
# Clients of n2 lock rows upwards, transactions of n1 and n3 come in locking
# them downwards; among themselves the clients of a node never deadlock.
$n1->run('INSERT INTO counters SELECT g, 0 FROM generate_series(1, 4) g');
converge(@nodes);

sub crowd
{
	my ($node, $n, @rows) = @_;
	return map {
		record_client(
			$node,
			limit => $deadlocks,
			sql => sub {
				return map {
					("UPDATE counters SET n = n + 1 WHERE id = $_",
						'SELECT pg_sleep(' . rand(0.02) . ')')
				} @rows;
			})
	} 1 .. $n;
}

my @up = crowd($n2, 3, 1 .. 4);
my @down = (crowd($n1, 1, reverse 1 .. 4), crowd($n3, 1, reverse 1 .. 4));
$_->finish foreach @up, @down;
is(join(' ', map { $_->failed } @up), '', 'no local client was ever the victim');
converge(@nodes);
same_table('counters', @nodes);
is($n2->run('SELECT min(n) || $$ $$ || max(n) FROM counters WHERE id < 5'),
	join(' ', (scalar map { $_->acked } @up, @down) x 2), 'every acknowledged addition counts once');

# A client that waits for apply, close to its deadlock_timeout, while apply
# comes to wait for it: who looks first would be the victim.
$holder = $n2->session;
foreach my $round (1 .. 3)
{
	my $waits = 'SELECT count(*) FROM causaldb.apply_waits';

	$n2->wait_sql($waits, 0);
	$holder->query_safe('BEGIN; UPDATE counters SET n = n WHERE id = 1');
	# apply has row 4 and waits for row 1
	$n1->run('BEGIN; UPDATE counters SET n = n + 1 WHERE id = 4; UPDATE counters SET n = n + 1 WHERE id = 1; COMMIT');
	$n2->wait_sql($waits, 1);
	my $got = $holder->query('UPDATE counters SET n = n + 1 WHERE id = 4 RETURNING $$updated$$');
	like($got, qr/updated/, "round $round: the client that closes the circle goes on");
	$holder->query_safe('COMMIT');
	converge(@nodes);
}
$holder->quit;
same_table('counters', @nodes);

done_testing();
