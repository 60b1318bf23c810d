-- exports.sql - what the dsocr_to_* functions and dsocr_chunks promise. XML is read back by Python's parser, run by the
-- server; where COPY ... TO PROGRAM cannot run python3, that is said.
BEGIN;
SELECT plan(48);

CREATE TEMP TABLE results(name text, result jsonb);
INSERT INTO results VALUES
('plain', '{"document": {"sha256": "ab", "pages": [{"page": 1, "width": 1000, "height": 1400, "elements": [
   {"type": "title", "text": "The Title", "bbox": [100, 50, 900, 100], "confidence": 0.9, "lines": [{"text": "The Title", "bbox": [100, 50, 900, 100], "confidence": 0.95}]},
   {"type": "text", "text": "One docu-\nments line", "bbox": [100, 200, 500, 300], "confidence": 0.8,
    "lines": [{"text": "One docu-", "bbox": [100, 200, 500, 250], "confidence": 0.81}, {"text": "ments line", "bbox": [100, 250, 500, 300], "confidence": 0.7}]},
   {"type": "figure", "text": "", "bbox": [600, 200, 900, 300]},
   {"type": "table", "text": "a\tb", "content": "<table><tr><th onclick=\"x()\">a</th><td colspan=2>b<script>x</script></td></tr></table>", "bbox": [100, 400, 900, 500]},
   {"type": "list", "text": "- one\n- two"}]}]}, "metadata": {"model": "mini"}}'),
('hostile', jsonb_build_object('document', jsonb_build_object('pages', jsonb_build_array(jsonb_build_object('page', 1, 'width', 10, 'height', 10,
   'elements', jsonb_build_array(jsonb_build_object('type', 'text"><x', 'label', '<', 'text', E'<script>alert("1")</script> & \'x\' ]]> \x01\x1f\x7f \uFFFE\uFFFF <!-- ä漢',
     'bbox', jsonb_build_array(-5, 9, 3, -2)))))), 'metadata', jsonb_build_object('model', '"><&'))),
('empty', '{"document": {"pages": []}}'),
('no elements', '{"page": 1, "status": "blank", "width": 10, "height": 10}'),
('no boxes', '{"page": 7, "elements": [{"text": "a b"}, {"text": ""}, {"type": "figure"}]}');

