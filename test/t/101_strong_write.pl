# Claim: any node writes strong columns; every node gets it, in one order; of
# two concurrent writes of one row one wins and the other gets 40001, after
# which a retry succeeds; eventual columns of the same rows go on merging;
# INSERT, DELETE and changes of the key are strong. Leader killed in between,
# nothing acknowledged is lost.
use CausaldbTest;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE seats (id int PRIMARY KEY, status text, holder text, note text, looks int DEFAULT 0);
	CREATE TABLE notes (id int PRIMARY KEY, t text);
));
my ($a, $b, $c) = @nodes;
my %by_name = map { $_->name => $_ } @nodes;

sub same
{
	converge(@nodes);
	same_table('seats', @nodes);
	return;
}

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('seats', 'strong', '{status,holder}')");
$a->run("SELECT causaldb.set_consistency('seats', 'eventual', '{note,looks}')");
$a->run("SELECT causaldb.set_merge('seats', 'looks', 'counter')");
$a->run("SELECT causaldb.set_consistency('notes', 'eventual')");
converge(@nodes);

is($b->run("SELECT string_agg(column_name || ' ' || level || ' ' || rule, ', ' ORDER BY column_name)
	FROM causaldb.tags WHERE relation = 'seats'::regclass"),
	'holder strong strong, id strong key, looks eventual counter, note eventual last_write, status strong strong',
	'columns have their levels on every node');

$a->run("INSERT INTO seats SELECT g, 'free' FROM generate_series(1, 20) g");
same();
is($c->run('SELECT count(*) FROM seats'), 20, 'strong inserts came');
$_->run(sprintf "UPDATE seats SET status = 'sold', holder = '%s' WHERE id = %d", $_->name, $_ == $a ? 1 : $_ == $b ? 2 : 3)
  foreach @nodes;
same();
is($a->run('SELECT string_agg(holder, \',\' ORDER BY id) FROM seats WHERE id <= 3'), 'n1,n2,n3', 'every node wrote');

# a median commit is no longer than the slowest of 99 in 100; who wrote nothing has none
my $shown = "SELECT commit_p50 > '0' AND commit_p50 <= commit_p99 AND read_p99 < '1 min' FROM causaldb.strong_status WHERE node = ";
is($b->run("$shown 'n2'"), 't', 'latencies are shown, of the node itself');
is($b->run("$shown 'n1'"), '', 'and of no other');

# conflict: two sessions that have both written the row before either commits
my $one = $a->session;
my $two = $b->session;
$one->query_safe("BEGIN; UPDATE seats SET holder = 'one' WHERE id = 5");
$two->query_safe("BEGIN; UPDATE seats SET holder = 'two' WHERE id = 5");
$one->query_safe('COMMIT');
my $out = $two->query("\\set VERBOSITY verbose\nCOMMIT;");
my $err = $two->{stderr};
like($err, qr/40001/, 'the second one loses');
like($err, qr/node "n1"/, 'it is told against whom');
like($err, qr/\{"id": 5\}.*public\.seats|seats/, 'and for which row');
$two->{stderr} = '';
$b->wait_sql("SELECT holder = 'one' FROM seats WHERE id = 5");
$two->query_safe("UPDATE seats SET holder = 'two' WHERE id = 5");
same();
is($c->run('SELECT holder FROM seats WHERE id = 5'), 'two', 'the retry succeeds');
$_->quit foreach $one, $two;

# eventual columns of strong tables
$_->run("UPDATE seats SET looks = looks + 1, note = '" . $_->name . "' WHERE id <= 10") foreach @nodes;
same();
is($a->run('SELECT sum(looks) FROM seats'), 30, 'counters of all nodes add up');

# mixed transactions, savepoints, keys, deletes
$b->run("BEGIN; INSERT INTO notes VALUES (1, 'mixed'); UPDATE seats SET status = 'x', note = 'y', looks = looks + 5 WHERE id = 7; COMMIT");
$c->run("BEGIN; UPDATE seats SET status = 'kept' WHERE id = 8; SAVEPOINT s; UPDATE seats SET status = 'gone' WHERE id = 9; ROLLBACK TO s; COMMIT");
$a->run('UPDATE seats SET id = 100 WHERE id = 20');
$c->run('DELETE FROM seats WHERE id = 19');
same();
same_table('notes', @nodes);
is($a->run("SELECT status || note || looks FROM seats WHERE id = 7"), 'xy8', 'a mixed transaction came whole');
is($b->run("SELECT string_agg(status, ',' ORDER BY id) FROM seats WHERE id IN (8, 9)"), 'kept,free', 'case 49: a savepoint rolled back left no trace');
is($b->run('SELECT string_agg(id::text, \',\' ORDER BY id) FROM seats WHERE id > 17'), '18,100', 'changed key and delete came');

# an eventual update cannot bring a deleted row back
$a->run('DELETE FROM seats WHERE id = 18');
same();

# large ones: beyond a slot, and beyond a page of log
$b->run("INSERT INTO seats SELECT g, repeat('s', 200), NULL, repeat('n', 200) FROM generate_series(1001, 3000) g");
same();
is($c->run('SELECT count(*) FROM seats WHERE id > 1000'), 2000, 'case 54: a large transaction came');
is($b->run('SELECT count(*) FROM causaldb.log_chunk'), 0, 'and left no pieces behind');

# refusals
sql_error($a, "BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE seats SET status = 's' WHERE id = 1", '0A000', 'SERIALIZABLE is refused');
sql_error($a, "BEGIN; UPDATE seats SET status = 's' WHERE id = 1; PREPARE TRANSACTION 'p'", '0A000', 'case 48: so is PREPARE TRANSACTION');

# leader killed while clients write
my @clients = map {
	my $node = $_;
	my $k = $node == $a ? 0 : $node == $b ? 1 : 2;
	record_client($node, sql => sub { my $i = shift; "INSERT INTO seats VALUES (" . (10000 * (1 + $k) + $i) . ", 'c')" });
} @nodes;
$_->wait_acked(20) foreach @clients;
my $leader = $by_name{ $a->run('SELECT causaldb.leader()') };
my @rest = grep { $_ != $leader } @nodes;
$leader->kill9;
$rest[0]->wait_sql('SELECT causaldb.leader() IS NOT NULL');
foreach my $i (0 .. 2)
{
	$clients[$i]->wait_acked(20) if $nodes[$i] != $leader;
}
$leader->start;
$clients[$_]->wait_acked(20) foreach 0 .. 2;
$_->stop foreach @clients;
same();
foreach my $k (0 .. 2)
{
	my %here = map { $_ => 1 } split /\n/, $nodes[0]->run('SELECT id FROM seats WHERE id > ' . 10000 * (1 + $k) . ' AND id < ' . 10000 * (2 + $k));
	my @lost = grep { !$here{ 10000 * (1 + $k) + $_ } } $clients[$k]->acked;
	my @ghosts = grep { $here{ 10000 * (1 + $k) + $_ } } $clients[$k]->failed;

	is(scalar @lost, 0, 'nothing acknowledged by n' . ($k + 1) . ' is lost') or diag("@lost");
	is(scalar @ghosts, 0, 'nothing refused by it is there') or diag("@ghosts");
}
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

# ------------------------------------------------------------ told 40003
# The local commit fails after the verdict, and the player comes late: the session
# sees what was committed for it all the same, also with reads that wait for
# nobody else.
$c->set_debug_point('strong_logged:error,strong_play_before:delay:500');
my $own = $c->session;
$own->query_safe('SET causaldb.strong_reads = off');
$own->query("INSERT INTO seats (id, note) VALUES (99000, 'mine')");
like($own->{stderr}, qr/is committed at index \d+, but not by this session/, 'committed, but by the player');
$own->{stderr} = '';
is($own->query_safe('SELECT note FROM seats WHERE id = 99000'), 'mine', 'strong_reads = off shows the session what it has committed');
$own->quit;
$c->clear_debug_point;

# ------------------------------------------------------------ bounds
my $said = sql_error($a, "INSERT INTO seats (id) SELECT g FROM generate_series(100001, 160001) g", '54000', 'too many rows');
like($said, qr/DETAIL:  At most 60000 rows.*HINT:  Divide/s, 'says how many there may be');
$said = sql_error($a, "INSERT INTO seats (id, note) VALUES (100001, repeat('x', 17000000))", '54000', 'too many bytes');
like($said, qr/DETAIL:  It wrote more than 16777216 bytes.*HINT:  Divide/s, 'says how many there may be');
$a->run("SET causaldb.strong_timeout = '60s'; INSERT INTO seats (id, note) VALUES (100001, repeat('y', 15000000))");
same();
is($c->run('SELECT max(id), count(*) FILTER (WHERE id > 100000), max(length(note)) FROM seats'), '100001|1|15000000',
	'and what is below is done');

done_testing();
