# The disk is full where results go: the watch says so and is left in peace, longer each time; nothing is given up, other
# watches go on, and all is read, once, when there is room. The disk is a real one, 16 MB, where test/run.sh could mount it
# (DSOCR_SMALL_DISK); else the server's files may not grow, which the system reports to the server in the same place.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $disk = $ENV{DSOCR_SMALL_DISK};
note('skip the small disk: none is mounted (that needs root); files that may not grow stand for it') unless $disk;
plan skip_all => 'no small disk, and no prlimit' unless $disk || `prlimit --version 2>/dev/null`;

my $node = server('disk', engine => fake_engine(), initdb => [ '-E', 'UTF8', '--locale=C', '--wal-segsize=1' ],
	conf => "log_min_messages = log\ndsocr.naptime = 1s\ndsocr.retry_delay = 50ms\ndsocr.max_attempts = 2\nautovacuum = off");
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT watch, problem FROM dsocr.watches; SELECT state, attempts, error_message FROM dsocr.job')) }

# About 2 kB that do not shrink; the fake engine gives them back.
my $document = q{convert_to('TEXT:' || (SELECT string_agg(md5(g || ':' || i), ' ') FROM generate_series(1, 60) i), 'UTF8')};

sql(q{CREATE TABLE full_one (id int PRIMARY KEY, scan bytea); CREATE TABLE other (id int PRIMARY KEY, scan bytea);
	SELECT dsocr_attach('full_one', 'scan'), dsocr_attach('other', 'scan')});
is(sql(q{SELECT dsocr_wait(timeout => '3min')}), 0, 'two empty tables are watched');
if ($disk)
{
	mkdir "$disk/space" or BAIL_OUT("$disk/space: $!");
	sql("CREATE TABLESPACE small LOCATION '$disk/space'");
	sql('ALTER TABLE full_one_scan_ocr SET TABLESPACE small');
}
# Its TOAST table becomes the largest file of all, larger than a segment of WAL: that has to be written all the same.
sql(q{INSERT INTO full_one_scan_ocr (id, page, version, current, status, search_text) SELECT -g, 1, 1, false, 'ok', (SELECT string_agg(md5(g || '-' || i), ' ') FROM generate_series(1, 100) i)
	FROM generate_series(1, 400) g});

sub limit_files
{
	my ($bytes) = @_;
	my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	system_or_bail('prlimit', '--pid', $_, "--fsize=$bytes:") for $postmaster, split /\n/, sql('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
}

sub fill
{
	return limit_files(sql(q{SELECT pg_relation_size(reltoastrelid) + 1024 FROM pg_class WHERE relname = 'full_one_scan_ocr'})) unless $disk;
	open my $file, '>', "$disk/filler" or die $!;
	my $bytes = 1 << 20;
	while ($bytes >= 4096) { $bytes >>= 1 unless syswrite $file, "\0" x $bytes }
	close $file;
}

sub make_room { return $disk ? unlink "$disk/filler" : limit_files('unlimited') }

fill();
sql("INSERT INTO full_one SELECT g, $document FROM generate_series(1, 60) g");
until_true(q{SELECT problem LIKE 'its results cannot be stored: 53100: could not extend file%' FROM dsocr.coverage WHERE source_table = 'full_one'}, 'dsocr.coverage says what is the matter');
note(sql(q{SELECT problem FROM dsocr.coverage WHERE source_table = 'full_one'}));
until_true(q{SELECT count(*) > 0 FROM dsocr.jobs WHERE error_code = 'store_failed' AND error_message LIKE 'could not extend file%'}, 'dsocr.jobs says which were tried');
sub failures { my @lines = slurp_file($node->logfile) =~ /job \d+ of watch 1: could not extend file/g; return scalar @lines }
my $before = failures();
sql(q{INSERT INTO other SELECT g, convert_to('TEXT:' || g, 'UTF8') FROM generate_series(1, 50) g});
is(sql(q{SELECT dsocr_wait(2, '3min'); SELECT count(*) FROM other_scan_ocr}), "0\n50", 'another watch is read meanwhile');
sleep 10;
# At once each second, these would be ten times sixty. After 1, 2, 4 and 8 seconds, four times what is claimed at once.
cmp_ok(failures() - $before, '<', 200, 'it is left in peace: ' . (failures() - $before) . ' attempts in ten seconds');
is(sql(q{SELECT pending + done, failed FROM dsocr.coverage WHERE source_table = 'full_one'}), '60|0', 'nothing is given up');
is(sql(q{SELECT count(*) FROM dsocr.watches WHERE source_table = 'full_one' AND problem IS NOT NULL}), 1, 'and it still says why');
make_room();
is(sql(q{SELECT dsocr_wait(1, '5min')}), 0, 'there is room again: all is read');
is(sql(q{SELECT count(*) FILTER (WHERE current), count(*), count(DISTINCT id) FROM full_one_scan_ocr WHERE id > 0}), '60|60|60', 'each of them once');
until_true(q{SELECT problem IS NULL FROM dsocr.coverage WHERE source_table = 'full_one'}, 'and nothing is the matter');

# ---- full for the queue, too: what was claimed cannot even be given back. That is said by triggers.
sql(q{CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE disk_full USING MESSAGE = 'no space'; END$$;
	CREATE TRIGGER full_disk BEFORE INSERT ON other_scan_ocr FOR EACH ROW EXECUTE FUNCTION full_disk();
	CREATE TRIGGER full_disk BEFORE UPDATE ON dsocr.job FOR EACH ROW WHEN (OLD.state = 'claimed') EXECUTE FUNCTION full_disk();
	INSERT INTO other SELECT g, convert_to('TEXT:' || g, 'UTF8') FROM generate_series(51, 54) g});
until_true(q{SELECT problem LIKE '%53100: no space' FROM dsocr.watches WHERE source_table = 'other'}, 'full for the queue, too: the watch says so');
is(sql(q{SELECT count(*) FROM dsocr.job WHERE state = 'claimed'}), 4, 'nobody can give them back');
sql(q{DROP TRIGGER full_disk ON dsocr.job; DROP TRIGGER full_disk ON other_scan_ocr});
is(sql(q{SELECT dsocr_wait(2, '3min')}), 0, 'they are given back when there is room');
is(sql(q{SELECT count(*), count(DISTINCT id) FROM other_scan_ocr WHERE current}), '54|54', 'and read once');

# ---- and for documents that belong to no table
sql('CREATE TRIGGER full_disk BEFORE UPDATE ON dsocr.inbox FOR EACH ROW EXECUTE FUNCTION full_disk()');
my $job = sql(q{SELECT dsocr_submit('TEXT:submitted')});
until_true(qq{SELECT error_message = 'no space' FROM dsocr.jobs WHERE job = $job}, 'a submitted document: dsocr.jobs says what is the matter');
sql('DROP TRIGGER full_disk ON dsocr.inbox');
is(sql("SELECT dsocr_result($job, '3min')->'document'->>'text'"), 'submitted', 'it waits until there is room');

not_restarted($node);
$node->stop('fast');
done_testing();
