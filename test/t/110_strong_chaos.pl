# Claim: what clients on all nodes are told about strong columns is what one
# register, one bank and one box office would have told them, while leaders are
# killed, cut off and stand still: registers are linearizable, money stays, every
# seat is sold once. CAUSALDB_CHAOS_SECONDS is for the registers. (Cases 14 and
# 16 of doc/strong_cases.md.)
use CausaldbTest;
use CausaldbHistory;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{CAUSALDB_CHAOS_SECONDS} // 20;
my $seed = $ENV{CAUSALDB_SEED} // time % 100_000;
my $each = 200;    # answers inside of every fault, at least
my $keys = 5;

note("CAUSALDB_SEED=$seed CAUSALDB_CHAOS_SECONDS=$seconds");
srand($seed);

my @nodes = new_cluster(
	3,
	links => 1,
	conf => { 'causaldb.strong_timeout' => "'3s'" },
	before => q(
	CREATE TABLE register (k int PRIMARY KEY, v bigint NOT NULL);
	CREATE TABLE bank (id int PRIMARY KEY, balance int NOT NULL);
	CREATE TABLE seats (id int PRIMARY KEY, holder text);
));
my ($a) = @nodes;
my %by_name = map { $_->name => $_ } @nodes;

$a->wait_sql("SELECT count(*) = 3 FROM causaldb.strong_status WHERE membership = 'voter'");
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$a->run("SELECT causaldb.set_consistency('$_', 'strong')") foreach qw(register bank seats);
converge(@nodes);
$a->run("INSERT INTO register SELECT g, 0 FROM generate_series(1, $keys) g");
$a->run('INSERT INTO bank SELECT g, 100 FROM generate_series(1, 20) g');
$a->run('INSERT INTO seats SELECT g FROM generate_series(1, 1000) g');
converge(@nodes);

# A node that says who leads; while there is an election, nobody does.
sub leader
{
	my $name;

	wait_until('somebody leads', sub {
		foreach my $node (@nodes)
		{
			my ($ret, $out) = $node->psql('postgres', 'SELECT causaldb.leader()');
			next unless $ret == 0 && $out;
			$name = $out;
			return 1;
		}
		return 0;
	});
	return $by_name{$name};
}

sub others { my ($node) = @_; return grep { $_ != $node } @nodes; }

# ------------------------------------------------------------ registers

sub register_client
{
	my ($node) = @_;
	my %seen;
	my $key = 1;

	return CausaldbHistory->start($node, seed => $seed, pause => 5_000, next => sub {
		my ($i, $last) = @_;

		$seen{$key} = $last if $last =~ /^\d+$/;
		$key = 1 + int rand $keys;
		my $what = rand;
		return ("SELECT v FROM register WHERE k = $key", "r$key:read") if $what < 0.5;
		return ("UPDATE register SET v = $i WHERE k = $key RETURNING 'written'", "r$key:write:$i")
		  if $what < 0.75 || !exists $seen{$key};
		return ("WITH u AS (UPDATE register SET v = $i WHERE k = $key AND v = $seen{$key} RETURNING 1) SELECT 'won' || count(*) FROM u",
			"r$key:cas:$seen{$key}:$i");
	});
}

# What the clients wrote down, in the words of build/linear.
sub write_history
{
	my ($file, @clients) = @_;
	my %count = (ok => 0, no => 0, unknown => 0);

	open my $out, '>', $file or die "$file: $!";
	foreach my $client (@clients)
	{
		foreach my $r ($client->records)
		{
			my ($start, $end, $status, $note, $rest) = @$r;
			my ($register, $what, @values) = split /:/, $note;
			my $who = "c$client->{number}";

			$count{$status}++;
			next if $status eq 'no' || ($status eq 'unknown' && $what eq 'read');
			if ($what eq 'read')
			{
				print $out "$start $end $who $register read $rest\n";
			}
			elsif ($what eq 'cas' && $status eq 'ok' && $rest eq 'won0')
			{
				print $out "$start $end $who $register differs $values[0]\n";
			}
			else
			{
				print $out "$start $end $who $register $what @values\n";
			}
		}
	}
	close $out or die "$file: $!";
	return \%count;
}

sub answered
{
	my $n = 0;

	foreach my $client (@_)
	{
		$n += grep { $_->[2] eq 'ok' } $client->records;
	}
	return $n;
}

# Makes it, waits until clients got enough answers meanwhile, takes it back.
sub during
{
	my ($what, $make, $undo, @clients) = @_;

	$make->();
	my $from = answered(@clients);
	my $began = time;
	wait_until("$each answers while $what", sub { answered(@clients) >= $from + $each }, 60);
	note(sprintf '%s: %d answers in %.1f s', $what, answered(@clients) - $from, time - $began);
	$undo->();
	return answered(@clients) - $from;
}


sub signal_consensus
{
	my ($node, $signal) = @_;

	$node->{consensus} = $node->run("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'causaldb consensus%'")
	  if $signal eq 'STOP';
	kill($signal, $node->{consensus});
	return;
}

my @clients = map { register_client($_) } map { ($nodes[ $_ % 3 ]) } 0 .. 7;
my $end = time + $seconds;
my $victim;
my @faults = (
	[ 'the leader is dead' => sub { $victim = leader(); $victim->kill9 },
		sub { $victim->start } ],
	[ 'the leader is cut off' => sub { $victim = leader(); link_between($victim, $_)->cut foreach others($victim) },
		sub { link_between($victim, $_)->resume foreach others($victim) } ],
	[ 'a follower is cut off' => sub { ($victim) = others(leader()); link_between($victim, $_)->cut foreach others($victim) },
		sub { link_between($victim, $_)->resume foreach others($victim) } ],
	[ 'the process that leads stands still' => sub { $victim = leader(); signal_consensus($victim, 'STOP') },
		sub { signal_consensus($victim, 'CONT') } ],
	[ 'nobody hears what the leader says' => sub { $victim = leader(); link_between($victim, $_)->hold($victim => $_) foreach others($victim) },
		sub { link_between($victim, $_)->resume foreach others($victim) } ]);
