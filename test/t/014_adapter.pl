# An adapter is merged at a reload, is told by dsocr_status and by every result, is refused with a reason, and removed.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Documents;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my ($bindir) = `pg_config --bindir` =~ /(.*)/;
my ($sharedir) = `pg_config --sharedir` =~ /(.*)/;
plan skip_all => "no engine is installed as $bindir/dsocr" unless -x "$bindir/dsocr";

my $node = server('adapter');
bystander($node);
wait_for_state($node, 'ready');
store($node, good => page_file('letter_en.jpg'));
my ($plain, $sum) = (status($node, 'model'), status($node, 'weights_sha256'));
my ($weights) = glob "$sharedir/dsocr/models/mini/*.safetensors";
my ($hidden) = slurp_file($weights) =~ /"model\.layers\.0\.self_attn\.q_proj\.weight":\{[^}]*"shape":\[(\d+)/;

# A directory in PEFT's layout that changes one linear of the mini: A is all of one value, B too.
sub adapter
{
	my ($name, %o) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir . "/$name";
	my $linear = 'base_model.model.model.layers.0.self_attn.q_proj';
	my $in = $o{in} // $hidden;
	my $bytes = 4 * $in;
	my $header = sprintf '{"%s.lora_A.weight":{"dtype":"F32","shape":[1,%d],"data_offsets":[0,%d]},'
	  . '"%s.lora_B.weight":{"dtype":"F32","shape":[%d,1],"data_offsets":[%d,%d]}}',
	  $linear, $in, $bytes, $linear, $hidden, $bytes, $bytes + 4 * $hidden;
	mkdir $dir;
	append_to_file("$dir/adapter_config.json",
		sprintf '{"peft_type": "LORA", "base_model_name_or_path": "%s", "r": 1, "lora_alpha": 1%s}', $o{base} // $plain, $o{more} // '');
	my $data = pack('Q<', length $header) . $header . pack('f<*', (0.001) x $in, (0.001) x $hidden);
	append_to_file("$dir/adapter_model.safetensors", substr($data, 0, length($data) - ($o{cut} // 0)));
	return $dir;
}

sub with
{
	serve_with($node, 'dsocr.adapter', @_);
}

my $result = q{SELECT r->>'model' || ' ' || (r->>'weights_sha256') FROM documents, LATERAL (SELECT dsocr_extract(doc)->'metadata' AS r) AS x};
is($node->safe_psql('postgres', $result), "$plain $sum", 'without an adapter a result has the model alone');

with(adapter('gentle', more => qq{, "dsocr": {"base_sha256": "$sum"}}), 'ready');
like(status($node, 'model'), qr/^\Q$plain\E\+gentle@[0-9a-f]{8}$/, 'dsocr_status names the adapter');
isnt(status($node, 'weights_sha256'), $sum, 'and the sum of the weights is another');
is($node->safe_psql('postgres', $result), status($node, 'model') . ' ' . status($node, 'weights_sha256'), 'so does a result');
like($node->safe_psql('postgres', q{SELECT dsocr_text(doc) FROM documents}), qr/Yours faithfully/, 'the adapted model reads');

for (
	[ 'another base', adapter('other', base => 'DeepSeek-OCR-2'), qr/"DeepSeek-OCR-2", and this is "\Q$plain\E"/ ],
	[ 'other weights', adapter('old', more => ', "dsocr": {"base_sha256": "' . sha256_hex('') . '"}'), qr/other weights/ ],
	[ 'a wrong shape', adapter('wide', in => $hidden + 1), qr/q_proj\.lora_A\.weight.*shape/ ],
	[ 'DoRA', adapter('dora', more => ', "use_dora": true'), qr/use_dora/ ],
	[ 'a file cut short', adapter('cut', cut => 7), qr/adapter_model\.safetensors/ ],
	[ 'no such folder', '/nowhere/adapter', qr{/nowhere/adapter} ])
{
	my ($name, $dir, $reason) = @$_;
	with($dir, 'no_model');
	my $err = fails($node, q{SELECT dsocr_text(doc) FROM documents}, '55000', $name);
	like($err, $reason, "$name: the error says so");
	like($err, qr/HINT: /, "$name: with a hint");
	is($node->safe_psql('postgres', q{SELECT dsocr_info(doc)->>'format' FROM documents}), 'jpeg', "$name: dsocr_info works");
}

my ($rc, $out, $err) = $node->psql('postgres', q{ALTER SYSTEM SET dsocr.adapter = '../mine'});
like($err, qr/An adapter is the name of a folder/, 'a relative path is refused when it is set');

with('', 'ready');
is($node->safe_psql('postgres', $result), "$plain $sum", 'without the adapter all is as it was');
same_bystander('all adapters');
not_restarted($node);
$node->stop('fast');
done_testing();
