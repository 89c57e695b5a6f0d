# CausaldbFrame: frames made by hand, as doc/protocol.md says them, for tests
# that send a server what no sender would. A second implementation on purpose:
# nothing of replicator/ is used.
#
#	my $frame = CausaldbFrame::interval(stream => [ 1, $boot ], to => $p,
#		descriptors => [$d], transactions => [ { position => $p,
#			payload => CausaldbFrame::payload([$d], CausaldbFrame::insert(0, @values)) } ]);
#
# Values are bytes or undef; positions, boots and hashes are unsigned 64-bit.
package CausaldbFrame;

use strict;
use warnings;

my $all = ~0;
my ($A, $B, $C) = map { unpack 'Q>', pack 'H16', $_ } qw(9d6f0a7c4be35281 c3a5c85c97cb3127 e58f1d3b62a90c75);

sub varint
{
	my ($v) = @_;
	my $out = '';
	while ($v >= 0x80)
	{
		$out .= chr(($v & 0x7f) | 0x80);
		$v >>= 7;
	}
	return $out . chr $v;
}

sub blob { return varint(length $_[0]) . $_[0] }
sub u64 { return pack 'Q>', $_[0] }

sub _add
{
	my ($x, $y) = @_;
	use integer;
	my $sum = $x + $y;
	no integer;
	return $sum & $all;
}

sub _fold
{
	my ($a, $b) = @_;
	my $m = 0xffffffff;
	my $low = ($a & $m) * ($b & $m);
	my $mid = ($a >> 32) * ($b & $m) + ($low >> 32);
	my $mid2 = ($a & $m) * ($b >> 32) + ($mid & $m);
	my $high = ($a >> 32) * ($b >> 32) + ($mid >> 32) + ($mid2 >> 32);
	return ((($mid2 & $m) << 32) | ($low & $m)) ^ $high;
}

# rep_hash64
sub hash64
{
	my ($data, $seed) = @_;
	my $x = _fold($seed ^ $A, $C);
	my $y = _fold(length($data) ^ $B, $A) ^ $seed;
	my $at = 0;
	my $left = length $data;

	for (; $left >= 16; $left -= 16, $at += 16)
	{
		my ($one, $two) = unpack 'Q<Q<', substr $data, $at, 16;
		$x = _add(_fold($x ^ $one, $A), $B);
		$y = _add(_fold($y ^ $two, $B), $C);
	}
	if ($left >= 8)
	{
		$x = _add(_fold($x ^ unpack('Q<', substr $data, $at, 8), $A), $B);
		$left -= 8;
		$at += 8;
	}
	$y = _add(_fold($y ^ unpack('Q<', substr($data, $at) . "\0" x (8 - $left)), $B), $C) if $left > 0;
	$x = _fold($x ^ ((($y & 0xffffffff) << 32) | $y >> 32), $C);
	$y = _fold($y ^ ((($x << 17) & $all) | $x >> 47), $A);
	$x = _fold($x ^ $y ^ $B, $B);
	return $x ^ $x >> 29;
}

# ---------------------------------------------------------------- frames

my %type = (hello => 1, interval => 2, chunks => 3, answer => 4);

sub frame
{
	my ($type, $body) = @_;
	my $checked = pack 'CCN', 1, $type{$type} // $type, length $body;
	return 'CD' . $checked . u64(hash64($body, hash64($checked, 0))) . $body;
}

sub stream { my ($node, $boot) = @{ $_[0] }; return varint($node) . u64($boot) }

# [ node, boot, position ] each
sub vector { return varint(scalar @_) . join '', map { stream($_) . varint($_->[2]) } @_ }

sub hello
{
	my %o = @_;
	return frame('hello',
		stream($o{from}) . u64($o{cluster}) . varint($o{encoding} // 6) . varint($o{hlc} // 0) . vector(@{ $o{applied} // [] }));
}

sub interval
{
	my %o = @_;
	my @d = @{ $o{descriptors} // [] };
	my @t = @{ $o{transactions} // [] };
	my @acks = @{ $o{acks} // [] };

	return frame('interval',
		stream($o{stream}) . varint($o{from} // 0) . varint($o{to}) .
		  varint($o{closed} // $o{to}) . u64($o{chain} // 0) . varint($o{acked_at} // 0) . vector(@acks) .
		  varint(scalar @d) . join('', map { blob($_) } @d) . varint(scalar @t) . join('', map { _transaction(%$_) } @t));
}

sub _transaction
{
	my %t = @_;
	my @deps = map {
		my $z = $t{position} >= $_->[2] ? ($t{position} - $_->[2]) << 1 : (($_->[2] - $t{position}) << 1) - 1;
		stream($_) . varint($z)
	} @{ $t{deps} // [] };

	return varint($t{position}) . varint($t{xid} // 1) . varint($t{nchunks} // 0) . varint(scalar @deps) . join('', @deps) .
	  blob($t{payload});
}

# ---------------------------------------------------------------- payloads

# columns: [ name, type, text?, key ordinal or 0 ]
sub descriptor
{
	my ($schema, $table, @columns) = @_;
	return pack('CCC', 1, 0, 1) . blob($schema) . blob($table) . varint(scalar @columns) .
	  join '', map { blob($_->[0]) . blob($_->[1]) . chr($_->[2]) . chr(1) . varint($_->[3]) } @columns;
}

sub payload
{
	my ($descriptors, @changes) = @_;
	return chr(1) . varint(scalar @$descriptors) . join('', map { u64(hash64($_, 0)) } @$descriptors) . join '', @changes;
}

sub value { return defined $_[0] ? varint(length($_[0]) + 1) . $_[0] : varint(0) }

sub insert { my ($d, @row) = @_; return chr(1) . varint($d) . join '', map { value($_) } @row }

# fields: [ column, old, new ]
sub update
{
	my ($d, $key, @fields) = @_;
	return chr(2) . varint($d) . join('', map { value($_) } @$key) . varint(scalar @fields) .
	  join '', map { varint($_->[0] << 1) . value($_->[1]) . value($_->[2]) } @fields;
}

sub delete_row { my ($d, @row) = @_; return chr(3) . varint($d) . join '', map { value($_) } @row }
sub truncate_all { return chr(4) . varint($_[0]) . chr(0) }
sub meta { my ($kind, $body) = @_; return chr(5) . varint($kind) . blob($body) }

1;
