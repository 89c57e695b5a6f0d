# Claim: tidy reports each kind of mistake. One of each is planted in a copy
# of the tree; where nothing is planted it is silent about the copy's rest.
use strict;
use warnings;

use File::Temp;
use Test::More;

my $copy = File::Temp::tempdir(CLEANUP => 1);
system('cp', '-R', '--parents', 'extension', 'replicator', 'test/tidy',
	'build/release', $copy) == 0
  or die 'copy failed';
my %before = map { $_ => 1 } tidy();

sub tidy { my @reports = `test/tidy/tidy $copy`; chomp @reports; return @reports; }

sub plant
{
	my ($file, $text, $mode) = @_;
	open my $out, $mode // '>', "$copy/$file" or die "$file: $!";
	print $out $text;
	close $out;
	return;
}

sub compile
{
	my ($stem) = @_;
	my $object = "$copy/build/release/$stem.o";

	system('cc', '-std=c11', '-O0', '-fPIC', '-w', "-I$copy/extension", "-I$copy/replicator",
		'-c', "$copy/$stem.c", '-o', $object) == 0
	  or die "$stem does not compile";
	return;
}

# One planted mistake: files to write, stems to compile, the report to expect.
sub finds
{
	my ($name, $expected, %files) = @_;
	my @stems = grep { s/\.c$// } my @names = sort keys %files;

	plant($_, $files{$_}) foreach keys %files;
	compile($_) foreach @stems;
	my @new = grep { !$before{$_} } tidy();
	ok(scalar(grep { $_ =~ $expected } @new), $name)
	  or diag("reported:\n" . join("\n", @new));
	unlink "$copy/$_" foreach keys %files;
	unlink "$copy/build/release/$_.o" foreach @stems;
	return;
}

# places for the planted: two siblings between the lowest and the highest
my $layers = do { local (@ARGV, $/) = "$copy/test/tidy/layers"; <> };
plant('test/tidy/layers', $layers =~ s/^(\[\w+\]\n)/$1plant_low plant_sibling\nplant_high\n/mgr);
%before = map { $_ => 1 } tidy();

foreach my $dir ('extension', 'replicator')
{
	my $p = $dir eq 'replicator' ? 'rep_' : 'plant_';

	finds("$dir: include of a higher layer",
		qr{^include: $dir/plant_low.h:1 includes $dir/plant_high.h},
		"$dir/plant_low.h" => qq(#include "plant_high.h"\n),
		"$dir/plant_high.h" => "\n");
	finds("$dir: include of a sibling",
		qr{^include: $dir/plant_low.c:1 includes $dir/plant_sibling.h},
		"$dir/plant_low.c" => qq(#include "plant_sibling.h"\n),
		"$dir/plant_sibling.h" => "\n");
	finds("$dir: call of a higher layer",
		qr{^call: $dir/plant_low.c uses ${p}high_f of $dir/plant_high.c},
		"$dir/plant_low.c" =>
		  "extern void ${p}high_f(void);\nvoid ${p}low_f(void) { ${p}high_f(); }\n",
		"$dir/plant_high.c" => "void ${p}high_f(void) {}\n");
	finds("$dir: call of a sibling",
		qr{^call: $dir/plant_sibling.c uses ${p}low_f of $dir/plant_low.c},
		"$dir/plant_sibling.c" =>
		  "extern void ${p}low_f(void);\nvoid ${p}sibling_f(void) { ${p}low_f(); }\n",
		"$dir/plant_low.c" => "void ${p}low_f(void) {}\n");
	finds("$dir: file without a layer",
		qr{^layer: $dir/plant_homeless has no place},
		"$dir/plant_homeless.h" => "\n");
	finds("$dir: file too long",
		qr{^length: $dir/plant_low.h has 901 lines},
		"$dir/plant_low.h" => "\n" x 901);
	my $word = 'TO' . 'DO';
	finds("$dir: unfinished", qr{^word: $dir/plant_low.h:1 says $word},
		"$dir/plant_low.h" => "/* $word */\n");
}

finds('call from the replicator into the extension',
	qr{^call: replicator/plant_high.c uses plant_low_f of extension/plant_low.c},
	'replicator/plant_high.c' =>
	  "extern void plant_low_f(void);\nvoid rep_f(void) { plant_low_f(); }\n",
	'extension/plant_low.c' => "void plant_low_f(void) {}\n");
finds('server header in the replicator',
	qr{^pure: replicator/plant_low.h:1 includes postgres.h},
	'replicator/plant_low.h' => qq(#include "postgres.h"\n));
finds('extension header in the replicator',
	qr{^pure: replicator/plant_low.h:1 includes plant_high.h},
	'replicator/plant_low.h' => qq(#include "plant_high.h"\n),
	'extension/plant_high.h' => "\n");
finds('libc header in the replicator',
	qr{^pure: replicator/plant_low.h:1 includes time.h},
	'replicator/plant_low.h' => "#include <time.h>\n");
finds('libc call in the replicator',
	qr{^pure: replicator/plant_low.c uses malloc},
	'replicator/plant_low.c' =>
	  "extern void *malloc(unsigned long);\nvoid *rep_f(void) { return malloc(1); }\n");
finds('variable in the replicator',
	qr{^pure: replicator/plant_low.c has the variable rep_counter},
	'replicator/plant_low.c' => "int rep_counter;\n");
finds('static variable in the replicator',
	qr{^pure: replicator/plant_low.c has the variable counter},
	'replicator/plant_low.c' =>
	  "static int counter;\nint rep_f(void) { return counter++; }\n");
finds('name without prefix in the replicator',
	qr{^pure: low_f of replicator/plant_low.c},
	'replicator/plant_low.c' => "void low_f(void) {}\n");
finds('name without its noun in the extension',
	qr{^name: other_f of extension/plant_low.c},
	'extension/plant_low.c' => "void other_f(void) {}\n");
plant('extension/plant_low.c', "\n");
ok(scalar(grep { m{^call: build/release/extension/plant_low.o is not built} } tidy()),
	'object missing');
unlink "$copy/extension/plant_low.c";

plant('leak.c', "extern void nowhere(void);\nvoid rep_leak(void) { nowhere(); }\n");
system('cc', '-shared', '-fPIC', '-o', "$copy/build/release/causaldb.so", "$copy/leak.c") == 0
  or die;
my @leaks = tidy();
ok(scalar(grep { /^export: .* shows rep_leak$/ } @leaks), 'symbol shown by the module');
ok(scalar(grep { /^missing: .* needs nowhere$/ } @leaks), 'symbol that nobody has');

# nothing but the module is left changed
is(join("\n", grep { !$before{$_} && !/^(export|missing)/ } tidy()), '', 'and nothing else');
done_testing();
