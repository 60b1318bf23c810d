# A backlog of documents of 50 MB in the queue: its worker holds no more of them than dsocr.max_inflight_bytes allows, and all
# are read. (009_crowd.pl has 200 callers with 50 MB each.)
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = server('backlog', engine => fake_engine(), conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.max_inflight_bytes = 100MB");
wait_for_state($node, 'ready');
sub sql { return $node->safe_psql('postgres', $_[0]) }

# 50 MB each, of which the table holds little.
sql(q{CREATE TABLE t (id int PRIMARY KEY, scan bytea); SELECT dsocr_attach('t', 'scan')});
is(sql(q{SELECT dsocr_wait(1, '3min')}), 0, 'an empty table is watched');
my $worker = q{SELECT pid FROM pg_stat_activity WHERE application_name = 'dsocr queue worker' AND datname = 'postgres'};
sub worker_mb { return (slurp_file('/proc/' . sql($worker) . '/status') =~ /RssAnon:\s+(\d+) kB/)[0] / 1024 }

faults($node, 'hold=1');
sql(q{INSERT INTO t VALUES (1, decode('544558543a6c6172676500', 'hex') || decode(repeat('00', 50 << 20), 'hex'))});
sql(q{INSERT INTO t SELECT g, scan FROM t, generate_series(2, 60) g});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM dsocr.jobs WHERE state = 'claimed'}), 'some are being read');
sleep 3; # more are claimed by now, if any
my $claimed = sql(q{SELECT count(*) FROM dsocr.jobs WHERE state = 'claimed'});
my $most = worker_mb();
no_faults($node);
while (sql(q{SELECT count(*) FROM dsocr.job}) > 0)
{
	my $mb = eval { worker_mb() } // 0;
	$most = $mb if $mb > $most;
	sleep 0.1;
}
note(sprintf '%d were claimed at once; the worker had %.0f MB at most', $claimed, $most);
cmp_ok($most, '<', 100 + 100, 'the worker stays below dsocr.max_inflight_bytes + 100 MB');
is(sql(q{SELECT count(*) FILTER (WHERE current AND search_text = 'large'), count(*), (SELECT count(*) FROM dsocr.failed_items) FROM t_scan_ocr}), '60|60|0', 'all are read, once');
not_restarted($node);
$node->stop('fast');
done_testing();
