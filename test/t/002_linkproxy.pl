# Claim: linkproxy keeps, delays, cuts and resumes one direction of a link,
# loses and reorders nothing, and carries many connections at once.
use CausaldbTest;
use CausaldbProxy;
use Time::HiRes qw(time);

my $node = new_node('far', extension => 0);
my $dir = $node->host . '/proxy';
my $port = $node->port;
mkdir $dir;
my $proxy = CausaldbProxy->start("$dir/.s.PGSQL.$port",
	$node->host . "/.s.PGSQL.$port");
my $near = "host=$dir port=$port dbname=postgres user=postgres";

sub through
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ 'psql', '-XqAt', '-d', $near ], '<', \$sql, '>',
		\$out, '2>', \$err, IPC::Run::timeout(60));
	chomp $out;
	return $ok ? $out : "error: $err";
}

is(through('SELECT 1'), '1', 'a query passes');
is(through(q(SELECT md5(string_agg(i::text, ',')) FROM generate_series(1, 200000) i)),
	$node->run(q(SELECT md5(string_agg(i::text, ',')) FROM generate_series(1, 200000) i)),
	'computed there');
my $long = through('SELECT i FROM generate_series(1, 300000) i');
is($long, join("\n", 1 .. 300000), 'a long answer arrives whole and in order');

# both ways, one after the other
foreach my $way ('up', 'down')
{
	my ($in, $out) = ('', '');
	my $timer = IPC::Run::timeout(60);
	my $psql = IPC::Run::start([ 'psql', '-XqAt', '-d', $near, '-f', '-' ],
		'<', \$in, '>', \$out, $timer);
	$in .= "SELECT 'before';\n";
	$psql->pump until $out =~ /before/;

	$proxy->hold($way);
	$in .= "CREATE TABLE held_$way ();\nSELECT 'after';\n";
	$psql->pump_nb;
	wait_until("bytes are kept $way", sub {
		$psql->pump_nb;
		return $proxy->status->{"kept_$way"} > 0;
	});
	is($node->run("SELECT to_regclass('held_$way') IS NOT NULL"),
		$way eq 'up' ? 'f' : 't',
		"hold $way: the server " . ($way eq 'up' ? 'hears nothing' : 'has heard'));
	unlike($out, qr/after/, "hold $way: no answer");

	$proxy->pass($way);
	$psql->pump until $out =~ /after/;
	like($out, qr/before\nafter/, "pass $way: the answer comes");
	is($proxy->status->{"kept_$way"}, 0, 'nothing is kept');

	$proxy->delay($way, 300);
	my $start = time;
	$out = '';
	$in .= "SELECT 'late';\n";
	$psql->pump until $out =~ /late/;
	cmp_ok(time - $start, '>=', 0.3, "delay $way: takes that long");
	$proxy->resume;
	$in .= "\\q\n";
	$psql->finish;
}

my $session_out = '';
my $session_in = '';
my $session = IPC::Run::start([ 'psql', '-XqAt', '-d', $near, '-f', '-' ],
	'<', \$session_in, '>', \$session_out, '2>&1', IPC::Run::timeout(60));
$session_in .= "SELECT 'here';\n";
$session->pump until $session_out =~ /here/;
$proxy->cut;
is($proxy->status->{connections}, 0, 'cut drops connections');
$session_in .= "SELECT 1;\n";
eval { $session->finish };
like($session_out, qr/server closed the connection|connection to server was lost/,
	'the client notices');
like(through('SELECT 1'), qr/^error:/, 'cut refuses new ones');
$node->wait_sql(q(SELECT count(*) = 0 FROM pg_stat_activity
	WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()));
$proxy->resume;
is(through('SELECT 1'), '1', 'resume welcomes them again');

my @many = map {
	my $out = '';
	my $sql = "SELECT sum(i) FROM generate_series(1, $_) i, pg_sleep(0.2)";
	{ out => \$out, run => IPC::Run::start([ 'psql', '-XqAt', '-d', $near, '-c', $sql ],
			'>', \$out, IPC::Run::timeout(60)), want => $_ * ($_ + 1) / 2 };
} 1 .. 20;
$_->{run}->finish foreach @many;
is(scalar(grep { ${ $_->{out} } eq "$_->{want}\n" } @many), 20, '20 at once');

$proxy->stop;
done_testing();
