# A partition that is emptied or dropped by itself takes its results with it, and nobody else's; one that is detached does not.
use strict;
use warnings;
use utf8;
use Dsocr;
use Encode qw(encode_utf8);
use Test::More;

my $node = server('partitions', engine => fake_engine(),
	conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.retry_delay = 50ms\ndsocr.max_attempts = 2");
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', encode_utf8($_[0])) }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT * FROM dsocr.job; SELECT * FROM dsocr.served; SELECT id, problem FROM dsocr.watch')) }
sub done { is(sql("SELECT dsocr_wait(timeout => '3min')"), 0, "$_[0]: nothing waits") }
# Texts of what is current, by number.
my $texts = q{SELECT coalesce(string_agg(search_text || CASE WHEN corrected_by IS NULL THEN '' ELSE '!' END, ' ' ORDER BY id), '') FROM parts_scan_ocr WHERE current AND page > 0};
sub results { until_true("SELECT ($texts) = '$_[0]'", $_[1]) or diag(sql($texts)) }
sub seen { until_true("SELECT count(*) = $_[0] FROM dsocr.served WHERE watch = 1 AND filenode <> 0", "the queue knows $_[0] partitions") }

# Partitions a, b, c, and d, which has partitions of its own.
sql(q{CREATE TABLE parts (id int, region text, year int, scan bytea, PRIMARY KEY (region, year, id)) PARTITION BY LIST (region);
	CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a'); CREATE TABLE "parts ""b"" ü" PARTITION OF parts FOR VALUES IN ('b'); CREATE TABLE parts_c PARTITION OF parts FOR VALUES IN ('c');
	CREATE TABLE parts_d PARTITION OF parts FOR VALUES IN ('d') PARTITION BY RANGE (year);
	CREATE TABLE parts_d1 PARTITION OF parts_d FOR VALUES FROM (0) TO (10); CREATE TABLE parts_d2 PARTITION OF parts_d FOR VALUES FROM (10) TO (20);
	INSERT INTO parts SELECT n, r, y, convert_to('TEXT:' || r || n, 'UTF8') FROM (VALUES (1, 'a', 1), (2, 'a', 1), (3, 'b', 1), (4, 'b', 1), (5, 'c', 1), (6, 'c', 1), (7, 'd', 1), (8, 'd', 11)) v(n, r, y)});
sql(q{SELECT dsocr_attach('parts', 'scan')});
done('attached');
sql(q{SELECT dsocr_correct(1, '{"id": 3, "region": "b", "year": 1}', 1, 'B3'), dsocr_correct(1, '{"id": 5, "region": "c", "year": 1}', 1, 'C5')});
results('a1 a2 B3! b4 C5! c6 d7 d8', 'all are read');
seen(5);

# Emptied, while others wait and were given up: that is none of their business.
sql(q{INSERT INTO parts VALUES (20, 'a', 1, 'FAKE:error=bad_input;'), (30, 'b', 1, 'FAKE:error=bad_input;')});
until_true(q{SELECT count(*) = 2 FROM dsocr.failed_items}, 'two are given up');
sql(q{SELECT dsocr_pause(1); INSERT INTO parts VALUES (21, 'a', 1, 'TEXT:a21'), (31, 'b', 1, 'TEXT:b31')});
sql('TRUNCATE parts_a');
results('B3! b4 C5! c6 d7 d8', 'TRUNCATE of a partition takes its results');
until_true(q{SELECT string_agg(key::text, ',') = '{"id": 30, "year": 1, "region": "b"}' FROM dsocr.failed_items}, 'and what was given up of it, and nothing else');
sql('SELECT dsocr_resume(1)');
done('resumed');
results('B3! b4 C5! c6 d7 d8 b31', 'what waited elsewhere is read');
sql(q{BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM parts_c; TRUNCATE parts_c; INSERT INTO parts SELECT * FROM kept WHERE id = 5; COMMIT});
results('B3! b4 C5! d7 d8 b31', 'emptied and filled again: what is there again keeps its results, corrections and all');
sql('CREATE INDEX ON "parts ""b"" ü" (id); VACUUM FULL "parts ""b"" ü"');
sql('ALTER TABLE parts ADD remark text DEFAULT random()');
done('rewritten');
results('B3! b4 C5! d7 d8 b31', 'a partition that is only rewritten loses nothing');
sql('TRUNCATE parts_d2');
results('B3! b4 C5! d7 b31', 'TRUNCATE of a partition of a partition');

# Detached: its rows are still there.
sql('ALTER TABLE parts DETACH PARTITION "parts ""b"" ü"');
sql('TRUNCATE parts_a');
done('something is swept');
sql(q{INSERT INTO parts VALUES (40, 'c', 1, 'TEXT:c40')});
results('B3! b4 C5! d7 b31 c40', 'a partition that is detached keeps its results');
sql(q{ALTER TABLE parts ATTACH PARTITION "parts ""b"" ü" FOR VALUES IN ('b')});
sql(q{DELETE FROM parts WHERE id = 4; UPDATE parts SET scan = 'TEXT:new' WHERE id = 31});
results('B3! C5! d7 new c40', 'and has them when it is attached again, and is watched');
sql('ALTER TABLE parts DETACH PARTITION "parts ""b"" ü"; DELETE FROM "parts ""b"" ü" WHERE id = 3');
sql('TRUNCATE parts_c');
results('d7 new', 'what was deleted from it since goes with the next');
sql('DROP TABLE "parts ""b"" ü"');
results('d7', 'and all when it is dropped');

# Dropped, while the queue sleeps.
until_true(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'dsocr queue worker' AND datname = 'postgres'}, 'the queue sleeps');
sql('DROP TABLE parts_d');
results('', 'DROP of a partition that has partitions');
is(sql('SELECT count(*) FROM parts_scan_ocr'), 0, 'history and all');

# It is told while the results cannot go, and kept where that was asked for.
sql(q{INSERT INTO parts VALUES (50, 'a', 1, 'TEXT:a50')});
done('one more');
sql(q{CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not today'; END$$; CREATE TRIGGER no BEFORE DELETE ON parts_scan_ocr FOR EACH ROW EXECUTE FUNCTION no()});
sql('TRUNCATE parts_a');
until_true(q{SELECT error_message = 'not today' FROM dsocr.jobs WHERE state = 'gone'}, "a user's trigger refuses: dsocr.jobs says so");
sql('DROP TRIGGER no ON parts_scan_ocr');
results('', 'and the results go when it is gone');
sql(q{SELECT dsocr_detach(1)});
is(sql('SELECT count(*) FROM dsocr.served'), 0, 'after dsocr_detach nothing is remembered');
sql(q{INSERT INTO parts VALUES (60, 'a', 1, 'TEXT:a60'); SELECT dsocr_attach('parts', 'scan', on_delete => 'keep')});
done('kept');
sql('TRUNCATE parts_a');
sql(q{INSERT INTO parts VALUES (61, 'a', 1, 'TEXT:a61')});
done('kept, later');
results('a60 a61', "on_delete => 'keep' keeps them");

not_restarted($node);
$node->stop('fast');
done_testing();
