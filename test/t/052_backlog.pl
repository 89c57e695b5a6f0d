# Claim: a peer that has taken more than a link keeps unapplied, and cannot
# apply it yet, goes on hearing from us, and we learn when it has applied it.
use CausaldbTest;

my @nodes = new_cluster(
	3,
	links => 1,
	conf => { 'causaldb.relay_delay' => '1h' },
	before => 'CREATE TABLE t (id int PRIMARY KEY, v int)');
my ($n1, $n2, $n3) = @nodes;

$n1->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge(@nodes);

# what n2 writes from here on has seen what n3 has not got
link_between($n1, $n3)->hold($n1 => $n3);
$n1->run('INSERT INTO t VALUES (0, 0)');
$n2->wait_sql('SELECT count(*) FROM t', 1);

# more frames with transactions than may be unapplied (OUTBOX_UNAPPLIED), each
# of them given time to leave alone, and for its answer to say it was taken
$n3->set_debug_point('receive_handed_over:delay:10');
$n2->run(q(
	DO $$
	BEGIN
		FOR i IN 1 .. 100 LOOP
			INSERT INTO t VALUES (i, i);
			COMMIT;
			PERFORM pg_sleep(0.03);
		END LOOP;
	END $$));
$n3->wait_sql(q(SELECT waiting_for LIKE 'n1 up to %' FROM causaldb.streams WHERE node = 'n2'));

$n3->clear_debug_point;

# silence must be longer than heartbeats and resends are apart
my $heard = q(SELECT last_heard > clock_timestamp() - interval '1 s' FROM causaldb.peers WHERE name = 'n2');
$n3->run('SELECT pg_sleep(3)');
$n3->wait_sql($heard);
pass('n3 hears n2 with a full backlog before it');
is($n3->run('SELECT count(*) FROM t'), 0, 'of which nothing could be applied');

link_between($n1, $n3)->resume;
converge(@nodes);
same_table('t', @nodes);
$n2->wait_sql(q(SELECT lag = '0' FROM causaldb.peers WHERE name = 'n3'));
pass('and n2 knows that n3 has applied it');

done_testing();
