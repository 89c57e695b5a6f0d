# Claim: columns become strong, and eventual again, while clients of all nodes
# write them: no acknowledged increment is lost or counted twice, whichever tag
# it was written under, all nodes end equal, and clients get nothing but 40001.
# A change that cannot be had in causaldb.strong_timeout says which member holds
# it back, can be cancelled, and leaves the old tag; one whose session dies in
# between is seen in causaldb.tags and ended by calling again.
use CausaldbTest;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE c (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, note text)),
	conf => { 'causaldb.apply_lock_timeout' => "'60s'" });
my ($a, $b, $c) = @nodes;

my $strong = q(SELECT causaldb.set_consistency('c', 'strong', '{n,note}'));
my $eventual = q(SELECT causaldb.set_consistency('c', 'eventual', '{n,note}'));

# what the tag of the column is, and what it is becoming
sub wait_tag
{
	my ($tag, $name, @where) = @_;

	$_->wait_sql("SELECT concat_ws(' ', level, rule, becomes) FROM causaldb.tags WHERE relation = 'c'::regclass AND column_name = 'n'",
		$tag) foreach @where ? @where : @nodes;
	return pass($name);
}

# begins a statement that will wait
sub begin
{
	my ($session, $sql) = @_;

	$session->query_until(qr/begun/, "\\echo begun\n$sql;\n");
	return;
}

# ends it, and returns what it complained of
sub answer
{
	my ($session) = @_;

	$session->query('SELECT 1');
	my $said = $session->{stderr};
	$session->{stderr} = '';
	return $said;
}

# every node has it: at once where it is strong, else when it has come
sub sum
{
	my ($name, $want) = @_;

	is($_->run('SELECT sum(n) FROM c'), $want, "$name, on " . $_->name) foreach @nodes;
	return;
}

$a->run("SELECT causaldb.set_consistency('c', 'eventual', '{n,note}')");
$a->run("SELECT causaldb.set_merge('c', 'n', 'counter')");
converge(@nodes);
$b->run('INSERT INTO c SELECT generate_series(1, 40)');
converge(@nodes);

# ------------------------------------------------------------ one that lags
# were the column strong before n2 knows, n2 would write another truth meanwhile
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$b->set_debug_point('strong_play_before:hang');
like(sql_error($a, "SET causaldb.strong_timeout = '2s'; $strong", '57P03', 'a member that does not apply holds the change back'),
	qr/node "n2" holds the change of the tag back/, 'which is named');
wait_tag('eventual counter', 'the old tag is in force', $a, $b);
$_->run("UPDATE c SET note = '" . $_->name . "' WHERE id = 1") foreach $a, $b;
$b->clear_debug_point;
wait_tag('eventual counter', 'also where the fence comes late');
converge(@nodes);
same_table('c', @nodes);

# ------------------------------------------------------------ under load
# increments, which add up under either tag, and notes, of which the last stands
my @clients = map { my $name = $_->name;
	record_client($_, sql => sub { "UPDATE c SET n = n + 1, note = '$name $_[0]' WHERE id = " . (1 + int rand 40) }) } @nodes;
$_->wait_acked(5) foreach @clients;
# on a busy machine applying may lag by some seconds
my $patient = "SET causaldb.strong_timeout = '100s'";
foreach my $round (0 .. 1)
{
	$nodes[$round]->run("$patient; $strong");
	wait_tag('strong strong', 'strong, called on ' . $nodes[$round]->name);
	$_->wait_acked(5) foreach @clients;
	$nodes[ 2 - $round ]->run("$patient; $eventual");
	wait_tag('eventual counter', 'eventual again, called on ' . $nodes[ 2 - $round ]->name);
	$_->wait_acked(5) foreach @clients;
}
$b->run("$patient; $strong");
$_->wait_acked(5) foreach @clients;
$_->stop foreach @clients;
converge(@nodes);
same_table('c', @nodes);
my ($acked, $refused) = (0, 0);
foreach my $client (@clients)
{
	$acked += scalar $client->acked;
	$refused += scalar $client->failed_with('40001');
	is($client->failed + $client->unknown - $client->failed_with('40001'), 0, 'no error but 40001');
}
note("$acked acknowledged, $refused refused");
cmp_ok($refused, '>', 0, 'clients met the fence');
sum('every acknowledged increment counts, and once', $acked);

# ------------------------------------------------------------ open across it
my ($writer, $other) = map { $_->session } $b, $a;
my $n = $acked;

$other->query_safe('\set VERBOSITY verbose');
$writer->query_safe("\\set VERBOSITY verbose\nBEGIN; UPDATE c SET n = n + 1 WHERE id = 1");
begin($other, $eventual);
wait_tag('strong strong eventual', 'the fence is up on the caller\'s node', $a);
$writer->query('COMMIT');
like(answer($writer), qr/40001: the tag of table public.c was changed/, 'a strong transaction open across the change is refused');
is(answer($other), '', 'and the change goes on');
converge(@nodes);
sum('it wrote nothing', $n);

$writer->query_safe('BEGIN; UPDATE c SET n = n + 1 WHERE id = 1');
begin($other, $strong);
wait_tag('eventual counter strong', 'the fence is up again', $a);
sql_error($a, 'UPDATE c SET n = n + 1 WHERE id = 1', '40001', 'nobody begins to write');
sql_error($a, q(INSERT INTO c VALUES (99)), '40001', 'nor inserts');
sql_error($a, 'TRUNCATE c', '40001', 'nor truncates');
sql_error($a, q(SELECT causaldb.set_merge('c', 'n', 'last_write')), '40001', 'nor changes the tag otherwise');
$writer->query_safe('COMMIT');
is(answer($other), '', 'an eventual transaction that was open commits, and the change goes on');
wait_tag('strong strong', 'strong');
sum('it counts', ++$n);
$_->quit foreach $writer, $other;

