# Tables that read themselves: attached, written to, read, and nobody's statement fails because of it.
use strict;
use warnings;
use Dsocr;
use Test::More;
use Time::HiRes qw(sleep);

my $node = server('queue', engine => fake_engine());
wait_for_state($node, 'ready');
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dsocr launcher'"),
	1, 'the launcher is seen in pg_stat_activity');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub waits
{
	my ($watch, $promise) = @_;
	is(sql("SELECT dsocr_wait($watch, '3min')"), 0, "$promise: all is read");
}

# ---- attach, insert, read
sql(q{CREATE TABLE archive (id int PRIMARY KEY, title text, scan bytea);
	INSERT INTO archive SELECT g, 'old', convert_to('TEXT:already there ' || g, 'UTF8') FROM generate_series(1, 5) g;
	INSERT INTO archive VALUES (6, 'nothing', NULL)});
is(sql(q{SELECT dsocr_attach('archive', 'scan')}), 1, 'attach gives the number of the watch');
like(sql(q{SELECT col_description('archive_scan_ocr'::regclass, attnum) FROM pg_attribute WHERE attrelid = 'archive_scan_ocr'::regclass AND attname = 'current'}), qr/is searched/, 'columns of results say what they are');
waits(1, 'rows that were there');
is(sql(q{SELECT string_agg(search_text, ',' ORDER BY id) FROM archive_scan_ocr WHERE current}),
	join(',', map { "already there $_" } 1 .. 5), 'rows that were there are read; a NULL is not');
is(sql('SELECT backfill FROM dsocr.watches'), 'f', 'the backfill has ended');
sql(q{INSERT INTO archive VALUES (7, 'new', 'TEXT:fresh words')});
waits(1, 'a new row');
is(sql(q{SELECT id, page, version, current, status, model, result->>'text' FROM archive_scan_ocr WHERE tsv @@ 'fresh'}),
	'7|1|1|t|ok|fake|fresh words', 'a new row is read, and found by its text');
is( sql(q{SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'archive_scan_ocr'::regclass AND attnum > 0}),
	'id integer, page integer, version integer, current boolean, status text, search_text text, tsv tsvector, result jsonb, '
	  . 'confidence real, model text, sha256 text, corrected_by text, corrected_at timestamp with time zone, created_at timestamp with time zone',
	'the table of results is as documented');

# ---- changes
sql(q{UPDATE archive SET title = 'renamed' WHERE id = 7});
is(sql('SELECT count(*) FROM dsocr.job'), 0, 'another column changes: nothing is asked');
sql(q{BEGIN; UPDATE archive SET scan = 'TEXT:x' WHERE id = 7; UPDATE archive SET scan = 'TEXT:fresh words' WHERE id = 7; COMMIT});
waits(1, 'the same bytes');
is(sql('SELECT count(*) FROM archive_scan_ocr WHERE id = 7'), 1, 'the same bytes again: nothing is stored');
sql(q{UPDATE archive SET scan = 'TEXT:other' WHERE id = 7});
waits(1, 'a changed row');
is(sql(q{SELECT string_agg(version || ':' || current || ':' || search_text, ' ' ORDER BY version) FROM archive_scan_ocr WHERE id = 7}),
	'1:false:fresh words 2:true:other', 'a changed scan is a new version, the old one is kept');
sql(q{UPDATE archive SET id = 70 WHERE id = 7});
waits(1, 'a changed key');
is(sql('SELECT count(*), max(version) FROM archive_scan_ocr WHERE id = 70'), '2|2', 'results follow a changed key, and are not read again');
sql(q{UPDATE archive SET scan = NULL WHERE id = 70});
waits(1, 'a scan that went');
is(sql('SELECT count(*) FILTER (WHERE current) FROM archive_scan_ocr WHERE id = 70'), 0, 'a scan that went has no current result');
sql('DELETE FROM archive WHERE id = 70');
is(sql('SELECT count(*) FROM archive_scan_ocr WHERE id = 70'), 0, 'results go with the row');

# ---- a document in ten versions, faster than it is read: the last one counts
faults($node, 'hold=1');
sql(q{INSERT INTO archive VALUES (8, 'busy', 'TEXT:v0')});
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM dsocr.jobs WHERE state = 'claimed')});
sql(qq{UPDATE archive SET scan = 'TEXT:v$_' WHERE id = 8}) for 1 .. 9;
no_faults($node);
waits(1, 'many versions');
is(sql('SELECT search_text FROM archive_scan_ocr WHERE id = 8 AND current'), 'v9', 'the newest version is the current one');
cmp_ok(sql('SELECT count(*) FROM archive_scan_ocr WHERE id = 8'), '<=', 3, 'versions that were outdated are not stored');

