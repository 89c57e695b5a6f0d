# Claim: stamps go by elapsed time when the wall clock is set wrong, forward or
# back, or drifts away from the peers; it is shown, and it ends when the clock
# is right again, or peers or an operator accept it. A node that starts with
# another time than every peer it reaches takes no writes. A stream that is
# ahead stalls, and every hint that is given here is followed and helps.
use CausaldbTest;

my @nodes = new_cluster(
	3,
	cluster => 0,
	conf => { 'causaldb.max_clock_skew' => '2s', 'causaldb.stall_retry_max' => '300ms' },
	before => 'CREATE TABLE t (id int PRIMARY KEY, a text)');
my ($n1, $n2, $n3) = @nodes;

# Runs what a hint says to type.
sub obey
{
	my ($node, $said) = @_;
	my ($sql) = $said =~ /type:? ((?:on every node: )?(?:SELECT|ALTER) .*;)/;
	$sql =~ s/^on every node: //;
	$node->psql('postgres', $_) foreach map { "$_;" } grep { /\S/ } split /;/, $sql;
	return;
}

# ------------------------------------------------------------ joining
$n1->create_cluster;
$n2->join_cluster($n1);
$n3->append_conf('postgresql.auto.conf', "causaldb.clock_offset = '1d'");
$n3->restart;
my $join = sprintf("SELECT causaldb.join_cluster('n3', '%s', '%s', 'none')", $n3->dsn, $n1->dsn);
my $said = sql_error($n3, $join, '55000', 'a database whose clock is a day ahead does not join');
like($said, qr/DETAIL:  It is 86\d{6} ms ahead of that of node 1; causaldb.max_clock_skew is 2000 ms/, 'and is told why');
$n3->set_conf('causaldb.clock_offset', undef);
obey($n3, $said);
$n3->run($join);
$_->run("SELECT causaldb.wait_until_ready('60 s')") foreach @nodes;
$n1->run("SELECT causaldb.set_consistency('t', 'eventual')");
converge(@nodes);

# How far a node's newest stamp is from this machine's time, in seconds.
my $id = 0;

