# Claim: a change of a peer runs the code of users (checks of domains, defaults,
# triggers, index expressions) as the owner of the table and as nobody else; a
# TRUNCATE of tables that refer to each other arrives; and a peer that sends
# nonsense fails its own link and nothing else.
use CausaldbTest;

my @nodes = new_cluster(2, links => 1, conf => { 'causaldb.stall_retry_max' => '300ms' }, before => q(
	CREATE ROLE plain LOGIN;
	CREATE TABLE ran (what text, who name);
	GRANT ALL ON ran TO PUBLIC;
	CREATE SCHEMA own AUTHORIZATION plain;
	SET SESSION AUTHORIZATION plain;
	SET search_path = own, public;
	CREATE FUNCTION note(what text) RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.ran VALUES (what, current_user);
		RETURN true;
	END
	$$;
	-- a lie, as of somebody who wants his code to be run early
	CREATE FUNCTION index_note(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		PERFORM own.note('index');
		RETURN $1;
	END
	$$;
	CREATE FUNCTION row_note() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM own.note(TG_NAME);
		RETURN NULL;
	END
	$$;
	CREATE DOMAIN positive AS int CHECK (own.note('domain') AND value > 0);
	CREATE TABLE guarded (id int PRIMARY KEY, n positive, k positive,
		here bool DEFAULT own.note('default'), folded int DEFAULT own.index_note(1));
	CREATE INDEX ON guarded (own.index_note(id));
	CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON guarded DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION row_note();
	CREATE TRIGGER emptied AFTER TRUNCATE ON guarded FOR EACH STATEMENT EXECUTE FUNCTION row_note();
	ALTER TABLE guarded ENABLE ALWAYS TRIGGER deferred;
	ALTER TABLE guarded ENABLE ALWAYS TRIGGER emptied;
	CREATE TABLE domain_key (id positive PRIMARY KEY, a text);
	RESET SESSION AUTHORIZATION;
	RESET search_path;
	CREATE TABLE parent (id int PRIMARY KEY, a text);
	CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
));
my ($n1, $n2) = @nodes;

$n1->run("SELECT causaldb.set_consistency('own.guarded', 'eventual', '{id,n,k}');
	SELECT causaldb.set_consistency('own.domain_key', 'eventual');
	SELECT causaldb.set_consistency('parent', 'eventual');
	SELECT causaldb.set_consistency('child', 'eventual')");
converge(@nodes);

# ------------------------------------------------------------ the owner's rights
$_->run('TRUNCATE ran') foreach @nodes;
$n1->run('SET SESSION AUTHORIZATION plain;
	INSERT INTO own.guarded VALUES (1, 1, 1);
	UPDATE own.guarded SET n = 2;
	INSERT INTO own.domain_key VALUES (1);
	UPDATE own.domain_key SET a = $$x$$;
	TRUNCATE own.guarded');
converge(@nodes);
is($n2->run('SELECT DISTINCT who FROM ran'), 'plain', 'code of users runs as the owner of the table');
foreach my $what (qw(domain default index deferred emptied))
{
	is($n2->run("SELECT count(*) > 0 FROM ran WHERE what = '$what'"), 't', "$what: it did run");
}

# keys of a table in the log are read while a change of another owner is applied
$_->run('TRUNCATE ran') foreach @nodes;
link_between($n1, $n2)->hold($n2 => $n1);
$n2->run('SET SESSION AUTHORIZATION plain; INSERT INTO own.domain_key VALUES (2)');
$n1->run("INSERT INTO parent VALUES (0, 'not having seen it')");
$n2->wait_sql('SELECT count(*) FROM parent', 1);
link_between($n1, $n2)->pass($n2 => $n1);
is($n2->run('SELECT DISTINCT who FROM ran'), 'plain', 'also where its rows are only looked at');
$n1->run('DELETE FROM parent');
converge(@nodes);

# ------------------------------------------------------------ foreign keys
$n1->run("INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1, 1), (2, 2)");
converge(@nodes);
$n1->run('TRUNCATE parent, child');
converge(@nodes);
is($n2->run('SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)'), '0|0', 'TRUNCATE parent, child arrives');
$n2->run("INSERT INTO parent VALUES (3, 'c'); INSERT INTO child VALUES (3, 3)");
converge(@nodes);
$n2->run('TRUNCATE parent CASCADE');
converge(@nodes);
is($n1->run('SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)'), '0|0', 'TRUNCATE parent CASCADE arrives');
$n1->run("INSERT INTO parent VALUES (4, repeat('long', 1000)); INSERT INTO child VALUES (4, 4)");
converge(@nodes);
same_table($_, @nodes) foreach qw(parent child);
is($n2->run('SET enable_seqscan = off; SELECT length(a) FROM parent WHERE id = 4'), 4000, 'and the tables are whole');

# ------------------------------------------------------------ a bad descriptor
my $worker = "SELECT pid FROM pg_stat_activity WHERE application_name = 'causaldb apply'";
my $pid = $n2->run($worker);
$n1->run("ALTER SYSTEM SET causaldb.break = 'bad_descriptor'");
$n1->run('SELECT pg_reload_conf()');
$n1->run("CREATE TABLE late (id int PRIMARY KEY)");
$n2->run("CREATE TABLE late (id int PRIMARY KEY)");
$n1->run("SELECT causaldb.set_consistency('late', 'eventual'); INSERT INTO late VALUES (1)");
$n1->wait_sql("SELECT COALESCE(bool_or(error LIKE '%descriptor%malformed%'), false) FROM causaldb.peers");
pass('the link of a bad descriptor fails');
is($n2->run($worker), $pid, 'the apply worker goes on');
$n1->run('ALTER SYSTEM RESET causaldb.break');
$n1->run('SELECT pg_reload_conf()');
converge(@nodes);
is($n2->run('SELECT count(*) FROM late'), 1, 'the link heals by itself');

done_testing();
