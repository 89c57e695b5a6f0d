# Claim: a strong transaction with an idempotency key takes effect once, however
# often and to whichever nodes it is sent, at once, after a lost answer, over the
# death of the leader, compaction, restarts and a join; the others get 23I01,
# which names the one that took effect. outcome() by key is definite.
# (cases 1, 7 and 8 of doc/strong_cases.md)
use CausaldbTest;

my @nodes = new_cluster(3, conf => { 'causaldb.strong_timeout' => "'20s'" }, before => q(
	CREATE TABLE acc (id int PRIMARY KEY, n int NOT NULL, t text);
	CREATE TABLE once (u uuid PRIMARY KEY, id int);
	CREATE TABLE notes (id int PRIMARY KEY, t text);
	CREATE TABLE plain (id int);
));
my ($a, $b, $c) = @nodes;
my %by_name = map { $_->name => $_ } @nodes;
my $used = '23I01';
my %told;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('acc', 'strong', '{n}')");
$a->run("SELECT causaldb.set_consistency('acc', 'eventual', '{t}')");
$a->run("SELECT causaldb.set_consistency('once', 'strong')");
$a->run("SELECT causaldb.set_consistency('notes', 'eventual')");
converge(@nodes);
$a->run('INSERT INTO acc SELECT g, 0 FROM generate_series(1, 100) g');
converge(@nodes);

# ------------------------------------------------------------ helpers

sub keyed { my ($key, $sql) = @_; return "BEGIN; SET LOCAL causaldb.idempotency_key = '$key'; $sql; COMMIT" }

# of one that is sent twice the second does not meet a row of the first
sub once { my ($id) = @_; return "INSERT INTO once VALUES (gen_random_uuid(), $id)" }

sub add { my ($id) = @_; return "UPDATE acc SET n = n + 1 WHERE id = $id" }

# A strong read: all that was acknowledged.
sub n_of { my ($id) = @_; return $c->run("SELECT n FROM acc WHERE id = $id") }

