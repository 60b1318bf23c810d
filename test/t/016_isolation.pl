# What a user does with his rows is his business: no statement of his fails with 40P01 or 40001, or waits for long,
# because they are being read; and what he holds stops nobody else's rows.
#
# Sessions in the background, and not specs of isolationtester: a step has to wait until a document is with the engine
# or a result is stored, and the engine has to be told to be slow; a spec can do neither.
use strict;
use warnings;
use Dsocr;
use Test::More;
use Time::HiRes qw(sleep);

my $node = server('isolation', engine => fake_engine(),
	conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.retry_delay = 50ms\ndsocr.max_attempts = 2\ndeadlock_timeout = 200ms");
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub all_read { is(sql("SELECT dsocr_wait(timeout => '3min')"), 0, "$_[0]: all is read") }
sub current { return sql("SELECT string_agg(search_text, ',') FROM t_scan_ocr WHERE id = $_[0] AND current") }

sub session
{
	my $s = $node->background_psql('postgres', on_error_stop => 0);
	$s->query_safe('SELECT 1');
	return $s;
}

sql(q{CREATE TABLE t (id int PRIMARY KEY, title text, scan bytea);
	INSERT INTO t SELECT g, '', convert_to('TEXT:old ' || g, 'UTF8') FROM generate_series(1, 40) g; SELECT dsocr_attach('t', 'scan')});
all_read('at first');

# ---- an old snapshot: results are stored after it was taken, of the rows that its transaction then changes
my $first = 1;
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my ($a, $b, $c) = ($first, $first + 1, $first + 2);
	my $user = session();
	$user->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM t");
	sql(qq{UPDATE t_scan_ocr SET search_text = 'doubtful' WHERE id IN ($a, $b, $c)}); # so that there is something to store
	sql(qq{SELECT dsocr.add_job(1, ARRAY[id::text]) FROM t WHERE id IN ($a, $b, $c)});
	all_read("$level: with an old snapshot beside it");
	is(sql(qq{SELECT count(*) FROM t_scan_ocr WHERE id IN ($a, $b, $c) AND current AND search_text LIKE 'old%'}), 3, "$level: results are stored beside it");
	is(says($user, "UPDATE t SET scan = 'TEXT:mine' WHERE id = $a"), '', "$level: a document is changed");
	is(says($user, "UPDATE t SET title = 'mine' WHERE id = $b"), '', "$level: another column is changed");
	is(says($user, "INSERT INTO t VALUES ($a + 1000, '', 'TEXT:new')"), '', "$level: a row is inserted");
	is(says($user, "DELETE FROM t WHERE id = 40 - $a"), '', "$level: a row that was not read meanwhile is deleted");
	is(says($user, "DELETE FROM t WHERE id = $c"), '', "$level: and one that was");
	is(says($user, "UPDATE t SET id = id + 2000 WHERE id = $b"), '', "$level: the key of one that was read is changed");
	is(says($user, 'COMMIT'), '', "$level: and it commits");
	$user->quit;
	all_read($level);
	is(current($a), 'mine', "$level: what it wrote is read");
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM t_scan_ocr WHERE id IN ($b, $c))"), "$level: results of what it deleted are gone");
	is(current($b + 2000), "old $b", "$level: and have followed the changed key");
	$first += 3;
}