# ---- several pages, some bad; documents that cannot be opened
sql(q{INSERT INTO archive VALUES (20, '', 'FAKE:pages=3,bad_page=2;'), (21, '', 'FAKE:error=bad_input;'), (22, '', 'TEXT:good neighbour')});
waits(1, 'bad documents');
is(sql(q{SELECT string_agg(page || ':' || status, ' ' ORDER BY page) FROM archive_scan_ocr WHERE id = 20}),
	'1:ok 2:error 3:ok', 'each page is a row with its status');
is(sql(q{SELECT result->>'error_code' FROM archive_scan_ocr WHERE id = 20 AND page = 2}), 'bad_input', 'a bad page says why');
is(sql(q{SELECT page, status, result->>'error_code' FROM archive_scan_ocr WHERE id = 21}),
	'0|error|bad_input', 'a document that cannot be opened is one row, page 0');
is(sql(q{SELECT watch, key, error_code, error_message FROM dsocr.failed_items}),
	'1|{"id": 21}|bad_input|the fake engine fails', 'and it is in failed_items');
is(sql(q{SELECT error_detail, error_hint, attempts FROM dsocr.failed_items}), 'The fake engine was told to say so.|Look at test/fake/faults.h.|0', 'with what helps; what is at fault itself is not tried again');
is(sql(q{SELECT search_text FROM archive_scan_ocr WHERE id = 22}), 'good neighbour', 'its neighbour is read');
is(sql(q{SELECT done >= 10, pending, failed, problem IS NULL FROM dsocr.coverage}), 't|0|1|t', 'coverage counts') or diag(sql('SELECT * FROM dsocr.coverage'));
is(sql(q{SELECT string_agg(key::text || page, ' ' ORDER BY page) FROM dsocr.review}), '{"id": 21}0 {"id": 20}2', 'review lists doubtful pages');
sql(q{UPDATE archive SET scan = 'TEXT:better now' WHERE id = 21});
waits(1, 'a better scan');
is(sql('SELECT count(*) FROM dsocr.failed_items'), 0, 'a better scan clears the failure');
is(sql(q{SELECT page, status FROM archive_scan_ocr WHERE id = 21 AND current}), '1|ok', 'and page 0 is no longer current');

# ---- an engine that dies
sql(q{INSERT INTO archive VALUES (30, '', 'FAKE:exit=after_body;'), (31, '', 'TEXT:innocent one'), (32, '', 'TEXT:innocent two')});
waits(1, 'a document that ends the engine');
is(sql(q{SELECT error_code, crashes FROM dsocr.failed_items}), 'engine_crash|2', 'what ends the engine twice, alone, is given up');
is(sql('SELECT count(*) FROM archive_scan_ocr WHERE id IN (31, 32)'), 2, 'what was beside it is read');
sql('SELECT pg_reload_conf()'); # the engine's back-off is forgotten
is(sql(q{SELECT dsocr_retry(1, 'engine_crash')}), 1, 'retry queues it again');
waits(1, 'a retry');
is(sql('SELECT count(*) FROM dsocr.failed_items'), 1, 'and it fails again');

# ---- reprocess
is(sql(q{SELECT dsocr_reprocess(1)}), 1, 'reprocess for another model: only what no model has read');
is(sql(q{SELECT dsocr_reprocess(1, 'failed')}), 2, 'reprocess what failed');
sql(q{SET session_replication_role = replica; INSERT INTO archive VALUES (40, '', 'TEXT:came unseen')});
waits(1, 'a replicated row');
is(sql(q{SELECT dsocr_reprocess(1, 'missing')}), 0, 'ENABLE ALWAYS: a replicated row is not missing');
waits(1, 'reprocess');
is(sql('SELECT count(*), max(version) FROM archive_scan_ocr WHERE id = 20'), '3|1', 'the same failure is not stored twice');
sql(q{ALTER TABLE archive DISABLE TRIGGER USER; INSERT INTO archive VALUES (41, '', 'TEXT:came unseen');
	ALTER TABLE archive ENABLE ALWAYS TRIGGER dsocr_watch_1});
