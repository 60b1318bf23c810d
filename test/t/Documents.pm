# Documents.pm - good and bad documents, made here, as SQL literals or put into a table.
package Documents;

use strict;
use warnings;
use Compress::Zlib qw(compress crc32);
use Exporter 'import';
use FindBin;

our @EXPORT = qw(png page_file sql_bytes store);

sub chunk
{
	my ($type, $data) = @_;
	return pack('N', length $data) . $type . $data . pack('N', crc32($type . $data));
}

# A PNG of one grey sample per pixel that says it is width x height; rows: the compressed data, if not white.
sub png
{
	my ($width, $height, $rows) = @_;
	$rows //= compress(("\0" . "\xff" x $width) x $height);
	return "\x89PNG\r\n\x1a\n" . chunk('IHDR', pack('NNCCCCC', $width, $height, 8, 0, 0, 0, 0)) . chunk('IDAT', $rows) . chunk('IEND', '');
}

sub page_file
{
	my ($name) = @_;
	open my $in, '<:raw', "$FindBin::Bin/../pages/$name" or die "test/pages/$name: $!";
	local $/;
	return <$in>;
}

sub sql_bytes
{
	return "'\\x" . unpack('H*', $_[0]) . "'::bytea";
}

# Into table documents (name, doc).
sub store
{
	my ($node, %documents) = @_;
	$node->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS documents (name text PRIMARY KEY, doc bytea)');
	$node->safe_psql('postgres', "INSERT INTO documents VALUES ('$_', " . sql_bytes($documents{$_}) . ')') for sort keys %documents;
}

1;
