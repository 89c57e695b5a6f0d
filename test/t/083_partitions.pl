# Claim: a partitioned table replicates by its own name, whatever each node's
# partitions are: rows find their place on every node, concurrent writes merge
# as on any table, TRUNCATE of a partition takes its rows everywhere, and what
# a node has no partition for waits and says what to type.
use CausaldbTest;
use CausaldbApart;

my ($a, $b, $c) = new_cluster(3, links => 1);
my @nodes = ($a, $b, $c);

# ranges; a list of lists with columns in another order; not partitioned
$a->run(q(
	CREATE TABLE m (id int, at int, v text, n int DEFAULT 0, mine text DEFAULT 'a', PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE TABLE m1 (gone int, v text, at int NOT NULL, mine text DEFAULT 'not used', id int NOT NULL, n int DEFAULT 0);
	ALTER TABLE m1 DROP COLUMN gone;
	ALTER TABLE m ATTACH PARTITION m1 FOR VALUES FROM (0) TO (100);
	CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (100) TO (200);
));
$b->run(q(
	CREATE TABLE m (mine text DEFAULT 'b', n int DEFAULT 0, at int, id int, v text, PRIMARY KEY (at, id)) PARTITION BY HASH (id);
	CREATE TABLE m_even PARTITION OF m FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY LIST (at);
	CREATE TABLE m_odd (v text, id int NOT NULL, at int NOT NULL, n int DEFAULT 0, mine text);
	ALTER TABLE m ATTACH PARTITION m_odd FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	CREATE TABLE m_even_1 PARTITION OF m_even FOR VALUES IN (1, 2, 3, 4, 5);
	CREATE TABLE m_even_rest PARTITION OF m_even DEFAULT;
));
$c->run(q(CREATE TABLE m (id int, at int, v text, n int DEFAULT 0, mine text DEFAULT 'c', PRIMARY KEY (id, at))));
$a->run(q(SELECT causaldb.set_consistency('m', 'eventual', '{v,n}'); SELECT causaldb.set_merge('m', 'n', 'counter')));
converge(@nodes);

my $rows = q(SELECT string_agg(format('%s/%s %s %s', id, at, v, n), ', ' ORDER BY id, at) FROM m);

sub same
{
	my ($want, $name) = @_;
	converge(@nodes);
	is($_->run($rows), $want, "$name, on " . $_->name) foreach @nodes;
	is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, "$name: nothing is stalled on " . $_->name) foreach @nodes;
	return;
}

# each node writes in its own way
$a->run(q(INSERT INTO m (id, at, v) VALUES (1, 1, 'a'), (2, 2, 'a'), (3, 150, 'a')));
$b->run(q(INSERT INTO m (id, at, v) SELECT i, 10, 'b' FROM generate_series(1, 6) i));
$c->run(q(INSERT INTO m (id, at, v) VALUES (9, 199, 'c')));
same('1/1 a 0, 1/10 b 0, 2/2 a 0, 2/10 b 0, 3/10 b 0, 3/150 a 0, 4/10 b 0, 5/10 b 0, 6/10 b 0, 9/199 c 0', 'inserted');
is($a->run('SELECT count(*) FROM m1'), 8, 'by range here');
is($b->run('SELECT count(*) FROM m_even_1'), $b->run('SELECT count(*) FROM m WHERE at <= 5 AND tableoid <> \'m_odd\'::regclass'), 'by hash and list there');
is($a->run(q(SELECT string_agg(DISTINCT mine, ',' ORDER BY mine) FROM m)), 'a', 'untagged columns keep the default of the table');
$a->run(q(UPDATE m SET v = 'A', n = n + 1 WHERE at < 100));
$b->run(q(DELETE FROM m WHERE id >= 4 AND at = 10));
converge(@nodes);
$c->run(q(UPDATE m SET n = n + 10));
same('1/1 A 11, 1/10 A 11, 2/2 A 11, 2/10 A 11, 3/10 A 11, 3/150 a 10, 9/199 c 10', 'updated and deleted');

# a row that moves here stays in its partition there, or the other way round
$a->run(q(UPDATE m SET at = 160 WHERE id = 1 AND at = 1));
$b->run(q(UPDATE m SET at = 161 WHERE id = 3 AND at = 150));
$c->run(q(UPDATE m SET id = 8 WHERE id = 9));
same('1/10 A 11, 1/160 A 11, 2/2 A 11, 2/10 A 11, 3/10 A 11, 3/161 a 10, 8/199 c 10', 'moved');

# concurrently: fields merge, a moved row is another row
apart(\@nodes,
	1 => q(UPDATE m SET n = n + 1 WHERE id = 2 AND at = 2),
	2 => q(UPDATE m SET n = n + 1, v = 'B' WHERE id = 2 AND at = 2),
	3 => q(DELETE FROM m WHERE id = 2 AND at = 2),
	1 => q(UPDATE m SET at = 5 WHERE id = 1 AND at = 160),
	3 => q(UPDATE m SET v = 'kept' WHERE id = 1 AND at = 160),
);
same('1/5 A 11, 1/10 A 11, 1/160 kept 11, 2/2 B 13, 2/10 A 11, 3/10 A 11, 3/161 a 10, 8/199 c 10', 'merged');

