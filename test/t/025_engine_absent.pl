# The engine is not there for an hour: its executable is gone. Everything waits, is seen to wait, and counts as nobody's failure.
use strict;
use warnings;
use Dsocr;
use File::Copy;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $engine = PostgreSQL::Test::Utils::tempdir() . '/engine';
copy(fake_engine(), $engine) or BAIL_OUT("$engine: $!");
chmod 0755, $engine;
my $node = server('absent', engine => $engine, conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.retry_delay = 50ms\ndsocr.max_attempts = 2");
bystander($node);
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT dsocr_status(); SELECT * FROM dsocr.job')) }

sql(q{CREATE TABLE t (id int PRIMARY KEY, scan bytea); INSERT INTO t VALUES (1, 'TEXT:1'); SELECT dsocr_attach('t', 'scan')});
is(sql(q{SELECT dsocr_wait(1, '3min')}), 0, 'the first is read');

# It goes while it reads some.
faults($node, 'hold=1');
sql(q{INSERT INTO t SELECT g, convert_to('TEXT:' || g, 'UTF8') FROM generate_series(2, 30) g});
until_true(q{SELECT count(*) > 1 FROM dsocr.jobs WHERE state = 'claimed'}, 'some are being read');
rename $engine, "$engine.gone" or BAIL_OUT("$engine: $!");
kill 'KILL', status($node, 'pid');
no_faults($node);
until_true(q{SELECT dsocr_status()->>'state' <> 'ready'}, 'the engine is gone');
my $job = sql(q{SELECT dsocr_submit('TEXT:submitted')});
until_true(q{SELECT count(*) = 30 FROM dsocr.job WHERE state = 'queued'}, 'what was being read waits again');

# An hour later.
sql(q{UPDATE dsocr.job SET created_at = created_at - interval '1 hour', not_before = not_before - interval '1 hour'; UPDATE dsocr.inbox SET created_at = created_at - interval '1 hour'});
sleep 4; # many times dsocr.retry_delay: more than dsocr.max_attempts allows
note(sql('SELECT dsocr_status()'));
is(sql(q{SELECT s->>'state' <> 'ready', s->'queue'->>'waiting', s->'queue'->>'reading', s->'queue'->>'dead', (s->'queue'->>'oldest_wait_s')::int >= 3600 FROM dsocr_status() s}),
	't|30|0|0|t', 'dsocr_status says that no engine is there, what waits, and for how long');
is(sql(q{SELECT pending, failed, problem IS NULL, now() - oldest_pending > interval '1 hour' FROM dsocr.coverage}), '29|0|t|t', 'so does dsocr.coverage');
is(sql(q{SELECT max(attempts), max(crashes), count(failed_at) FROM dsocr.job}), '0|0|0', 'no document is blamed for it');
is(sql("SELECT dsocr_result($job) IS NULL"), 't', 'a submitted document waits, too');

rename "$engine.gone", $engine or BAIL_OUT("$engine: $!");
$node->reload; # or the supervisor's next attempt
wait_for_state($node, 'ready');
is(sql(q{SELECT dsocr_wait(timeout => '3min')}), 0, 'the engine is back: nothing waits');
is(sql(q{SELECT count(*) FILTER (WHERE current AND search_text = id::text), count(*) FROM t_scan_ocr}), '30|30', 'all are read, once');
is(sql(q{SELECT count(*) FROM dsocr.failed_items}), 0, 'nothing was given up');
is(sql("SELECT dsocr_result($job)->'document'->>'text'"), 'submitted', 'the submitted one, too');
same_bystander('an hour without an engine');
not_restarted($node);
$node->stop('fast');
done_testing();
