# CausaldbHistory: a client that writes down what it asked, when, and what it
# was told when.
#
# Runs in a process of its own, one statement (or transaction) after another.
# Its record has a line for each, in microseconds of a clock that all clients
# on the machine share:
#
#	START END ok NOTE ROWS		the answer, rows joined by |
#	START END no NOTE SQLSTATE	definitely nothing was done
#	START - unknown NOTE CODE	nobody told whether it was done
#
# NOTE is what the caller says the statement is, without spaces but _.
package CausaldbHistory;

use strict;
use warnings;

use IPC::Open3;
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(clock_gettime usleep CLOCK_MONOTONIC);

my $count = 0;

# next => function of (i, the rows of the last answer) giving (sql, note);
# sql ends without semicolon; statements of a transaction are one string.
# pause => microseconds between two.
sub start
{
	my ($class, $node, %opt) = @_;
	my $self = bless { node => $node, file => $node->basedir . '/history' . ++$count }, $class;

	open my $record, '>', $self->{file} or die "$self->{file}: $!";
	$record->autoflush(1);
	$self->{number} = $count;
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0)
	{
		srand($count * 7919 + ($opt{seed} // 1));
		_run($node, $record, $count, \%opt);
		require POSIX;
		POSIX::_exit(0);
	}
	close $record;
	return $self;
}

sub now { return int(clock_gettime(CLOCK_MONOTONIC) * 1e6); }

# One statement; (rows, SQLSTATE or undef), or nothing if the connection broke.
sub _ask
{
	my ($in, $out, $sql) = @_;
	my @rows;

	print {$in} "$sql;\n\\echo answer :ERROR :SQLSTATE\n" or return;
	$in->flush or return;
	while (1)
	{
		my $line = readline($out);

		next if !defined $line && $!{EINTR};
		return unless defined $line;
		chomp $line;
		return (\@rows, undef) if $line =~ /^answer false/;
		return (\@rows, $1) if $line =~ /^answer true (\S+)/;
		push @rows, $line;
	}
}

sub _run
{
	my ($node, $record, $number, $opt) = @_;
	my $i = 0;
	my $stop = 0;
	my $last = '';
	my ($in, $out, $pid);
	local %ENV = ($node->_get_env(), PGCONNECT_TIMEOUT => 5);
	local $SIG{TERM} = sub { $stop = 1 };
	local $SIG{PIPE} = 'IGNORE';

	while (!$stop)
	{
		if (!$pid)
		{
			$pid = open3($in, $out, '>&STDERR', 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-f', '-');
			# nothing counts as asked before the connection stands
			my ($rows, $code) = _ask($in, $out, $opt->{settings} // 'SELECT 1');
			if (!$rows || defined $code)
			{
				close $in;
				close $out;
				waitpid($pid, 0);
				$pid = undef;
				usleep(100_000);
				next;
			}
		}
		my ($sql, $note) = $opt->{next}->($number * 1_000_000 + ++$i, $last);
		my $start = now();
		my ($rows, $code) = _ask($in, $out, $sql);
		my $end = now();

		$last = $rows && !defined $code ? join('|', @$rows) : '';
		if (!$rows)
		{
			print $record "$start - unknown $note lost\n";
			close $in;
			close $out;
			waitpid($pid, 0);
			$pid = undef;
		}
		elsif (!defined $code)
		{
			print $record "$start $end ok $note $last\n";
		}
		elsif ($code =~ /^(?:40003|57P01|57P02|08...)$/)
		{
			print $record "$start - unknown $note $code\n";
		}
		else
		{
			print $record "$start $end no $note $code\n";
		}
		usleep($opt->{pause}) if $opt->{pause};
	}
	return unless $pid;
	close $in;
	waitpid($pid, 0);
	return;
}

# Ends the client after the statement it is in; it may wait for that.
sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill('TERM', $self->{pid});
	local $?;
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return;
}

# Records so far: [ start, end, status, note, rest ].
sub records
{
	my ($self) = @_;
	return map { [ split / /, $_, 5 ] }
	  grep { /\S/ } split /\n/, PostgreSQL::Test::Utils::slurp_file($self->{file});
}

sub DESTROY { my ($self) = @_; $self->stop; return; }

1;
