# Claim: a local transaction that is in the way of the strong log does not hold
# it up, over whatever ring of waits. One that only writes, or idles, is aborted
# after causaldb.apply_lock_timeout, and told why; one that waits to read what it
# holds up, at once; one that has its verdict but not its turn leaves its entry
# to be applied, and is told so with 40003; one that nobody can decide is decided
# against; and a lock that is nobody's business is left alone.
use CausaldbTest;

my @nodes = new_cluster(3, conf => { 'causaldb.apply_lock_timeout' => "'300ms'", 'causaldb.strong_timeout' => "'60s'",
		'log_min_messages' => 'error' }, before => q(
	CREATE TABLE s (id int PRIMARY KEY, v text, e text);
	CREATE TABLE other (id int PRIMARY KEY, v text);
));
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('s', 'eventual')");
$a->run("SELECT causaldb.set_consistency('s', 'strong', '{v}')");
converge(@nodes);
$a->run("INSERT INTO s SELECT g, 'first', 'e' FROM generate_series(1, 20) g");
converge(@nodes);

sub is_v
{
	my ($node, $id, $v, $name) = @_;

	$node->wait_sql("SELECT v FROM s WHERE id = $id", $v);
	return pass($name);
}

# A session of b that shows errors whole.
sub session_of_b
{
	my $session = $b->session;

	$session->query_safe('\set VERBOSITY verbose');
	return $session;
}

# What the session was told since the last call.
sub told
{
	my ($session) = @_;
	my $stderr;

	eval { $session->query('') };
	$stderr = $session->{stderr};
	$session->{stderr} = '';
	return $stderr;
}

# Sends without waiting for the answer.
sub send_to
{
	my ($session, $sql) = @_;

	$session->query_until(qr/^sent/m, "\\echo sent\n$sql\n");
	return;
}

# ------------------------------------------------------------ case 39
# idle in a transaction, with a lock on a row, and one that holds another row
my $idle = session_of_b();
$idle->query_safe('BEGIN; SELECT FROM s WHERE id = 1 FOR UPDATE');
my $harmless = session_of_b();
$harmless->query_safe("BEGIN; UPDATE s SET e = 'harmless' WHERE id = 2");
$a->run("UPDATE s SET v = 'second' WHERE id = 1");
is_v($b, 1, 'second', 'case 39: an idle transaction does not hold up the log');
$harmless->query_safe('COMMIT');
send_to($idle, 'SELECT 1;');
$b->wait_sql("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE state LIKE 'idle in transaction%')");
eval { $idle->{run}->finish };
my $said = $idle->{stderr};
like($said, qr/FATAL:  40001: session was ended, as its transaction was in the way of the strong log/, 'its session is ended');
like($said, qr/DETAIL:  It held a lock in table public\.s,.*\nHINT:  Connect and run the transaction again/, 'and told why');
$harmless->quit;

# ------------------------------------------------------------ cases 38 and 40
# running: aborted with 40001, the session lives
my $running = session_of_b();
$running->query_safe("BEGIN; UPDATE s SET e = 'mine' WHERE id = 3");
send_to($running, 'SELECT pg_sleep(100);');
$a->run("UPDATE s SET v = 'third' WHERE id = 3");
is_v($b, 3, 'third', 'case 38: a running one does not either');
$said = told($running);
like($said, qr/ERROR:  40001: transaction was in the way of the strong log/, 'it is told so');
like($said, qr/DETAIL:  It held a lock in table public\.s,.*\nHINT:  Run the transaction again/, 'where, and what to do');
unlike($said, qr/recovery/, 'in our words');
# the next error of its kind is nobody's but the server's
$running->query_safe('ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other');
$b->run("UPDATE s SET e = 'newer' WHERE id = 4");
$running->query("UPDATE s SET e = 'older' WHERE id = 4;");
like(told($running), qr/40001: could not serialize access/, 'no other error is touched');
$running->query_safe('ROLLBACK');
# a lock on the table is in the way as well
$running->query_safe('BEGIN; LOCK TABLE s IN SHARE MODE');
send_to($running, 'SELECT pg_sleep(100);');
$a->run("UPDATE s SET v = 'third' WHERE id = 4");
is_v($b, 4, 'third', 'case 40: nor does the lock of a table');
like(told($running), qr/in table public\.s/, 'it is told so as well');
$running->query_safe('ROLLBACK');

# from here on nobody is aborted for being slow
$_->set_conf('causaldb.apply_lock_timeout', '1h') foreach @nodes;

