# CausaldbClient: a client that writes down what the server promised.
#
# It runs in a process of its own and commits one transaction after another.
# Each ends in its record as one of
#
#	acked i			the server said it is committed
#	failed i CODE	the server said it is not, with that SQLSTATE
#	unknown i		the connection broke before an answer
#
# After a broken connection it connects again and goes on with i + 1. What is
# acked must be found later on every node; what is failed, nowhere.
package CausaldbClient;

use strict;
use warnings;

use IPC::Open3;
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time usleep);

my $count = 0;

# sql => function of i giving the statements of transaction i (a string or a
# list; sent at once, so they are one transaction), from => first i,
# limit => stop by itself after that many.
sub start
{
	my ($class, $node, %opt) = @_;
	my $self = bless {
		node => $node,
		file => $node->basedir . '/client' . ++$count,
	}, $class;

	open my $record, '>', $self->{file} or die "$self->{file}: $!";
	$record->autoflush(1);
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0)
	{
		_run($node, $record, \%opt);
		# not exit: the servers are our parent's to stop
		require POSIX;
		POSIX::_exit(0);
	}
	close $record;
	return $self;
}

sub _run
{
	my ($node, $record, $opt) = @_;
	my $i = $opt->{from} // 1;
	my $end = defined $opt->{limit} ? $i + $opt->{limit} : undef;
	my $stop = 0;
	my ($in, $out, $pid);
	local %ENV = $node->_get_env();
	local $SIG{TERM} = sub { $stop = 1 };
	local $SIG{PIPE} = 'IGNORE';

	while (!$stop && (!defined $end || $i < $end))
	{
		if (!$pid)
		{
			$pid = open3($in, $out, '>&STDERR', 'psql', '-XqAt', '-d',
				$node->connstr('postgres'), '-f', '-');
		}
		my @sql = $opt->{sql}->($i);
		s/;\s*$// foreach @sql;
		print {$in} join("\\;\n", @sql),
		  ";\n\\echo answer :ERROR :SQLSTATE\n";
		$in->flush;

		my $answer;
		while (1)
		{
			my $line = readline($out);
			# a signal is no end of the connection
			next if !defined $line && $!{EINTR};
			$answer = $line;
			last if !defined $line || $line =~ /^answer /;
		}
		if (defined $answer && $answer =~ /^answer false/)
		{
			print $record "acked $i\n";
		}
		elsif (defined $answer && $answer =~ /^answer true (\S+)/)
		{
			# 57P01 to 57P03: the server went away, maybe after the commit
			print $record $1 =~ /^(57P0|08)/ ? "unknown $i\n" : "failed $i $1\n";
		}
		else
		{
			print $record "unknown $i\n";
			close $in;
			close $out;
			waitpid($pid, 0);
			$pid = undef;
			# a server that is down refuses at once; be no burden
			usleep(20_000);
		}
		$i++;
	}
	return unless $pid;
	close $in;
	waitpid($pid, 0);
	return;
}

# Ends the client after the transaction it is in.
sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill('TERM', $self->{pid});
	return $self->finish;
}

# Waits until a client with a limit is through.
sub finish
{
	my ($self) = @_;
	return unless $self->{pid};
	local $?;
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return;
}

sub _list
{
	my ($self, $kind) = @_;
	return map { /^$kind (\d+)\b.*\n/ ? $1 : () }
	  split /^/, PostgreSQL::Test::Utils::slurp_file($self->{file});
}

sub acked { my ($self) = @_; return $self->_list('acked'); }
sub failed { my ($self) = @_; return $self->_list('failed'); }
# Those that failed with that SQLSTATE.
sub failed_with
{
	my ($self, $code) = @_;
	return map { /^failed (\d+) $code\n/ ? $1 : () }
	  split /^/, PostgreSQL::Test::Utils::slurp_file($self->{file});
}
sub unknown { my ($self) = @_; return $self->_list('unknown'); }

# Waits until n more transactions are acknowledged.
sub wait_acked
{
	my ($self, $n) = @_;
	my $goal = $self->acked + $n;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;

	while ($self->acked < $goal)
	{
		die 'client made no progress' if time > $end;
		usleep(20_000);
	}
	return;
}

sub DESTROY { my ($self) = @_; $self->stop; return; }

1;
