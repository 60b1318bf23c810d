# Names of every kind, roles that may not, and callers whose search_path holds traps.
use strict;
use warnings;
use utf8;
use Dsocr;
use Encode qw(encode_utf8);
use Test::More;

my $node = server('rights', engine => fake_engine(), initdb => [ '-E', 'UTF8', '--locale=C.UTF-8' ], conf => "log_min_messages = warning\ndsocr.naptime = 1s");
wait_for_state($node, 'ready');
my $db = encode_utf8('D "b" ö');

sub sql
{
	my ($statement, $role) = @_;
	$statement = "SET SESSION AUTHORIZATION " . quoted($role) . ";\n$statement" if defined $role;
	return $node->safe_psql($db, encode_utf8($statement));
}
sub quoted { return '"' . ($_[0] =~ s/"/""/gr) . '"' }

sub refused
{
	my ($statement, $role, $state, $promise) = @_;
	my ($rc, $out, $err) = $node->psql($db, encode_utf8("\\set VERBOSITY verbose\nSET SESSION AUTHORIZATION " . quoted($role) . ";\n$statement"));
	like($err, qr/ERROR:  $state/, $promise);
}

# ---- names: database, schema of the extension, role, schema, table, columns
my ($owner, $other, $nobody) = ("O'Neil \"Ä\" 日本", 'other one', 'no body');
$node->safe_psql('postgres', encode_utf8('CREATE DATABASE "D ""b"" ö"'));
$node->safe_psql('postgres', encode_utf8('CREATE ROLE ' . quoted($_) . ' LOGIN')) for $owner, $other, $nobody;
sql(q{CREATE SCHEMA "ext 'é'"; CREATE EXTENSION dsocr SCHEMA "ext 'é'"; ALTER DATABASE "D ""b"" ö" SET search_path = public, "ext 'é'"});
sql('SELECT dsocr_grant(' . join(', ', "\$\$$_\$\$", "'manage'") . ')') for $owner, $other;
sql('CREATE SCHEMA "s ""1"" ß" AUTHORIZATION ' . quoted($owner) . '; CREATE SCHEMA "s 2" AUTHORIZATION ' . quoted($other));
my $table = q{"s ""1"" ß"."t'able "" 日"};
my $results = q{"s ""1"" ß"."res'ults "" 本"};
sql(qq{CREATE TABLE $table ("k'1 ""ü" text, "page" int, "sc'an "" é" bytea, "kind %s" text, PRIMARY KEY ("k'1 ""ü", "page"));
	INSERT INTO $table VALUES (E'x"\\\\''é', 1, convert_to('TEXT:premier', 'UTF8'), 'a'), ('{NULL},"', 2, convert_to('TEXT:zweiter', 'UTF8'), 'a'), ('no', 3, 'TEXT:not', 'b');
	SELECT dsocr_attach(\$\$$table\$\$, \$\$sc'an " é\$\$, filter => \$\$"kind %s" = 'a'\$\$, result_table => \$\$res'ults " 本\$\$)}, $owner);
is(sql("SELECT dsocr_wait(1, '3min')", $owner), 0, 'names of every kind: all is read');
is(sql(qq{SELECT string_agg("k'1 ""ü" || key_page || search_text, ';' ORDER BY key_page) FROM $results}, $owner), encode_utf8(q{x"\\'é1premier;{NULL},"2zweiter}), 'names of every kind: results');
is(sql(qq{UPDATE $table SET "page" = 22, "k'1 ""ü" = '日"' WHERE "page" = 2; SELECT dsocr_wait(1, '3min')}, $owner), 0, 'a key of every kind changes');
is(sql(qq{SELECT count(*) FROM dsocr_search(\$\$$table\$\$, 'premier')}, $owner), 1, 'names of every kind: searched');
# The filter is asked, as the owner: the row that it does not want is not missing.
is(sql(q{SELECT dsocr_reprocess(1, 'missing'), dsocr_retry(1)}, $owner), '0|0', 'names of every kind: reprocess and retry');
is(sql(qq{SELECT dsocr_wait(1, '3min'); SELECT count(*) FROM $results WHERE search_text = 'not'}, $owner), "0\n0", 'and the filter holds');
is(sql(q{SELECT string_agg(source_table, '') || string_agg(doc_column, '') FROM dsocr.coverage}, $owner), encode_utf8(q{t'able " 日sc'an " é}), 'names of every kind: views');

# ---- what two roles see of each other
sql(qq{CREATE TABLE "s 2".t (id int PRIMARY KEY, scan bytea); INSERT INTO "s 2".t VALUES (1, 'TEXT:mine'), (2, 'FAKE:error=bad_input;'), (3, 'FAKE:pages=2,bad_page=1;');
	SELECT dsocr_attach('"s 2".t', 'scan'); SELECT dsocr_submit('FAKE:error=bad_input;')}, $other);
is(sql("SELECT dsocr_wait(2, '3min')", $other), 0, 'the other has a table, too');
$node->poll_query_until($db, q{SELECT count(*) = 2 FROM dsocr.job WHERE state = 'dead'});
sql("SELECT dsocr_pause(2); INSERT INTO \"s 2\".t VALUES (4, 'TEXT:waits')", $other);
my %seen = (watches => 1, jobs => 1, failed_items => 2, coverage => 1, review => 2, stats => 1);
for my $view (sort keys %seen)
{
	my $own = $view eq 'stats' ? 'WHERE watch = 2' : '';
	cmp_ok(sql("SELECT count(*) FROM dsocr.$view $own", $other), '>=', $seen{$view}, "dsocr.$view shows what is one's own");
	is(sql("SELECT count(*) FROM dsocr.$view WHERE watch IN (0, 2)" . ($view eq 'stats' ? ' AND watch <> 0' : ''), $owner), 0, "dsocr.$view shows nothing of another's");
}
refused("SELECT * FROM $results", $other, '42501', "another's results are refused");
refused("SELECT * FROM dsocr_search(\$\$$table\$\$, 'premier')", $other, '42501', "and so is a search of them");
refused("SELECT $_", $other, '42501', "of another's watch $_ is refused") for 'dsocr_pause(1)', 'dsocr_resume(1)', 'dsocr_retry(1)', q{dsocr.add_job(1, '{a,1}')}, 'dsocr.remove_watch(1)';
refused("SELECT dsocr_detach(1)", $other, '42704', "another's watch cannot be detached, nor seen");
refused("SELECT dsocr_attach(\$\$$table\$\$, \$\$sc'an \" é\$\$, result_table => 'x')", $other, '42501|ERROR:  42710', "another's table cannot be attached");

# ---- a role without rights: every function that reads or steers, every view, every table
# The arguments are no constants: a strict function of a NULL constant is never called, nor looked at.
my $functions = sql(q{SELECT format('%I.%I(%s) FROM (SELECT %s OFFSET 0) a', n.nspname, p.proname, (SELECT string_agg('a.a' || o, ', ' ORDER BY o) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, o)),
		(SELECT string_agg(format('NULL::%s AS a%s', format_type(t, NULL), o), ', ' ORDER BY o) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, o)))
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dsocr') AND p.prorettype <> ALL ('{trigger,internal}'::regtype[]) AND NOT has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1});
utf8::decode($functions);
my @functions = split /\n/, $functions;
cmp_ok(scalar @functions, '>=', 40, 'functions that are not for everybody: ' . @functions);
sql("GRANT USAGE ON SCHEMA dsocr, \"ext 'é'\" TO " . quoted($nobody)); # the schemas alone open nothing
refused("SELECT $_", $nobody, '42501', "refused: " . encode_utf8($_)) for @functions;
my @relations = split /\n/, sql(q{SELECT format('dsocr.%I', relname) FROM pg_class WHERE relnamespace = 'dsocr'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1});
cmp_ok(scalar @relations, '>=', 12, 'tables and views: ' . @relations);
refused("SELECT * FROM $_", $nobody, '42501', "refused: $_") for @relations;
for my $relation (@relations)
{
	next unless sql("SELECT relkind FROM pg_class WHERE oid = '$relation'::regclass") eq 'r';
	refused("SELECT * FROM $relation", $other, '42501', "not even who may attach reads $relation");
	refused("DELETE FROM $relation", $other, '42501', "or writes it");
}

# ---- traps in the search_path, of the caller and of the database: none is stepped into
my @names = split /\n/, sql(q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN ('format', 'quote_ident', 'quote_literal', 'count', 'now',
	'clock_timestamp', 'has_table_privilege', 'pg_has_role', 'has_schema_privilege', 'jsonb_build_object', 'jsonb_array_elements', 'unnest', 'left', 'array_agg', 'string_agg', 'to_tsvector',
	'websearch_to_tsquery', 'to_tsquery', 'current_setting', 'cardinality', 'make_interval', 'format_type', 'to_regclass', 'octet_length', 'char_length', 'sha256', 'encode', 'ts_rank', 'ts_headline')});
my $traps = q{CREATE SCHEMA traps; CREATE TABLE traps.fallen (who text); GRANT ALL ON SCHEMA traps TO PUBLIC; GRANT ALL ON traps.fallen TO PUBLIC;};
my $body = q{LANGUAGE plpgsql AS $$BEGIN INSERT INTO traps.fallen VALUES (current_user); RAISE EXCEPTION 'a trap'; END$$;};
for my $name (@names)
{
	$traps .= "CREATE FUNCTION traps.$name($_) RETURNS text $body" for 'text', 'name', 'text, text', 'text[]', 'jsonb', 'regclass, text', 'name, text', 'text, regprocedure, name', 'oid, text', 'text, name', 'regconfig, text';
}
for my $type (qw(text name int bigint oid bool), '"char"', 'jsonb')
{
	my $f = 'eq_' . ($type =~ s/\W//gr);
	$traps .= "CREATE FUNCTION traps.$f($type, $type) RETURNS bool $body CREATE OPERATOR traps.= (LEFTARG = $type, RIGHTARG = $type, FUNCTION = traps.$f);";
	$traps .= "CREATE OPERATOR traps.<> (LEFTARG = $type, RIGHTARG = $type, FUNCTION = traps.$f);";
}
$traps .= "CREATE FUNCTION traps.cat(text, text) RETURNS text $body CREATE OPERATOR traps.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = traps.cat);";
$traps .= 'CREATE VIEW traps.pg_class AS SELECT 1 AS oid; CREATE VIEW traps.pg_namespace AS SELECT 1 AS oid; CREATE VIEW traps.pg_extension AS SELECT 1 AS oid; CREATE DOMAIN traps.text AS pg_catalog.int4; CREATE DOMAIN traps.regclass AS pg_catalog.int4;';
sql($traps);
my $path = q{SET search_path = traps, pg_catalog, "ext 'é'", public;};
my ($rc, $out, $err) = $node->psql($db, "$path SELECT 'a' || 'b'::pg_catalog.text");
like($err, qr/a trap/, 'the traps work');
sql(q{ALTER DATABASE "D ""b"" ö" SET search_path = traps, pg_catalog, "ext 'é'", public});
$node->safe_psql('postgres', encode_utf8('ALTER ROLE ' . quoted($other) . ' SET search_path = traps, pg_catalog'));
for my $call (
	q{dsocr_text('TEXT:x')}, q{dsocr_extract('TEXT:x')}, q{dsocr_try_extract('TEXT:x')}, q{dsocr_info('TEXT:x')}, q{dsocr_markdown('TEXT:x')}, q{dsocr_status()}, q{dsocr_version()},
	q{dsocr_pages('TEXT:x')}, q{dsocr_read('SELECT scan FROM "s 2".t WHERE id OPERATOR(pg_catalog.=) 1')}, q{dsocr_resume(2)}, q{dsocr_pause(2)}, q{dsocr_resume(2)}, q{dsocr_retry(2)}, q{dsocr_reprocess(2, 'model')}, q{dsocr_reprocess(2, 'failed')},
	q{dsocr_reprocess(2, 'missing')}, q{dsocr_wait(2, '3min')}, q{dsocr_result(dsocr_submit('TEXT:y'))}, q{dsocr_cancel(1)},
	q{dsocr_search('"s 2".t', 'mine')}, q{dsocr_search('"s 2".t', 'mine', fuzzy => true)}, q{dsocr_correct(2, '{"id": 1}', 1, 'better')}, q{dsocr_training_set(2)},
	q{dsocr_to_html(dsocr_extract('TEXT:x'))}, q{dsocr_chunks(dsocr_extract('TEXT:x'))}, q{dsocr_detach(2)}, q{dsocr_attach('"s 2".t', 'scan', result_table => 'again', options => '{"dpi": 200}')},
	q{dsocr_attach('"s 2".t', 'scan', result_table => 'again2')})
{
	($rc, $out, $err) = $node->psql($db, encode_utf8("SET SESSION AUTHORIZATION " . quoted($other) . "; $path SELECT $call"));
	unlike($err, qr/a trap|traps\./, "no trap: $call");
}
for my $view (qw(watches jobs failed_items coverage review stats models))
{
	($rc, $out, $err) = $node->psql($db, encode_utf8("SET SESSION AUTHORIZATION " . quoted($other) . "; $path SELECT * FROM dsocr.$view"));
	is($err, '', "no trap: dsocr.$view");
}
sql(qq{INSERT INTO $table VALUES ('new', 9, pg_catalog.convert_to('TEXT:neu', 'UTF8'), 'a')}, $owner);
ok($node->poll_query_until($db, encode_utf8(qq{SELECT EXISTS (SELECT FROM $results WHERE search_text OPERATOR(pg_catalog.=) 'neu')})), 'the worker is in no trap');
is(sql('SELECT who FROM traps.fallen'), '', 'nobody fell into one');
not_restarted($node);
$node->stop('fast');
done_testing();
