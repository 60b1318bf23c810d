-- correct.sql - what dsocr_correct and dsocr_training_set promise: boxes are kept, history too, and the text is searched.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(80);

-- ---- a text laid on lines
CREATE TEMP TABLE t AS SELECT '{"page": 1, "status": "ok", "width": 1000, "height": 1400, "text": "The old title\n\nfirst lne here\nof the archi-\nvists end", "elements": [
  {"id": 0, "type": "section_header", "content": "## The old title", "text": "The old title", "bbox": [100, 50, 500, 90], "lines": [{"text": "The old title", "bbox": [100, 50, 500, 90], "geometry": "measured", "confidence": 0.9}]},
  {"id": 1, "type": "figure", "content": "", "text": "", "bbox": [1, 2, 3, 4], "lines": []},
  {"id": 2, "type": "text", "content": "first lne here\nof the archi-\nvists end", "text": "first lne here\nof the archi-\nvists end", "bbox": [100, 100, 500, 200], "lines": [
    {"text": "first lne here", "bbox": [100, 100, 500, 130], "geometry": "measured", "confidence": 0.7},
    {"text": "of the archi-", "bbox": [100, 130, 500, 160], "geometry": "measured", "confidence": 0.9},
    {"text": "vists end", "bbox": [100, 160, 500, 200], "geometry": "measured", "confidence": 0.9}]}]}'::jsonb AS r;