my %inside;
my $round = 0;

wait_until('clients are under way', sub { answered(@clients) > 50 });
while (time < $end || $round < @faults)
{
	my $fault = $faults[ $round++ % @faults ];
	my $n = during(@$fault, @clients);

	$inside{ $fault->[0] } = $n if !defined $inside{ $fault->[0] } || $n < $inside{ $fault->[0] };
	$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
}
$_->stop foreach @clients;
cmp_ok($inside{$_}, '>=', $each, "at least $each answers while $_") foreach map { $_->[0] } @faults;

my $file = $a->basedir . '/registers.txt';
my $count = write_history($file, @clients);
note(join ', ', map { "$count->{$_} $_" } sort keys %$count);
cmp_ok($count->{unknown}, '<', 0.05 * ($count->{ok} + $count->{no} + $count->{unknown}), 'few outcomes are unknown');
my $verdict = `$ENV{CAUSALDB_WORK}/tests/build/linear --quiet $file 2>&1`;
is($?, 0, "$keys registers, " . ($count->{ok} + $count->{unknown}) . ' operations: linearizable') or diag($verdict);
converge(@nodes);
same_table('register', @nodes);

# the same history with one answer made up must not pass
my @lines = split /^/, PostgreSQL::Test::Utils::slurp_file($file);
my ($wrong) = grep { $lines[$_] =~ / read \d+$/ } reverse 0 .. $#lines;
$lines[$wrong] =~ s/read \d+$/read 77/;
PostgreSQL::Test::Utils::append_to_file("$file.wrong", join '', @lines);
`$ENV{CAUSALDB_WORK}/tests/build/linear --quiet $file.wrong 2>&1`;
isnt($?, 0, 'and with one answer made up it is not');

# ------------------------------------------------------------ the bank

sub teller
{
	my ($node) = @_;

	return CausaldbHistory->start($node, seed => $seed, pause => 5_000, next => sub {
		my ($from, $to) = (1 + int rand 20, 1 + int rand 20);
		my $amount = 1 + int rand 60;

		return ('SELECT sum(balance), min(balance) FROM bank', 'sum') if rand() < 0.3 || $from == $to;
		return ("DO \$\$ BEGIN UPDATE bank SET balance = balance - $amount WHERE id = $from AND balance >= $amount; "
			  . "IF FOUND THEN UPDATE bank SET balance = balance + $amount WHERE id = $to; END IF; END \$\$", 'transfer');
	});
}

my @tellers = map { teller($nodes[ $_ % 3 ]) } 0 .. 5;
wait_until('tellers are under way', sub { answered(@tellers) > 50 });
during('a bank whose leader is dead', sub { $victim = leader(); $victim->kill9 }, sub { $victim->start }, @tellers);
$_->wait_sql('SELECT causaldb.leader() IS NOT NULL') foreach @nodes;
$_->stop foreach @tellers;
converge(@nodes);
my @sums = map { $_->[4] } grep { $_->[3] eq 'sum' && $_->[2] eq 'ok' } map { $_->records } @tellers;
my $transfers = grep { $_->[3] eq 'transfer' && $_->[2] eq 'ok' } map { $_->records } @tellers;
cmp_ok(scalar @sums, '>', 50, 'the bank was looked at ' . @sums . ' times');
cmp_ok($transfers, '>', 50, "between $transfers transfers");
is(join(' ', grep { !/^2000\|/ } @sums), '', 'the total was the same every time');
is(join(' ', grep { /\|-/ } @sums), '', 'and no balance was negative');
same_table('bank', @nodes);

# ------------------------------------------------------------ seats

sub buyer
{
	my ($node) = @_;

	return CausaldbHistory->start($node, seed => $seed, next => sub {
		my ($i) = @_;
		my $seat = "(SELECT id FROM seats WHERE holder IS NULL OFFSET floor(random() * 24) LIMIT 1)";

		return ("UPDATE seats SET holder = 'b$i' WHERE id = coalesce($seat, (SELECT min(id) FROM seats WHERE holder IS NULL)) "
			  . 'AND holder IS NULL RETURNING id', "b$i");
	});
}

my @buyers = map { buyer($nodes[ $_ % 3 ]) } 0 .. 23;
wait_until('all seats are sold', sub { $a->run('SELECT count(*) FROM seats WHERE holder IS NULL') eq '0' });
$_->stop foreach @buyers;
converge(@nodes);
same_table('seats', @nodes);
my %sold;
push @{ $sold{ $_->[4] } }, $_->[3]
  foreach grep { $_->[2] eq 'ok' && defined $_->[4] && $_->[4] =~ /^\d+$/ } map { $_->records } @buyers;
my %holder = map { split /\|/ } split /\n/, $a->run('SELECT id, holder FROM seats');
is(join(' ', grep { @{ $sold{$_} } > 1 } sort keys %sold), '', 'no seat was sold twice');
is(join(' ', grep { $holder{$_} ne $sold{$_}[0] } sort keys %sold), '', 'and each belongs to whom it was sold');
cmp_ok(scalar keys %sold, '>=', 950, 'buyers were told of ' . keys(%sold) . ' of 1000 seats');

done_testing();
