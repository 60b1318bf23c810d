# chaos.pl - everything that can be killed is killed while documents are read; afterwards each has been read exactly once.
#
# CHAOS_JOBS documents come in portions, a kill after each (CHAOS_KILLS, of these CHAOS_RESTARTS are restarts of the whole
# cluster). Some are changed while they are read, some have many pages, some are poison: what is no document, and what ends
# the engine. A trigger writes down every result that is stored, the engine every page that it reads. Then: nothing lost,
# nothing stored twice, given up exactly the poison, hardly a page read again.
#
# The run must fail when it should: plants.sh builds a server with mistakes in it, which DSOCR_PLANT names.
use strict;
use warnings;
use Dsocr;
use List::Util qw(max sum0);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $jobs = $ENV{CHAOS_JOBS} // 1000;
my $kills = $ENV{CHAOS_KILLS} // 20;
my $restarts = $ENV{CHAOS_RESTARTS} // 3;
my $patience = $ENV{CHAOS_PATIENCE} // 180;
my $seed = $ENV{CHAOS_SEED} // time & 0xffff;
my $portion = int($jobs / $kills);
srand $seed;
note("$jobs jobs, $kills kills, $restarts restarts of the cluster, CHAOS_SEED=$seed");

my $node = server('chaos', engine => fake_engine(), conf => <<'CONF');
restart_after_crash = on
dsocr.naptime = 1s
dsocr.retry_delay = 100ms
log_min_messages = warning
log_statement = none
CONF
wait_for_state($node, 'ready');

# A statement that may meet a server that is down. It must be one that may be said twice.
sub sql
{
	my ($sql) = @_;
	my $until = time + 180;
	while (1)
	{
		# psql that ends before it has read what it is to say: perl dies of the broken pipe.
		my ($rc, $out, $err) = eval { $node->psql('postgres', $sql, timeout => 120) };
		return $out if defined $rc && $rc == 0;
		$err //= $@;
		BAIL_OUT("$sql: $err") if time > $until || $err =~ /ERROR:  (?!terminating)/;
		sleep 0.1;
	}
}

sql(q{CREATE TABLE s (id int PRIMARY KEY, scan bytea);
	SELECT dsocr_attach('s', 'scan');
	CREATE TABLE audit (id int, page int, version int, sha256 text, what text, at timestamptz DEFAULT clock_timestamp());
	CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_OP = 'INSERT' OR (NEW.sha256, NEW.search_text, NEW.status, NEW.version) IS DISTINCT FROM (OLD.sha256, OLD.search_text, OLD.status, OLD.version) THEN
			INSERT INTO public.audit VALUES (NEW.id, NEW.page, NEW.version, NEW.sha256, TG_OP);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER audit AFTER INSERT OR UPDATE ON s_scan_ocr FOR EACH ROW EXECUTE FUNCTION audit()});

# ---- documents
my $poison = 999999999;
my @poison = map { $poison - $_ } 0 .. 3;
my $versions = 0;

# Every 40th has 12 pages, one of a thousand 60.
sub pages { return "CASE WHEN $_[0] % 1000 = 500 THEN 60 WHEN $_[0] % 40 = 0 THEN 12 ELSE 1 END" }

sub body
{
	my ($id, $version) = @_;
	return "convert_to('TEXT:' || $id || ' v$version FAKE:count,' || CASE " . pages($id) . " WHEN 1 THEN 'slow=' || 40 + $id % 120 ELSE 'page_slow=10,pages=' || "
	  . pages($id) . " END || ';', 'UTF8')";
}

sub feed
{
	my ($from, $to) = @_;
	sql("INSERT INTO s SELECT g, " . body('g', 0) . " FROM generate_series($from, $to) g ON CONFLICT DO NOTHING");
}

