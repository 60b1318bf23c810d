# Results go with their row, and follow its key, by the queue: no statement of a user's fails because of it, at any
# isolation level, and whatever he does to the row afterwards, the results are those of the row that has the key.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = server('gone', engine => fake_engine(),
	conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.retry_delay = 50ms\ndsocr.max_attempts = 2\ndeadlock_timeout = 200ms");
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub done { is(sql("SELECT dsocr_wait(timeout => '3min')"), 0, "$_[0]: nothing waits") }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT * FROM dsocr.jobs')) }

# "key:version:text" of what is current, with ! where it was corrected; then how many there are, current or not.
sub results
{
	my ($table) = @_;
	return sql(qq{SELECT string_agg(id || ':' || version || ':' || search_text || CASE WHEN corrected_by IS NULL THEN '' ELSE '!' END, ' ' ORDER BY id)
		FILTER (WHERE current), count(*) FROM ${table}_scan_ocr});
}

# A table of its own for each promise: rows 1 to n, read; row 1 corrected by hand. Gives the watch.
sub table
{
	my ($name, $n) = @_;
	sql(qq{CREATE TABLE $name (id int PRIMARY KEY, scan bytea); INSERT INTO $name SELECT g, convert_to('TEXT:old ' || g, 'UTF8') FROM generate_series(1, $n) g});
	my $w = sql(qq{SELECT dsocr_attach('$name', 'scan')});
	done("$name at first");
	sql(qq{SELECT dsocr_correct($w, '{"id": 1}', 1, 'mine 1')});
	return $w;
}

sub session
{
	my $s = $node->background_psql('postgres', on_error_stop => 0);
	$s->query_safe($_[0]);
	return $s;
}

# ---- deletions that are none, and keys that come back
my $w = table('again', 4);
my $user = session('BEGIN');
is(says($user, 'DELETE FROM again; UPDATE again SET id = 10 WHERE id = 1; ROLLBACK'), '', 'a deletion is rolled back');
$user->quit;
done('rolled back');
is(results('again'), '1:2:mine 1! 2:1:old 2 3:1:old 3 4:1:old 4|5', 'rolled back: nothing has gone');
sql(q{BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM again WHERE id < 3; DELETE FROM again WHERE id < 4; INSERT INTO again SELECT * FROM kept;
	INSERT INTO again VALUES (3, 'TEXT:new 3'); COMMIT});
done('deleted and inserted again');
is(results('again'), '1:2:mine 1! 2:1:old 2 3:2:new 3 4:1:old 4|6', 'the same documents are not read again, another one is');
sql(q{DELETE FROM again WHERE id = 4});
sql(q{INSERT INTO again VALUES (4, 'TEXT:new 4')});
done('deleted, and inserted by another transaction');
like(results('again'), qr/ 4:\d:new 4\|/, 'the new document is read');
sql(q{INSERT INTO again VALUES (5, 'TEXT:five'); DELETE FROM again WHERE id = 5; INSERT INTO again VALUES (5, 'TEXT:5'); UPDATE again SET scan = 'TEXT:V' WHERE id = 5});
done('to and fro');
like(results('again'), qr/ 5:\d:V\|/, 'the last document is read');

# ---- keys that go round
table('swap', 5);
sql(q{BEGIN; UPDATE swap SET id = -1 WHERE id = 1; UPDATE swap SET id = 1 WHERE id = 2; UPDATE swap SET id = 2 WHERE id = -1; COMMIT});
done('two keys are exchanged');
is(results('swap'), '1:1:old 2 2:2:mine 1! 3:1:old 3 4:1:old 4 5:1:old 5|6', 'results have followed');
sql(q{BEGIN; DELETE FROM swap WHERE id = 3; UPDATE swap SET id = 3 WHERE id = 2; UPDATE swap SET id = 7 WHERE id = 3; INSERT INTO swap VALUES (3, 'TEXT:new 3');
	UPDATE swap SET id = 8 WHERE id = 4; DELETE FROM swap WHERE id = 8; COMMIT});
done('from key to key');
is(results('swap'), '1:1:old 2 3:1:new 3 5:1:old 5 7:2:mine 1!|5', 'results of a row go with it, and nobody else has them');
sql(q{UPDATE swap SET id = id + 100});
done('all keys');
is(results('swap'), '101:1:old 2 103:1:new 3 105:1:old 5 107:2:mine 1!|5', 'all keys change');