is(sql(q{SELECT dsocr_reprocess(1, 'missing')}), 1, 'a row that came without the trigger is missing');
waits(1, 'missing rows');
is(sql('SELECT search_text FROM archive_scan_ocr WHERE id = 41'), 'came unseen', 'and is read');
fails($node, q{SELECT dsocr_reprocess(1, 'boredom')}, '22023', 'reason that does not exist', hint => qr/missing/);

# ---- pause, own work, detach
sql('SELECT dsocr_pause(1)');
sql(q{INSERT INTO archive VALUES (50, '', 'TEXT:later')});
fails($node, q{SELECT dsocr_wait(1)}, '55000', 'waiting for a paused watch', message => qr/paused/);
sleep 1;
is(sql('SELECT state FROM dsocr.jobs'), 'queued', 'a paused watch is not read, but noted');
sql('SELECT dsocr_resume(1)');
waits(1, 'resumed');
fails($node, q{BEGIN; INSERT INTO archive VALUES (51, '', 'TEXT:mine'); SELECT dsocr_wait(1)}, '55000', "waiting for one's own work",
	hint => qr/Commit first/);
is( sql(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM archive; SELECT dsocr_wait(1, '1s'); COMMIT}) =~ /\n0$/ ? 1 : 0,
	1, 'REPEATABLE READ may wait');

# ---- who may what
sql(q{CREATE ROLE writer LOGIN; CREATE ROLE other LOGIN; GRANT INSERT ON archive TO writer;
	SELECT dsocr_grant('other', 'manage')});
$node->safe_psql('postgres', q{INSERT INTO archive VALUES (60, '', 'TEXT:by a mere writer')}, extra_params => [ '-U', 'writer' ]);
waits(1, 'a role with nothing but INSERT');
is(sql('SELECT search_text FROM archive_scan_ocr WHERE id = 60'), 'by a mere writer', 'a role with nothing but INSERT inserts, and it is read');
my %other = (extra_params => [ '-U', 'other' ]);
is($node->safe_psql('postgres', "SELECT count(*) FROM dsocr.$_", %other), 0, "$_ shows nothing of others' tables")
  for qw(watches jobs failed_items coverage review);
for my $sql ('dsocr_pause(1)', 'dsocr_resume(1)', 'dsocr_retry(1)', q{dsocr.add_job(1, '{1}')}, 'dsocr.remove_watch(1)',
	q{dsocr_attach('archive', 'scan', result_table => 'x')})
{
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $sql", %other);
	like($err, qr/ERROR:  42501/, "another role: $sql is refused");
}
my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nTABLE dsocr.job", %other);
like($err, qr/ERROR:  42501/, 'state tables are not for users');
is(sql('SELECT relowner::regrole FROM pg_class WHERE oid = \'archive_scan_ocr\'::regclass'), sql('SELECT current_user'),
	'results belong to the owner of the source');

# ---- what attach refuses
sql(q{CREATE TABLE keyless (scan bytea); CREATE VIEW seen AS SELECT * FROM archive; CREATE TABLE words (id int PRIMARY KEY, t text);
	CREATE TABLE nullable (id int UNIQUE, scan bytea); CREATE TABLE taken (id int PRIMARY KEY, scan bytea); CREATE TABLE taken_scan_ocr ()});
