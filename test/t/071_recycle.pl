# Claim: every start of a node opens a stream, and there is no end to that: one
# that has ended and is everywhere gives its place to the next, while this
# server runs and its clients write. Where a member that is down keeps the old
# ones, the log says so, and its return heals it.
use CausaldbTest;

my $slots = 7;
my ($a, $b, $c) = new_cluster(3, links => 1,
	conf => { 'causaldb.stream_slots' => $slots, 'causaldb.relay_delay' => '50ms' },
	before => 'CREATE TABLE t (id int PRIMARY KEY, who text)');
$a->run("SELECT causaldb.set_consistency('t', 'eventual')");
$b->append_conf('postgresql.conf', 'causaldb.stream_slots = 192');
converge($a, $b, $c);
my $old_token = $a->run('SELECT causaldb.token()');
my $client = record_client($a, sql => sub { my $i = shift; return "INSERT INTO t VALUES (1000 + $i, 'a')" });

# b starts more often than there are places
foreach my $round (1 .. $slots)
{
	$b->restart;
	$b->run("SELECT causaldb.wait_until_ready('60 s'); INSERT INTO t VALUES ($round, 'b')");
	my $token = $b->run('SELECT causaldb.token()');
	$_->run("SELECT causaldb.wait_for('$token', '60 s')") foreach $a, $c;
}
$client->stop;
is(scalar $client->failed, 0, 'no client noticed');
converge($a, $b, $c);
same_table('t', $a, $b, $c);
is($a->run("SELECT count(*) FROM t WHERE who = 'b'"), $slots, 'every start of b was heard');
like(PostgreSQL::Test::Utils::slurp_file($a->logfile), qr/ended streams have made room for new ones/,
	'by making room');
cmp_ok($a->run('SELECT count(*) FROM causaldb.stream_status()'), '<=', $slots, 'no more places than there are');
$a->run("SELECT causaldb.wait_for('$old_token', '20 s')");
pass('a token of before is met');

# With c down nothing that ends is everywhere
$c->stop;
my $before = -s $a->logfile;
my $starts = 0;
sub refused { return PostgreSQL::Test::Utils::slurp_file($a->logfile, $before) =~ /cannot take a new stream of a peer/ }
while ($starts < $slots && !refused())
{
	$b->restart;
	$b->run('INSERT INTO t VALUES (100 + ' . ++$starts . ", 'b')");
	wait_until('a has heard of it', sub { refused() || $a->run("SELECT count(*) FROM t WHERE id = 100 + $starts") });
}
ok(refused(), "a has no place left after $starts starts, and says so");
$a->run("INSERT INTO t VALUES (200, 'a')");

# c returns, but gets to a only what it writes after it has seen what a has no place for
$b->set_conf('causaldb.relay_delay', '1h');
link_between($a, $c)->mute($c);
$c->start;
$c->wait_sql("SELECT count(*) = 1 FROM t WHERE id = 100 + $starts");
$c->run("INSERT INTO t VALUES (300, 'c')");
link_between($a, $c)->unmute($c);
$_->run("SELECT causaldb.wait_until_ready('60 s')") foreach $a, $b, $c;
converge($a, $b, $c);
same_table('t', $a, $b, $c);
is($a->run("SELECT count(*) FROM t WHERE id BETWEEN 101 AND 199"), $starts, 'all of it came after c had returned');
is($_->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing is stalled on ' . $_->name) foreach $a, $b, $c;
done_testing();
