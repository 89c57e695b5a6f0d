# Claim: a data folder that is set back where it lies, as a snapshot of the
# filesystem does it, does not look like a copy; with what doc/operating.md says
# to type before the start the node gets back what it had shipped since.
use CausaldbTest;
use PostgreSQL::Test::Utils qw(slurp_file system_or_bail);

my ($n1, $n2) = my @nodes = new_cluster(2, before => 'CREATE TABLE t (id int PRIMARY KEY, a text)');
$n1->run("SELECT causaldb.set_consistency('t', 'eventual')");
$n1->run("INSERT INTO t VALUES (1, 'before')");
converge(@nodes);

# A snapshot of a server that runs: its start afterwards is crash recovery. Taken of
# one that is stopped it would end a stream, and what is shipped later is in another.
my $copy = $n1->basedir . '/copy';
$n1->run('CHECKPOINT');
my @all = $n1->pids;
kill 'STOP', @all;
system_or_bail('cp', '-a', $n1->data_dir, $copy);
kill 'CONT', @all;
unlink "$copy/postmaster.pid" or die "postmaster.pid: $!";
$n1->run("INSERT INTO t VALUES (2, 'after'); UPDATE t SET a = 'changed' WHERE id = 1");
converge(@nodes);
$n1->stop('immediate');
system_or_bail('rm', '-rf', $n1->data_dir);
system_or_bail('mv', $copy, $n1->data_dir);

# the mark is the same file as before
my ($mark) = glob $n1->data_dir . '/causaldb/*.mark';
my @words = split ' ', slurp_file($mark);
$words[1] = (stat $mark)[1];
open my $file, '>', $mark or die "$mark: $!";
print $file "@words\n";
close $file;

my $type = q(for m in causaldb/*.mark; do cp -p "$m" "$m.copy" && mv "$m.copy" "$m"; done);
system_or_bail('sh', '-c', "cd '" . $n1->data_dir . "' && $type");
$n1->start;
$n1->run("SELECT causaldb.wait_until_ready('60 s'); INSERT INTO t VALUES (3, 'again')");
converge(@nodes);
same_table('t', @nodes);
is($n1->run("SELECT string_agg(id || ' ' || a, ', ' ORDER BY id) FROM t"), '1 changed, 2 after, 3 again',
	'what was lost here came back');

done_testing();
