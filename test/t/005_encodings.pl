# Databases that are not UTF-8 work: what they cannot hold becomes '?', counted, and nothing is lost over it.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = server('encodings', engine => fake_engine());
wait_for_state($node, 'ready');
for my $encoding (qw(LATIN1 SQL_ASCII UTF8 EUC_JP))
{
	$node->safe_psql('postgres', "CREATE DATABASE \"$encoding\" ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql($encoding, 'CREATE EXTENSION dsocr');
	reads($node, $encoding, $encoding);
}

# a-umlaut, euro, a CJK character, an emoji, as bytes of a UTF-8 document
my $doc = q{convert_to('TEXT:', 'SQL_ASCII') || '\xc3a4e282ace697a5f09f9880'::bytea || 'z'};
my %expected = (
	LATIN1 => [ 'e43f3f3f7a', 3 ],
	SQL_ASCII => [ 'c3a4e282ace697a5f09f98807a', undef ],
	UTF8 => [ 'c3a4e282ace697a5f09f98807a', undef ],
	EUC_JP => [ '8faba33fc6fc3f7a', 2 ]);
for my $encoding (sort keys %expected)
{
	my ($hex, $replaced) = @{ $expected{$encoding} };
	is($node->safe_psql($encoding, "SELECT encode(convert_to(dsocr_text($doc), '$encoding'), 'hex')"), $hex,
		"$encoding: characters it has are kept, others become '?'");
	my $counted = $node->safe_psql($encoding, "SELECT dsocr_extract($doc)->'metadata'->>'replaced_characters'");
	# each character stands six times in the answer: text, markdown, element, content, line, document
	$replaced ? cmp_ok($counted, '>=', $replaced, "$encoding: they are counted") : is($counted, '', "$encoding: nothing to count");
	fails($node, q{SELECT dsocr_text('x FAKE:error=bad_input')}, '22P03', "$encoding: an error", db => $encoding);
	like($node->safe_psql($encoding, q{SELECT dsocr_text('TEXT:abc FAKE:bad_utf8')}), qr/\?/, "$encoding: broken UTF-8 loses no page");
	like($node->safe_psql($encoding, q{SELECT dsocr_text('TEXT:abc FAKE:nul')}), qr/\?/, "$encoding: U+0000 loses no page");
}
$node->stop('fast');
done_testing();
