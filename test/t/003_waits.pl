# Whoever waits for the engine can be stopped, at once, and leaves nothing behind.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = server('waits', engine => fake_engine());
bystander($node);
wait_for_state($node, 'ready');

sub active_is
{
	my ($n, $promise) = @_;
	ok($node->poll_query_until('postgres', "SELECT dsocr_status()->>'active' = '$n'"), $promise);
}

# statement_timeout and dsocr.timeout
fails($node, q{SET statement_timeout = 300; SELECT dsocr_text('x FAKE:silent')}, '57014', 'statement_timeout',
	message => qr/canceling statement due to statement timeout/);
active_is(0, 'statement_timeout: the slot is free again');
fails($node, q{SET dsocr.timeout = 300; SELECT dsocr_text('x FAKE:silent')}, '57014', 'dsocr.timeout',
	message => qr/not read in time/, detail => qr/dsocr.timeout is 300 ms/, hint => qr/Raise dsocr.timeout/);
active_is(0, 'dsocr.timeout: the slot is free again');
sub seconds_of
{
	my ($sql) = @_;
	my $start = time;
	$node->psql('postgres', $sql);
	return time - $start;
}
my $sleeps = sub { seconds_of(q{SET statement_timeout = 300; SELECT pg_sleep(600)}) };
prompt('statement_timeout', $sleeps, sub { seconds_of(q{SET statement_timeout = 300; SELECT dsocr_text('x FAKE:silent')}) });
prompt('dsocr.timeout', $sleeps, sub { seconds_of(q{SET dsocr.timeout = 300; SELECT dsocr_text('x FAKE:silent')}) });

