-- search_text.sql - what dsocr_search_text promises: divided words are whole, others stay as they are.
BEGIN;
SELECT plan(26);

-- A page whose only element has these lines.
CREATE FUNCTION pg_temp.lines(VARIADIC l text[]) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('page', 1, 'elements', jsonb_build_array(jsonb_build_object('type', 'text', 'text',
    array_to_string(l, E'\n'), 'lines', (SELECT jsonb_agg(jsonb_build_object('text', t) ORDER BY o)
                                         FROM unnest(l) WITH ORDINALITY u(t, o)))))
$$;
CREATE FUNCTION pg_temp.joined(VARIADIC l text[]) RETURNS text LANGUAGE sql AS $$
  SELECT dsocr_search_text(pg_temp.lines(VARIADIC l))
$$;

SELECT is(pg_temp.joined('the docu-', 'ments'), 'the documents', 'a divided word is whole');
SELECT is(pg_temp.joined('the docu- ', '  ments '), 'the documents', 'also with white space around the line end');
SELECT is(pg_temp.joined('the docu‐', 'ments'), 'the documents', 'the Unicode hyphen divides');
SELECT is(pg_temp.joined('die Über¬', 'sicht'), 'die Übersicht', 'the not sign divides, as old scans are read');
SELECT is(pg_temp.joined(U&'soft\00AD', 'ware'), 'software', 'the soft hyphen divides');
SELECT is(pg_temp.joined('Vor-', 'und Nachteile'), E'Vor-\nund Nachteile', 'a word half left out stays (German)');
SELECT is(pg_temp.joined('E-Mail-', 'Adresse'), 'E-Mail-Adresse', 'a hyphen before a capital is the word''s own');
SELECT is(pg_temp.joined('1914-', '1918'), '1914-1918', 'years stay years');
SELECT is(pg_temp.joined('x-', 'ray'), 'x-ray', 'after a single letter the hyphen stays');
SELECT is(pg_temp.joined('INTRO-', 'DUCTION'), 'INTRODUCTION', 'capitals are divided, too');
SELECT is(pg_temp.joined('a well-', 'known man; well-known'), 'a well-known man; well-known',
          'a word that the page has with its hyphen keeps it');
SELECT is(pg_temp.joined('прави-', 'тельство'), 'правительство', 'Cyrillic');
SELECT is(pg_temp.joined('a dash -', 'and more'), E'a dash -\nand more', 'a dash divides no word');
SELECT is(pg_temp.joined('one', '', 'two'), E'one\ntwo', 'an empty line leaves no gap');
SELECT is(pg_temp.joined('last-'), 'last-', 'nothing follows');

SELECT is(dsocr_search_text('{"elements": [{"text": "the docu-"}, {"text": "ments"}, {"text": "Other"}]}'),
          E'the documents\n\nOther', 'a word divided between columns is whole');
SELECT is(dsocr_search_text('{"elements": [{"type": "table", "text": "a-\nb\tc"}]}'), E'a-\nb\tc',
          'rows of a table are not joined');
SELECT is(dsocr_search_text('{"elements": [{"content": "<table><tr><td>a &amp; b</td><td>&#228;</td></tr><tr><td>1 < 2</td></tr></table>"}]}'),
          E'a & b\tä\n1 < 2', 'where there is no plain text, markup is stripped');
SELECT is(dsocr_search_text('{"document": {"pages": [{"page": 3, "text": "c"}, {"page": 4, "text": "d", "elements": []}]}}'),
          E'c\n\nd', 'pages without elements give their text');
SELECT is(dsocr_search_text('{"document": {"pages": [{"page": 3, "text": "c"}]}}', 3), 'c', 'one page, by its number');
SELECT is(dsocr_search_text('{"document": {"pages": [{"page": 3, "text": "c"}]}}', 1), NULL, 'a page that is not there');
SELECT is(dsocr_search_text('{"document": {"pages": []}}'), '', 'no pages, no text');
SELECT is(dsocr_search_text(NULL), NULL, 'NULL');
SELECT throws_ok($$SELECT dsocr_search_text('[1]')$$, '22023', 'this is not a result of dsocr', 'an array is no result');
SELECT throws_ok($$SELECT dsocr_search_text('{"document": {"pages": [{"elements": [{"text": 1}]}]}}')$$, '22023',
                 'this is not a result of dsocr', 'a text that is a number');
SELECT is((SELECT provolatile::text || proparallel::text || proisstrict FROM pg_proc WHERE proname = 'dsocr_search_text'),
          'isfalse', 'immutable, parallel safe, not strict');
SELECT * FROM finish();
ROLLBACK;
