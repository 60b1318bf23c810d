-- search.sql - what dsocr_search promises, on 20,000 pages: by the index, with boxes, in about the time of the bare query.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(30);

CREATE TABLE "arch ive" ("page" int, "k'y" text, scan bytea, PRIMARY KEY ("page", "k'y"));
SELECT dsocr_attach('"arch ive"', 'scan', ts_config => 'english', backfill => false, on_delete => 'keep') AS watch \gset
SELECT results FROM dsocr.watches WHERE watch = :watch \gset
CREATE FUNCTION pg_temp.page(t text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('page', 1, 'width', 1000, 'height', 1400, 'elements', jsonb_build_array(jsonb_build_object('type', 'text', 'text', t, 'bbox', '[100, 100, 900, 200]'::jsonb,
    'lines', (SELECT jsonb_agg(jsonb_build_object('text', l, 'bbox', jsonb_build_array(100, 100 + o * 20, 900, 118 + o * 20), 'geometry', 'measured')) FROM regexp_split_to_table(t, E'\n') WITH ORDINALITY u(l, o)))))
$$;
SELECT setseed(0.5);
CREATE TEMP TABLE pages AS SELECT i, (SELECT string_agg('word' || (random() * random() * 5000)::int || CASE WHEN j % 9 = 0 THEN E'\n' ELSE '' END, ' ')
   FROM generate_series(1, 40) j WHERE i > 0) || CASE i % 2000 WHEN 7 THEN E'\nthe archi-\nvists of Venice\nwere here' WHEN 8 THEN E'\nVenicc archivists' ELSE '' END AS t
  FROM generate_series(1, 20000) i;
INSERT INTO :results (key_page, "k'y", page, version, status, search_text, result)
  SELECT i, 'k', 1, 1, 'ok', dsocr_search_text(r), r FROM (SELECT i, pg_temp.page(t) AS r FROM pages OFFSET 0) p;
INSERT INTO :results (key_page, "k'y", page, version, current, status, search_text, result)
  VALUES (1, 'k', 1, 2, false, 'ok', 'outdated', NULL);
ANALYZE :results;

SELECT is((SELECT count(*) FROM dsocr_search(:watch, 'archivists')), 20::bigint, 'a divided word is found, and lim is 20');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, '"archivists of venice"')), 10::bigint, 'phrases');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, 'archivist -venice')), 10::bigint, 'stems, and words that must be missing');
SELECT is((SELECT key FROM dsocr_search(:watch, 'archivists venice', 1)), '{"page": 7, "k''y": "k"}', 'the key is named as in the source');
SELECT is((SELECT page FROM dsocr_search(:watch, 'archivists venice', 1)), 1, 'the page');
SELECT matches((SELECT snippet FROM dsocr_search(:watch, 'archivists venice', 1)), 'the \[archivists\] of \[Venice\]', 'the snippet has hits in brackets');
SELECT is((SELECT jsonb_path_query_array(highlights, '$.text') FROM dsocr_search(:watch, 'archivists venice', 1)), '["archi", "vists", "Venice"]', 'both halves of a divided word are boxes');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, 'archivists venice', 1), jsonb_array_elements(highlights) h
           WHERE jsonb_array_length(h->'bbox') = 4 AND h->>'geometry' = 'estimated'), 3::bigint, 'four numbers each');
