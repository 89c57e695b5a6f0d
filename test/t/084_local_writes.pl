# Claim: what is written with causaldb.capture = off stays on its node, and
# every node's history says that it did, and by whom.
use CausaldbTest;

my ($a, $b) = new_cluster(2, before => q(CREATE TABLE t (id int PRIMARY KEY, v text)));
$a->run(q(SELECT causaldb.set_consistency('t', 'eventual')));
converge($a, $b);
$a->run(q(INSERT INTO t SELECT g, 'all' FROM generate_series(1, 1000) g));
$a->run(q(
	BEGIN;
	SET LOCAL causaldb.capture = off;
	UPDATE t SET v = repeat('only here', 100);
	DELETE FROM t WHERE id > 500;
	COMMIT;
));
$a->run(q(UPDATE t SET v = 'all again' WHERE id = 1));
# one that fills chunks besides
$a->run(q(
	BEGIN;
	SET LOCAL causaldb.capture = off;
	INSERT INTO t VALUES (2000, 'only here');
	SET LOCAL causaldb.capture = on;
	INSERT INTO t SELECT g, repeat('all ', 100) FROM generate_series(3001, 4000) g;
	COMMIT;
));
converge($a, $b);
is($a->run('SELECT count(*) FROM t'), 1501, 'this node has what it wrote');
is($b->run('SELECT count(*) FROM t'), 2000, 'the other has what was captured');
is($b->run(q(SELECT count(*) FROM t WHERE v = 'all')), 999, 'and no value that was not');
is($b->run('SELECT v FROM t WHERE id = 1'), 'all again', 'what came later came');
my $said = q(SELECT relation || ' ' || operation || ' ' || new FROM causaldb.history WHERE operation = 'LOCAL' ORDER BY position);
is($_->run($said), qq(public.t LOCAL {"by": "postgres", "updated": 1000, "deleted": 500}\npublic.t LOCAL {"by": "postgres", "inserted": 1}),
	'history says so on ' . $_->name)
  foreach $a, $b;
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach $a, $b;

done_testing();
