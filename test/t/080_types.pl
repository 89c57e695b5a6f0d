# Claim: whatever PostgreSQL stores, in whatever tables, written by whatever
# statements on three nodes at once, is the same on all of them in the end,
# byte by byte; nothing stalls.
#
# Each seed makes tables of random types, keys, defaults and rules, with
# columns in another order on every node, and random statements for three
# clients. A seed that failed is run again by
#
#	CAUSALDB_TYPES_SEEDS=17 test/run -v test/t/080_types.pl
#
# (a list: 17,20-30). What its clients ran stays in seed_17/.
use CausaldbTest;
use lib 'test/types';
use open qw(:std :encoding(UTF-8));

use IPC::Run;
use TypesTables;
use TypesWork qw(work);

my @seeds = map { /^(\d+)-(\d+)$/ ? ($1 .. $2) : $_ } split /,/, $ENV{CAUSALDB_TYPES_SEEDS} || '1-10';
my $rounds = 2;
my $transactions = 45;

my @nodes = new_cluster(3, conf => { fsync => 'off' });
my @contrib = grep {
	my $have = $nodes[0]->run("SELECT count(*) FROM pg_available_extensions WHERE name = '$_'");
	$have && do { my $e = $_; $_->run("CREATE EXTENSION $e") foreach @nodes; 1 };
} qw(citext hstore ltree);
push @contrib, 'lquery' if grep { $_ eq 'ltree' } @contrib;
@contrib = map { "public.$_" } @contrib;

# A database may have settings that its clients and our workers start with.
$nodes[1]->run("ALTER DATABASE postgres SET $_")
  foreach "DateStyle = 'German'", "IntervalStyle = 'sql_standard'", 'extra_float_digits = -15',
  "search_path = 'causaldb'", "xmloption = 'document'", 'array_nulls = off', "TimeZone = 'Asia/Kathmandu'";
$nodes[1]->restart;
$_->run("SELECT causaldb.wait_until_ready('60 s')") foreach @nodes;

foreach my $seed (@seeds)
{
	last unless try_seed($seed);
}
done_testing();

# One test point. False if the nodes can be of no more use.
sub try_seed
{
	my ($seed) = @_;
	my $folder = "$ENV{TESTDIR}/seed_$seed";
	my $count = 0;

	mkdir $folder;
	srand($seed);
	my $s = TypesTables->new($seed, @contrib);
	foreach my $node (@nodes)
	{
		my $file = write_script("$folder/ddl_" . $node->name . '.sql', $s->ddl);
		my $said = run_script($node, $file, 1)->finish_and_read;
		return fail("seed $seed: tables are made: $said") && 0 if $said =~ /ERROR|FATAL/;
	}
	my $tags = run_script($nodes[0], write_script("$folder/tags.sql", $s->tagging), 1)->finish_and_read;
	return fail("seed $seed: tables are tagged: $tags") && 0 if $tags =~ /ERROR|FATAL/;
	return 0 unless settle($seed);

	my %errors;
	foreach my $round (1 .. $rounds)
	{
		my @clients = map {
			run_script($_, write_script("$folder/round${round}_" . $_->name . '.sql', work($transactions, $s->tables)), 0)
		} @nodes;
		foreach my $client (@clients)
		{
			my $said = $client->finish_and_read;
			$errors{$_}++ foreach $said =~ /ERROR:\s+(.{0,90})/g;
			return fail("seed $seed: a client lost its server: $said") && 0 if $said =~ /FATAL|PANIC|server closed/;
		}
		return 0 unless settle($seed);
	}
	note("seed $seed: $errors{$_} x $_") foreach sort keys %errors;
	return compare($seed, $s);
}

sub write_script
{
	my ($file, @text) = @_;
	open my $out, '>:encoding(UTF-8)', $file or die "$file: $!";
	print $out @text;
	close $out;
	return $file;
}

# Starts psql; finish_and_read waits for its end and gives what it complained of.
sub run_script
{
	my ($node, $file, $stop) = @_;
	my $self = bless { said => '' }, 'main';
	local %ENV = $node->_get_env();

	$self->{h} = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-v', "ON_ERROR_STOP=$stop",
			'-o', '/dev/null', '-f', $file ], '<', \'', '>', '/dev/null', '2>', \$self->{said});
	return $self;
}

sub finish_and_read
{
	my ($self) = @_;
	$self->{h}->finish;
	return $self->{said};
}

