# Claim: a node that is killed while it commits, ships or hears that what it
# shipped is there, loses nothing it acknowledged, and its peer gets
# everything once; fsync is on. (See CausaldbCrash for what is compared, 041
# for the receiver, 042 for a join.)
use CausaldbTest;
use CausaldbCrash;

my ($a, $b) = new_cluster(2, before => crash_tables(), conf => crash_conf());
tag_crash_tables($a);
converge($a, $b);
is($a->run('SHOW fsync'), 'on', 'fsync is on');

foreach my $point ('captured', 'precommit_stamped', 'precommit_logged',
	'commit_visible', 'sender_sent', 'sender_answered')
{
	crash_at($a, "$point:3", $_, $a, $b) foreach 'kill_once', 'kill_postmaster';
}
# what is not durable here may be lost, but then nobody has it
$a->set_conf('synchronous_commit', 'off');
$a->set_conf('wal_writer_delay', '10s');
crash_at({ lossy => 1 }, $a, "$_:3", 'kill_postmaster', $a, $b)
  foreach 'sender_sent', 'sender_answered';
compare_all($a, $b);

# each start begins above all that was shown before, and yet near the time
is($a->run(q(SELECT causaldb.position_time(clock_mark) < now() + '12 s' FROM causaldb.node_status())),
	't', 'the clock has not run away in 14 restarts');

done_testing();
