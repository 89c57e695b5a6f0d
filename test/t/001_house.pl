# Claim: the test library keeps its promises. A server starts from the
# template with the testing build, survives SIGKILL of its postmaster only as
# long as its processes take to notice, and comes back with its data.
use CausaldbTest;

my $node = new_node('one');
my $release = new_node('two', build => 'release');

is($node->run('SHOW fsync'), 'on', 'fsync is on');
is($node->run(q(SELECT extversion FROM pg_extension WHERE extname = 'causaldb')),
	'1.0', 'the extension is there');
like($node->run('SHOW dynamic_library_path'), qr{/testing:}, 'testing build');
like($release->run('SHOW dynamic_library_path'), qr{/release:}, 'release build');

$node->run('CREATE TABLE t (i int PRIMARY KEY)');
$release->run('CREATE TABLE t (i int PRIMARY KEY)');

my $client = record_client($node, sql => sub { "INSERT INTO t VALUES ($_[0])" });
$client->wait_acked(20);
my $busy = $node->session;
$busy->query_safe('SELECT 1');

my @pids = $node->pids;
cmp_ok(scalar @pids, '>', 3, 'a server is several processes');
$node->kill9;
is(scalar(grep { kill(0, $_) } @pids), 0, 'all of them are gone after kill9');
$node->start;
$client->wait_acked(20);
$client->stop;

my %have = map { $_ => 1 } split /\n/, $node->run('SELECT i FROM t');
is(join(' ', grep { !$have{$_} } $client->acked),
	'', 'every acknowledged transaction is there');
cmp_ok(scalar($client->unknown), '>=', 1, 'the client noticed the kill');

$node->run('TRUNCATE t');
$node->run('INSERT INTO t SELECT generate_series(1, 1000)');
$release->run('INSERT INTO t SELECT generate_series(1000, 1, -1)');
same_table('t', $node, $release);

sql_error($node, 'INSERT INTO t VALUES (1)', '23505', 'a double key fails');

done_testing();
