# Claim: a transaction of a peer whose commit here has failed binds no local
# transaction that comes after: those go on to nodes that lack it too.
use CausaldbTest;

my ($n1, $n2, $n3) = new_cluster(3, links => 1, conf => { 'causaldb.relay_delay' => '1h' },
	before => 'CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY)');
$n1->run("SELECT causaldb.set_consistency('$_', 'eventual')") foreach qw(t u);
converge($n1, $n2, $n3);

# It is all but committed, and then rolled back; the next try waits for a lock.
link_between($n1, $n3)->mute($n1);
$n2->set_debug_point('apply_before_commit:hang');
$n1->run("BEGIN; INSERT INTO u VALUES (1); INSERT INTO t VALUES (1, 'fails on n2'); COMMIT");
$n2->wait_for_log(qr/holds at debug point "apply_before_commit"/);
my $apply = "(SELECT pid FROM pg_stat_activity WHERE backend_type = 'causaldb apply')";
$n2->wait_sql("SELECT count(*) > 0 FROM pg_locks WHERE pid = $apply AND relation = 'u'::regclass");
my $client = $n2->session;
$client->query_safe('BEGIN');
$client->query_until(qr/asks/, "\\echo asks\nLOCK TABLE u;\n\\echo has\n");
$n2->wait_sql("SELECT count(*) = 1 FROM pg_locks WHERE relation = 'u'::regclass AND NOT granted");
$n2->run("SELECT pg_cancel_backend($apply)");
$n2->wait_sql("SELECT count(*) = 1 FROM pg_locks WHERE pid = $apply AND relation = 'u'::regclass AND NOT granted");
$n2->clear_debug_point;
$n2->run("INSERT INTO t VALUES (2, 'has not seen it')");
ok($n3->wait_sql('SELECT count(*) = 1 FROM t WHERE id = 2'), 'a local transaction does not wait for what failed')
  || diag(join "\n", map { $_->name . ":\n" . $_->run('SELECT * FROM causaldb.streams') } $n1, $n2, $n3);
is($n3->run('SELECT count(*) FROM t'), 1, 'which is not there');

$client->quit;
link_between($n1, $n3)->unmute($n1);
converge($n1, $n2, $n3);
same_table($_, $n1, $n2, $n3) foreach qw(t u);

done_testing();
