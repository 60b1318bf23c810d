# The queue works in the background of everything else: nothing has to be stopped for a change of the server.
use strict;
use warnings;
use Dsocr;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = server('gives_way', engine => fake_engine(), conf => "log_min_messages = warning\ndsocr.naptime = 2s\nmax_wal_senders = 4\nwal_level = replica");
wait_for_state($node, 'ready');

# A database whose queue is at work, and has enough for a while.
sub busy_database
{
	my ($db, $rows) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, qq{CREATE EXTENSION IF NOT EXISTS dsocr; CREATE TABLE s (id int PRIMARY KEY, scan bytea);
		SELECT dsocr_attach('s', 'scan'); INSERT INTO s SELECT g, convert_to('TEXT:' || g, 'UTF8') FROM generate_series(1, $rows) g});
	ok($node->poll_query_until($db, q{SELECT EXISTS (SELECT FROM dsocr.job WHERE state = 'claimed')}), "$db: the queue is at work");
}

# The engine is held: who waits for the queue to be done waits for ever. The server gives other sessions five seconds to
# leave a database, which on a busy machine may be too few.
sub succeeds
{
	my ($what, $sql, $db) = @_;
	my ($rc, $out, $err);
	for (1 .. 5)
	{
		($rc, $out, $err) = $node->psql($db // 'postgres', $sql, timeout => 180);
		last if $err !~ /is being accessed by other users/;
		note("$what: $err");
	}
	is($rc, 0, "$what succeeds while the queue is at work") or diag($err);
}

faults($node, 'hold=1');
busy_database('dropped', 1000);
succeeds('DROP DATABASE', 'DROP DATABASE dropped');
busy_database('template', 1000);
succeeds('CREATE DATABASE ... TEMPLATE', 'CREATE DATABASE copy TEMPLATE template');
ok($node->poll_query_until('template', q{SELECT EXISTS (SELECT FROM dsocr.job WHERE state = 'claimed')}), 'and the queue works on after it');
no_faults($node);
is($node->safe_psql('template', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT count(*) FROM s_scan_ocr)}), "0\n" . '1000', 'all of it is read');
is($node->safe_psql('copy', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT count(DISTINCT id) FROM s_scan_ocr)}), "0\n" . '1000', 'and all of the copy, by a worker of its own');

faults($node, 'hold=1');
busy_database('extension', 1000);
succeeds('DROP EXTENSION', 'DROP EXTENSION dsocr CASCADE', 'extension');
is($node->safe_psql('extension', q{SELECT count(*) < 1000 FROM s_scan_ocr}), 't', 'results outlive the extension');

# The model is changed under it: what is being read is asked for again, and is no failure.
busy_database('model', 60);
$node->safe_psql('postgres', "ALTER SYSTEM SET dsocr.model = 'another'");
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
no_faults($node);
is( $node->safe_psql('model', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT count(*) FROM s_scan_ocr), (SELECT count(*) FROM dsocr.failed_items),
	(SELECT count(*) FROM dsocr.job)}), "0\n" . '60|0|0', 'another model: everything is read once, nothing failed');

# Nobody is waited for by a worker for long, nor waits for it: a user's transaction is left open after an UPDATE.
my $user = $node->background_psql('model');
$user->query_safe(q{BEGIN; UPDATE s SET scan = 'TEXT:mine' WHERE id = 1; UPDATE s SET id = 1002 WHERE id = 2; DELETE FROM s WHERE id = 3});
$node->safe_psql('model', q{SELECT dsocr.add_job(1, ARRAY[id::text]) FROM s WHERE id <= 5; UPDATE s SET scan = 'TEXT:' || 'new' WHERE id = 4} =~ s/'TEXT:' \|\| 'new'/'TEXT:new'/r);
ok($node->poll_query_until('model', q{SELECT search_text = 'new' FROM s_scan_ocr WHERE id = 4 AND current}), "others' documents are read meanwhile");
sleep 2;
$user->query_safe('COMMIT');
$user->quit;
is($node->safe_psql('model', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT search_text FROM s_scan_ocr WHERE id = 1 AND current),
	(SELECT count(*) FROM s_scan_ocr WHERE id IN (2, 3)), (SELECT count(*) > 0 FROM s_scan_ocr WHERE id = 1002)}), "0\n" . 'mine|0|t', 'and the open transaction has its way');

# What a watch needs is gone, and comes back.
sub problem { return $node->safe_psql('model', 'SELECT problem FROM dsocr.watches') }
$node->safe_psql('model', 'ALTER TABLE s RENAME TO renamed');
$node->safe_psql('model', q{INSERT INTO renamed VALUES (100, 'TEXT:renamed')});
is($node->safe_psql('model', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT search_text FROM s_scan_ocr WHERE id = 100)}), "0\n" . 'renamed', 'a renamed table is still read');
$node->safe_psql('model', q{ALTER TABLE renamed RENAME scan TO picture});
$node->safe_psql('model', q{UPDATE renamed SET picture = 'TEXT:x' WHERE id = 100; SELECT dsocr_resume(1)});
ok($node->poll_query_until('model', q{SELECT problem = 'its column does not exist' FROM dsocr.watches}), 'a renamed column is told in the watch');
$node->safe_psql('model', q{ALTER TABLE renamed RENAME picture TO scan; ALTER TABLE s_scan_ocr RENAME TO elsewhere;
	INSERT INTO renamed VALUES (101, 'TEXT:kept')});
