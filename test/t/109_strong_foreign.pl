# Claim: foreign keys between strong tables hold over nodes. Of a transaction that
# refers to a row and one on another node that deletes it, or changes its key, one
# commits and the other gets 40001, whichever comes first and however early
# their checks ran; those that refer to one row at once do not hinder each other,
# nor who updates it otherwise. Where nothing holds, who tags a table is told.
# (case 44 of doc/strong_cases.md)
use CausaldbTest;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE, v text);
	CREATE TABLE c (id int PRIMARY KEY, v text, p bigint REFERENCES p,
		code varchar REFERENCES p (code) ON UPDATE CASCADE ON DELETE SET NULL);
	CREATE TABLE d (id int PRIMARY KEY, boss int REFERENCES d, p int REFERENCES p ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
		s int DEFAULT 0 REFERENCES p ON DELETE SET DEFAULT);
	CREATE TABLE pp (a int, b text, v text, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
	CREATE TABLE pp1 PARTITION OF pp FOR VALUES FROM (0) TO (1000);
	CREATE TABLE pc (id int PRIMARY KEY, b text, a int, FOREIGN KEY (b, a) REFERENCES pp (b, a)) PARTITION BY RANGE (id);
	CREATE TABLE pc1 (a int, id int NOT NULL, b text);
	ALTER TABLE pc ATTACH PARTITION pc1 FOR VALUES FROM (0) TO (1000);
	CREATE TABLE late (id int PRIMARY KEY, p int, v text);
	CREATE TABLE e (id int PRIMARY KEY, p int CONSTRAINT weak REFERENCES p);
));
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;

# ------------------------------------------------------------ what is said
sub says
{
	my ($sql) = @_;
	my ($ret, $out, $err) = $a->psql('postgres', $sql);

	is($ret, 0, $sql);
	return $err;
}

like(says("SELECT causaldb.set_consistency('c', 'strong')"),
	qr/WARNING:  foreign key "c_p_fkey" of table "c" does not hold over nodes\n.*table public\.p are strong.*\n.*set_consistency\('public.p', 'strong'\)/,
	'a strong table that refers to another one warns');
unlike(says("SELECT causaldb.set_consistency('p', 'strong')"), qr/c_p_fkey|c_code_fkey/, 'when both are strong nobody does');
like(says("SELECT causaldb.set_consistency('e', 'eventual')"), qr/WARNING:  foreign key "weak" .*\n.*table public\.e are strong/,
	'an eventual table that refers to a strong one does');
$a->run("SELECT causaldb.set_consistency('$_', 'strong')") foreach qw(d pp pc late);
converge(@nodes);
is($b->run("SELECT string_agg(name, ' ' ORDER BY name) FROM causaldb.foreign_keys WHERE holds_over_nodes"),
	'c_code_fkey c_p_fkey d_boss_fkey d_p_fkey d_s_fkey pc_b_a_fkey', 'which ones hold is shown');
like($b->run("SELECT why_not FROM causaldb.foreign_keys WHERE name = 'weak'"), qr/table public.e are strong/, 'and why another one does not');
is($b->run("SELECT count(*) FROM causaldb.preview('c') WHERE says LIKE 'Foreign key % holds over nodes, as both tables are strong.'"), 2, 'so does preview');
sql_error($a, 'SELECT causaldb.foreign_key_gap(1)', '22023', 'what is no foreign key is refused');

# ------------------------------------------------------------ races
my $one = $a->session;
my $two = $b->session;
my $three = $c->session;
my $n = 10;
my $said; # to the last one that asked

$_->query_safe('\set VERBOSITY verbose') foreach $one, $two;
$a->run("INSERT INTO p VALUES (0, 'k0')");

# ok, or the SQLSTATE
sub outcome
{
	my ($session, $sql) = @_;

	$session->query($sql // 'COMMIT');
	$said = $session->{stderr};
	$session->{stderr} = '';
	return $said =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5})/ ? $1 : 'ok';
}

# Both have run their statements, checks included, when the first one commits.
sub both
{
	my ($name, $child, $parent, $wanted, $child_first) = @_;
	my @order = $child_first ? ($one, $two) : ($two, $one);

	$one->query_safe("BEGIN; $child");
	$two->query_safe("BEGIN; $parent");
	my $told = join ' ', map { outcome($_) } @order;
	is($told, $wanted, $name . ($child_first ? '' : ', the other one first'));
	return $said;
}

