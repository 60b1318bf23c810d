# dsocr_read: many scans of a query at once, from one session. dsocr_trigger: a scan read in the statement that writes it.
use strict;
use warnings;
use Dsocr;
use Test::More;

my $node = server('read', engine => fake_engine());
wait_for_state($node, 'ready');
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{CREATE TABLE a (id int PRIMARY KEY, "Größe" text, scan bytea);
	INSERT INTO a SELECT g, 'n' || g, convert_to('TEXT:page ' || g || repeat(' filler', g % 50 * 100), 'UTF8') FROM generate_series(1, 500) g;
	INSERT INTO a VALUES (501, NULL, NULL), (502, 'bad', 'FAKE:error=bad_input;')});
is(sql(q{SELECT count(*), count(DISTINCT ord), count(result) FROM dsocr_read('SELECT id, scan FROM a')}), '502|502|501', 'every row is read, a NULL gives NULL');
is( sql(q{SELECT count(*) FROM dsocr_read('SELECT id, "Größe", scan FROM a WHERE id <= 500') r
	WHERE 'page ' || (r.key->>'id') = substr(r.result->'document'->>'text', 1, 5 + length(r.key->>'id')) AND r.key->>'Größe' = 'n' || (r.key->>'id')}),
	500, 'key and result belong together');
is(sql(q{SELECT result->'error_status'->0->>'error_code' FROM dsocr_read('SELECT id, scan FROM a WHERE id = 502')}), 'bad_input', 'a bad document is a result with a reason');
is(sql(q{SELECT key FROM dsocr_read('SELECT scan FROM a WHERE id = 1')}), '{}', 'a query of nothing but scans');
is(sql(q{SELECT count(*) FROM dsocr_read('SELECT scan FROM a WHERE false')}), 0, 'an empty query');
is(sql(q{SELECT count(*) FROM dsocr_read(NULL)}), 0, 'no query');
is(sql(q{SELECT count(*) FROM (SELECT dsocr_read('SELECT id, scan FROM a') LIMIT 3) r}), 3, 'LIMIT ends it');
ok($node->poll_query_until('postgres', "SELECT dsocr_status()->>'active' = '0'"), 'and the engine is free after it');

faults($node, 'hold=1');
my $run = spawn_query($node, q{SELECT count(*) FROM dsocr_read('SELECT g, convert_to(g::text, ''UTF8'') FROM generate_series(1, 20) g')});
ok($node->poll_query_until('postgres', "SELECT (dsocr_status()->>'active')::int > 1"), 'many are in the engine at once');
no_faults($node);
my ($seconds, $out, $err) = $run->();
is($out, "20\n", 'and all are read') or diag($err);
($seconds, $out, $err) = spawn_query($node, q{SET statement_timeout = '300ms'; SELECT count(*) FROM dsocr_read('SELECT convert_to(''FAKE:slow=9000;'', ''UTF8'')')})->();
like($err, qr/57014/, 'statement_timeout ends it');
ok($node->poll_query_until('postgres', "SELECT dsocr_status()->>'active' = '0'"), 'and the engine is free of it');

# Memory: contexts do not grow with the number of rows.
is( sql(q{CREATE TEMP TABLE m AS SELECT 0::bigint AS n, 0::bigint AS bytes WHERE false;
	INSERT INTO m SELECT count(*), max(bytes) FROM (SELECT dsocr_read('SELECT scan FROM a, generate_series(1, 4)'),
		(SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE random() >= 0) AS bytes OFFSET 0) r;
	SELECT n, bytes < 40e6 FROM m}), '2008|t', 'memory is bounded');

# The engine dies in between: what it was reading is asked for again.
sql(q{CREATE TABLE k AS SELECT 1});
faults($node, 'hold=1');
$run = spawn_query($node, q{SELECT count(*) FROM dsocr_read('SELECT convert_to(g::text, ''UTF8'') FROM generate_series(1, 30) g')});
$node->poll_query_until('postgres', "SELECT (dsocr_status()->>'active')::int > 0");
kill 'KILL', status($node, 'pid');
no_faults($node);
($seconds, $out, $err) = $run->();
is($out, "30\n", 'an engine that dies is no error') or diag($err);

fails($node, q{SELECT dsocr_read('SELECT id FROM a')}, '42804', 'no scan', message => qr/last column/);
fails($node, q{SELECT dsocr_read('SELECT nonsense')}, '42703', 'query that is none');
fails($node, q{SELECT dsocr_read('DELETE FROM a RETURNING scan')}, '0A000', 'query that writes');
sql(q{CREATE ROLE reader LOGIN; SELECT dsocr_grant('reader')});
my ($rc, $o, $e) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT dsocr_read('SELECT scan FROM a')", extra_params => [ '-U', 'reader' ]);
like($e, qr/ERROR:  42501/, 'the query runs as the caller');

# ---- dsocr_trigger
sql(q{CREATE TABLE t (id int, scan bytea, words text, ocr jsonb);
	CREATE TRIGGER read BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION dsocr_trigger('scan', 'words', 'ocr')});
is(sql(q{INSERT INTO t VALUES (1, 'TEXT:at once') RETURNING words, ocr->'document'->>'page_count'}), 'at once|1', 'INSERT fills the columns');
is(sql(q{UPDATE t SET scan = 'TEXT:changed' RETURNING words}), 'changed', 'UPDATE of the scan too');
is(sql(q{UPDATE t SET words = 'by hand', id = 2 RETURNING words, ocr->'document'->>'text'}), 'by hand|changed', 'UPDATE of others leaves them alone');
is(sql(q{UPDATE t SET scan = NULL RETURNING words IS NULL AND ocr IS NULL}), 't', 'no scan, no text');
is(sql(q{INSERT INTO t VALUES (3, 'FAKE:error=bad_input;') RETURNING words IS NULL, ocr->'error_status'->0->>'error_code'}), 't|bad_input', 'a scan that cannot be read stops nothing');
is(sql(q{INSERT INTO t VALUES (4, 'TEXT:x' || 'FAKE:pages=2;'::bytea) RETURNING words}), "x\n\nx", 'pages are parted by an empty line');
sql(q{CREATE TABLE u (scan bytea, words text, n int);
	CREATE TRIGGER read BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION dsocr_trigger('scan', 'words')});
($rc, $o, $e) = $node->psql('postgres', q{INSERT INTO u VALUES ('FAKE:error=bad_input;') RETURNING words IS NULL});
is($o, 't', 'without a column for the result');
like($e, qr/WARNING:  a scan for "u" could not be read/, 'there is a warning');
fails($node, qq{CREATE OR REPLACE TRIGGER read $_->[0]; INSERT INTO u VALUES ('x')}, $_->[1], "trigger that is wrong ($_->[1])")
  for [ q{AFTER INSERT ON u FOR EACH ROW EXECUTE FUNCTION dsocr_trigger('scan', 'words')}, '39P01' ],
  [ q{BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION dsocr_trigger('scan')}, '22023' ],
  [ q{BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION dsocr_trigger('scan', 'letters')}, '42703' ],
  [ q{BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION dsocr_trigger('scan', 'n')}, '42804' ];
not_restarted($node);
$node->stop('fast');
done_testing();
