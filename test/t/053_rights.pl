# Claim: doc/operating.md says of each function who may call it, and of each view
# and table who may read it, exactly as the server has it; each role that may not
# is refused, each that may gets further; and nobody but a superuser may write to
# a table of schema causaldb. When this fails after a function was added, put the
# table that it prints into the document.
use CausaldbTest;

my $n = new_node('n1');
my %role = (nobody => 'plain', causaldb_admin => 'admin', causaldb_replicator => 'replicator');
$n->run('CREATE ROLE plain; CREATE ROLE admin IN ROLE causaldb_admin; CREATE ROLE replicator IN ROLE causaldb_replicator');

# what a function asks for besides, in its own words
my %besides = (
	alter_node => 'a password in the string, unless a superuser calls (see below)',
	create_cluster => 'as `alter_node`',
	join_cluster => 'as `alter_node`; and the right to write the tables that are copied',
	set_consistency => '`causaldb_admin`, and ownership of the table',
	unset_consistency => 'as `set_consistency`',
	set_merge => 'as `set_consistency`',
	set_row_policy => 'as `set_consistency`',
	use_node_ids => 'ownership of the table',
	field_history => 'SELECT on the table or the column, and no row security on it',
	counter_set => 'UPDATE on the table',
	admit_node => 'called by `join_cluster` from another node',
	order_dsn => 'called by `alter_node` from another node',
	order_tag => 'called by `set_consistency` and its like from another node',
	check_tag => 'called by `set_consistency` from another node',
	tag_digest => 'called by `set_consistency` from another node',
	closed_position => 'called by `join_cluster` from another node',
	make_durable => 'called by `join_cluster` from another node',
	hello => 'called by another node\'s sender',
	receive => 'called by another node\'s sender',
	strong_message => 'called by another node',
	transfer_leadership => 'on another node it is called by itself',
	look_at_ddl => 'a trigger',
	capture => 'a trigger',
	forget_dropped => 'a trigger',
	require_stalled => 'called by `retry` and `set_aside`',
	hasten_apply => 'called by `retry` and `set_aside`');

my $who = q(CASE WHEN %1$s('public', oid, '%2$s') THEN 'everybody'
	ELSE COALESCE(NULLIF(concat_ws(', ',
		CASE WHEN %1$s('causaldb_admin', oid, '%2$s') THEN '`causaldb_admin`' END,
		CASE WHEN %1$s('causaldb_replicator', oid, '%2$s') THEN '`causaldb_replicator`' END), ''), 'superusers') END);
my @functions = map { [ split /\|/ ] } split /\n/, $n->run(
	"SELECT proname, format('%s(%s)', proname, oidvectortypes(proargtypes)), " . sprintf($who, 'has_function_privilege', 'EXECUTE') .
	q(, (SELECT string_agg(format('(SELECT NULL::%s)', format_type(t, NULL)), ', ' ORDER BY n) FROM unnest(proargtypes) WITH ORDINALITY a(t, n)),
		prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
	FROM pg_proc WHERE pronamespace = 'causaldb'::regnamespace ORDER BY proname COLLATE "C", proargtypes::text));
my @relations = map { [ split /\|/ ] } split /\n/, $n->run(
	'SELECT relname, ' . sprintf($who, 'has_table_privilege', 'SELECT') .
	q( FROM pg_class WHERE relnamespace = 'causaldb'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
		ORDER BY relkind DESC, relname COLLATE "C"));

# ------------------------------------------------------------ the document
my $table = join "\n", '| Function | who may call it | and needs |', '|---|---|---|',
  (map { "| `$_->[1]` | $_->[2] | " . ($besides{ $_->[0] } // '') . ' |' =~ s/  \|/ |/r } @functions), '',
  '| View or table | who may read it |', '|---|---|', (map { "| `$_->[0]` | $_->[1] |" } @relations), '';
my ($written) =
  PostgreSQL::Test::Utils::slurp_file('doc/operating.md') =~ /<!-- rights: [^\n]*-->\n\n(.*?)\n<!-- end of rights -->/s;
is($written // 'nothing', $table, 'doc/operating.md has the rights that there are')
  or diag("put this between the marks in doc/operating.md:\n$table");
my %known = map { $_->[0] => 1 } @functions;
is(join(' ', grep { !$known{$_} } sort keys %besides), '', 'and speaks of no function that is gone');

# ------------------------------------------------------------ each of them tried
my $denied = qr/ERROR:  permission denied for (?:function|table|view)/;

# Runs each statement as that role: "name:yes name:no ..."
sub tries
{
	my ($role, @named) = @_;
	my $script = "SET ROLE $role{$role};\n" . join '', map { "\\warn == $_->[0]\n$_->[1];\n" } @named;
	my (undef, undef, $stderr) = $n->psql('postgres', $script, on_error_stop => 0);
	my (undef, %said) = split /^== (.*)\n/m, "$stderr\n", -1;

	return join ' ', map { "$_->[0]:" . (!defined $said{ $_->[0] } ? 'not run' : $said{ $_->[0] } =~ $denied ? 'no' : 'yes') } @named;
}

sub may { my ($role, $who) = @_; return $who eq 'everybody' || $who =~ /`$role`/ ? 'yes' : 'no' }

foreach my $role (sort keys %role)
{
	my @calls = grep { $_->[4] eq 'f' } @functions;

	is(tries($role, map { [ $_->[0], "SELECT causaldb.$_->[0]($_->[3])" ] } @calls),
		join(' ', map { $_->[0] . ':' . may($role, $_->[2]) } @calls), "functions tried by $role");
	is(tries($role, map { [ $_->[0], "SELECT * FROM causaldb.$_->[0]" ] } @relations),
		join(' ', map { $_->[0] . ':' . may($role, $_->[1]) } @relations), "views and tables tried by $role");
}
is($n->run(q(SELECT string_agg(format('%s %s %s', r, c.relname, p), ', ')
	FROM pg_class c, unnest('{public,causaldb_admin,causaldb_replicator}'::name[]) r, unnest('{INSERT,UPDATE,DELETE,TRUNCATE,TRIGGER,REFERENCES}'::text[]) p
	WHERE relnamespace = 'causaldb'::regnamespace AND relkind IN ('r', 'v') AND has_table_privilege(r, c.oid, p))), '', 'nobody writes');
is($n->run(q(SELECT string_agg(format('%s %s', r, p), ', ')
	FROM unnest('{public,causaldb_admin,causaldb_replicator}'::name[]) r, unnest('{USAGE,CREATE}'::text[]) p
	WHERE has_schema_privilege(r, 'causaldb', p) AND p <> 'USAGE')), '', 'and nobody makes anything there');
is($n->run('SELECT string_agg(rolname, $$ $$) FROM pg_roles WHERE rolname ~ $$^causaldb_$$ AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication OR rolbypassrls)'),
	'', 'the roles themselves have no attribute');

done_testing();
