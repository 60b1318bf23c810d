# A dump of 1,000 pending jobs, results and corrections: restored by psql into a server that knows neither model nor engine,
# and by pg_restore -j2 into one that is at work. Nothing is lost, and nothing is read before all of it is there.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = server('origin', engine => fake_engine(), conf => "log_min_messages = warning\ndsocr.naptime = 1s");
wait_for_state($node, 'ready');
$node->safe_psql('postgres', 'CREATE DATABASE origin');
$node->safe_psql('origin', q{CREATE EXTENSION dsocr; CREATE TABLE s (id int PRIMARY KEY, scan bytea);
	INSERT INTO s SELECT g, convert_to('TEXT:' || g, 'UTF8') FROM generate_series(1, 1100) g;
	SELECT dsocr_attach('s', 'scan', backfill => false); UPDATE s SET scan = convert_to('TEXT:read before ' || id, 'UTF8') WHERE id <= 100});
is($node->safe_psql('origin', q{SELECT dsocr_wait(timeout => '3min')}), 0, 'the first 100 are read');
$node->safe_psql('origin', q{SELECT dsocr_correct(1, '{"id": 7}', 1, 'corrected by hand')});

# The database is dumped while 1,000 wait, though the watch is served: the engine is held.
faults($node, 'hold=1');
$node->safe_psql('origin', q{UPDATE s SET scan = convert_to('TEXT:' || id || ' waits', 'UTF8') WHERE id > 100});
my $jobs = $node->safe_psql('origin', q{SELECT count(*) FROM dsocr.job WHERE state IN ('queued', 'claimed')});
cmp_ok($jobs, '==', 1000, '1000 wait');

