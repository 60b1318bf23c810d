# The real engine, through SQL: every bad document and request has its SQLSTATE, message, detail and hint, and after
# each a good page is read, in the same server, with one idle session alive throughout.
use strict;
use warnings;
use Compress::Zlib qw(compress);
use Documents;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($bindir) = `pg_config --bindir` =~ /(.*)/;
plan skip_all => "no engine is installed as $bindir/dsocr" unless -x "$bindir/dsocr";

my $node = server('documents');
bystander($node);
wait_for_state($node, 'ready');

my $jpeg = page_file('letter_en.jpg');
my $tiff = page_file('fax_en.tif');
my $png = png(400, 300);
store($node,
	good => $jpeg,
	white => $png,
	empty => '',
	random => join('', map { chr(65 + $_ * 7919 % 61) } 1 .. 5000),
	truncated_png => substr($png, 0, length($png) / 2),
	truncated_jpeg => substr($jpeg, 0, length($jpeg) / 2),
	truncated_tiff => substr($tiff, 0, length($tiff) / 2),
	jpeg_head => substr($jpeg, 0, 20),
	one_pixel => png(1, 1),
	wide => png(20001, 20),
	bomb => png(50000, 50000, compress("\0" x 10_000_000)),
	many_pixels => png(9000, 9000),
	hidden_bomb => png(100, 100, compress("\0" x 100_000_000)),
	no_pages => "II*\0\0\0\0\0",
	pdf => "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n");
$node->safe_psql('postgres', q{INSERT INTO documents VALUES ('large', decode(repeat('00', (64 << 20) + 1), 'hex')),
	('almost_large', decode(repeat('00', 64 << 20), 'hex'))});

sub good_page
{
	my ($promise) = @_;
	like($node->safe_psql('postgres', q{SELECT dsocr_text(doc) FROM documents WHERE name = 'good'}), qr/Yours faithfully/,
		"$promise: a good page is read");
}

my $viewer = qr/whole file was stored|image viewer/;
my %cases = (
	empty => [ '22P03', qr/document is empty/, qr/0 bytes/, qr/PNG, JPEG, TIFF and WebP/ ],
	random => [ '22P03', qr/not an image/, qr/has 5000 bytes and starts with/, qr/PNG, JPEG, TIFF and WebP/ ],
	truncated_png => [ '22P03', qr/PNG image is truncated/, qr/ends after \d+ bytes/, $viewer ],
	truncated_jpeg => [ '22P03', qr/JPEG image is truncated/, qr/ends after \d+ bytes/, $viewer ],
	truncated_tiff => [ '22P03', qr/TIFF image is truncated/, qr/ends after \d+ bytes/, $viewer ],
	jpeg_head => [ '22P03', qr/JPEG image is truncated/, qr/ends after 20 bytes/, $viewer ],
	one_pixel => [ '54000', qr/image is 1 x 1 pixels/, qr/dsocr.min_side is 16/, qr/lower dsocr.min_side/ ],
	wide => [ '54000', qr/image is 20001 x 20 pixels/, qr/dsocr.max_side is 20000/, qr/raise dsocr.max_side/ ],
	bomb => [ '54000', qr/image is 50000 x 50000 pixels/, qr/dsocr.max_side is 20000/, qr/raise dsocr.max_side/ ],
	many_pixels => [ '54000', qr/image has 81 megapixels/, qr/dsocr.max_pixels is 64000000/, qr/raise dsocr.max_pixels/ ],
	large => [ '54000', qr/document has 67108865 bytes/, qr/dsocr.max_image_bytes is 67108864/, qr/raise dsocr.max_image_bytes/ ],
	almost_large => [ '22P03', qr/not an image/, qr/67108864 bytes/, qr/PNG, JPEG/ ],
	no_pages => [ '22P03', qr/TIFF has no pages/, qr/no first page/, $viewer ],
	pdf => [ '0A000', qr/PDF is not supported/, qr/\d+ bytes/, qr/Convert the pages/ ]);
for my $name (sort keys %cases)
{
	my ($sqlstate, $message, $detail, $hint) = @{ $cases{$name} };
	fails($node, "SELECT dsocr_extract(doc) FROM documents WHERE name = '$name'", $sqlstate, $name,
		message => $message, detail => $detail, hint => $hint);
	like($node->safe_psql('postgres', "SELECT dsocr_try_extract(doc)->'error_status'->0->>'error_message' FROM documents WHERE name = '$name'"),
		$message, "$name: dsocr_try_extract has the reason in the result");
	good_page($name);
}
is($node->safe_psql('postgres', q{SELECT dsocr_extract(doc)->'document'->'pages'->0->>'status' FROM documents WHERE name = 'hidden_bomb'}),
	'blank', 'data that unpacks to more than the header says is cut off there');
good_page('hidden bomb');

