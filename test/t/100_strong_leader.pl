# Claim: three servers elect one leader of the strong log and all name it; its
# SIGKILL elects another, and it comes back as a follower; leadership can be
# handed over from any node; a leader that is cut off from the others steps
# down, they elect one, and healing needs no hands.
use CausaldbTest;

sub leader_of
{
	my ($node) = @_;
	return $node->run('SELECT causaldb.leader()');
}

# The one leader that all the given nodes name, other than `not`.
sub agreed
{
	my ($not, @nodes) = @_;
	my $leader;

	wait_until(
		'all name one leader',
		sub {
			my %names = map { leader_of($_) => 1 } @nodes;
			($leader) = keys %names;
			return keys %names == 1 && $leader ne '' && $leader ne $not;
		});
	return $leader;
}

my @nodes = new_cluster(3, links => 1);
my %by_name = map { $_->name => $_ } @nodes;
my $all_vote = "SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'";

$_->wait_sql($all_vote) foreach @nodes;
my $first = agreed('', @nodes);
is($by_name{$first}->run('SELECT role FROM causaldb.strong_status WHERE here'),
	'leader', 'the leader knows that it is');
$by_name{$first}->wait_sql('SELECT bool_and(lag = 0) FROM causaldb.strong_status');
pass('all members have the log, the leader knows');

# handed over, asked on a node that does not lead
my ($other, $third) = grep { $_->name ne $first } @nodes;
$third->run("SELECT causaldb.transfer_leadership('" . $other->name . "')");
is(agreed($first, @nodes), $other->name, 'leadership is handed over');

# killed
my $term = $third->run('SELECT max(term) FROM causaldb.strong_status');
$other->kill9;
my @rest = grep { $_ != $other } @nodes;
my $second = agreed($other->name, @rest);
cmp_ok($third->run('SELECT max(term) FROM causaldb.strong_status'), '>', $term,
	'in a later term');
$other->start;
is(agreed('', @nodes), $second, 'the killed one follows when it is back');

# cut off
my $cut = $by_name{$second};
@rest = grep { $_ != $cut } @nodes;
foreach my $node (@rest)
{
	link_between($cut, $node)->cut;
}
agreed($second, @rest);
$cut->wait_sql('SELECT causaldb.leader() IS NULL');
pass('a leader without a majority steps down');
foreach my $node (@rest)
{
	link_between($cut, $node)->resume;
}
my $last = agreed('', @nodes);
isnt($last, $second, 'the healed one follows');
$by_name{$last}->wait_sql('SELECT bool_and(lag = 0) FROM causaldb.strong_status');

done_testing();
