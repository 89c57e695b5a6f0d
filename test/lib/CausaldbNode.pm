# CausaldbNode: one server of a test, on PostgreSQL::Test::Cluster.
#
# It differs from the class below it in three ways: the data folder is a copy
# of one prepared template; fsync is on and a crashed server restarts itself,
# because our tests are about crashes; and a kill is over only when every
# process of the server is gone.
package CausaldbNode;

use strict;
use warnings;
use parent 'PostgreSQL::Test::Cluster';

use Fcntl qw(:flock);
use File::Path ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time usleep);

my $work = $ENV{CAUSALDB_WORK} // die 'run tests by test/run';

my %default_conf = (
	'fsync' => 'on',
	'restart_after_crash' => 'on',
	'max_connections' => 60,
	'max_worker_processes' => 16,
	'shared_buffers' => '32MB',
	'jit' => 'off',
	'listen_addresses' => "''",
	'log_line_prefix' => "'%m [%p] %b %a: '",
	'log_min_messages' => 'log',
	'deadlock_timeout' => '200ms');

# Creates, but does not start; options as CausaldbTest::new_node.
sub make
{
	my ($class, $name, %opt) = @_;
	my $self = $class->new($name);
	my $build = $opt{build} // 'testing';
	my %conf = (
		%default_conf,
		'unix_socket_directories' => "'" . $self->host . "'",
		'port' => $self->port,
		'dynamic_library_path' => "'$work/$build:\$libdir'",
		%{ $opt{conf} // {} });

	$conf{shared_preload_libraries} //= "'causaldb'"
	  unless defined $opt{preload} && !$opt{preload};
	$self->{_services} = {};
	PostgreSQL::Test::Utils::system_or_bail('cp', '-a', '--reflink=auto',
		_template(), $self->data_dir);
	$self->append_conf('postgresql.conf',
		join("\n", map { "$_ = $conf{$_}" } sort keys %conf));
	$self->knows($self);
	return $self;
}

# A data folder after initdb, made by the first test of a run that asks.
sub _template
{
	my $dir = "$work/run/template";

	open my $lock, '>', "$dir.lock" or die "$dir.lock: $!";
	flock($lock, LOCK_EX) or die $!;
	if (!-e "$dir/causaldb_ready")
	{
		File::Path::remove_tree($dir);
		PostgreSQL::Test::Utils::system_or_bail('initdb', '-D', $dir, '-U',
			'postgres', '-A', 'trust', '--no-sync', '--encoding=UTF8',
			'--locale=C.UTF-8');
		open my $ready, '>', "$dir/causaldb_ready" or die $!;
		close $ready;
	}
	close $lock;
	return $dir;
}

# How peers reach this node: by a service name, which every server looks up in
# a file of its own. So a link can be led through a proxy for one peer alone.
sub dsn
{
	my ($self) = @_;
	return 'service=' . $self->name . ' dbname=postgres user=postgres';
}

# Tells this server where it finds another: directly, or at the given socket
# folder and port. Counts from its next connection on.
sub knows
{
	my ($self, $peer, $host, $port) = @_;
	my $file = $self->basedir . '/services.conf';
	my $services = $self->{_services};

	$services->{ $peer->name } = sprintf("[%s]\nhost=%s\nport=%d\n",
		$peer->name, $host // $peer->host, $port // $peer->port);
	open my $out, '>', "$file.new" or die "$file.new: $!";
	print $out @{$services}{ sort keys %$services };
	close $out;
	rename "$file.new", $file or die "$file: $!";
	return;
}

# Servers and clients of this node read its services file.
sub _get_env
{
	my ($self, @overrides) = @_;
	my %env = $self->SUPER::_get_env(@overrides);

	$env{PGSERVICEFILE} = $self->basedir . '/services.conf';
	$env{PGUSER} = 'postgres';
	return wantarray ? %env : \%env;
}

# Runs SQL in database postgres, dies on error, returns its output.
sub run
{
	my ($self, $sql, %opt) = @_;
	return $self->safe_psql('postgres', $sql, %opt);
}

# A psql that stays, for transactions that overlap. Has query, query_safe,
# query_until and quit; see PostgreSQL::Test::BackgroundPsql.
sub session
{
	my ($self, %opt) = @_;
	my $session = $self->background_psql('postgres', on_error_stop => 0, %opt);

	# each query may take that long, not all of them together with the pauses
	$session->set_query_timer_restart;
	return bless $session, 'CausaldbSession';
}

# Waits until the query gives the wanted answer ('t' unless told); a failed
# test point and the last answer if it never does.
sub wait_sql
{
	my ($self, $query, $expected) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	my ($ret, $out);

	$expected //= 't';
	do
	{
		($ret, $out) = $self->psql('postgres', $query);
		return 1 if $ret == 0 && defined $out && $out eq $expected;
		usleep(50_000);
	} while (time < $end);
	fail('waited in vain on ' . $self->name . ": $query, last " . ($out // 'nothing'));
	return 0;
}

# A psql that goes before it has read its script, because the server went, has
# failed like any other.
sub psql
{
	my ($self, @args) = @_;
	my @result = eval { $self->SUPER::psql(@args) };

	if ($@ ne '')
	{
		die $@ unless $@ =~ /Broken pipe/;
		@result = (2, '', 'the server went before the script was read');
	}
	return wantarray ? @result : $result[0];
}

sub create_cluster
{
	my ($self) = @_;
	return $self->run(sprintf("SELECT causaldb.create_cluster('%s', '%s')",
			$self->name, $self->dsn));
}

# Joins the cluster of $via, as member unless told. Both must know each other.
# Tables are compared by parallel queries, as large ones are.
sub join_cluster
{
	my ($self, $via, $copy, $role) = @_;
	$self->knows($via) unless $self->{_services}{ $via->name };
	$via->knows($self) unless $via->{_services}{ $self->name };
	return $self->run(
		sprintf("SET force_parallel_mode = on; SELECT causaldb.join_cluster('%s', '%s', '%s', '%s', '%s')",
			$self->name, $self->dsn, $via->dsn, $copy // 'none', $role // 'member'));
}

# Processes of this server: those whose working folder is its data folder.
sub pids
{
	my ($self) = @_;
	my $data = $self->data_dir;
	my @pids;

	foreach my $link (glob('/proc/[0-9]*/cwd'))
	{
		my $cwd = readlink($link) // next;
		next unless $cwd eq $data;
		# a dead process that its parent has not collected has no folder
		push @pids, $1 if $link =~ m{/(\d+)/};
	}
	return @pids;
}

# SIGKILL to the postmaster, then waits until all its processes are gone.
# Those that are still busy after five seconds are killed too: a machine that
# loses power does not wait for them either.
sub kill9
{
	my ($self) = @_;

	return unless defined $self->{_pid};
	note('killing ' . $self->name);
	my @known = $self->pids;
	kill('KILL', $self->{_pid});
	$self->_wait_gone(5, @known);
	return;
}

# SIGKILL to everything at once.
sub kill9_all
{
	my ($self) = @_;
	my @known = $self->pids;

	kill('KILL', $self->{_pid}, @known);
	$self->_wait_gone(0, @known);
	return;
}

# Waits until a server that kills itself at a debug point is gone with all its
# processes. It can then be started again.
sub wait_dead
{
	my ($self) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;

	while (grep { $_ == $self->{_pid} } $self->pids)
	{
		BAIL_OUT($self->name . ' does not die') if time >= $end;
		usleep(20_000);
	}
	$self->_wait_gone(5);
	return;
}

# Waits until no process of the server works any more, killing those that
# still do after that many seconds, and until the process table forgets the
# known ones: a new postmaster takes a dead one in the table for a living one.
sub _wait_gone
{
	my ($self, $patience, @known) = @_;
	my $kill_at = time + $patience;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;

	push @known, $self->{_pid};
	while (my @pids = $self->pids)
	{
		kill('KILL', @pids) if time >= $kill_at;
		BAIL_OUT($self->name . " does not die: @pids") if time >= $end;
		usleep(20_000);
	}
	# not for long: where nobody collects the dead they stay, and where others
	# work beside us a number may be somebody else's by now
	$end = time + 5;
	while (grep { kill(0, $_) } @known)
	{
		last if time >= $end;
		usleep(20_000);
	}
	unlink $self->data_dir . '/postmaster.pid', $self->host . '/.s.PGSQL.' . $self->port . '.lock'
	  if kill(0, $self->{_pid});
	$self->{_pid} = undef;
	return;
}

# Changes a setting for the whole server; returns when new sessions see it.
# undef takes the setting back.
sub set_conf
{
	my ($self, $name, $value) = @_;
	my $change =
	  defined $value
	  ? "ALTER SYSTEM SET $name = '$value'"
	  : "ALTER SYSTEM RESET $name";

	$self->run($change);
	$self->run('SELECT pg_reload_conf()');
	if (defined $value)
	{
		$self->wait_sql("SELECT current_setting('$name', true)", $value);
	}
	else
	{
		$self->wait_sql(
			"SELECT current_setting('$name', true) IS NOT DISTINCT FROM boot_val
			   FROM pg_settings WHERE name = '$name'");
	}
	return;
}

# 'name:action' or 'name:action:count'; actions kill, kill_postmaster, error,
# hang. Only in the testing build.
sub set_debug_point
{
	my ($self, $point) = @_;
	return $self->set_conf('causaldb.debug_point', $point);
}

sub clear_debug_point
{
	my ($self) = @_;
	return $self->set_conf('causaldb.debug_point', undef);
}

# Takes the debug point out of a server that is down.
sub clear_debug_point_offline
{
	my ($self) = @_;
	my $file = $self->data_dir . '/postgresql.auto.conf';
	my @lines = grep { !/^causaldb\.debug_point/ }
	  split /^/, PostgreSQL::Test::Utils::slurp_file($file);

	open my $out, '>', $file or die "$file: $!";
	print $out @lines;
	close $out;
	return;
}

# A deliberate mistake of the testing build, by name; undef mends it.
sub set_break
{
	my ($self, $mistake) = @_;
	return $self->set_conf('causaldb.break', $mistake);
}

# A session of a test, whose end has a time of its own, too.
package CausaldbSession;

use parent -norequire, 'PostgreSQL::Test::BackgroundPsql';

sub quit
{
	my ($self) = @_;

	$self->{timeout}->start;
	return $self->SUPER::quit;
}

1;