my @requests = (
	[ 'unknown option', q{dsocr_text(doc, options => '{"colour": 1}')}, '22023', qr/unknown option "colour"/, qr/Known options are rotate, /, qr/Correct its name/ ],
	[ 'option of another version', q{dsocr_text(doc, options => '{"dpi": 100}')}, '0A000', qr/"dpi" is not supported/, qr/cannot act on it/, qr/Leave it out/ ],
	[ 'unknown mode', q{dsocr_extract(doc, 'loud')}, '22023', qr/unknown mode "loud"/, qr/"layout" and "text"/, qr/one of these/ ],
	[ 'page that is not there', q{dsocr_text(doc, '2')}, '22023', qr/there is no page 2/, qr/has 1 page\./, qr/counted from 1/ ],
	[ 'no list of pages', q{dsocr_text(doc, 'first')}, '22023', qr/"first" is not a list of pages/, qr/counted from 1/, qr/1-3,7/ ],
	[ 'page zero', q{dsocr_text(doc, '0')}, '22023', qr/there is no page 0/, qr/counted from 1/, qr/counted from 1/ ],
	[ 'no list of pages, submitted', q{dsocr_submit(doc, pages => '1;2')}, '22023', qr/"1;2" is not a list of pages/, qr/counted from 1/, qr/1-3,7/ ],
	[ 'too many tokens', q{dsocr_text(doc, options => '{"max_tokens": 100000}')}, '54000', qr/max_tokens/, qr/./, qr/dsocr.max_tokens/ ]);
for (@requests)
{
	my ($name, $call, $sqlstate, $message, $detail, $hint) = @$_;
	fails($node, "SELECT $call FROM documents WHERE name = 'white'", $sqlstate, $name, message => $message, detail => $detail, hint => $hint);
}
good_page('bad requests');

# What a good page gives.
is($node->safe_psql('postgres', q{SELECT status, text FROM dsocr_pages((SELECT doc FROM documents WHERE name = 'white'))}), 'blank|', 'a white page is blank');
is($node->safe_psql('postgres', q{
	WITH r AS (SELECT dsocr_extract(doc) AS r FROM documents WHERE name = 'good')
	SELECT bool_and(l.bbox <@ box(point(0, 0), point((p->>'width')::int, (p->>'height')::int))) AND bool_and(l.confidence BETWEEN 0 AND 1)
	  AND bool_and(l.geometry = 'measured') AND count(*) > 15
	FROM r, LATERAL (SELECT r->'document'->'pages'->0 AS p) p, dsocr_lines(r) l}), 't', 'lines have measured boxes on the page, and confidences');
is($node->safe_psql('postgres', q{SELECT i->>'format', i->>'page_count', i->>'sha256' = encode(sha256(doc), 'hex')
	FROM documents, LATERAL dsocr_info(doc) i WHERE name = 'good'}), 'jpeg|1|t', 'dsocr_info');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT result->'document'->>'text') FROM documents,
	dsocr_extract_many(array_fill(doc, ARRAY[20])) WHERE name = 'good'}), 1, 'P8: the same bytes give the same text, twenty at once');

# Killed while it reads, for real.
my $call = spawn_query($node, q{SELECT dsocr_text(doc || '\x00') FROM documents WHERE name = 'good'});
sleep 0.3;
kill 'KILL', status($node, 'pid');
my ($seconds, $out, $err) = $call->();
like($out, qr/Yours faithfully/, 'kill -9 while it reads: the answer is a retried one') or diag($err);

# Stopped while it reads: found, replaced, answered. Busy for three times the limit: left alone.
sub twelve
{
	my $start = time;
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM documents, dsocr_extract_many(ARRAY(SELECT doc || convert_to('$_[0]' || i, 'UTF8')
		FROM generate_series(1, 12) i)) WHERE name = 'good' AND result->'document'->>'text' LIKE '%Yours faithfully%'}), 12, 'twelve pages at once');
	return time - $start;
}
my $limit = twelve('measured ') / 3;
$limit = 2 if $limit < 2;
note(sprintf 'dsocr.hang_timeout is %.1f s', $limit);
$node->safe_psql('postgres', sprintf q{ALTER SYSTEM SET dsocr.hang_timeout = %d}, $limit * 1000);
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('dsocr.hang_timeout') <> '30s'});
my $restarts = status($node, 'restarts');
twelve('watched ');
is(status($node, 'restarts'), $restarts, 'an engine that works is not taken for one that hangs');
# Twelve pages again: one is read before anybody can be stopped.
$call = spawn_query($node, q{SELECT count(*) FROM documents, dsocr_extract_many(ARRAY(SELECT doc || convert_to('stop' || i, 'UTF8')
	FROM generate_series(1, 12) i)) WHERE name = 'good' AND result->'document'->>'text' LIKE '%Yours faithfully%'});
$node->poll_query_until('postgres', q{SELECT (dsocr_status()->>'active')::int > 0});
my $pid = status($node, 'pid');
kill 'STOP', $pid;
($seconds, $out, $err) = $call->();
is($out, "12\n", 'SIGSTOP while it reads: the answers are retried ones') or diag($err);
ok(ended($pid), 'SIGSTOP while it reads: the old engine is gone');

same_bystander('all bad documents');
not_restarted($node);
$node->stop('fast');
done_testing();