# Some of those that are being read now, and some others.
sub change_some
{
	my ($max) = @_;
	my $ids = join ',', map { 1 + int rand $max } 1 .. 3;
	$versions++;
	sql("UPDATE s SET scan = " . body('id', $versions) . " WHERE id < 999999000 AND (id IN ($ids)
		OR id IN (SELECT key[1]::int FROM dsocr.job WHERE state = 'claimed' AND watch = 1 LIMIT 2))");
}

# ---- kills
# Of a process that may just be starting; 0: it does not come.
sub pid
{
	my ($query, $pid) = @_;
	for (my $until = time + 30; time < $until; sleep 0.05)
	{
		last if $pid = sql($query);
	}
	return $pid;
}

sub pid_of { return pid("SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'dsocr $_[0]'") }
sub end_engine { my $pid = pid(q{SELECT dsocr_status()->>'pid'}); return $pid && kill 'KILL', $pid }
sub end_worker { my $pid = pid_of($_[0]); return $pid && sql("SELECT pg_terminate_backend($pid)") eq 't' }

sub end_backend
{
	my $victim = eval { $node->background_psql('postgres', on_error_stop => 0) } or return 0;
	my $pid = eval { $victim->query('SELECT pg_backend_pid()') };
	my $done = $pid && kill 'KILL', $pid;
	sleep 0.5;
	eval { $victim->quit };
	return $done;
}

my %killer = (
	engine => \&end_engine,
	'queue worker' => sub { end_worker('queue worker') },
	launcher => sub { end_worker('launcher') },
	supervisor => sub { end_worker('supervisor') },
	'backend (SIGKILL)' => \&end_backend,
	'queue worker (SIGKILL)' => sub { my $pid = pid_of('queue worker'); return $pid && kill 'KILL', $pid },
	'immediate restart' => sub { $node->stop('immediate'); $node->start; return 1 });
my @mild = ('engine', 'queue worker', 'engine', 'supervisor', 'queue worker', 'launcher', 'engine');
my @wild = ('backend (SIGKILL)', 'immediate restart', 'queue worker (SIGKILL)');

sub plan_of_kills
{
	my @plan = map { $mild[ $_ % @mild ] } 0 .. $kills - $restarts - 1;
	splice @plan, 1 + int(@plan * ($_ + 0.5) / $restarts), 0, $wild[ $_ % @wild ] for 0 .. $restarts - 1;
	return @plan;
}

sub poll
{
	my ($sql, $seconds) = @_;
	for (my $until = time + $seconds; time < $until; sleep 0.02)
	{
		return 1 if sql($sql) eq 't';
	}
	return 0;
}

# An innocent document that is alone in the engine each time somebody else kills it would look guilty.
sub let_suspects_pass
{
	sql('SELECT pg_reload_conf()'); # and the engine's back-off is forgotten
	poll(q{SELECT NOT EXISTS (SELECT FROM dsocr.job WHERE suspect AND state <> 'dead')}, max(30, $patience));
}

my ($fed, $landed, $done) = (0, 0, 0);
for my $kind (plan_of_kills())
{
	sql("INSERT INTO s VALUES ($poison[0], 'FAKE:error=bad_input;'), ($poison[1], 'FAKE:slow=30,error=limit;') ON CONFLICT DO NOTHING") if $done == 2;
	sql("INSERT INTO s VALUES ($poison[2], 'FAKE:slow=30,exit=after_body;') ON CONFLICT DO NOTHING") if $done == 4;
	sql("INSERT INTO s VALUES ($poison[3], '') ON CONFLICT DO NOTHING") if $done == 6;
	let_suspects_pass() if $kind eq 'engine' || $kind eq 'supervisor';
	feed($fed + 1, $fed + $portion);
	$fed += $portion;
	change_some($fed);
	poll(q{SELECT EXISTS (SELECT FROM dsocr.job WHERE state = 'claimed') AND dsocr_status()->>'state' = 'ready'}, 15);
	change_some($fed) if $done % 2;
	my ($claimed, $ok);
	for (1 .. 100)
	{
		$claimed = sql(q{SELECT count(*) FROM dsocr.job WHERE state = 'claimed'});
		last if $ok = $killer{$kind}->();
		sleep 0.1; # the last one's successor is still on its way
	}
	$done += $ok ? 1 : 0;
	$landed += $ok && $claimed ? 1 : 0;
	note("kill of $kind " . ($ok ? "with $claimed jobs claimed" : 'found no victim'));
	change_some($fed);
}