SELECT is((SELECT highlights#>'{0,bbox,1}' FROM dsocr_search(:watch, 'archivists venice', 1)),
          (SELECT result#>'{elements,0,lines,-3,bbox,1}' FROM :results WHERE key_page = 7), 'on the line where it stands');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, 'outdated')), 0::bigint, 'old versions are not found');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, 'nowhere')), 0::bigint, 'no hit');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, '')), 0::bigint, 'an empty query');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, NULL)), 0::bigint, 'NULL');
SELECT is((SELECT count(*) FROM dsocr_search('"arch ive"', 'venice')), 10::bigint, 'by the table''s name');
SELECT is((SELECT count(*) FROM dsocr_search('"arch ive"'::regclass, 'venice', 3)), 3::bigint, 'by the table');
SELECT ok((SELECT bool_and(rank >= next) FROM (SELECT rank, lead(rank) OVER () AS next FROM dsocr_search(:watch, 'word1 or word2', 100)) r), 'the best come first');
SELECT throws_ok('SELECT * FROM dsocr_search(987654, ''x'')', '42704', 'watch 987654 does not exist', 'a watch that is not there');
SELECT throws_ok('SELECT * FROM dsocr_search(''pg_class'', ''x'')', '42704', 'pg_class is not attached', 'a table that is not attached');
SELECT throws_ok(format('SELECT * FROM dsocr_search(%s, ''x'', 0)', :watch), '22023', 'lim must be at least 1', 'no rows asked for');
SELECT throws_ok(format('SELECT * FROM dsocr_search(%s, ''x'', 1, 7)', :watch), '22023', 'fuzzy must be between 0.1 and 1', 'fuzzy 7');
SELECT throws_ok(format('SELECT * FROM dsocr_search(%s, ''x'', 1, 0.5)', :watch), '0A000', 'fuzzy search needs the extension pg_trgm', 'fuzzy without pg_trgm');

-- Most of a page need not be parsed when its tsvector is given, and nothing else changes.
CREATE TEMP TABLE texts AS SELECT n, string_agg(t, E'\n' ORDER BY i) || CASE n % 5
    WHEN 0 THEN E'\ndying for a state-of-the-art press at http://example.org/press-room, 1.80 each' WHEN 1 THEN E'\na <tag of venice> here, and 1 < 2'
    WHEN 2 THEN E'\nМОСКВА — Москва, Äpfel' WHEN 3 THEN ' - - - - - - - - - - - - - - venice - - - - - - - - -, - - - -' ELSE '' END AS t
  FROM (SELECT i % 40 AS n, i, t FROM pages WHERE i <= 320) p GROUP BY n;
CREATE TABLE shown (id int PRIMARY KEY, scan bytea);
SELECT dsocr_attach('shown', 'scan', ts_config => 'english', backfill => false, on_delete => 'keep') \g /dev/null
INSERT INTO shown_scan_ocr (id, page, version, status, search_text, result)
  SELECT n, 1, 1, 'ok', dsocr_search_text(r), r FROM (SELECT n, pg_temp.page(t) AS r FROM texts OFFSET 0) t;
CREATE TEMP TABLE found AS SELECT q, h.snippet, h.highlights,
    regexp_replace(ts_headline('english', r.search_text, s, 'StartSel=[, StopSel=], MaxFragments=2, MinWords=5, MaxWords=20'), '\s+', ' ', 'g') AS headline,
    (SELECT COALESCE(jsonb_agg(jsonb_build_object('text', l.fragment, 'geometry', l.geometry, 'bbox', jsonb_build_array(round((l.bbox[1])[0]), round((l.bbox[1])[1]),
       round((l.bbox[0])[0]), round((l.bbox[0])[1]))) ORDER BY l.o), '[]')
     FROM dsocr_highlight(r.result, s, 'english') WITH ORDINALITY l(page, bbox, geometry, fragment, o)) AS boxes
  FROM unnest('{word1,word1 word2,word7 or word8,word1 -word5,-word3,"word1 word2",die,"state of art",press,art & example.org/press-room,1.80,venice,moskau,москва,äpfel,nowhere}'::text[]) q,
    LATERAL (SELECT websearch_to_tsquery('english', q) AS s) x, LATERAL dsocr_search('shown', q, 100) h JOIN shown_scan_ocr r ON r.id = (h.key->>'id')::int;
SELECT is_empty('SELECT * FROM found WHERE (snippet, highlights) IS DISTINCT FROM (headline, boxes)', 'a page is shown as ts_headline and dsocr_highlight show it, which parse all of it');
SELECT cmp_ok((SELECT count(DISTINCT q) FROM found WHERE highlights <> '[]'), '>=', 10::bigint, 'which was tried on queries that find something');

-- the index
CREATE TEMP TABLE before AS SELECT s.seq_scan, (SELECT sum(i.idx_scan) FROM pg_stat_xact_user_tables x, LATERAL (SELECT x.idx_scan) i WHERE x.relid = s.relid) AS idx_scan
  FROM pg_stat_xact_user_tables s WHERE s.relid = :'results'::regclass;
SELECT count(*) FROM dsocr_search(:watch, 'archivists') \g /dev/null
SELECT is((SELECT s.seq_scan FROM pg_stat_xact_user_tables s WHERE relid = :'results'::regclass), (SELECT seq_scan FROM before), 'no sequential scan');
SELECT ok((SELECT s.idx_scan FROM pg_stat_xact_user_tables s WHERE relid = :'results'::regclass) > (SELECT idx_scan FROM before), 'the index is used');

-- hostile names
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.websearch_to_tsquery(regconfig, text) RETURNS tsquery LANGUAGE plpgsql AS $$ BEGIN RAISE 'gotcha'; END $$;
CREATE FUNCTION hostile.ts_rank(tsvector, tsquery) RETURNS real LANGUAGE plpgsql AS $$ BEGIN RAISE 'gotcha'; END $$;
CREATE FUNCTION hostile.dsocr_highlight(jsonb, tsquery, regconfig) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'gotcha'; END $$;
SET LOCAL search_path = hostile, pg_catalog, public;
SELECT lives_ok(format('SELECT * FROM dsocr_search(%s, ''venice'')', :watch), 'functions of the caller''s search_path are not called');
RESET search_path;

-- fuzzy
CREATE EXTENSION pg_trgm;
SELECT is((SELECT count(*) FROM dsocr_search(:watch, 'venice', 20, 0.5)), 20::bigint, 'fuzzy finds what was read wrongly');
SELECT ok((SELECT bool_or(jsonb_path_query_array(highlights, '$.text') = '["Venicc"]') FROM dsocr_search(:watch, 'venice', 20, 0.5)), 'and marks it');
SELECT is((SELECT string_agg(DISTINCT key->>'page', ' ') FROM dsocr_search(:watch, 'venice', 1, 0.5)), '7', 'what was read rightly comes first');
SELECT is(current_setting('pg_trgm.word_similarity_threshold'), '0.6', 'the setting of pg_trgm is as it was');
SELECT * FROM finish();
ROLLBACK;
