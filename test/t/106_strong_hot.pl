# Claim: clients of all nodes that write the same few rows at once lose no
# update: the sum of increments is the number of those that were acknowledged,
# whoever leads and whether leadership is handed over meanwhile; transfers
# keep the sum of all balances, eventual columns written along add up, and no
# node is left behind.
use CausaldbTest;

my @nodes = new_cluster(3, before => q(
	CREATE TABLE hot (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, seen int NOT NULL DEFAULT 0);
	CREATE TABLE bank (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));
));
my ($a, $b, $c) = @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('hot', 'strong', '{n}')");
$a->run("SELECT causaldb.set_consistency('hot', 'eventual', '{seen}')");
$a->run("SELECT causaldb.set_merge('hot', 'seen', 'counter')");
$a->run("SELECT causaldb.set_consistency('bank', 'strong')");
converge(@nodes);
$a->run('INSERT INTO hot SELECT generate_series(1, 3)');
$a->run('INSERT INTO bank SELECT g, 100 FROM generate_series(1, 4) g');
converge(@nodes);

my (@hot, @bank);
foreach my $node (@nodes)
{
	push @hot, record_client($node, sql => sub {
		my $i = shift;
		'UPDATE hot SET n = n + 1, seen = seen + 1 WHERE id = ' . (1 + $i % 3) });
	push @hot, record_client($node, sql => sub {
		'UPDATE hot SET n = n + 1, seen = seen + 1 WHERE id = 1' });
	push @bank, record_client($node, sql => sub {
		my $from = 1 + int(rand 4);
		my $to = 1 + ($from + int(rand 3)) % 4;
		('BEGIN', "UPDATE bank SET balance = balance - 1 WHERE id = LEAST($from, $to)",
			"UPDATE bank SET balance = balance + 1 WHERE id = GREATEST($from, $to)", 'COMMIT') });
}
# eventual writes of the same rows, meanwhile
my $eventual = record_client($b, sql => sub { 'UPDATE hot SET seen = seen + 1 WHERE id = 2' });

foreach my $node ($b, $c, $a)
{
	$_->wait_acked(5) foreach @hot;
	$node->run("SELECT causaldb.transfer_leadership('" . $node->name . "')");
}
$_->wait_acked(5) foreach @hot;
$_->stop foreach @hot, @bank, $eventual;
converge(@nodes);
same_table('hot', @nodes);
same_table('bank', @nodes);

my $acked = 0;
my $unknown = 0;
my $refused = 0;
my $replayed = 0;
foreach my $client (@hot)
{
	$acked += scalar $client->acked;
	$unknown += scalar $client->unknown;
	$refused += scalar $client->failed;
	$replayed += scalar $client->failed_with('40003');
}
note("$acked acknowledged, $refused refused, of them $replayed with 40003, $unknown unsent or undone; played instead: "
	  . join(', ', map { $_->run('SELECT replayed FROM causaldb.strong_raw()') } @nodes));
cmp_ok($refused, '>', 0, 'there were conflicts');
# 57P03 counts as unknown in the record: refused before it was sent, or undone
my $n = $a->run('SELECT sum(n) FROM hot');
cmp_ok($n, '>=', $acked, 'every acknowledged increment counts');
cmp_ok($n, '<=', $acked + $replayed, 'and counts once, and no refused one does');
is($a->run('SELECT sum(seen) FROM hot'), $n + $eventual->acked, 'the eventual column went with each');
is($b->run('SELECT sum(balance) FROM bank'), 400, 'no money was made or lost');
is($_->run('SELECT count(*) FROM causaldb.stalled'), 0, 'nothing is stalled on ' . $_->name) foreach @nodes;

done_testing();
