# The trigger's jobs are inserted together at the end of the statement, and none is lost or left over for it: whatever the
# statement is, whatever other triggers do meanwhile, and whatever is rolled back.
use strict;
use warnings;
use Dsocr;
use Test::More;

my $node = server('enqueue', engine => fake_engine(), conf => "log_min_messages = warning\nmax_prepared_transactions = 5\ndsocr.databases = 'nobody_works_here'");
sub sql { return $node->safe_psql('postgres', $_[0]) }

# The jobs of s since the last call, oldest first.
sub jobs
{
	my ($want, $promise) = @_;
	is(sql(q{SELECT string_agg(key[1], ' ' ORDER BY id) FROM dsocr.job WHERE watch = 1}), $want, $promise);
	sql('DELETE FROM dsocr.job');
}

sql(q{CREATE TABLE s (id int PRIMARY KEY, scan bytea); SELECT dsocr_pause(dsocr_attach('s', 'scan', backfill => false));
	CREATE TABLE other (id int PRIMARY KEY, scan bytea); SELECT dsocr_pause(dsocr_attach('other', 'scan', backfill => false))});

sql(q{INSERT INTO s SELECT g, 'x' FROM generate_series(10001, 12203) g});
is(sql(q{SELECT count(*), count(*) FILTER (WHERE place = key[1]::int - 10000) FROM (SELECT key, row_number() OVER (ORDER BY id) AS place FROM dsocr.job) j}),
	'2203|2203', 'many rows: a job for each, in their order');
sql('DELETE FROM dsocr.job');
sql(q{INSERT INTO s VALUES (1, 'x')});
jobs('1', 'one row');
sql(q{INSERT INTO s VALUES (2, NULL), (3, 'x'), (4, NULL), (5, 'x')});
jobs('3 5', 'rows without a document make none');
sql("COPY s FROM STDIN;\n6\tx\n7\tx\n\\.\n");
jobs('6 7', 'COPY');
is(sql(q{BEGIN; INSERT INTO s VALUES (8, 'x'), (9, 'x'); SELECT count(*) FROM dsocr.job; COMMIT}), 2, 'they are there after the statement, in its transaction');
jobs('8 9', 'and after it');
sql(q{WITH a AS (INSERT INTO s VALUES (11, 'x'), (12, 'x') RETURNING id), b AS (INSERT INTO other SELECT id, 'x' FROM generate_series(1, 3) id) UPDATE s SET scan = 'y' WHERE id = 1});
is(sql('SELECT count(*) FROM dsocr.job WHERE watch = 2'), 3, 'several tables in one statement');
jobs('1 11 12', 'and several kinds of change');
sql(q{CREATE FUNCTION put(a int, b int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO s SELECT g, 'x' FROM generate_series(a, b) g; END $$; SELECT put(13, 14), put(15, 16)});
jobs('13 14 15 16', 'a function that inserts');

# ---- what is rolled back
sql(q{BEGIN; INSERT INTO s VALUES (20, 'x'), (21, 'x'); SAVEPOINT a; INSERT INTO s VALUES (22, 'x'), (23, 'x'); ROLLBACK TO a; INSERT INTO s VALUES (24, 'x'), (25, 'x'); RELEASE a; COMMIT});
jobs('20 21 24 25', 'a savepoint');
sql("BEGIN;\nCOPY s FROM STDIN;\n26\tx\n\\.\nSAVEPOINT a;\nCOPY s FROM STDIN;\n27\tx\n\\.\nINSERT INTO s VALUES (28, 'x'), (29, 'x');\nROLLBACK TO a;\nCOMMIT;\n");
jobs('26', 'COPY and a savepoint');
$node->psql('postgres', q{INSERT INTO s VALUES (30, 'x'), (31, 'x'), (1, 'there already')});
jobs('', 'a statement that fails makes none');
sql(q{BEGIN; INSERT INTO s VALUES (32, 'x'), (33, 'x'); PREPARE TRANSACTION 'p'});
jobs('', 'a prepared transaction: not yet');
sql(q{COMMIT PREPARED 'p'});
jobs('32 33', 'then they are there');

# ---- other triggers, between ours
sql(q{CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO s VALUES (NEW.id + 100, 'x'), (NEW.id + 200, 'x');
		IF NEW.id % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		RETURN NULL;
	EXCEPTION WHEN raise_exception THEN RETURN NULL;
	END $$;
	CREATE TRIGGER zz AFTER INSERT ON s FOR EACH ROW WHEN (NEW.id BETWEEN 40 AND 49) EXECUTE FUNCTION also();
	INSERT INTO s VALUES (40, 'x'), (41, 'x'), (42, 'x')});
is(sql(q{SELECT string_agg(key[1], ' ' ORDER BY key[1]) FROM dsocr.job}), '141 241 40 41 42', 'a trigger whose subtransaction is rolled back takes its own jobs along, and no others');
sql('DELETE FROM dsocr.job; DROP TRIGGER zz ON s');
sql(q{CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM s WHERE id = NEW.id; RETURN NULL; END $$;
	CREATE TRIGGER zz AFTER INSERT ON s FOR EACH ROW WHEN (NEW.id = 51) EXECUTE FUNCTION gone(); INSERT INTO s VALUES (50, 'x'), (51, 'x'), (52, 'x')});
is(sql(q{SELECT string_agg(key[1] || ' ' || state, ', ' ORDER BY id) FROM dsocr.job}), '50 queued, 51 queued, 51 gone, 52 queued', 'a row that a trigger deletes is noted in this order');
sql('DELETE FROM dsocr.job; DROP TRIGGER zz ON s');

# ---- keys that change by another table's doing
sql(q{CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2); CREATE TABLE child (id int PRIMARY KEY REFERENCES parent ON UPDATE CASCADE, scan bytea);
	INSERT INTO child VALUES (1, 'x'), (2, 'x'); SELECT dsocr_pause(dsocr_attach('child', 'scan', backfill => false)); UPDATE parent SET id = id + 10});
is(sql(q{SELECT string_agg(key[1] || coalesce(' to ' || becomes[1], ''), ', ' ORDER BY key[1]) FROM dsocr.job WHERE watch = 3}), '1 to 11, 11, 12, 2 to 12', 'keys changed by a cascade');
$node->stop('fast');
done_testing();
