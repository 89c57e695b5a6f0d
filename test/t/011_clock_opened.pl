# Claim: a clock that two processes open at the same time begins at the wall
# clock's time, not at the mark that one of them reserves ahead of it.
use CausaldbTest;

my $node = new_node('n1', conf => { 'causaldb.debug_point' => 'clock_marked:hang' });
my @sessions = map { $node->session } 1 .. 2;

# both are in it before the first is done, or one waits for the other
foreach my $n (1 .. 2)
{
	$sessions[ $n - 1 ]->query_until(qr/typed/, "\\echo typed\nSELECT 'id ' || causaldb.next_id();\n");
	$node->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%next\\_id%' AND pid <> pg_backend_pid() AND state = 'active' AND wait_event IS NOT NULL", $n);
}
my $held = PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(scalar(() = $held =~ /holds at debug point "clock_marked"/g), 1, 'one process opens the clock');
$node->set_conf('causaldb.debug_point', '');
foreach my $session (@sessions)
{
	my ($id) = $session->query_until(qr/id \d+/, "\\echo\n") =~ /id (\d+)/;
	my $ahead = $node->run("SELECT ($id >> 22) - (extract(epoch FROM clock_timestamp() - timestamptz '2020-01-01 00:00+00') * 1000)::bigint");

	cmp_ok($ahead, '<', 1000, 'an id is not ahead of the wall clock');
	$session->quit;
}

done_testing();
