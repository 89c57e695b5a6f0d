# Claim: a server reaches its peers by service names, and a CausaldbLink
# stands between two of them alone, whoever connects.
use CausaldbTest;

my ($n1, $n2, $n3) = new_cluster(3, links => 1, cluster => 0,
	before => 'CREATE EXTENSION dblink; CREATE TABLE seen (who text)');
my $link = link_between($n3, $n1);

# from one server's backend to another server
sub call
{
	my ($from, $to) = @_;
	my ($ret, $out, $err) = $from->psql('postgres', sprintf(
			q(SELECT * FROM dblink('%s connect_timeout=10',
				$$INSERT INTO seen VALUES ('%s') RETURNING current_setting('cluster_name')$$)
				AS t(name text)),
			$to->dsn, $from->name));
	return $ret == 0 ? $out : "error: $err";
}

foreach my $from ($n1, $n2, $n3)
{
	foreach my $to ($n1, $n2, $n3)
	{
		is(call($from, $to), $to->name, $from->name . ' reaches ' . $to->name);
	}
}

$link->cut;
like(call($n1, $n3), qr/^error/, 'cut: not from n1 to n3');
like(call($n3, $n1), qr/^error/, 'cut: not from n3 to n1');
is(call($n1, $n2), 'n2', 'cut: from n1 to n2');
is(call($n2, $n3), 'n3', 'cut: from n2 to n3');
$link->resume;
is(call($n1, $n3), 'n3', 'resumed');

# what n1 says to n3 is kept, whoever of them connects
$link->hold($n1, $n3);
my $asks = $n1->session;
$asks->query_until(qr/started/,
	"\\echo started\nSELECT dblink_exec('" . $n3->dsn . "', 'CREATE TABLE from_n1 ()');\n");
wait_until('bytes from n1 to n3 are kept', sub { $link->kept($n1, $n3) > 0 });
is($link->kept($n3, $n1), 0, 'none the other way');
is($n3->run(q(SELECT to_regclass('from_n1') IS NULL)), 't', 'n3 hears nothing');
$link->pass($n1, $n3);
$n3->wait_sql(q(SELECT to_regclass('from_n1') IS NOT NULL));
$asks->quit;
is($link->kept($n1, $n3), 0, 'nothing is kept');

# the answers of n1 to n3 go the same way
$link->hold($n1, $n3);
$asks = $n3->session;
$asks->query_until(qr/started/,
	"\\echo started\nSELECT dblink_exec('" . $n1->dsn . "', 'CREATE TABLE from_n3 ()');\n");
wait_until('answers from n1 to n3 are kept', sub { $link->kept($n1, $n3) > 0 });
$link->pass($n1, $n3);
$n1->wait_sql(q(SELECT to_regclass('from_n3') IS NOT NULL));
$asks->quit;
is($link->kept($n1, $n3), 0, 'nothing is kept again');

# and a server that was killed is found again under its name
$n3->kill9;
like(call($n1, $n3), qr/^error/, 'a dead server does not answer');
$n3->start;
is(call($n1, $n3), 'n3', 'it does after its start');

done_testing();
