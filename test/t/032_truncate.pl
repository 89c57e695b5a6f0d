# Claim: which operations a TRUNCATE undoes is the same on all nodes, also
# where a part of what decides it is stable on one of them, and that node has
# started anew since; and where the rows are written by triggers too.
use CausaldbTest;
use CausaldbApart;

my @nodes = new_cluster(3, links => 1, conf => { 'causaldb.relay_delay' => '1h' }, before => q(
	CREATE TABLE t (id int PRIMARY KEY, a text, n int);
	CREATE TABLE again (id int PRIMARY KEY, a text, n int);
	CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF TG_OP = 'DELETE' THEN INSERT INTO again SELECT i, 'back', 5 FROM generate_series(1, 2) i ON CONFLICT DO NOTHING;
		ELSE UPDATE again SET a = a || '+' WHERE length(a) < 5; END IF;
		RETURN NULL; END $$;
	CREATE TRIGGER again AFTER INSERT OR DELETE ON again FOR EACH ROW EXECUTE FUNCTION again();
));
my ($n1, $n2, $n3) = @nodes;

$n1->run("SELECT causaldb.set_consistency('$_', 'eventual'); SELECT causaldb.set_merge('$_', 'n', 'counter')")
  foreach qw(t again);
converge(@nodes);

sub mute { my ($from, $to) = @_; return link_between($from, $to)->mute($from); }
sub unmute { my ($from, $to) = @_; return link_between($from, $to)->unmute($from); }

sub each_way
{
	my ($do) = @_;
	foreach my $from (@nodes)
	{
		$do->($from, $_) foreach grep { $_ != $from } @nodes;
	}
	return;
}

# A table with one row that everybody has for good.
sub begin_with
{
	my ($values) = @_;
	my $at;

	$n1->run("TRUNCATE t; INSERT INTO t VALUES $values");
	converge(@nodes);
	$at = position($n1);
	is_stable($_, 'n1', $at) foreach @nodes;
	return each_way(\&mute);
}

# The last that this node itself has written.
sub position
{
	my ($node) = @_;
	return $node->run("SELECT max(position) FROM causaldb.history WHERE node = '" . $node->name . "'");
}

sub is_stable
{
	my ($node, $writer, $position) = @_;
	return $node->wait_sql("SELECT bool_or(stable >= $position) FROM causaldb.streams WHERE node = '$writer'");
}

sub all_have
{
	my ($table, $want, $name) = @_;
	my @rows;

	each_way(\&unmute);
	converge(@nodes);
	@rows = map { $_->run("SELECT id, a, n FROM $table ORDER BY id") } @nodes;
	return is(join(' / ', @rows), join(' / ', ($want) x 3), $name);
}

# The TRUNCATE is stable at n1, the update that it undoes is not: n2 has the
# one and not the other.
begin_with("(1, 'old', 0)");
$n1->run('TRUNCATE t');
$n3->run('UPDATE t SET n = n + 100');
my $undone = position($n3);
unmute(@$_) foreach [ $n1, $n2 ], [ $n1, $n3 ], [ $n3, $n1 ], [ $n2, $n1 ], [ $n2, $n3 ];
is_stable($n1, 'n1', position($n1));
$n1->wait_sql("SELECT count(*) > 0 FROM causaldb.history WHERE position = $undone")
  || diag('positions of n3: ' . join ' / ', map { $_->run("SELECT position, operation, key FROM causaldb.history WHERE position >= $undone") } @nodes);
$n2->wait_sql('SELECT count(*) = 0 FROM t');
$n1->restart;
$n2->run("INSERT INTO t VALUES (1, 'new', 5)");
$n1->wait_sql('SELECT count(*) = 1 FROM t');
all_have('t', '1|new|5', 'a stable TRUNCATE undoes what is not');

# The INSERT which the TRUNCATE has not seen is stable at n1, the TRUNCATE is
# not: n3 has the one and not the other, and updates the row.
begin_with("(1, 'old', 0)");
$n1->run('TRUNCATE t');
$n2->run("INSERT INTO t VALUES (2, 'kept', 1)");
unmute($n2, $n3);
$n3->wait_sql('SELECT count(*) = 2 FROM t');
mute($n2, $n3);
unmute(@$_) foreach [ $n2, $n1 ], [ $n3, $n1 ], [ $n3, $n2 ], [ $n1, $n2 ];
is_stable($n1, 'n2', position($n2));
$n1->restart;
$n3->run('UPDATE t SET n = n + 100 WHERE id = 2');
$n1->wait_sql('SELECT n > 1 FROM t WHERE id = 2');
all_have('t', '2|kept|101', 'what came after a stable INSERT stays');

# Triggers: rows written before their first version is captured, rows that are
# back when their DELETE is captured
$n1->run("INSERT INTO again VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
all_have('again', "1|a+++|1\n2|b+++|2\n3|c+++|3", 'rows that a trigger on another row has written');
$n2->run('DELETE FROM again');
all_have('again', "1|back+|5\n2|back+|5", 'rows that a trigger has brought back');
is($_->run("SELECT count(*) FROM causaldb.conflicts WHERE conflict_type = 'insert_exists' AND relation = 'public.again'"), 0,
	'and nothing of that is a conflict on ' . $_->name) foreach @nodes;
apart(\@nodes, 1 => 'TRUNCATE again', 2 => 'DELETE FROM again',
	3 => "INSERT INTO again VALUES (3, 'x', 7)", 3 => "UPDATE again SET n = n + 1", 2 => 'UPDATE again SET n = n + 10');
all_have('again', "1|back+|15\n2|back+|15\n3|x+|8", 'against a TRUNCATE');

done_testing();