# ------------------------------------------------------------ held back, cancelled
$c->stop('immediate');
like(sql_error($a, "SET causaldb.strong_timeout = '2s'; $eventual", '57P03', 'a member that is down holds the change back'),
	qr/node "n3" holds the change of the tag back/, 'which is named');
wait_tag('strong strong', 'nothing was fenced', $a, $b);
$a->run('UPDATE c SET n = n + 1 WHERE id = 1');
$n++;
$c->start;
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
sum('the strong tag is in force', $n);

$a->set_debug_point('tag_fence_ordered:hang');
$other = $a->session;
begin($other, "\\set VERBOSITY verbose\nSET causaldb.strong_timeout = '6s';\n$eventual");
wait_tag('strong strong eventual', 'the fence is up', @nodes);
$c->stop('immediate');
$a->clear_debug_point;
like(answer($other), qr/57P03: node "n3" holds the change of the tag back/, 'so does one that goes down behind the fence');
wait_tag('strong strong', 'the fence is taken back', $a, $b);
$b->run('UPDATE c SET n = n + 1 WHERE id = 1');
$n++;
$c->start;
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
wait_tag('strong strong', 'and on that member, too');
sum('writers go on', $n);

$a->set_debug_point('tag_fence_ordered:hang');
begin($other, "SET causaldb.strong_timeout = '10s';\n$eventual");
wait_tag('strong strong eventual', 'the fence is up', @nodes);
$a->run(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%set_consistency(%' AND pid <> pg_backend_pid()});
like(answer($other), qr/57014/, 'the call is cancelled');
$a->clear_debug_point;
wait_tag('strong strong', 'and the old tag is in force');
$c->run('UPDATE c SET n = n + 1 WHERE id = 1');
sum('for writers, too', ++$n);
$other->quit;

# ------------------------------------------------------------ killed in between
foreach my $case ([ $eventual, 'strong strong eventual', $eventual, 'eventual counter', 'goes on' ],
	[ $strong, 'eventual counter strong', $eventual, 'eventual counter', 'takes it back' ])
{
	my ($killed, $seen, $call, $tag, $what) = @$case;

	$b->set_debug_point('tag_fence_passed:kill');
	$b->psql('postgres', $killed);
	$b->wait_sql('SELECT true');
	$b->clear_debug_point;
	$b->run("SELECT causaldb.wait_until_ready()");
	wait_tag($seen, 'what it was becoming is seen when its session is killed');
	sql_error($c, 'UPDATE c SET n = n + 1 WHERE id = 1', '40001', 'and nobody writes');
	$a->run($call);
	wait_tag($tag, "calling again $what");
	$_->run('UPDATE c SET n = n + 1 WHERE id = 1') foreach @nodes;
	$n += 3;
	converge(@nodes);
	sum('writers go on', $n);
}

# ------------------------------------------------------------ a new column
$_->run("ALTER TABLE c ADD COLUMN s text NOT NULL DEFAULT 'new'") foreach @nodes;
$b->run("UPDATE c SET s = 'of n2' WHERE id = 7");
my $add = q(SELECT causaldb.set_consistency('c', 'strong', '{s}'));
like(sql_error($a, $add, '55000', 'a column that was written without a tag does not become strong'),
	qr/not the same on node "n2"/, 'where it differs');
wait_tag('eventual counter', 'nor anything else');
$b->run("UPDATE c SET s = 'new'");
@clients = map { record_client($_, sql => sub { 'UPDATE c SET n = n + 1 WHERE id = ' . (1 + int rand 40) }) } @nodes;
$_->wait_acked(3) foreach @clients;
$a->run("$patient; $add");
$_->wait_acked(3) foreach @clients;
$_->stop foreach @clients;
$n += $_->acked foreach @clients;
foreach my $node (@nodes)
{
	$node->run("UPDATE c SET s = s || '+" . $node->name . "' WHERE id = 7");
}
is($_->run('SELECT s FROM c WHERE id = 7'), 'new+n1+n2+n3', 'equal, it does, for all at once, on ' . $_->name) foreach @nodes;
converge(@nodes);
sum('and writers of other columns go on meanwhile', $n);
same_table('c', @nodes);

# ------------------------------------------------------------ no tag any more
my $unset = q(SELECT causaldb.unset_consistency('c'));
my $left = q(SELECT count(*) FROM causaldb.tags WHERE relation = 'c'::regclass);
$a->run("$patient; $strong");
($writer, $other) = map { $_->session } $b, $a;
$_->query_safe('\set VERBOSITY verbose') foreach $writer, $other;
$writer->query_safe('BEGIN; UPDATE c SET n = n + 1 WHERE id = 1');
begin($other, $unset);
wait_tag('strong strong none', 'the fence is up, and shows that the tag ends', $a);
sql_error($a, 'UPDATE c SET n = n + 1 WHERE id = 1', '40001', 'nobody begins to write');
$writer->query('COMMIT');
like(answer($writer), qr/40001: the tag of table public.c was changed/, 'a strong transaction that is open when the tag ends is refused');
is(answer($other), '', 'and the tag ends');
$_->quit foreach $writer, $other;
$_->wait_sql($left, 0) foreach @nodes;
$c->run('UPDATE c SET n = 1000 WHERE id = 1');
is($b->run('SELECT n < 1000 FROM c WHERE id = 1'), 't', 'it is an ordinary table');
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

done_testing();
