# Claim: frames made by hand, by a role with causaldb_replicator alone, write to
# tagged tables only, and those that are valid in form and false in content are
# refused visibly: the frame, with 08P01 or 28000, or the transaction, whose stream
# stalls or waits. The server and its workers live on, nothing that others write
# is lost, and nothing is written that the table's owner could not write.
use CausaldbTest;
use CausaldbFrame;
use Time::HiRes ();

my ($n1, $n2) = new_cluster(
	2,
	conf => { 'causaldb.relay_delay' => '100ms', 'causaldb.stall_retry_max' => '1s' },
	before => q(
	CREATE ROLE plain;
	CREATE ROLE forger LOGIN IN ROLE causaldb_replicator;
	CREATE TABLE t (id int PRIMARY KEY, a text, mine text, made int GENERATED ALWAYS AS (id * 2) STORED);
	CREATE TABLE untagged (id int PRIMARY KEY, a text);
	CREATE VIEW seen AS SELECT id, a FROM untagged;
	ALTER TABLE t OWNER TO plain;
));
$n1->run("SELECT causaldb.set_consistency('t', 'eventual', '{id,a}')");
converge($n1, $n2);

my ($cluster) = map { unpack 'Q>', pack 'q>', $_ } $n2->run('SELECT cluster FROM causaldb.local_node');
my ($own) = map { unpack 'Q>', pack 'q>', $_ } $n2->run('SELECT boot FROM causaldb.node_status()');
my ($live) = map { unpack 'Q>', pack 'q>', $_ } $n1->run('SELECT boot FROM causaldb.node_status()');
my $boot = 7_000_000;
my $workers = q(SELECT string_agg(pid::text, ' ' ORDER BY pid) || pg_postmaster_start_time() FROM pg_stat_activity WHERE backend_type ~ '^causaldb');
my $before = $n2->run($workers);
my $contents = q(SELECT (SELECT string_agg(u::text, ' ') FROM untagged u), (SELECT count(*) FROM pg_authid), (SELECT count(*) FROM causaldb.tag),
	(SELECT string_agg(n.name, ' ') FROM causaldb.node n), (SELECT count(*) FROM pg_class WHERE relname !~ 'toast'));
$n2->run("INSERT INTO untagged VALUES (1, 'stays')");
my $was = $n2->run($contents);

sub now { return int(Time::HiRes::time() * 1000) << 16 }
sub int4 { return pack 'N', $_[0] }
sub hello { return CausaldbFrame::hello(from => [ 1, 99 ], cluster => $cluster, @_) }
sub bytes { return "'\\x" . unpack('H*', $_[0]) . "'" }

# What psql says to these frames as forger, after a HELLO unless told.
sub send_frames
{
	my ($first, @frames) = @_;
	my $script = "SET SESSION AUTHORIZATION forger;\n\\set VERBOSITY verbose\n";
	$script .= 'SELECT causaldb.hello(' . bytes($first) . ");\n" if defined $first;
	$script .= 'SELECT causaldb.receive(' . bytes($_) . ");\n" foreach @frames;
	my ($ret, undef, $stderr) = $n2->psql('postgres', $script, on_error_stop => 1);
	return $ret == 0 ? 'taken' : $stderr;
}

# What a session leaves behind as it ends may be lost on its way to the apply
# worker, so a frame is sent until it has come in, as a sender does.
sub deliver
{
	my ($stream, $frame) = @_;
	my $said;

	wait_until('the frame has come in', sub {
			$said = send_frames(hello(), $frame);
			return $said ne 'taken' ||
			  $n2->run('SELECT count(*) FROM causaldb.stream_status() WHERE seen > 0 AND boot = ' . unpack 'q>', pack 'Q>', $stream);
	});
	return $said;
}

sub refused
{
	my ($name, $state, $like, $first, @frames) = @_;
	like(send_frames($first, @frames), qr/ERROR:  $state: .*$like/, "refused: $name");
	return;
}

