# The owner of a watched table goes, or loses his rights, while it is read: a view says so, other watches go on, and nothing is
# lost when somebody has the rights again.
use strict;
use warnings;
use Dsocr;
use Test::More;

my $node = server('owner', engine => fake_engine(),
	conf => "log_min_messages = warning\ndsocr.naptime = 1s\ndsocr.retry_delay = 50ms\ndsocr.max_attempts = 2");
wait_for_state($node, 'ready');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT watch, problem FROM dsocr.watches; SELECT * FROM dsocr.job')) }
sub all_read { is(sql("SELECT dsocr_wait($_[0], '3min')"), 0, "$_[1]: all is read") }

# Whoever has nothing to do with it is read all the while.
sql(q{CREATE TABLE other (id int PRIMARY KEY, scan bytea)});
my $other = sql(q{SELECT dsocr_attach('other', 'scan')});
my $others = 0;
sub other_is_read
{
	sql('INSERT INTO other VALUES (' . ++$others . ", 'TEXT:other')");
	all_read($other, "$_[0]: another watch");
}

# A table of a role's own, attached by it; its results are in a schema of theirs. Gives the watch.
sub table
{
	my ($role) = @_;
	sql(qq{CREATE ROLE $role; CREATE SCHEMA $role AUTHORIZATION $role; SELECT dsocr_grant('$role', 'manage'); SET ROLE $role;
		CREATE TABLE $role.t (id int PRIMARY KEY, scan bytea); INSERT INTO $role.t VALUES (1, 'TEXT:first')});
	my $w = sql(qq{SET ROLE $role; SELECT dsocr_attach('$role.t', 'scan')});
	all_read($w, "$role at first");
	return $w;
}

# Three documents are in the engine when this is done.
sub while_reading
{
	my ($role, $w, $do) = @_;
	faults($node, 'hold=1');
	sql(qq{INSERT INTO $role.t SELECT g, convert_to('TEXT:late ' || g, 'UTF8') FROM generate_series(2, 4) g});
	until_true("SELECT count(*) = 3 FROM dsocr.jobs WHERE state = 'claimed' AND watch = $w", "$role: three are being read");
	sql($do);
	no_faults($node);
}

sub waits
{
	my ($role, $w, $problem, $promise) = @_;
	until_true("SELECT problem = '$problem' FROM dsocr.coverage WHERE watch = $w", "$promise: $problem");
	other_is_read($promise);
	until_true("SELECT count(*) FILTER (WHERE state = 'queued') = 3 AND count(*) = 3 FROM dsocr.job WHERE watch = $w", "$promise: what was being read waits, and is not given up");
	# The owner of the table sees it, too.
	is(sql("SET ROLE $role; SELECT problem FROM dsocr.watches WHERE watch = $w"), $problem, "$promise: so it says in dsocr.watches") if $role;
}

sub whole
{
	my ($results, $w, $promise) = @_;
	all_read($w, $promise);
	is(sql("SELECT string_agg(search_text, ',' ORDER BY id), count(*) FROM $results WHERE current"), 'first,late 2,late 3,late 4|4', "$promise: nothing is lost, or there twice");
	is(sql("SELECT count(*) FROM dsocr.failed_items WHERE watch = $w"), 0, "$promise: nothing was given up");
}

# ---- rights on the results, the source, and their schema
my $w = table('stripped');
while_reading('stripped', $w, 'REVOKE INSERT ON stripped.t_scan_ocr FROM stripped');
waits('stripped', $w, 'its owner needs SELECT, INSERT, UPDATE and DELETE on its results', 'REVOKE on results');
sql('GRANT INSERT ON stripped.t_scan_ocr TO stripped; GRANT ALL ON stripped.t TO CURRENT_USER');
whole('stripped.t_scan_ocr', $w, 'the rights are back');

$w = table('blinded');
while_reading('blinded', $w, 'GRANT ALL ON blinded.t, blinded.t_scan_ocr TO CURRENT_USER; REVOKE ALL ON blinded.t FROM blinded; GRANT REFERENCES ON blinded.t TO blinded');
waits('', $w, 'its owner needs SELECT and UPDATE on it', 'REVOKE on the source');
sql('GRANT ALL ON blinded.t TO blinded');
whole('blinded.t_scan_ocr', $w, 'he may read it again');

$w = table('homeless');
while_reading('homeless', $w, 'ALTER SCHEMA homeless OWNER TO CURRENT_USER; REVOKE ALL ON SCHEMA homeless FROM homeless');
waits('homeless', $w, 'its owner may not use its schema', 'REVOKE on the schema');
sql('GRANT USAGE ON SCHEMA homeless TO homeless');
whole('homeless.t_scan_ocr', $w, 'he may use it again');

# ---- results that belong to somebody else than the source does
$w = table('parted');
sql('CREATE ROLE heir');
while_reading('parted', $w, 'ALTER TABLE parted.t OWNER TO heir');
waits('', $w, 'its owner may not use its schema', 'ALTER TABLE ... OWNER');
sql('GRANT USAGE ON SCHEMA parted TO heir');
waits('', $w, 'its owner needs SELECT, INSERT, UPDATE and DELETE on its results', 'the new owner has no results');
sql('ALTER TABLE parted.t_scan_ocr OWNER TO heir');
whole('parted.t_scan_ocr', $w, 'the results are his');

