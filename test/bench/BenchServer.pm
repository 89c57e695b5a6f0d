# BenchServer: one PostgreSQL server of a measurement.
#
# Every server has the same settings (%settings, printed with the results) and
# besides them only what its role asks for: causaldb is preloaded, or wal_level
# is raised for native logical replication. Programs and module come from the
# checkout's own prefix, the release build.
#
# Servers do not compete with each other: those that are not measured idle.
package BenchServer;

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use Time::HiRes qw(time);

our %settings = (
	'fsync' => 'on',
	'full_page_writes' => 'on',
	'synchronous_commit' => 'on',
	'shared_buffers' => '512MB',
	'max_wal_size' => '16GB',
	'checkpoint_timeout' => '1h',
	'autovacuum' => 'off',
	'jit' => 'off',
	'max_connections' => 60,
	'max_worker_processes' => 16,
	'track_io_timing' => 'off');

my $folder;		# where data folders are
my $bin;		# where the programs are
my $port = 20000 + $$ % 10000;
my @all;

# Once, before the first server.
sub prepare
{
	($folder, $bin) = @_;
	remove_tree($folder);
	make_path($folder);
	command('initdb', '-D', "$folder/template", '-U', 'postgres', '-A', 'trust',
		'--no-sync', '--encoding=UTF8', '--locale=C.UTF-8');
	return;
}

# A started server with a copy of the template; more settings in %extra.
sub make
{
	my ($class, $name, %extra) = @_;
	my $self = bless { name => $name, data => "$folder/$name" }, $class;

	$port++ until is_free($port);
	$self->{port} = $port++;
	$self->{extra} = \%extra;
	remove_tree($self->{data});
	system('cp', '-a', "$folder/template", $self->{data}) == 0
	  or die "cannot copy the template\n";
	my %conf = (%settings, %extra,
		'listen_addresses' => "'127.0.0.1'",
		'unix_socket_directories' => "''",
		'port' => $self->{port},
		'cluster_name' => "'$name'");
	open my $out, '>>', "$self->{data}/postgresql.conf" or die $!;
	print $out "$_ = $conf{$_}\n" foreach sort keys %conf;
	close $out;
	push @all, $self;
	$self->start;
	return $self;
}

# A started standby of this server, that names itself to it.
sub standby
{
	my ($self, $name) = @_;
	my $standby = bless { name => $name, data => "$folder/$name", extra => $self->{extra} }, ref $self;

	$port++ until is_free($port);
	$standby->{port} = $port++;
	remove_tree($standby->{data});
	command('pg_basebackup', '-D', $standby->{data}, '-d', $self->dsn, '-c', 'fast', '--no-sync');
	open my $out, '>>', "$standby->{data}/postgresql.conf" or die $!;
	print $out "port = $standby->{port}\ncluster_name = '$name'\n",
	  "primary_conninfo = '" . $self->dsn . " application_name=$name'\n";
	close $out;
	open $out, '>', "$standby->{data}/standby.signal" or die $!;
	close $out;
	push @all, $standby;
	$standby->start;
	return $standby;
}

sub start
{
	my ($self) = @_;

	command('pg_ctl', '-w', '-s', '-D', $self->{data}, '-l', "$self->{data}.log", 'start');
	$self->{running} = 1;
	return;
}

