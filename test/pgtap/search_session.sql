-- search_session.sql - what dsocr_search keeps in a session is never out of date, and what is gone is not shown though it is still there.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(69);

CREATE TABLE papers (id int PRIMARY KEY, scan bytea, back bytea);
SELECT dsocr_attach('papers', 'scan', ts_config => 'english', backfill => false) AS watch \gset
CREATE FUNCTION pg_temp.write(results regclass, keys int[], words text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE format('INSERT INTO %s (id, page, version, status, search_text) SELECT k, 1, 1, ''ok'', %L || k FROM unnest(%L::int[]) k', results, words, keys);
END $$;
CREATE FUNCTION pg_temp.found(query text, lim int DEFAULT 20) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(key->>'id', ' ' ORDER BY n) FROM dsocr_search('papers', query, lim) WITH ORDINALITY s(key, page, rank, snippet, highlights, n) $$;
CREATE FUNCTION pg_temp.memory() RETURNS numeric LANGUAGE sql AS $$ SELECT sum(total_bytes) FROM pg_backend_memory_contexts $$;

-- ---- the plan
SELECT pg_temp.write('papers_scan_ocr', '{1}', repeat('some words ', 40) || ' paper no') \g /dev/null
ANALYZE papers_scan_ocr;
SELECT is(pg_temp.found('paper'), '1', 'a single paper, and a plan is kept');
INSERT INTO papers SELECT g FROM generate_series(1, 8000) g;
SELECT pg_temp.write('papers_scan_ocr', ARRAY(SELECT generate_series(2, 8000)), repeat('some words ', 40) || ' paper no') \g /dev/null
SELECT seq_scan AS seq, idx_scan AS idx FROM pg_stat_xact_user_tables WHERE relid = 'papers_scan_ocr'::regclass \gset
SELECT is(pg_temp.found('no77'), '77', 'the table has grown');
SELECT is((SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'papers_scan_ocr'::regclass), :seq::bigint, 'and is not read from end to end');
SELECT ok((SELECT idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'papers_scan_ocr'::regclass) > :idx, 'but by its index');
DELETE FROM papers_scan_ocr WHERE id > 12;
DELETE FROM papers WHERE id > 12;
DELETE FROM dsocr.job WHERE state = 'gone';
SELECT is(pg_temp.found('paper'), '1 2 3 4 5 6 7 8 9 10 11 12', 'a dozen papers');

ALTER TABLE papers_scan_ocr RENAME TO elsewhere;
SELECT throws_ok($$SELECT pg_temp.found('paper')$$, '42P01', format('the result table of watch %s is not there', :watch), 'the results have another name');
CREATE TABLE papers_scan_ocr (LIKE elsewhere INCLUDING GENERATED INCLUDING DEFAULTS, PRIMARY KEY (id, page, version));
ALTER TABLE papers_scan_ocr ALTER id TYPE text;
INSERT INTO papers_scan_ocr (id, page, version, status, current, search_text) VALUES ('x', 1, 1, 'ok', true, 'paper');
SELECT is(pg_temp.found('paper'), 'x', 'another table has it, and a key of another type');
DROP TABLE papers_scan_ocr;
SELECT throws_ok($$SELECT pg_temp.found('paper')$$, '42P01', format('the result table of watch %s is not there', :watch), 'the results are gone');
ALTER TABLE elsewhere RENAME TO papers_scan_ocr;
SELECT is(pg_temp.found('paper'), '1 2 3 4 5 6 7 8 9 10 11 12', 'they have their name back');
CREATE SCHEMA attic;
ALTER TABLE papers_scan_ocr SET SCHEMA attic;
SELECT throws_ok($$SELECT pg_temp.found('paper')$$, '42P01', NULL, 'they are in another schema');
UPDATE dsocr.watch SET result_schema = 'attic' WHERE id = :watch;
SELECT is(pg_temp.found('paper', 2), '1 2', 'which the watch is told');
ALTER SCHEMA attic RENAME TO loft;
SELECT throws_ok($$SELECT pg_temp.found('paper')$$, '42P01', NULL, 'that schema has another name');
ALTER SCHEMA loft RENAME TO attic;
SELECT is(pg_temp.found('paper', 2), '1 2', 'and has it back');
UPDATE dsocr.watch SET result_schema = 'public' WHERE id = :watch;
ALTER TABLE attic.papers_scan_ocr SET SCHEMA public;
DROP INDEX papers_scan_ocr_tsv_idx;
SELECT is(pg_temp.found('paper', 2), '1 2', 'without its index');
CREATE INDEX ON papers_scan_ocr USING gin (tsv) WHERE current;
SELECT is(pg_temp.found('paper', 2), '1 2', 'and with it again');
ALTER TABLE papers_scan_ocr ADD note text;
ALTER TABLE papers_scan_ocr DROP model;
SELECT is(pg_temp.found('paper', 2), '1 2', 'columns that a search does not need');

-- ---- the configuration
SELECT is(pg_temp.found('papering', 1), '1', 'stems are those of the configuration');
UPDATE dsocr.watch SET ts_config = 'pg_catalog.simple' WHERE id = :watch;
SELECT is(pg_temp.found('papering', 1), NULL, 'another configuration');
CREATE TEXT SEARCH CONFIGURATION own (COPY = pg_catalog.english);
UPDATE dsocr.watch SET ts_config = 'public.own' WHERE id = :watch;
SELECT is(pg_temp.found('papering', 1), '1', 'one of one''s own');
ALTER TEXT SEARCH CONFIGURATION own ALTER MAPPING FOR asciiword WITH simple;
SELECT is(pg_temp.found('papering', 1), NULL, 'which is changed');
DROP TEXT SEARCH CONFIGURATION own;
SELECT throws_ok($$SELECT pg_temp.found('paper')$$, '42704', NULL, 'and dropped');
UPDATE dsocr.watch SET ts_config = 'pg_catalog.english' WHERE id = :watch;

-- ---- who asks
CREATE ROLE regress_dsocr_other;
SELECT dsocr_grant('regress_dsocr_other') \g /dev/null
SET ROLE regress_dsocr_other;
SELECT throws_ok($$SELECT * FROM dsocr_search('papers', 'paper')$$, '42704', 'papers is not attached', 'who may not read the table sees no watch of it');
RESET ROLE;
GRANT SELECT ON papers TO regress_dsocr_other;
SET ROLE regress_dsocr_other;
SELECT throws_ok($$SELECT * FROM dsocr_search('papers', 'paper')$$, '42501', 'permission denied for table papers_scan_ocr', 'who may not read the results does not, though the plan is there');
RESET ROLE;
GRANT SELECT (id, page, current, tsv, search_text) ON papers_scan_ocr TO regress_dsocr_other;
SET ROLE regress_dsocr_other;
SELECT throws_ok($$SELECT * FROM dsocr_search('papers', 'paper')$$, '42501', 'permission denied for table papers_scan_ocr', 'nor who may not read all that is shown');
RESET ROLE;
GRANT SELECT ON papers_scan_ocr TO regress_dsocr_other;
SET ROLE regress_dsocr_other;
SELECT is((SELECT count(*) FROM dsocr_search('papers', 'paper')), 12::bigint, 'who may, does');
RESET ROLE;
ALTER TABLE papers_scan_ocr ENABLE ROW LEVEL SECURITY;
SET ROLE regress_dsocr_other;
SELECT is((SELECT count(*) FROM dsocr_search('papers', 'paper')), 0::bigint, 'row security is switched on');
RESET ROLE;
SELECT is((SELECT count(*) FROM dsocr_search('papers', 'paper')), 12::bigint, 'the owner sees all');
CREATE POLICY three ON papers_scan_ocr TO regress_dsocr_other USING (id <= 3);
SET ROLE regress_dsocr_other;
SELECT is((SELECT string_agg(key->>'id', ' ') FROM dsocr_search('papers', 'paper')), '1 2 3', 'a policy');
RESET ROLE;
SELECT is((SELECT count(*) FROM dsocr_search('papers', 'paper')), 12::bigint, 'is not the owner''s');
SET ROLE regress_dsocr_other;
SELECT is((SELECT string_agg(key->>'id', ' ') FROM dsocr_search('papers', 'paper')), '1 2 3', 'and is again that role''s');
SET row_security = off;
SELECT throws_ok($$SELECT * FROM dsocr_search('papers', 'paper')$$, '42501', NULL, 'row_security is off');
RESET row_security;
RESET ROLE;
ALTER POLICY three ON papers_scan_ocr USING (id > 10);
SET ROLE regress_dsocr_other;
SELECT is((SELECT string_agg(key->>'id', ' ') FROM dsocr_search('papers', 'paper')), '11 12', 'the policy has changed');
RESET ROLE;
ALTER TABLE papers_scan_ocr DISABLE ROW LEVEL SECURITY;
REVOKE SELECT ON papers_scan_ocr FROM regress_dsocr_other;
SET ROLE regress_dsocr_other;
SELECT throws_ok($$SELECT * FROM dsocr_search('papers', 'paper')$$, '42501', 'permission denied for table papers_scan_ocr', 'the right is taken away');
RESET ROLE;
GRANT SELECT ON papers_scan_ocr TO regress_dsocr_other;
REVOKE SELECT ON dsocr.watches FROM regress_dsocr_other;
SET ROLE regress_dsocr_other;
SELECT throws_ok($$SELECT * FROM dsocr_search('papers', 'paper')$$, '42501', 'permission denied for view watches', 'so is that to see watches');
RESET ROLE;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.matches(tsvector, tsquery) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'gotcha'; END $$;
CREATE OPERATOR hostile.@@ (LEFTARG = tsvector, RIGHTARG = tsquery, FUNCTION = hostile.matches);
CREATE FUNCTION hostile.ts_rank(tsvector, tsquery) RETURNS real LANGUAGE plpgsql AS $$ BEGIN RAISE 'gotcha'; END $$;
SET LOCAL search_path = hostile, pg_catalog, public;
SELECT throws_ok($$SELECT ''::tsvector @@ ''::tsquery$$, 'gotcha', 'the trap works');
SELECT is(pg_temp.found('paper', 1), '1', 'it is not stepped into');
ALTER TABLE papers_scan_ocr ALTER status SET DEFAULT 'ok';
SELECT is(pg_temp.found('paper', 1), '1', 'nor when it is planned again');
SET LOCAL search_path = public;

-- ---- what is gone
SAVEPOINT all_there;
DELETE FROM papers WHERE id IN (1, 3);
SELECT is((SELECT count(*) FROM papers_scan_ocr), 12::bigint, 'results are deleted by the queue, which does not see this yet');
SELECT is(pg_temp.found('paper'), '2 4 5 6 7 8 9 10 11 12', 'a search does not show them');
SELECT is(pg_temp.found('paper', 3), '2 4 5', 'but as many others');
SELECT is(pg_temp.found('no3'), NULL, 'nor when they are all there is');
INSERT INTO papers VALUES (3);
SELECT is(pg_temp.found('paper', 3), '2 3 4', 'as the queue, a search takes a new row with the key for the old one');
UPDATE papers SET id = 40 WHERE id = 4;
SELECT is(pg_temp.found('no4'), '40', 'a key has changed');
UPDATE papers SET id = -1 WHERE id = 5;
UPDATE papers SET id = 5 WHERE id = 6;
UPDATE papers SET id = 6 WHERE id = -1;
SELECT is(pg_temp.found('no5') || ' ' || pg_temp.found('no6'), '6 5', 'two keys are exchanged');
DELETE FROM papers WHERE id = 7;
UPDATE papers SET id = 7 WHERE id = 8;
SELECT is(concat_ws(' ', pg_temp.found('no7'), pg_temp.found('no8')), '7', 'a key has gone, and is another row''s');
UPDATE papers SET id = 90 WHERE id = 9;
DELETE FROM papers WHERE id = 90;
SELECT is(pg_temp.found('no9'), NULL, 'a key has changed, and is gone');
SELECT is(pg_temp.found('paper'), '2 3 40 6 5 7 10 11 12', 'all of them');
TRUNCATE papers;
SELECT is(pg_temp.found('paper'), NULL, 'TRUNCATE');
INSERT INTO papers VALUES (10), (50);
SELECT is(pg_temp.found('paper'), '10', 'and one of them is there again');
ROLLBACK TO all_there;
SELECT is(pg_temp.found('paper', 3), '1 2 3', 'nothing was deleted');
-- Notes keep keys as they are under settings of their own.
CREATE TABLE days (day date, "n'o" numeric(6, 2), scan bytea, PRIMARY KEY (day, "n'o"));
SELECT dsocr_attach('days', 'scan', backfill => false) \g /dev/null
INSERT INTO days VALUES ('2026-02-01', 1.50), ('2026-02-02', 2);
INSERT INTO days_scan_ocr (day, "n'o", page, version, status, search_text) SELECT day, "n'o", 1, 1, 'ok', 'paper' FROM days;
SET LOCAL datestyle = 'German';
DELETE FROM days WHERE day = '2026-02-01';
UPDATE days SET day = '2026-03-02';
SELECT is((SELECT jsonb_agg(key) FROM dsocr_search('days', 'paper')), '[{"day": "2026-03-02", "n''o": 2.00}]', 'keys of any type, under any settings');

-- ---- snippets, and only where they are asked for: pages that are no results tell who looks at them
INSERT INTO papers_scan_ocr (id, page, version, status, search_text, result) VALUES (99, 1, 1, 'ok', 'broken', '[]');
CREATE FUNCTION pg_temp.looks(query text, looks bool, promise text) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN looks THEN throws_ok(query, '22023', NULL, promise) ELSE lives_ok(query, promise) END $$;
SELECT pg_temp.looks('SELECT * FROM dsocr_search(''papers'', ''broken'')', true, 'all columns');
SELECT pg_temp.looks('SELECT key, page, rank FROM dsocr_search(''papers'', ''broken'')', false, 'keys alone');
SELECT pg_temp.looks('SELECT count(*) FROM dsocr_search(''papers'', ''broken'', 5)', false, 'no column');
SELECT pg_temp.looks(format('SELECT s.key FROM dsocr_search(%s, ''broken'') s JOIN papers p ON (s.key->>''id'')::int = p.id', :watch), false, 'a join');
SELECT pg_temp.looks('SELECT key FROM dsocr_search(''papers'', ''broken'') WHERE snippet <> ''''', true, 'a condition');
SELECT pg_temp.looks('SELECT key FROM dsocr_search(''papers'', ''broken'') ORDER BY highlights', true, 'an order');
SELECT pg_temp.looks('SELECT s FROM dsocr_search(''papers'', ''broken'') s', true, 'a whole row');
SELECT pg_temp.looks('SELECT (dsocr_search(''papers'', ''broken'')).snippet', true, 'in the select list');
SELECT pg_temp.looks('SELECT s.key FROM dsocr_search(''papers'', ''broken'') s WHERE EXISTS (SELECT FROM papers p WHERE p.id < length(s.snippet))', true, 'a query inside it');
SELECT pg_temp.looks('SELECT snippet FROM (SELECT * FROM dsocr_search(''papers'', ''broken'') s OFFSET 0) x', true, 'a query around it');
SELECT pg_temp.looks('SELECT t FROM dsocr_search(''papers'', ''broken'') s, LATERAL (SELECT s.snippet AS t) x', true, 'LATERAL');
SELECT pg_temp.looks('SELECT snippet FROM dsocr_search(''papers'', ''broken'') s FULL JOIN (SELECT 1 AS page) p USING (page)', true, 'USING');
SELECT pg_temp.looks('SELECT b.snippet FROM dsocr_search(''papers'', ''paper'') a, dsocr_search(''papers'', ''broken'') b', true, 'one of two');
SELECT is((SELECT ARRAY[snippet, highlights::text] FROM dsocr_search('papers', 'broken', snippets => false)), '{NULL,NULL}', 'nor where they are refused');
DELETE FROM papers_scan_ocr WHERE id = 99;

-- ---- several watches of a table
SELECT dsocr_attach('papers', 'back', ts_config => 'english', backfill => false) \g /dev/null
SELECT pg_temp.write('papers_back_ocr', ARRAY[2, 4], 'paper paper no') \g /dev/null
SELECT is(pg_temp.found('paper', 4), '2 4 1 2', 'the best of both');

-- ---- memory
DO $$ BEGIN FOR i IN 1..40 LOOP
  EXECUTE format('CREATE TABLE many%s (id int PRIMARY KEY, scan bytea)', i);
  PERFORM dsocr_attach(format('many%s', i), 'scan');
END LOOP; END $$;
CREATE FUNCTION pg_temp.search_all(n int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  FOR i IN 0..n - 1 LOOP PERFORM FROM public.dsocr_search(format('public.many%s', i % 40 + 1), 'paper'); END LOOP; END $$;
SELECT pg_temp.search_all(80) \g /dev/null
SELECT pg_temp.memory() AS before \gset
SELECT pg_temp.search_all(400) \g /dev/null
SELECT cmp_ok(pg_temp.memory() - :before, '<', 500000::numeric, 'tables without end: plans do not pile up');
CREATE FUNCTION pg_temp.search_on(n int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  FOR i IN 1..n LOOP PERFORM count(*) FROM dsocr_search('papers', 'no2', 1); END LOOP; END $$;
SELECT pg_temp.search_on(100) \g /dev/null
SELECT pg_temp.memory() AS before \gset
SELECT pg_temp.search_on(10000) \g /dev/null
SELECT cmp_ok(pg_temp.memory() - :before, '<', 100000::numeric, '10,000 searches leave nothing behind');
ALTER TABLE papers_scan_ocr RENAME TO deep;
CREATE FUNCTION pg_temp.search_deeper() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.search_all(40); RETURN true; END $$;
CREATE VIEW papers_scan_ocr AS SELECT * FROM deep WHERE id <> 2 OR pg_temp.search_deeper();
SELECT is(pg_temp.found('no2', 2), '2 2', 'a search within a search, which takes the place of its plan');
SELECT * FROM finish();
ROLLBACK;