# TRUNCATE of a partition is the DELETE of its rows, and merges so
apart(\@nodes,
	1 => 'TRUNCATE m2',
	3 => q(UPDATE m SET v = 'written meanwhile' WHERE id = 8),
	2 => q(INSERT INTO m (id, at, v) VALUES (7, 170, 'new meanwhile')),
);
same('1/5 A 11, 1/10 A 11, 2/2 B 13, 2/10 A 11, 3/10 A 11, 7/170 new meanwhile 0, 8/199 written meanwhile 10', 'TRUNCATE of a partition');
$b->run('TRUNCATE m_even, m_odd');
same('', 'TRUNCATE of all partitions');
$a->run(q(INSERT INTO m (id, at, v) SELECT i, i * 15, 'again' FROM generate_series(1, 12) i));
converge(@nodes);
# TRUNCATE of the table is one
apart(\@nodes,
	1 => 'TRUNCATE m',
	2 => q(INSERT INTO m (id, at, v) VALUES (1, 16, 'unseen by it')),
	3 => q(UPDATE m SET v = 'gone' WHERE id = 2),
);
same('1/16 unseen by it 0', 'TRUNCATE');
is($a->run(q(SELECT count(*) FROM causaldb.history WHERE operation = 'TRUNCATE')), 1, 'logged as such');

# no partition: waits for one, and says so; others go on
$b->run(q(INSERT INTO m (id, at, v) VALUES (1, 250, 'nowhere on a')));
$a->wait_sql(q(SELECT count(*) = 1 FROM causaldb.stalled));
$a->run(q(INSERT INTO m (id, at, v) VALUES (2, 20, 'goes on')));
my $said = $a->run('SELECT sqlstate, message, hint FROM causaldb.stalled');
like($said, qr/23514\|table public.m has no partition for a row here/, 'a missing partition is named');
$b->wait_sql(q(SELECT count(*) = 1 FROM m WHERE v = 'goes on'));
my ($hint) = $said =~ /type: (CREATE TABLE .*;)/;
$a->run($hint);
same('1/16 unseen by it 0, 1/250 nowhere on a 0, 2/20 goes on 0', 'what the hint says helps');
is($a->run('SELECT tableoid::regclass FROM m WHERE at = 250'), 'm_default', 'in the default partition');
# what is written to the new partition is captured
$a->run(q(UPDATE m_default SET v = 'somewhere'));

# a row brought along by ATTACH comes to all
$a->run(q(CREATE TABLE m4 (LIKE m INCLUDING ALL); INSERT INTO m4 (id, at, v) VALUES (4, 400, 'brought');
	ALTER TABLE m ATTACH PARTITION m4 FOR VALUES FROM (400) TO (500)));
same('1/16 unseen by it 0, 1/250 somewhere 0, 2/20 goes on 0, 4/400 brought 0', 'ATTACH');

# DETACH: its rows stay where they are on the others, which may write them
$a->run('ALTER TABLE m DETACH PARTITION m4');
$b->run(q(UPDATE m SET v = 'not here' WHERE id = 4));
$c->run(q(DELETE FROM m WHERE id = 4));
$a->run(q(INSERT INTO m (id, at, v) VALUES (4, 450, 'still the same table')));
same('1/16 unseen by it 0, 1/250 somewhere 0, 2/20 goes on 0, 4/450 still the same table 0', 'DETACH');
is($a->run('SELECT v FROM m4'), 'brought', 'what was detached is left alone');

# a joiner copies it into whatever it has
$_->run('SELECT FROM causaldb.wait_until_ready()') foreach @nodes;
my $d = new_node('n4');
$d->knows($_) foreach @nodes, $d;
$_->knows($d) foreach @nodes;
$d->run(q(CREATE TABLE m (id int, at int, v text, n int DEFAULT 0, mine text, PRIMARY KEY (id, at)) PARTITION BY LIST (id);
	CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1);
	CREATE TABLE m_other PARTITION OF m DEFAULT));
$d->join_cluster($a, 'data');
$d->run(q(SELECT causaldb.wait_until_ready('60 s')));
push @nodes, $d;
$d->run(q(UPDATE m_1 SET n = n + 1));
$a->run(q(UPDATE m SET n = n + 1));
same('1/16 unseen by it 2, 1/250 somewhere 2, 2/20 goes on 1, 4/450 still the same table 1', 'a joiner');

# with schema and all
my $e = new_node('n5');
$e->knows($_) foreach @nodes, $e;
$_->knows($e) foreach @nodes;
$a->run('DROP TABLE m4');
$e->join_cluster($a, 'all');
$e->run(q(SELECT causaldb.wait_until_ready('60 s')));
push @nodes, $e;
$e->run(q(UPDATE m_default SET n = n - 2 WHERE at = 250; CREATE TABLE m6 PARTITION OF m FOR VALUES FROM (600) TO (700); INSERT INTO m6 VALUES (6, 600, 'e', 6)));
same('1/16 unseen by it 2, 1/250 somewhere 0, 2/20 goes on 1, 4/450 still the same table 1, 6/600 e 6', 'a joiner with schema and all');

done_testing();
