-- Reading, with the model that ships. Needs dsocr in shared_preload_libraries.
CREATE EXTENSION dsocr;
\getenv top PG_ABS_SRCDIR
\set page :top/test/pages/letter_en.jpg
\set letter `base64 -w0 :'page'`
\set page :top/test/pages/fax_en.tif
\set fax `base64 -w0 :'page'`
CREATE TABLE scans (name text, scan bytea);
INSERT INTO scans VALUES ('fax', decode(:'fax', 'base64')), ('letter', decode(:'letter', 'base64')), ('nothing', NULL);

SELECT name, dsocr_text(scan) LIKE '%Yours faithfully%' AS has_words FROM scans ORDER BY name;
SELECT name, page, status, width, height, length(text) > 500 AS has_text, confidence > 0.5 AS sure,
       result->>'finish_reason' AS finish_reason
FROM scans, dsocr_pages(scan) ORDER BY name;
SELECT name, i->>'format' AS format, i->>'page_count' AS pages, i->'pages'->0->>'width' AS width
FROM scans, LATERAL dsocr_info(scan) i ORDER BY name;
-- the form of a result
SELECT jsonb_object_agg(k, jsonb_typeof(r->k)) FROM scans, LATERAL dsocr_extract(scan) r, jsonb_object_keys(r) k WHERE name = 'letter';
SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") AS document FROM scans, jsonb_object_keys(dsocr_extract(scan)->'document') k WHERE name = 'letter';
SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") AS page
FROM scans, jsonb_object_keys(dsocr_extract(scan)->'document'->'pages'->0) k WHERE name = 'letter';
SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") AS element
FROM scans, jsonb_object_keys(dsocr_extract(scan)->'document'->'pages'->0->'elements'->0) k WHERE name = 'letter';
SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") AS metadata
FROM scans, jsonb_object_keys(dsocr_extract(scan)->'metadata') k WHERE name = 'letter';
-- elements and lines agree, and are on the page
SELECT count(*) > 15 AS lines, bool_and(l.bbox <@ box '((0,0),(1282,1786))') AS on_page, bool_and(l.geometry = 'measured') AS measured
FROM scans, LATERAL dsocr_extract(scan) r, dsocr_lines(r) l WHERE name = 'letter';
SELECT count(*) AS strangers FROM scans, dsocr_elements(dsocr_extract(scan)) e WHERE type NOT IN ('text', 'title', 'section_header',
  'table', 'figure', 'caption', 'page_header', 'page_footer', 'page_number', 'footnote', 'list', 'formula', 'code', 'seal', 'other');
-- char_start and char_end count characters of the page's text
SELECT bool_and(substr(p->>'text', (e->>'char_start')::int + 1, (e->>'char_end')::int - (e->>'char_start')::int) = e->>'text') AS agree
FROM scans, LATERAL (SELECT dsocr_extract(scan)->'document'->'pages'->0 AS p) p, jsonb_array_elements(p->'elements') e WHERE name = 'letter';
-- many at once, in any order; one that is not there, one that is no image
SELECT ord, result->'document'->'pages'->0->>'status' AS status, result->'error_status'->0->>'error_code' AS error
FROM dsocr_extract_many(ARRAY(SELECT scan FROM scans ORDER BY name) || 'no image'::bytea) ORDER BY ord;
-- the same text, however it is asked for, and from the cache
SELECT count(DISTINCT t) FROM scans, LATERAL (VALUES (dsocr_text(scan)), (dsocr_extract(scan, 'text')->'document'->>'text'),
  (dsocr_try_extract(scan, 'text')->'document'->'pages'->0->>'text')) v(t) WHERE name = 'letter';
-- bad ones (test/t/007_documents.pl has them all)
SELECT dsocr_text('no image');
SELECT dsocr_text(scan, '1-3') FROM scans WHERE name = 'letter';
SELECT dsocr_text(scan, options => '{"color": "red"}') FROM scans WHERE name = 'letter';
SELECT dsocr_extract(scan, 'aloud') FROM scans WHERE name = 'letter';
-- what this model cannot (test/t/027_questions.pl has one that can)
SELECT dsocr_describe(scan) FROM scans WHERE name = 'letter';
SELECT dsocr_parse_figure(scan) FROM scans WHERE name = 'letter';
SELECT l FROM scans, dsocr_locate(scan, 'the signature') l WHERE name = 'letter';
SELECT dsocr_ask(scan, 'Who wrote this?') FROM scans WHERE name = 'letter';
SELECT dsocr_ask(scan, ' ') FROM scans WHERE name = 'letter';
SELECT dsocr_status()->>'state' AS state, dsocr_status()->>'model' AS model;
DROP TABLE scans;
DROP EXTENSION dsocr;
