# Claim: DDL on a tagged table of one node ends nothing silently. Changes that
# the other node cannot apply stall there, name what is missing and the
# statement to type, and go on when it has been typed; all others go on
# meanwhile; nothing is lost.
use CausaldbTest;

my ($a, $b) = new_cluster(2, before => q(
	CREATE TABLE t (id int PRIMARY KEY, v text, n int);
	CREATE TABLE quiet (id int PRIMARY KEY);
));
$a->run("SELECT causaldb.set_consistency('t', 'eventual'); SELECT causaldb.set_consistency('quiet', 'eventual')");
converge($a, $b);

my $next = 1;
# Traffic of one node on all that its table has.
sub write_on
{
	my ($node, $sql) = @_;
	my $id = $next++;

	$node->run($sql // "INSERT INTO t (id, v, n) VALUES ($id, '" . $node->name . "', $id)");
	return $id;
}

# Waits for the stall and gives its hint; a test point on what it names.
sub stalled_with
{
	my ($node, $pattern, $name) = @_;

	$node->wait_sql("SELECT count(*) > 0 FROM causaldb.stalled");
	my $said = $node->run('SELECT message, hint FROM causaldb.stalled');
	like($said, $pattern, $name);
	my ($type) = $said =~ /Type: (.*;)\s*$/;
	return $type;
}

sub settled
{
	my ($name) = @_;

	converge($a, $b);
	is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, "$name: nothing is stalled on " . $_->name) foreach $a, $b;
	return;
}

write_on($_) foreach $a, $b;
settled('before');

# ADD COLUMN on one side
$a->run("ALTER TABLE t ADD COLUMN added int DEFAULT 5");
$a->run("UPDATE t SET v = 'does not touch it' WHERE id = 1");
converge($a, $b);
is($b->run('SELECT v FROM t WHERE id = 1'), 'does not touch it', 'a column that is missing is in nobody\'s way');
$a->run("UPDATE t SET added = 7 WHERE id = 1");
my $hint = stalled_with($b, qr/column added of table public.t does not exist/, 'a new column is named');
is($hint, 'ALTER TABLE public.t ADD COLUMN added integer;', 'with what to type');
write_on($b);
$a->wait_sql("SELECT count(*) = 3 FROM t");
$b->run('ALTER TABLE t ADD COLUMN added int DEFAULT 5');
settled('ADD COLUMN');
same_table('t', $a, $b);
is($b->run('SELECT added FROM t WHERE id = 1'), 7, 'its value came');

# DROP COLUMN on one side, then on the other
$a->run('ALTER TABLE t DROP COLUMN added');
write_on($a);
$b->run("UPDATE t SET n = n + 1");
settled('DROP COLUMN, not written');
$b->run('UPDATE t SET added = 8 WHERE id = 2');
$b->run('ALTER TABLE t DROP COLUMN added');
write_on($b);
$hint = stalled_with($a, qr/column added of table public.t does not exist/, 'a dropped column that somebody wrote is named');
$a->run($hint);
settled('DROP COLUMN, taken back');
$a->run('ALTER TABLE t DROP COLUMN added');
write_on($_) foreach $a, $b;
settled('DROP COLUMN');
same_table('t', $a, $b);

# RENAME COLUMN
$a->run('ALTER TABLE t RENAME COLUMN v TO word');
$a->run("INSERT INTO t VALUES (" . $next++ . ", 'renamed', 0)");
stalled_with($b, qr/column word of table public.t does not exist/, 'a renamed column is named');
$b->run('ALTER TABLE t RENAME COLUMN v TO word');
$b->run("INSERT INTO t VALUES (" . $next++ . ", 'renamed too', 0)");
settled('RENAME COLUMN');
same_table('t', $a, $b);

# ALTER COLUMN TYPE
$a->run('ALTER TABLE t ALTER COLUMN n TYPE bigint');
$a->run("UPDATE t SET n = 5000000000 WHERE id = 2");
$hint = stalled_with($b, qr/column n of table public.t is of type integer here/, 'another type is named');
is($hint, 'ALTER TABLE public.t ALTER COLUMN n TYPE bigint;', 'with what to type');
$b->run($hint);
$b->run("UPDATE t SET n = 6000000000 WHERE id = 3");
settled('ALTER COLUMN TYPE');
same_table('t', $a, $b);

# RENAME TABLE
$a->run('ALTER TABLE t RENAME TO s');
$a->run("UPDATE s SET word = 'in s' WHERE id = 1");
stalled_with($b, qr/table public.s does not exist/, 'a renamed table is named');
$b->run('ALTER TABLE t RENAME TO s');
$b->run("UPDATE s SET word = 'in s' WHERE id = 2");
settled('RENAME TABLE');
same_table('s', $a, $b);

# DROP TABLE on one side; the other one still writes it
$a->run('DROP TABLE s');
is($a->run("SELECT count(*) FROM causaldb.tags WHERE relation::text = 's'"), 0, 'its tag went with it');
$b->run("UPDATE s SET word = 'still here' WHERE id = 1");
$b->run('INSERT INTO quiet VALUES (1)');
$a->run('INSERT INTO quiet VALUES (2)');
$b->wait_sql('SELECT count(*) = 2 FROM quiet');
$hint = stalled_with($a, qr/table public.s does not exist/, 'a dropped table is named');
$a->run($hint);
$hint = stalled_with($a, qr/table public.s (?:does not exist|is not tagged here)/, 'and that it has no tag now');
$a->wait_sql("SELECT count(*) > 0 FROM causaldb.stalled WHERE message LIKE '%is not tagged here'");
$hint = stalled_with($a, qr/is not tagged here/, 'which is the last thing to do');
$a->run($hint);
settled('DROP TABLE, taken back');
$_->run('DROP TABLE s') foreach $a, $b;
$_->run('INSERT INTO quiet SELECT max(id) + 2 FROM quiet') foreach $a;
settled('DROP TABLE');
same_table('quiet', $a, $b);

# DROP EXTENSION: an ordinary database again, with its tables
$b->run('DROP EXTENSION causaldb');
$b->run('INSERT INTO quiet VALUES (100)');
$a->run('INSERT INTO quiet VALUES (101)');
$b->wait_sql("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name IN ('causaldb apply', 'causaldb sender') AND backend_type LIKE 'causaldb%'");
is($b->run("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'quiet'::regclass"), 0, 'no trigger is left');
is($a->run('SELECT count(*) FROM quiet WHERE id = 100'), 0, 'what it writes now is its own');
$b->run('CREATE EXTENSION causaldb');
$b->run("SELECT causaldb.set_consistency('quiet', 'eventual'); INSERT INTO quiet VALUES (102)");
is($b->run("SELECT count(*) FROM causaldb.history WHERE operation = 'INSERT'"), 1, 'and it can begin anew');
foreach my $node ($a, $b)
{
	unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'no crash on ' . $node->name);
}

done_testing();
