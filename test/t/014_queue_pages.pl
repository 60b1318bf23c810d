# Documents of many pages: pages are kept as they are read, so nothing that dies has them read again; until the last one
# is read, results are those of before; how far a document is, is seen; reading is cancelled.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = server('pages', engine => fake_engine(), conf => "log_min_messages = warning\ndsocr.retry_delay = 100ms\nrestart_after_crash = on");
wait_for_state($node, 'ready');
my $count = $node->data_dir . '/pg_stat_tmp/dsocr.sock.pages';

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { my ($sql, $promise) = @_; return ok($node->poll_query_until('postgres', $sql), $promise) }

# How often pages were read to their end, and how many pages that were: since the last call.
sub readings
{
	my @lines = -e $count ? grep { /^read/ } split /\n/, slurp_file($count) : ();
	unlink $count;
	my %pages = map { $_ => 1 } @lines;
	return (scalar @lines, scalar keys %pages);
}

sql(q{CREATE TABLE s (id int PRIMARY KEY, scan bytea); SELECT dsocr_attach('s', 'scan')});
my $long = 'FAKE:pages=60,count;';
my $half = q{SELECT EXISTS (SELECT FROM dsocr.jobs WHERE state = 'claimed' AND pages_done >= 40)}; # the engine is held before the next
my $begun = q{SELECT EXISTS (SELECT FROM dsocr.jobs WHERE state = 'claimed' AND pages_done >= 15)};
my $whole = q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT count(*) || ' ' || count(DISTINCT page) FROM s_scan_ocr WHERE id = %d AND current AND status = 'ok'),
	(SELECT count(*) FROM dsocr.page), (SELECT count(*) FROM dsocr.failed_items)};

# ---- whatever dies at page 40, reading goes on at page 41
my %death = (
	'the engine' => sub { kill 'KILL', status($node, 'pid') },
	# Until it is gone: the engine would read on for it, as soon as it is no longer held.
	'the queue worker' => sub { sql(q{SELECT pg_terminate_backend(pid, 180000) FROM pg_stat_activity WHERE backend_type = 'dsocr queue worker'}) },
	'the cluster' => sub { $node->stop('immediate'); $node->start; wait_for_state($node, 'ready') });
my $id = 0;
for my $what ('the engine', 'the queue worker', 'the cluster')
{
	$id++;
	faults($node, 'hold=41');
	sql("INSERT INTO s VALUES ($id, '$long $id')");
	until_true($half, "$what: 40 pages are kept");
	$death{$what}->();
	no_faults($node);
	is(sql(sprintf $whole, $id), "0\n60 60|0|0", "$what dies at page 40: all 60 are there");
	my ($read, $pages) = readings();
	is($pages, 60, "$what: 60 pages were read");
	cmp_ok($read, '<=', 63, "$what: at most three of them again");
	is(sql("SELECT count(*) FROM s_scan_ocr WHERE id = $id"), 60, "$what: nothing is stored twice");
}

# ---- a new version: the old one is current until all of the new one is read
sql("INSERT INTO s VALUES (10, 'TEXT:old')");
sql(q{SELECT dsocr_wait(timeout => '3min')});
faults($node, 'hold=16');
sql("UPDATE s SET scan = '$long new' WHERE id = 10");
until_true($begun, 'the new version is half read');
is(sql(q{SELECT count(*) || ' ' || max(search_text) FROM s_scan_ocr WHERE id = 10 AND current}), '1 old', 'half read: results are those of the old version');
is( sql(q{SELECT pages_done BETWEEN 15 AND 59, pages, page_since > claimed_at AND page_since <= clock_timestamp() FROM dsocr.jobs}),
	't|60|t', 'jobs: page x of 60, and since when');
is(sql('SELECT half_read, pending FROM dsocr.coverage'), '1|1', 'coverage: one document is half read');
sql("UPDATE s SET scan = '$long new' WHERE id = 10");
no_faults($node);
is(sql(sprintf $whole, 10), "0\n60 60|0|0", 'the same bytes written once more meanwhile');
my ($read, $pages) = readings();
cmp_ok($read, '<=', 63, 'have hardly a page read again') or diag("$read readings of $pages pages");
is(sql(q{SELECT count(*) FILTER (WHERE current AND version = 1), max(version) FROM s_scan_ocr WHERE id = 10}), '0|2', 'the old version is no longer current');
is(sql('SELECT half_read FROM dsocr.coverage'), 0, 'and nothing is half read');

