# Claim: a join brings each transaction once, also those that its snapshot can
# see above a commit that is still under way, and that commit when it is done.
use CausaldbTest;

my $a = new_node('n1', conf => { synchronous_commit => 'local' });
my $b = new_node('n2');
$_->run('CREATE TABLE t (id int PRIMARY KEY, n int)') foreach $a, $b;
$a->create_cluster;
$a->run("SELECT causaldb.wait_until_ready('30 s'); SELECT causaldb.set_consistency('t', 'eventual')");

# a standby that never comes: stamped, written, and not visible yet
$a->set_conf('synchronous_standby_names', 'nobody');
my $under_way = $a->session;
$under_way->query_until(qr/typed/, "\\echo typed\nSET synchronous_commit = on; INSERT INTO t VALUES (1, 1); SELECT 'done';\n");
$a->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", 1);
$a->run('INSERT INTO t VALUES (2, 2); INSERT INTO t VALUES (3, 3)');
is($a->run("SELECT pending_commits FROM causaldb.streams WHERE own"), 1, 'one commit is under way');

$b->join_cluster($a, 'data');
is($b->run('SELECT string_agg(id::text, $$ $$ ORDER BY id) FROM t'), '2 3', 'the join copies what is visible');
$a->set_conf('synchronous_standby_names', '');
like($under_way->query_until(qr/done/, "\\echo\n"), qr/done/, 'the commit ends');
$under_way->quit;
$b->run("SELECT causaldb.wait_until_ready('60 s')");
converge($a, $b);
same_table('t', $a, $b);
is($b->run('SELECT count(*) FROM causaldb.stall'), 0, 'nothing is stalled');
done_testing();