-- A line: its element, its upper edge, its text.
CREATE FUNCTION pg_temp.c(new text, element int DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(seq || '.' || coalesce((bbox[1])[1]::text, '-') || ':' || text, ' / ' ORDER BY seq, line) FROM t, dsocr_lines(dsocr.corrected(r, new, element)) $$;
SELECT is(pg_temp.c(E'The old title\n\nfirst line here\nof the archi-\nvists end'), '1.50:The old title / 3.100:first line here / 3.130:of the archi- / 3.160:vists end', 'a letter changes: every line has its box');
SELECT is(pg_temp.c('The old title first line here of the archivists end'), '1.50:The old title / 3.100:first line here / 3.130:of the archi- / 3.160:vists end', 'one long line, a divided word made whole: the same');
SELECT is((SELECT string_agg(l.text, ' / ' ORDER BY seq, line) FROM t, dsocr_lines(dsocr.corrected(replace(r::text, 'archi-', 'archi⸗')::jsonb, 'The old title first line here of the archivists end', NULL)) l), 'The old title / first line here / of the archi- / vists end', 'and one divided by a double hyphen');
SELECT is(pg_temp.c(E'The old title\nfirst line here of\nthe archi-\nvists end'), '1.50:The old title / 3.100:first line here / 3.130:of the archi- / 3.160:vists end', 'divided elsewhere: the same');
SELECT is(pg_temp.c('The old title first line here of the archi."vists end'), '1.50:The old title / 3.100:first line here / 3.130:of the archi."vists / 3.160:end', 'a full stop that was read as a hyphen divides nothing');
SELECT is(pg_temp.c(E'The old title\n\nfirst line here\nvists end'), '1.50:The old title / 3.100:first line here / 3.160:vists end', 'a line that is not there goes');
SELECT is(pg_temp.c(E'The old title\n\nfirst line here\nmissed by the reader\nof the archi-\nvists end'), '1.50:The old title / 3.100:first line here / 3.-:missed by the reader / 3.130:of the archi- / 3.160:vists end', 'a new line has no box');
SELECT is(pg_temp.c(E'The old title\n\nquite another thing\nof the archi-\nvists end'), '1.50:The old title / 3.100:quite another thing / 3.130:of the archi- / 3.160:vists end', 'a line that was all wrong keeps its box');
SELECT is(pg_temp.c(E'The old title\n\nfirst lne here\nof the archi-\nvists end\n\nA new paragraph'), '1.50:The old title / 3.100:first lne here / 3.130:of the archi- / 3.160:vists end / 4.-:A new paragraph', 'after an empty line, an element');
SELECT is(pg_temp.c('new words', 1), '1.50:new words / 3.100:first lne here / 3.130:of the archi- / 3.160:vists end', 'one element');
SELECT is(pg_temp.c('a caption', 2), '1.50:The old title / 2.-:a caption / 3.100:first lne here / 3.130:of the archi- / 3.160:vists end', 'an element that had no text');
SELECT is((SELECT dsocr_search_text(dsocr.corrected(r, 'by hand', NULL)) FROM t), 'by hand', 'a word is never cut');
SELECT is(pg_temp.c(''), NULL, 'nothing');
SELECT is((SELECT dsocr.corrected(r, '', NULL)->>'status' FROM t), 'blank', 'is a blank page');
SELECT is((SELECT dsocr.corrected(r, r->>'text', NULL) - 'markdown' - 'elements' FROM t), (SELECT r - 'elements' FROM t), 'the same text: the same page');
SELECT is((SELECT string_agg(e->>'content', '|' ORDER BY o) FROM t, jsonb_array_elements(dsocr.corrected(r, 'A better title first lne here of the archivists end', NULL)->'elements') WITH ORDINALITY u(e, o)),
  E'## A better title||first lne here\nof the archi-\nvists end', 'a heading keeps its mark');
SELECT ok((SELECT bool_and(substr(c->>'text', (e->>'char_start')::int + 1, (e->>'char_end')::int - (e->>'char_start')::int) = e->>'text')
  FROM t, dsocr.corrected(r, E'Title\n\nfirst line here\n\nof the archivists end\n\nmore', NULL) c, jsonb_array_elements(c->'elements') e), 'char_start and char_end are right');
SELECT is((SELECT string_agg(l->>'text', ',') FROM t, jsonb_path_query(dsocr.corrected(r, 'The old title first line here of the archivists end', NULL), '$.elements[*].lines[*] ? (@.corrected == true)') l), 'first line here', 'only lines that changed say so');
SELECT is((SELECT l->'confidence' FROM t, jsonb_path_query(dsocr.corrected(r, 'The old title first line here of the archivists end', NULL), '$.elements[*].lines[*] ? (@.corrected == true)') l), NULL, 'and have no confidence');
SELECT is((SELECT count(*) FROM dsocr.lay_text('{"page": 1, "status": "error", "elements": []}', E'typed\nby hand\n\nall', NULL)), 3::bigint, 'a page that had no text');
CREATE FUNCTION pg_temp.one_line(words text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('page', 1, 'status', 'ok', 'elements', jsonb_build_array(jsonb_build_object('id', 0, 'type', 'text', 'content', words, 'text', words,
    'lines', jsonb_build_array(jsonb_build_object('text', words, 'bbox', '[1, 2, 3, 4]'::jsonb))))) $$;
SELECT is((SELECT count(*) FROM dsocr.lay_text(pg_temp.one_line('one line here'), (SELECT string_agg('line number ' || g, E'\n') FROM generate_series(1, 3000) g), NULL)),
  3000::bigint, 'three thousand lines for one: in a moment, where it once took all memory');
SELECT throws_ok($$SELECT dsocr.lay_text(pg_temp.one_line((SELECT string_agg(md5(g::text), ' ') FROM generate_series(1, 1000) g)),
  (SELECT string_agg(md5((-g)::text), ' ') FROM generate_series(1, 3000) g), NULL)$$, '54000', 'the new text is too long to be laid on the old one', 'a text of a hundred thousand characters for another of thirty');
SELECT is((SELECT string_agg(type || '=' || text, '|') FROM dsocr_elements(dsocr.corrected('{"page": 1, "status": "error", "error_code": "x", "elements": []}', E'typed\nby hand\n\nall', NULL))), E'text=typed\nby hand|text=all', 'gets elements');
SELECT is(dsocr.corrected('{"page": 1, "status": "error", "error_code": "x", "elements": []}', 'a', NULL) - 'elements', '{"page": 1, "status": "ok", "text": "a", "markdown": "a"}', 'and is well read');
SELECT throws_ok('SELECT dsocr.corrected(r, ''x'', 4) FROM t', '22023', 'the page has no element 4', 'an element that is not there');
SELECT lives_ok($$SELECT dsocr.corrected(jsonb_build_object('page', 1, 'status', 'ok', 'elements', jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat('abc def ', 1500)))), repeat('xyz äöü', 2000), NULL)$$, 'long texts with nothing in common');