# ---- a right that only a user's own trigger misses is no matter of the watch: given up in the end, and said
sql(q{CREATE TABLE audit (id int); REVOKE ALL ON audit FROM PUBLIC;
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.audit VALUES (NEW.id); RETURN NEW; END';
	CREATE TRIGGER note BEFORE INSERT ON parted.t_scan_ocr FOR EACH ROW EXECUTE FUNCTION note(); INSERT INTO parted.t VALUES (5, 'TEXT:fifth')});
until_true(qq{SELECT error_message = 'permission denied for table audit' FROM dsocr.failed_items WHERE watch = $w}, 'a trigger without rights: dsocr.failed_items says so');
sql('GRANT INSERT ON audit TO heir');
is(sql("SELECT dsocr_retry($w)"), 1, 'with them it is tried again');
all_read($w, 'the trigger has its rights');
is(sql("SELECT search_text, (SELECT count(*) FROM audit) FROM parted.t_scan_ocr WHERE id = 5 AND current"), 'fifth|1', 'and read');

# ---- row-level security that holds for the owner, too: what a policy hides from him is not deleted
$w = table('hidden');
while_reading('hidden', $w, 'ALTER TABLE hidden.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY third ON hidden.t USING (id = 3)');
waits('hidden', $w, 'its owner is subject to row-level security on it', 'FORCE ROW LEVEL SECURITY on the source');
sql(q{BEGIN; DELETE FROM hidden.t WHERE id = 1; INSERT INTO hidden.t VALUES (1, 'TEXT:first'); COMMIT});
other_is_read('a hidden row is gone and there again');
is(sql(q{SELECT count(*) FROM hidden.t_scan_ocr WHERE id = 1}), 1, 'a row that is hidden keeps its results');
fails($node, "SET ROLE hidden; SELECT dsocr_attach('hidden.t', 'scan', result_table => 'other')", '55000', 'such a table is not attached',
	message => qr/owner of hidden\.t is subject to row-level security/, detail => 'taken for deleted', hint => 'NO FORCE ROW LEVEL SECURITY');
sql('ALTER TABLE hidden.t NO FORCE ROW LEVEL SECURITY');
whole('hidden.t_scan_ocr', $w, 'policies are for others again');

$w = table('veiled');
while_reading('veiled', $w, 'ALTER TABLE veiled.t_scan_ocr ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY');
waits('veiled', $w, 'its owner is subject to row-level security on its results', 'FORCE ROW LEVEL SECURITY on the results');
sql('ALTER ROLE veiled BYPASSRLS');
whole('veiled.t_scan_ocr', $w, 'no policy holds for him');

sql(q{CREATE ROLE torn; CREATE SCHEMA torn AUTHORIZATION torn; SELECT dsocr_grant('torn', 'manage'); SET ROLE torn;
	CREATE TABLE torn.t (part int, id int, scan bytea, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
	CREATE TABLE torn.a PARTITION OF torn.t FOR VALUES IN (1); CREATE TABLE torn.b PARTITION OF torn.t FOR VALUES IN (2);
	INSERT INTO torn.t VALUES (1, 1, 'TEXT:one'), (2, 1, 'TEXT:two')});
$w = sql(q{SET ROLE torn; SELECT dsocr_attach('torn.t', 'scan')});
all_read($w, 'torn at first');
until_true("SELECT count(*) = 3 FROM dsocr.served WHERE watch = $w", 'its partitions are known');
sql(q{ALTER TABLE torn.a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; ALTER TABLE torn.t DETACH PARTITION torn.a; TRUNCATE torn.b});
until_true("SELECT error_message ~ 'row-level security on what was its partition' FROM dsocr.jobs WHERE watch = $w AND state = 'gone'",
	'FORCE ROW LEVEL SECURITY on what was a partition: dsocr.jobs says so');
is(sql('SELECT count(*) FROM torn.t_scan_ocr'), 2, 'and no result goes');
sql('ALTER TABLE torn.a NO FORCE ROW LEVEL SECURITY');
all_read($w, 'the partition is seen again');
is(sql(q{SELECT string_agg(search_text, ',') FROM torn.t_scan_ocr}), 'one', 'what is detached keeps its results, what was emptied does not');

# ---- the role goes, its tables stay
$w = table('leaver');
while_reading('leaver', $w, 'REASSIGN OWNED BY leaver TO CURRENT_USER; DROP OWNED BY leaver; DROP ROLE leaver');
other_is_read('REASSIGN OWNED, DROP ROLE');
whole('leaver.t_scan_ocr', $w, 'the role is dropped');
is(sql("SELECT problem IS NULL FROM dsocr.watches WHERE watch = $w"), 't', 'the watch is served, whoever attached it is gone');

# ---- the role goes with all it has
$w = table('vanished');
while_reading('vanished', $w, 'DROP OWNED BY vanished CASCADE; DROP ROLE vanished');
until_true("SELECT problem = 'its table does not exist' FROM dsocr.coverage WHERE watch = $w", 'DROP OWNED: the watch says that its table is gone');
other_is_read('DROP OWNED, DROP ROLE');
is(sql("SELECT pending, failed FROM dsocr.coverage WHERE watch = $w"), '3|0', 'what was asked for is still there to be seen');
is(sql("SELECT dsocr_detach($w); SELECT count(*) FROM dsocr.watches WHERE watch = $w"), "\n0", 'and can be detached');

not_restarted($node);
$node->stop('fast');
done_testing();
