-- tables_scores.sql - what dsocr_tables, dsocr_cer and dsocr_wer promise.
BEGIN;
SELECT plan(31);

CREATE FUNCTION pg_temp.grid(content text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s.%s,%s %sx%s%s %s', table_no, row_no, col_no, rowspan, colspan,
                           CASE WHEN is_header THEN ' th' ELSE '' END, content), '; ' ORDER BY table_no, row_no, col_no)
  FROM dsocr_tables(jsonb_build_object('elements', jsonb_build_array(jsonb_build_object('content', content))))
$$;

SELECT is(pg_temp.grid('<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>'),
          '1.1,1 1x1 a; 1.1,2 1x1 b; 1.2,1 1x1 c; 1.2,2 1x1 d', 'cells have their places');
SELECT is(pg_temp.grid('<table><tr><td rowspan="2">a</td><td colspan=2>b</td></tr><tr><td>c</td><td>d</td></tr></table>'),
          '1.1,1 2x1 a; 1.1,2 1x2 b; 1.2,2 1x1 c; 1.2,3 1x1 d', 'a span pushes later cells');
SELECT is(pg_temp.grid('<table><tr><td>a</td><td rowspan="3">b</td></tr><tr><td>c</td><td>d</td></tr><tr><td>e</td></tr><tr><td>f</td><td>g</td></tr></table>'),
          '1.1,1 1x1 a; 1.1,2 3x1 b; 1.2,1 1x1 c; 1.2,3 1x1 d; 1.3,1 1x1 e; 1.4,1 1x1 f; 1.4,2 1x1 g', 'a span ends');
SELECT is(pg_temp.grid('<table><thead><tr><td>a</td></tr></thead><tbody><tr><th>b</th><td>c</td></tr></tbody></table>'),
          '1.1,1 1x1 th a; 1.2,1 1x1 th b; 1.2,2 1x1 c', 'headers are known by th and thead');
SELECT is(pg_temp.grid('<table><tr><td>a<td>b<tr><td>c'), '1.1,1 1x1 a; 1.1,2 1x1 b; 1.2,1 1x1 c', 'closing tags may be missing');
SELECT is(pg_temp.grid('<table><tr><td> <b>a</b> &amp; &lt;b&gt;<br>c </td></tr></table>'), E'1.1,1 1x1 a & <b>\nc',
          'markup inside a cell is text');
SELECT is(pg_temp.grid('<table><tr><td>x</td></tr></table> and <table><tr><td>y</td></tr></table>'),
          '1.1,1 1x1 x; 2.1,1 1x1 y', 'two tables in one element');
SELECT is(pg_temp.grid('<table><tr><td>a <table><tr><td>b</td></tr></table></td><td>c</td></tr></table>'),
          '1.1,1 1x1 a b; 1.1,2 1x1 c', 'a table inside a cell is its text');
SELECT is(pg_temp.grid('<table><tr><td colspan="999999999">a</td><td rowspan="0">b</td><td colspan="x">c</td></tr></table>'),
          '1.1,1 1x1000 a; 1.1,1001 1x1 b; 1.1,1002 1x1 c', 'mad spans are bounded');
SELECT is(pg_temp.grid('<table><tr><td>20 &deg;C &plusmn; 1 &euro; &frac12; &pound;</td></tr></table>'), '1.1,1 1x1 20 °C ± 1 € ½ £', 'entities are those that the text of a page resolves');
SELECT is(pg_temp.grid('no table, a < b'), NULL, 'text is no table');
SELECT is(pg_temp.grid('<table>'), NULL, 'a table without cells');
SELECT is(pg_temp.grid(repeat('<table><tr><td colspan=1000 rowspan=1000>', 2000)), '1.1,1 1000x1000 ', '2,000 tables in each other');
SELECT results_eq($$SELECT page, table_no, content FROM dsocr_tables('{"document": {"pages": [{"page": 2, "elements": [
    {"content": "<table><tr><td>a"}, {"content": "x"}, {"content": "<table><tr><td>b"}]}, {"page": 3, "elements": [{"content": "<table><tr><td>c"}]}]}}')$$,
  $$VALUES (2, 1, 'a'), (2, 2, 'b'), (3, 1, 'c')$$, 'tables are counted per page');
SELECT is_empty($$SELECT * FROM dsocr_tables(NULL)$$, 'NULL has no tables');
SELECT throws_ok($$SELECT * FROM dsocr_tables('"x"')$$, '22023', 'this is not a result of dsocr', 'a string is no result');

SELECT is(dsocr_cer('kitten', 'sitting')::numeric, 0.5, 'kitten, sitting: 3 of 6');
SELECT is(dsocr_cer('', ''), 0::real, 'nothing is nothing');
SELECT is(dsocr_cer('', 'abc'), 1::real, 'something for nothing');
SELECT is(dsocr_cer('abc', ''), 1::real, 'nothing for something');
SELECT is(dsocr_cer('ab', 'xxxxxx'), 3::real, 'may be above 1');
SELECT is(dsocr_cer(E' a  b\n\nc ', 'a b c'), 0::real, 'white space is one space');
SELECT is(dsocr_cer('Übergröße', 'Ubergrosse')::numeric(6,4), 0.4444, 'characters, not bytes');
SELECT is(dsocr_cer('漢字かな', '漢字かた'), 0.25::real, 'Japanese');
SELECT is(dsocr_wer('the quick brown fox', 'the quack brown')::numeric, 0.5, 'words: one replaced, one missing of four');
SELECT is(dsocr_wer('a b c', E'a\tb\nc'), 0::real, 'words are divided by any white space');
SELECT is(dsocr_cer(NULL, 'a'), NULL, 'NULL');
SELECT is(dsocr_wer('a', NULL), NULL, 'NULL');
-- The plain recursion is the definition.
CREATE FUNCTION pg_temp.plain(a text, b text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE d int[]; e int[]; n int := length(b);
BEGIN
  d := ARRAY(SELECT generate_series(0, n));
  FOR i IN 1..length(a) LOOP
    e := ARRAY[i];
    FOR j IN 1..n LOOP
      e[j + 1] := least(d[j + 1] + 1, e[j] + 1, d[j] + CASE WHEN substr(a, i, 1) = substr(b, j, 1) THEN 0 ELSE 1 END);
    END LOOP;
    d := e;
  END LOOP;
  RETURN d[n + 1];
END $$;
SELECT setseed(0.4);
CREATE TEMP TABLE pairs AS
  SELECT (SELECT string_agg(chr(97 + floor(random() * 3)::int), '') FROM generate_series(1, 1 + (i * 7) % 150)) AS a,
         (SELECT string_agg(chr(97 + floor(random() * 3)::int), '') FROM generate_series(1, 1 + (i * 13) % 140)) AS b
  FROM generate_series(1, 60) i;
SELECT is((SELECT count(*) FROM pairs WHERE round((dsocr_cer(a, b) * length(a))::numeric) = pg_temp.plain(a, b)), 60::bigint,
          'the same as the plain table of distances, across blocks of 64');
SELECT ok((SELECT dsocr_cer(repeat('abcdefghij ', 5000), repeat('abcdefghix ', 5000)) BETWEEN 0.09 AND 0.0910), '55,000 characters');
SELECT ok((SELECT dsocr_wer(string_agg('w' || i, ' '), string_agg('w' || i + i % 2, ' ')) BETWEEN 0.4999 AND 0.5001
           FROM generate_series(1, 30000) i), '30,000 different words');
SELECT * FROM finish();
ROLLBACK;