fails($node, q{SELECT dsocr_attach('archive', 'scan', result_table => 'twice')}, '42710', 'attached already', detail => qr/watch 1/);
fails($node, q{SELECT dsocr_attach('keyless', 'scan')}, '55000', 'no key', message => qr/has no key/, hint => qr/primary key/);
fails($node, q{SELECT dsocr_attach('nullable', 'scan')}, '55000', 'key that may be NULL', message => qr/has no key/);
fails($node, q{SELECT dsocr_attach('seen', 'scan')}, '42809', 'a view', detail => qr/is a view/);
fails($node, q{SELECT dsocr_attach('words', 't')}, '42804', 'wrong type', message => qr/has type text/);
sql(q{CREATE TABLE odd (large oid, scan bytea, id int, PRIMARY KEY (scan, id)); CREATE MATERIALIZED VIEW stored AS SELECT * FROM odd});
fails($node, q{SELECT dsocr_attach('odd', 'large')}, '42804', 'large objects', hint => qr/lo_get/);
fails($node, q{SELECT dsocr_attach('odd', 'scan')}, '22023', 'a scan that is part of the key', hint => qr/key without the scan/);
fails($node, q{SELECT dsocr_attach('stored', 'scan')}, '42809', 'a materialized view', detail => qr/is a materialized view/);
fails($node, q{SELECT dsocr_attach('odd', NULL)}, '22004', 'no column', message => qr/doc_column/);
fails($node, q{SELECT dsocr_attach('words', 'x')}, '42703', 'column that is not there');
fails($node, q{SELECT dsocr_attach('taken', 'scan')}, '42P07', 'table of results that is there', message => qr/exists already/);
fails($node, q{SELECT dsocr_attach('taken', 'scan', mode => 'loud', result_table => 'x')}, '22023', 'mode that does not exist');
fails($node, q{SELECT dsocr_attach('taken', 'scan', on_delete => 'x', result_table => 'x')}, '22023', 'on_delete that does not exist');
fails($node, q{SELECT dsocr_attach('taken', 'scan', filter => 'colour = 1', result_table => 'x')}, '42703', 'filter with a column that is not there', message => qr/LINE 1: colour = 1\n +\^/);
fails($node, q{SELECT dsocr_attach('taken', 'scan', filter => 'id', result_table => 'x')}, '42804', 'filter that is no condition');
fails($node, q{SELECT dsocr_attach('taken', 'scan', filter => 'true) FROM archive; DROP TABLE archive; --', result_table => 'x')}, '42601', 'filter that is more than a condition');
fails($node, q{SELECT dsocr_attach('taken', 'scan', filter => 'EXISTS (SELECT 1)', result_table => 'x')}, '0A000', 'filter with a subquery');

faults($node, 'refuse=bad_request');
fails($node, q{SELECT dsocr_attach('taken', 'scan', options => '{"loud": 1}', result_table => 'x')}, '22023', 'options that the engine does not take');
no_faults($node);

# ---- keys and names of every kind
sql(q{CREATE SCHEMA "Ein ""Schema"""; CREATE TABLE "Ein ""Schema"""."Tür 'n' Tor" ("Die id" text, page date, version numeric(6,2), "Bild ä" bytea,
	PRIMARY KEY ("Die id", page, version))});
my $w = sql(q{SELECT dsocr_attach('"Ein ""Schema"""."Tür ''n'' Tor"', 'Bild ä', ts_config => 'german')});
sql(q{SET datestyle = 'German'; INSERT INTO "Ein ""Schema"""."Tür 'n' Tor" VALUES (E'a,"b"\\\\{}', '24.12.2020', 1.5, 'TEXT:die Häuser'), ('', 'infinity', 0, 'TEXT:leer')});
waits($w, 'keys of three columns');
is( sql(q{SELECT "Die id", key_page, key_version, page, tsv FROM "Ein ""Schema"""."Tür 'n' Tor_Bild ä_ocr" ORDER BY 1}),
	qq{|infinity|0.00|1|'leer':1\na,"b"\\{}|2020-12-24|1.50|1|'haus':2}, 'composite keys, names with quotes, a key column called page');
sql(qq{SELECT dsocr_detach($w, true)});
is(sql(q{SELECT to_regclass('"Ein ""Schema"""."Tür ''n'' Tor_Bild ä_ocr"') IS NULL}), 't', 'detach drops results when told so');

sql(q{CREATE TABLE parts (id uuid NOT NULL, kind int NOT NULL, scan bytea, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1); INSERT INTO parts VALUES ('00000000-0000-0000-0000-000000000001', 1, 'TEXT:one')});
$w = sql(q{SELECT dsocr_attach('parts', 'scan')});
sql(q{CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2); SET session_replication_role = replica;
	INSERT INTO parts_2 VALUES ('00000000-0000-0000-0000-000000000002', 2, 'TEXT:two'); INSERT INTO parts VALUES ('00000000-0000-0000-0000-000000000003', 1, 'TEXT:three')});
waits($w, 'partitions');
is(sql(q{SELECT string_agg(search_text, ' ' ORDER BY id) FROM parts_scan_ocr}), 'one two three', 'rows of every partition, also put straight into it');
sql(qq{SELECT dsocr_detach($w)});