# An index that takes the time that a file gives it, on a table that has nothing to do with scans: pg_restore is at work long
# after the trigger is there.
$node->safe_psql('origin', q{CREATE TABLE notes (id int); INSERT INTO notes VALUES (1);
	CREATE FUNCTION slowly(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
		$$ BEGIN WHILE NOT pg_catalog.pg_stat_file('slowly', true) IS NULL LOOP PERFORM pg_catalog.pg_sleep(0.05); END LOOP; RETURN $1; END $$;
	CREATE INDEX notes_slowly ON notes (slowly(id))});
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", $node->connstr('origin') ], 'pg_dump, plain');
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dir/dir", $node->connstr('origin') ], 'pg_dump, directory');
no_faults($node);

# What is there however it was restored: nothing lost, nothing twice, and what was corrected is not read again.
sub all_there
{
	my ($n, $db, $what) = @_;
	is($n->safe_psql($db, q{SELECT dsocr_wait(timeout => '3min')}), 0, "$what: nothing waits");
	is($n->safe_psql($db, q{SELECT count(*) FILTER (WHERE current AND search_text = id || ' waits'), count(DISTINCT id), count(*), count(corrected_by) FROM s_scan_ocr}),
		'1000|1100|1101|1', "$what: everything that waited is read, once");
	is($n->safe_psql($db, 'SELECT count(*) FROM dsocr.failed_items'), 0, "$what: nothing is given up");
}

# ---- pg_restore -j2 into a server at work: the watch is not paused
$node->safe_psql('postgres', 'CREATE DATABASE parallel');
append_to_file($node->data_dir . '/slowly', '');
delete $ENV{PGAPPNAME}; # the tests' own, by which pg_restore would not be known
my $restore = IPC::Run::start([ 'pg_restore', '-j2', '-d', $node->connstr('parallel'), "$dir/dir" ], '>', \my $out, '2>', \my $err);
ok($node->poll_query_until('parallel', q{SELECT to_regclass('dsocr.watch') IS NOT NULL}), 'the extension is restored');
ok($node->poll_query_until('parallel', q{SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'dsocr_watch_1') AND EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%slowly%' AND application_name = 'pg_restore')}),
	'the trigger is there, and the restore goes on');
ok($node->poll_query_until('parallel', q{SELECT problem = 'pg_restore is at work' FROM dsocr.watches}), 'dsocr.watches says so');
sleep 3; # looked into more than once by now
is($node->safe_psql('parallel', q{SELECT count(*) FROM s_scan_ocr WHERE search_text LIKE '% waits'}), 0, 'nothing is read before it has come so far');
unlink $node->data_dir . '/slowly';
my $early = 0; # read while pg_restore was still there a moment later
while ($restore->pumpable)
{
	my $read = $node->safe_psql('parallel', q{SELECT count(*) FROM s_scan_ocr WHERE search_text LIKE '% waits'});
	$restore->pump_nb;
	$early = $read if $restore->pumpable;
	sleep 0.2;
}
$restore->finish;
is($early, 0, 'nothing is read before it ends');
is($restore->result(0), 0, 'pg_restore -j2 succeeds') or diag($err);
all_there($node, 'parallel', 'pg_restore -j2');

# Who restores something else there holds nobody up.
{
	local $ENV{PGAPPNAME} = 'pg_restore';
	my $another = $node->background_psql('parallel');
	$another->query_safe('SELECT 1');
	delete $ENV{PGAPPNAME};
	is($node->safe_psql('parallel', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_restore'}), 1, 'another pg_restore is at work');
	$node->safe_psql('parallel', q{INSERT INTO s VALUES (3000, 'TEXT:3000 comes')});
	is($node->safe_psql('parallel', q{SELECT dsocr_wait(timeout => '3min'); SELECT problem IS NULL FROM dsocr.watches}), "0\nt", 'a table that is served already is read on');
	$another->quit;
}

# ---- triggers before results: what pg_restore -j may do when the results are large
$node->safe_psql('postgres', 'CREATE DATABASE piecemeal');
my $list = `pg_restore -l $dir/dir`;
sub part
{
	my ($name, $wanted) = @_;
	PostgreSQL::Test::Utils::append_to_file("$dir/$name", join("\n", grep { $wanted->($_) } split /\n/, $list) . "\n");
	$node->command_ok([ 'pg_restore', '-L', "$dir/$name", '-d', $node->connstr('piecemeal'), "$dir/dir" ], "restored: $name");
}
my $results = sub { return $_[0] =~ /(TABLE DATA|CONSTRAINT|INDEX) public s_scan_ocr/ };
part('all but results', sub { return !$results->($_[0]) && $_[0] !~ /INDEX public notes/ });
is($node->safe_psql('piecemeal', q{SELECT count(*) FROM s_scan_ocr}), 0, 'the table of results is there, and is empty');
ok($node->poll_query_until('piecemeal', q{SELECT problem = 'its table of results has no unique index over key, page and version' FROM dsocr.watches}), 'dsocr.watches says that it is not whole');
ok($node->poll_query_until('piecemeal', q{SELECT count(*) = 1000 FROM dsocr.job WHERE state = 'queued'}), 'everything waits, also what was being read where it was dumped');
part('results', $results);
all_there($node, 'piecemeal', 'the results at last');
not_restarted($node);

# ---- psql, plain, into a server without model and without the preload line
my $bare = server('bare', unpreloaded => 1, conf => 'log_min_messages = warning');
$bare->safe_psql('postgres', 'CREATE DATABASE plain');
$bare->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", $bare->connstr('plain') ], 'restored by psql, without an error');
is($bare->safe_psql('plain', q{SELECT count(*) FILTER (WHERE current), count(*), count(corrected_by) FROM s_scan_ocr}), '100|101|1', 'results and corrections can be read');
is($bare->safe_psql('plain', q{SELECT key, page FROM dsocr_search('s', 'before 42')}), '{"id": 42}|1', 'and searched');
is($bare->safe_psql('plain', q{SELECT key, jsonb_array_length(highlights) FROM dsocr_search(1, 'hand')}), '{"id": 7}|1', 'corrections, too, with their boxes');
is($bare->safe_psql('plain', 'SELECT pending, failed, problem IS NULL FROM dsocr.coverage'), '1000|0|t', 'dsocr.coverage says what waits');
fails($bare, q{SELECT dsocr_text('TEXT:x')}, '55000', 'reading without the preload line', db => 'plain', hint => qr/shared_preload_libraries/);
$bare->safe_psql('plain', q{INSERT INTO s VALUES (2000, 'TEXT:2000 waits'); DELETE FROM s WHERE id = 1100; SELECT dsocr_correct(1, '{"id": 8}', 1, 'corrected there')});
is($bare->safe_psql('plain', 'SELECT pending FROM dsocr.coverage'), 1002, 'rows come and go, and are noted');
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'dsocr'\ndsocr.naptime = 1s\ndsocr.engine_path = '" . fake_engine() . "'");
$bare->restart;
wait_for_state($bare, 'ready');
is($bare->safe_psql('plain', q{SELECT dsocr_wait(timeout => '3min')}), 0, 'with model and preload line everything is read');
is($bare->safe_psql('plain', q{SELECT count(*) FILTER (WHERE current AND search_text = id || ' waits'), count(DISTINCT id), count(*), count(corrected_by) FROM s_scan_ocr}),
	'1000|1100|1102|2', 'nothing lost, nothing twice, corrections kept');
is($bare->safe_psql('plain', 'SELECT count(*) FROM dsocr.failed_items'), 0, 'nothing is given up');
$bare->stop('fast');
$node->stop('fast');
done_testing();