faults($node, 'hold=16');
sql("UPDATE s SET scan = '$long first' WHERE id = 10");
until_true($begun, 'another version is half read');
sql("UPDATE s SET scan = 'FAKE:pages=3; second' WHERE id = 10");
no_faults($node);
is(sql(q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT count(*) || ' ' || max(version) FROM s_scan_ocr WHERE id = 10 AND current), (SELECT count(*) FROM dsocr.page)}),
	"0\n3 3|0", 'other bytes: what was kept of the half read ones is thrown away');
is(sql(q{SELECT documents, pages FROM dsocr.stats WHERE watch = 1}) =~ /^6\|/ ? 1 : 0, 1, 'documents are counted once');
readings();

# ---- cancelled while it is read
sql("INSERT INTO s VALUES (20, 'FAKE:pages=1000,page_slow=1000;'), (21, 'FAKE:slow=400,page_slow=1000000;')");
until_true(q{SELECT count(*) = 1 FROM dsocr.jobs WHERE pages_done > 1}, 'a slow document is being read');
until_true(q{SELECT count(*) = 2 FROM dsocr.jobs WHERE pages > 0 AND page_since IS NOT NULL}, 'both tell how many pages there are, and since when');
is($node->safe_psql('postgres', q{SELECT dsocr_status()->>'active' > '1'}), 't', 'two are in the engine');
my ($rc, $out, $err) = $node->psql('postgres', q{CREATE ROLE nobody LOGIN; SELECT dsocr_grant('nobody', 'manage'); SET ROLE nobody; SELECT dsocr_cancel(max(id)) FROM (SELECT currval('dsocr.job_id_seq') AS id) s});
isnt($rc, 0, 'a stranger cancels nothing');
my $until = time + $PostgreSQL::Test::Utils::timeout_default;
is(sql(q{SELECT bool_and(dsocr_cancel(job)) FROM dsocr.jobs}), 't', 'jobs of a watch are cancelled');
my $free = 0;
while (time < $until && !$free) { $free = slots_free(); sleep 0.02 unless $free }
ok($free, 'the engine is free of them long before they would be read');
is(sql(q{SELECT (SELECT count(*) FROM dsocr.job), (SELECT count(*) FROM dsocr.page), (SELECT count(*) FROM s_scan_ocr WHERE id IN (20, 21))}), '0|0|0', 'and nothing is left of them');
is(sql(q{SELECT dsocr_cancel(123456)}), 'f', 'a job that is not there');

