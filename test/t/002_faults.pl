# Whatever the engine does, a call ends with one clear error or a retried answer, the session lives, the cluster too.
use strict;
use warnings;
use Dsocr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = server('faults', engine => fake_engine(), conf => "dsocr.hang_timeout = 5000\ndsocr.retries = -1");
bystander($node);
wait_for_state($node, 'ready');

# How long restarts are put off grows with each that comes soon; a reload forgets that.
sub calm
{
	no_faults($node);
	$node->reload;
	wait_for_state($node, 'ready');
}

# The engine dies while a call waits: asked again, it answers.
for my $where (qw(before_go after_go after_body mid_reply))
{
	my $before = status($node, 'restarts');
	faults($node, "exit=$where,kill,once");
	is($node->safe_psql('postgres', qq{SELECT dsocr_text('TEXT:again $where')}), "again $where",
		"killed ($where) while a call waits: the answer is a retried one");
	is(status($node, 'restarts'), $before + 1, "killed ($where): one restart");
	calm();
}

# Killed from outside, while a slow page is read.
faults($node, 'hold=1');
my $slow = spawn_query($node, q{SELECT dsocr_text('TEXT:slowly')});
$node->poll_query_until('postgres', q{SELECT (dsocr_status()->>'active')::int > 0});
kill 'KILL', status($node, 'pid');
no_faults($node);
my ($seconds, $out, $err) = $slow->();
is($out, "slowly\n", 'kill -9 of the engine while a call waits: the answer is a retried one') or diag($err);
calm();

# A document that ends the engine each time is refused after the second.
fails($node, q{SELECT dsocr_text('poison FAKE:exit=after_body,segv')}, '58000', 'document that ends the engine',
	message => qr/the engine was lost twice while it read this document/, detail => qr/refused for an hour/, hint => qr/report it/);
calm();
my $restarts = status($node, 'restarts');
fails($node, q{SELECT dsocr_text('poison FAKE:exit=after_body,segv')}, '58000', 'the same document again',
	message => qr/not read, since it ended the engine twice/);
is(status($node, 'restarts'), $restarts, 'a refused document does not reach the engine');
is($node->safe_psql('postgres', q{SELECT dsocr_try_extract('poison FAKE:exit=after_body,segv')->'error_status'->0->>'error_code'}),
	'engine_crash', 'dsocr_try_extract says so in the result');
is(status($node, 'refused_documents'), 1, 'and it is counted');
reads($node, 'after a poison document');
is($node->safe_psql('postgres', q{SELECT dsocr_text('TEXT:poisoned FAKE:')}), 'poisoned ', 'documents of the same length are not refused');

# Stopped, hung, or busy without progress: found and replaced.
my $pid = status($node, 'pid');
kill 'STOP', $pid;
is($node->safe_psql('postgres', q{SELECT dsocr_text('TEXT:after a stop')}), 'after a stop', 'SIGSTOP: a call gets its answer from the next engine');
isnt(status($node, 'pid'), $pid, 'SIGSTOP: the engine was replaced');
like(status($node, 'last_error'), qr/no progress for 5000 ms \(dsocr.hang_timeout\)/, 'SIGSTOP: with this reason');
ok(ended($pid), 'SIGSTOP: the old one is gone');
calm();
for my $fault (qw(hang stuck))
{
	$pid = status($node, 'pid');
	faults($node, $fault);
	$node->poll_query_until('postgres', "SELECT dsocr_status()->>'last_error' LIKE '%(PID $pid)%'");
	no_faults($node);
	pass("$fault: found");
	calm();
	reads($node, $fault);
}

