# Claim: seven databases of one server are seven nodes. What is bounded says so:
# databases, members, the size of a change.
use CausaldbTest;

my $server = new_node('n1', conf => {
	'max_worker_processes' => 48, 'max_connections' => 250, 'causaldb.max_databases' => 8 });
my @dbs = map { "d$_" } 1 .. 7;
my $first;

sub in
{
	my ($db, $sql) = @_;
	return $server->safe_psql($db, $sql);
}

sub join_sql
{
	my ($db) = @_;
	return sprintf("SELECT causaldb.join_cluster('%s', '%s', '%s', 'all')", $db,
		$server->dsn . " dbname=$db", $server->dsn . ' dbname=d1');
}

# its services file names itself
$server->knows($server);
foreach my $db (@dbs)
{
	$server->run("CREATE DATABASE $db");
	in($db, 'CREATE EXTENSION causaldb');
	if ($db eq 'd1')
	{
		in($db, 'CREATE TABLE t (db text PRIMARY KEY, v text)');
		in($db, "SELECT causaldb.create_cluster('d1', '" . $server->dsn . " dbname=d1'); SELECT causaldb.wait_until_ready()");
		in($db, "SELECT causaldb.set_consistency('t', 'eventual')");
		next;
	}
	in($db, join_sql($db));
}
in($_, "SELECT causaldb.wait_until_ready('90 s'); INSERT INTO t VALUES ('$_')") foreach @dbs;
my @tokens = map { in($_, 'SELECT causaldb.token()') } @dbs;
foreach my $db (@dbs)
{
	in($db, "SELECT causaldb.wait_for('$_', '90 s')") foreach @tokens;
	is(in($db, 'SELECT string_agg(db, \',\' ORDER BY db) FROM t'), join(',', @dbs), "$db has the rows of all seven");
}

# the most columns that PostgreSQL has
in($_, 'CREATE TABLE wide (id int PRIMARY KEY, ' . join(', ', map { "c$_ bool" } 1 .. 1599) . ')') foreach @dbs;
in('d1', "SELECT causaldb.set_consistency('wide', 'eventual')");
in('d1', 'INSERT INTO wide (id, c1, c1599) VALUES (1, true, false); UPDATE wide SET c800 = true');
my $wide = in('d1', 'SELECT causaldb.token()');
in('d7', "SELECT causaldb.wait_for('$wide', '90 s')");
is(in('d7', 'SELECT id, c1, c800, c1599 FROM wide'), '1|t|t|f', 'a table may have 1600 columns');

sub error_in
{
	my ($db, $sql) = @_;
	my (undef, undef, $said) = $server->psql($db, "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	return $said;
}

like(error_in('d1', "BEGIN; INSERT INTO causaldb.node (id, name, dsn) SELECT g, 'm' || g, 'dbname=m' FROM generate_series(8, 64) g;
	SELECT causaldb.admit_node('one_more', 'dbname=m', 'member', true)"),
	qr/ERROR:  54000: a cluster has at most 64 nodes/, 'the sixty-fifth node is refused');
like(error_in('d1', "INSERT INTO t VALUES ('large', repeat('x', 140000000))"),
	qr/ERROR:  54000: one change of table public\.t is too large to be sent.*HINT:  Divide the value/s, 'and a change of more than 128 MB');
$server->run('CREATE DATABASE d8');
in('d8', 'CREATE EXTENSION causaldb; CREATE TABLE own (id int PRIMARY KEY)');
$server->run('CREATE DATABASE d9');
in('d9', 'CREATE EXTENSION causaldb');
in('d8', "SELECT causaldb.set_consistency('own', 'eventual')");
my @said = map { error_in($_, join_sql($_)) } 'd8', 'd9';
like("@said", qr/ERROR:  53400: too many databases use causaldb.*HINT:  Set causaldb\.max_databases = 16/s, 'and a database too many');
done_testing();
