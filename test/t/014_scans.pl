# The real engine, through SQL: scans of a table are read by dsocr_text and dsocr_lines as well as their bounds ask; the
# pages of test/pages, and the real scans of ../shared/samples where that folder is (it is said where it is not).
use strict;
use warnings;
use Documents;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my ($bindir) = `pg_config --bindir` =~ /(.*)/;
plan skip_all => "no engine is installed as $bindir/dsocr" unless -x "$bindir/dsocr";

my $test = "$FindBin::Bin/..";
my $python = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';
my $node = server('scans');
wait_for_state($node, 'ready');
$node->safe_psql('postgres', 'CREATE TABLE scans (folder text, name text, scan bytea, PRIMARY KEY (folder, name))');

# Lines NAME CER [LINES EXTRA] of a file of bounds, by name.
sub bounds_of
{
	my %bounds = map { /^([a-z]\w*)\s+([\d.]+)/ ? ($1 => $2) : () } split /\n/, slurp_file($_[0]);
	return %bounds;
}

sub load_scans
{
	my ($folder, $path) = @_;
	my @files = grep { -e } glob "$path/*.{png,jpg,tif}" or BAIL_OUT("there are no scans in $path");
	for my $file (@files)
	{
		my ($name) = $file =~ m{([^/]+)\.\w+$};
		$node->safe_psql('postgres', "INSERT INTO scans VALUES ('$folder', '$name', " . sql_bytes(slurp_file($file)) . ')');
	}
}

# What SQL says of a folder's scans: NAME.txt by dsocr_text, and NAME.json, the rows of dsocr_lines with their elements' types in the form that
# score.py reads. The options are the same, so that each scan is read once and the second answer is the cache's.
sub write_readings
{
	my ($folder, $to) = @_;
	mkdir "$to/$_" for 'text', 'lines';
	my $rows = $node->safe_psql('postgres', qq{
		SELECT name, encode(convert_to(t, 'UTF8'), 'hex'), encode(convert_to(jsonb_build_object('document', jsonb_build_object('pages',
		    jsonb_build_array(jsonb_build_object('elements', e.elements))))::text, 'UTF8'), 'hex')
		FROM scans, dsocr_text(scan) t, LATERAL (SELECT coalesce(jsonb_agg(jsonb_build_object('type', e.type, 'lines',
		    jsonb_build_array(jsonb_build_object('text', l.text, 'bbox',
		    jsonb_build_array((l.bbox[1])[0], (l.bbox[1])[1], (l.bbox[0])[0], (l.bbox[0])[1])))) ORDER BY page, seq, line), '[]') AS elements
		  FROM dsocr_extract(scan, 'text') r, dsocr_lines(r) l JOIN dsocr_elements(r) e USING (page, seq)) e
		WHERE folder = '$folder'});
	for (split /\n/, $rows)
	{
		my ($name, $text, $lines) = split /\|/;
		append_to_file("$to/text/$name.txt", pack('H*', $text));
		append_to_file("$to/lines/$name.json", pack('H*', $lines));
	}
}

# One promise for each scan that has a bound.
sub scored
{
	my ($what, $truth, $readings, $bounds, %names) = @_;
	my $said = `$python $test/score.py $truth $readings --bounds $bounds`;
	note($said);
	for my $name (sort keys %names)
	{
		my ($row) = $said =~ /^((?:ok|FAIL)\s+\Q$name\E\b.*)/m;
		ok(defined $row && $row =~ /^ok/, "$name: $what, as well as the bound asks") or diag($row // "no score for $name:\n$said");
	}
}

sub try_folder
{
	my ($folder, $path, $bounds_file) = @_;
	my %bounds = bounds_of($bounds_file);
	my $to = PostgreSQL::Test::Utils::tempdir;
	append_to_file("$to/text.bounds", join '', map { "$_ $bounds{$_}\n" } sort keys %bounds);
	load_scans($folder, $path);
	write_readings($folder, $to);
	scored('dsocr_text', $path, "$to/text", "$to/text.bounds", %bounds);
	scored('dsocr_lines', $path, "$to/lines", $bounds_file, %bounds);
}

try_folder('pages', "$test/pages", "$test/quality.bounds");
my $samples = ($ENV{DSOCR_SHARED} // "$test/../../shared") . '/samples';
SKIP:
{
	skip "the real scans: no folder ../shared/samples (DSOCR_SHARED can name the folder above it)", 1 unless -f "$samples/boxes.tsv";
	try_folder('samples', $samples, "$test/samples.bounds");
	# These two have no boxes: their lines are counted, and may be 3 % off.
	for my $name (qw(phototest magazine_en))
	{
		my $printed = grep { /\S/ } split /\n/, slurp_file("$samples/$name.txt");
		my $found = $node->safe_psql('postgres', qq{SELECT count(*) FROM scans, dsocr_lines(dsocr_extract(scan, 'text')) WHERE name = '$name'});
		cmp_ok(abs($found - $printed), '<=', 0.03 * $printed, "$name: $found lines of $printed");
	}
}
# Fields of what was read, where the page has them: beside, below and above their labels.
sub fields_are
{
	my ($name, $schema, $promise, $want) = @_;
	is($node->safe_psql('postgres', qq{SELECT string_agg(key || ' ' || coalesce(value->>'value', 'none') || ' ' || coalesce(value->>'method', ''), '; ' ORDER BY key)
		FROM scans, jsonb_each(dsocr_fields(dsocr_extract(scan, 'text'), '$schema')) WHERE folder = 'pages' AND name = '$name'}), $want, "$name: $promise");
}
fields_are('receipt_en', '{"total": {"type": "amount", "labels": ["total", "amount due"]}, "date": {"type": "date", "labels": "date", "anywhere": true}}',
	'total and date of a receipt', 'date 2026-02-14 anywhere; total 20.62 right');
fields_are('invoice_en', '{"no": {"labels": "invoice no"}, "date": {"type": "date", "labels": "date"}, "due": {"type": "date", "labels": "due"}, "total": {"type": "amount", "labels": "total"}}',
	'the date is not the day it is due, nor the total the subtotal', 'date 2026-05-12 right; due 2026-06-11 right; no 2026-0417 right; total 1042.08 right');
fields_are('form_en', '{"born": {"type": "date", "labels": "date of birth"}, "signed": {"type": "date", "labels": "date"}, "surname": {"labels": "surname"}, "names": {"labels": "first names"}, "ticket": {"type": "number", "labels": "ticket no"}, "fee": {"type": "amount", "labels": "fee paid"}, "valid": {"type": "date", "labels": "valid until"}}',
	'values below their labels, and above', 'born 1949-07-19 below; fee 2.50 right; names Clara Josephine below; signed 1985-10-03 above; surname ABERNATHY below; ticket 40718 right; valid none ');
fields_are('letter_de', '{"date": {"type": "date", "anywhere": true}, "sum": {"type": "amount", "labels": "zusammen also"}}', 'a letter in German', 'date 1958-02-18 anywhere; sum 100.80 right');
is($node->safe_psql('postgres', q{SELECT count(*) FROM scans WHERE (dsocr_extract(scan, 'text')->'metadata'->>'cached')::bool IS NOT TRUE}),
	0, 'nothing was read twice');
$node->stop('fast');
done_testing();
