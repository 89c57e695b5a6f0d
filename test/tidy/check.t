# Claim: the sources keep the rules that test/tidy/tidy knows.
use strict;
use warnings;
use Test::More tests => 1;

my @reports = `test/tidy/tidy`;
is(join('', @reports), '', 'nothing to report');
