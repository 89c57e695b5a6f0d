# Claim: TRUNCATE of a strong table is one strong write of all its rows. Of it and
# any concurrent strong write of the table one commits and the other gets 40001; it
# comes to every node in the order of the log, with the other tables of its
# statement, and undoes eventual updates that it has not seen, on every
# node alike, also where a later INSERT of the row has not seen them. (case 53 of doc/strong_cases.md)
use CausaldbTest;

my @nodes = new_cluster(3, links => 1, conf => { 'causaldb.relay_delay' => '1h' }, before => q(
	CREATE TABLE t (id int PRIMARY KEY, s text, e text, n int);
	CREATE SEQUENCE t_numbers OWNED BY t.id;
	CREATE TABLE par (id int PRIMARY KEY, v text);
	CREATE TABLE chi (id int PRIMARY KEY, p int REFERENCES par);
	CREATE TABLE ev (id int PRIMARY KEY, v text);
	CREATE TABLE m (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
));
my ($a, $b, $c) = @nodes;
my ($one, $two);

$_->run('CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (100); CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (100) TO (200)') foreach $a, $b;
$c->run('CREATE TABLE md PARTITION OF m DEFAULT');
$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run(q(SELECT causaldb.set_consistency('t', 'strong', '{s}'); SELECT causaldb.set_consistency('t', 'eventual', '{e,n}');
	SELECT causaldb.set_merge('t', 'n', 'counter')));
$a->run("SELECT causaldb.set_consistency('$_', 'strong')") foreach qw(par chi m);
$a->run("SELECT causaldb.set_consistency('ev', 'eventual')");
converge(@nodes);

# What each node has, whatever the log will bring.
sub has
{
	my ($want, $sql, $name) = @_;

	converge(@nodes);
	is(join(' / ', map { $_->run("SET causaldb.strong_reads = off; $sql") } @nodes), join(' / ', ($want) x 3), $name);
	return;
}

my $rows = q(SELECT coalesce(string_agg(concat_ws(' ', id, s, e, n), ', ' ORDER BY id), 'none') FROM t);
my $counts = 'SELECT concat_ws(\' \', (SELECT count(*) FROM par), (SELECT count(*) FROM chi), (SELECT count(*) FROM ev), (SELECT count(*) FROM m))';

# ------------------------------------------------------------ alone
$a->run("INSERT INTO t SELECT g, 's', 'e', 0 FROM generate_series(1, 100) g; SELECT nextval('t_numbers'), nextval('t_numbers')");
$b->run("SELECT nextval('t_numbers'), nextval('t_numbers'); TRUNCATE t RESTART IDENTITY");
has('none', $rows, 'all rows are gone');
is($b->run("SELECT nextval('t_numbers')") . ' ' . $a->run("SELECT nextval('t_numbers')"), '1 3', 'a sequence begins anew where it was said, and there alone');
$c->run("BEGIN; INSERT INTO t VALUES (1, 'before'); TRUNCATE t; INSERT INTO t VALUES (2, 'after', 'e', 1); COMMIT");
has('2 after e 1', $rows, 'what its transaction writes before goes, what comes after stays');
$c->run("BEGIN; SAVEPOINT s; TRUNCATE t; ROLLBACK TO s; INSERT INTO t VALUES (3, 's'); COMMIT");
has('2 after e 1, 3 s', $rows, 'one that is rolled back is none');

# ------------------------------------------------------------ races
sub outcome
{
	my ($session) = @_;

	$session->query('COMMIT');
	my $said = $session->{stderr};
	$session->{stderr} = '';
	return ($said =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5})/ ? $1 : 'ok', $said);
}

# Both have run their statement when the first one commits.
sub race
{
	my ($write, $truncate, $write_first) = @_;
	my @order = $write_first ? ($one, $two) : ($two, $one);

	$one->query_safe("BEGIN; $write");
	$two->query_safe("BEGIN; $truncate");
	my ($first) = outcome($order[0]);
	my ($second, $said) = outcome($order[1]);
	is("$first $second", 'ok 40001', "$write against $truncate, " . ($write_first ? 'the write' : 'TRUNCATE') . ' first');
	return $said;
}

$one = $a->session;
$two = $b->session;
$_->query_safe("\\set VERBOSITY verbose\nSET client_min_messages = warning") foreach $one, $two;
like(race("INSERT INTO t VALUES (4, 'new')", 'TRUNCATE t', 1), qr/concurrent one of node "n1"\n.*Table public\.t was written.* at index/s, 'TRUNCATE is told why');
like(race("UPDATE t SET s = 'new' WHERE id = 3", 'TRUNCATE t', 0), qr/tag of table public\.t was changed, or the table truncated, by node "n2"/,
	'so is who writes');
