# A dump carries what is watched and what waits; it is read where it is restored, and not before all of it is there.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = server('dump', engine => fake_engine(), conf => "log_min_messages = warning\ndsocr.naptime = 1s");
wait_for_state($node, 'ready');
$node->safe_psql('postgres', q{CREATE DATABASE origin; CREATE ROLE keeper; CREATE ROLE reader; CREATE DATABASE plain; CREATE DATABASE parallel});
$node->safe_psql('origin', q{CREATE EXTENSION dsocr; SELECT dsocr_grant('reader');
	CREATE TABLE s (id int PRIMARY KEY, scan bytea); ALTER TABLE s OWNER TO keeper; GRANT ALL ON SCHEMA public TO keeper;
	INSERT INTO s SELECT g, convert_to('TEXT:' || g, 'UTF8') FROM generate_series(1, 1100) g;
	SELECT dsocr_attach('s', 'scan', backfill => false);
	UPDATE s SET scan = 'TEXT:read before' WHERE id <= 100});
is($node->safe_psql('origin', q{SELECT dsocr_wait(timeout => '3min')}), 0, 'the first 100 are read');
$node->safe_psql('origin', q{SELECT dsocr_pause(1); UPDATE s SET scan = convert_to('TEXT:' || id || ' waits', 'UTF8') WHERE id > 100;
	SELECT dsocr_submit('TEXT:submitted')});
is($node->safe_psql('origin', q{SELECT count(*) FROM dsocr.job WHERE watch = 1}), 1000, '1000 wait');

my $dir = PostgreSQL::Test::Utils::tempdir();
$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", $node->connstr('origin') ], 'pg_dump, plain');
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dir/dir", $node->connstr('origin') ], 'pg_dump, directory');

sub restored
{
	my ($db) = @_;
	is($node->safe_psql($db, 'SELECT count(*), count(*) FILTER (WHERE current) FROM s_scan_ocr'), '100|100', "$db: results are there");
	ok($node->poll_query_until($db, 'SELECT paused AND problem IS NULL FROM dsocr.watches'), "$db: so is the watch"); # half restored it has one
	is($node->safe_psql($db, q{SELECT tgenabled FROM pg_trigger WHERE tgrelid = 's'::regclass AND tgname = 'dsocr_watch_1'}), 'A', "$db: and its trigger, always enabled");
	$node->safe_psql($db, 'SELECT dsocr_resume(1)');
	is($node->safe_psql($db, q{SELECT dsocr_wait(timeout => '3min'); SELECT count(*) FILTER (WHERE current AND search_text = id || ' waits'), count(*),
		(SELECT count(*) FROM dsocr.failed_items) FROM s_scan_ocr}), "0\n1000|1100|0", "$db: everything that waited is read once");
	is($node->safe_psql($db, q{SELECT relowner::regrole FROM pg_class WHERE oid = 's_scan_ocr'::regclass}), 'keeper', "$db: results are the owner's");
	is($node->safe_psql($db, q{SELECT has_function_privilege('reader', 'dsocr_text(bytea,text,jsonb)', 'EXECUTE'), has_table_privilege('reader', 'dsocr.jobs', 'SELECT'),
		has_schema_privilege('reader', 'dsocr', 'USAGE')}), 't|t|t', "$db: grants are there");
	$node->safe_psql($db, q{INSERT INTO s VALUES (2000, 'TEXT:after')});
	is($node->safe_psql($db, q{SELECT dsocr_wait(timeout => '3min'); SELECT search_text FROM s_scan_ocr WHERE id = 2000}), "0\nafter", "$db: new rows are read, and numbers go on");
	is($node->safe_psql($db, q{SELECT result->'document'->>'text' FROM dsocr.inbox}), 'submitted', "$db: submitted documents, too");
}

$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", $node->connstr('plain') ], 'restore by psql');
restored('plain');
$node->command_ok([ 'pg_restore', '-j2', '-d', $node->connstr('parallel'), "$dir/dir" ], 'pg_restore -j2');
restored('parallel');

# Not paused: jobs are there before their sources and triggers are, and are not touched until then.
$node->safe_psql('origin', q{SELECT dsocr_pause(1); UPDATE s SET scan = convert_to('TEXT:' || id || ' again', 'UTF8') WHERE id > 100;
	ALTER TABLE s DISABLE TRIGGER dsocr_watch_1; SELECT dsocr_resume(1)});
