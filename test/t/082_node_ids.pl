# Claim: causaldb.next_id() gives no number twice, not within a millisecond,
# not to several clients at once, not on several nodes, not after a crash;
# and in the order of time. use_node_ids makes it a table's key.
use CausaldbTest;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE ser (id bigserial PRIMARY KEY, who text);
	CREATE TABLE ident (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who text);
	CREATE TABLE small (id serial PRIMARY KEY);
));

my ($ret, undef, $warning) = $nodes[0]->psql('postgres',
	"SELECT causaldb.set_consistency('ser', 'eventual')");
like($warning, qr/WARNING:.*key of table "ser" comes from a sequence/, 'tagging warns of a sequence');
my ($hint) = $warning =~ /HINT:\s+Type on every node: (SELECT .*;)/;
$_->run($hint) foreach @nodes;
converge(@nodes);
foreach my $node (@nodes)
{
	$node->run("SELECT causaldb.use_node_ids('ident', 'id')");
}
(undef, undef, $warning) = $nodes[1]->psql('postgres',
	"SELECT causaldb.set_consistency('ident', 'eventual')");
unlike($warning, qr/WARNING/, 'with node ids there is nothing to warn of');

# within one statement, many to a millisecond
my $n1 = $nodes[0];
is($n1->run('WITH i AS MATERIALIZED (SELECT g, causaldb.next_id() AS id FROM generate_series(1, 50000) g)
	SELECT count(DISTINCT id), bool_and(later) FROM (SELECT id, id > lag(id, 1, 0::bigint) OVER (ORDER BY g) AS later FROM i) q'),
	'50000|t', 'ids of one client are distinct and grow');

my @clients = map {
	my $node = $_;
	map { my $who = $node->name . "-$_";
		record_client($node, limit => 40, sql => sub {
			"INSERT INTO ser (who) SELECT '$who' FROM generate_series(1, 25)",
			"INSERT INTO ident (who) SELECT '$who' FROM generate_series(1, 25)" }) } 1 .. 2;
} @nodes;
$_->finish foreach @clients;
is(scalar(map { $_->failed } @clients), 0, 'no insert failed');
converge(@nodes);
foreach my $table ('ser', 'ident')
{
	is($_->run("SELECT count(*) FROM $table"), 6000, "$table has every row on " . $_->name) foreach @nodes;
	same_table($table, @nodes);
}
is($n1->run("SELECT count(*) FROM causaldb.conflict"), 0, 'and no two of them met');

# After a crash the clock begins above all that was given before it, also what
# nobody has committed and what lies above the mark of the last commit, and
# though the wall clock has gone back.
$n1->set_conf('causaldb.clock_offset', '30s');
my $last = $n1->run('SELECT max(causaldb.next_id()) FROM generate_series(1, 50000)');
$n1->kill9;
$n1->append_conf('postgresql.auto.conf', "causaldb.clock_offset = '-1h'");
$n1->start;
$n1->run("SELECT causaldb.wait_until_ready('60 s')");
cmp_ok($n1->run('SELECT causaldb.next_id()'), '>', $last, 'ids go on above those before the crash');

my $said = sql_error($n1, "SELECT causaldb.use_node_ids('small', 'id')", '42804', 'an integer is too small');
my ($alter) = $said =~ /Type on every node: (ALTER .*;)/;
$n1->run($alter);
$n1->run("SELECT causaldb.use_node_ids('small', 'id'); INSERT INTO small DEFAULT VALUES");
cmp_ok($n1->run('SELECT id FROM small'), '>', 2**40, 'the hint helps');
sql_error($n1, "SELECT causaldb.use_node_ids('small', 'nothing')", '42703', 'a column that is not there');

done_testing();