sql(q{CREATE TABLE chosen (id bigint PRIMARY KEY, kind text, scan bytea); INSERT INTO chosen VALUES (1, 'letter', 'TEXT:a'), (2, 'photo', 'TEXT:b')});
$w = sql(q{SELECT dsocr_attach('chosen', 'scan', filter => 'kind = ''letter''', on_delete => 'keep', store_result => false)});
sql(q{INSERT INTO chosen VALUES (3, 'photo', 'TEXT:c'), (4, 'letter', 'TEXT:d')});
waits($w, 'a filter');
is(sql(q{SELECT string_agg(id::text, ',' ORDER BY id) FROM chosen_scan_ocr}), '1,4', 'a filter chooses rows');
sql(q{UPDATE chosen SET kind = 'letter' WHERE id = 3; UPDATE chosen SET kind = 'photo' WHERE id = 4});
waits($w, 'a filter and changes');
is(sql(q{SELECT string_agg(id::text, ',' ORDER BY id) FROM chosen_scan_ocr WHERE current}), '1,3', 'and sees when a row becomes one of them, or is no longer');
is(sql("SELECT dsocr_reprocess($w, 'missing')"), 0, 'nothing that the filter wants is missing');
sql(q{DELETE FROM chosen_scan_ocr WHERE id = 1});
is(sql("SELECT dsocr_reprocess($w, 'missing')"), 1, 'one row is');
waits($w, 'a row that was missing');
is(sql(q{SELECT search_text FROM chosen_scan_ocr WHERE id = 1}), 'a', 'and is read');
is(sql("SELECT dsocr_reprocess($w, 'doubtful')"), 0, 'nothing is doubtful');
sql(q{UPDATE chosen_scan_ocr SET confidence = 0.84, search_text = 'doubtful' WHERE id = 3});
is(sql("SELECT dsocr_reprocess($w, 'doubtful')"), 1, 'a page with less than dsocr.review_confidence is');
waits($w, 'a doubtful page');
is(sql(q{SELECT search_text FROM chosen_scan_ocr WHERE id = 3 AND current}), 'c', 'and is read again');
sql(q{INSERT INTO chosen VALUES (6, 'letter', 'FAKE:attempts=3;')});
waits($w, 'a page read three times');
is(sql("SELECT retries, decode_ms = pages, encode_ms = 2 * pages, generate_ms = 3 * pages, batch_fill BETWEEN 0 AND 1 FROM dsocr.stats WHERE watch = $w"), '2|t|t|t|t',
	'dsocr.stats has further attempts, milliseconds by stage and the batch');
my $rate = 'SELECT round(s.pages_per_second::numeric, 1), round(c.pages_per_second::numeric, 1) FROM dsocr.stats s JOIN dsocr.coverage c USING (watch) WHERE watch =';
sql(qq{UPDATE dsocr.tally SET recent_pages = 20, recent_since = now() - interval '10 s', last_at = now() WHERE watch = $w});
is(sql("$rate $w"), '2.2|2.2', 'twenty pages in the first ten seconds are two a second, which the last ones count more for, and not a third of one');
sql(qq{UPDATE dsocr.tally SET recent_pages = 120, recent_since = now() - interval '1 h', last_at = now() WHERE watch = $w});
is(sql("$rate $w"), '2.0|2.0', 'and what has been read for an hour, as in its last minute');
sql(qq{UPDATE dsocr.tally SET last_at = now() - interval '30 s' WHERE watch = $w; INSERT INTO chosen VALUES (7, 'letter', 'TEXT:f')});
waits($w, 'a page soon after others');
is(sql("SELECT recent_pages > 20, recent_since < now() - interval '50 min' FROM dsocr.tally WHERE watch = $w"), 't|t', 'counts with them');
sql(qq{UPDATE dsocr.tally SET last_at = now() - interval '5 min' WHERE watch = $w; INSERT INTO chosen VALUES (8, 'letter', 'TEXT:g')});
waits($w, 'a page after minutes without any');
is(sql("SELECT recent_pages, recent_since > now() - interval '5 min', recent_since < last_at FROM dsocr.tally WHERE watch = $w"), '1|t|t', 'begins anew, when that document was begun');
sql(q{DELETE FROM chosen_scan_ocr WHERE id IN (7, 8)});
sql(q{DELETE FROM chosen});
is(sql(q{SELECT count(*), count(result) FROM chosen_scan_ocr}), '5|0', "on_delete 'keep' keeps results; without store_result there is only the text");
sql(qq{SELECT dsocr_detach($w)});
sql(q{INSERT INTO chosen VALUES (5, 'letter', 'TEXT:e')});
is(sql("SELECT count(*) FROM dsocr.job WHERE watch = $w"), 0, 'after detach nothing is asked');