# Cancel and terminate, while waiting, and while a large document is sent.
my @cases = (
	[ 'waiting', q{SELECT dsocr_text('x FAKE:silent')} ],
	[ 'many', q{SELECT count(*) FROM dsocr_extract_many(array_fill('x FAKE:silent'::bytea, ARRAY[100]))} ],
	[ 'in an exception block', q{DO $$ BEGIN PERFORM dsocr_text('x FAKE:silent'); EXCEPTION WHEN division_by_zero THEN END $$} ],
);
# Begins a statement, ends it when it is $begun, and gives the seconds from then on, and its error.
sub ended_by
{
	my ($how, $sql, $begun) = @_;
	my $query = spawn_query($node, $sql);
	$node->poll_query_until('postgres', $begun);
	my $start = time;
	$node->safe_psql('postgres', qq{SELECT $how(pid) FROM pg_stat_activity WHERE query ~ 'silent|pg_sleep' AND pid <> pg_backend_pid()});
	my ($seconds, $out, $err) = $query->();
	return (time - $start, $err);
}
for (@cases)
{
	my ($what, $sql) = @$_;
	for my $how (qw(pg_cancel_backend pg_terminate_backend))
	{
		my $err;
		prompt("$how, $what",
			sub { (ended_by($how, 'SELECT pg_sleep(600)', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')}))[0] },
			sub { (my $seconds, $err) = ended_by($how, $sql, q{SELECT (dsocr_status()->>'active')::int > 0}); $seconds });
		like($err, $how eq 'pg_cancel_backend' ? qr/57014: canceling statement due to user request/ : qr/57P01/, "$how, $what: its error");
		active_is(0, "$how, $what: the slot is free again");
	}
}

# An error that is caught closes its socket then, not when the session ends.
is($node->safe_psql('postgres', q{
	DO $$ BEGIN
		FOR i IN 1..2000 LOOP
			BEGIN PERFORM dsocr_text('x FAKE:error=bad_input'); EXCEPTION WHEN invalid_binary_representation THEN END;
		END LOOP;
	END $$; SELECT dsocr_text('TEXT:still here')}), 'still here', '2,000 errors in one session cost no descriptors');

# 200 callers at once, more documents than sockets, and all are answered.
is($node->safe_psql('postgres', q{
	SELECT count(*), count(DISTINCT ord), bool_and(result->'document'->>'text' = 'n' || ord)
	FROM dsocr_extract_many(ARRAY(SELECT convert_to('TEXT:n' || i, 'UTF8') FROM generate_series(1, 200) i))}),
	'200|200|t', 'dsocr_extract_many: 200 documents, each with its own answer');
is($node->safe_psql('postgres', q{SELECT string_agg(coalesce(result->'document'->>'text', 'NULL'), ',' ORDER BY ord)
	FROM dsocr_extract_many(ARRAY['TEXT:a', NULL, 'TEXT:c']::bytea[])}), 'a,NULL,c', 'dsocr_extract_many: NULL stays NULL');
is($node->safe_psql('postgres', q{SELECT result->'error_status'->0->>'sqlstate'
	FROM dsocr_extract_many(ARRAY['TEXT:a', 'FAKE:error=bad_input']::bytea[]) WHERE ord = 2}), '22P03',
	'dsocr_extract_many: a bad document among good ones is a result with a reason');
faults($node, 'hold=1');
my $many = spawn_query($node, q{SELECT count(*) FROM dsocr_extract_many(array_fill('TEXT:x'::bytea, ARRAY[16]))});
ok($node->poll_query_until('postgres', q{SELECT (dsocr_status()->>'active')::int > 1}), 'dsocr_extract_many: documents are in the engine together');
no_faults($node);
is(($many->())[1], "16\n", 'and all are answered');

# Stored whole, compressed, and outside the row uncompressed (which goes slice by slice): the same bytes arrive.
$node->safe_psql('postgres', q{
	CREATE TABLE scans (kind text, scan bytea);
	ALTER TABLE scans ALTER scan SET STORAGE EXTERNAL;
	INSERT INTO scans SELECT 'external', decode(string_agg(md5(i::text), ''), 'hex') FROM generate_series(1, 300000) i;
	ALTER TABLE scans ALTER scan SET STORAGE EXTENDED;
	INSERT INTO scans SELECT 'compressed', convert_to(repeat('same again ', 300000), 'UTF8');
	INSERT INTO scans VALUES ('inline', 'short')});
is($node->safe_psql('postgres', q{SELECT string_agg(kind, ',' ORDER BY kind) FROM scans
	WHERE dsocr_info(scan)->>'sha256' = encode(sha256(scan), 'hex')}), 'compressed,external,inline', 'the bytes that were stored are those that arrive');
is($node->safe_psql('postgres', q{SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0; SELECT count(dsocr_text(scan)) FROM scans}), 3, 'parallel workers may read');

# Limits are checked on the stored header.
$node->append_conf('postgresql.conf', 'dsocr.max_image_bytes = 1MB');
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('dsocr.max_image_bytes') = '1MB'});
fails($node, q{SELECT dsocr_text(scan) FROM scans WHERE kind = 'external'}, '54000', 'over max_image_bytes',
	message => qr/document has 4800000 bytes/, detail => qr/dsocr.max_image_bytes is 1048576/, hint => qr/raise dsocr.max_image_bytes/);

# DROP EXTENSION while the engine works: nobody is stuck, nothing breaks.
faults($node, 'hold=1');
my $query = spawn_query($node, q{SELECT dsocr_text('TEXT:to the end')});
$node->poll_query_until('postgres', q{SELECT (dsocr_status()->>'active')::int > 0});
my ($rc, $out, $err) = $node->psql('postgres', q{DROP EXTENSION dsocr});
is($rc, 0, 'DROP EXTENSION while the engine works') or diag($err);
no_faults($node);
my ($seconds, $answer, $error) = $query->();
is($answer, "to the end\n", 'and the call that was under way has its answer') or diag($error);
$node->safe_psql('postgres', 'CREATE EXTENSION dsocr');
reads($node, 'DROP EXTENSION');
same_bystander('cancels, timeouts, DROP EXTENSION');

# Shutdown while reading.
for my $mode (qw(fast immediate))
{
	my $query = spawn_query($node, q{SELECT dsocr_text('x FAKE:silent')});
	$node->poll_query_until('postgres', q{SELECT (dsocr_status()->>'active')::int > 0});
	my $pid = status($node, 'pid');
	$node->stop($mode); # waits for three minutes, the engine for ever
	pass("$mode shutdown while reading");
	($seconds, $out, $err) = $query->();
	like($err, qr/57P0\d|server closed the connection|terminating connection/, "$mode shutdown: the caller is told");
	ok(ended($pid), "$mode shutdown: the engine is gone");
	$node->start;
	wait_for_state($node, 'ready');
	reads($node, "after a $mode shutdown");
}
not_restarted($node);
$node->stop('fast');
done_testing();
