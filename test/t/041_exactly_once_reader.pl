# Claim: a node that is killed while it receives or applies has everything
# once when it is back; fsync is on. (See CausaldbCrash for what is compared.)
use CausaldbTest;
use CausaldbCrash;

my ($a, $b) = new_cluster(2, before => crash_tables(), conf => crash_conf());
tag_crash_tables($a);
converge($a, $b);
is($b->run('SHOW fsync'), 'on', 'fsync is on');

foreach my $point ('receive_handed_over', 'receive_chunks_stored', 'apply_logged',
	'apply_mid_group', 'apply_before_commit', 'apply_after_commit')
{
	# a group has several members only where writers are faster than it
	crash_at($b, "$point:2", $_, $a, $b, $point eq 'apply_mid_group' ? ($a) x 4 : ())
	  foreach 'kill_once', 'kill_postmaster';
}
compare_all($a, $b);

done_testing();
