# Dsocr.pm - a server with dsocr in it, for the tests beside this file.
#
# Most run with the fake engine (test/fake), which speaks the real protocol and does wrong what a test asks of it:
# at its start, by the file of faults, or by words in a document. It is build/dsocr-fake, or what DSOCR_FAKE says.
package Dsocr;

use strict;
use warnings;
use Exporter 'import';
use FindBin;
# Before PostgreSQL's modules look: patience, in seconds, for what only has to happen.
BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 600 }
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

our @EXPORT = qw(fake_engine server faults no_faults status wait_for_state serve_with fails prompt reads bystander same_bystander
  not_restarted spawn_query ended says);

sub fake_engine
{
	my $fake = $ENV{DSOCR_FAKE} // "$FindBin::Bin/../../build/dsocr-fake";
	-x $fake or BAIL_OUT("$fake is not there: make build/dsocr-fake");
	return $fake;
}

# A running server with the extension. engine: its path, or undef for the installed one.
sub server
{
	my ($name, %o) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => $o{initdb} // [ '-E', 'UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dsocr'\n") unless $o{unpreloaded};
	$node->append_conf('postgresql.conf', "dsocr.engine_path = '$o{engine}'\n") if defined $o{engine};
	$node->append_conf('postgresql.conf', "log_min_messages = log\n$_\n") for $o{conf} // '';
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION dsocr');
	return $node;
}

sub faults
{
	my ($node, $words) = @_;
	my $path = $node->data_dir . '/pg_stat_tmp/dsocr.sock.faults';
	PostgreSQL::Test::Utils::append_to_file("$path.new", $words);
	rename "$path.new", $path;
}

sub no_faults
{
	my ($node) = @_;
	unlink $node->data_dir . '/pg_stat_tmp/dsocr.sock.faults';
}

sub status
{
	my ($node, $key) = @_;
	return $node->safe_psql('postgres', "SELECT dsocr_status()->>'$key'");
}

sub wait_for_state
{
	my ($node, $state, $seconds) = @_;
	$node->poll_query_until('postgres', "SELECT dsocr_status()->>'state' = '$state'")
	  or diag("state is " . status($node, 'state'));
	is(status($node, 'state'), $state, "the engine is $state");
}

# A setting is changed that needs another engine: that one is waited for, until it is in this state.
sub serve_with
{
	my ($node, $setting, $value, $state) = @_;
	my $pid = status($node, 'pid');
	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting = '$value'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT dsocr_status()->>'pid' NOT IN ('0', '$pid')");
	wait_for_state($node, $state);
}

# The statement fails with this SQLSTATE and these words (a pattern each; undef: must not be there).
sub fails
{
	my ($node, $sql, $sqlstate, $promise, %o) = @_;
	my ($rc, $out, $err) = $node->psql($o{db} // 'postgres', "\\set VERBOSITY verbose\n$sql");
	my ($got) = $err =~ /ERROR:  (\w{5}): /;
	my $ok = is($got, $sqlstate, "$promise: $sqlstate");
	$ok &= like($err, $o{message}, "$promise: message") if $o{message};
	$ok &= like($err, qr/DETAIL:  .*$o{detail}/s, "$promise: detail") if $o{detail};
	$ok &= like($err, qr/HINT:  .*$o{hint}/, "$promise: hint") if $o{hint};
	diag($err) unless $ok;
	return $err;
}

# A good document is read.
sub reads
{
	my ($node, $promise, $db) = @_;
	is($node->safe_psql($db // 'postgres', q{SELECT dsocr_text('TEXT:good')}), 'good', "$promise: a good page is read");
}

# What $work takes is at most half a second longer than what $yardstick takes: both are code that gives seconds. The
# machine may be busy, so one of ten attempts has to show it.
sub prompt
{
	my ($promise, $yardstick, $work) = @_;
	my @tried;
	for (1 .. 10)
	{
		push @tried, [ $yardstick->(), $work->() ];
		return pass("$promise: as soon as what is not ours") if $tried[-1][1] < $tried[-1][0] + 0.5;
	}
	fail("$promise: as soon as what is not ours");
	diag(sprintf '%.2f s, and %.2f s', @$_) for @tried;
}

# An idle session, which a restart of the cluster would end.
my ($session, $pid);

sub bystander
{
	my ($node) = @_;
	$session = $node->background_psql('postgres');
	$session->set_query_timer_restart; # its patience is for a statement, not for the whole test
	$pid = $session->query_safe('SELECT pg_backend_pid()');
}

sub same_bystander
{
	my ($what) = @_;
	is($session->query_safe('SELECT pg_backend_pid()'), $pid, "$what: the idle session has lived through it");
	$session->quit;
}

sub not_restarted
{
	my ($node) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	unlike($log, qr/terminating any other active server processes|all server processes terminated/,
		'the cluster was never restarted');
}

# The process is gone, or waits for an init that does not reap.
sub ended
{
	my ($pid) = @_;
	for (1 .. 1200)
	{
		my $stat = -e "/proc/$pid/stat" ? eval { PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") } : undef;
		return 1 if !defined $stat || $stat =~ /\) Z /;
		sleep 0.05;
	}
	return 0;
}

# Starts a statement in a psql of its own; the closure returned waits for its end and gives (seconds, stdout, stderr).
sub spawn_query
{
	my ($node, $sql, $db) = @_;
	my ($out, $err, $start) = ('', '', time);
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($db // 'postgres'), '-c', $sql ],
		'>', \$out, '2>', \$err);
	return sub {
		$run->finish;
		return (time - $start, $out, $err);
	};
}

# The SQLSTATE that a statement of a background session ends with; '' when it succeeds.
sub says
{
	my ($session, $statement) = @_;
	my ($out, $failed) = $session->query("$statement\n;\\echo state :SQLSTATE");
	return $out =~ /state (\w+)/ ? ($1 eq '00000' ? '' : $1) : "no answer: $out";
}

1;