sub stop
{
	my ($self, $mode) = @_;

	return unless $self->{running};
	command('pg_ctl', '-w', '-s', '-D', $self->{data}, '-m', $mode // 'fast', 'stop');
	$self->{running} = 0;
	return;
}

# SIGKILL to the postmaster; returns its process id at once.
sub kill
{
	my ($self) = @_;

	open my $in, '<', "$self->{data}/postmaster.pid" or die "$self->{name} does not run\n";
	chomp(my $pid = <$in>);
	kill 'KILL', $pid;
	$self->{running} = 0;
	return $pid;
}

# Stops it and removes its data.
sub drop
{
	my ($self) = @_;

	$self->stop('immediate');
	remove_tree($self->{data});
	return;
}

sub drop_all
{
	eval { $_->drop } foreach @all;
	@all = ();
	return;
}

# Instructions that a server of one process takes on this script, from its
# start to its end, counted by callgrind. The server must be stopped.
sub instructions
{
	my ($self, $preload, $script) = @_;
	my $in = "$folder/script.sql";
	my $log = "$folder/callgrind.log";
	my @words = ('valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null', "--log-file=$log",
		"$bin/postgres", '--single', '-D', $self->{data}, '-c', "shared_preload_libraries=$preload", 'postgres');
	my $line = join ' ', map { length ? quotemeta : "''" } @words;

	open my $out, '>', $in or die "$in: $!";
	print $out $script;
	close $out;
	system("$line <\Q$in\E >>\Q$folder/commands.log\E 2>&1") == 0 or die "$line failed\n";
	open my $counted, '<', $log or die "$log: $!";
	my ($n) = map { /Collected : (\d+)/ ? $1 : () } <$counted>;
	defined $n or die "callgrind has counted nothing; see $log\n";
	return $n;
}

# How others reach it.
sub dsn
{
	my ($self) = @_;
	return "host=127.0.0.1 port=$self->{port} dbname=postgres user=postgres";
}

# Runs SQL, dies on error, returns its output. A list is run one by one in one
# session, each in a transaction of its own.
sub run
{
	my ($self, @sql) = @_;
	my @words = ("$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $self->dsn,
		map { ('-c', $_) } @sql);

	open my $pipe, '-|', @words or die "psql: $!";
	my $out = do { local $/; <$pipe> } // '';
	close $pipe or die "$self->{name}: failed: @sql\n";
	chomp $out;
	return $out;
}

# Whether the statement succeeds; what it says is thrown away.
sub tries
{
	my ($self, $sql) = @_;
	my @words = map { quotemeta } "$bin/psql", '-XAtq', '-d', $self->dsn, '-c', $sql;
	return system("@words >>\Q$folder/commands.log\E 2>&1") == 0;
}

# Seconds the statement takes, measured by the client, connecting excluded.
sub seconds
{
	my ($self, $sql) = @_;
	my $out = $self->run('SELECT 1', '\timing on', $sql);

	$out =~ /^Time: ([\d.]+) ms/m or die "no time in: $out\n";
	return $1 / 1000;
}

# Runs pgbench; returns its tps without connecting.
sub pgbench
{
	my ($self, %opt) = @_;
	my @options = @{ $opt{options} };
	local $ENV{PGOPTIONS} = $opt{pgoptions} // '';
	my @words = map { quotemeta } "$bin/pgbench", @options, $self->dsn;
	my $out = `@words 2>&1`;

	die "pgbench on $self->{name} failed: $out\n" if $?;
	return $1 if $out =~ /^tps = ([\d.]+)/m;
	die "no tps in: $out\n" unless grep { $_ eq '-i' } @options;
	return;
}

# The same; returns the latency of the whole script and of its END, in ms.
sub latencies
{
	my ($self, %opt) = @_;
	my @words = map { quotemeta } "$bin/pgbench", '-r', @{ $opt{options} }, $self->dsn;
	my $out = `@words 2>&1`;

	die "pgbench on $self->{name} failed: $out\n" if $?;
	my ($whole) = $out =~ /^latency average = ([\d.]+) ms/m;
	my ($end) = $out =~ /^\s*([\d.]+)\s+(?:\d+\s+)?END;/m;
	return ($whole, $end) if defined $end;
	die "no latencies in: $out\n";
}

# A command that runs a file and goes on after errors, for a pipe.
sub psql
{
	my ($self, $file) = @_;
	my @words = map { quotemeta } "$bin/psql", '-XAt', '-d', $self->dsn, '-f', $file;
	return "@words 2>&1";
}

# Waits on the server for conditions, one after the other, looking every 2 ms;
# returns when each was first seen to hold, in seconds since the epoch.
sub when
{
	my ($self, @conditions) = @_;
	my @sql;

	foreach my $condition (@conditions)
	{
		push @sql, <<"EOS", 'SELECT extract(epoch FROM clock_timestamp())';
DO \$\$ BEGIN
	WHILE NOT ($condition) LOOP PERFORM pg_sleep(0.002); END LOOP;
END \$\$
EOS
	}
	return split /\n/, $self->run(@sql);
}

sub command
{
	my ($program, @words) = @_;
	my $line = join ' ', map { quotemeta } "$bin/$program", @words;
	# a server that starts must not inherit the pipe
	my $log = "$folder/commands.log";

	system("$line >>\Q$log\E 2>&1") == 0 or die "$program @words failed; see $log\n";
	return;
}

# A program that is built for the bench alone.
sub program
{
	my ($name) = @_;
	return "$folder/../programs/$name";
}

sub has_setting
{
	my ($name) = @_;
	return scalar grep { /^\Q$name\E\t/ } `\Q$bin\E/postgres --describe-config`;
}

# Whether CREATE EXTENSION would find it.
sub has_extension
{
	my ($name) = @_;
	my $share = `\Q$bin\E/pg_config --sharedir`;

	chomp $share;
	return -e "$share/extension/$name.control";
}

sub is_free
{
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $_[0], Timeout => 1);
	return !defined $socket;
}

1;