my @cols = ([ 'id', 'integer', 0, 1 ], [ 'a', 'text', 0, 0 ]);
my $to_t = CausaldbFrame::descriptor('public', 't', @cols);

# An interval with one transaction in a stream of its own, of node 1.
sub one
{
	my ($payload, %o) = @_;
	my $position = $o{position} // now();
	my @stream = ([ 1, ++$boot ]);
	return CausaldbFrame::interval(stream => @stream, to => $position,
		descriptors => $o{descriptors} // [], %{ $o{interval} // {} },
		transactions => [ { position => $position, payload => $payload, %{ $o{transaction} // {} } } ]);
}

# It is taken as a frame, and its stream stalls so.
sub stalls
{
	my ($name, $state, $like, $frame) = @_;
	my $stream = "(SELECT id FROM causaldb.stream WHERE node = 1 AND boot = $boot)";
	my $said = deliver($boot, $frame);

	return fail("$name: $said") if $said ne 'taken';
	$n2->wait_sql("SELECT count(*) FROM causaldb.stalled WHERE stream = $stream", 1);
	like($n2->run("SELECT sqlstate || ' ' || message FROM causaldb.stalled WHERE stream = $stream"), qr/^$state .*$like/, "stalls: $name");
	return;
}

# ------------------------------------------------------------ what is right
# the frames below would be refused for nothing if these were
my $by_hand = one(CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, int4(1), 'by hand')), descriptors => [$to_t]);
is(deliver($boot, $by_hand),
	'taken', 'a right frame is taken');
$n2->wait_sql('SELECT a FROM t WHERE id = 1', 'by hand');
is($n2->run('SELECT id, a, mine, made FROM t'), '1|by hand||2', 'and applied');

# ------------------------------------------------------------ tables that are not tagged
foreach my $table ([ 'public', 'untagged' ], [ 'pg_catalog', 'pg_authid' ], [ 'causaldb', 'node' ],
	[ 'causaldb', 'log' ], [ 'causaldb', 'tag' ], [ 'public', 'seen' ])
{
	my $d = CausaldbFrame::descriptor(@$table, @cols);
	my %change = (INSERT => CausaldbFrame::insert(0, int4(2), 'no'), UPDATE => CausaldbFrame::update(0, [ int4(1) ], [ 1, 'stays', 'no' ]),
		DELETE => CausaldbFrame::delete_row(0, int4(1), 'stays'), TRUNCATE => CausaldbFrame::truncate_all(0));
	my @kinds = $table->[1] eq 'untagged' ? sort keys %change : 'INSERT';
	stalls("$_ of $table->[0].$table->[1]", $table->[1] eq 'seen' ? '\w{5}' : '42501', 'tagged|not a table',
		one(CausaldbFrame::payload([$d], $change{$_}), descriptors => [$d])) foreach @kinds;
}
my $no = CausaldbFrame::descriptor('public', 'nowhere', @cols);
stalls('a table that does not exist', '42P01', 'nowhere',
	one(CausaldbFrame::payload([$no], CausaldbFrame::insert(0, int4(2), 'no')),
		descriptors => [$no]));
my $generated = CausaldbFrame::descriptor('public', 't', $cols[0], [ 'made', 'integer', 0, 0 ]);
stalls('a generated column', '\w{5}', 'made|generated',
	one(CausaldbFrame::payload([$generated], CausaldbFrame::insert(0, int4(3), int4(9))), descriptors => [$generated]));
# tags that no node would order
stalls("a tag on $_->[0].$_->[1]", '\w{5}', '\w+', one(CausaldbFrame::payload([], CausaldbFrame::meta(2,
		qq({"op": "set_consistency", "schema": "$_->[0]", "table": "$_->[1]", "level": "eventual", "columns": null})))))
  foreach [ 'pg_catalog', 'pg_authid' ], [ 'causaldb', 'node' ];

# ------------------------------------------------------------ false in content
my $right = CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, int4(4), 'no'));
my $now = now();
refused('positions that go back', '08P01', 'order', hello(), CausaldbFrame::interval(stream => [ 1, ++$boot ], to => $now,
		descriptors => [$to_t], transactions => [ map { { position => $now - $_, payload => $right } } 5, 9 ]));