# ---- transactions left open while their rows are with the engine
faults($node, 'hold=1');
sql(q{SELECT dsocr.add_job(1, ARRAY[id::text]) FROM t WHERE id BETWEEN 10 AND 13});
$node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM dsocr.jobs WHERE state = 'claimed'});
my $user = session();
is(says($user, q{BEGIN; UPDATE t SET scan = 'TEXT:changed' WHERE id = 10}), '', 'a document is changed while it is read');
is(says($user, q{UPDATE t SET id = 1011 WHERE id = 11}), '', 'a key is changed while its row is read');
is(says($user, q{DELETE FROM t WHERE id = 12}), '', 'a row is deleted while it is read');
is(says($user, q{SELECT FROM t WHERE id = 13 FOR UPDATE}), '', 'a row is locked while it is read');
no_faults($node);
sql(q{INSERT INTO t VALUES (50, '', 'TEXT:another')});
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM t_scan_ocr WHERE id = 50)}), 'other rows are read meanwhile');
sleep 3; # more often than dsocr.max_attempts allows
is(sql('SELECT count(*) FROM dsocr.failed_items'), 0, 'nothing is given up because its row is locked');
cmp_ok(sql('SELECT count(*) FROM dsocr.jobs'), '>=', 1, 'it waits');
like(sql(q{SELECT string_agg(DISTINCT error_message, ',') FROM dsocr.jobs WHERE key IN ('{11}', '{12}', '{13}')}) , qr/lock timeout/, 'and dsocr.jobs says for what');
is(says($user, 'COMMIT'), '', 'they commit');
$user->quit;
all_read('after open transactions');
is(current(10), 'changed', 'the changed document is read');
is(current(1011), 'old 11', 'results have followed the changed key');
is(sql('SELECT count(*) FROM t_scan_ocr WHERE id = 12'), 0, 'the deleted row has no results');
is(current(13), 'old 13', 'the locked row is read');

# ---- locks in the other order: his result first, then its row, which the worker holds while it waits for the result
sql(q{UPDATE t_scan_ocr SET search_text = 'doubtful' WHERE id = 20});
$user = session();
is(says($user, q{BEGIN; UPDATE t_scan_ocr SET search_text = 'by hand' WHERE id = 20}), '', 'a result is changed by hand');
sql(q{SELECT dsocr.add_job(1, '{20}')});
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity USING (pid) WHERE NOT l.granted AND application_name = 'dsocr queue worker')});
is(says($user, q{DELETE FROM t WHERE id = 20}), '', 'then its row is deleted: the worker gives way, and there is no deadlock');
is(says($user, 'COMMIT'), '', 'and it commits');
$user->quit;
all_read('after locks in the other order');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/deadlock detected/, 'the server has seen no deadlock');

# ---- detach while reading
faults($node, 'hold=1');
sql(q{SELECT dsocr.add_job(1, ARRAY[id::text]) FROM t WHERE id BETWEEN 21 AND 24});
$node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM dsocr.jobs WHERE state = 'claimed'});
is(scalar $node->psql('postgres', 'SELECT dsocr_detach(1)', timeout => 180), 0, 'detach does not wait for what is being read');
no_faults($node);
my $before = sql('SELECT count(*) FROM t_scan_ocr');
sleep 2;
is(sql('SELECT (SELECT count(*) FROM t_scan_ocr), (SELECT count(*) FROM dsocr.job)'), "$before|0", 'what was being read comes to nothing');
is(sql(q{SELECT dsocr_attach('t', 'scan', result_table => 'again')}), 2, 'and the table is attached again');
all_read('attached again');
is(sql('SELECT (SELECT count(*) FROM again) = (SELECT count(*) FROM t)'), 't', 'every row is read');

# ---- results without a foreign key: an old snapshot may even delete what was read after it
sql(q{CREATE TABLE kept (id int PRIMARY KEY, scan bytea); INSERT INTO kept VALUES (1, 'TEXT:one'), (2, 'TEXT:two'); SELECT dsocr_attach('kept', 'scan', on_delete => 'keep', backfill => false)});
$user = session();
$user->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM kept');
sql(q{SELECT dsocr.add_job(3, ARRAY[id::text]) FROM kept});
all_read('kept');
is(says($user, 'DELETE FROM kept WHERE id = 1'), '', "on_delete 'keep': an old snapshot deletes a row that was read after it");
is(says($user, 'UPDATE kept SET id = 3 WHERE id = 2'), '', "on_delete 'keep': or changes its key");
is(says($user, 'COMMIT'), '', "on_delete 'keep': and commits");
$user->quit;

is(sql('SELECT count(*) FROM dsocr.failed_items'), 0, 'nothing was given up');
not_restarted($node);
$node->stop('fast');
done_testing();
