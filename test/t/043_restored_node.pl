# Claim: a node that was set back to an older copy of its data folder gets
# what it had shipped since then back from its peer, large transactions too,
# and writes on in a new stream.
use CausaldbTest;
use CausaldbCrash;

my ($a, $b) = new_cluster(2, before => crash_tables(), conf => crash_conf());
tag_crash_tables($a);
my @clients = map { crash_client($_, limit => 20) } $a, $b;
$_->finish foreach @clients;
converge($a, $b);
$a->stop;
my $copy = $a->basedir . '/copy';
PostgreSQL::Test::Utils::system_or_bail('cp', '-a', $a->data_dir, $copy);
$a->start;

push @clients, map { crash_client($_, limit => 40) } $a, $b;
$clients[$_]->finish foreach 2, 3;
converge($a, $b);
$a->stop('immediate');
PostgreSQL::Test::Utils::system_or_bail('rm', '-rf', $a->data_dir);
PostgreSQL::Test::Utils::system_or_bail('mv', $copy, $a->data_dir);
$a->start;

push @clients, map { crash_client($_, limit => 20) } $a, $b;
$clients[$_]->finish foreach 4, 5;
converge($a, $b);
check_clients('after the restore', \@clients, { restored => 1 }, $a, $b);
compare_all($a, $b);

done_testing();
