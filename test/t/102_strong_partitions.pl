# Claim: strong columns of a partitioned table are strong whatever each node's
# partitions are: rows that are written to the table or to a partition, that
# move, or go with a partition's TRUNCATE, are the same everywhere.
use CausaldbTest;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE m (id int, at int, v text, w text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)));
my ($a, $b, $c) = @nodes;
$_->run(q(CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (100);
	CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (100) TO (200))) foreach $a, $b;
$c->run(q(CREATE TABLE md (w text, v text, at int NOT NULL, id int NOT NULL); ALTER TABLE m ATTACH PARTITION md DEFAULT));
$a->run(q(SELECT causaldb.set_consistency('m', 'strong', '{v}'); SELECT causaldb.set_consistency('m', 'eventual', '{w}')));
converge(@nodes);
$_->wait_sql(q(SELECT causaldb.leader() IS NOT NULL)) foreach @nodes;

sub same
{
	my ($want, $name) = @_;

	converge(@nodes);
	is($_->run(q(SELECT string_agg(concat_ws('/', id, at, v, w), ' ' ORDER BY id, at) FROM m)), $want, "$name, on " . $_->name) foreach @nodes;
	is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, "$name: nothing is stalled on " . $_->name) foreach @nodes;
	return;
}

foreach my $i (0 .. $#nodes)
{
	$nodes[$i]->run("INSERT INTO m VALUES ($i, $i, 'a', 'b')");
	$nodes[$i]->run("UPDATE m SET v = v || '!' WHERE id = $i");
	$nodes[$i]->run("UPDATE m SET w = w || '?' WHERE id = $i");
	$nodes[$i]->run("UPDATE m SET at = at + 100 WHERE id = $i");
}
$c->run(q(INSERT INTO md VALUES ('w', 'v', 55, 9)));
same('0/100/a!/b? 1/101/a!/b? 2/102/a!/b? 9/55/v/w', 'written and moved');
$a->run('DELETE FROM m2 WHERE id = 1');
converge(@nodes);
$b->run('TRUNCATE m1');
same('0/100/a!/b? 2/102/a!/b?', 'a row and a partition go');
$a->run(q(CREATE TABLE m3 (LIKE m INCLUDING ALL); INSERT INTO m3 VALUES (3, 203, 'brought', 'along')));
$b->run(q(CREATE TABLE m3 PARTITION OF m FOR VALUES FROM (200) TO (300)));
$a->run(q(ALTER TABLE m ATTACH PARTITION m3 FOR VALUES FROM (200) TO (300)));
same('0/100/a!/b? 2/102/a!/b? 3/203/brought/along', 'ATTACH');
like(sql_error($a, q(BEGIN; SET LOCAL causaldb.capture = off; UPDATE m SET v = 'alone'), '55000', 'no maintenance of one node alone'),
	qr/cannot write table public.m uncaptured: it has strong columns/, 'which says why');

done_testing();
