# CausaldbProxy: a test/proxy/linkproxy process under our control.
#
# 'up' is the way from the side that connects to the side that listens, 'down'
# the way back. The process ends with the test, as its stdin closes.
package CausaldbProxy;

use strict;
use warnings;

use IPC::Open2;

# From where to where; each a host:port or the path of a Unix socket.
sub start
{
	my ($class, $listen, $target) = @_;
	my $work = $ENV{CAUSALDB_WORK};
	my $self = bless {}, $class;

	$self->{pid} = open2($self->{out}, $self->{in},
		"$work/tests/build/linkproxy", $listen, $target);
	$self->_expect_ok('start');
	return $self;
}

# One command, one line of answer.
sub command
{
	my ($self, $command) = @_;
	print { $self->{in} } "$command\n";
	$self->{in}->flush;
	return $self->_expect_ok($command);
}

sub _expect_ok
{
	my ($self, $command) = @_;
	my $answer = readline($self->{out}) // 'ended';

	chomp $answer;
	$answer =~ /^ok ?(.*)/ or die "linkproxy $command: $answer";
	return $1;
}

# Bytes go on as they come, after all that is kept.
sub pass { my ($self, $way) = @_; return $self->command("$way pass"); }
# Each byte goes on that many milliseconds after it came.
sub delay { my ($self, $way, $ms) = @_; return $self->command("$way delay $ms"); }
# Bytes are kept, in order, until pass or delay.
sub hold { my ($self, $way) = @_; return $self->command("$way hold"); }
# Drops every connection and refuses new ones, until resume.
sub cut { my ($self) = @_; return $self->command('cut'); }
# Everything passes again.
sub resume { my ($self) = @_; return $self->command('resume'); }

# { connections, accepted, kept_up, kept_down, passed_up, passed_down }
sub status
{
	my ($self) = @_;
	my %status = split /[ =]/, $self->command('status');
	return \%status;
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	close $self->{in};
	local $?;
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return;
}

sub DESTROY { my ($self) = @_; local $?; $self->stop; return; }

1;
