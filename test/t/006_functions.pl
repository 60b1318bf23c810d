# What the functions do with an answer: pages that failed, rows, joined texts; and reading on a standby.
use strict;
use warnings;
use Dsocr;
use MIME::Base64 qw(encode_base64);
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

# What is asked of a page; the fake engine answers by the question.
sql(q{SELECT dsocr_ask('x', 'Who "wrote" it, \ <|ref|> or é?'), dsocr_ask('FAKE:pages=3', 'and here', 3), dsocr_ask('x', E'\n', NULL, NULL)},
	qq{1: Who "wrote" it, \\ <|ref|> or \xc3\xa9?|3: and here|1: \n}, 'dsocr_ask: the question reaches the engine as it is, and so does the page');
sql(q{SELECT dsocr_describe('FAKE:pages=3', 2) LIKE 'page 2 of 12 bytes%', dsocr_parse_figure('FAKE:pages=3', page => 3) LIKE 'page 3 of%'}, 't|t',
	'dsocr_describe, dsocr_parse_figure: of one page');
sql(q{SELECT dsocr_extract('x', 'describe')->'metadata'->>'mode'}, 'describe', 'dsocr_extract can be asked for a description, too');
sql(q{SELECT b, b[0] FROM dsocr_locate('x', 'the seal') b}, '(900,240),(100,200)|(900,240)', 'dsocr_locate: a box in pixels');
sql(q{SELECT dsocr_locate('x', 'the seal')}, '(900,240),(100,200)', 'also in the select list');
sql(q{SELECT dsocr_ask(NULL, 'x') IS NULL, dsocr_ask('x', NULL) IS NULL, dsocr_describe(NULL) IS NULL, dsocr_parse_figure(NULL) IS NULL,
	(SELECT count(*) FROM dsocr_locate(NULL, 'x')), (SELECT count(*) FROM dsocr_locate('x', NULL))}, 't|t|t|t|0|0', 'no document or question, no answer');
fails($node, q{SELECT dsocr_ask('x', repeat('x', 70000))}, '54000', 'a question of 70 kB', message => qr/question and options are too long/, detail => qr/65536 bytes/);
fails($node, qq{SELECT $_}, '22P03', "a page that cannot be read: $_", message => qr/no page could be read/, detail => qr/Page 1: /)
	for q{dsocr_describe('FAKE:bad_page=1')}, q{dsocr_locate('FAKE:bad_page=1', 'x')};
fails($node, q{SET statement_timeout = 300; SELECT dsocr_ask('x FAKE:silent', 'why?')}, '57014', 'dsocr_ask: statement_timeout', message => qr/statement timeout/);
fails($node, q{SELECT dsocr_locate('x FAKE:exit=after_body', 'y')}, '58000', 'dsocr_locate: the engine ends twice');
wait_for_state($node, 'ready');

# The same in the form of chat services: a text, what else is in the request, the document.
sub chat
{
	my ($text, $more, $document) = @_;
	my $image = 'data:image/png;base64,' . encode_base64($document // 'TEXT:read', '');
	return qq{dsocr_chat_completions(jsonb_build_object('messages', jsonb_build_array(jsonb_build_object('role', 'user', 'content',
		jsonb_build_array(jsonb_build_object('type', 'text', 'text', '$text'), jsonb_build_object('type', 'image_url', 'image_url',
		jsonb_build_object('url', '$image')))))) || '} . ($more // '{}') . q{')};
}
my $chat = chat('Free OCR.', '{"model": "fake", "max_tokens": 9, "temperature": 0.0, "stream": null, "user": "x"}');
sql("SELECT $chat - 'id' - 'created'", '{"model": "fake", "usage": {"total_tokens": 32, "prompt_tokens": 20, "completion_tokens": 12}, "object": "chat.completion", '
	. '"choices": [{"index": 0, "message": {"role": "assistant", "content": "read"}, "finish_reason": "stop"}]}', 'dsocr_chat_completions: an answer in their form');
my $content = q{#>>'{choices,0,message,content}'};
sql("SELECT " . chat('Who wrote this?', '{}', 'x') . $content, '1: Who wrote this?', 'a question is asked');
sql('SELECT ' . chat('<image> Locate <|ref|>the "seal"<|/ref|> in the image.', '{}', 'x') . "#>>'{choices,0,finish_reason}'", 'stop', 'a place is looked for');
sql("SELECT " . chat(" <image> <|grounding|>Convert the document to markdown.", '{}', 'x') . "$content LIKE 'page 1 of 1 bytes%'", 't', 'a prompt of the family is that mode');
for (
	[ chat('x', '{"top_p": 1}'), '22023', qr/"top_p" of a chat request is not known/ ],
	[ chat('x', '{"n": 2}'), '0A000', qr/"n" can only be 1/ ],
	[ chat('x', '{"stream": true}'), '0A000', qr/"stream" can only be false/ ],
	[ chat('x', '{"temperature": 0.7}'), '0A000', qr/"temperature" can only be 0/ ],
	[ chat('x', '{"messages": []}'), '22023', qr/one message, of the user/ ],
	[ chat('x', '{"messages": [7]}'), '22023', qr/one message, of the user/ ],
	[ chat('x', '{"messages": [{"role": "system", "content": "x"}]}'), '22023', qr/one message, of the user/ ],
	[ chat('x', '{"messages": [{"role": "user", "content": "x"}]}'), '22023', qr/the message has no image/ ],
	[ chat('x', '{"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, 3]}]}'), '22023', qr/neither text nor an image/ ],
	[ chat('x', '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}]}'), '0A000', qr/not fetched/ ],
	[ chat('x', '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}'), '22023', qr/has no URL/ ],
	[ q{dsocr_chat_completions('[]')}, '22023', qr/must be a JSON object/ ])
{
	my ($call, $state, $message) = @$_;
	fails($node, "SELECT $call", $state, "dsocr_chat_completions: $message", message => $message, hint => qr/./);
}
fails($node, 'SELECT ' . chat('', '{}', 'FAKE:bad_page=1'), '22P03', 'dsocr_chat_completions: a page that cannot be read', message => qr/no page could be read/);
sql(q{SELECT dsocr_chat_completions(NULL) IS NULL}, 't', 'no request, no answer');

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