# ---- afterwards
sql('SELECT pg_reload_conf()');
my $settled = poll(q{SELECT dsocr_status()->>'state' = 'ready' AND NOT EXISTS (SELECT FROM dsocr.job WHERE state <> 'dead')}, $patience);
ok($settled, 'the queue is empty in the end') or diag(sql(q{SELECT state, suspect, count(*), min(id), max(error_message) FROM dsocr.job GROUP BY 1, 2}));
cmp_ok($done, '>=', $kills * 0.95, "$done of $kills kills found a victim");
cmp_ok($landed, '>=', $done * 0.8, "$landed of $done landed while jobs were claimed");
is(sql(q{SELECT count(*) FROM s WHERE id < 999999000}), $fed, "$fed documents have come, and $versions times some were changed");
is( sql(q{SELECT count(*) FROM s LEFT JOIN s_scan_ocr r ON r.id = s.id AND r.current AND r.page = 1
		AND 'TEXT:' || r.search_text = btrim(split_part(convert_from(s.scan, 'UTF8'), 'FAKE', 1)) WHERE s.id < 999999000 AND r.id IS NULL}),
	0, '0 lost: the newest version of each is read');
is( sql('SELECT count(*) FROM (SELECT id FROM s WHERE id < 999999000 EXCEPT SELECT id FROM s_scan_ocr WHERE current GROUP BY id HAVING count(DISTINCT page) = '
		  . pages('id') . ') d'), 0, 'each has all its pages');
is(sql(q{SELECT count(*) FROM (SELECT FROM s_scan_ocr WHERE current GROUP BY id, page HAVING count(*) > 1) d}), 0, 'one current result for each page');
is( sql(q{SELECT count(*) FROM (SELECT FROM audit GROUP BY id, page, sha256 HAVING count(*) > 1) d}),
	0, '0 twice: no version of a document was stored two times');
is(sql(q{SELECT count(*) FROM audit WHERE what <> 'INSERT'}), 0, 'no result was written over');
is(sql(q{SELECT string_agg((key->>'id') || ' ' || error_code, ', ' ORDER BY key->>'id' DESC) FROM dsocr.failed_items}),
	"$poison[0] bad_input, $poison[1] limit, $poison[2] engine_crash, $poison[3] bad_input", 'given up is exactly the poison');
is(sql('SELECT count(*) FROM dsocr.page'), 0, 'nothing is left of documents that were half read');

# What the engine wrote down: a page that it had read when something died is read again; one that it had only begun, too, but
# that is no loss.
my (%begun, %read);
for (split /\n/, slurp_file($node->data_dir . '/pg_stat_tmp/dsocr.sock.pages'))
{
	/^(begun|read) (.+)/ and ($1 eq 'read' ? $read{$2} : $begun{$2})++;
}
my ($nread, $nbegun) = (sum0(values %read), sum0(values %begun));
my $again = 100 * ($nread - keys %read) / keys %read;
cmp_ok($again, '<=', 5, sprintf '%.2f %% of %d pages were read again', $again, scalar keys %read);
note(sprintf '%d pages were begun %d times: %.2f %% more', scalar keys %begun, $nbegun, 100 * ($nbegun / keys(%begun) - 1));
note(sql(q{SELECT count(*) || ' results stored of ' || count(DISTINCT id) || ' documents' FROM audit}));
$node->stop('fast');
done_testing();
1;