# The engine's own word: the fake one has no connection left but the supervisor's.
sub slots_free
{
	my $pid = status($node, 'pid');
	my @sockets = grep { (readlink($_) // '') =~ /^socket:/ } glob "/proc/$pid/fd/*";
	return @sockets <= 2;
}

# ---- a page that ends the engine
sql("INSERT INTO s VALUES (30, 'FAKE:pages=5,exit_page=3,count;')");
is( sql(q{SELECT dsocr_wait(timeout => '3min'); SELECT string_agg(page || ':' || status, ' ' ORDER BY page) FROM s_scan_ocr WHERE id = 30 AND current}),
	"0\n1:ok 2:ok 3:error 4:error 5:error", 'the pages before it are kept, each of the others is a row that says so');
is(sql(q{SELECT result->>'error_code' FROM s_scan_ocr WHERE id = 30 AND page = 4}) . ' ' . sql('SELECT error_code FROM dsocr.failed_items'), 'engine_crash engine_crash', 'and the document was given up');
($read) = readings();
is($read, 2, 'the pages before it were read once');
sql('SELECT pg_reload_conf()');
sql(q{SELECT dsocr_detach(1)});

# ---- submitted documents go on, too. One that lost the engine is read alone, and gives its place to others after ten pages:
# what the engine has read of it by then is not read again. Page 19 is kept when the engine has told those up to 29.
sql(q{CREATE FUNCTION wait_for_go() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN WHILE pg_stat_file('pg_stat_tmp/go', true) IS NULL LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NEW; END $$;
	CREATE TRIGGER wait_for_go BEFORE INSERT ON dsocr.page FOR EACH ROW WHEN (NEW.page = 19) EXECUTE FUNCTION wait_for_go()});
my $waits = q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dsocr queue worker' AND wait_event = 'PgSleep')};
faults($node, 'hold=9');
my $job = sql("SELECT dsocr_submit('FAKE:pages=30,count;')");
until_true("SELECT pages_done >= 8 FROM dsocr.jobs WHERE job = $job", 'a submitted document is half read');
kill 'KILL', status($node, 'pid');
faults($node, 'hold=20');
until_true($waits, 'when the engine has died it goes on');
faults($node, 'hold=30');
until_true(q{SELECT pg_read_file('pg_stat_tmp/dsocr.sock.pages') ~ 'begun \w+ 30\M'}, 'and the engine tells more pages than it is read alone for');
append_to_file($node->data_dir . '/pg_stat_tmp/go', '');
until_true("SELECT pages_done = 29 FROM dsocr.jobs WHERE job = $job", 'all of them are kept');
no_faults($node);
is( sql("SELECT jsonb_array_length(r->'document'->'pages'), r->'document'->'pages'->29->'page', length(r->'document'->>'text') > 30 * 30, r->'metadata'->'tokens' FROM dsocr_result($job, '3min') r"),
	'30|30|t|{"output": 360, "vision": 480}', 'its result has all pages, in order');
($read, $pages) = readings();
is("$read of $pages", '30 of 30', 'and none was read again');
sql('DROP FUNCTION wait_for_go CASCADE');
is(sql('SELECT count(*) FROM dsocr.page'), 0, 'nothing is left behind');
my @sick = map { my $sick = sql("SELECT dsocr_submit('FAKE:pages=$_,bad_utf8;')"); sql("SELECT dsocr_result($sick, '3min')->'metadata'->>'replaced_characters'") } 1, 4;
cmp_ok($sick[1], '>=', 4 * $sick[0] / 2, "characters that were replaced are counted over all pages: $sick[1], of one page $sick[0]");

# ---- what dsocr_status says of the queue
sub queue { return sql("SELECT dsocr_status()->'queue'->$_[0]") }
sub queue_of { my ($db, $key) = @_; return sql("SELECT d->>'$key' FROM jsonb_array_elements(dsocr_status()->'queue'->'databases') d WHERE d->>'database' = '$db'") }

$node->append_conf('postgresql.conf', 'dsocr.naptime = 1s');
sql(q{SELECT pg_reload_conf(); CREATE DATABASE other; CREATE DATABASE without; CREATE DATABASE forgotten});
$node->safe_psql($_, 'CREATE EXTENSION dsocr') for 'other', 'forgotten';
my $slow = sql(q{SELECT dsocr_submit('FAKE:slow=600000;')});
my $bad = sql(q{SELECT dsocr_submit('FAKE:error=bad_input;')});
until_true(q{SELECT dsocr_status()->'queue' @> '{"reading": 1, "waiting": 0, "dead": 1}'}, 'jobs that are read and that were given up are counted');
is(queue_of('postgres', 'state'), 'reading', 'this database is being read for');
is(queue_of('postgres', 'worker_pid'), sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dsocr queue worker' AND datname = 'postgres'}), 'by the worker that it names');
until_true(q{SELECT count(*) = 2 FROM jsonb_array_elements(dsocr_status()->'queue'->'databases') d WHERE d->>'database' IN ('other', 'forgotten') AND d->>'reason' IS NULL}, 'other databases with the extension are listed');
is(queue_of('without', 'state'), '', 'one without it is not');
sql("SELECT dsocr_cancel($slow)");

$node->append_conf('postgresql.conf', "dsocr.databases = 'postgres, other'");
sql('SELECT pg_reload_conf()');
ok($node->poll_query_until('postgres', q{SELECT d->>'state' = 'not_served' AND d->>'reason' = 'dsocr.databases does not name it' FROM jsonb_array_elements(dsocr_status()->'queue'->'databases') d
	WHERE d->>'database' = 'forgotten'}), 'one that dsocr.databases leaves out is listed with the reason');
$node->restart;
wait_for_state($node, 'ready');
until_true(q{SELECT count(*) = 1 FROM jsonb_array_elements(dsocr_status()->'queue'->'databases') d WHERE d->>'database' = 'forgotten' AND d->>'state' = 'not_served'}, 'also after a restart');
my $stays = $node->safe_psql('forgotten', q{SELECT dsocr_submit('TEXT:x')});
sleep 2;
is($node->safe_psql('forgotten', q{SELECT dsocr_status()->'queue' @> '{"waiting": 1, "reading": 0}' AND (dsocr_status()->'queue'->>'oldest_wait_s')::int >= 1}), 't', 'what is asked for there waits, and one sees for how long');
$node->append_conf('postgresql.conf', "dsocr.databases = ''");
sql('SELECT pg_reload_conf()');
is($node->safe_psql('forgotten', "SELECT dsocr_result($stays, '3min')->'document'->>'text'"), 'x', 'and is read when the database is served again');
$node->stop('fast');
done_testing();
