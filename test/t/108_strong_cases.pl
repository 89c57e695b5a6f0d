# Claim: a strong COPY is as good as INSERTs; NOTIFY of a strong transaction is
# heard where it ran, once; what is too large is refused before anything is
# proposed; a node that alone cannot apply an entry stands still, says so and
# fails strong statements in time while the others go on; and a server that is
# stopped while clients wait for a verdict stops, and what became of them is
# definite. (Cases 46, 51, 52, 54 and 58 of doc/strong_cases.md.)
use CausaldbTest;

my @nodes = new_cluster(3, conf => { 'causaldb.stall_retry_max' => "'200ms'", 'causaldb.apply_lock_timeout' => "'1h'" }, before => q(
	CREATE TABLE s (id int PRIMARY KEY, v text, e text);
));
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('s', 'strong', '{v}'); SELECT causaldb.set_consistency('s', 'eventual', '{e}')");
converge(@nodes);

# ------------------------------------------------------------ case 52: COPY
$b->run("COPY s (id, v) FROM STDIN;\n" . join('', map { "$_\tcopied\n" } 1 .. 100) . "\\.\n");
converge(@nodes);
same_table('s', @nodes);
is($c->run("SELECT count(*) FROM s WHERE v = 'copied'"), 100, 'case 52: COPY came whole');
my $copies = $c->session;
$copies->query_safe('BEGIN');
$copies->query_safe("COPY s (id, v) FROM PROGRAM 'seq 201 202 | sed s/\$/,late/' WITH (FORMAT csv)");
$a->run("INSERT INTO s VALUES (202, 'first')");
$copies->query("\\set VERBOSITY verbose\nCOMMIT;");
like($copies->{stderr}, qr/40001: .*\n?.*\{"id": 202\}/, 'case 52: of two that insert a row the second one loses, whichever way it came');
$copies->quit;
converge(@nodes);
same_table('s', @nodes);

# ------------------------------------------------------------ case 51: NOTIFY
my %hears = map { $_->name => $_->session } $a, $b;
$_->query_safe('LISTEN seats') foreach values %hears;
$b->run("BEGIN; UPDATE s SET v = 'told' WHERE id = 1; NOTIFY seats, 'one'; COMMIT");
converge(@nodes);
my %heard = map { $_ => scalar(() = $hears{$_}->query_safe('SELECT 1') =~ /notification "seats" with payload "one"/g) } keys %hears;
is("$heard{n1} $heard{n2}", '0 1', 'case 51: NOTIFY is heard where the transaction ran, once');
$_->quit foreach values %hears;

# ------------------------------------------------------------ case 54: too large
my $before = $b->run('SELECT proposals FROM causaldb.strong_raw()');
sql_error($b, "INSERT INTO s VALUES (300, repeat('x', 17 * 1024 * 1024))", '54000', 'case 54: what is too large is refused');
is($b->run('SELECT proposals FROM causaldb.strong_raw()'), $before, 'case 54: and was not proposed');

# ------------------------------------------------------------ case 46: one node only
$c->run("ALTER TABLE s ADD CONSTRAINT only_here CHECK (v <> 'refused')");
$a->run("INSERT INTO s VALUES (400, 'refused')");
$c->wait_sql('SELECT count(*) = 1 FROM causaldb.stalled');
my $said = sql_error($c, "SET causaldb.strong_timeout = '300ms'; SELECT v FROM s WHERE id = 1", '57P03',
	'case 46: a node that cannot apply an entry does not answer strong reads');
like($said, qr/HINT:.*causaldb\.stalled/, 'case 46: and says where to look');
is($c->run("UPDATE s SET e = 'goes on' WHERE id = 2 RETURNING e"), 'goes on', 'case 46: eventual columns are written there');
is($b->run("UPDATE s SET v = 'goes on' WHERE id = 3 RETURNING v"), 'goes on', 'case 46: and strong ones elsewhere');
$c->run('ALTER TABLE s DROP CONSTRAINT only_here');
converge(@nodes);
same_table('s', @nodes);
is($c->run('SELECT count(*) FROM causaldb.stalled'), 0, 'case 46: it goes on when the cause is gone');

# ------------------------------------------------------------ case 58: stopped
# nobody decides, for what it has seen is on this node alone
$_->run("SELECT causaldb.pause_peer('n2')") foreach $a, $c;
$b->run("UPDATE s SET e = 'here alone' WHERE id = 5");
my $waits = $b->session;
$waits->query_safe("\\set VERBOSITY verbose\nBEGIN; UPDATE s SET v = 'stopped' WHERE id = 6");
my $xid = $waits->query_safe('SELECT pg_current_xact_id()');
$waits->query_until(qr/^sent/m, "\\echo sent\nCOMMIT;\n\\echo told :SQLSTATE\n");
$b->wait_sql("SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'COMMIT;'");
$b->stop('fast');
pass('case 58: a server is stopped while a client waits for its verdict');
eval { $waits->{run}->finish };
unlike($waits->{stdout}, qr/told 00000/, 'case 58: who is told no lie');
$b->start;
$b->wait_sql('SELECT causaldb.leader() IS NOT NULL');
$_->run("SELECT causaldb.resume_peer('n2')") foreach $a, $c;
my $outcome = $b->run("SELECT causaldb.outcome('$xid'::xid8)");
converge(@nodes);
same_table('s', @nodes);
is($outcome, $a->run("SELECT CASE WHEN v = 'stopped' THEN 'committed' ELSE 'aborted' END FROM s WHERE id = 6"),
	"case 58: and its outcome is definite: $outcome");

done_testing();
