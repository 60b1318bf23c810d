# What a watch needs goes away, or refuses: each time a view says what is the matter, nothing is lost, and it goes on
# when the cause has been mended.
use strict;
use warnings;
use Dsocr;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = server('mishaps', engine => fake_engine(),
	conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.retry_delay = 50ms\ndsocr.max_attempts = 3");
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub all_read { is(sql("SELECT dsocr_wait($_[0], '3min')"), 0, "$_[1]: all is read") }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT * FROM dsocr.watches; SELECT * FROM dsocr.job')) }
sub problem { until_true("SELECT problem = '$_[1]' FROM dsocr.coverage WHERE watch = $_[0]", "dsocr.coverage says: $_[1]") }

# A table of its own for each mishap. Gives the watch.
sub table
{
	my ($name, $options) = @_;
	sql(qq{CREATE TABLE $name (id int PRIMARY KEY, other text, scan bytea); INSERT INTO $name VALUES (1, '', 'TEXT:first')});
	my $w = sql(qq{SELECT dsocr_attach('$name', 'scan')});
	all_read($w, "$name at first");
	return $w;
}

# While something is being read, this is done; what came of it is seen to afterwards.
sub while_reading
{
	my ($name, $w, $do) = @_;
	faults($node, 'hold=1');
	sql(qq{INSERT INTO $name SELECT g, '', convert_to('TEXT:late ' || g, 'UTF8') FROM generate_series(2, 4) g});
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM dsocr.jobs WHERE state = 'claimed' AND watch = $w");
	sql($do);
	no_faults($node);
}

# ---- renamed: table, schema, column
my $w = table('renamed');
while_reading('renamed', $w, 'ALTER TABLE renamed RENAME TO "re named"');
all_read($w, 'the table is renamed while it is read');
is(sql('SELECT count(*) FROM renamed_scan_ocr WHERE current'), 4, 'a renamed table is read on');
sql('CREATE SCHEMA elsewhere; ALTER TABLE "re named" SET SCHEMA elsewhere');
sql(q{INSERT INTO elsewhere."re named" VALUES (5, '', 'TEXT:moved')});
all_read($w, 'the table is in another schema');
sql('ALTER SCHEMA elsewhere RENAME TO "else where"');
sql(q{INSERT INTO "else where"."re named" VALUES (6, '', 'TEXT:moved again')});
all_read($w, 'its schema is renamed');
is(sql('SELECT count(*) FROM renamed_scan_ocr WHERE current'), 6, 'a table is found in any schema');

$w = table('key_column');
while_reading('key_column', $w, 'ALTER TABLE key_column RENAME id TO number');
problem($w, 'a column of its key does not exist');
is(sql("SELECT pending FROM dsocr.coverage WHERE watch = $w"), 3, 'what was being read waits');
sql('ALTER TABLE key_column RENAME number TO id');
all_read($w, 'the key has its name back');
is(sql('SELECT count(*) FROM key_column_scan_ocr WHERE current'), 4, 'and nothing is lost');

$w = table('twins');
while_reading('twins', $w, 'ALTER TABLE twins DROP CONSTRAINT twins_pkey');
problem($w, 'its key is no longer unique');
sql(q{INSERT INTO twins VALUES (1, '', 'TEXT:twin'), (5, '', 'TEXT:fifth')});
is(sql("SELECT count(DISTINCT key) FILTER (WHERE key IN ('{1}', '{5}')), count(failed_at) FROM dsocr.job WHERE watch = $w"), '2|0', 'what has come since waits');
sql(q{DELETE FROM twins WHERE scan = 'TEXT:twin'; CREATE UNIQUE INDEX ON twins (id) INCLUDE (other)});
all_read($w, 'the key is unique again');
is(sql(q{SELECT string_agg(search_text, ',' ORDER BY id) FROM twins_scan_ocr WHERE current}), 'first,late 2,late 3,late 4,fifth', 'and results are those of their rows');

$w = table('wider');
while_reading('wider', $w, 'ALTER TABLE wider ALTER id TYPE bigint');
problem($w, 'a column of its key has another type than in its results');
sql(q{INSERT INTO wider VALUES (4294967297, '', 'TEXT:beyond')}); # 1, to whom takes it for an int
is(sql("SELECT pending > 0, failed FROM dsocr.coverage WHERE watch = $w"), 't|0', 'what has come since waits');
sql('ALTER TABLE wider_scan_ocr ALTER id TYPE bigint');
all_read($w, 'results have the type, too');
is(sql(q{SELECT string_agg(id || ':' || search_text, ',' ORDER BY id) FROM wider_scan_ocr WHERE current}), '1:first,2:late 2,3:late 3,4:late 4,4294967297:beyond', 'and are those of their rows');

# ---- dropped: column, table, table of results
$w = table('dropped_column');
while_reading('dropped_column', $w, 'ALTER TABLE dropped_column DROP scan');
problem($w, 'its column does not exist');
sql(qq{ALTER TABLE dropped_column ADD scan bytea; UPDATE dropped_column SET scan = 'TEXT:again'});
all_read($w, 'the column is there again');
is(sql(q{SELECT count(*) FROM dropped_column_scan_ocr WHERE current AND search_text = 'again'}), 4, 'and is read');

$w = table('retyped');
while_reading('retyped', $w, 'ALTER TABLE retyped ALTER scan TYPE int USING id');
sql('UPDATE retyped SET scan = scan + 1'); # an int taken for an address would be the end of the worker, and of the cluster
problem($w, 'its column is not bytea');
sql(q{ALTER TABLE retyped ALTER scan TYPE text; UPDATE retyped SET scan = 'text' WHERE id = 1; CREATE DOMAIN picture AS bytea});
is(sql("SELECT count(DISTINCT key), count(failed_at) FROM dsocr.job WHERE watch = $w"), '4|0', 'what is no scan waits');
sql(q{ALTER TABLE retyped ALTER scan TYPE picture USING convert_to('TEXT:typed ' || id, 'UTF8')});
all_read($w, 'the column is bytea again');
is(sql(q{SELECT string_agg(search_text, ',' ORDER BY id) FROM retyped_scan_ocr WHERE current}), 'typed 1,typed 2,typed 3,typed 4', 'and is read as it is now');

$w = table('dropped_table');
while_reading('dropped_table', $w, 'DROP TABLE dropped_table CASCADE');
problem($w, 'its table does not exist');
is(sql('SELECT count(*) FROM dropped_table_scan_ocr'), 1, 'its results are kept');
sql("SELECT dsocr_detach($w, true)");
is(sql("SELECT (SELECT count(*) FROM dsocr.job WHERE watch = $w), to_regclass('dropped_table_scan_ocr') IS NULL"), '0|t', 'and it can be detached');

$w = table('lost_results');
while_reading('lost_results', $w, 'DROP TABLE lost_results_scan_ocr');
problem($w, 'its table of results does not exist');
is(sql("SELECT pending, failed FROM dsocr.coverage WHERE watch = $w"), '3|0', 'what was being read waits, and is no failure');
sql("SELECT dsocr_detach($w)");
$w = sql(q{SELECT dsocr_attach('lost_results', 'scan')});
all_read($w, 'attached again');
is(sql('SELECT count(*) FROM lost_results_scan_ocr WHERE current'), 4, 'and nothing is lost');

# ---- emptied
$w = table('emptied');
while_reading('emptied', $w, 'TRUNCATE emptied');
all_read($w, 'TRUNCATE');
is(sql("SELECT (SELECT count(*) FROM emptied_scan_ocr), pending, failed FROM dsocr.coverage WHERE watch = $w"), '0|0|0', 'TRUNCATE leaves nothing behind');

# ---- results that are refused: by a constraint, a trigger
$w = table('refused');
sql(q{ALTER TABLE refused_scan_ocr ADD box_no int DEFAULT 7, ADD CHECK (search_text <> 'forbidden')});
sql(q{INSERT INTO refused VALUES (2, '', 'TEXT:forbidden'), (3, '', 'TEXT:allowed')});
until_true("SELECT failed = 1 AND pending = 0 FROM dsocr.coverage WHERE watch = $w", 'a constraint refuses one');
like(sql("SELECT error_code || ' ' || error_message FROM dsocr.failed_items WHERE watch = $w"), qr/^store_failed .*check constraint/, 'dsocr.failed_items names it');
is(sql('SELECT search_text, box_no FROM refused_scan_ocr WHERE id = 3'), 'allowed|7', "its neighbour is stored, with the user's own column");
sql('ALTER TABLE refused_scan_ocr DROP CONSTRAINT refused_scan_ocr_search_text_check');
sql("SELECT dsocr_retry($w)");
all_read($w, 'the constraint is gone');
is(sql('SELECT search_text FROM refused_scan_ocr WHERE id = 2 AND current'), 'forbidden', 'and the result is stored');
sql(q{CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'P0099'; END$$;
	CREATE TRIGGER no BEFORE INSERT ON refused_scan_ocr FOR EACH ROW EXECUTE FUNCTION no(); INSERT INTO refused VALUES (4, '', 'TEXT:tomorrow')});
until_true("SELECT error_message = 'not today' FROM dsocr.failed_items WHERE watch = $w", 'a trigger refuses one, and dsocr.failed_items says how');
sql(qq{DROP TRIGGER no ON refused_scan_ocr; SELECT dsocr_retry($w)});
all_read($w, 'the trigger is gone');
is(sql('SELECT search_text FROM refused_scan_ocr WHERE id = 4 AND current'), 'tomorrow', 'and the result is stored');

# ---- a claim that nobody holds: a restore brings it while the worker is at work
$w = table('restored');
faults($node, 'hold=1');
sql(q{INSERT INTO restored VALUES (2, '', 'TEXT:second')});
until_true("SELECT count(*) > 0 FROM dsocr.jobs WHERE state = 'claimed' AND watch = $w", 'the worker is at work');
sql("UPDATE restored_scan_ocr SET search_text = 'not yet' WHERE id = 1; INSERT INTO dsocr.job (watch, key, force, state, token) VALUES ($w, '{1}', true, 'claimed', 42)");
until_true(q{SELECT NOT EXISTS (SELECT FROM dsocr.job WHERE token = 42)}, 'a claim that nobody holds is given back');
no_faults($node);
all_read($w, 'it is queued again');
is(sql('SELECT search_text FROM restored_scan_ocr WHERE id = 1 AND current'), 'first', 'and read');

# ---- no engine for a long time: more often than dsocr.max_attempts
$w = table('no_engine');
faults($node, 'state=failed');
ok($node->poll_query_until('postgres', q{SELECT dsocr_status()->>'state' = 'no_model'}), 'the engine has no model');
sql(q{INSERT INTO no_engine SELECT g, '', convert_to('TEXT:' || g, 'UTF8') FROM generate_series(2, 30) g});
sleep 4;
is(sql("SELECT pending, failed FROM dsocr.coverage WHERE watch = $w"), '29|0', 'without an engine everything waits');
no_faults($node);
all_read($w, 'the engine is back');
is(sql('SELECT count(*) FROM no_engine_scan_ocr WHERE current'), 30, 'and nothing is lost');

# ---- a partition that is attached later, with rows
sql(q{CREATE TABLE parts (id int, region text, scan bytea, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
	CREATE TABLE parts_n PARTITION OF parts FOR VALUES IN ('n')});
$w = sql(q{SELECT dsocr_attach('parts', 'scan')});
sql(q{CREATE TABLE parts_s (LIKE parts INCLUDING ALL); INSERT INTO parts_s VALUES (1, 's', 'TEXT:south'); ALTER TABLE parts ATTACH PARTITION parts_s FOR VALUES IN ('s');
	INSERT INTO parts_s VALUES (2, 's', 'TEXT:direct'); INSERT INTO parts VALUES (1, 'n', 'TEXT:north')});
all_read($w, 'a partition is attached');
is(sql(q{SELECT string_agg(search_text, ',' ORDER BY search_text) FROM parts_scan_ocr}), 'direct,north', 'what comes after that is read');
is(sql("SELECT dsocr_reprocess($w, 'missing')"), 1, 'what it had before is missing');
all_read($w, 'what was missing');
is(sql(q{SELECT string_agg(search_text, ',' ORDER BY search_text) FROM parts_scan_ocr}), 'direct,north,south', 'and is read when asked for');
sql(q{UPDATE parts SET region = 'n', id = 9 WHERE region = 's' AND id = 2});
all_read($w, 'a row goes to another partition');
is(sql(q{SELECT string_agg(region || id, ',') FROM parts_scan_ocr WHERE search_text = 'direct' AND current}), 'n9', 'its results go with it');

not_restarted($node);
$node->stop('fast');
done_testing();
