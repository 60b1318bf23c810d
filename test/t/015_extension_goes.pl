# An extension that is dropped while a queue worker looks for it or begins to serve: the worker leaves, and the server stays
# up. The moment is made by a lock on a catalog that the worker reads.
use strict;
use warnings;
use Dsocr;
use Test::More;
use Time::HiRes qw(sleep);

my $node = server('goes', engine => fake_engine(), conf => "log_min_messages = warning\ndsocr.naptime = 1h");
wait_for_state($node, 'ready');
bystander($node);
$node->safe_psql('postgres', 'CREATE DATABASE goes');
my $waits = q{SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'dsocr queue worker' AND a.datname = 'goes' AND NOT l.granted};

# Holds a worker that reads this catalog; the closure returned lets it go on after one more statement.
sub held_worker
{
	my ($catalog, $promise) = @_;
	$node->safe_psql('goes', 'CREATE EXTENSION IF NOT EXISTS dsocr');
	my $session = $node->background_psql('goes');
	$session->query_safe("BEGIN; LOCK TABLE pg_catalog.$catalog IN ACCESS EXCLUSIVE MODE");
	my $look = $node->background_psql('postgres');
	my $seen = 'f';
	for my $turn (0 .. 3000) # it waits for a second: who looks by a new session each time may miss it
	{
		$look->query_safe('SELECT pg_reload_conf()') if $turn % 150 == 0; # the launcher has all databases looked into
		last if ($seen = $look->query_safe($waits)) eq 't';
		sleep 0.02;
	}
	$look->quit;
	is($seen, 't', "$promise: a worker waits");
	return sub { $session->query_safe("$_[0]; COMMIT"); $session->quit };
}

sub no_worker
{
	return $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dsocr queue worker' AND datname = 'goes'});
}

# pg_extension: it looks for the extension. pg_namespace: it has its place already, which a transaction that fails must not cost it.
for my $catalog (qw(pg_extension pg_namespace pg_namespace))
{
	held_worker($catalog, "locked $catalog")->('DROP EXTENSION dsocr');
	ok(no_worker(), "locked $catalog: the extension is dropped, the worker leaves");
}

# It waits for a second, and not longer; what it could not find out it does not guess.
my $go_on = held_worker('pg_extension', 'a look that comes to nothing');
ok(no_worker(), 'the worker leaves');
$go_on->('SELECT 1');
$node->safe_psql('goes', q{CREATE TABLE s (id int PRIMARY KEY, scan bytea); INSERT INTO s VALUES (1, 'TEXT:read all the same'); SELECT dsocr_attach('s', 'scan')});
is($node->safe_psql('goes', q{SELECT dsocr_wait(timeout => '3min'); SELECT search_text FROM s_scan_ocr}), "0\nread all the same", 'the next one does the work');

# A database that is dropped while its worker has much to do: nobody knocks at its door for the next hour.
$node->safe_psql('goes', q{INSERT INTO s SELECT g, 'TEXT:work' FROM generate_series(2, 20000) g});
$node->safe_psql('postgres', 'DROP DATABASE goes');
sleep 4; # once a second it would be
my @knocks = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /database \d+ does not exist/g;
cmp_ok(scalar @knocks, '<=', 1, 'no worker is started for a database that is gone, but for one on the way');
same_bystander('all that');
not_restarted($node);
$node->stop('fast');
done_testing();