SELECT is((SELECT string_agg(concat_ws(' ', e->>'type', e->'bbox'), ', ' ORDER BY o) FROM t, jsonb_array_elements(dsocr.corrected(r, (r->>'text') || E'\n\nmore', NULL)->'elements') WITH ORDINALITY u(e, o)),
  'section_header [100, 50, 500, 90], figure [1, 2, 3, 4], text [100, 100, 500, 200], text', 'a new element has nothing of an old one');

-- ---- cells
CREATE TEMP TABLE prices AS SELECT jsonb_build_object('page', 1, 'status', 'ok', 'text', concat_ws(E'\n\n', 'Prices', x, 'The end'), 'markdown', concat_ws(E'\n\n', '# Prices', c, 'The end'), 'elements', jsonb_build_array(
  '{"id": 0, "type": "title", "content": "# Prices", "text": "Prices", "char_start": 0, "char_end": 6}'::jsonb,
  jsonb_build_object('id', 1, 'type', 'table', 'content', c, 'text', x, 'char_start', 8, 'char_end', 8 + length(x)),
  jsonb_build_object('id', 2, 'type', 'text', 'content', 'The end', 'text', 'The end', 'char_start', 10 + length(x), 'char_end', 17 + length(x)))) AS r
  FROM (VALUES ('<table border="1"><tr><th>Fruit</th><th><b>Each</b></th><th></th></tr><tr><td></td><td></td><td></td></tr>' || E'\n' ||
    '<tr><td>Pears &amp; quinces</td><td>12</td><td>1</td></tr><tr><td colspan=2>sold <br>out<td></table>Per dozen.', E'Fruit\tEach\t\n\t\t\nPears & quinces\t12\t1\nsold out\t\nPer dozen.')) v(c, x);
