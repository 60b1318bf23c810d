# The engine is started, watched and brought back; a server without it, or with a wrong one, says so.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = server('start', engine => fake_engine());
bystander($node);
wait_for_state($node, 'ready');
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dsocr supervisor'"),
	1, 'the supervisor is seen in pg_stat_activity');
reads($node, 'started');

my $pid = status($node, 'pid');
my $environment = slurp_file("/proc/$pid/environ");
unlike($environment, qr/PGDATA|HOME=|TESTDIR/, "the engine's environment is made from scratch");
my @open = map { readlink } glob "/proc/$pid/fd/*";
is(scalar(grep { m{base/|pg_wal|global/} } @open), 0, 'the engine has no file of the data directory open');
is((split ' ', slurp_file("/proc/$pid/stat"))[5], $pid, 'the engine has a session of its own');

kill 'KILL', $pid;
$node->poll_query_until('postgres', "SELECT dsocr_status()->>'pid' NOT IN ('0', '$pid')");
wait_for_state($node, 'ready');
is(status($node, 'restarts'), 1, 'the restart is counted');
like(status($node, 'last_error'), qr/\(PID $pid\) was ended by signal 9/, 'and its reason kept');
reads($node, 'after a kill');

# The supervisor's own end is not the end of the service, nor leaves it an engine behind.
$pid = status($node, 'pid');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend((dsocr_status()->>'supervisor_pid')::int)});
$node->poll_query_until('postgres', "SELECT dsocr_status()->>'pid' NOT IN ('0', '$pid')");
wait_for_state($node, 'ready');
ok(ended($pid), 'an ended supervisor leaves no engine behind');
reads($node, 'after the end of the supervisor');

# Settings that are wrong are refused where they are set.
fails($node, q{ALTER SYSTEM SET dsocr.model = '../x'}, '22023', 'model outside the folder of models', detail => qr/name of a folder/);
fails($node, q{ALTER SYSTEM SET dsocr.model = ''}, '22023', 'empty model');
fails($node, q{ALTER SYSTEM SET dsocr.models_dir = 'x'}, '22023', 'relative folder of models', detail => qr/absolute/);
fails($node, q{ALTER SYSTEM SET dsocr.devices = 'tpu'}, '22023', 'device that does not exist', detail => qr/"auto" and "cpu"/);
fails($node, q{ALTER SYSTEM SET dsocr.quantization = 'int3'}, '22023', 'quantization that is not built', hint => qr/none/);
fails($node, q{SET dsocr.max_tokens = 1}, '55P02', 'limits are not for users');
fails($node, q{SET dsocr.nonsense = 1}, '42602', 'settings that do not exist');
fails($node, q{SET dsocr.mode = 'loud'}, '22023', 'mode that does not exist', hint => qr/layout, text/);

same_bystander('kills of engine and supervisor');
not_restarted($node);
$pid = status($node, 'pid');
$node->stop('fast');
ok(ended($pid), 'a stopped server leaves no engine behind');

# An executable that is not there.
$node->adjust_conf('postgresql.conf', 'dsocr.engine_path', "'/nowhere/dsocr'");
$node->start;
wait_for_state($node, 'failing');
fails($node, q{SELECT dsocr_text('x')}, '55000', 'missing executable',
	message => qr/the engine does not start/, detail => qr{could not start "/nowhere/dsocr": No such file}, hint => qr/server's log/);
is($node->safe_psql('postgres', 'SELECT 1'), 1, 'the server lives without an engine');
$node->stop('fast');

# One that ends at once, each time.
$node->adjust_conf('postgresql.conf', 'dsocr.engine_path', "'/bin/false'");
$node->start;
wait_for_state($node, 'failing');
fails($node, q{SELECT dsocr_text('x')}, '55000', 'engine that ends at its start', detail => qr/exit status 1/);
$node->stop('fast');

# No room for its workers: that is said, and what to do.
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->start;
is($node->safe_psql('postgres', q{SELECT dsocr_status()->>'state', d->>'state', d->>'reason' FROM jsonb_array_elements(dsocr_status()->'queue'->'databases') d}),
	'stopped|not_served|the server does not run the launcher (max_worker_processes)', 'dsocr_status says that there is no room for workers');
fails($node, q{SELECT dsocr_text('x')}, '55000', 'no room for workers', message => qr/does not run the worker/, hint => qr/max_worker_processes/);
$node->stop('fast');
$node->adjust_conf('postgresql.conf', 'max_worker_processes', 8);

# Not preloaded: nothing is broken, and calls say what to do.
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', undef);
$node->start;
fails($node, "SELECT $_; ", '55000', "not preloaded, $_", hint => qr/Add dsocr to shared_preload_libraries/)
  for q{dsocr_extract('x')}, q{dsocr_text('x')}, q{dsocr_info('x')}, q{dsocr_status()};
is( $node->safe_psql(
		'postgres', q{DO $$ BEGIN PERFORM dsocr_text('x'); EXCEPTION WHEN object_not_in_prerequisite_state THEN END $$;
		SET dsocr.timeout = 1000; SELECT dsocr_version() <> '', dsocr_text(NULL) IS NULL}),
	't|t', 'the session lives on, and what needs no engine works');
my ($rc, $out, $err) = $node->psql('postgres', q{CREATE TABLE early (id int PRIMARY KEY, scan bytea); SELECT dsocr_attach('early', 'scan'); SELECT dsocr_detach(1, true); DROP TABLE early});
like($err, qr/WARNING:  nothing is read yet.*\nHINT:  Add dsocr to shared_preload_libraries/, 'attaching warns, and does what it says');
is($rc, 0, 'and so does detaching');

# Its tables are heaps whatever the default is, which stays what it was.
is( $node->safe_psql(
		'postgres', q{DROP EXTENSION dsocr; CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
		BEGIN; SET LOCAL default_table_access_method = other; CREATE EXTENSION dsocr; SHOW default_table_access_method;
		SELECT count(*), count(*) FILTER (WHERE amname <> 'heap') FROM pg_class c JOIN pg_am a ON a.oid = relam
			WHERE relkind = 'r' AND relnamespace = 'dsocr'::regnamespace; COMMIT}),
	"other\n6|0", 'tables are heaps, and the default is what it was');
$node->stop('fast');

done_testing();
