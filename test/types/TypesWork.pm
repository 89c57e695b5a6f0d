# TypesWork: random statements on the tables of TypesTables, as one psql
# script of a client. Statements may fail (a key that exists, a number out of
# range); what counts is that all nodes agree on what is left.
package TypesWork;

use strict;
use warnings;
use Exporter 'import';

use TypesValues qw(pick chance between quoted copied);

our @EXPORT_OK = qw(work);

my $truncates = $ENV{CAUSALDB_TYPES_TRUNCATE} // 0.004;

# A script of n transactions.
sub work
{
	my ($n, @tables) = @_;
	return join '', settings(), map { transaction(@tables) } 1 .. $n;
}

# What clients set; values that travel do not depend on it.
sub settings
{
	my @sql = ("SET DateStyle = '" . pick('ISO, MDY', 'ISO, DMY', 'SQL, DMY', 'German', 'Postgres, MDY') . "'",
		"SET IntervalStyle = " . pick('postgres', 'iso_8601', 'sql_standard', 'postgres_verbose'),
		"SET extra_float_digits = " . pick(-15, 0, 1, 3),
		"SET TimeZone = '" . pick('UTC', 'Asia/Kathmandu', 'America/St_Johns', 'Europe/Amsterdam') . "'",
		"SET bytea_output = " . pick('hex', 'escape'),
		"SET search_path = " . pick('public', 'pg_catalog', '"$user"', 'public, pg_catalog, causaldb'),
		"SET xmloption = " . pick('content', 'document'),
		"SET quote_all_identifiers = " . pick('on', 'off'));
	@sql = grep { chance(0.5) } @sql;
	push @sql, "SET client_encoding = 'UTF8'";
	push @sql, 'SET array_nulls = on' if chance(0.8);
	# a savepoint around each statement, so that transactions outlive errors
	return join '', (chance(0.8) ? "\\set ON_ERROR_ROLLBACK on\n" : ''), map { "$_;\n" } @sql;
}

