-- pictures.sql - what the functions promise that give images of pages and pages to look at. They need the engine, no model.
BEGIN;
SELECT plan(31);
\set hex `od -An -v -tx1 test/golden/images/grey.jpg | tr -d ' \n'`
CREATE TEMP TABLE scan AS SELECT decode(:'hex', 'hex') AS jpeg;
\set hex `od -An -v -tx1 test/golden/images/three_pages.tif | tr -d ' \n'`
ALTER TABLE scan ADD tiff bytea;
UPDATE scan SET tiff = decode(:'hex', 'hex');
CREATE FUNCTION pg_temp.size(png bytea) RETURNS text LANGUAGE sql AS $$
  SELECT format('%s %sx%s', i->>'format', i#>>'{pages,0,width}', i#>>'{pages,0,height}') FROM dsocr_info(png) i
$$;
CREATE TEMP TABLE r AS SELECT '{"page": 1, "status": "ok", "width": 61, "height": 43, "elements": [{"type": "te\"xt", "text": "one <b>two</b> & \"three\"\nfour",
  "lines": [{"text": "one <b>two</b> & \"three\"", "bbox": [5, 5, 55, 15], "geometry": "measured"}, {"text": "four", "bbox": [5, 20, 20, 30], "geometry": "measured"}]}]}'::jsonb AS r;

SELECT is(pg_temp.size(dsocr_page_image(jpeg, 1, NULL)), 'png 61x43', 'a page as it was scanned') FROM scan;
SELECT is(pg_temp.size(dsocr_page_image(jpeg, 1, 400)), 'png 122x86', 'at twice its dpi') FROM scan;
SELECT is(pg_temp.size(dsocr_page_image(tiff, 2)), 'png 30x50', 'another page of a TIFF, which does not say its dpi') FROM scan;
SELECT is(pg_temp.size(dsocr_crop(jpeg, 1, '(10,10),(40,30)')), 'png 30x20', 'a part') FROM scan;
SELECT is(pg_temp.size(dsocr_crop(jpeg, 1, '(20,20),(43,61)', 90)), 'png 23x41', 'a part of a page that was turned') FROM scan;
SELECT is(pg_temp.size(dsocr_render_highlight(jpeg, r, 'two')), 'png 61x43', 'a page with hits') FROM scan, r;
SELECT isnt(dsocr_render_highlight(jpeg, r, 'two'), dsocr_render_highlight(jpeg, r, 'none'), 'which are to be seen') FROM scan, r;
SELECT is(dsocr_page_image(NULL), NULL, 'NULL');
SELECT is(dsocr_crop(jpeg, 1, NULL), NULL, 'no part') FROM scan;
SELECT is(dsocr_render_highlight(jpeg, NULL, 'x'), NULL, 'no result') FROM scan;
SELECT throws_ok('SELECT dsocr_page_image(jpeg, 2) FROM scan', '22023', 'page 2 does not exist', 'a page that is not there');
SELECT throws_ok('SELECT dsocr_page_image(jpeg, 1, 0) FROM scan', '22023', 'dpi must be at least 1', 'no dpi');
SELECT throws_ok('SELECT dsocr_page_image(jpeg, 1, 99999) FROM scan', '22023', 'a page image cannot be made like this', 'too many dpi');
SELECT throws_ok('SELECT dsocr_crop(jpeg, 1, ''(100,100),(200,200)'') FROM scan', '22023', 'the region lies outside the page', 'outside the page');
SELECT throws_ok('SELECT dsocr_crop(jpeg, 1, ''(1,1),(Infinity,2)'') FROM scan', '22023', 'the box has no place on a page', 'without end');
SELECT throws_ok('SELECT dsocr_page_image(''abc'') ', '22P03', 'not an image', 'no image');
SELECT throws_ok('SELECT dsocr_page_image('''')', '22P03', NULL, 'nothing');
SELECT throws_ok('SELECT dsocr_render_highlight(jpeg, r, ''x'', 9) FROM scan, r', '22023', 'the result has no page 9', 'a page that was not read');

CREATE TEMP TABLE html AS SELECT dsocr_page_html(jpeg, r, 'two | four') AS h, dsocr_page_html(jpeg, r) AS bare FROM scan, r;
SELECT matches(h, '<img alt="page 1 as it was scanned" src="data:image/jpeg;base64,/9j/', 'a JPEG is shown as it is stored') FROM html;
SELECT matches(dsocr_page_html(tiff, '{"page": 2, "status": "ok", "width": 30, "height": 50}'), 'src="data:image/png;base64,iVBOR', 'a page of a TIFF as PNG') FROM scan;
SELECT matches(h, 'one &lt;b&gt;<mark id="m1">two</mark>&lt;/b&gt; &amp; &quot;three&quot;</span>', 'text is escaped, hits are marked') FROM html;
SELECT matches(h, '<i id="h2" data-bbox="5 20 20 30" style="left:8.1967%;top:46.5116%;width:24.5902%;height:23.2558%"></i>', 'a hit has a box') FROM html;
SELECT matches(h, 'title="te&quot;xt"', 'what the result says of types is escaped') FROM html;
SELECT doesnt_match(h, '(https?:)?//[a-z]', 'no address is in it') FROM (SELECT regexp_replace(h, 'base64,[^"]*', '') AS h FROM html) x;
SELECT doesnt_match(bare, '<mark|<i id', 'without a query there are no hits') FROM html;
CREATE TEMP TABLE prices AS SELECT dsocr_page_html(jpeg, '{"page": 1, "status": "ok", "width": 61, "height": 43, "elements": [{"type": "table", "bbox": [1, 2, 30, 40],
  "text": "<b>Fruit</b>\tEach\npears\t12", "content": "<table><tr><td onclick=\"x()\">..."}]}', 'pears <-> 12 | each') AS h FROM scan;
SELECT matches(h, '<tr><td>&lt;b&gt;Fruit&lt;/b&gt;</td><td><mark id="m1">Each</mark></td></tr>', 'a table is a table, made of its text') FROM prices;
SELECT matches(h, '<td><mark id="m2">pears</mark></td><td><mark>12</mark></td>', 'a hit in two of its cells has one name') FROM prices;
SELECT matches(dsocr_page_html(tiff, '{"document": {"pages": [{"page": 1, "status": "ok", "width": 30, "height": 50}, {"page": 3, "status": "error", "width": 30, "height": 50}]}}'),
  '<h2>Page 1</h2>.*<h2>Page 3: error</h2>', 'of several pages it is said which, and which were not well read') FROM scan;
SELECT doesnt_match(h, '<h2>', 'of one that is well nothing') FROM prices;
SELECT is(dsocr_page_html(NULL, r), NULL, 'NULL') FROM r;
SELECT throws_ok('SELECT dsocr_page_html(jpeg, ''1'') FROM scan', '22023', 'this is not a result of dsocr', 'a number is no result');
SELECT * FROM finish();
ROLLBACK;