# The statements are about a parent that is new each time: # stands for its number.
sub race
{
	my ($name, $before, $child, $parent, $wanted) = @_;
	my @all;

	foreach my $child_first (1, 0)
	{
		$n++;
		my ($first, $left, $right) = map { s/#/$n/gr } $before, $child, $parent;
		$three->query_safe("INSERT INTO p VALUES ($n, 'k$n'); INSERT INTO pp VALUES ($n, 'k$n'); $first");
		push @all, both($name, $left, $right, $wanted // 'ok 40001', $child_first);
	}
	return @all;
}

my @said = race('INSERT against DELETE', '', 'INSERT INTO c VALUES (#, NULL, #)', 'DELETE FROM p WHERE id = #');
like($said[0], qr/node "n1".*Row \{"id": 11\} of table public\.p is referred to since index \d+/s, 'who deletes is told why');
like($said[1], qr/node "n2".*Row \{"id": 12\} of table public\.p, which the transaction refers to, was deleted/s, 'so is who refers');
race('INSERT against a change of the key', '', 'INSERT INTO c VALUES (#, NULL, #)', 'UPDATE p SET id = -id WHERE id = #');
race('UPDATE against DELETE', 'INSERT INTO c VALUES (#)', 'UPDATE c SET p = # WHERE id = #', 'DELETE FROM p WHERE id = #');
race('the value of a unique constraint against DELETE', '', q(INSERT INTO c (id, code) VALUES (#, 'k#')), 'DELETE FROM p WHERE id = #');
race('the value of a unique constraint against UPDATE', '', q(INSERT INTO c (id, code) VALUES (#, 'k#')), q(UPDATE p SET code = 'x' || code WHERE id = #));
race('ON DELETE CASCADE', '', 'SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO d (id, p, s) VALUES (#, #, NULL)', 'DELETE FROM p WHERE id = #');
race('its own table', 'INSERT INTO d (id, s) VALUES (#, NULL)', 'INSERT INTO d VALUES (-#, #, NULL, NULL)', 'DELETE FROM d WHERE id = #');
race('two columns, partitions', '', q(INSERT INTO pc VALUES (#, 'k#', #)), 'DELETE FROM pp WHERE a = #');
race('what a partition is told', '', q(INSERT INTO pc1 VALUES (#, #, 'k#')), 'DELETE FROM pp1 WHERE a = #');
race('REPEATABLE READ', '', 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; INSERT INTO c VALUES (#, NULL, #)',
	'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; DELETE FROM p WHERE id = #');
race('a savepoint', '', 'SAVEPOINT s; INSERT INTO c VALUES (#, NULL, #); RELEASE s', 'DELETE FROM p WHERE id = #');

# what a cascade leaves refers to something, too
$n++;
$three->query_safe("INSERT INTO p VALUES ($n); INSERT INTO d (id, s) VALUES ($n, $n)");
both('ON DELETE SET DEFAULT against the DELETE of the default', "DELETE FROM p WHERE id = $n", 'DELETE FROM p WHERE id = 0', 'ok 40001', 1);
is($b->run("SELECT s FROM d WHERE id = $n"), 0, 'and it is set');

# a deferred check runs at the commit, against what this node has: the log knows
# better (with reads that wait it would have met the DELETE, and failed by itself)
$n++;
$three->query_safe("INSERT INTO p VALUES ($n)");
$one->query_safe("SELECT FROM p WHERE id = $n");
$a->set_debug_point('strong_play_before:hang');
$one->query_safe("SET causaldb.strong_reads = off; BEGIN; INSERT INTO d VALUES ($n, NULL, $n, NULL)");
$b->run("DELETE FROM p WHERE id = $n");
is(outcome($one), '40001', 'a deferred check that has not seen the DELETE');
$a->clear_debug_point;
$one->query_safe('RESET causaldb.strong_reads');

# ------------------------------------------------------------ no conflicts
race('NULL refers to nothing', '', q(INSERT INTO pc VALUES (#, 'k#', NULL)), 'DELETE FROM pp WHERE a = #', 'ok ok');
race('what was rolled back', '', 'SAVEPOINT s; INSERT INTO c VALUES (#, NULL, #); ROLLBACK TO s; INSERT INTO c VALUES (#)',
	'DELETE FROM p WHERE id = #', 'ok ok');
race('an UPDATE of the parent', '', 'INSERT INTO c VALUES (#, NULL, #)', q(UPDATE p SET v = 'new' WHERE id = #), 'ok ok');
race('two that refer to one row', '', q(INSERT INTO c VALUES (#, NULL, #, 'k#')), q(INSERT INTO c VALUES (-#, NULL, #, 'k#')), 'ok ok');

# the parent is inserted elsewhere just before
$b->set_debug_point('strong_play_before:delay:150');
$n++;
$a->run("INSERT INTO p VALUES ($n, 'k$n')");
is(outcome($two, "INSERT INTO c VALUES ($n, NULL, $n, 'k$n')"), 'ok', 'a parent that has just come is seen, and no conflict');
$b->clear_debug_point;

# ------------------------------------------------------------ one that comes later
like(says('ALTER TABLE late ADD CONSTRAINT late_e FOREIGN KEY (p) REFERENCES e'), qr/WARNING:  foreign key "late_e"/, 'ALTER TABLE warns as well');
$a->run('ALTER TABLE late DROP CONSTRAINT late_e');
race('without the foreign key', '', 'INSERT INTO late VALUES (#, #)', 'DELETE FROM p WHERE id = #', 'ok ok');
$a->run('DELETE FROM late');
converge(@nodes);
$_->run('ALTER TABLE late ADD FOREIGN KEY (p) REFERENCES p DEFERRABLE') foreach @nodes;
race('with it', '', 'INSERT INTO late VALUES (#, #)', 'DELETE FROM p WHERE id = #');
# the row goes and comes back, which is as good to who refers to it already
my $again = q(SET CONSTRAINTS ALL DEFERRED; DELETE FROM p WHERE id = #; INSERT INTO p VALUES (#, 'again #'));
race('referred to from now on', 'INSERT INTO late VALUES (#)', 'UPDATE late SET p = # WHERE id = #', $again);
race('referred to as before', 'INSERT INTO late VALUES (#, #)', q(UPDATE late SET v = 'new' WHERE id = #), $again, 'ok ok');
$_->quit foreach $one, $two, $three;

# ------------------------------------------------------------ all at once
$a->run('INSERT INTO p SELECT -g - 1000 FROM generate_series(1, 3) g');
my @clients = map {
	my $k = $_;
	record_client($nodes[$k], limit => 60, sql => sub {
		my $i = shift;
		my $p = -1001 - $i % 3;

		return $k == 2 ? ("DELETE FROM c WHERE p = $p AND id % 5 = 0; DELETE FROM p WHERE id = $p AND NOT EXISTS (SELECT FROM c WHERE p = $p); INSERT INTO p VALUES ($p) ON CONFLICT DO NOTHING")
		  : "INSERT INTO c VALUES (" . ($k * 1000 + 2000 + 5 * $i) . ", NULL, $p)";
	});
} 0 .. 2;
$_->finish foreach @clients;
cmp_ok(scalar $clients[$_]->acked, '>', 0, 'the client of ' . $nodes[$_]->name . ' got through') foreach 0 .. 2;
converge(@nodes);
same_table($_, @nodes) foreach qw(p c d pp pc late);
foreach my $node (@nodes)
{
	is($node->run(q(SELECT (SELECT count(*) FROM c WHERE p IS NOT NULL AND NOT EXISTS (SELECT FROM p WHERE p.id = c.p)) +
			(SELECT count(*) FROM c WHERE code IS NOT NULL AND NOT EXISTS (SELECT FROM p WHERE p.code = c.code)) +
			(SELECT count(*) FROM d WHERE NOT EXISTS (SELECT FROM p WHERE p.id = d.p) AND p IS NOT NULL) +
			(SELECT count(*) FROM pc WHERE a IS NOT NULL AND NOT EXISTS (SELECT FROM pp WHERE pp.a = pc.a AND pp.b = pc.b)))),
		0, 'no row refers to nothing on ' . $node->name);
	is($node->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $node->name);
}

done_testing();
