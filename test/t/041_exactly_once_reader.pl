# Claim: a node that is killed while it receives or applies has everything
# once when it is back; fsync is on. (See CausaldbCrash for what is compared.)
use CausaldbTest;
use CausaldbCrash;

my ($a, $b) = new_cluster(2, before => crash_tables(), conf => crash_conf());
tag_crash_tables($a);
converge($a, $b);
is($b->run('SHOW fsync'), 'on', 'fsync is on');

foreach my $point ('apply_before_commit:10', 'apply_after_commit:10', 'apply_logged:20',
	'apply_mid_group:10', 'receive_handed_over:10', 'receive_chunks_stored:2')
{
	# the writers are faster than the reader, so that it has more than it
	# has applied, and groups have several members
	crash_at({ also => 'apply_logged:delay:5' }, $b, $point, $_, $a, $b, ($a) x 3)
	  foreach 'kill_once', 'kill_postmaster';
}
compare_all($a, $b);

done_testing();
