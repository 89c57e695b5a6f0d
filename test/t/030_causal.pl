# Claim: no node ever shows an effect without its cause. "I lost my ring" on
# node 1 is delayed on its way to node 3; "found it!" is written on node 2 by
# somebody who has read the first; node 3 never shows the second without the
# first, and says what it waits for. Where the direct way is gone for good, the
# cause comes by relay. The random part is as long as CAUSALDB_CHAINS says.
use CausaldbTest;
use Time::HiRes qw(time);

my $seed = $ENV{CAUSALDB_SEED} // time % 100_000;
my $chains = $ENV{CAUSALDB_CHAINS} // 60;

note("CAUSALDB_SEED=$seed CAUSALDB_CHAINS=$chains");
srand($seed);

my @nodes = new_cluster(
	3,
	links => 1,
	# nobody relays unless a case is about that
	conf => { 'causaldb.relay_delay' => '1h' },
	before => q(
	CREATE TABLE posts (id int PRIMARY KEY, says text);
	CREATE TABLE chain (id int PRIMARY KEY, cause int, at int);
));
my ($n1, $n2, $n3) = @nodes;

$n1->run("SELECT causaldb.set_consistency('posts', 'eventual');
	SELECT causaldb.set_consistency('chain', 'eventual')");
converge(@nodes);

sub posts { return $n3->run("SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM posts") }

# Writes the cause on node 1 and the effect on node 2, which has seen the
# cause; returns the effect's token.
sub lose_and_find
{
	$n1->run("INSERT INTO posts VALUES (1, 'I lost my ring')");
	$n2->wait_sql('SELECT count(*) FROM posts', 1);
	$n2->run("INSERT INTO posts VALUES (2, 'found it!')");
	return $n2->run('SELECT causaldb.token()');
}

sub begin_anew
{
	$n1->run('DELETE FROM posts');
	converge(@nodes);
	return;
}

# Has node 3 received the frame with the effect? Its stream says that it is
# known there.
my $effect_came = "SELECT EXISTS (SELECT FROM causaldb.streams WHERE node = 'n2' AND waiting_for LIKE 'n1 up to %')";

# ------------------------------------------------------------ one way held
link_between($n1, $n3)->hold($n1 => $n3);
lose_and_find();
$n3->wait_sql($effect_came);
my %shown;
$shown{ posts() }++ foreach 1 .. 30;
is(join(' ', sort keys %shown), '', 'while the cause is held, its effect is not shown');
is($n3->run("SELECT waiting_since BETWEEN now() - interval '1 min' AND clock_timestamp() FROM causaldb.streams WHERE waiting_for IS NOT NULL"),
	't', 'streams.waiting_for says what the effect waits for, and since when');
is($n3->run('SELECT count(*) FROM causaldb.stalled'), 0, 'waiting is no stall');
ok(link_between($n1, $n3)->kept($n1, $n3) > 0, 'the cause is on its way');

link_between($n1, $n3)->pass($n1 => $n3);
%shown = ();
wait_until('both are shown', sub { my $now = posts(); $shown{$now}++; return $now eq '1,2' });
ok(!$shown{2}, 'the effect never came first');
$n3->wait_sql("SELECT count(*) FROM causaldb.streams WHERE waiting_for IS NOT NULL", 0);

# ------------------------------------------------------------ one way slow
begin_anew();
link_between($n1, $n3)->delay($n1 => $n3, 400);
lose_and_find();
%shown = ();
wait_until('both are shown', sub { my $now = posts(); $shown{$now}++; return $now eq '1,2' });
ok(!$shown{2}, 'on a slow way, too: never the effect alone');
link_between($n1, $n3)->pass($n1 => $n3);

# ------------------------------------------------------------ without the check
begin_anew();
$n3->set_break('no_deps_check');
link_between($n1, $n3)->hold($n1 => $n3);
lose_and_find();
$n3->wait_sql("SELECT string_agg(id::text, ',') FROM posts", '2');
pass('without the check of deps the effect is shown alone: this test would see it');
$n3->set_break(undef);
link_between($n1, $n3)->pass($n1 => $n3);
converge(@nodes);

# ------------------------------------------------------------ relay
begin_anew();
$_->set_conf('causaldb.relay_delay', '300ms') foreach @nodes;
link_between($n1, $n3)->cut;
my $token = lose_and_find();
$n3->run("SELECT causaldb.wait_for('$token', '60 s')");
is(posts(), '1,2', 'a cut link: node 2 relays what node 1 wrote');
$n3->run("INSERT INTO posts VALUES (3, 'well done')");
$token = $n3->run('SELECT causaldb.token()');
$n1->run("SELECT causaldb.wait_for('$token', '60 s')");
is($n1->run('SELECT count(*) FROM posts'), 3, 'and the other way round');
link_between($n1, $n3)->resume;
$n3->wait_sql("SELECT state FROM causaldb.peers WHERE name = 'n1'", 'up');
converge(@nodes);
same_table('posts', @nodes);

# ------------------------------------------------------------ chains
# Each link of the chain names one that its writer can see. On every node, at
# any time: whoever is visible has its cause visible.
my $orphans = 'SELECT count(*) FROM chain c WHERE cause IS NOT NULL AND NOT EXISTS (SELECT FROM chain p WHERE p.id = c.cause)';
my $wrong = 0;
my $last = 0;

foreach my $i (1 .. $chains)
{
	my $node = $nodes[ rand @nodes ];
	my $writes = '';

	if ($i % 5 == 0)
	{
		my ($from, $to) = @nodes[ (0, 1, 2, 0, 2, 1, 0)[ map { $_, $_ + 1 } int(rand 6) ] ];
		my $link = link_between($from, $to);

		rand() < 0.5 ? $link->delay($from, $to, int(rand 100))
		  : rand() < 0.6 ? $link->hold($from, $to)
		  : $link->pass($from, $to);
	}
	# a few at once: the newest that this node sees is the cause of the next
	$writes .= 'INSERT INTO chain SELECT ' . ++$last . ", (SELECT max(id) FROM chain), $i;"
	  foreach 1 .. 5;
	$node->run($writes);
	$wrong += $nodes[ rand @nodes ]->run($orphans);
}
foreach my $from (@nodes)
{
	foreach my $to (@nodes)
	{
		next if $from == $to;
		link_between($from, $to)->pass($from, $to);
		$wrong += $_->run($orphans) foreach @nodes;
	}
}
converge(@nodes);
is($wrong, 0, "$last dependent writes over several hops: no effect without its cause");
is($n1->run('SELECT count(*) FROM chain'), $last, 'all are there');
same_table('chain', @nodes);

done_testing();
