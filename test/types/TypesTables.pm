# TypesTables: a random schema of tables and the statements that make it, the
# same tables on every node but not the same column order, OIDs, attribute
# numbers or partitions.
#
#	my $s = TypesTables->new($seed, @contrib);	# after srand($seed)
#	$s->ddl;					# on each node; differs from call to call
#	$s->tagging;				# once, after all nodes have the tables
#	foreach my $t ($s->tables) { $t->{name}; $t->{columns}; ... }
package TypesTables;

use strict;
use warnings;

use TypesValues qw(pick chance between scalar_types key_types value_of quoted
  array_of composite_of);

sub new
{
	my ($class, $seed, @contrib) = @_;
	my $self = bless { schema => "s$seed", contrib => \@contrib, made => [] }, $class;

	$self->_make_types;
	$self->{tables} = [ map { $self->_make_table("t$_") } 1 .. between(1, 2) ];
	return $self;
}

sub tables { my ($self) = @_; return @{ $self->{tables} }; }

sub _scalar { my ($self) = @_; return pick(scalar_types(@{ $self->{contrib} })); }

# Types of the schema's own: each has a name, a statement and a maker of values.
sub _make_types
{
	my ($self) = @_;
	my $s = $self->{schema};
	my @labels = ('red', "it''s", 'Two words', 'NULL');
	# inside of a composite an overloaded function cannot be told by its name
	my @fields = grep { !/^reg(proc|oper)$/ } map { $self->_scalar } 1 .. between(2, 4);
	my $base = pick('int4', 'text', 'numeric', 'timestamptz', 'float8', 'regclass');
	my $domain = { name => "$s.\"a Domain\"", ddl => "CREATE DOMAIN $s.\"a Domain\" AS $base CHECK (VALUE IS DISTINCT FROM NULL OR true)",
		value => sub { value_of($base) } };

	push @{ $self->{made} },
	  { name => "$s.mood", ddl => "CREATE TYPE $s.mood AS ENUM (" . join(', ', map { "'$_'" } @labels) . ')',
		value => sub { pick(@labels) =~ s/''/'/r } },
	  $domain,
	  { name => "$s.pair", ddl => "CREATE TYPE $s.pair AS (" . join(', ', map { "f$_ $fields[$_]" } 0 .. $#fields) . ", d $s.\"a Domain\")",
		value => sub { composite_of((map { chance(0.1) ? undef : value_of($_) } @fields), $domain->{value}->()) } },
	  { name => "$s.textrange", ddl => "CREATE TYPE $s.textrange AS RANGE (subtype = text, collation = \"C\", multirange_type_name = $s.textranges)",
		value => sub { pick('empty', '[a,b)', '(,"x y"]', '["q""q",z)') } },
	  { name => "$s.textranges", value => sub { pick('{}', '{[a,b),[c,d]}', '{(,z)}') } };
	return;
}

# A column's type and the maker of its values.
sub _type
{
	my ($self) = @_;
	my ($name, $value);

	if (chance(0.25))
	{
		my $made = pick(@{ $self->{made} });
		($name, $value) = ($made->{name}, $made->{value});
	}
	else
	{
		my $scalar = $self->_scalar;
		($name, $value) = ($scalar, sub { value_of($scalar) });
	}
	if (chance(0.25))
	{
		my $element = $value;
		$name .= '[]';
		$value = sub { array_of($element) };
	}
	return ($name, $value);
}

sub _make_table
{
	my ($self, $name) = @_;
	my @keys = map {
		my $type = pick(key_types(grep { $_ eq 'public.citext' } @{ $self->{contrib} }));
		{ name => "k$_", type => $type, key => 1, value => sub { value_of($type, 1) } }
	} 1 .. pick(1, 2, 2, 3);
	my @columns = map {
		my ($type, $value) = $self->_type;
		{ name => "c$_", type => $type, value => sub { chance(0.15) ? undef : $value->() } }
	} 1 .. between(2, 8);
	my %t = (name => "$self->{schema}.$name", keys => \@keys);

	foreach my $c (@columns)
	{
		# PostgreSQL takes no constant of regrole there
		$c->{default} = quoted($c->{value}->()) if $c->{type} ne 'regrole' && chance(0.25);
	}
	push @columns, { name => 'n', type => pick('int2', 'int4', 'int8', 'numeric'), counter => 1, value => sub { between(0, 100) } }
	  if chance(0.5);
	# evaluated once, where the row is written
	push @columns, { name => 'r', type => 'uuid', default => 'gen_random_uuid()', value => sub { value_of('uuid') } }
	  if chance(0.4);
	push @columns, { name => 'g', type => 'text', generated => "md5(coalesce(n::text, '') || k1::text)" }
	  if chance(0.5) && (grep { $_->{counter} } @columns) && $keys[0]{type} =~ /^(int\d|text|uuid|numeric)$/;
	$t{columns} = [ @keys, @columns ];
	$t{written} = [ grep { !$_->{generated} } @{ $t{columns} } ];
	$t{policy} = pick('update_wins', 'delete_wins', 'last_write');
	$t{rewrites} = pick('itself', 'others', 'back') if chance(0.25);
	$t{subset} = chance(0.15);
	return \%t;
}

# CREATE statements; column order, dead columns and OIDs are of this call only.
sub ddl
{
	my ($self) = @_;
	my $s = $self->{schema};
	my @sql = ('SET array_nulls = on', 'SET xmloption = content', "CREATE SCHEMA $s");

	push @sql, "CREATE TABLE $s.filler$_ (a int)" foreach 1 .. between(0, 3);
	push @sql, $_->{ddl} foreach grep { $_->{ddl} } @{ $self->{made} };
	push @sql, map { $self->_table_ddl($_) } $self->tables;
	return map { "$_;\n" } @sql;
}

sub _table_ddl
{
	my ($self, $t) = @_;
	my @columns = sort { rand() <=> 0.5 } map { my $c = $_;
		"$c->{name} $c->{type}"
		  . (defined $c->{default} ? " DEFAULT $c->{default}" : '')
		  . ($c->{generated} ? " GENERATED ALWAYS AS ($c->{generated}) STORED" : '') } @{ $t->{columns} };
	my @dead = map { "dead$_" } 1 .. between(0, 2);
	my $key = 'PRIMARY KEY (' . join(', ', map { $_->{name} } @{ $t->{keys} }) . ')';
	my $by = chance(0.4) ? pick(@{ $t->{keys} }) : undef;
	my $hash = chance(0.5);
	my @sql;

	push @columns, "mine int DEFAULT 7" if $t->{subset};
	my @partitions = $by ? partitions($t, $by, $hash, $key, @columns) : ();
	splice @columns, between(0, scalar @columns), 0, "$_ text DEFAULT 'gone'" foreach @dead;
	push @sql, "CREATE TABLE $t->{name} (" . join(', ', @columns, $key) . ')'
	  . ($by ? ' PARTITION BY ' . ($hash ? 'HASH' : 'RANGE') . " ($by->{name})" : '');
	push @sql, "ALTER TABLE $t->{name} DROP COLUMN $_" foreach @dead;
	push @sql, @partitions;
	push @sql, rewriting_trigger($t) if $t->{rewrites};
	return @sql;
}

# Partitions for whatever value the key column has: made so, attached with
# columns in another order, or partitioned again.
sub partitions
{
	my ($t, $by, $hash, $key, @columns) = @_;
	my $bound = quoted($by->{value}->());
	my $n = between(2, 3);
	my @bounds = $hash ? map { "WITH (MODULUS $n, REMAINDER $_)" } 0 .. $n - 1
	  : ("FROM (MINVALUE) TO ($bound)", "FROM ($bound) TO (MAXVALUE)");
	my @sql;

	foreach my $i (0 .. $#bounds)
	{
		my $name = "$t->{name}_p$i";
		my $again = pick(@{ $t->{keys} })->{name};

		if (chance(0.4))
		{
			push @sql, "CREATE TABLE $name (" . join(', ', 'dead text', (sort { rand() <=> 0.5 } @columns), $key) . ')',
			  "ALTER TABLE $name DROP COLUMN dead", "ALTER TABLE $t->{name} ATTACH PARTITION $name FOR VALUES $bounds[$i]";
		}
		elsif (chance(0.4))
		{
			push @sql, "CREATE TABLE $name PARTITION OF $t->{name} FOR VALUES $bounds[$i] PARTITION BY HASH ($again)",
			  map { "CREATE TABLE ${name}_$_ PARTITION OF $name FOR VALUES WITH (MODULUS 2, REMAINDER $_)" } 0, 1;
		}
		else
		{
			push @sql, "CREATE TABLE $name PARTITION OF $t->{name} FOR VALUES $bounds[$i]";
		}
	}
	return @sql;
}

# A trigger that writes rows again while their first version is captured: the
# row itself, or all that stand, or the one that was deleted.
sub rewriting_trigger
{
	my ($t) = @_;
	my ($c) = grep { !$_->{key} && !$_->{generated} } @{ $t->{columns} };
	my $match = join ' AND ', map { "$_->{name} = NEW.$_->{name}" } @{ $t->{keys} };
	my $keys = join ', ', map { $_->{name} } @{ $t->{keys} };
	my $old = join ', ', map { "OLD.$_->{name}" } @{ $t->{keys} };
	my $f = "$t->{name}_again";
	my $does = {
		itself => "UPDATE $t->{name} SET $c->{name} = NULL WHERE $match",
		others => "UPDATE $t->{name} SET $c->{name} = NULL WHERE $c->{name} IS NOT NULL",
		back => "INSERT INTO $t->{name} ($keys) SELECT $old ON CONFLICT DO NOTHING"
	}->{ $t->{rewrites} };
	my ($when, $row) = $t->{rewrites} eq 'back' ? ('DELETE', 'OLD') : ('INSERT OR UPDATE', 'NEW');

	return ("CREATE FUNCTION $f() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
	IF pg_trigger_depth() < 2 THEN $does; END IF;
	RETURN NULL; END \$\$",
		"CREATE TRIGGER again AFTER $when ON $t->{name} FOR EACH ROW WHEN ($row.$c->{name} IS NOT NULL) EXECUTE FUNCTION $f()");
}

sub tagging
{
	my ($self) = @_;
	my @sql;

	foreach my $t ($self->tables)
	{
		my $columns = $t->{subset}
		  ? ", ARRAY['" . join("', '", map { $_->{name} } @{ $t->{written} }) . "']" : '';
		push @sql, "SELECT causaldb.set_consistency('$t->{name}', 'eventual'$columns)",
		  "SELECT causaldb.set_row_policy('$t->{name}', '$t->{policy}')",
		  map { "SELECT causaldb.set_merge('$t->{name}', '$_->{name}', 'counter')" }
		  grep { $_->{counter} } @{ $t->{columns} };
	}
	return map { "$_;\n" } @sql;
}

# The table's rows as text, whatever order the columns have here. Output of
# xml leaves things out, so that is shown as it is stored.
sub image
{
	my ($t) = @_;
	my $columns = join ', ', map { $_->{name} . ($_->{type} eq 'xml' ? '::text' : '') }
	  sort { $a->{name} cmp $b->{name} } @{ $t->{columns} };
	return "SELECT r FROM (SELECT ROW($columns)::text AS r FROM $t->{name}) q ORDER BY r COLLATE \"C\"";
}

1;