$a->run("INSERT INTO t VALUES (5, 's'); INSERT INTO par VALUES (1), (2); INSERT INTO chi VALUES (1, 1)");
race('DELETE FROM t WHERE id = 5', 'TRUNCATE t', 1);
race('INSERT INTO chi VALUES (2, 2)', 'TRUNCATE par CASCADE', 1);
race('INSERT INTO chi VALUES (3, 2)', 'TRUNCATE par CASCADE', 0);
$_->quit foreach $one, $two;
has('0 0 0 0', $counts, 'CASCADE has emptied both tables');

# ------------------------------------------------------------ several tables, of both sorts
$a->run("INSERT INTO t VALUES (6, 's'); INSERT INTO par VALUES (1); INSERT INTO chi VALUES (1, 1); INSERT INTO m VALUES (1, 1), (2, 101);
	INSERT INTO ev VALUES (1, 'seen')");
converge(@nodes);
$c->set_debug_point('strong_play_before:hang');
$a->run('TRUNCATE t, ev, m, par, chi');
$c->run("INSERT INTO ev VALUES (2, 'unseen'); UPDATE ev SET v = 'unseen' WHERE id = 1");
$_->wait_sql("SELECT v FROM ev", 'unseen') foreach $a, $b; # before n3 applies the TRUNCATE
$c->clear_debug_point;
has('0 0 1 0', $counts, 'all of them are empty, but for an eventual row that it had not seen');
has('none', $rows, 'and so is the last');

# ------------------------------------------------------------ eventual updates
# on n2 and n3 the update is there first, on n1 the TRUNCATE is
$a->run("INSERT INTO t VALUES (1, 's', 'old', 0)");
converge(@nodes);
$_->set_debug_point('strong_play_before:hang') foreach $b, $c;
my $truncate = $a->session;
$truncate->query_until(qr/begun/, "\\echo begun\nTRUNCATE t;\n");
$b->run("UPDATE t SET e = 'late', n = n + 5");
$c->wait_sql("SET causaldb.strong_reads = off; SELECT e FROM t", 'late');
$_->clear_debug_point foreach $b, $c;
$truncate->quit;
has('none', $rows, 'an update that it has not seen is undone');
is($_->run(q(SELECT string_agg(DISTINCT lost_node || ' ' || rule || ' ' || (lost_value::jsonb ->> 'e'), ', ')
	FROM causaldb.conflicts WHERE relation = 'public.t' AND lost_value LIKE '%late%')), 'n2 strong late', 'and is in conflicts on ' . $_->name) foreach @nodes;

# ------------------------------------------------------------ played from the log
$a->run("INSERT INTO t VALUES (1, 's')");
$a->set_debug_point('strong_turn:error_once');
like(sql_error($a, 'TRUNCATE t', '40003', 'a local commit that fails after the verdict'), qr/committed at index/, 'which says so');
$a->clear_debug_point;
has('none', $rows, 'is a TRUNCATE all the same');

# ------------------------------------------------------------ seen by whom its victim is not
# n2 has the TRUNCATE and not the update; n1, which has committed the one and
# applied the other, plays what n2 inserts
$a->run("SELECT causaldb.transfer_leadership('n1')") if $a->run('SELECT causaldb.leader()') ne 'n1';
$_->wait_sql("SELECT causaldb.leader() = 'n1'") foreach @nodes;
$a->run("INSERT INTO t VALUES (1, 's', 'old', 0)");
converge(@nodes);
$c->set_debug_point('strong_play_before:hang');
link_between($c, $b)->mute($c);
$a->run('TRUNCATE t');
$c->run('UPDATE t SET n = n + 100');
$c->clear_debug_point;
$a->wait_sql("SELECT count(*) > 0 FROM causaldb.conflicts WHERE relation = 'public.t' AND lost_value LIKE '%100%'");
# whoever plays it has to find the TRUNCATE again
my $player = "FROM pg_stat_activity WHERE backend_type = 'causaldb strong'";
my $pid = $a->run("SELECT pid $player");
$a->run("SELECT pg_terminate_backend($pid)");
$a->wait_sql("SELECT count(*) $player AND pid <> $pid", 1);
$b->run("INSERT INTO t VALUES (1, 's', 'new', 5)");
$a->wait_sql("SET causaldb.strong_reads = off; SELECT count(*) FROM t", 1);
link_between($c, $b)->unmute($c);
has('1 s new 5', $rows, 'what is undone is nothing to a later INSERT that has not seen it');
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

done_testing();
