# What the functions do with an answer: pages that failed, rows, joined texts; and reading on a standby.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = server('functions', engine => fake_engine(), conf => "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on");
wait_for_state($node, 'ready');

sub sql
{
	my ($sql, $expected, $promise) = @_;
	is($node->safe_psql('postgres', $sql), $expected, $promise);
}

sql(q{SELECT dsocr_text(NULL) IS NULL, dsocr_markdown(NULL) IS NULL, dsocr_extract(NULL) IS NULL, dsocr_try_extract(NULL) IS NULL,
	dsocr_info(NULL) IS NULL, (SELECT count(*) FROM dsocr_pages(NULL)), (SELECT count(*) FROM dsocr_extract_many(NULL)),
	(SELECT count(*) FROM dsocr_extract_many('{}'))}, 't|t|t|t|t|0|0|0', 'no document, no answer');
sql(q{SELECT dsocr_text('TEXT:x', pages => NULL, options => NULL)}, 'x', 'NULL elsewhere means the default');
sql(q{SELECT dsocr_extract('x')->'metadata'->>'mode', dsocr_extract('x', 'text')->'metadata'->>'mode'}, 'layout|text', 'mode is passed on');
sql(q{SET dsocr.mode = text; SELECT dsocr_extract('x')->'metadata'->>'mode'}, 'text', 'dsocr.mode is the default mode');
fails($node, q{SELECT dsocr_text('x', options => '[1]')}, '22023', 'options that are no object', message => qr/options must be a JSON object/, hint => qr/rotate/);
fails($node, q{SELECT dsocr_text('x', options => jsonb_build_object('model', repeat('x', 70000)))}, '54000', 'options of 70 kB', detail => qr/65536 bytes/);

# P5: a page that failed is told, wherever there is room for it.
sql(q{SELECT string_agg(page || ' ' || status, ', ' ORDER BY page) FROM dsocr_pages('FAKE:pages=3,bad_page=2')}, '1 ok, 2 error, 3 ok',
	'dsocr_pages: a page that failed is a row');
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT dsocr_text('FAKE:pages=3,bad_page=2')});
like($out, qr/^page 1 of.*\n\npage 3 of/, 'dsocr_text: the pages that were read, an empty line between');
like($err, qr/WARNING:  1 page of 3 could not be read\nDETAIL:  Page 2: .+\nHINT:  dsocr_extract/, 'dsocr_text: a warning names the one that was not');
fails($node, q{SELECT dsocr_text('FAKE:bad_page=1')}, '22P03', 'dsocr_text: no page was read', message => qr/no page could be read/, detail => qr/Page 1: /);
sql(q{SELECT dsocr_extract('FAKE:bad_page=1')->'document'->'pages'->0->>'status'}, 'error', 'dsocr_extract: the status tells it');
sql(q{SELECT dsocr_lines(result) IS NOT NULL FROM dsocr_pages('TEXT:x')}, 't', 'the result of one page is good for dsocr_lines');
sql(q{SELECT dsocr_try_extract('FAKE:error=limit')->'error_status'->0 @> '{"page": 0, "error_code": "limit", "sqlstate": "54000"}'}, 't',
	'dsocr_try_extract: a document that cannot be read is a result with the reason');
fails($node, q{SELECT dsocr_try_extract('FAKE:error=busy')}, '53000', 'dsocr_try_extract: a fault of the moment is an error');

# A standby reads too, and a base backup takes no notice of the socket.
my ($stdout, $stderr) = run_command([ 'pg_basebackup', '-D', $node->backup_dir . '/b', '-h', $node->host, '-p', $node->port, '-c', 'fast', '--no-sync' ]);
is($stderr, '', 'a base backup of a running server has nothing to warn of');
ok(!-e $node->backup_dir . '/b/pg_stat_tmp/dsocr.sock', 'nor does it take the socket');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
wait_for_state($standby, 'ready');
is($standby->safe_psql('postgres', q{SELECT pg_is_in_recovery(), dsocr_text('TEXT:on a standby')}), 't|on a standby', 'a hot standby reads');
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT dsocr_text('TEXT:promoted')}), 'promoted', 'and after its promotion');
$standby->stop('fast');

# Grants survive a dump; a restore needs no preload.
$node->safe_psql('postgres', q{CREATE ROLE reader; SELECT dsocr_grant('reader', 'read')});
($stdout, $stderr) = run_command([ 'pg_dump', '-h', $node->host, '-p', $node->port, 'postgres' ]);
like($stdout, qr/GRANT ALL ON FUNCTION public.dsocr_text\(doc bytea, .*\) TO reader/, 'pg_dump keeps what dsocr_grant gave');

# Memory of a session is flat over many calls.
my $memory = q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts};
my ($before, $after) = split /\n/, $node->safe_psql('postgres', qq{
	SELECT count(dsocr_text('TEXT:x')) FROM generate_series(1, 50); $memory;
	SELECT count(dsocr_text(convert_to('TEXT:' || i, 'UTF8'))) FROM generate_series(1, 3000) i; $memory}) =~ s/^(50|3000)\n//gmr;
cmp_ok($after - $before, '<', 100_000, '3,000 calls leave no memory behind');

not_restarted($node);
$node->stop('fast');
done_testing();
