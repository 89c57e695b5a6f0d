# Claim: a partition whose DETACH CONCURRENTLY is under way, or was
# interrupted, is captured until it has left; then it is an ordinary table.
use CausaldbTest;

my ($n1, $n2) = my @nodes = new_cluster(2);

$n1->run(q(
	CREATE TABLE m (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
	CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (100);
	CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
	CREATE TABLE m21 PARTITION OF m2 FOR VALUES FROM (100) TO (150);
	CREATE TABLE m22 PARTITION OF m2 FOR VALUES FROM (150) TO (170);
	CREATE TABLE m23 PARTITION OF m2 DEFAULT;
));
$n2->run('CREATE TABLE m (id int PRIMARY KEY, v text)');
$n1->run(q(SELECT causaldb.set_consistency('m', 'eventual')));
$n1->run(q(INSERT INTO m VALUES (1, 'one'), (2, 'two'), (101, 'low'), (151, 'high')));
converge(@nodes);

# What the other node has.
sub there
{
	my ($want, $name) = @_;

	converge(@nodes);
	is($n2->run(q(SELECT string_agg(id || ' ' || v, ', ' ORDER BY id) FROM m)), $want, $name);
	is($n2->run('SELECT count(*) FROM causaldb.stalled'), 0, "$name: nothing stalls");
	return;
}

# Begins to detach while another transaction uses the table: two sessions.
sub begin_detach
{
	my ($partition) = @_;
	my $old = $n1->session;
	my $detaching = $n1->session;

	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM m LIMIT 1');
	$detaching->query_until(qr/goes/, "\\echo goes\nALTER TABLE m DETACH PARTITION $partition CONCURRENTLY;\n\\echo detached :SQLSTATE\n");
	$n1->wait_sql("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = '$partition'::regclass");
	return ($old, $detaching);
}

# by its own name, and by the table's where the snapshot is older
my ($old, $detaching) = begin_detach('m1');
$n1->run(q(UPDATE m1 SET v = 'ONE' WHERE id = 1; INSERT INTO m1 VALUES (3, 'three')));
$old->query_safe(q(UPDATE m SET v = 'TWO' WHERE id = 2; INSERT INTO m VALUES (4, 'four')));
$old->query_safe('COMMIT');
$detaching->query_until(qr/detached 00000/, '');
$_->quit foreach $old, $detaching;
there('1 ONE, 2 TWO, 3 three, 4 four, 101 low, 151 high', 'written while it leaves');
$n1->run(q(UPDATE m1 SET v = 'of its own'; TRUNCATE m1));
there('1 ONE, 2 TWO, 3 three, 4 four, 101 low, 151 high', 'nothing of what is written after that');

# interrupted, and of partitions again
($old, $detaching) = begin_detach('m2');
$n1->run(q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE m DETACH%' AND state = 'active'));
$detaching->query_until(qr/detached 57014/, '');
$old->query_safe('ROLLBACK');
$_->quit foreach $old, $detaching;
$n1->run(q(DELETE FROM m21 WHERE id = 101; INSERT INTO m2 VALUES (102, 'lower')));
$n1->run(q(TRUNCATE m22; INSERT INTO m23 VALUES (171, 'top'), (172, 'higher')));
there('1 ONE, 2 TWO, 3 three, 4 four, 102 lower, 171 top, 172 higher', 'written after that was interrupted');

# tagged while it is leaving
$n1->run(q(SELECT causaldb.unset_consistency('m')));
converge(@nodes);
$n1->run(q(INSERT INTO m23 VALUES (173, 'between')));
$n1->run(q(SELECT causaldb.set_consistency('m', 'eventual')));
converge(@nodes);
$n1->run(q(UPDATE m23 SET v = 'highest' WHERE id = 172));
there('1 ONE, 2 TWO, 3 three, 4 four, 102 lower, 171 top, 172 highest', 'written after it was tagged');

# DDL on the table does not reach it
$_->run('ALTER TABLE m ADD COLUMN w int') foreach @nodes;
my ($hint) = sql_error($n1, q(DELETE FROM m21), '55000', 'without a column of the table it cannot be written') =~ /HINT:\s+Type: (.*?;)/;
like($hint, qr/m2 FINALIZE/, 'and that is to be done');
$n1->run($hint);
$n1->run(q(UPDATE m2 SET v = 'of its own'; DELETE FROM m23 WHERE id = 171));
there('1 ONE, 2 TWO, 3 three, 4 four, 102 lower, 171 top, 172 highest', 'finalized, it is captured no more');
is($n1->run(q(SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%causaldb%' AND tgrelid::regclass::text ~ '^m[12]')), 0,
	'no trigger of ours is left on it');

done_testing();