sub stamped
{
	my ($node) = @_;
	$id++;
	return $node->run("INSERT INTO t VALUES ($id, 'by " . $node->name . "');
		SELECT round(extract(epoch FROM hlc_time - clock_timestamp())) FROM causaldb.clock");
}

sub time_off
{
	my ($node) = @_;
	return $node->run("SELECT round(extract(epoch FROM \"time\" - clock_timestamp())) FROM causaldb.clock");
}

is($_->run('SELECT refused IS NULL, trust, abs(extract(epoch FROM wall_ahead)) < 1 FROM causaldb.clock'),
	't|trusted|t', $_->name . ' follows its wall clock') foreach @nodes;
is($n1->run("SELECT count(*) FROM causaldb.peers WHERE skew BETWEEN '-1 s' AND '1 s'"), 2, 'peers have the same time');

# ------------------------------------------------------------ an hour back
$n2->set_conf('causaldb.clock_offset', '-3600000');
$n2->wait_sql("SELECT refused LIKE 'it has jumped%' AND refused_since <= clock_timestamp()
	AND round(extract(epoch FROM wall_ahead)) = -3600 FROM causaldb.clock");
pass('a wall clock that jumps back an hour is refused, and shown');
cmp_ok(abs(stamped($n2)), '<=', 1, 'stamps go on by elapsed time');
$n1->wait_sql("SELECT skew BETWEEN '-1 s' AND '1 s' FROM causaldb.peers WHERE name = 'n2'");
$n2->set_conf('causaldb.clock_offset', undef);
$n2->wait_sql('SELECT refused IS NULL FROM causaldb.clock');
pass('a wall clock that is right again is followed');

# ------------------------------------------------------------ a day forward
$n2->set_conf('causaldb.clock_offset', '1d');
$n2->wait_sql("SELECT refused LIKE 'it has jumped%' AND round(extract(epoch FROM wall_ahead)) = 86400 FROM causaldb.clock");
cmp_ok(abs(stamped($n2)), '<=', 1, 'a jump of a day forward reaches no stamp');
like(PostgreSQL::Test::Utils::slurp_file($n2->logfile),
	qr/LOG:  causaldb does not follow the wall clock.*?DETAIL:  It has jumped by 86\d{6} ms.*?HINT:  .*accept_clock/s,
	'the log says so');
converge(@nodes);
same_table('t', @nodes);

# a small step is followed at once
$n2->set_conf('causaldb.clock_offset', '1s');
$n2->wait_sql('SELECT refused IS NULL FROM causaldb.clock');
is(time_off($n2), 1, 'a step of a second is followed');
$n1->wait_sql("SELECT skew BETWEEN '0.9 s' AND '1.5 s' FROM causaldb.peers WHERE name = 'n2'");
pass('and is what a peer shows as skew');
$n2->set_conf('causaldb.clock_offset', undef);
$n2->wait_sql("SELECT wall_ahead < '100 ms' FROM causaldb.clock");

# ------------------------------------------------------------ drift
# slow enough for the time since boot, so it is the peers that tell
$n2->set_conf('causaldb.clock_offset', '1900ms');
$n2->wait_sql('SELECT refused IS NULL AND "time" - clock_timestamp() > $$1 s$$ FROM causaldb.clock');
$n2->set_conf('causaldb.clock_drift', 90);
$n2->wait_sql("SELECT refused LIKE 'it leads away%' FROM causaldb.clock");
cmp_ok(time_off($n2), '<=', 2, 'a drift away from the peers is followed no further than max_clock_skew');
$n2->set_conf('causaldb.clock_drift', undef);
$n2->set_conf('causaldb.clock_offset', '-1000');
$n2->wait_sql('SELECT refused IS NULL FROM causaldb.clock');
pass('and again when it is near them');
# faster than any clock is disciplined
$n2->set_conf('causaldb.clock_drift', -2000);
$n2->wait_sql("SELECT refused LIKE 'it has jumped%' FROM causaldb.clock");
cmp_ok(abs(time_off($n2)), '<=', 2, 'a clock that races is refused as a jump is');
$n2->set_conf('causaldb.clock_drift', undef);
$n2->set_conf('causaldb.clock_offset', undef);

# ------------------------------------------------------------ a start with a wrong clock
foreach my $wrong ([ '1d', 86400, 'ahead of' ], [ '-1h', -3600, 'behind' ])
{
	my ($setting, $offset, $words) = @$wrong;

	converge(@nodes);
	$n2->kill9;
	$n2->append_conf('postgresql.auto.conf', "causaldb.clock_offset = '$setting'");
	$n2->start;
	$n2->wait_sql("SELECT trust = 'refused' FROM causaldb.clock");
	$said = sql_error($n2, "INSERT INTO t VALUES (0, 'never')", '55000', "a node that starts $offset s off takes no writes");
	like($said, qr/DETAIL:  Its clock is \d+ ms $words that of node \d, the nearest of 2 that it reaches/, 'and says why');
	cmp_ok($n2->run('SELECT abs(extract(epoch FROM hlc_time - clock_timestamp())) FROM causaldb.clock'), '<', 60,
		'its stamps have not gone there');
	$n1->wait_sql("SELECT round(extract(epoch FROM skew)) = $offset FROM causaldb.peers WHERE name = 'n2'");
	pass('its peers show the skew');
	is($n1->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing of it is stalled');
	$n2->set_conf('causaldb.clock_offset', undef);
	$n2->wait_sql("SELECT trust = 'trusted' AND refused IS NULL FROM causaldb.clock");
	cmp_ok(abs(stamped($n2)), '<=', 12, 'it heals by itself when its clock is corrected');
	converge(@nodes);
	same_table('t', @nodes);
}

# ------------------------------------------------------------ a crash in a refused jump
$n2->set_conf('causaldb.clock_offset', '-3600000');
$n2->wait_sql('SELECT refused IS NOT NULL FROM causaldb.clock');
stamped($n2);
my $before = $n2->run('SELECT hlc FROM causaldb.clock');
$n2->kill9;
# however long the start takes, the mark is near the peers' time; the clock is not
$n2->append_conf('postgresql.auto.conf', "causaldb.max_clock_skew = '10min'");
$n2->start;
$n2->wait_sql('SELECT hlc IS NOT NULL FROM causaldb.clock');
cmp_ok($n2->run('SELECT hlc FROM causaldb.clock'), '>', $before, 'no start begins below an earlier stamp');
$n2->wait_sql("SELECT trust = 'refused' FROM causaldb.clock");
like(sql_error($n2, "INSERT INTO t VALUES (0, 'never')", '55000', 'a clock an hour behind is refused at a start near the mark'),
	qr/DETAIL:  Its clock is 3\d{6} ms behind that of node \d/, 'and the clock is what is named, not the mark');
$n2->set_conf('causaldb.max_clock_skew', '2s');

# ------------------------------------------------------------ a stream that is ahead
# The operator says that a clock is right which the peers' clocks deny.
$n2->set_conf('causaldb.clock_offset', '1d');
$n2->wait_sql('SELECT round(extract(epoch FROM wall_ahead)) > 80000 FROM causaldb.clock');
$n2->run('CREATE ROLE somebody');
sql_error($n2, 'SET ROLE somebody; SELECT causaldb.accept_clock()', '42501', 'only an administrator accepts a clock');
obey($n2, sql_error($n2, "INSERT INTO t VALUES (0, 'never')", '55000', 'it still refuses'));
is($n2->run("SELECT refused IS NULL, trust FROM causaldb.clock"), 't|trusted', 'accept_clock does what its hint says');
is(stamped($n2), 86400, 'it writes, and stamps by the accepted clock');
foreach my $peer ($n1, $n3)
{
	$peer->wait_sql("SELECT count(*) FROM causaldb.stalled WHERE node = 'n2' AND sqlstate = '55000'", 1);
	like($peer->run('SELECT message FROM causaldb.stalled'), qr/the clock of node 2 is \d+ ms ahead/,
		$peer->name . ' stalls its stream');
	cmp_ok($peer->run('SELECT extract(epoch FROM hlc_time - clock_timestamp()) FROM causaldb.clock'), '<', 60,
		'and does not observe it');
}
cmp_ok(abs(stamped($n1)), '<=', 12, 'the others go on with the right time');
$n3->wait_sql("SELECT count(*) FROM t WHERE id = $id", 1);
# who lets it in comes ahead, too: by what it then writes, though that waits for
# the other stream; and where it writes nothing, by saying so
$n1->run("SELECT causaldb.pause_peer('n3')");
obey($n3, $n3->run('SELECT hint FROM causaldb.stalled'));
$n3->wait_sql('SELECT count(*) FROM causaldb.stalled', 0);
stamped($n3);
$n1->run("SELECT causaldb.resume_peer('n3')");
$n1->wait_sql("SELECT count(*) > 0 FROM causaldb.stalled WHERE node = 'n3' AND message ~ 'the clock of node 3 is'");
pass('so its stream is stalled by those that have not');
is($n1->run("SELECT count(*) FROM t WHERE a = 'by n3'"), 0, 'and they take nothing of it');
$n1->kill9;
$n1->start;
$n1->wait_sql('SELECT hlc IS NOT NULL FROM causaldb.clock');
cmp_ok($n1->run('SELECT extract(epoch FROM hlc_time - clock_timestamp()) FROM causaldb.clock'), '<', 60,
	'also after a crash');
$n1->wait_sql("SELECT count(*) FROM causaldb.stalled WHERE node = 'n2'", 1);
obey($n1, $n1->run('SELECT hint FROM causaldb.stalled LIMIT 1'));
$n1->wait_sql('SELECT count(*) FROM causaldb.stalled', 0);
converge(@nodes);
same_table('t', @nodes);
is($n1->run('SELECT count(*) FROM causaldb.stall'), 0, 'raising max_clock_skew, as the hint says, lets it in');

done_testing();
