# Claim: a witness makes a majority of three out of two nodes with tables. It
# has no table itself, but whatever it acknowledged, of the strong log and of
# what entries depend on, it hands to who lacks it. So strong writes go on
# without any one of the three; what the leader and the witness alone have is
# not lost with the leader, and nobody leads who lacks it.
use CausaldbTest;

my ($a, $b, $w) = my @nodes = new_cluster(3, links => 1, cluster => 0);
my @data = ($a, $b);
my $tag = q(SELECT causaldb.set_consistency('seats', 'strong', '{holder}'));

foreach my $node (@data)
{
	$node->run('CREATE TABLE seats (id int PRIMARY KEY, holder text, note text);
		CREATE TABLE notes (id int PRIMARY KEY, t text)');
}
$a->create_cluster;
$b->join_cluster($a);
$_->run('SELECT causaldb.wait_until_ready()') foreach @data;
$a->wait_sql("SELECT count(*) = 2 FROM causaldb.strong_status WHERE membership = 'voter'");

# ------------------------------------------------------------ joining
my (undef, undef, $said) = $a->psql('postgres', $tag);
like($said, qr/WARNING:.*two nodes.*HINT:.*role => 'witness'/s, 'two nodes are told of witnesses');
$a->run("SELECT causaldb.set_consistency('seats', 'eventual', '{note}'); SELECT causaldb.set_consistency('notes', 'eventual')");
$a->run("INSERT INTO seats SELECT g, 'free' FROM generate_series(1, 9) g; INSERT INTO notes VALUES (0, 'before')");

$w->run("CREATE TABLE mine (id int PRIMARY KEY, t text); SELECT causaldb.set_consistency('mine', 'eventual')");
my $join = sprintf "SELECT causaldb.join_cluster('n3', '%s', '%s', role => 'witness')", $w->dsn, $a->dsn;
$said = sql_error($w, $join, '55000', 'a witness has no tagged tables');
my ($untag) = $said =~ /HINT:.*Type (SELECT .*?;)/ or diag($said);
$w->run($untag);
$w->join_cluster($a, 'data', 'witness');
$w->run("SELECT causaldb.wait_until_ready()");

$a->wait_sql("SELECT string_agg(node || ' ' || membership, ', ' ORDER BY node) FROM causaldb.strong_status",
	'n1 voter, n2 voter, n3 witness');
is($_->run("SELECT role FROM causaldb.nodes WHERE name = 'n3'"), 'witness', 'its role is seen on ' . $_->name) foreach @nodes;
is($w->run("SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"),
	'mine', 'no table came with the copy');

# ------------------------------------------------------------ what it refuses
foreach my $call ("set_consistency('mine', 'eventual')", "set_consistency('mine', 'strong')", "set_merge('mine', 't', 'counter')",
	"set_row_policy('mine', 'delete_wins')")
{
	$said = sql_error($w, "SELECT causaldb.$call", '55000', "a witness refuses $call");
	like($said, qr/is a witness.*HINT:.*(SELECT name FROM causaldb.nodes WHERE role = 'member')/s, 'and says who would not');
}
is($w->run("SELECT verdict FROM causaldb.preview('mine') WHERE aspect = 'cluster'"), 'refused', 'so does preview');
sql_error($a, "SELECT causaldb.transfer_leadership('n3')", '55000', 'it is not to be made leader');
$w->run('CREATE DATABASE other');
$w->psql('other', 'CREATE EXTENSION causaldb');
(undef, undef, $said) = $w->psql('other', sprintf "SELECT causaldb.join_cluster('n4', 'service=n3 dbname=other user=postgres', '%s')", $w->dsn);
like($said, qr/ERROR:  the node that via leads to is a witness/, 'nobody joins by way of it');
is($a->run('SELECT count(*) FROM causaldb.nodes'), 3, 'and nobody has');

# ------------------------------------------------------------ what it keeps
(undef, undef, $said) = $b->psql('postgres', $tag);
unlike($said, qr/WARNING/, 'three are warned of nothing');
$a->run("UPDATE seats SET holder = 'ann', note = 'window' WHERE id = 1");
$b->run("BEGIN; SET LOCAL causaldb.idempotency_key = 'key'; UPDATE seats SET holder = 'bob' WHERE id = 2; COMMIT");
$b->run("UPDATE seats SET note = 'aisle' WHERE id = 2; INSERT INTO notes SELECT g, repeat('n', 20) FROM generate_series(1, 2000) g");
converge(@nodes);
is($w->run(q(SELECT count(*) FROM pg_class WHERE relname IN ('seats', 'notes'))), 0, 'it has all, and no table');
my $history = q(SELECT md5(string_agg(format('%s %s %s %s %s', relation, key, column_name, new, stamp), ',' ORDER BY h.stamp, h.relation, h.key::text, h.column_name))
	FROM causaldb.history h WHERE relation IN ('public.seats', 'public.notes'));
is($w->run($history), $a->run($history), 'every write stands in its history');
is($w->run("SELECT causaldb.outcome(idempotency_key => 'key')"), 'committed', 'it knows the keys that are used');
my $written = $b->run('SELECT max(position) FROM causaldb.log l JOIN causaldb.streams s USING (stream) WHERE s.own');
$_->wait_sql("SELECT stable >= $written FROM causaldb.streams WHERE node = 'n2'") foreach @nodes;

# ------------------------------------------------------------ one of three dies
sub leads
{
	my ($node) = @_;

	$node->wait_sql(sprintf "SELECT true FROM (SELECT causaldb.transfer_leadership('%s')) done", $node->name);
	foreach my $other (grep { defined $_->{_pid} } @nodes)
	{
		$other->wait_sql(sprintf "SELECT causaldb.leader() = '%s'", $node->name);
	}
	return;
}

leads($a);
$_->set_break('compact_all') foreach @data;
$w->kill9;
foreach my $node (@data, @data)
{
	$node->run(join ';', map { "UPDATE seats SET holder = '$_' WHERE id = $_" } 1 .. 9);
}
my $commit = $a->run('SELECT commit_index FROM causaldb.strong_raw()');
$a->wait_sql("SELECT first_index >= $commit FROM causaldb.strong_raw()");
pass('strong writes go on without the witness, and the others let go of what it misses');
$w->start;
converge(@nodes);
$a->wait_sql("SELECT lag = 0 FROM causaldb.strong_status WHERE membership = 'witness'");
is($w->run($history), $a->run($history), 'it fetches that');
$_->set_break(undef) foreach @data;

$a->kill9;
$b->wait_sql("UPDATE seats SET holder = 'alone' WHERE id = 3 RETURNING true");
pass('and without the leader');
$a->start;
converge(@nodes);
is($a->run('SELECT holder FROM seats WHERE id = 3'), 'alone', 'who gets it when it is back');

# ---------------------------------------- the leader and the witness alone have it
# $dies acknowledges a strong transaction, and what that has seen, which $lacks
# has not got, and is gone for good.
sub lose_leader
{
	my ($dies, $lacks, $id) = @_;
	my $log = $lacks->logfile;
	my $read = "SELECT holder || ' ' || note FROM seats WHERE id = $id";

	leads($dies);
	converge(@nodes);
	$w->set_conf('causaldb.relay_delay', '1h');
	link_between($a, $b)->cut;
	$dies->run("INSERT INTO notes SELECT 10000 * $id + g, repeat('e', 20) FROM generate_series(1, 2000) g");
	$dies->wait_sql("UPDATE seats SET holder = 'last', note = 'seen' WHERE id = $id RETURNING true");
	is($lacks->run("SET causaldb.strong_reads = off; $read"), '', 'the other has not got it');
	my $from = -s $log;
	$dies->kill9;
	link_between($a, $b)->resume;
	my $first;
	wait_until('somebody leads', sub {
		($first) = substr(PostgreSQL::Test::Utils::slurp_file($log), $from) =~ /node (\d) leads the strong log/;
	});
	is($first, 3, 'the witness leads first: who lacks what was acknowledged cannot');
	sql_error($lacks, "SET causaldb.strong_timeout = '300ms'; $read", '57P03', 'nor read before it has it');
	$w->set_conf('causaldb.relay_delay', '100ms');
	$lacks->wait_sql($read, 'last seen');
	is($lacks->run("SELECT count(*) FROM notes WHERE id > 10000 * $id"), 2000, 'it has it from the witness, and what that depends on');
	$lacks->wait_sql(sprintf "SELECT causaldb.leader() = '%s'", $lacks->name);
	$lacks->wait_sql("UPDATE seats SET holder = 'goes on' WHERE id = $id RETURNING true");
	pass('and leads');
	return;
}

lose_leader($a, $b, 4);
$w->kill9_all;
$w->start;
$b->wait_sql("UPDATE seats SET holder = 'with the witness' WHERE id = 5 RETURNING true");
$a->start;
converge(@nodes);
same_table($_, @data) foreach qw(seats notes);

# the same when the witness has let go of it
$w->set_break('compact_all');
lose_leader($b, $a, 6);
$w->set_break(undef);
$b->start;
converge(@nodes);
same_table($_, @data) foreach qw(seats notes);

# ------------------------------------------------------------ the leader is cut off
leads($a);
converge(@nodes);
$_->cut foreach link_between($a, $b), link_between($a, $w);
$b->wait_sql("SELECT causaldb.leader() = 'n2'");
$b->wait_sql("UPDATE seats SET holder = 'majority' WHERE id = 7 RETURNING true");
$a->wait_sql('SELECT causaldb.leader() IS NULL');
sql_error($a, "UPDATE seats SET holder = 'minority' WHERE id = 7", '57P03', 'the side without the witness writes nothing strong');
$a->run("UPDATE seats SET note = 'eventual' WHERE id = 7");
$_->resume foreach link_between($a, $b), link_between($a, $w);
converge(@nodes);
is($b->run('SELECT holder || note FROM seats WHERE id = 7'), 'majorityeventual', 'both sides come together');
same_table('seats', @data);
is($w->run($history), $a->run($history), 'and the witness has it all');
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

done_testing();