# Waits until all have all; a failed test point if something stalls.
sub settle
{
	my ($seed) = @_;
	my @tokens = map { $_->run('SELECT causaldb.token()') } @nodes;

	foreach my $node (@nodes)
	{
		foreach my $token (@tokens)
		{
			foreach my $try (1 .. 20)
			{
				my ($ret) = $node->psql('postgres', "SELECT causaldb.wait_for('$token', '3 s')");
				last if $ret == 0;
				my $stalled = $node->run('SELECT message, detail, hint, context FROM causaldb.stalled');
				show_stalled($node) if $stalled ne '';
				diag($_->name . ' waits: ' . $_->run('SELECT s FROM causaldb.streams s WHERE waiting_for IS NOT NULL OR stalled OR seen > applied; SELECT w FROM causaldb.apply_waits w'))
				  foreach $try == 20 ? @nodes : ();
				return fail("seed $seed: nothing stalls on " . $node->name . ": $stalled") && 0
				  if $stalled ne '' || $try == 20;
			}
		}
	}
	return 1;
}

# The stalled transactions as their writers have logged them, and what else
# became of the same rows here.
sub show_stalled
{
	my ($node) = @_;

	foreach my $position ($node->run('SELECT position FROM causaldb.stalled') =~ /\d+/g)
	{
		foreach my $writer (@nodes)
		{
			my $said = $writer->run("SELECT operation, key, column_name, left(old, 60), left(new, 60) FROM causaldb.history WHERE position = $position LIMIT 40");
			next if $said eq '';
			diag("logged on " . $writer->name . ":\n$said");
			diag("history of its first row on " . $node->name . ":\n" . $node->run("SELECT position, node, operation, string_agg(column_name || ':' || coalesce(left(new, 20), 'NULL'), ' ' ORDER BY column_name) FROM causaldb.history WHERE (relation, key) = (SELECT relation, key FROM causaldb.history WHERE position = $position LIMIT 1) GROUP BY 1, 2, 3 ORDER BY 1 LIMIT 80"));
			last;
		}
	}
	return;
}

sub compare
{
	my ($seed, $s) = @_;
	my $rows = 0;
	my $bad = 0;

	foreach my $t ($s->tables)
	{
		my @images = map { $_->run("SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1; " . TypesTables::image($t)) } @nodes;

		$rows += () = $images[0] =~ /^/mg;
		foreach my $i (1 .. $#nodes)
		{
			next if $images[$i] eq $images[0];
			$bad++;
			show_difference($t, $images[0], $images[$i], $nodes[$i]->name);
			keep_history($t, "$ENV{TESTDIR}/seed_$seed", $_) foreach $nodes[0], $nodes[$i];
		}
	}
	ok(!$bad, "seed $seed: $rows rows are the same on all nodes");
	return 1;
}

# What every node has logged of the table, into the seed's folder.
sub keep_history
{
	my ($t, $folder, $node) = @_;
	my ($name) = $t->{name} =~ /(\w+)$/;

	write_script("$folder/history_${name}_" . $node->name . '.txt', $node->run(
		"SELECT position, node, operation, key, string_agg(column_name || ': ' || coalesce(left(old, 40), 'NULL') || ' -> ' || coalesce(left(new, 40), 'NULL'), ', ' ORDER BY column_name)
		 FROM causaldb.history WHERE relation = '$t->{name}' GROUP BY position, node, operation, key ORDER BY key, position"), "\n");
	write_script("$folder/conflicts_${name}_" . $node->name . '.txt', $node->run(
		"SELECT id, conflict_type, key, column_name, kept_node, kept_hlc, lost_node, lost_hlc, outcome FROM causaldb.conflict WHERE relation = '$t->{name}' ORDER BY id"), "\n");
	return;
}

sub show_difference
{
	my ($t, $one, $other, $name) = @_;
	my (%count, $shown);

	diag("$t->{name} ($t->{policy}" . ($t->{rewrites} ? ", rewrites $t->{rewrites}" : '') . ') ' . join(', ', map { "$_->{name} $_->{type}" } sort { $a->{name} cmp $b->{name} } @{ $t->{columns} }));
	$count{$_}++ foreach split /\n/, $one;
	$count{$_}-- foreach split /\n/, $other;
	foreach my $row (sort keys %count)
	{
		next unless $count{$row};
		diag('only on ' . ($count{$row} > 0 ? 'n1' : $name) . ': ' . substr $row, 0, 600);
		last if ++$shown > 12;
	}
	return;
}