CREATE FUNCTION pg_temp.cells(new text, element int DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
  SELECT (SELECT string_agg(row_no || '.' || col_no || ':' || content, ' ' ORDER BY row_no, col_no) FILTER (WHERE content <> '') FROM dsocr_tables(c)) || ' / ' ||
    (SELECT string_agg(type || ':' || regexp_replace(content, '<.*>', '') , ' ' ORDER BY seq) FROM dsocr_elements(c)) FROM (SELECT dsocr.corrected(r, new, element) AS c FROM prices) x $$;
SELECT is((SELECT dsocr.corrected(r, r->>'text', NULL) FROM prices), (SELECT r FROM prices), 'a table whose text is the same is the same');
SELECT is((SELECT dsocr.corrected(r, replace(r->>'text', 'quinces', 'pl<b>ums'), NULL)->>'markdown' FROM prices), (SELECT replace(r->>'markdown', 'quinces', 'pl&lt;b&gt;ums') FROM prices), 'a cell changes: nothing else does');
SELECT is((SELECT dsocr.corrected(r, replace(r->>'text', 'quinces', 'pl<b>ums'), NULL)->>'text' FROM prices), (SELECT replace(r->>'text', 'quinces', 'pl<b>ums') FROM prices), 'its text is in the page''s');
SELECT is(pg_temp.cells(E'Fruit\tEach\tRipe\nPears & quinces\t12\t\nsold out\tyes\nPer dozen.', 2), '1.1:Fruit 1.2:Each 1.3:Ripe 3.1:Pears & quinces 3.2:12 4.1:sold out 4.3:yes / title:# Prices table:Per dozen. text:The end', 'tabs and line ends part cells: empty ones are filled, others made empty');
SELECT is(pg_temp.cells('Prices Fruit Each Pears & quince 121 sold out Per dozen. The end'), '1.1:Fruit 1.2:Each 3.1:Pears & quince 3.2:121 4.1:sold out / title:# Prices table:Per dozen. text:The end', 'without them the alignment does; a word is in one cell');
SELECT is(pg_temp.cells(E'Prizes\n\nPears & quinces\t12\t1\nsold out\nPer dozen.\n\nThe end'), '3.1:Pears & quinces 3.2:12 3.3:1 4.1:sold out / title:# Prizes table:Per dozen. text:The end', 'a row that is not there is empty');
SELECT is(pg_temp.cells(E'Prices\n\nFruit\tEach\nPears & quinces\t12\t1\nsold out\nPer two dozen.\n\nA new one.\n\nThe end'), '1.1:Fruit 1.2:Each 3.1:Pears & quinces 3.2:12 3.3:1 4.1:sold out / title:# Prices table:Per two dozen. text:A new one. text:The end', 'text beside the table, a paragraph after it');
SELECT is((SELECT string_agg(type, ' ') FROM prices, dsocr_elements(dsocr.corrected(r #- '{elements,2}', (r->>'text') || E'\n\nand more', NULL))), 'title table text text', 'text after a table that was the last');
SELECT is((SELECT string_agg(type, ' ') FROM prices, dsocr_elements(dsocr.corrected(r, E'Prices\n\nThe end', NULL))), 'title text', 'a table of which nothing is left goes');
SELECT is(pg_temp.cells(E'\n<TABLE><tr><th>Fruit<td>Each<tr><td>Pears &amp; quinces</TABLE>', 2), '1.1:Fruit 1.2:Each 2.1:Pears & quinces / title:# Prices table: text:The end', 'a table given as HTML');
SELECT is((SELECT dsocr.corrected(r, '<table><td>a<td>b', 2)->>'text' FROM prices), E'Prices\n\na\tb\n\nThe end', 'and its text');
SELECT throws_ok('SELECT dsocr.corrected(r, ''<table>a'', 2) FROM prices', '22023', 'the new text begins like a table and has no cells', 'HTML without cells');
SELECT ok((SELECT bool_and(substr(c->>'text', (e->>'char_start')::int + 1, (e->>'char_end')::int - (e->>'char_start')::int) = e->>'text')
  FROM prices, dsocr.corrected(r, replace(r->>'text', '12', 'twelve'), NULL) c, jsonb_array_elements(c->'elements') e), 'char_start and char_end are right');

-- ---- in a table
\set scan `base64 -w0 test/pages/letter_en.jpg`
CREATE TABLE "arch ive" ("page" int, "k'y" text, scan bytea, PRIMARY KEY ("page", "k'y"));
INSERT INTO "arch ive" VALUES (1, 'a', decode(:'scan', 'base64')), (2, 'a', 'other');
SELECT dsocr_attach('"arch ive"', 'scan', backfill => false, ts_config => 'english') AS watch \gset
SELECT results FROM dsocr.watches WHERE watch = :watch \gset
INSERT INTO :results (key_page, "k'y", page, version, status, search_text, result, sha256, model, confidence)
  SELECT s.page, 'a', 1, 1, 'ok', dsocr_search_text(r), r, encode(sha256(scan), 'hex'), 'm', 0.5 FROM t, "arch ive" s;
SELECT is((SELECT count(*) FROM dsocr.review WHERE watch = :watch), 2::bigint, 'doubtful pages are to be looked at');
SELECT is(dsocr_correct(:watch, '{"page": 1, "k''y": "a"}', 1, 'The old title, first line here of the archivists'' end'), 2, 'a correction is a new version');
SELECT is((SELECT count(*) FROM dsocr.review WHERE watch = :watch), 1::bigint, 'a corrected one is not');
SELECT is((SELECT string_agg(version || ':' || current || ':' || (corrected_by IS NOT NULL) || ':' || coalesce(model, '-'), ' ' ORDER BY version) FROM :results WHERE key_page = 1), '1:false:false:m 2:true:true:m', 'the former one is kept');
SELECT is((SELECT corrected_by FROM :results WHERE key_page = 1 AND current), current_user::text, 'who has corrected');
SELECT is((SELECT count(*) FROM dsocr_search(:watch, '"line here"')), 1::bigint, 'it is found by its new words');
SELECT is((SELECT string_agg(key->>'page', ' ') FROM dsocr_search(:watch, 'lne')), '2', 'and by the old ones no more');
SELECT is((SELECT highlights#>'{0,bbox,1}' FROM dsocr_search(:watch, '"line here"')), '100', 'where it stands');
SELECT is(dsocr_correct(:watch, '{"page": 1, "k''y": "a"}', 1, 'Old title', 1), 3, 'a correction of a correction');
SELECT is((SELECT result->>'text' FROM :results WHERE key_page = 1 AND current), E'Old title\n\nfirst line here\nof the archi-\nvists'' end', 'of one element');
SELECT is((SELECT string_agg(text, '|') FROM dsocr_training_set(:watch)), 'Old title|first line here|vists'' end', 'the lines that were corrected, in either');
SELECT is((SELECT string_agg((i->'pages'->0->>'width') || 'x' || (i->'pages'->0->>'height'), ' ') FROM dsocr_training_set(:watch), dsocr_info(image) i), '400x40 400x30 400x40', 'with their images');
SELECT is((SELECT string_agg((l->>'read') || '>' || (l->>'text'), '|') FROM :results, jsonb_path_query(result, '$.elements[*].lines[*] ? (@.corrected == true)') l WHERE key_page = 1 AND current),
  'The old title>Old title|first lne here>first line here|vists end>vists'' end', 'what was read at first is kept beside them');
SELECT is(dsocr_correct(:watch, '{"page": 2, "k''y": "a"}', 1, E'Quite unlike it: whoever\nhas written\nZum Beispiel 47,11 DM\nwas somewhere'), 2, 'another text altogether');
SELECT is((SELECT string_agg(text, '|') FROM dsocr_training_set(:watch)), 'Old title|first line here|vists'' end', 'makes no lines to learn from');
DELETE FROM :results WHERE key_page = 2 AND version = 2;
UPDATE :results SET current = true WHERE key_page = 2;

-- ---- columns of one's own
ALTER TABLE :results ADD "my ""note" text, ADD tags text[] DEFAULT '{new}', ADD number serial UNIQUE, ADD id int GENERATED ALWAYS AS IDENTITY, ADD long int GENERATED ALWAYS AS (length(search_text)) STORED, ADD gone int;
ALTER TABLE :results DROP gone;
UPDATE :results SET "my ""note" = 'v' || version, tags = '{seen}' WHERE key_page = 1;
SELECT is(dsocr_correct(:watch, '{"page": 1, "k''y": "a"}', 1, 'The title', 1), 4, 'a table of results with columns of one''s own');
SELECT is((SELECT string_agg(concat_ws(' ', version, "my ""note", tags), ', ' ORDER BY version) FROM :results WHERE key_page = 1), '1 v1 {seen}, 2 v2 {seen}, 3 v3 {seen}, 4 v3 {seen}', 'the new version has their values, and the old one too');
SELECT is((SELECT concat_ws(' ', n.number <> o.number, n.id <> o.id, n.long = length(n.search_text)) FROM :results n, :results o WHERE n.key_page = 1 AND n.current AND o.key_page = 1 AND o.version = 3), 't t t', 'those that are numbered or generated are made anew');
ALTER TABLE :results ADD code text CONSTRAINT "one code" UNIQUE;
UPDATE :results SET code = 'A 7' WHERE key_page = 1 AND current;
CREATE FUNCTION pg_temp.said(statement text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE m text; h text; BEGIN EXECUTE statement; RETURN NULL;
  EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, h = PG_EXCEPTION_HINT; RETURN m || '; ' || h; END $$;
SELECT matches(pg_temp.said(format('SELECT dsocr_correct(%s, ''{"page": 1, "k''''y": "a"}'', 1, ''A title'', 1)', :watch)), 'unique constraint "one code"; .*unique index WHERE current', 'one that is unique: told what to do');
ALTER TABLE :results DROP CONSTRAINT "one code";
CREATE UNIQUE INDEX ON :results (code) WHERE current;
SELECT is(dsocr_correct(:watch, '{"page": 1, "k''y": "a"}', 1, 'A title', 1), 5, 'and doing it helps');
ALTER TABLE :results DROP number; -- so that nobody needs a right on its sequence below

UPDATE "arch ive" SET scan = 'other' WHERE page = 1;
SELECT is((SELECT count(*) FROM dsocr_training_set(:watch)), 0::bigint, 'none of a document that has changed');
SELECT is(dsocr_reprocess(:watch, 'model'), 1::bigint, 'a corrected page is not reprocessed');

-- ---- lines are straightened: those of the letter slope by 0.7 degrees
CREATE TEMP TABLE letter AS SELECT d, l.*, row_number() OVER () AS n FROM (SELECT decode(:'scan', 'base64') AS d) s, dsocr_lines(dsocr_extract(d)) l;
CREATE TEMP TABLE cut AS SELECT n, png, (dsocr_info(png)#>>'{pages,0,width}')::int AS w, (dsocr_info(png)#>>'{pages,0,height}')::int AS h
  FROM (SELECT dsocr.cut_lines((SELECT d FROM letter LIMIT 1), 1, 0, (SELECT array_agg(bbox ORDER BY n) FROM letter)) AS all) a, unnest(a.all) WITH ORDINALITY u(png, n);
SELECT ok(count(*) > 10 AND bool_and(h < height(bbox) - 8), 'images of long lines are lower than their boxes') FROM letter JOIN cut USING (n) WHERE width(bbox) > 800;
SELECT ok(bool_and(w BETWEEN width(bbox) AND width(bbox) + 20), 'and as wide') FROM letter JOIN cut USING (n);
SELECT ok(dsocr_cer(string_agg(text, ' ' ORDER BY n), string_agg(dsocr_text(png), ' ' ORDER BY n)) < 0.1, 'the reader reads there what it read on the page') FROM letter JOIN cut USING (n);
SELECT is(dsocr.cut_lines(d, 1, 0, ARRAY(SELECT box(point(i, 10), point(i + 40, 40)) FROM generate_series(1, 70) i)), ARRAY(SELECT dsocr_crop(d, 1, box(point(i, 10), point(i + 40, 40))) FROM generate_series(1, 70) i),
  'where there is no line the page is cut as it lies; more lines than are cut at once') FROM letter LIMIT 1;
SELECT is(dsocr.cut_lines(d, 1, 0, '{}'), '{}', 'no line') FROM letter LIMIT 1;

SELECT throws_ok('SELECT dsocr_correct(987654, ''{}'', 1, ''x'')', '42704', 'watch 987654 does not exist', 'no such watch');
SELECT throws_ok(format('SELECT dsocr_correct(%s, ''{"page": 1}'', 1, ''x'')', :watch), '22023', 'this is not a key of the table', 'half a key');
SELECT throws_ok(format('SELECT dsocr_correct(%s, ''{"page": 1, "k''''y": "a"}'', 2, ''x'')', :watch), 'P0002', NULL, 'no such page');
SELECT throws_ok(format('SELECT dsocr_correct(%s, ''{"page": 1, "k''''y": "a"}'', 1, NULL)', :watch), '22004', NULL, 'no text');
SELECT throws_ok(format('SELECT dsocr_correct(%s, ''{"page": 1, "k''''y": "a"}'', 1, ''x'', 9)', :watch), '22023', 'the page has no element 9', 'no such element');

-- ---- dsocr_submit says what is wrong at once
SELECT throws_ok('SELECT dsocr_submit(''x'', options => ''{"dpy": 3}'')', '22023', 'unknown option "dpy"', 'an option that does not exist');
SELECT throws_ok('SELECT dsocr_submit(''x'', mode => ''fast'')', '22023', 'unknown mode "fast"', 'a mode that does not exist');
SELECT throws_ok('SELECT dsocr_submit(''x'', pages => ''3-1'')', '22023', '"3-1" is not a list of pages', 'pages that are no list');
SELECT throws_ok('SELECT dsocr_submit(''x'', options => ''[]'')', '22023', 'options must be a JSON object', 'options that are none');

-- ---- who may
CREATE ROLE corrector;
SELECT dsocr_grant('corrector') \g /dev/null
GRANT USAGE ON SCHEMA public TO corrector;
GRANT SELECT ON "arch ive", :results TO corrector;
CREATE FUNCTION pg_temp.correct(page int) RETURNS int LANGUAGE plpgsql SET ROLE corrector AS $$ BEGIN RETURN (SELECT dsocr_correct(max(watch), jsonb_build_object('page', page, 'k''y', 'a'), 1, 'by another') FROM dsocr.watches); END $$;
SELECT throws_ok('SELECT pg_temp.correct(2)', '42501', NULL, 'who may only read results does not correct them');
GRANT INSERT, UPDATE ON :results TO corrector;
SELECT is(pg_temp.correct(2), 2, 'who may write them does');
ALTER TABLE :results ENABLE ROW LEVEL SECURITY;
CREATE POLICY two ON :results USING (key_page = 2);
SELECT throws_ok('SELECT pg_temp.correct(1)', 'P0002', NULL, 'row-level security holds');
SELECT is(pg_temp.correct(2), 3, 'and lets through what it allows');
SELECT * FROM finish();
ROLLBACK;
