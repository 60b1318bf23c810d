# What a model can besides reading, by the real engine: the mini nothing, which it says, and toys what their config says.
use strict;
use warnings;
use Documents;
use Dsocr;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my ($bindir) = `pg_config --bindir` =~ /(.*)/;
my $mktoy = "$FindBin::Bin/../../build/mktoy";
plan skip_all => "no engine is installed as $bindir/dsocr" unless -x "$bindir/dsocr";
plan skip_all => "$mktoy is not there" unless -x $mktoy;

# A model that says anything at all; prompts: what its config has it do.
sub toy
{
	my ($name, $prompts) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir . "/$name";
	run_command([ $mktoy, $dir ]);
	my $config = slurp_file("$dir/config.json");
	$config =~ s/("dsocr": \{"name": )"toy"/$1"$name", "prompts": [$prompts]/ or die if defined $prompts;
	open my $out, '>', "$dir/config.json" or die $!;
	print $out $config;
	close $out;
	return $dir;
}

my $node = server('questions');
bystander($node);
wait_for_state($node, 'ready');
store($node, letter => page_file('letter_en.jpg'), list => page_file('pricelist_de.jpg'));
my $scan = q{(SELECT doc FROM documents WHERE name = 'letter')};
my $few = q{'{"max_tokens": 30}'};

sub sql { return $node->safe_psql('postgres', $_[0]) }

# An answer in the form of chat services.
sub chat
{
	my ($text, $more, $name) = (@_, 'letter');
	return "(SELECT dsocr_chat_completions(jsonb_build_object('messages', jsonb_build_array(jsonb_build_object('role', 'user', 'content',
		jsonb_build_array(jsonb_build_object('type', 'image_url', 'image_url', jsonb_build_object('url', 'data:image/jpeg;base64,' || encode(doc, 'base64'))),
		jsonb_build_object('type', 'text', 'text', '$text'))))) || '$more') FROM documents WHERE name = '$name')";
}
my $content = q{#>>'{choices,0,message,content}'};
my $list = $scan =~ s/letter/list/r; # its markdown has a mark before its title

# ---- the mini
my %cannot = (
	"dsocr_describe($scan)" => qr/cannot describe an image/,
	"dsocr_parse_figure($scan)" => qr/cannot parse a figure/,
	"dsocr_locate($scan, 'the signature')" => qr/cannot locate a phrase/,
	"dsocr_ask($scan, 'Who wrote this?')" => qr/cannot answer questions/);
fails($node, "SELECT $_", '0A000', s/\(SELECT.*?\)/scan/r, message => $cannot{$_}, detail => qr/"dsocr-mini", which reads lines of text/,
	hint => /ask/ ? qr/DeepSeek-VL2/ : qr/DeepSeek-OCR-2 can/) for sort keys %cannot;
fails($node, "SELECT dsocr_submit($scan, 'describe')", '0A000', 'a job of that kind');
like(sql("SELECT dsocr_text($scan)"), qr/Yours faithfully/, 'and it reads');
is(sql('SELECT ' . chat('Free OCR.', '{"model": "dsocr-mini"}', 'list') . "$content = dsocr_text($list)"), 't', 'also in the form of chat services');
is(sql('SELECT ' . chat('<|grounding|>Convert the document to markdown.', '{}', 'list') . "$content = dsocr_markdown($list)"), 't', 'and as markdown');
isnt(sql("SELECT dsocr_markdown($list)"), sql("SELECT dsocr_text($list)"), 'which is another text');
fails($node, 'SELECT ' . chat('Who wrote this?', '{}'), '0A000', 'there, too, it answers nothing', message => qr/cannot answer questions/);
fails($node, 'SELECT ' . chat('Free OCR.', '{"model": "gpt"}'), '0A000', 'another model', message => qr/has no model "gpt"/, detail => qr/serves "dsocr-mini"/);

# ---- a page reader
serve_with($node, 'dsocr.model', toy('toy'), 'ready');
my $description = sql("SELECT dsocr_describe($scan, 1, $few)");
isnt($description, '', 'a model that can describes a page');
isnt(sql("SELECT dsocr_parse_figure($scan, 1, $few)"), $description, 'a figure is another question');
is(sql("SELECT dsocr_extract($scan, 'describe', '1', $few)->'document'->'pages'->0->>'markdown'"), $description, 'and is a result by dsocr_extract');
is(sql("SELECT count(*) FROM dsocr_locate($scan, 'the signature', options => $few)"), 0, 'an answer without boxes gives no row');
is(sql('SELECT ' . chat('Locate <|ref|>it<|/ref|> in the image.', '{"max_tokens": 5}') . q{ @> '{"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 5}}'}), 't',
	'an answer that is cut says so');
isnt(sql('SELECT ' . chat('Locate <|ref|>it<|/ref|> in the image.', '{"max_completion_tokens": 30}') . $content), '', 'a place is told in the words of the model');
fails($node, "SELECT dsocr_ask($scan, 'Who wrote this?')", '0A000', 'questions are not what it was made for', detail => qr/It is "toy"/, hint => qr/DeepSeek-VL2.*dsocr\.prompts/);
fails($node, "SELECT dsocr_describe($scan, 2)", '22023', 'a page that is not there', message => qr/there is no page 2/, detail => qr/has 1 page/);
fails($node, "SELECT dsocr_describe($scan, -1)", '22023', 'nor can be', hint => qr/counted from 1/);
fails($node, "SELECT dsocr_locate($scan, E' \\n')", '22023', 'nothing to look for', message => qr/no phrase to look for/, hint => qr/such as "the signature"/);
fails($node, "SELECT dsocr_locate($scan, repeat('ä', 1001))", '54000', 'a long phrase', message => qr/question is too long/, detail => qr/2002 bytes; 2000 are possible/);
fails($node, "SELECT dsocr_describe($scan, options => '{\"color\": 1}')", '22023', 'an unknown option', detail => qr/Known options are rotate/);
fails($node, q{SELECT dsocr_describe('no image')}, '22P03', 'no image', message => qr/not an image/);

# ---- one that says that it answers questions
serve_with($node, 'dsocr.model', toy('asker', '"ask"'), 'ready');
my $answer = sql("SELECT dsocr_ask($scan, 'Who wrote this?', options => $few)");
isnt($answer, '', 'a model that answers questions is asked');
isnt(sql("SELECT dsocr_ask($scan, 'To whom?', options => $few)"), $answer, 'another question has another answer');
is(sql("SELECT dsocr_ask($scan, E'  Who wrote this?\\n', options => $few)"), $answer, 'the same one has the same');
isnt(sql("SELECT dsocr_ask($scan, 'Who wrote this?<|end|>', options => $few)"), $answer, 'and what looks like its end belongs to it');
fails($node, "SELECT dsocr_describe($scan)", '0A000', 'what its config leaves out it cannot', detail => qr/It is "asker"/);

same_bystander('all of it');
not_restarted($node);
$node->stop('fast');
done_testing();
