# Long documents do not hold up short ones, nor short ones long ones: what is known to be long, by its pages or its bytes, has
# a line and places of its own, and gives its place back when it turns out to be long.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = server('fair', engine => fake_engine(), conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.max_inflight_bytes = 8MB");
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { my ($sql, $promise) = @_; return ok($node->poll_query_until('postgres', $sql), $promise) }
sub is_read { my ($id, $promise) = @_; return until_true("SELECT EXISTS (SELECT FROM s_scan_ocr WHERE id = $id)", $promise) }
sub all_read { is(sql("SELECT dsocr_wait(timeout => '5min')"), 0, "$_[0]: all is read") }

sql(q{CREATE TABLE s (id int PRIMARY KEY, scan bytea); SELECT dsocr_attach('s', 'scan', backfill => false);
	CREATE TABLE other (id int PRIMARY KEY, scan bytea); SELECT dsocr_attach('other', 'scan', backfill => false)});

# ---- more long documents than there are places for any: each is held before its second page
faults($node, 'hold=2');
sql(q{INSERT INTO s SELECT g, convert_to('FAKE:pages=100,count; ' || g, 'UTF8') FROM generate_series(1, 20) g;
	INSERT INTO s VALUES (100, 'TEXT:short'); INSERT INTO other SELECT g, 'TEXT:short' FROM generate_series(1, 10) g});
is_read(100, 'a short document behind 20 long ones is read, though none of these gets on');
until_true(q{SELECT count(*) = 10 FROM other_scan_ocr}, 'so are those of another table');
until_true(q{SELECT count(*) = 20 AND count(*) FILTER (WHERE state = 'claimed') = 2 FROM dsocr.jobs WHERE pages = 100}, 'each long one was looked at, and two have the places');
no_faults($node);
all_read('then they get on');
is(sql(q{SELECT count(*), count(DISTINCT (id, page)) FROM s_scan_ocr WHERE current AND id <= 20 AND status = 'ok'}), '2000|2000', 'every page of each is there once');
my @readings = grep { /^read/ } split /\n/, slurp_file($node->data_dir . '/pg_stat_tmp/dsocr.sock.pages');
cmp_ok(@readings, '<=', 2040, 'hardly a page was read again');
is(sql('SELECT count(*) FROM dsocr.failed_items'), 0, 'nothing was given up');

# ---- short documents without end
sql(q{SELECT dsocr_pause(1); INSERT INTO s SELECT g, convert_to('TEXT:' || g, 'UTF8') FROM generate_series(1001, 1100) g;
	INSERT INTO s VALUES (1200, 'FAKE:pages=50;'); UPDATE dsocr.job SET long = true WHERE key = '{1200}'});
faults($node, 'hold=1');
sql('SELECT dsocr_resume(1)');
until_true(q{SELECT count(*) = 8 FROM dsocr.jobs WHERE state = 'claimed' AND key->>'id' IN ('1001', '1002', '1003', '1004', '1005', '1006', '1007', '1200')},
	'a long document has its place beside the oldest short ones');
no_faults($node);
all_read('short ones and a long one');

# ---- heavy documents: of one page, but a sixteenth of max_inflight_bytes and more
sql(q{INSERT INTO s SELECT g, convert_to('FAKE:silent; ' || g || repeat('x', 600000), 'UTF8') FROM generate_series(2001, 2012) g; INSERT INTO s VALUES (2100, 'TEXT:light')});
is_read(2100, 'a light document behind 12 heavy ones is read, though none of these is');
until_true(q{SELECT count(*) = 12 AND count(*) FILTER (WHERE state = 'claimed') = 1 FROM dsocr.job WHERE long OR state = 'claimed'}, 'each of them was looked at, and one has a place');
sql('SELECT dsocr_cancel(job) FROM dsocr.jobs; DELETE FROM s WHERE id BETWEEN 2001 AND 2012');
all_read('without them');

# ---- a suspect is read alone, but not to the end of its hundred pages
faults($node, 'hold=2');
sql(q{INSERT INTO s VALUES (3000, 'FAKE:pages=100;')});
until_true(q{SELECT EXISTS (SELECT FROM dsocr.jobs WHERE state = 'claimed' AND pages = 100)}, 'a long document is being read');
kill 'KILL', status($node, 'pid');
until_true(q{SELECT EXISTS (SELECT FROM dsocr.job WHERE suspect AND state = 'claimed')}, 'the engine dies, and it is read alone');
faults($node, 'hold=60');
sql(q{INSERT INTO s VALUES (3001, 'TEXT:behind a suspect')});
is_read(3001, 'a document behind a long one that was read when the engine died is read, though that one does not get to its end');
no_faults($node);
all_read('after a death');
is(sql(q{SELECT count(*), count(DISTINCT page) FROM s_scan_ocr WHERE current AND id = 3000 AND status = 'ok'}), '100|100', 'and it gets there');
is(sql('SELECT count(*) FROM dsocr.failed_items'), 0, 'nothing was given up');
$node->stop('fast');
done_testing();
