# TypesValues: random values of PostgreSQL's types, as the text of input
# functions; undef is NULL. All chance comes from perl's rand(), so srand(seed)
# gives the same values again.
#
# A value here is what a client may send, under any DateStyle or
# IntervalStyle, to a server in UTF8.
package TypesValues;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(pick chance between scalar_types key_types value_of
  quoted copied array_of composite_of);

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }
sub between { my ($a, $b) = @_; return $a + int rand($b - $a + 1); }

my @letters = ('a' .. 'z', 'A' .. 'Z', 0 .. 9);
my @odd = (' ', "'", '"', '\\', ',', '{', '}', '(', ')', "\n", "\t", "\x{e9}",
	"\x{4e2d}", "\x{1f600}", 'NULL', '%', '$1', "\x{df}", '--', '/*');

sub word { return join '', map { pick(@letters) } 1 .. between(0, $_[0] // 8); }

sub text
{
	my $t = join '', map { chance(0.3) ? pick(@odd) : pick(@letters) } 0 .. between(0, 12);

	# out of line: more than compression can make fit
	$t .= join '', map { word(40) } 1 .. between(100, 700) if chance(0.03);
	$t .= 'compressible ' x between(200, 2000) if chance(0.02);
	return $t;
}

sub hex { return join '', map { sprintf '%02x', between(0, 255) } 1 .. $_[0]; }
sub int_of { my ($bits) = @_; return chance(0.1)
	  ? pick(-2**($bits - 1), 2**($bits - 1) - 1)
	  : between(-50, 50); }

sub int8
{
	return chance(0.1)
	  ? pick('-9223372036854775808', '9223372036854775807')
	  : between(-50, 50);
}

sub numeric
{
	return pick('NaN', 'Infinity', '-Infinity', '0', '-0.000', '0.00') if chance(0.1);
	return pick('', '-') . between(0, 99) . '.' . ('0' x between(0, 3)) . between(0, 999)
	  unless chance(0.1);
	return between(1, 9) . join('', map { between(0, 9) } 1 .. 60) . '.' . join('', map { between(0, 9) } 1 .. 50);
}

sub float
{
	my ($digits, $exponent) = @_;
	return pick('NaN', 'Infinity', '-Infinity', '-0', '0') if chance(0.15);
	return sprintf "%.${digits}ge%d", rand(2) - 1, between(-$exponent, $exponent);
}

sub date { return chance(0.1) ? pick('infinity', '-infinity', '4713-01-01 BC', '5874897-12-31')
	  : sprintf '%04d-%02d-%02d', between(1, 9999), between(1, 12), between(1, 28); }
sub time_of { return sprintf '%02d:%02d:%02d.%06d', between(0, 23), between(0, 59), between(0, 59), between(0, 999999); }
sub zone { return pick('+00', '-08', '+05:45', '-11:30', '+14', '+00:19:32'); }
sub stamp { return chance(0.1) ? pick('infinity', '-infinity', '4713-11-25 00:00:00 BC')
	  : sprintf '%04d-%02d-%02d %s', between(1, 9999), between(1, 12), between(1, 28), time_of(); }
sub stamptz { my $s = stamp(); return $s =~ /inf|BC/ ? $s : $s . zone(); }

sub interval
{
	return sprintf '%d years %d mons %d days %d:%02d:%02d.%06d', map({ between(-$_, $_) } 20, 30, 40),
	  between(0, 50), between(0, 59), between(0, 59), between(0, 999999);
}

sub bits { return join '', map { between(0, 1) } 1 .. $_[0]; }
sub coord { return chance(0.05) ? pick('Infinity', 'NaN', '-0', '1e-300') : sprintf '%.17g', rand(200) - 100; }
sub point { return '(' . coord() . ',' . coord() . ')'; }
sub points { return join ',', map { point() } 1 .. between(1, 5); }

sub json
{
	my ($depth) = @_;
	my $kind = $depth > 2 ? between(0, 4) : between(0, 6);

	return pick('true', 'false') if $kind == 0;
	return 'null' if $kind == 1;
	return pick(between(-9, 9), '1.0', '1.00', '1e5', '-0.5') if $kind <= 3;
	return json_string(text()) if $kind == 4;
	return '[' . join(pick(',', ' , '), map { json($depth + 1) } 1 .. between(0, 4)) . ']' if $kind == 5;
	return '{' . join(', ', map { json_string(word(2)) . pick(':', ' : ') . json($depth + 1) } 1 .. between(0, 4)) . '}';
}

sub json_string { my ($t) = @_; $t =~ s/(["\\])/\\$1/g; $t =~ s/\n/\\n/g; $t =~ s/\t/\\t/g; return qq("$t"); }

sub xml
{
	my $t = word(6);
	return pick('text ' . $t, "<a b='$t'/>", "<!-- $t --><x>$t</x>", "<a>$t</a><b/>",
		qq(<?xml version="1.0" encoding="UTF-8"?><r>$t</r>),
		qq(<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?><r>$t</r>),
		qq(<!DOCTYPE r><r>\x{e9}$t</r>));
}

sub span
{
	my ($low, $high) = @_;
	return 'empty' if chance(0.1);
	$low = '' if chance(0.1);
	$high = '' if chance(0.1);
	return pick('[', '(') . $low . ',' . $high . pick(']', ')');
}

sub int_span { my $a = between(-20, 20); return span($a, $a + between(0, 9)); }
sub day_span { my $y = between(1900, 2100); return span("$y-01-05", ($y + between(0, 3)) . '-02-01'); }
sub stamp_span { my $y = between(1900, 2100); return span(qq("$y-01-05 01:02:03"), '"' . ($y + 1) . '-02-01 00:00:00.5"'); }
sub stamptz_span { my $y = between(1900, 2100); return span(qq("$y-01-05 01:02:03+02"), '"' . ($y + 1) . '-02-01 00:00:00.5-03"'); }
sub spans { my ($f) = @_; return '{' . join(',', map { $f->() } 1 .. between(0, 3)) . '}'; }
sub lexemes { return join ' ', map { "'" . (word(5) || 'w') . "':" . between(1, 90) . pick('', 'A', 'B') } 0 .. between(0, 4); }

# Types by the name to write in CREATE TABLE.
my %scalars = (
	bool => sub { pick('t', 'f') },
	'"char"' => sub { pick(@letters, '\\303', '') },
	name => sub { word(20) },
	int2 => sub { int_of(16) },
	int4 => sub { int_of(32) },
	int8 => \&int8,
	oid => sub { between(0, 4_000_000_000) },
	float4 => sub { float(8, 30) },
	float8 => sub { float(17, 290) },
	numeric => \&numeric,
	'numeric(12,3)' => sub { between(-99999, 99999) . '.' . between(0, 999) },
	'numeric(5,-2)' => sub { between(-99999, 99999) },
	money => sub { between(-9999, 9999) . '.' . between(10, 99) },
	text => \&text,
	varchar => \&text,
	'varchar(12)' => sub { substr text(), 0, 12 },
	bpchar => sub { word(5) . ' ' x between(0, 3) },
	'char(9)' => sub { substr text(), 0, 9 },
	bytea => sub { '\\x' . TypesValues::hex(chance(0.03) ? between(2000, 12000) : between(0, 20)) },
	date => \&date,
	time => sub { chance(0.1) ? '24:00:00' : time_of() },
	'time(2)' => \&time_of,
	timetz => sub { time_of() . zone() },
	timestamp => \&stamp,
	'timestamp(3)' => \&stamp,
	timestamptz => \&stamptz,
	interval => \&interval,
	'interval day to second(2)' => \&interval,
	uuid => sub { TypesValues::hex(16) },
	inet => sub { chance(0.3) ? sprintf('fe80::%x/%d', between(0, 65535), between(1, 128))
		: sprintf('10.%d.%d.1/%d', between(0, 255), between(0, 255), between(1, 32)) },
	cidr => sub { sprintf '10.%d.0.0/%d', between(0, 255), between(16, 32) },
	macaddr => sub { TypesValues::hex(6) },
	macaddr8 => sub { TypesValues::hex(8) },
	'bit(7)' => sub { bits(7) },
	varbit => sub { bits(between(0, 40)) },
	'varbit(20)' => sub { bits(between(0, 20)) },
	json => sub { json(0) },
	jsonb => sub { json(0) },
	jsonpath => sub { pick('$', '$.a.b[*]', 'strict $."x y" ? (@ > 3)', '$.a[0 to last].size()') },
	xml => \&xml,
	point => \&point,
	line => sub { '{' . between(1, 9) . ',' . between(-9, 9) . ',' . between(-9, 9) . '}' },
	lseg => sub { '[' . point() . ',' . point() . ']' },
	box => sub { point() . ',' . point() },
	path => sub { pick('(' . points() . ')', '[' . points() . ']') },
	polygon => sub { '(' . points() . ')' },
	circle => sub { '<' . point() . ',' . between(0, 50) . '>' },
	tsvector => \&lexemes,
	tsquery => sub { join pick(' & ', ' | ', ' <2> '), map { pick('', '!') . "'" . (word(5) || 'w') . "'" . pick('', ':A', ':*') } 0 .. between(0, 3) },
	pg_lsn => sub { sprintf '%X/%X', between(0, 99), between(0, 4_000_000_000) },
	pg_snapshot => sub { my $x = between(10, 99); "$x:" . ($x + 20) . ':' . ($x + 3) },
	txid_snapshot => sub { my $x = between(10, 99); "$x:" . ($x + 20) . ':' . ($x + 3) },
	xid => sub { between(0, 4_000_000_000) },
	xid8 => sub { between(0, 4_000_000_000) },
	cid => sub { between(0, 4_000_000_000) },
	tid => sub { '(' . between(0, 9999) . ',' . between(1, 99) . ')' },
	refcursor => sub { word(9) },
	aclitem => sub { pick('postgres=r/postgres', '=rw*/postgres', 'causaldb_admin=a/postgres') },
	int2vector => sub { join ' ', map { between(-9, 9) } 1 .. between(0, 5) },
	oidvector => sub { join ' ', map { between(0, 99) } 1 .. between(0, 5) },
	int4range => \&int_span,
	int8range => \&int_span,
	numrange => \&int_span,
	daterange => \&day_span,
	tsrange => \&stamp_span,
	tstzrange => \&stamptz_span,
	int4multirange => sub { spans(\&int_span) },
	int8multirange => sub { spans(\&int_span) },
	nummultirange => sub { spans(\&int_span) },
	datemultirange => sub { spans(\&day_span) },
	tsmultirange => sub { spans(\&stamp_span) },
	tstzmultirange => sub { spans(\&stamptz_span) },
	# an OID belongs to one node: numbers here are those of built-in objects
	regclass => sub { pick('pg_class', 'causaldb.log', '-') },
	regtype => sub { pick('integer', 'text[]', 'timestamp with time zone', 'causaldb.log') },
	regproc => sub { pick('now', 1397, 1395, '-') },
	regprocedure => sub { pick('abs(integer)', 'now()', '-') },
	regoper => sub { pick(96, 98, 0) },
	regoperator => sub { pick('=(integer,integer)', '=(text,text)') },
	regrole => sub { pick('postgres', 'causaldb_admin') },
	regnamespace => sub { pick('pg_catalog', 'causaldb') },
	regconfig => sub { pick('english', 'simple') },
	regdictionary => sub { pick('english_stem', 'simple') },
	regcollation => sub { pick('"C"', '"POSIX"', '"default"') },
);

# of contrib; the caller says which are there
our %contrib = (
	'public.citext' => sub { word(4) },
	'public.hstore' => sub { join ',', map { '"' . $_ . word(3) . '"=>' . (chance(0.2) ? 'NULL' : array_item(text())) } 1 .. between(0, 4) },
	'public.ltree' => sub { join '.', map { word(3) || 'x' } 1 .. between(1, 4) },
	'public.lquery' => sub { join '.', map { (word(3) || 'x') . pick('', '*') } 1 .. between(1, 4) },
);

# Keys: few values, so that nodes meet, some of them equal and yet not the
# same bytes.
my %keys = (
	int2 => [ 1 .. 9 ],
	int4 => [ 1 .. 9 ],
	int8 => [ 1 .. 7, '9223372036854775807', '-9223372036854775808' ],
	text => [ 'a', 'A', '', 'b ', "o'c", '\\', "\x{e9}", "\x{4e2d}\x{1f600}", 'NULL', '{' ],
	'varchar(20)' => [ 'a' .. 'h' ],
	'char(5)' => [ 'a', 'a ', 'b', 'bb', '', 'c' ],
	numeric => [ '1', '1.0', '1.00', '2', '2.0', '-0.5', '-0.50', 'NaN', 'Infinity', '100', '1e2' ],
	uuid => [ map { "0000000$_-0000-0000-0000-00000000000$_" } 1 .. 8 ],
	timestamp => [ '2026-01-01', '2026-01-01 00:00:00.000001', 'infinity', '-infinity', '0044-03-15 BC', '2026-06-01' ],
	timestamptz => [ '2026-01-01 00:00+00', '2026-01-01 05:45+05:45', '2026-01-02 00:00+00', 'infinity', '1700-01-01+00' ],
	date => [ '2026-01-01', '2026-01-02', '1999-12-31', 'infinity', '0001-01-01 BC' ],
	float8 => [ '0', '-0', 'NaN', '1', '1e-300', 'Infinity', '2' ],
	bool => [ 't', 'f' ],
	name => [ 'a' .. 'f' ],
	'"char"' => [ 'a' .. 'f' ],
	bytea => [ '\\x', '\\x00', '\\x0001', '\\xff' ],
	inet => [ '10.0.0.1', '10.0.0.1/24', 'fe80::1', '10.0.0.2' ],
	interval => [ '1 day', '24:00:00', '1 mon', '30 days', '1 year' ],
	jsonb => [ '1', '1.0', '{"a": 1}', '{"a": 1.00}', '"x"', 'null', '[]' ],
	'int4[]' => [ '{}', '{1,2}', '[0:1]={1,2}', '{NULL}', '{3}' ],
	int4range => [ 'empty', '[1,3)', '[1,2]', '(,)', '[5,6)' ],
	regclass => [ 'pg_class', 'pg_type', 'causaldb.log' ],
	pg_lsn => [ '0/1', '0/2', '1/0' ],
	'public.citext' => [ 'a', 'A', 'b', 'B', 'cC', 'Cc' ],
);

sub scalar_types { my (@have) = @_; return sort(keys %scalars), @have; }
sub key_types { my ($citext) = @_; return grep { $_ ne 'public.citext' || $citext } sort keys %keys; }

sub value_of
{
	my ($type, $key) = @_;
	return pick(@{ $keys{$type} }) if $key;
	return ($scalars{$type} // $contrib{$type})->();
}

# A value as an element of an array or a field of a composite.
sub array_item
{
	my ($v) = @_;
	$v =~ s/(["\\])/\\$1/g;
	return qq("$v");
}

sub array_of
{
	my ($element) = @_;
	my $one = sub { my $v = $element->(); return defined $v && !chance(0.15) ? array_item($v) : 'NULL'; };
	my $n = between(0, 4);

	return '{}' if $n == 0;
	if (chance(0.2))
	{
		return '{' . join(',', map { '{' . join(',', map { $one->() } 1 .. $n) . '}' } 1 .. 2) . '}';
	}
	return (chance(0.1) ? '[-1:' . ($n - 2) . ']=' : '') . '{' . join(',', map { $one->() } 1 .. $n) . '}';
}

sub composite_of
{
	return '(' . join(',', map { defined $_ ? array_item($_) : '' } @_) . ')';
}

# A value as a literal, and as a field of COPY.
sub quoted
{
	my ($v) = @_;
	return 'NULL' unless defined $v;
	$v =~ s/'/''/g;
	return "'$v'" unless $v =~ /\\/;
	$v =~ s/\\/\\\\/g;
	return " E'$v'";
}

sub copied
{
	my ($v) = @_;
	return '\\N' unless defined $v;
	$v =~ s/\\/\\\\/g;
	$v =~ s/\n/\\n/g;
	$v =~ s/\t/\\t/g;
	return $v;
}

1;