sub transaction
{
	my @tables = @_;
	my @sql = map { statement(pick(@tables)) } 1 .. pick(1, 1, 2, 4);

	return "$sql[0]\n" if @sql == 1 && chance(0.7);
	if (chance(0.4))
	{
		my $at = between(0, $#sql);
		my @again = map { statement(pick(@tables)) } 1 .. between(1, 3);
		$sql[$at] = join "\n", 'SAVEPOINT a;', $sql[$at], (chance(0.3) ? ('SAVEPOINT b;', @again, pick('RELEASE b;', 'ROLLBACK TO b;')) : @again),
		  pick('ROLLBACK TO a;', 'ROLLBACK TO a; RELEASE a;', 'RELEASE a;');
	}
	return join "\n", 'BEGIN;', @sql, chance(0.1) ? "ROLLBACK;\n" : "COMMIT;\n";
}

my @kinds = ((\&insert) x 7, (\&upsert) x 6, (\&update) x 8, (\&update_many) x 2,
	(\&change_key) x 2, (\&remove) x 2, (\&merge) x 3, (\&cte) x 2,
	(\&copy_in) x 1, (\&current_of) x 1, (\&bulk) x 1, (\&grow) x 2);

sub statement
{
	my ($t) = @_;
	return "TRUNCATE $t->{name};" if chance($truncates);
	return pick(@kinds)->($t);
}

sub names { return join ', ', map { $_->{name} } @_; }
sub literal { my ($c) = @_; return defined $c->{default} && chance(0.3) ? 'DEFAULT' : quoted($c->{value}->()) }
sub row { return '(' . join(', ', map { literal($_) } @_) . ')'; }
sub typed_row { return '(' . join(', ', map { quoted($_->{value}->()) . "::$_->{type}" } @_) . ')'; }
sub rest { my ($t) = @_; return grep { !$_->{key} } @{ $t->{written} }; }
sub where { my ($t) = @_; return join ' AND ', map { "$_->{name} = " . quoted($_->{value}->()) } @{ $t->{keys} }; }

# Some of the columns, sometimes all.
sub some
{
	my @columns = @_;
	my @chosen = chance(0.2) ? @columns : grep { chance(0.4) } @columns;
	return @chosen ? @chosen : ($columns[0]);
}

# a = ..., b = ...: counters mostly add
sub assignments
{
	return join ', ', map {
		$_->{counter} && chance(0.8) ? "$_->{name} = $_->{name} + " . between(-3, 5) : "$_->{name} = " . literal($_)
	} @_;
}

sub insert
{
	my ($t) = @_;
	my @columns = (@{ $t->{keys} }, some(rest($t)));

	return "INSERT INTO $t->{name} (" . names(@columns) . ') VALUES '
	  . join(', ', map { row(@columns) } 1 .. pick(1, 1, 3)) . (chance(0.93) ? ' ON CONFLICT DO NOTHING;' : ';');
}

sub upsert
{
	my ($t) = @_;
	my @set = some(rest($t));

	return "INSERT INTO $t->{name} AS old (" . names(@{ $t->{keys} }, @set) . ') VALUES ' . row(@{ $t->{keys} }, @set)
	  . ' ON CONFLICT (' . names(@{ $t->{keys} }) . ') DO UPDATE SET '
	  . join(', ', map { "$_->{name} = " . ($_->{counter} ? "old.$_->{name} + 1" : "EXCLUDED.$_->{name}") } @set) . ';';
}

sub update { my ($t) = @_; return "UPDATE $t->{name} SET " . assignments(some(rest($t))) . ' WHERE ' . where($t) . ';'; }

sub update_many
{
	my ($t) = @_;
	return "UPDATE $t->{name} SET " . assignments(some(rest($t))) . ' WHERE ctid::text < ' . quoted('(0,' . between(1, 9)) . ';';
}

# Also to another image of an equal key.
sub change_key
{
	my ($t) = @_;
	my $k = pick(@{ $t->{keys} });
	return "UPDATE $t->{name} SET $k->{name} = " . quoted($k->{value}->()) . ' WHERE ' . where($t) . ';';
}

sub remove { my ($t) = @_; return "DELETE FROM $t->{name} WHERE " . (chance(0.95) ? where($t) : "ctid::text < '(0,4'") . ';'; }

sub merge
{
	my ($t) = @_;
	my @set = some(rest($t));
	my @columns = (@{ $t->{keys} }, @set);
	my $on = join ' AND ', map { "t.$_->{name} = v.$_->{name}" } @{ $t->{keys} };

	return "MERGE INTO $t->{name} t USING (VALUES " . join(', ', map { typed_row(@columns) } 1 .. pick(1, 2)) . ') v (' . names(@columns) . ") ON $on"
	  . (chance(0.3) ? " WHEN MATCHED AND v.$set[0]{name} IS NULL THEN DELETE" : '')
	  . ' WHEN MATCHED THEN UPDATE SET ' . join(', ', map { "$_->{name} = v.$_->{name}" } @set)
	  . ' WHEN NOT MATCHED THEN INSERT (' . names(@columns) . ') VALUES (' . join(', ', map { "v.$_->{name}" } @columns) . ');';
}

sub cte
{
	my ($t) = @_;
	my @all = @{ $t->{written} };
	my $c = pick(rest($t));
	my $moved = join ', ', map { $_ == $c ? quoted($c->{value}->()) . "::$c->{type}" : $_->{name} } @all;

	return "WITH d AS (DELETE FROM $t->{name} WHERE " . where($t) . " RETURNING *) INSERT INTO $t->{name} (" . names(@all) . ") SELECT $moved FROM d;"
	  if chance(0.6);
	return "WITH u AS (UPDATE $t->{name} SET " . assignments($c) . ' WHERE ' . where($t) . " RETURNING 1), d AS (DELETE FROM $t->{name} WHERE "
	  . where($t) . ' RETURNING 1) SELECT FROM u, d;';
}

sub copy_in
{
	my ($t) = @_;
	my @columns = (@{ $t->{keys} }, some(rest($t)));

	return "COPY $t->{name} (" . names(@columns) . ") FROM stdin;\n"
	  . join('', map { join("\t", map { copied($_->{value}->()) } @columns) . "\n" } 1 .. pick(1, 2)) . "\\.";
}

sub current_of
{
	my ($t) = @_;
	my $name = 'cur' . between(1, 1_000_000);
	return "DECLARE $name CURSOR WITH HOLD FOR SELECT 1;\nCLOSE $name;" if chance(0.1);
	return "DO \$do\$ DECLARE c CURSOR FOR SELECT * FROM $t->{name} FOR UPDATE; BEGIN OPEN c; MOVE c; "
	  . (chance(0.7) ? "UPDATE $t->{name} SET " . assignments(some(rest($t))) : "DELETE FROM $t->{name}") . " WHERE CURRENT OF c; CLOSE c; END \$do\$;";
}

# Many rows in one transaction: more than one page of the log.
sub bulk
{
	my ($t) = @_;
	my @set = some(rest($t));
	return join "\n", map { upsert($t) } 1 .. 12 if chance(0.9);
	return "DO \$d\$ BEGIN FOR i IN 1 .. 60 LOOP UPDATE $t->{name} SET " . assignments(@set) . "; END LOOP; END \$d\$;";
}

# A value longer than before, of which most is the same.
sub grow
{
	my ($t) = @_;
	my ($c) = grep { $_->{type} =~ /^(text|bytea|varchar|jsonb)$/ } rest($t);
	return update($t) unless $c;
	my $more = $c->{type} eq 'jsonb' ? "jsonb_build_object('was', $c->{name}, 'pad', repeat('x', " . between(1, 4000) . '))'
	  : $c->{type} eq 'bytea' ? "$c->{name} || decode(repeat(md5('" . rand() . "'), " . between(1, 200) . "), 'hex')"
	  : "$c->{name} || repeat(md5('" . rand() . "'), " . between(1, 200) . ')';
	return "UPDATE $t->{name} SET $c->{name} = $more WHERE length(coalesce($c->{name}::text, '')) < 40000 AND " . where($t) . ';';
}

1;
