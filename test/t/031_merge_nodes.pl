# Claim: nodes that write the same rows without hearing of each other have the
# same rows when they have heard everything, and the rows are those that
# merging field by field promises. Seed and length of the random part:
#
#	CAUSALDB_SEED=7 CAUSALDB_ROUNDS=200 test/run -j 1 -v test/t/031_merge_nodes.pl
#
# With CAUSALDB_BREAK, a list for causaldb.break, the random part makes those
# mistakes and must see nodes differ.
use CausaldbTest;
use CausaldbApart;

my $seed = $ENV{CAUSALDB_SEED} // time % 100_000;
my $rounds = $ENV{CAUSALDB_ROUNDS} // 6;
my $break = $ENV{CAUSALDB_BREAK};
my @policies = qw(update_wins delete_wins last_write);

note("CAUSALDB_SEED=$seed CAUSALDB_ROUNDS=$rounds");
srand($seed);

my @nodes = new_cluster(3, links => 1, before => join '', map { qq(
	CREATE TABLE $_ (id numeric PRIMARY KEY, a text, b text, n int, untagged text DEFAULT 'here');
) } @policies);
my ($n1, $n2, $n3) = @nodes;

foreach (@policies)
{
	$n1->run("SELECT causaldb.set_consistency('$_', 'eventual', '{id,a,b,n}');
		SELECT causaldb.set_merge('$_', 'n', 'counter');
		SELECT causaldb.set_row_policy('$_', '$_')");
}
converge(@nodes);

# The rows of each table before a case.
sub begin_with
{
	my ($values) = @_;
	foreach (@policies)
	{
		$n1->run("TRUNCATE $_; INSERT INTO $_ (id, a, b, n) VALUES $values");
	}
	converge(@nodes);
	return;
}

# Writes apart, the same on the table of each policy; each must then have what
# is wanted for it (all alike, or by policy), on all nodes.
sub merges
{
	my ($name, $before, $writes, $want) = @_;
	my @apart;

	return if $break;
	begin_with($before);
	for (my $i = 0; $i < @$writes; $i += 2)
	{
		my $sql = $writes->[ $i + 1 ];
		push @apart, $writes->[$i], join ';',
		  map { (my $one = $sql) =~ s/\bt\b/$_/g; $one } @policies;
	}
	apart(\@nodes, @apart);
	foreach my $table (@policies)
	{
		my $wanted = ref $want ? $want->{$table} : $want;
		my @rows = map { $_->run("SELECT id, a, b, n FROM $table ORDER BY id") } @nodes;

		is(join(' / ', @rows), join(' / ', ($wanted) x 3), "$name, $table");
	}
	return;
}

sub conflicts_of
{
	my ($where) = @_;
	return map {
		$_->run("SELECT conflict_type, kept_value, lost_value, kept_node, lost_node
			FROM causaldb.conflicts WHERE $where")
	} @nodes;
}

merges('different fields both survive', "(1, 'a', 'b', 0)",
	[ 1 => "UPDATE t SET a = 'one'", 2 => "UPDATE t SET b = 'two'" ],
	'1|one|two|0');

$_->run('DELETE FROM causaldb.conflict') foreach @nodes;
merges('of one field the larger stamp wins', "(1, 'a', 'b', 0)",
	[ 1 => "UPDATE t SET a = 'first'", 3 => "UPDATE t SET a = 'second'" ],
	'1|second|b|0');
if (!$break)
{
	ok((grep { /update_origin_differs\|second\|first\|n3\|n1/ }
		  conflicts_of("relation = 'public.update_wins' AND column_name = 'a'")) > 0,
		'the loser is in causaldb.conflicts, with both nodes');
	is(join('', conflicts_of("relation <> 'public.update_wins' AND column_name = 'b'")), '',
		'what did not conflict is not');
}

merges('counters add up', "(1, 'a', 'b', 10)",
	[ 1 => 'UPDATE t SET n = n + 1', 2 => 'UPDATE t SET n = n + 20',
		3 => 'UPDATE t SET n = n - 300' ],
	'1|a|b|-269');

merges('update against delete', "(1, 'a', 'b', 5)",
	[ 1 => "UPDATE t SET a = 'kept'", 2 => 'DELETE FROM t' ],
	{ update_wins => '1|kept|b|5', delete_wins => '', last_write => '' });
is($n2->run('SELECT untagged FROM update_wins'), 'here',
	'a revived row has defaults where nothing is tagged') unless $break;

merges('delete against update', "(1, 'a', 'b', 5)",
	[ 2 => 'DELETE FROM t', 1 => 'UPDATE t SET n = n + 1' ],
	{ update_wins => '1|a|b|6', delete_wins => '', last_write => '1|a|b|6' });

merges('delete against delete', "(1, 'a', 'b', 5)",
	[ 1 => 'DELETE FROM t', 2 => 'DELETE FROM t' ], '');

merges('insert against insert', "(9, 'x', 'x', 0)",
	[ 1 => "INSERT INTO t VALUES (1, 'one', 'one', 1)",
		2 => "INSERT INTO t VALUES (1, 'two', 'two', 2)" ],
	"1|two|two|2\n9|x|x|0");

merges('a key is equal as its index says', "(9, 'x', 'x', 0)",
	[ 1 => "INSERT INTO t VALUES (1.0, 'one', 'one', 1)",
		2 => "INSERT INTO t VALUES (1.00, 'two', 'two', 2); UPDATE t SET n = n + 5 WHERE id = 1" ],
	"1.00|two|two|7\n9|x|x|0");

merges('inserted again after a delete, against an update', "(1, 'a', 'b', 5)",
	[ 1 => "DELETE FROM t; INSERT INTO t VALUES (1, 'new', 'new', 100)",
		2 => "UPDATE t SET n = n + 1",
		3 => "UPDATE t SET b = 'late'" ],
	'1|new|late|101');

merges('deleted, then counted elsewhere', "(1, 'a', 'b', 5)",
	[ 1 => 'DELETE FROM t', 2 => 'UPDATE t SET n = n + 1', 3 => 'UPDATE t SET n = n + 10' ],
	{ update_wins => '1|a|b|16', delete_wins => '', last_write => '1|a|b|16' });

merges('a counter is set against additions', "(1, 'a', 'b', 5)",
	[ 1 => "SELECT causaldb.counter_set('t', '{\"id\": 1}', 'n', 1000)",
		2 => 'UPDATE t SET n = n + 1', 3 => 'UPDATE t SET n = n + 10' ],
	'1|a|b|1011');

merges('two deletes and a revival', "(1, 'a', 'b', 5)",
	[ 1 => 'DELETE FROM t', 2 => 'DELETE FROM t',
		3 => "UPDATE t SET a = 'kept', n = n + 1" ],
	{ update_wins => '1|kept|b|6', delete_wins => '', last_write => '1|kept|b|6' });

merges('TRUNCATE against insert and update', "(1, 'a', 'b', 5), (2, 'a', 'b', 5)",
	[ 1 => 'TRUNCATE t', 2 => "UPDATE t SET a = 'late' WHERE id = 1",
		3 => "INSERT INTO t VALUES (3, 'new', 'new', 3)" ],
	'3|new|new|3');

merges('TRUNCATE against delete and update', "(1, 'a', 'b', 5), (2, 'a', 'b', 5)",
	[ 1 => 'TRUNCATE t', 2 => 'DELETE FROM t WHERE id = 1',
		3 => "UPDATE t SET a = 'late'" ],
	'');

merges('TRUNCATE against what came after an insert it has not seen', "(1, 'a', 'b', 5)",
	[ 1 => 'TRUNCATE t', 2 => "INSERT INTO t VALUES (3, 'new', 'new', 3), (4, 'new', 'new', 4)",
		2 => "UPDATE t SET a = 'newer', n = n + 1", 2 => 'DELETE FROM t WHERE id = 4' ],
	'3|newer|new|4');

# rows without a key: two TRUNCATEs, each of which has seen another insert
unless ($break)
{
	$_->run('CREATE TABLE event (what text)') foreach @nodes;
	$n1->run("SELECT causaldb.set_consistency('event', 'eventual')");
	converge(@nodes);
	apart(\@nodes,
		1 => "INSERT INTO event VALUES ('one, gone'); TRUNCATE event; INSERT INTO event VALUES ('one')",
		2 => "INSERT INTO event VALUES ('two, gone'); TRUNCATE event; INSERT INTO event VALUES ('two')",
		3 => "INSERT INTO event VALUES ('three')");
	is($_->run("SELECT string_agg(what, ' ' ORDER BY what) FROM event"), 'one three two',
		'TRUNCATEs apart of a table without a key, ' . $_->name) foreach @nodes;
}

# ------------------------------------------------------------ at random

sub pick { return $_[ rand @_ ] }

my $value = 0;

sub one_statement
{
	my ($t, $id) = @_;
	my $v = ++$value;
	my $dice = int(rand 20);

	return "INSERT INTO $t (id, a, b, n) VALUES ($id, 'i$v', 'i$v', $v % 100) ON CONFLICT DO NOTHING"
	  if $dice < 4;
	return "UPDATE $t SET a = 'a$v' WHERE id = $id" if $dice < 7;
	return "UPDATE $t SET b = 'b$v' WHERE id = $id" if $dice < 9;
	return "UPDATE $t SET a = 'c$v', b = 'c$v', n = n + 1 WHERE id = $id" if $dice < 10;
	return "UPDATE $t SET n = n + " . (int(rand 20) - 8) . " WHERE id = $id" if $dice < 14;
	return "DELETE FROM $t WHERE id = $id" if $dice < 17;
	return "INSERT INTO $t (id, a, b, n) VALUES ($id, 'u$v', 'u$v', 1) ON CONFLICT (id) DO UPDATE SET a = excluded.a, n = $t.n + 1"
	  if $dice < 18;
	return "UPDATE $t SET n = NULL WHERE id = $id" if $dice < 19;
	return "UPDATE $t SET id = id + 0.0, a = 'k$v' WHERE id = $id";
}

# Some statements on rows in ascending order, so that clients of one node do
# not deadlock among themselves.
sub one_transaction
{
	my $t = pick(@policies);
	my $last = pick(1, 1, 1, 2, 3);
	my @sql = map { one_statement($t, $_) }
	  sort { $a <=> $b } map { 1 + int(rand 5) } 1 .. $last;

	return $sql[0] . ';' if @sql == 1;
	splice @sql, 1, 0, 'SAVEPOINT s', one_statement($t, 5), 'ROLLBACK TO s'
	  if rand() < 0.1;
	return join(';', 'BEGIN', @sql, 'COMMIT') . ';';
}

if ($break)
{
	$_->set_break($break) foreach @nodes;
}
begin_with("(1, 'a', 'b', 0), (2, 'a', 'b', 0), (3, 'a', 'b', 0)");
my $good = random_rounds(
	\@nodes,
	rounds => $rounds, clients => 2, transactions => 40,
	transaction => \&one_transaction, tables => \@policies);
if ($break)
{
	ok($good < $rounds, "mistake $break is seen, after $good good rounds");
	done_testing();
	exit;
}
is($good, $rounds, "nodes agree after each of $rounds random rounds");
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name)
  foreach @nodes;

done_testing();
