# A model directory that cannot be used: the reason is told, what needs no model works, and the next good one reads.
use strict;
use warnings;
use Documents;
use Dsocr;
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;

my ($bindir) = `pg_config --bindir` =~ /(.*)/;
my ($sharedir) = `pg_config --sharedir` =~ /(.*)/;
plan skip_all => "no engine is installed as $bindir/dsocr" unless -x "$bindir/dsocr";

my $node = server('models');
bystander($node);
wait_for_state($node, 'ready');
store($node, good => page_file('letter_en.jpg'));

# A copy of the mini whose files a closure changes, by name.
sub model
{
	my ($name, %change) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir . "/$name";
	mkdir $dir;
	for my $from (glob "$sharedir/dsocr/models/mini/*")
	{
		my ($file) = $from =~ m{([^/]+)$};
		next unless -f $from;
		my $bytes = slurp_file($from);
		$change{$file}->($bytes) if $change{$file};
		open my $out, '>:raw', "$dir/$file" or die $!;
		print $out $bytes;
		close $out;
	}
	return $dir;
}

my ($weights) = map { m{([^/]+)$} } glob "$sharedir/dsocr/models/mini/*.safetensors";
# Header text of the same length, so that all offsets stay.
my $shape = qr/("lm_head.weight":\{[^}]*"shape":\[)(\d+), ?(\d+)\]/;
my $same_model = qr/must be of the same model/;
my @cases = (
	[ 'missing directory', '/nowhere/model', qr/config\.json cannot be read/,
		qr{unable to open /nowhere/model/config\.json: No such file}, qr/Give the path of a directory with config\.json/ ],
	[ 'no config', model('no_config', 'config.json' => sub { $_[0] = '{' }), qr/config\.json cannot be read/,
		qr{/no_config/config\.json: line 1: }, qr/Give the path of a directory with config\.json/ ],
	[ 'one tensor short', model('short', $weights => sub { $_[0] =~ s/"lm_head.weight"/"xx_head.weight"/ or die }),
		qr/weight "lm_head\.weight" is missing/, qr/None of the model's weight files has it/, $same_model ],
	[ 'wrong shape', model('shape', $weights => sub { $_[0] =~ s/$shape/$1$3,$2]/ or die }),
		qr/weight "lm_head\.weight" has the wrong shape/, qr/It is \[\d+, \d+\], and must be \[\d+, \d+\]/, $same_model ],
	[ 'truncated weights', model('cut', $weights => sub { $_[0] = substr($_[0], 0, -1000) }),
		qr/weight file "$weights" cannot be used/, qr/Tensor "\S+" ends after the end of the file/, qr/Fetch the model's files again/ ],
	[ 'empty weights', model('empty', $weights => sub { $_[0] = '' }),
		qr/weight file "$weights" cannot be opened/, qr/it is empty or no file/, qr/Look at the model directory/ ],
	[ 'broken tokenizer', model('tokenizer', 'tokenizer.json' => sub { $_[0] = substr($_[0], 0, 100) }),
		qr/tokenizer\.json cannot be used/, qr/It is not JSON/, qr/published with the model/ ]);
for (@cases)
{
	my ($name, $dir, $message, $detail, $hint) = @$_;
	serve_with($node, 'dsocr.model', $dir, 'no_model');
	fails($node, q{SELECT dsocr_text(doc) FROM documents}, '55000', $name, message => $message, detail => $detail, hint => $hint);
	like(status($node, 'last_error'), $message, "$name: dsocr_status tells it too");
	is($node->safe_psql('postgres', q{SELECT dsocr_info(doc)->>'format' FROM documents}), 'jpeg', "$name: dsocr_info works");
}
serve_with($node, 'dsocr.model', 'mini', 'ready');
like($node->safe_psql('postgres', q{SELECT dsocr_text(doc) FROM documents}), qr/Yours faithfully/, 'with a good model a page is read again');
same_bystander('all models');
not_restarted($node);
$node->stop('fast');
done_testing();
