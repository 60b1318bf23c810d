# 200 callers with 50 MB each at once: memory is bounded, and everybody gets a result or 53000. So does who asks an engine that
# the system gives no more memory.
use strict;
use warnings;
use Documents;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($bindir) = `pg_config --bindir` =~ /(.*)/;
plan skip_all => "no engine is installed as $bindir/dsocr" unless -x "$bindir/dsocr";

my $CALLERS = 200;
my $node = server('crowd', conf => 'max_connections = 230');
bystander($node);
wait_for_state($node, 'ready');
store($node, good => page_file('letter_en.jpg'));

# A good page with 50 MB behind it, another one for each ten callers, stored outside the row and uncompressed.
$node->safe_psql('postgres', q{
	ALTER TABLE documents ALTER doc SET STORAGE EXTERNAL;
	INSERT INTO documents SELECT 'large' || i, doc || decode(repeat('00', 50 << 20), 'hex') || convert_to(i::text, 'UTF8')
	  FROM documents, generate_series(0, 19) i WHERE name = 'good';
	CREATE TABLE outcomes (outcome text)});
my $script = PostgreSQL::Test::Utils::tempdir . '/call.sql';
append_to_file($script, q{DO $$ DECLARE detail text; hint text; BEGIN
	PERFORM 1 FROM documents WHERE name = 'large' || pg_backend_pid() % 20 AND dsocr_text(doc) LIKE '%Yours faithfully%';
	INSERT INTO outcomes VALUES (CASE WHEN FOUND THEN 'read' ELSE 'misread' END);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	INSERT INTO outcomes VALUES (format('%s %s|%s|%s', SQLSTATE, SQLERRM, detail, hint));
END $$;
});

# The engine and its children, in MB.
my $engine = status($node, 'pid');

sub engine_mb
{
	my ($rss) = slurp_file("/proc/$engine/status") =~ /RssAnon:\s+(\d+) kB/;
	return $rss / 1024;
}

sub run_crowd
{
	my ($out, $most) = ('', 0);
	$node->safe_psql('postgres', 'TRUNCATE outcomes');
	my $run = IPC::Run::start([ 'pgbench', '-n', '-c', $CALLERS, '-j', 2, '-t', 1, '-f', $script, '-d', $node->connstr('postgres') ],
		'>', \$out, '2>&1');
	while ($run->pumpable)
	{
		$run->pump_nb;
		my $now = engine_mb();
		$most = $now if $now > $most;
		sleep 0.05;
	}
	$run->finish;
	return $most;
}

my $before = engine_mb();
my $start = time;
my $most = run_crowd();
note(sprintf 'engine: %.0f MB before, %.0f MB at most, %.1f s', $before, $most, time - $start);
is($node->safe_psql('postgres', 'SELECT outcome, count(*) FROM outcomes GROUP BY 1'), "read|$CALLERS", 'every caller has its page read');
cmp_ok($most, '<', $before + 256 + 100, 'the engine stays below model + max_inflight_bytes + 100 MB');

# A short queue: who does not fit is told at once.
$node->safe_psql('postgres', 'ALTER SYSTEM SET dsocr.max_waiting = 20');
$node->reload;
my $outcomes;
for (1 .. 10) # the engine is told a moment later
{
	run_crowd();
	$outcomes = $node->safe_psql('postgres', q{SELECT coalesce(string_agg(DISTINCT left(outcome, 5), ',' ORDER BY left(outcome, 5)), '') FROM outcomes});
	last if $outcomes =~ /53000/;
}
is($outcomes, '53000,read ' =~ s/ //r, 'with dsocr.max_waiting = 20: read, or 53000');
is($node->safe_psql('postgres', 'SELECT count(*) FROM outcomes'), $CALLERS, 'and nobody without an answer');
my $refused = $node->safe_psql('postgres', q{SELECT outcome FROM outcomes WHERE outcome LIKE '53000%' LIMIT 1});
like($refused, qr/^53000 too many documents wait to be read\|/, 'full queue: message');
like($refused, qr/\|\d+ wait; dsocr\.max_waiting is 20\.\|/, 'full queue: detail');
like($refused, qr/\|Try again later or raise the limit\.$/, 'full queue: hint');
is(status($node, 'pid'), $engine, 'the engine has lived through it');

# The system has no more memory for the engine. A watch's scans wait meanwhile.
sub engine_may_have
{
	my ($bytes) = @_;
	is(system('prlimit', "--pid=$engine", "--as=$bytes:"), 0, "the engine's address space: $bytes");
}

sub take_memory
{
	my ($size) = slurp_file("/proc/$engine/status") =~ /VmSize:\s+(\d+) kB/;
	engine_may_have(($size << 10) + (1 << 20));
}

my $count = 0;
sub another { return 'SELECT dsocr_text(doc || convert_to(' . $count++ . q{::text, 'UTF8')) LIKE '%Yours faithfully%' FROM documents WHERE name = 'good'} }

take_memory();
fails($node, q{SELECT dsocr_text(doc || '\x78') FROM documents WHERE name = 'large0'}, '53000', 'no memory for a document',
	message => qr/out of memory for a document of \d+ bytes/, hint => qr/Try again when fewer pages/);
fails($node, another(), '53000', 'no memory for its pages', message => qr/memory/, hint => qr/Try again when fewer pages/);
$node->safe_psql('postgres', q{CREATE TABLE scans (id int PRIMARY KEY, scan bytea); SELECT dsocr_attach('scans', 'scan')});
$node->safe_psql('postgres', q{INSERT INTO scans SELECT 1, doc || '\x77' FROM documents WHERE name = 'good'});
$node->poll_query_until('postgres', q{SELECT count(error_code) > 0 FROM dsocr.jobs});
is($node->safe_psql('postgres', q{SELECT DISTINCT state, error_code, attempts FROM dsocr.jobs WHERE error_message LIKE '%memory%'}), 'queued|busy|0', 'a scan waits for memory');
engine_may_have('unlimited');
is($node->safe_psql('postgres', another()), 't', 'with memory again, a page is read');
is($node->safe_psql('postgres', q{SELECT dsocr_wait(1, '3min')}), 0, 'and so is the scan that waited');
is(status($node, 'pid'), $engine, 'by the engine of before');
same_bystander('the crowd');
not_restarted($node);
$node->stop('fast');
done_testing();
