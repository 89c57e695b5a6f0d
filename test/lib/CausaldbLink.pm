# CausaldbLink: everything between two servers, whoever of them connects.
#
# Two proxies, one for the connections each side makes. Ways are named by the
# nodes: $link->hold($a => $b) keeps what travels from a to b.
package CausaldbLink;

use strict;
use warnings;

use CausaldbProxy;

my %links;

sub make
{
	my ($class, $a, $b) = @_;
	my $self = bless { a => $a, b => $b }, $class;

	# proxies are named by the side that connects
	$self->{ $a->name } = _lead($a, $b);
	$self->{ $b->name } = _lead($b, $a);
	$links{ $a->name . ' ' . $b->name } = $self;
	$links{ $b->name . ' ' . $a->name } = $self;
	return $self;
}

sub between
{
	my ($class, $a, $b) = @_;
	return $links{ $a->name . ' ' . $b->name }
	  // die 'no link between ' . $a->name . ' and ' . $b->name;
}

# Puts a proxy on the connections that $from makes to $to.
sub _lead
{
	my ($from, $to) = @_;
	my $dir = $from->host . '/' . $from->name . '-' . $to->name;
	my $port = $to->port;

	mkdir $dir;
	my $proxy = CausaldbProxy->start("$dir/.s.PGSQL.$port",
		$to->host . "/.s.PGSQL.$port");
	$from->knows($to, $dir, $port);
	return $proxy;
}

# Applies one command to the way from one node to the other.
sub _way
{
	my ($self, $from, $to, $do) = @_;
	$do->($self->{ $from->name }, 'up');
	$do->($self->{ $to->name }, 'down');
	return;
}

sub pass
{
	my ($self, $from, $to) = @_;
	return $self->_way($from, $to, sub { $_[0]->pass($_[1]) });
}

sub delay
{
	my ($self, $from, $to, $ms) = @_;
	return $self->_way($from, $to, sub { $_[0]->delay($_[1], $ms) });
}

sub hold
{
	my ($self, $from, $to) = @_;
	return $self->_way($from, $to, sub { $_[0]->hold($_[1]) });
}

# Keeps what $from sends of its own accord; its answers to the other, and the
# other's to it, pass. So the other way goes on for as long as one likes.
sub mute
{
	my ($self, $from) = @_;
	return $self->{ $from->name }->hold('up');
}

sub unmute
{
	my ($self, $from) = @_;
	return $self->{ $from->name }->pass('up');
}

# Cuts both ways.
sub cut
{
	my ($self) = @_;
	$self->{ $_->name }->cut foreach $self->{a}, $self->{b};
	return;
}

sub resume
{
	my ($self) = @_;
	$self->{ $_->name }->resume foreach $self->{a}, $self->{b};
	return;
}

# Bytes kept on the way from one node to the other.
sub kept
{
	my ($self, $from, $to) = @_;
	return $self->{ $from->name }->status->{kept_up}
	  + $self->{ $to->name }->status->{kept_down};
}

# Proxies end before the servers are stopped, or a server would wait for
# bytes that are kept.
END
{
	local $?;
	foreach my $link (values %links)
	{
		$link->{$_}->stop foreach $link->{a}->name, $link->{b}->name;
	}
}

1;
