# A page that was corrected by hand stays as it was corrected, whatever the queue does meanwhile; results outlive the
# extension, and are taken up again.
use strict;
use warnings;
use Dsocr;
use Test::More;

my $node = server('correct', engine => fake_engine(), conf => "dsocr.retry_delay = 100ms");
wait_for_state($node, 'ready');
sub sql { return $node->safe_psql('postgres', $_[0]) }
my $current = q{SELECT string_agg(page || ':' || version || ':' || coalesce(search_text, '-') || CASE WHEN corrected_by IS NULL THEN '' ELSE '!' END, ' ' ORDER BY page)
	FROM s_scan_ocr WHERE current AND id = };
sub now_is { is(sql($current . $_[0]), $_[1], $_[2]) }
sub read_all { is(sql(q{SELECT dsocr_wait(1, '3min')}), 0, "$_[0]: all is read") }

sql(q{CREATE TABLE s (id int PRIMARY KEY, scan bytea); INSERT INTO s VALUES (1, 'FAKE:pages=2;'), (2, 'TEXT:two'); SELECT dsocr_attach('s', 'scan')});
read_all('attach');
my $page = sql(q{SELECT search_text FROM s_scan_ocr WHERE id = 1 AND page = 2});
is(sql(q{SELECT dsocr_correct(1, '{"id": 1}', 1, 'by hand')}), 2, 'a correction is a version');
sql(q{SELECT dsocr.add_job(1, '{1}')});
read_all('asked for again');
like(sql($current . 1), qr/^1:2:by hand! 2:\d:\Q$page\E$/, 'a page that was corrected stays, its neighbour is read');
is(sql(q{SELECT count(*) FROM s_scan_ocr WHERE id = 1 AND page = 1}), 2, 'and no reading of it is stored');
is(sql(q{SELECT dsocr_reprocess(1, 'failed')}), 0, 'nothing has failed');

is(sql(q{SELECT dsocr_correct(1, '{"id": 1}', 2, 'second by hand')}), 4, 'the other page, too');
sql(q{INSERT INTO s VALUES (3, 'TEXT:three')});
read_all('another');
sql(q{SELECT dsocr_correct(1, '{"id": 3}', 1, 'third by hand')});

# ---- another document
sql(q{UPDATE s SET scan = 'TEXT:a new scan' WHERE id = 3});
read_all('a new scan');
now_is(3, '1:3:a new scan', 'a new scan is read anew');
is(sql(q{SELECT search_text FROM s_scan_ocr WHERE id = 3 AND corrected_by IS NOT NULL}), 'third by hand', 'the correction of the old one is history');

# ---- results outlive what made them
sql('DROP EXTENSION dsocr CASCADE');
sql(q{CREATE EXTENSION dsocr; SELECT dsocr_attach('s', 'scan')});
read_all('taken up again');
now_is(1, '1:2:by hand! 2:4:second by hand!', 'a table of results is taken up again, corrections and all');
now_is(3, '1:3:a new scan', 'and nothing is read again that has not changed');
sql(q{SELECT dsocr_detach(1); ALTER TABLE s_scan_ocr DROP COLUMN model});
fails($node, q{SELECT dsocr_attach('s', 'scan')}, '42P07', 'one that does not fit', message => qr/is no table of results/, detail => qr/model text/, hint => qr/result_table/);
sql(q{DROP TABLE s_scan_ocr; CREATE TABLE s_scan_ocr (id int)});
fails($node, q{SELECT dsocr_attach('s', 'scan')}, '42P07', 'another table of the name', detail => qr/page integer/);
sql(q{DROP TABLE s_scan_ocr; SELECT dsocr_attach('s', 'scan', on_delete => 'keep')});
is(sql(q{SELECT dsocr_wait(timeout => '3min')}), 0, 'a new one');
fails($node, q{SELECT dsocr_attach('s', 'scan', ts_config => 'german')}, '42710', 'attached twice');
sql(q{SELECT dsocr_detach(max(watch)) FROM dsocr.watches});
fails($node, q{SELECT dsocr_attach('s', 'scan', ts_config => 'german')}, '42P07', 'another configuration', hint => qr/ts_config => 'simple'/);
sql('DELETE FROM s WHERE id = 2');
fails($node, q{SELECT dsocr_attach('s', 'scan')}, '23503', 'results of rows that are gone', hint => qr/on_delete => 'keep'/);
sql(q{SELECT dsocr_attach('s', 'scan', on_delete => 'keep')});
$node->stop('fast');
done_testing();