# ---- a partition
sql(q{CREATE TABLE parts (id int, region text, scan bytea, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
	CREATE TABLE parts_n PARTITION OF parts FOR VALUES IN ('n'); CREATE TABLE parts_s PARTITION OF parts FOR VALUES IN ('s');
	INSERT INTO parts SELECT g, 'n', convert_to('TEXT:old ' || g, 'UTF8') FROM generate_series(1, 4) g});
$w = sql(q{SELECT dsocr_attach('parts', 'scan')});
done('partitions');
sql(qq{SELECT dsocr_correct($w, '{"id": 1, "region": "n"}', 1, 'mine 1')});
sql(q{UPDATE parts SET region = 's', id = id + 10 WHERE id IN (1, 2); DELETE FROM parts_n WHERE id = 3});
done('rows go to another partition');
is(results('parts'), '4:1:old 4 11:2:mine 1! 12:1:old 2|4', 'results go with their rows, corrections and all');
is(sql(q{SELECT string_agg(region, '' ORDER BY id) FROM parts_scan_ocr WHERE current}), 'nss', 'under their new keys');
sql(q{INSERT INTO parts VALUES (6, 'n', 'TEXT:six')});
done('one more');
sql(q{CREATE SCHEMA hostile; SET search_path = hostile, pg_catalog, public;
	CREATE FUNCTION same(tid, tid) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'gotcha'; END$$; CREATE OPERATOR = (LEFTARG = tid, RIGHTARG = tid, FUNCTION = hostile.same);
	CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'gotcha'; END$$; CREATE OPERATOR = (LEFTARG = int, RIGHTARG = int, FUNCTION = hostile.same);
	CREATE FUNCTION same(bigint, bigint) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'gotcha'; END$$; CREATE OPERATOR = (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.same);
	UPDATE parts SET region = 's' WHERE id OPERATOR(pg_catalog.=) 6; DELETE FROM parts WHERE id OPERATOR(pg_catalog.=) 6});
done('hostile operators');
sql(q{CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER no BEFORE INSERT ON parts_s FOR EACH ROW EXECUTE FUNCTION no();
	DO $$BEGIN UPDATE parts SET region = 's' WHERE id = 4; DROP TRIGGER no ON parts_s; INSERT INTO parts VALUES (5, 's', 'TEXT:five'); END$$});
done('a row that does not arrive');
is(results('parts'), '5:1:five 11:2:mine 1! 12:1:old 2|4', 'it was deleted, and the next one is not taken for it');
sql(q{TRUNCATE parts});
done('TRUNCATE of a partitioned table');
is(results('parts'), '|0', 'TRUNCATE leaves nothing behind');

# ---- TRUNCATE
table('emptied', 3);
sql(q{BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM emptied WHERE id < 3; TRUNCATE emptied; INSERT INTO emptied SELECT * FROM kept; COMMIT});
done('TRUNCATE and filled again');
is(results('emptied'), '1:2:mine 1! 2:1:old 2|3', 'documents that are there again are not read again; the others are gone');

# ---- who may not do anything else, and what was given up
table('by_role', 3);
sql(q{CREATE ROLE deleter; GRANT SELECT, DELETE, TRUNCATE ON by_role TO deleter; INSERT INTO by_role VALUES (4, 'FAKE:error=bad_input;')});
until_true(q{SELECT count(*) = 1 FROM dsocr.failed_items}, 'a document is given up');
sql(q{SET ROLE deleter; DELETE FROM by_role WHERE id IN (1, 4)});
done('a role with DELETE alone');
is(results('by_role'), '2:1:old 2 3:1:old 3|2', 'it deletes');
is(sql('SELECT count(*) FROM dsocr.failed_items'), 0, 'and what was given up of the row is forgotten');
sql(q{SET ROLE deleter; TRUNCATE by_role});
done('a role with TRUNCATE');
is(results('by_role'), '|0', 'and empties');

# ---- a search, while the queue is held up
my $search = q{SELECT string_agg(key->>'id' || ':' || snippet, ' ' ORDER BY key) FROM dsocr_search('held', 'old or mine')};
$w = table('held', 4);
my @before = map { session("BEGIN ISOLATION LEVEL $_; SELECT count(*) FROM held") } 'REPEATABLE READ', 'SERIALIZABLE';
$user = session(q{BEGIN; UPDATE held_scan_ocr SET status = status});
sql(q{DELETE FROM held WHERE id IN (1, 2); UPDATE held SET id = 30 WHERE id = 3});
until_true(qq{SELECT error_message LIKE '%lock timeout%' FROM dsocr.jobs WHERE watch = $w AND state = 'gone' AND key->>'id' = '1'}, 'results cannot be deleted now');
is(results('held'), '1:2:mine 1! 2:1:old 2 3:1:old 3 4:1:old 4|5', 'and are still there');
is(sql($search), '4:[old] 30:[old]', 'a search shows nothing of rows that are gone, and keys as they are');
is($_->query_safe($search), '1:[mine] 2:[old] 3:[old] 4:[old]', 'one with an older snapshot shows what was there then') for @before;
sql(qq{SELECT dsocr_pause($w); DELETE FROM held WHERE id = 4});
is(sql($search), '30:[old]', 'so it is while the watch is paused');
sql(qq{SELECT dsocr_resume($w)});
$_->quit for @before, $user;
done('a search');
is(sql($search), '30:[old]', 'and when the queue has followed');

# ---- results that are locked, or refuse; no engine; paused
$w = table('locked', 4);
$user = session(q{BEGIN; UPDATE locked_scan_ocr SET status = status WHERE id = 2});
sql(q{DELETE FROM locked WHERE id = 1; UPDATE locked SET id = 20 WHERE id = 2; DELETE FROM locked WHERE id = 3; INSERT INTO locked VALUES (2, 'TEXT:new 2')});
until_true(q{SELECT string_agg(id::text, ',' ORDER BY id) = '2,4' FROM locked_scan_ocr WHERE current}, 'a result that is locked keeps no other waiting');
until_true(qq{SELECT error_message LIKE '%lock timeout%' FROM dsocr.jobs WHERE watch = $w AND state = 'gone' AND key->>'id' = '2'}, 'dsocr.jobs says what is waited for');
is(sql(qq{SELECT count(*) FROM dsocr.jobs WHERE watch = $w AND state = 'queued'}), 2, 'neither of its keys is read meanwhile');
is(sql(qq{SELECT count(*) FROM (SELECT dsocr_cancel(job) AS c FROM dsocr.jobs WHERE state = 'gone') c WHERE c}), 0, 'such a note cannot be cancelled');
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", $node->connstr('postgres') ], 'pg_dump with a note');
$user->quit;
done('no longer locked');
is(results('locked'), '2:1:new 2 4:1:old 4 20:1:old 2|3', 'results have followed');
sql('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", $node->connstr('copy') ], 'restore by psql');
is($node->safe_psql('copy', q{SELECT dsocr_wait(timeout => '3min'); SELECT string_agg(id || ':' || search_text, ' ' ORDER BY id) FROM locked_scan_ocr WHERE current}),
	"0\n2:new 2 4:old 4 20:old 2", 'and do so where the dump was restored');

sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not today'; END$$;
	CREATE TRIGGER refuse BEFORE DELETE ON locked_scan_ocr FOR EACH ROW EXECUTE FUNCTION refuse(); DELETE FROM locked WHERE id = 20});
until_true(qq{SELECT attempts > 3 AND error_message = 'not today' FROM dsocr.jobs WHERE watch = $w}, "a user's trigger refuses: dsocr.jobs says how, and it is never given up");
sql('DROP TRIGGER refuse ON locked_scan_ocr');
done('the trigger is gone');
is(results('locked'), '2:1:new 2 4:1:old 4|2', 'and so are the results');

faults($node, 'state=failed');
sql(qq{SELECT dsocr_pause($w)});
sql('DELETE FROM locked WHERE id = 4');
until_true('SELECT count(*) = 1 FROM locked_scan_ocr', 'results go without an engine, and while the watch is paused');
no_faults($node);
sql(qq{BEGIN; DELETE FROM locked; SELECT dsocr_detach($w); COMMIT; INSERT INTO locked VALUES (9, 'TEXT:9'); TRUNCATE locked});
is(sql('SELECT count(*) FROM dsocr.job'), 0, 'after dsocr_detach nothing is noted');
is(results('locked'), '2:1:new 2|1', 'and results stay');

not_restarted($node);
$node->stop('fast');
done_testing();