refused('a position twice', '08P01', 'order', hello(), CausaldbFrame::interval(stream => [ 1, ++$boot ], to => $now,
		descriptors => [$to_t], transactions => [ map { { position => $now, payload => $right } } 1, 2 ]));
refused('a position behind the interval\'s end', '08P01', 'order', hello(), CausaldbFrame::interval(stream => [ 1, ++$boot ], to => $now - 9,
		descriptors => [$to_t], transactions => [ { position => $now, payload => $right } ]));
refused('a transaction that depends on its own stream', '08P01', 'order', hello(), CausaldbFrame::interval(stream => [ 1, ++$boot ], to => $now,
		descriptors => [$to_t], transactions => [ { position => $now, payload => $right, deps => [ [ 1, $boot, $now + 1 ] ] } ]));
refused('an interval that ends before it begins', '08P01', 'interval', hello(), CausaldbFrame::interval(stream => [ 1, ++$boot ], from => 9, to => 8));
refused('our own stream', '08P01', 'not its own', hello(), CausaldbFrame::interval(stream => [ 2, $own ], to => $now));
refused('a stream of nobody', '08P01', 'not its own', hello(), CausaldbFrame::interval(stream => [ 0, 1 ], to => $now));
refused('a descriptor that is none', '08P01|XX001', 'descriptor', hello(),
	CausaldbFrame::interval(stream => [ 1, ++$boot ], to => $now, descriptors => ['nonsense']));
refused('an answer', '08P01', 'intervals and chunks', hello(), CausaldbFrame::frame('answer', "\0\0\0"));
refused('a frame before HELLO', '08P01', 'before HELLO', undef, one($right, descriptors => [$to_t]));
refused('a frame after one that failed', '08P01', 'malformed', hello(), 'nonsense');
refused('a wrong checksum', '08P01', 'checksum', hello(), one($right, descriptors => [$to_t]) =~ s/.$/?/sr);
refused('another cluster', '28000', 'another cluster', hello(cluster => 1));
refused('a node that is no member', '28000', 'not a peer', hello(from => [ 9, 1 ]));
refused('this very node', '28000', 'not a peer', hello(from => [ 2, 1 ]));
refused('another encoding', '0A000', 'encoding', hello(encoding => 8));

stalls('an unknown descriptor', 'XX001', 'never sent', one(CausaldbFrame::payload([ 'never sent' ], CausaldbFrame::insert(0, int4(4), 'no'))));
stalls('a payload that is none', 'XX001', 'malformed', one('nonsense'));
stalls('an empty payload', 'XX001', 'malformed', one(''));
stalls('chunks that never came', 'XX001', '0 of 3 chunks', one(CausaldbFrame::payload([], CausaldbFrame::meta(1, "\3\3")), transaction => { nchunks => 3 }));
stalls('a value that is no integer', '\w{5}', '\w+', one(CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, 'many bytes', 'no')), descriptors => [$to_t]));
stalls('a key that is NULL', '\w{5}', '\w+', one(CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, undef, 'no')), descriptors => [$to_t]));
stalls('text in another encoding', '22021', 'encoding', one(CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, int4(4), "\xff")), descriptors => [$to_t]));
stalls('a stamp far ahead', '55000', 'ahead', one($right, descriptors => [$to_t], position => now() + (86_400_000 << 16)));
stalls('an end far ahead', '55000', 'ahead', CausaldbFrame::interval(stream => [ 1, ++$boot ], to => now() + (86_400_000 << 16)));
# what comes before the fork stands
stalls('another chain hash', 'XX001', 'forked', one(CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, int4(7), 'forked')),
		descriptors => [$to_t], interval => { chain => 12345 }));