-- Fails unless python3 reads it.
CREATE FUNCTION pg_temp.parsed(f text, r text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('COPY (SELECT %I(result) FROM results WHERE name = %L) TO PROGRAM %L (FORMAT csv)', f, r,
    'python3 -c "import csv, sys, io, xml.etree.ElementTree as E; csv.field_size_limit(10**8); [E.fromstring(r[0].encode()) for r in csv.reader(io.TextIOWrapper(sys.stdin.buffer, ''utf-8'', newline=''''))]"');
  RETURN true;
END $$;
CREATE FUNCTION pg_temp.has_python() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
  COPY (SELECT 1) TO PROGRAM 'python3 -c "import sys; sys.stdin.read()"';
  RETURN true;
EXCEPTION WHEN OTHERS THEN RETURN false;
END $$;

SELECT CASE WHEN pg_temp.has_python() THEN ok(pg_temp.parsed(f, name), f || ' of ' || name || ' is well-formed')
            ELSE skip('python3 cannot be run by the server', 1) END
FROM results, unnest(ARRAY['dsocr_to_hocr', 'dsocr_to_alto', 'dsocr_to_page', 'dsocr_to_html']) f
WHERE NOT (f = 'dsocr_to_page' AND name = 'empty') ORDER BY 1;

CREATE FUNCTION pg_temp.r(n text) RETURNS jsonb LANGUAGE sql AS $$ SELECT result FROM results WHERE name = n $$;

SELECT is(split_part(dsocr_to_tsv(pg_temp.r('plain')), E'\n', 1),
          E'level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext', 'TSV has its head');
SELECT is((SELECT string_agg(split_part(l, E'\t', 12), ' ') FROM regexp_split_to_table(dsocr_to_tsv(pg_temp.r('plain')), E'\n') l WHERE l LIKE '5%'),
          'The Title One docu- ments line a b - one - two', 'TSV has every word, in order');
SELECT matches(dsocr_to_tsv(pg_temp.r('plain')), E'\n5\t1\t2\t1\t2\t1\t100\t250\t\\d+\t50\t70.0\tments\n', 'a word stands in its line, with its confidence');
SELECT is((SELECT count(*) FROM regexp_split_to_table(dsocr_to_tsv(pg_temp.r('hostile')), E'\n') l WHERE l <> '' AND array_length(regexp_split_to_array(l, E'\t'), 1) <> 12),
          0::bigint, 'TSV always has twelve columns');
SELECT matches(dsocr_to_hocr(pg_temp.r('plain')), '<span class="ocr_line" id="line_1_2_1" title="bbox 100 200 500 250">', 'hOCR has lines as they were measured');
SELECT matches(dsocr_to_hocr(pg_temp.r('plain')), 'x_wconf 70">ments</span>', 'hOCR has the confidence of words');
SELECT matches(dsocr_to_hocr(pg_temp.r('plain')), 'ocr_photo', 'hOCR has figures');
SELECT matches(dsocr_to_alto(pg_temp.r('plain')), '<String ID="string_1_1_1_2" HPOS="\d+" VPOS="50" WIDTH="\d+" HEIGHT="50" WC="0.95" CONTENT="Title"/>', 'ALTO has words');
SELECT matches(dsocr_to_page(pg_temp.r('plain')), '<TextRegion id="region_1" type="heading"><Coords points="100,50 900,50 900,100 100,100"/>', 'PAGE has regions');
SELECT is((SELECT count(*) FROM regexp_matches(dsocr_to_page(pg_temp.r('plain')), 'id="region_\d+"', 'g')), 5::bigint, 'PAGE has a region for each element');
SELECT throws_ok($$SELECT dsocr_to_page(pg_temp.r('empty'))$$, '22023', 'a PAGE file holds one page', 'PAGE of no page');
SELECT matches(dsocr_to_html(pg_temp.r('plain')), '<h1>The Title</h1>\n<p>One documents line</p>', 'HTML has headings, and divided words whole');
SELECT matches(dsocr_to_html(pg_temp.r('plain')), '<table>\n<tr><th>a</th><td colspan="2">bx</td></tr>\n</table>', 'HTML has tables without the model''s own markup');
SELECT matches(dsocr_to_html(pg_temp.r('plain')), '<ul><li>- one</li><li>- two</li></ul>', 'HTML has lists');
SELECT doesnt_match(dsocr_to_html(pg_temp.r('hostile')), '<script', 'no script gets through');
SELECT is(dsocr_to_hocr(NULL), NULL, 'NULL');
SELECT throws_ok($$SELECT dsocr_to_alto('{"document": 3}')$$, '22023', 'this is not a result of dsocr', 'a number is no document');

-- chunks
CREATE TEMP TABLE long AS SELECT jsonb_build_object('document', jsonb_build_object('pages', jsonb_build_array(
  jsonb_build_object('page', 1, 'elements', jsonb_build_array(
    jsonb_build_object('type', 'page_header', 'text', 'RUNNING HEAD'),
    jsonb_build_object('type', 'title', 'text', 'Book', 'content', '# Book', 'bbox', '[1, 2, 3, 4]'::jsonb),
    jsonb_build_object('type', 'section_header', 'text', 'First', 'content', '## First', 'bbox', '[1, 5, 3, 6]'::jsonb),
    jsonb_build_object('type', 'text', 'text', repeat('Wörter und Sätze stehen hier. ', 20) || 'Ein ge-', 'bbox', '[1, 7, 3, 8]'::jsonb),
    jsonb_build_object('type', 'page_number', 'text', '17'))),
  jsonb_build_object('page', 2, 'elements', jsonb_build_array(
    jsonb_build_object('type', 'text', 'text', 'teiltes Wort.', 'bbox', '[1, 1, 3, 2]'::jsonb),
    jsonb_build_object('type', 'section_header', 'text', 'Second', 'content', '## Second'),
    jsonb_build_object('type', 'text', 'text', E'short\nend')))))) AS result;
CREATE TEMP TABLE c AS SELECT dsocr_chunks.* FROM long, dsocr_chunks(result, 200, 40);

SELECT is((SELECT max(length(content)) <= 200 FROM c), true, 'no piece is longer than asked');
SELECT is((SELECT bool_and(content LIKE E'Book\n\nFirst%') FROM c WHERE seq = 1), true, 'headings begin a piece');
SELECT is((SELECT bool_or(content LIKE '%RUNNING%' OR content LIKE '%17%') FROM c), false, 'running heads and page numbers are left out');
SELECT is((SELECT array_agg(DISTINCT heading) FROM c WHERE heading[2] = 'First'), ARRAY[ARRAY['Book', 'First']], 'headings above are known');
SELECT is((SELECT bool_or(content LIKE '%Ein geteiltes Wort.') FROM c), true, 'a word divided between pages is whole');
SELECT results_eq($$SELECT page_start, page_end, content, bboxes FROM c WHERE seq = (SELECT max(seq) FROM c)$$,
  $$VALUES (2, 2, E'Second\n\nshort end', '[]'::jsonb)$$, 'the last section, its line end a space; without boxes there are none');
SELECT is((SELECT page_start || '-' || page_end || ' ' || bboxes::text FROM c WHERE content LIKE '%teiltes%'),
  '1-2 [{"bbox": [1, 7, 3, 8], "page": 1}, {"bbox": [1, 1, 3, 2], "page": 2}]', 'a piece over two pages has boxes of both');
SELECT is((SELECT bool_and(strpos(a.content, left(b.content, 10)) > 0) FROM c a JOIN c b ON b.seq = a.seq + 1 WHERE b.heading = a.heading), true,
          'pieces of a section overlap');
SELECT throws_ok($$SELECT dsocr_chunks(result, 10, 10) FROM long$$, '22023', 'overlap must be at least 0 and less than size', 'overlap must be less than size');
SELECT is((SELECT string_agg(content, '' ORDER BY seq) FROM dsocr_chunks('{"elements": [{"text": "漢字漢字漢字"}]}', 1, 0)), '漢字漢字漢字', 'pieces of one character');
SELECT is_empty($$SELECT * FROM dsocr_chunks('{"document": {"pages": []}}')$$, 'nothing has no pieces');
SELECT is((SELECT count(*) FROM dsocr_chunks(NULL)), 0::bigint, 'NULL has no pieces');
SELECT * FROM finish();
ROLLBACK;
