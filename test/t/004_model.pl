# Another model, device setting or limit takes a reload and no restart; calls in flight are answered by the next engine.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = server('model', engine => fake_engine());
bystander($node);
wait_for_state($node, 'ready');

sub command_line
{
	return slurp_file('/proc/' . status($node, 'pid') . '/cmdline') =~ tr/\0/ /r;
}

like(command_line(), qr{--model \S+/dsocr/models/mini }, 'the model that is installed is the default');

sub changed
{
	my ($setting, $value, $pattern) = @_;
	my $pid = status($node, 'pid');
	faults($node, 'hold=1');
	my $call = spawn_query($node, q{SELECT dsocr_text('TEXT:in flight')});
	$node->poll_query_until('postgres', q{SELECT (dsocr_status()->>'active')::int > 0});
	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting = '$value'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT dsocr_status()->>'pid' NOT IN ('0', '$pid')");
	wait_for_state($node, 'ready');
	like(command_line(), $pattern, "$setting: the new engine has it");
	no_faults($node);
	my ($seconds, $out, $err) = $call->();
	is($out, "in flight\n", "$setting: the call in flight is answered by the new engine") or diag($err);
	ok(ended($pid), "$setting: the old engine is gone");
}

changed('dsocr.model', '/somewhere/else', qr{--model /somewhere/else });
changed('dsocr.model', 'other', qr{--model \S+/dsocr/models/other });
changed('dsocr.adapter', '/my/adapter', qr{--adapter /my/adapter });
changed('dsocr.adapter', 'faces', qr{--model \S+/other --adapter \S+/dsocr/models/faces });
changed('dsocr.adapter', '', qr{--model \S+/other --threads});
changed('dsocr.models_dir', '/my/models', qr{--model /my/models/other });
changed('dsocr.cpu_threads', '3', qr{--threads 3 });
changed('dsocr.max_batch', '7', qr{--max-batch 7 });
is(status($node, 'restarts'), 0, 'replacements by wish are not counted as restarts');
is(status($node, 'refused_documents'), 0, 'nor blamed on a document');

my $pid = status($node, 'pid');
$node->safe_psql('postgres', 'ALTER SYSTEM SET dsocr.max_pages = 7');
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('dsocr.max_pages') = '7'});
reads($node, 'another limit');
is(status($node, 'pid'), $pid, 'a limit reaches the engine that runs');

same_bystander('replaced engines');
not_restarted($node);
$node->stop('fast');
done_testing();