stalls('a change of an unknown kind', '0A000', 'does not know', one(CausaldbFrame::payload([], CausaldbFrame::meta(77, ''))));
stalls("nonsense as change of kind $_", '\w{5}', '\w+', one(CausaldbFrame::payload([], CausaldbFrame::meta($_, 'nonsense')))) foreach 2 .. 5;
stalls('a member without a name', '\w{5}', '\w+', one(CausaldbFrame::payload([], CausaldbFrame::meta(3, '{"id": 77}'))));

my $waits = one($right, descriptors => [$to_t], transaction => { deps => [ [ 1, 424242, $now ] ] });
is(deliver($boot, $waits), 'taken', 'deps on a stream that nobody has');
$n2->wait_sql("SELECT waiting_for LIKE 'n1 up to %' AND NOT stalled FROM causaldb.streams WHERE boot = lpad(to_hex($boot), 16, '0')");
pass('and it waits for it');

# in the stream that n1 itself is writing: a place in it that is over, and one that leaves a gap
my ($applied) = $n2->run("SELECT applied FROM causaldb.stream WHERE boot = " . unpack('q>', pack 'Q>', $live));
is(send_frames(hello(), CausaldbFrame::interval(stream => [ 1, $live ], from => $applied - 9, to => $applied - 1, descriptors => [$to_t],
			transactions => [ { position => $applied - 5, payload => $right } ])), 'taken', 'a part of a stream that is over is ignored');
is(send_frames(hello(), CausaldbFrame::interval(stream => [ 1, $live ], from => now() + (1 << 40), to => now() + (1 << 40) + 5, descriptors => [$to_t],
			transactions => [ { position => now() + (1 << 40) + 3, payload => $right } ])), 'taken', 'and one that leaves a gap');

# ------------------------------------------------------------ and nothing of it has happened
$n1->run("INSERT INTO t VALUES (5, 'of n1')");
$n2->run("INSERT INTO t VALUES (6, 'of n2')");
converge($n1, $n2);
is($n2->run('SELECT id, a, mine FROM t ORDER BY id'), "1|by hand|\n5|of n1|\n6|of n2|\n7|forked|", 'what nodes write goes on');
same_table('t', $n1, $n2);
is($n2->run($contents), $was, 'no other table has changed');
is($n2->run($workers), $before, 'the server and its workers live on');

# ------------------------------------------------------------ a word outlives the worker that heard it
my $at = now();
is(deliver($boot, one(CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, int4(8), 'acked')), descriptors => [$to_t], position => $at,
			interval => { acked_at => $at, acks => [ [ 2, $own, 5 ] ] })), 'taken', 'a transaction that comes with acknowledgements');
my $word = "SELECT closed, acked_at, acks FROM causaldb.stream WHERE node = 1 AND boot = $boot";
$n2->wait_sql("SELECT count(*) FROM ($word) w WHERE acks IS NOT NULL", 1);
my ($pid) = $n2->run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'causaldb apply'");
$n2->run("SELECT pg_terminate_backend($pid)");
$n2->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'causaldb apply' AND pid <> $pid", 1);
my $without = CausaldbFrame::interval(stream => [ 1, $boot ], from => $at, to => $at + 1, descriptors => [$to_t],
	transactions => [ { position => $at + 1, payload => CausaldbFrame::payload([$to_t], CausaldbFrame::insert(0, int4(9), 'not acked')) } ]);
wait_until('what comes without has come in', sub {
	return send_frames(hello(), $without) eq 'taken' && $n2->run('SELECT count(*) FROM t WHERE id = 9');
});
is($n2->run($word), join('|', $at + 1, $at, $n2->run("SELECT '\\x' || '" . unpack('H*', CausaldbFrame::vector([ 2, $own, 5 ])) . "'")),
	'what it acknowledged before stays');

done_testing();
