# Claim: the connection string of an administrator who is no superuser does not
# borrow the server's own identity. Where it is given, and in the processes that
# use it later, it needs a password, and the other side must ask for it; only a
# superuser's own string, or causaldb.server_identity, does without. And what is
# in such strings stands in no server log, in no view and not in
# pg_stat_activity, whether the call succeeds, fails or runs.
use CausaldbTest;

my $secret = 'sesame-77';
my $passfile = PostgreSQL::Test::Utils::tempdir() . '/passfile';
open my $file, '>', $passfile or die $!;
print $file "*:*:*:app:$secret\n";
close $file;
chmod 0600, $passfile or die $!;
# what the server's operating system user could prove
$ENV{PGPASSFILE} = $passfile;

my @nodes = map {
	new_node($_, conf => { shared_preload_libraries => "'causaldb, pg_stat_statements, auto_explain'",
			'auto_explain.log_min_duration' => 0, 'auto_explain.log_verbose' => 'on', 'auto_explain.log_nested_statements' => 'on',
			'causaldb.heartbeat_interval' => '50ms' })
} qw(a b c);
my ($a, $b, $c) = @nodes;
my @watched;

sub string
{
	my ($node, @more) = @_;
	return join ' ', 'host=' . $node->host, 'port=' . $node->port, 'dbname=postgres', @more;
}
sub with_password { return string($_[0], 'user=app', "password=$secret") }

# app must give its password, everybody else is trusted
sub set_rules
{
	my ($node, $app) = @_;
	PostgreSQL::Test::Utils::append_to_file($node->data_dir . '/pg_hba.new',
		"local all app $app\nlocal all all trust\nlocal replication all trust\n");
	rename $node->data_dir . '/pg_hba.new', $node->data_dir . '/pg_hba.conf' or die $!;
	$node->reload;
	my $method = $app eq 'trust' ? 'trust' : 'scram-sha-256';
	$node->wait_sql("SELECT auth_method FROM pg_hba_file_rules WHERE user_name = '{app}'", $method);
	return;
}