# The stamp in whatever was printed.
sub stamp_in { my ($text) = @_; return ($text // '') =~ /Outcome: committed\. Stamp: ([^,]+),/ ? $1 : 'no stamp' }

sub stamp_of { my ($node, $key) = @_; return $node->run("SELECT stamp FROM causaldb.idempotency_keys WHERE key = '$key' ORDER BY index DESC LIMIT 1") }

# Sends it as a client does, until the answer is definite; its SQLSTATE or "ok".
sub send_it
{
	my ($node, $sql) = @_;
	my ($code, $err);

	wait_until('an answer', sub {
		my ($ret, undef, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);

		$err = $stderr;
		$code = $ret == 0 ? 'ok' : $stderr =~ /ERROR:\s+([0-9A-Z]{5}):/ ? $1 : 'lost';
		return $code !~ /^(40001|57P03|lost)$/;
	});
	return wantarray ? ($code, $err) : $code;
}

sub set_point
{
	my ($node, $value) = @_;

	$node->run("ALTER SYSTEM SET causaldb.debug_point = '$value'");
	$node->run('SELECT pg_reload_conf()');
	$node->wait_sql("SELECT current_setting('causaldb.debug_point') = '$value'");
	return;
}

# ------------------------------------------------------------ twice in a row

$a->run(keyed('one', add(1)));
my $stamp = stamp_of($a, 'one');
foreach my $node (@nodes)
{
	my $err = sql_error($node, keyed('one', add(1)), $used, 'sent again to ' . $node->name);

	is(stamp_in($err), $stamp, 'it is told the stamp of the first');
	like($err, qr/HINT:  It is done.*nothing needs to be repeated/, 'and that it is done');
}
is(n_of(1), 1, 'it took effect once');
is($c->run("SELECT causaldb.outcome('$stamp') || causaldb.outcome(idempotency_key => 'one')"), 'committedcommitted',
	'outcome says so by stamp and by key');

# whatever its statements run into
my $insert = 'INSERT INTO acc VALUES (1001, 1)';
$a->run(keyed('insert', $insert));
sql_error($_, keyed('insert', $insert), $used, 'not 23505 for an INSERT on ' . $_->name) foreach reverse @nodes;
my $sell = 'UPDATE acc SET n = 7 WHERE id = 2 AND n = 0';
$b->run(keyed('sell', $sell));
sql_error($_, keyed('sell', $sell), $used, 'nor success where it finds no row, on ' . $_->name) foreach @nodes;
sql_error($c, "BEGIN; SET LOCAL causaldb.idempotency_key = 'sell'; COPY acc FROM stdin;\n3\t0\t\\N\n\\.\nCOMMIT;",
	$used, 'nor 23505 for COPY');
sql_error($c, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT n FROM acc WHERE id = 3; SET LOCAL causaldb.idempotency_key = 'sell'; UPDATE acc SET n = 3 WHERE id = 3; COMMIT",
	$used, 'REPEATABLE READ sees keys as they are now');
is($a->run(keyed('none', 'UPDATE acc SET n = 0 WHERE id = 0') . "; SELECT count(*) FROM causaldb.idempotency_keys WHERE key = 'none'"), 0,
	'a transaction that writes nothing leaves its key free');

# ------------------------------------------------------------ at once

# Sends without waiting for the answer.
sub begin_on
{
	my ($s, $sql) = @_;

	$s->{stdin} .= "$sql\n\\echo told :SQLSTATE\nROLLBACK;\n";
	$s->{run}->pump_nb;
	return;
}

# Its SQLSTATE, and what was printed of it.
sub end_on
{
	my ($s) = @_;
	my ($code) = $s->query('SELECT 1') =~ /told (\w+)/;
	my $err = $s->{stderr};

	$s->{stderr} = '';
	return ($code, $err);
}

# All of them commit, or send all of it, at once; each goes on until it is told.
sub round
{
	my ($key, $id, $sessions, $write, $sql) = @_;
	my (@codes, %stamps);

	begin_on($_, $sql) foreach @$sessions;
	foreach my $s (@$sessions)
	{
		my ($code, $err) = end_on($s);

		$told{$code}++;
		# it lost against another statement of the same kind: so it says, and is run again
		($code, $err) = send_it($nodes[ $id % 3 ], keyed($key, $write)) if $code eq '40001';
		push @codes, $code eq '00000' ? 'ok' : $code;
		$stamps{ stamp_in($err) }++ if $code eq $used;
	}
	return join ' ', sort(@codes), sort keys %stamps;
}

sub expected { my ($key, $n) = @_; return join ' ', ($used) x ($n - 1), 'ok', stamp_of($a, $key) }

my @sessions = map { $_->session } @nodes, @nodes;
$_->query('\set VERBOSITY verbose') foreach @sessions;

# each has written before any commits: they meet in the log
foreach my $id (11 .. 18)
{
	my @some = @sessions[ 0 .. $id % 2 + 1 ];
	my $write = $id % 4 < 2 ? add($id) : once($id);

	$_->query_safe("BEGIN; SET LOCAL causaldb.idempotency_key = 'meet $id'; $write") foreach @some;
	my $got = round("meet $id", $id, \@some, $write, 'COMMIT;');
	is($got, expected("meet $id", scalar @some), "round $id: " . @some . ' nodes at once, one takes effect');
}
note('told at COMMIT: ', join ', ', map { "$_: $told{$_}" } sort keys %told);
cmp_ok($told{$used} // 0, '>=', 8, 'it is the log that tells them');

# all of it at once, two on each node
%told = ();
foreach my $id (19 .. 34)
{
	my $write = $id % 4 < 2 ? add($id) : once($id);
	my $sql = keyed("rush $id", $write) =~ s/;/\\;/gr . ';';
	my $got = round("rush $id", $id, \@sessions, $write, $sql);
	is($got, expected("rush $id", 6), "round $id: six at once, one takes effect");
}
note('told of all at once: ', join ', ', map { "$_: $told{$_}" } sort keys %told);
is($b->run('SELECT string_agg(id::text, $$ $$ ORDER BY id) FROM (SELECT id FROM acc, generate_series(1, n) WHERE id BETWEEN 11 AND 34 UNION ALL SELECT id FROM once) x'),
	join(' ', 11 .. 34), 'each took effect once');
$_->quit foreach @sessions;

# ------------------------------------------------------------ a lost answer

my $id = 40;
foreach my $case ([ 'strong_proposed', 'kill_once' ], [ 'strong_decided', 'kill_once' ], [ 'strong_visible', 'kill_once' ],
	[ 'strong_turn', 'error' ], [ 'strong_logged', 'error' ])
{
	my ($point, $action) = @$case;
	my $key = "lost $point";
	my $sql = keyed($key, add(++$id));

	set_point($b, "$point:$action");
	my ($ret) = $b->psql('postgres', $sql, on_error_stop => 1);
	isnt($ret, 0, "$action at $point: the client is not told");
	my $code = send_it($c, $sql);
	like($code, qr/^(ok|$used)$/, "sent again to another node: $code");
	is($code, $used, 'it was decided') if $point ne 'strong_proposed';
	$b->wait_sql('SELECT true');
	set_point($b, '');
	unlink $b->data_dir . "/debug_point.$point";
	is(send_it($b, $sql), $used, 'and to the node that it ran on');
	is(n_of($id), 1, 'it took effect once');
}

# ------------------------------------------------------------ the leader dies

my $leader = $by_name{ $a->run('SELECT causaldb.leader()') };
my ($other, $third) = grep { $_ != $leader } @nodes;
my $before = keyed('before', add(51));
my $while = keyed('while', add(52));
$other->run($before);
set_point($leader, 'consensus_after_sync:kill_once');
my ($told) = $other->psql('postgres', $while, on_error_stop => 1);
wait_until('the leader is killed', sub { -e $leader->data_dir . '/debug_point.consensus_after_sync' });
$leader->kill9;
is(send_it($third, $before), $used, 'the next leader knows the key');
like(send_it($third, $while), qr/^(ok|$used)$/, 'and what was under way is decided');
is(send_it($other, $while), $used, 'once');
$leader->start;
set_point($leader, '');
is(send_it($leader, $before), $used, 'so does the one that comes back');
is(n_of(51) . n_of(52), '11', 'each took effect once');

# ------------------------------------------------------------ outcome by key

is($b->run("SELECT causaldb.outcome(idempotency_key => 'never')"), 'aborted', 'a key that is nowhere');
is(send_it($c, keyed('never', add(53))), 'ok', 'may be used afterwards');
is($_->run("SELECT causaldb.outcome(idempotency_key => 'never')"), 'committed', 'and is known then on ' . $_->name) foreach @nodes;
my $s = $a->session;
$s->query_safe("BEGIN; SET LOCAL causaldb.idempotency_key = 'asked'; " . add(54));
is($c->run("SELECT causaldb.outcome(idempotency_key => 'asked')"), 'aborted', 'of one under way it is said that it is not');
begin_on($s, '\set VERBOSITY verbose' . "\nCOMMIT;");
my ($code, $err) = end_on($s);
is($code, '40001', 'and it cannot commit any more');
like($err, qr/Somebody asked for the outcome of its idempotency key/, 'it is told why');
$s->quit;
is(n_of(54), 0, 'it is nowhere');
is(send_it($b, keyed('asked', add(54))), 'ok', 'it may be sent again');
is($a->run("SELECT causaldb.outcome(idempotency_key => 'asked')"), 'committed', 'and so it is');
sql_error($a, "SELECT causaldb.outcome('$stamp', 'one')", '22023', 'a stamp or a key');
sql_error($a, "SELECT causaldb.outcome(idempotency_key => '')", '22023', 'a key is not empty');
is($a->run('SELECT causaldb.outcome(NULL) IS NULL'), 't', 'of nothing nothing is known');

# ------------------------------------------------------------ refusals

my $long = 'k' x 256;
sql_error($a, keyed($long, add(55)), '22023', 'a key has 255 bytes at most');
sql_error($a, "ALTER SYSTEM SET causaldb.idempotency_key = 'x'", '55P02', 'it is of no server');
sql_error($a, "ALTER ROLE postgres SET causaldb.idempotency_key = 'x'", '22023', 'nor of a role');
sql_error($a, "SET causaldb.idempotency_key = 'x'; " . add(55), '55000', 'nor of a session: the next transaction does not take it');
sql_error($a, keyed('k1', add(55) . "; SET LOCAL causaldb.idempotency_key = 'k2'; " . add(55)), '55000', 'a transaction has one');
sql_error($a, keyed('k1', add(55) . '; RESET causaldb.idempotency_key'), '55000', 'and keeps it');
sql_error($a, keyed('k1', "INSERT INTO notes VALUES (1, 'x')"), '0A000', 'without a strong write it is refused');
my (undef, undef, $warning) = $a->psql('postgres', keyed('k1', 'INSERT INTO plain VALUES (1)'));
like($warning, qr/WARNING:  idempotency key "k1" is not used up/, 'or warned of, where nothing is replicated');
is(n_of(55), 0, 'nothing was done');
$a->run(keyed('k1', add(55) . "; UPDATE acc SET t = 'also' WHERE id = 55; INSERT INTO notes VALUES (1, 'x')"));
sql_error($b, keyed('k1', add(55)), $used, 'of a mixed transaction it is the key, too');
$a->run("BEGIN; SAVEPOINT s; SET LOCAL causaldb.idempotency_key = 'back'; " . add(56) . '; ROLLBACK TO s; ' . add(56) . '; COMMIT');
is($b->run("SELECT count(*) FROM causaldb.idempotency_keys WHERE key = 'back'"), 0, 'a key goes with its savepoint');
$a->run("BEGIN; SAVEPOINT s; SET LOCAL causaldb.idempotency_key = 'kept'; SAVEPOINT u; " . add(57) . '; ROLLBACK TO u; '
	. add(57) . '; RELEASE s; COMMIT');
sql_error($b, keyed('kept', add(57)), $used, 'or stays with it');
is(n_of(57), 1, 'and what was rolled back is not there');
$a->run('CREATE ROLE plain LOGIN');
is($a->run("SET ROLE plain; SELECT causaldb.outcome(idempotency_key => 'one')"), 'committed', 'who knows a key may ask');
sql_error($a, 'SET ROLE plain; SELECT * FROM causaldb.idempotency_keys', '42501', 'but not which there are');

# ------------------------------------------------------------ compaction, a join

my $index = $a->run("SELECT index FROM causaldb.idempotency_keys WHERE key = 'one'");
foreach my $node (@nodes)
{
	$node->run("ALTER SYSTEM SET causaldb.break = 'compact_all'");
	$node->run('SELECT pg_reload_conf()');
}
send_it($a, add(60)) foreach 1 .. 3;
$_->wait_sql("SELECT first_index > $index FROM causaldb.strong_raw()") foreach @nodes;
is(send_it($_, keyed('one', add(1))), $used, 'what the engine has forgotten is known on ' . $_->name) foreach @nodes;

my $d = new_node('n4', conf => { 'causaldb.strong_timeout' => "'20s'" });
foreach my $node (@nodes)
{
	$node->knows($d);
	$d->knows($node);
}
$d->join_cluster($a, 'all');
$d->run("SELECT causaldb.wait_until_ready('60 s')");
push @nodes, $d;
is(stamp_in((send_it($d, keyed('one', add(1))))[1]), $stamp, 'a node that joins has it');
is(n_of(1), 1, 'it took effect once');

# ------------------------------------------------------------ retention

foreach my $node (@nodes)
{
	$node->append_conf('postgresql.conf', "causaldb.idempotency_retention = '1s'\ncausaldb.max_clock_skew = '1s'");
	$node->run('SELECT pg_reload_conf()');
	$node->wait_sql("SELECT current_setting('causaldb.idempotency_retention') = '1s'");
}
$a->wait_sql("SELECT COALESCE(max(kept_until) < clock_timestamp(), true) FROM causaldb.idempotency_keys WHERE key = 'one'");
is(send_it($b, keyed('one', add(1))), 'ok', 'after its time the key is free');
is(n_of(1), 2, 'and what it names takes effect again');
$d->restart;
$d->wait_sql("SELECT NOT EXISTS (SELECT FROM causaldb.idempotency WHERE index < $index + 5)");
pass('what is long free is deleted');
converge(@nodes);
same_table($_, @nodes) foreach qw(acc once notes);
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

done_testing();