ok($node->poll_query_until('model', q{SELECT problem = 'its table of results does not exist' FROM dsocr.watches}), 'so is a table of results that is gone');
is($node->safe_psql('model', 'SELECT count(*) FROM dsocr.job'), 1, 'the job is kept');
$node->safe_psql('model', 'ALTER TABLE elsewhere RENAME TO s_scan_ocr; SELECT dsocr_resume(1)');
is($node->safe_psql('model', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT search_text FROM s_scan_ocr WHERE id = 101)}), "0\n" . 'kept', 'and it is read when the table is back');

# A user's own constraint refuses results; his triggers run as him, and not as the superuser that the worker is.
$node->safe_psql('model', q{ALTER TABLE s_scan_ocr ADD CHECK (search_text <> 'forbidden')});
$node->safe_psql('model', q{INSERT INTO renamed VALUES (102, 'TEXT:forbidden'), (103, 'TEXT:allowed')});
is($node->safe_psql('model', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT search_text FROM s_scan_ocr WHERE id = 103)}), "0\n" . 'allowed', 'a constraint stops one result and not the next');
is($node->safe_psql('model', q{SELECT error_code FROM dsocr.failed_items}), 'store_failed', 'and the refused one is in failed_items');
$node->safe_psql('model', q{CREATE ROLE owner; ALTER TABLE renamed OWNER TO owner; ALTER TABLE s_scan_ocr OWNER TO owner; GRANT CREATE ON SCHEMA public TO owner;
	SET ROLE owner; CREATE TABLE seen (who text, session text);
	CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.seen VALUES (current_user, current_setting('search_path')); RETURN NULL; END$$;
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON s_scan_ocr DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spy()});
$node->safe_psql('model', q{INSERT INTO renamed VALUES (104, 'TEXT:spied')});
is($node->safe_psql('model', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT search_text FROM s_scan_ocr WHERE id = 104)}), "0\n" . 'spied', 'the owner has changed');
is($node->safe_psql('model', 'TABLE seen'), 'owner|pg_catalog, pg_temp', "the owner's deferred trigger runs as the owner, with a fixed search_path");

# No room for a worker, then room.
$node->append_conf('postgresql.conf', 'max_worker_processes = 3'); # launcher, supervisor, and the server's own for replication
$node->restart;
$node->safe_psql('model', q{INSERT INTO renamed VALUES (105, 'TEXT:no room')});
ok($node->poll_query_until('model', q{SELECT EXISTS (SELECT FROM jsonb_array_elements(dsocr_status()->'queue'->'databases') d WHERE d->>'database' = 'model'
	AND d->>'state' = 'not_served' AND d->>'reason' LIKE '%max_worker_processes%')}), 'no room for a worker: dsocr_status says so');
is($node->safe_psql('model', 'SELECT count(*) FROM dsocr.job WHERE state = \'queued\''), 1, 'no room for a worker: the job waits');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
is($node->safe_psql('model', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT search_text FROM s_scan_ocr WHERE id = 105)}), "0\n" . 'no room', 'and is read when there is some');

# A fast shutdown in the middle of it; the rest is read after the start, and nothing twice.
wait_for_state($node, 'ready');
faults($node, 'hold=1');
busy_database('fast', 100);
$node->stop('fast');
pass('a fast shutdown does not wait for the queue');
no_faults($node);
$node->start;
is($node->safe_psql('fast', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT count(*) || '/' || count(DISTINCT id) FROM s_scan_ocr), (SELECT count(*) FROM dsocr.failed_items)}), "0\n" . '100/100|0', 'after a shutdown everything is read once');

# A standby reads nothing; after its promotion it does.
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->safe_psql('fast', q{SELECT dsocr_pause(1); INSERT INTO s VALUES (1001, 'TEXT:promoted'), (1002, 'TEXT:promoted, too')});
$node->wait_for_catchup($standby);
reads($standby, 'a standby', 'fast');
is($standby->safe_psql('fast', q{SELECT count(*), min(dsocr_text(scan)) FROM s WHERE id = 1001}), '1|promoted', 'a standby reads what is in its tables');
is($standby->safe_psql('fast', 'SELECT count(*) FROM s_scan_ocr WHERE current'), 100, 'a standby has the results');
is($standby->safe_psql('fast', 'SELECT pending FROM dsocr.coverage'), 2, 'and the views');
fails($standby, q{SELECT dsocr_submit('TEXT:x')}, '25006', 'a standby takes no jobs', db => 'fast');
$node->safe_psql('fast', 'SELECT dsocr_resume(1)');
is($node->safe_psql('fast', q{SELECT dsocr_wait(timeout => '3min'); SELECT dsocr_pause(1)}), "0\n", 'the primary reads what the standby left alone');
$node->safe_psql('fast', q{INSERT INTO s SELECT g, convert_to('TEXT:after ' || g, 'UTF8') FROM generate_series(2001, 2100) g});
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dsocr queue worker'}), 0, 'no queue runs on a standby');
$node->stop('fast');
$standby->promote;
$standby->safe_psql('fast', 'SELECT dsocr_resume(1)');
is($standby->safe_psql('fast', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT count(*) || '/' || count(DISTINCT id) FROM s_scan_ocr), (SELECT count(*) FROM dsocr.failed_items)}), "0\n202/202|0", 'nothing is lost by a promotion, nor read twice');
is($standby->safe_psql('fast', q{SELECT dsocr_wait(timeout => '3min'); SELECT (SELECT search_text FROM s_scan_ocr WHERE id = 1001)}), "0\n" . 'promoted', 'a promoted standby reads on');
$standby->stop('fast');
done_testing();