# ------------------------------------------------------------ cases 41 and 42
# a verdict, but not its turn: its row is wanted by an entry before it
$b->set_debug_point('strong_decided:hang');
my $behind = session_of_b();
# it locks row 5, and all of the table, without writing it, and writes row 6
$behind->query_safe("BEGIN; SELECT FROM s WHERE id = 5 FOR UPDATE; LOCK TABLE s IN SHARE ROW EXCLUSIVE MODE; UPDATE s SET v = 'behind' WHERE id = 6");
$a->run("UPDATE s SET v = 'before' WHERE id = 5");
send_to($behind, 'COMMIT;');
$b->clear_debug_point;
converge(@nodes);
same_table('s', @nodes);
is($c->run("SELECT string_agg(v, ',' ORDER BY id) FROM s WHERE id IN (5, 6)"), 'before,behind', 'cases 41, 42: both entries are everywhere');
like(told($behind), qr/ERROR:  40003:/, 'cases 41, 42: whose client is told so');

# ------------------------------------------------------------ a reader
# it waits to see what its own lock holds up
$running->query_safe('BEGIN; SELECT FROM s WHERE id = 7 FOR UPDATE');
$a->run("UPDATE s SET v = 'seventh' WHERE id = 7");
$running->query('SELECT v FROM s WHERE id = 8;');
like(told($running), qr/ERROR:  40001: transaction was in the way of the strong log.*in table public\.s/s,
	'a reader that holds the lock it waits for is told at once');
$running->query_safe('ROLLBACK');
is_v($b, 7, 'seventh', 'and the log goes on');
# the same with another one between: the reader waits for the log, the log for
# the apply worker, that for somebody who waits for the reader
my $between = session_of_b();
$running->query_safe("BEGIN; SELECT FROM s WHERE id = 9 FOR UPDATE");
$between->query_safe("BEGIN; UPDATE s SET e = 'between' WHERE id = 10");
send_to($between, "UPDATE s SET e = 'between' WHERE id = 9; COMMIT;");
$b->wait_sql("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%between%' AND pid <> pg_backend_pid()");
$a->run("UPDATE s SET e = 'theirs' WHERE id = 10; UPDATE s SET v = 'tenth' WHERE id = 11");
$running->query('SELECT v FROM s WHERE id = 8;');
like(told($running), qr/ERROR:  40001: transaction was in the way of the strong log/, 'over any number of others');
$running->query_safe('ROLLBACK');
is(told($between), '', 'who are left alone');
is_v($b, 11, 'tenth', 'and it goes on');
converge(@nodes);
same_table('s', @nodes);

# ------------------------------------------------------------ a ring
# strong X holds row 12 and has its verdict; eventual T, which was first, wants
# that row; the entry before X has seen T
$behind->query_safe("BEGIN; SELECT FROM s WHERE id = 12 FOR UPDATE; UPDATE s SET v = 'x' WHERE id = 13");
$a->run("UPDATE s SET e = 't' WHERE id = 12");
$b->wait_sql('SELECT count(*) = 1 FROM causaldb.apply_waits WHERE pid IS NOT NULL');
$a->run("UPDATE s SET v = 'seen t' WHERE id = 14");
$behind->query('COMMIT;');
like(told($behind), qr/ERROR:  40003: strong transaction is committed at index \d+, but not by this session/,
	'case 42: a verdict is no shield in a ring of turn, deps and lock');
converge(@nodes);
same_table('s', @nodes);
is($b->run("SELECT string_agg(v || ' ' || e, ', ' ORDER BY id) FROM s WHERE id IN (12, 13, 14)"), 'first t, x e, seen t e',
	'and all three of it are everywhere');

# ------------------------------------------------------------ nobody decides
# X cannot be decided: what it has seen is on this node alone. It holds a row
# that the log is to change.
$_->run("SELECT causaldb.pause_peer('n2')") foreach $a, $c;
$b->run("UPDATE s SET e = 'here alone' WHERE id = 15");
$behind->query_safe("BEGIN; SELECT FROM s WHERE id = 16 FOR UPDATE; UPDATE s SET v = 'x' WHERE id = 17");
send_to($behind, 'COMMIT;');
$b->wait_sql("SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'COMMIT;'");
$a->run("UPDATE s SET v = 'sixteenth' WHERE id = 16");
$b->set_conf('causaldb.apply_lock_timeout', '100ms');
like(told($behind), qr/ERROR:  40001: transaction was in the way of the strong log.*was not decided itself/s,
	'a transaction that nobody decides is decided against');
$_->run("SELECT causaldb.resume_peer('n2')") foreach $a, $c;
converge(@nodes);
same_table('s', @nodes);
is($a->run("SELECT string_agg(v || ' ' || e, ', ' ORDER BY id) FROM s WHERE id IN (15, 16, 17)"), 'first here alone, sixteenth e, first e',
	'and it is nowhere');

is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;
$_->quit foreach $running, $between, $behind;

done_testing();