# A mad engine.
my @mad = (
	[ 'garbage', qr/not a message of dsocr/ ],
	[ 'oversize', qr/a body over the limit/ ],
);
for (@mad)
{
	my ($fault, $detail) = @$_;
	fails($node, "SELECT dsocr_text('mad FAKE:$fault')", '58000', $fault,
		message => qr/the engine did not answer as agreed/, detail => $detail, hint => qr/fault of the engine/);
	reads($node, $fault);
}
fails($node, q{SELECT dsocr_text('mad FAKE:not_json')}, '58000', 'not_json', message => qr/not a JSON object/, detail => qr/It has \d+ bytes/, hint => qr/fault of the engine/);
fails($node, q{SELECT dsocr_text('mad FAKE:error=nonsense')}, '58000', 'unknown status', message => qr/failed and did not say why/, detail => qr/no status that is known/, hint => qr/fault of the engine/);
fails($node, q{SELECT dsocr_text('mad FAKE:short')}, '58000', 'short', message => qr/lost twice/, detail => qr/refused for an hour/, hint => qr/report it/);
like($node->safe_psql('postgres', q{SELECT dsocr_text('TEXT:abc FAKE:nul')}), qr/\?/, 'U+0000 from a model loses no page');
is($node->safe_psql('postgres', q{SELECT (dsocr_extract('TEXT:abc FAKE:nul')->'metadata'->>'replaced_characters')::int > 0}), 't',
	'U+0000 is replaced and counted');
like($node->safe_psql('postgres', q{SELECT dsocr_text('TEXT:abc FAKE:bad_utf8')}), qr/\?/, 'broken UTF-8 from a model loses no page');
is($node->safe_psql('postgres', q{SELECT length(dsocr_text('FAKE:big=30000000'))}), 30000000, 'an answer of 30 MB is taken');
reads($node, 'mad engine');

# Statuses that the engine gives become SQLSTATEs.
my %sqlstates = (bad_input => '22P03', bad_request => '22023', limit => '54000', busy => '53000', not_ready => '55000',
	unsupported => '0A000', cancelled => '57014', broken => '58000');
for my $status (sort keys %sqlstates)
{
	fails($node, "SELECT dsocr_text('x FAKE:error=$status')", $sqlstates{$status}, "status $status", message => qr/the fake engine fails/);
}
faults($node, 'refuse=busy');
fails($node, q{SELECT dsocr_text('x')}, '53000', 'full queue', message => qr/the fake engine refuses/);
no_faults($node);

fails($node, q{SELECT dsocr_text('x FAKE:version=7')}, '55000', 'an answer of another version',
	message => qr/speaks another protocol version/, detail => qr/speaks version 7, .* version 1/, hint => qr/Restart the server/);
reads($node, 'an answer of another version');

# An engine of another protocol version, put in place under a running server.
faults($node, 'version=7');
wait_for_state($node, 'failing');
fails($node, q{SELECT dsocr_text('x')}, '55000', 'other version',
	message => qr/the engine does not start/, detail => qr/speaks version 7 of the protocol.*version 1.*restart the server/, hint => qr/log/);
calm();
reads($node, 'other version');

# No model: what needs none works.
faults($node, 'state=failed');
kill 'KILL', status($node, 'pid');
wait_for_state($node, 'no_model');
fails($node, q{SELECT dsocr_text('x')}, '55000', 'no model', message => qr/the model cannot be loaded/, detail => qr/./, hint => qr/./);
is($node->safe_psql('postgres', q{SELECT dsocr_info('x')->>'bytes'}), 1, 'dsocr_info works without a model');
like(status($node, 'last_error'), qr/the model cannot be loaded/, 'and the reason is seen');
no_faults($node);
wait_for_state($node, 'ready');
reads($node, 'no model');

# While it loads, readings wait, and what needs no model does not.
faults($node, 'state=starting');
kill 'KILL', status($node, 'pid');
wait_for_state($node, 'loading');
is($node->safe_psql('postgres', q{SELECT dsocr_info('x')->>'bytes'}), 1, 'dsocr_info works while the model is loaded');
my $waiting = spawn_query($node, q{SELECT dsocr_text('TEXT:patience')});
sleep 0.5;
no_faults($node);
($seconds, $out, $err) = $waiting->();
is($out, "patience\n", 'a call waits for an engine that loads its model') or diag($err);
faults($node, 'state=starting');
kill 'KILL', status($node, 'pid');
wait_for_state($node, 'loading');
fails($node, q{SET dsocr.timeout = 300; SELECT dsocr_text('x')}, '57014', 'dsocr.timeout while the engine starts',
	message => qr/./, detail => qr/dsocr.timeout is 300 ms/, hint => qr/Raise dsocr.timeout/);
calm();

same_bystander('all faults');
not_restarted($node);
$node->stop('fast');
done_testing();
