-- highlight.sql - what dsocr_highlight promises: hits stand where their words are printed.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(32);

CREATE TEMP TABLE t AS SELECT '{"page": 4, "width": 1000, "height": 1400, "elements": [
  {"type": "text", "text": "The red docu-\nments were red.", "bbox": [100, 100, 500, 200], "geometry": "measured", "lines": [
    {"text": "The red docu-", "bbox": [100, 100, 500, 150], "geometry": "measured"},
    {"text": "ments were red.", "bbox": [100, 150, 500, 200], "geometry": "measured"},
    {"text": "Summary", "bbox": [100, 200, 300, 240], "geometry": "measured"}]},
  {"type": "title", "text": "A well-known Haus by John Smith", "bbox": [10, 20, 30, 40], "geometry": "model"},
  {"type": "text", "text": "no box here"},
  {"type": "text", "text": "see http://example.com/a/b.html or me@example.com & <b>bold</b> Häuser"}]}'::jsonb AS r;

CREATE FUNCTION pg_temp.h(q tsquery, c regconfig DEFAULT 'simple') RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(coalesce(geometry, '-') || ':' || fragment, ' ' ORDER BY ordinality)
  FROM t, dsocr_highlight(r, q, c) WITH ORDINALITY
$$;

SELECT is(pg_temp.h('red'), 'estimated:red estimated:red', 'each place of a word is a hit');
SELECT is(pg_temp.h('documents'), 'estimated:docu estimated:ments', 'a divided word is shown on both lines');
SELECT is(pg_temp.h('red <-> documents'), 'estimated:red docu estimated:ments', 'so is a phrase that ends in it');
SELECT is(pg_temp.h('red <-> were'), NULL, 'a phrase that does not stand there is no hit');
SELECT is(pg_temp.h('documents <2> red'), 'estimated:docu estimated:ments estimated:red', 'words of a wider phrase, not what is between');
SELECT is(pg_temp.h('summary'), 'measured:Summary', 'a whole line has its own geometry');
SELECT is(pg_temp.h('haus'), 'model:Haus', 'without lines, the element''s box');
SELECT is(pg_temp.h('box'), '-:box', 'without a box, the words alone');
SELECT is(pg_temp.h('!red'), NULL, 'words that must be missing are no hits');
SELECT is(pg_temp.h('red & !summary'), 'estimated:red estimated:red', 'nor are they beside others');
SELECT is(pg_temp.h('absent & red'), 'estimated:red estimated:red', 'the words that are there are shown');
SELECT is(pg_temp.h('docum:*'), 'estimated:docu estimated:ments', 'prefixes');
SELECT is(pg_temp.h('summary | haus'), 'measured:Summary model:Haus', 'either');
SELECT is(pg_temp.h('well-known'), 'model:well-known', 'a compound and its parts are one hit');
SELECT is(pg_temp.h('known'), 'model:known', 'a part of a compound');
SELECT is(pg_temp.h(phraseto_tsquery('simple', 'well-known haus')), 'model:well-known Haus', 'a phrase with a compound');
SELECT is(pg_temp.h('example.com'), '-:example.com', 'a host in an address');
SELECT is(pg_temp.h('me@example.com'), '-:me@example.com', 'an address of mail');
SELECT is(pg_temp.h('bold'), '-:bold', 'a word between tags');
SELECT is(pg_temp.h(to_tsquery('english', 'document'), 'english'), 'estimated:docu estimated:ments', 'stems (English)');
SELECT is(pg_temp.h(to_tsquery('german', 'Haus'), 'german'), 'model:Haus -:Häuser', 'stems (German)');
SELECT is(pg_temp.h(to_tsquery('english', 'the'), 'english'), NULL, 'a stop word alone');
SELECT is(pg_temp.h(''), NULL, 'an empty query');
SELECT is(pg_temp.h('(red <-> documents) | documents'), 'estimated:red docu estimated:ments', 'a word inside a phrase is shown once');
SELECT is(pg_temp.h('john <-> !smith'), NULL, 'a word that another must not follow');
SELECT is(pg_temp.h('john <-> !miller'), 'model:John', 'and does not');

SELECT results_eq($$SELECT page, bbox::text FROM t, dsocr_highlight(r, 'documents', 'simple')$$,
  $$VALUES (4, '(475,150),(339,100)'), (4, '(245,200),(100,150)')$$, 'boxes are parts of the line');
SELECT ok((SELECT bool_and(bbox <@ '(500,240),(100,100)'::box) FROM t, dsocr_highlight(r, 'red | documents | were')), 'and stay inside it');
SELECT is((SELECT bbox::text FROM dsocr_highlight('{"elements": [{"text": "שלום עולם", "lines": [{"text": "שלום עולם", "bbox": [0, 0, 100, 10]}]}]}', 'שלום')),
  '(100,10),(53,0)', 'right-to-left lines begin at the right');
-- The same words are found as by to_tsvector.
SELECT is((SELECT count(*) FROM t, unnest(to_tsvector('english', dsocr_search_text(r))) u
           WHERE NOT EXISTS (SELECT FROM dsocr_highlight(r, quote_literal(u.lexeme)::tsquery, 'english'))), 0::bigint,
          'every lexeme of the search text is a hit somewhere');
SELECT is((SELECT count(*) FROM dsocr_highlight(NULL, 'a', 'simple')), 0::bigint, 'NULL');
SELECT throws_ok($$SELECT * FROM dsocr_highlight('{"elements": 1}', 'a')$$, '22023', 'this is not a result of dsocr', 'elements that are a number');
SELECT * FROM finish();
ROLLBACK;