ok($node->poll_query_until('origin', q{SELECT problem = 'its trigger is disabled' FROM dsocr.watches}), 'a watch whose trigger is disabled is not served');
$node->safe_psql('postgres', 'CREATE DATABASE running');
system_or_bail('pg_dump', '-Fd', '-f', "$dir/running", $node->connstr('origin'));
system_or_bail('pg_restore', '--section=pre-data', '-d', $node->connstr('running'), "$dir/running");
system_or_bail('pg_restore', '--section=data', '-d', $node->connstr('running'), "$dir/running");
sleep 3; # looked into more than once by now
my $waiting = $node->safe_psql('running', q{SELECT count(*) FROM dsocr.job WHERE state = 'queued'});
cmp_ok($waiting, '>=', 1000, 'without triggers nothing is read');
system_or_bail('pg_restore', '--section=post-data', '-d', $node->connstr('running'), "$dir/running");
$node->safe_psql('running', 'ALTER TABLE s ENABLE ALWAYS TRIGGER dsocr_watch_1');
is($node->safe_psql('running', q{SELECT dsocr_wait(timeout => '3min'); SELECT count(*) FROM s_scan_ocr WHERE current AND search_text = id || ' again'}), "0\n1000", 'with them all is');

# ---- who attached a table or submitted a document may have another name by then, or be unknown where that is restored
$node->safe_psql('postgres', q{CREATE DATABASE left_behind; CREATE DATABASE elsewhere; CREATE ROLE leaver SUPERUSER; CREATE ROLE "o'ld"});
$node->safe_psql('left_behind', q{CREATE EXTENSION dsocr; SELECT dsocr_grant('o''ld', 'read'); SET ROLE leaver; CREATE TABLE s (id int PRIMARY KEY, scan bytea);
	SELECT dsocr_attach('s', 'scan'); SELECT dsocr_pause(1); INSERT INTO s VALUES (1, 'TEXT:kept'); ALTER TABLE s OWNER TO keeper; ALTER TABLE s_scan_ocr OWNER TO keeper});
my ($lost, $kept) = map { $node->safe_psql('left_behind', "SET ROLE $_; SELECT dsocr_submit('TEXT:of a role')") } 'leaver', q{"o'ld"};
ok($node->poll_query_until('left_behind', 'SELECT count(result) = 2 FROM dsocr.inbox'), 'two roles have submitted');
$node->safe_psql('postgres', q{ALTER ROLE "o'ld" RENAME TO "n""ew"});
is($node->safe_psql('left_behind', qq{SET ROLE "n""ew"; SELECT dsocr_result($kept) IS NOT NULL}), 't', 'a role that is renamed has its results');
ok($node->poll_query_until('left_behind', qq{SELECT role_name = 'n"ew' FROM dsocr.inbox WHERE job = $kept}), 'and is dumped by the name it has');
system_or_bail('pg_dump', '-f', "$dir/left_behind.sql", $node->connstr('left_behind'));
$node->safe_psql('postgres', 'DROP ROLE leaver');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/left_behind.sql", $node->connstr('elsewhere') ], 'restored where a role is missing');
is($node->safe_psql('elsewhere', q{SELECT attached_by_name, attached_by IS NULL FROM dsocr.watch}), 'leaver|t', 'what is watched is there');
is($node->safe_psql('elsewhere', qq{SET ROLE "n""ew"; SELECT dsocr_result($kept) IS NOT NULL}), 't', 'the others have theirs');
fails($node, qq{SET ROLE "n""ew"; SELECT dsocr_result($lost)}, '42704', 'what nobody has submitted is nobody\'s', db => 'elsewhere');
is($node->safe_psql('elsewhere', q{SELECT dsocr_resume(1); SELECT dsocr_wait(1, '3min'); SELECT search_text FROM s_scan_ocr}), "\n0\nkept", 'and what waited is read');
is($node->safe_psql('elsewhere', q{DROP TABLE s CASCADE; SELECT problem IS NOT DISTINCT FROM NULL OR problem <> '' FROM dsocr.watches; SELECT dsocr_detach(1)}), "t\n", 'without its table a superuser sees it, and may detach it');

# ---- what it costs: an UPDATE of another column touches nothing of the document in TOAST
$node->safe_psql('origin', q{CREATE TABLE big (id int PRIMARY KEY, title text, scan bytea); ALTER TABLE big ALTER scan SET STORAGE EXTERNAL;
	INSERT INTO big SELECT g, '', convert_to(repeat('x', 1000000), 'UTF8') FROM generate_series(1, 20) g; SELECT dsocr_attach('big', 'scan', backfill => false)});
my $touched = q{SELECT coalesce(toast_blks_read + toast_blks_hit, 0) FROM pg_statio_user_tables WHERE relname = 'big'};
sub touched { $node->safe_psql('origin', 'SELECT pg_stat_force_next_flush()'); return $node->safe_psql('origin', $touched) }
my $before = touched();
$node->safe_psql('origin', q{UPDATE big SET title = 'new'; SELECT pg_stat_force_next_flush()});
is(touched() - $before, 0, 'an UPDATE of another column touches no TOAST block');
is($node->safe_psql('origin', q{SELECT count(*) FROM dsocr.job j JOIN dsocr.watch w ON w.id = j.watch WHERE w.source_table = 'big'}), 0, 'and asks for nothing');
$node->stop('fast');
done_testing();