foreach my $node (@nodes)
{
	$node->run("CREATE ROLE app LOGIN PASSWORD '$secret' IN ROLE causaldb_admin, causaldb_replicator, pg_read_all_data;
		CREATE ROLE chief LOGIN IN ROLE causaldb_admin;
		CREATE ROLE lax LOGIN IN ROLE causaldb_admin;
		CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats, causaldb_replicator;
		CREATE TABLE t (id int PRIMARY KEY, a text);
		ALTER TABLE t OWNER TO chief;
		GRANT CREATE ON SCHEMA public TO chief");
	# not where a schema is copied from, as only a superuser can bring it
	$node->run('CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()') unless $node->name eq 'a';
	set_rules($node, 'scram-sha-256');
	$node->run("ALTER SYSTEM SET log_statement = 'all'");
	$node->run('ALTER SYSTEM SET log_min_duration_statement = 0');
	$node->run('ALTER SYSTEM SET log_parameter_max_length_on_error = -1');
	$node->run('ALTER SYSTEM SET log_error_verbosity = verbose');
	$node->reload;
	$node->wait_sql('SHOW log_statement', 'all');
	push @watched, [ $node, -s $node->logfile ];
}

sub as { my ($role, $sql) = @_; return "SET SESSION AUTHORIZATION $role;\n$sql" }

# One refusal: its SQLSTATE is 42501, its detail is that sentence.
sub refused
{
	my ($node, $role, $sql, $detail) = @_;
	my $said = sql_error($node, as($role, $sql), '42501', "$detail, $role");
	like($said, qr/DETAIL:  \Q$detail\E/, 'for that reason');
	like($said, qr/HINT:  .*causaldb\.server_identity/, 'with a hint');
	unlike($said, qr/\Q$secret\E.*DETAIL|DETAIL.*\Q$secret\E/s, 'and without the password');
	return;
}

# ------------------------------------------------------------ where it is given
my $no_password = 'The connection string has no password.';
my $names_file = 'The connection string names a file, service or principal of the server.';
refused($a, 'chief', "SELECT causaldb.create_cluster('a', '" . string($a, 'user=app') . "')", $no_password);
refused($a, 'chief', "SELECT causaldb.create_cluster('a', '" . with_password($a) . " $_')", $names_file)
  foreach "passfile=$passfile", 'service=x', 'sslkey=/k', 'sslcert=/c', 'krbsrvname=k', 'sslrootcert=/r';
refused($a, 'chief', "SELECT causaldb.create_cluster('a', '" . with_password($a) =~ s/host=(\S+)/host=$1,$1/r . "')",
	'The connection string names more than one host.');
$a->run(as('chief', "SELECT causaldb.create_cluster('a', '" . with_password($a) . "');
	SELECT causaldb.set_consistency('t', 'eventual')"));
is($a->run('SELECT server_identity FROM causaldb.nodes'), 'f', 'an administrator founds a cluster by password');

refused($b, 'chief', sprintf("SELECT causaldb.join_cluster('b', '%s', '%s', 'none')", with_password($b), string($a, 'user=app')),
	$no_password);
refused($b, 'chief', sprintf("SELECT causaldb.join_cluster('b', '%s', '%s', 'none')", with_password($b),
		string($a, 'user=lax', "password=$secret")), 'The other side did not ask for the password.');
is($a->run("SELECT count(*) FROM pg_stat_database WHERE datname = 'postgres' AND sessions_fatal > 0"), 0, 'quietly');

# ------------------------------------------------------------ while it runs
$b->set_debug_point('join_admitted:hang');
my $join = sprintf("SELECT causaldb.join_cluster('b', '%s', '%s', 'all')", with_password($b), with_password($a));
$b->run('DROP TABLE t');
my $call = $b->session;
$call->query_safe('SET SESSION AUTHORIZATION chief');
$call->query_until(qr/called/, "\\echo called\n$join;\n");
my $seen = q(SELECT string_agg(query, '') FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~* '%s');
$b->wait_sql(as('watcher', sprintf($seen, 'join_cluster')), '... join_cluster ... -- not shown: it may hold a password');
$b->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'causaldb admin'", 0);
is($_->run(as('watcher', sprintf($seen, 'password='))), '', 'pg_stat_activity of ' . $_->name . ' has no connection string')
  foreach @nodes;
$b->clear_debug_point;
$call->query('SELECT 1');
$call->quit;

# ------------------------------------------------------------ and afterwards
$_->run("SELECT causaldb.wait_until_ready()") foreach $a, $b;
$a->run(as('chief', "INSERT INTO t VALUES (1, 'by password')"));
converge($a, $b);
same_table('t', $a, $b);
is($b->run('SELECT count(*) FROM t'), 1, 'nodes reach each other by password');

my $link = 'SELECT state, error FROM causaldb.peers';
my $cut = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name = 'causaldb sender'";

# the other side stops asking
set_rules($b, 'trust');
$b->run($cut);
$a->wait_sql($link, 'down|The other side did not ask for the password.');
pass('a link that needs no password is not used');
set_rules($b, 'scram-sha-256');
$a->wait_sql($link, 'up|');

# an administrator alters it, here and where it is carried to another node
foreach my $node ($a, $b)
{
	refused($node, 'chief', "SELECT causaldb.alter_node('b', '" . string($b, 'user=app') . "')", $no_password);
}
refused($a, 'watcher', "SELECT causaldb.order_dsn('b', '" . string($b, 'user=app') . "', true)", $no_password);
refused($a, 'chief', "SELECT causaldb.admit_node('x', '" . string($b, 'user=app') . "', 'member', true)", $no_password);

# a superuser may; but this node was made one by an administrator, who may have
# chosen the cluster, so its processes ask for the setting
$a->run("SELECT causaldb.alter_node('b', '" . string($b, 'user=app') . "')");
is($a->run("SELECT server_identity FROM causaldb.nodes WHERE name = 'b'"), 't', 'it is known who gave a string');
$a->wait_sql($link, "down|$no_password");
pass('a node that an administrator has made lends nothing by itself');
$a->set_conf('causaldb.server_identity', 'always');
$a->wait_sql($link, 'up|');
pass('it does when its superuser says so');
$a->set_conf('causaldb.server_identity', 'never');
refused($a, 'postgres', "SELECT causaldb.alter_node('b', '" . string($b, 'user=app') . "')", $no_password);
$a->set_conf('causaldb.server_identity', undef);
sql_error($a, as('chief', "SET causaldb.server_identity = 'always'"), '42501', 'and nobody else may say so');
$a->run(as('chief', "SELECT causaldb.alter_node('b', '" . with_password($b) . "')"));
$a->wait_sql($link, 'up|');
is($a->run("SELECT server_identity FROM causaldb.nodes WHERE name = 'b'"), 'f', 'a string of an administrator again');

# among superusers nothing of this shows
$c->run("SELECT causaldb.create_cluster('c', '" . string($c, 'user=postgres') . "')");
is($c->run('SELECT n.server_identity AND l.server_identity FROM causaldb.node n, causaldb.local_node l'), 't',
	'superusers need no password');

# ------------------------------------------------------------ calls that fail
# before the function runs, in it, behind it, in functions and in syntax
my $bad = with_password($c);
foreach my $fails (
	[ '42501', as('watcher', "SELECT causaldb.create_cluster('z', '$bad')") ],
	[ '42883', "SELECT causaldb.join_cluster(1, '$bad')" ],
	[ '55000', "SELECT causaldb.create_cluster('z', '$bad')" ],
	[ '55000', "PREPARE p AS SELECT causaldb.create_cluster(\$1, \$2); EXECUTE p('z', '$bad' || 'x')", 'execute' ],
	[ '42704', "SELECT causaldb.alter_node('z', '$bad')" ],
	[ '22012', "SELECT causaldb.alter_node('c', '$bad'), 1 / (SELECT count(*) FROM t WHERE false)" ],
	[ '42704', "DO \$\$ BEGIN PERFORM causaldb.alter_node('z', '$bad'); END \$\$" ],
	[ '42601', "SELECT causaldb.alter_node('z', '$bad)" ],
	[ '42601', "SELECT causaldb.alter_node('z', '$bad' frm)" ],
	[ '22023', "SELECT causaldb.alter_node('z', '$bad hots=x')" ])
{
	my ($sqlstate, $sql, $execute) = @$fails;
	# what EXECUTE is given is logged by log_statement before anything runs
	$sql = "SET log_statement = 'none'; SET log_min_duration_statement = -1; $sql" if $execute;
	sql_error($c, $sql, $sqlstate, 'fails with ' . $sqlstate);
}

# ------------------------------------------------------------ nobody has seen it
foreach (@watched)
{
	my ($node, $from) = @$_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $from);
	my @lines = grep { /\Q$secret\E/ } split /\n/, $log;

	is(scalar @lines, 0, 'no line in the log of ' . $node->name) or diag(join "\n", @lines[ 0 .. ($#lines < 4 ? $#lines : 4) ]);
	like($log, qr/statement: (?:SET SESSION [^;]*;\n)?\.\.\. create_cluster \.\.\. -- not shown/, 'but that there was a call')
	  unless $node eq $b;
	is($node->run("SELECT count(*) FROM pg_stat_statements WHERE query ~ '$secret'"), 0, 'none in pg_stat_statements')
	  unless $node eq $a;
	is($node->run(as('watcher', 'SELECT count(*) FROM causaldb.nodes WHERE dsn IS NOT NULL')), 0, 'none in causaldb.nodes');
	foreach my $view (qw(peers streams stalled tags apply_waits))
	{
		is($node->run(as('watcher', "SELECT count(*) FROM causaldb.$view v WHERE v::text ~ '$secret'")), 0, "none in $view");
	}
	sql_error($node, as('watcher', "SELECT $_"), '42501', "and no right to: $_")
	  foreach 'dsn FROM causaldb.node', 'payload FROM causaldb.log', 'causaldb.read_history()';
}

done_testing();