# ---- submitted documents
my $job = sql(q{SELECT dsocr_submit('TEXT:on its own')});
is(sql("SELECT dsocr_result($job, '3min')->'document'->>'text'"), 'on its own', 'a submitted document is read');
is(sql("SELECT dsocr_cancel($job)"), 'f', 'what is done cannot be cancelled');
is(sql("SELECT doc IS NULL FROM dsocr.inbox WHERE job = $job"), 't', 'its bytes are gone by then');
$job = sql(q{SELECT dsocr_submit('FAKE:error=bad_input;')});
fails($node, "SELECT dsocr_result($job, '3min')", '22P03', 'a submitted document that is none', detail => qr/bad_input/);
fails($node, q{BEGIN; SELECT dsocr_submit('x') AS j \gset
	SELECT dsocr_result(:j, '5s')}, '55000', "waiting for one's own submission", hint => qr/Commit first/);
fails($node, q{SELECT dsocr_result(123456789)}, '42704', 'job that does not exist');
$job = sql(q{SELECT dsocr_submit('FAKE:slow=600000;')});
$node->poll_query_until('postgres', "SELECT state = 'claimed' FROM dsocr.jobs WHERE job = $job");
is(sql("SELECT dsocr_result($job) IS NULL"), 't', 'not done yet: NULL');
is(sql("SELECT dsocr_cancel($job)"), 't', 'a job that is being read is cancelled');
ok($node->poll_query_until('postgres', "SELECT dsocr_status()->>'active' = '0'"), 'and the engine is free of it');
$job = $node->safe_psql('postgres', q{SELECT dsocr_submit('TEXT:private')}, %other);
is($node->safe_psql('postgres', "SELECT dsocr_result($job, '3min')->'document'->>'text'", %other), 'private', 'another role submits');
sql(q{SELECT dsocr_grant('writer', 'read')});
($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT dsocr_result($job)", extra_params => [ '-U', 'writer' ]);
like($err, qr/ERROR:  42704/, "and sees no job of another's");

# ---- many that fail, beside one that is read for hours: nothing of them stays in the worker's memory
sub worker_bytes
{
	my ($log, $bytes, $offset) = ('', undef, -s $node->logfile);
	sql(q{SELECT pg_log_backend_memory_contexts(pid) FROM pg_stat_activity WHERE application_name = 'dsocr queue worker'});
	for (1 .. 600)
	{
		$log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset);
		return $1 if $log =~ /Grand total: .* (\d+) used/;
		sleep 0.1;
	}
}
sql(q{CREATE TABLE bad (id int PRIMARY KEY, scan bytea); INSERT INTO bad VALUES (0, 'FAKE:slow=100000000;')});
$w = sql(q{SELECT dsocr_attach('bad', 'scan')});
$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM dsocr.jobs WHERE state = 'claimed' AND watch = $w)");
sql(q{INSERT INTO bad SELECT g, convert_to('FAKE:error=bad_input;' || g, 'UTF8') FROM generate_series(1, 300) g});
$node->poll_query_until('postgres', "SELECT count(*) = 300 FROM dsocr.failed_items WHERE watch = $w");
my $before = worker_bytes();
sql(q{INSERT INTO bad SELECT g, convert_to('FAKE:error=bad_input;' || g, 'UTF8') FROM generate_series(301, 1500) g});
$node->poll_query_until('postgres', "SELECT count(*) = 1500 FROM dsocr.failed_items WHERE watch = $w");
my $grown = worker_bytes() - $before;
cmp_ok($grown, '<', 400_000, "1,200 documents that fail: the worker's memory has grown by $grown bytes");
is(sql("SELECT state FROM dsocr.jobs WHERE watch = $w"), 'claimed', 'beside one that was read all the time');
sql("SELECT dsocr_detach($w)");

sql('SELECT dsocr_detach(1)');
is(sql('SELECT (SELECT count(*) FROM dsocr.watch), (SELECT count(*) FROM dsocr.job WHERE watch <> 0)'), '0|0', 'after detach nothing is left behind');
not_restarted($node);
$node->stop('fast');
done_testing();
