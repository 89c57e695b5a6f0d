# Claim: a local transaction whose row locks are in the way of the strong log
# does not hold it up: one that only writes, or idles, is aborted after
# causaldb.apply_lock_timeout; one that has its verdict but not its turn leaves
# its entry to be applied, and is told so with 40003; and a lock that is
# nobody's business is left alone. (STRONG.md 38 to 42)
use CausaldbTest;

my @nodes = new_cluster(3, conf => { 'causaldb.apply_lock_timeout' => "'300ms'" }, before => q(
	CREATE TABLE s (id int PRIMARY KEY, v text, e text);
	CREATE TABLE other (id int PRIMARY KEY, v text);
));
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('s', 'eventual')");
$a->run("SELECT causaldb.set_consistency('s', 'strong', '{v}')");
converge(@nodes);
$a->run("INSERT INTO s SELECT g, 'first', 'e' FROM generate_series(1, 10) g");
converge(@nodes);

# idle in a transaction, with a lock on a row
my $idle = $b->session;
$idle->query_safe('BEGIN; SELECT FROM s WHERE id = 1 FOR UPDATE');
# and one that holds another row only
my $harmless = $b->session;
$harmless->query_safe("BEGIN; UPDATE s SET e = 'harmless' WHERE id = 2");
$a->run("UPDATE s SET v = 'second' WHERE id = 1");
$b->wait_sql("SELECT v = 'second' FROM s WHERE id = 1");
pass('an idle transaction does not hold up the log');
$harmless->query_safe('COMMIT');
$idle->{stderr} = '';
eval { $idle->query('SELECT 1') };
$b->wait_sql("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE state LIKE 'idle in transaction%')");
pass('its session is ended');
eval { $idle->quit };
$harmless->quit;

# running: aborted with 40001, the session lives
my $running = $b->session;
$running->query_safe("BEGIN; UPDATE s SET e = 'mine' WHERE id = 3");
$running->query_until(qr/started/, "\\echo started\nSELECT pg_sleep(100);\n");
$a->run("UPDATE s SET v = 'third' WHERE id = 3");
$b->wait_sql("SELECT v = 'third' FROM s WHERE id = 3");
pass('a running one does not either');
eval { $running->quit };

# a verdict, but not its turn: its row is wanted by an entry before it
$b->append_conf('postgresql.conf', "causaldb.debug_point = 'strong_decided:hang'");
$b->reload;
my $behind = $b->session;
my $pid = $behind->query_safe('SELECT pg_backend_pid()');
$b->wait_sql("SELECT current_setting('causaldb.debug_point') = 'strong_decided:hang'");
# it locks row 5 without writing it, and writes row 6
$behind->query_safe("BEGIN; SELECT FROM s WHERE id = 5 FOR UPDATE; UPDATE s SET v = 'behind' WHERE id = 6");
$a->run("BEGIN; UPDATE s SET v = 'before' WHERE id = 5; COMMIT");
$behind->query_until(qr/going/, "\\set VERBOSITY verbose\n\\echo going\nCOMMIT;\n");
$b->append_conf('postgresql.conf', "causaldb.debug_point = ''");
$b->reload;
converge(@nodes);
same_table('s', @nodes);
is($c->run("SELECT string_agg(v, ',' ORDER BY id) FROM s WHERE id IN (5, 6)"), 'before,behind', 'both entries are everywhere');
eval { $behind->quit };

is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

done_testing();
