-- What the functions that read images promise, in a database with pgTAP. Needs a running engine.
BEGIN;
SELECT plan(29);

SELECT has_function('dsocr_extract', ARRAY['bytea', 'text', 'text', 'jsonb']);
SELECT has_function('dsocr_try_extract', ARRAY['bytea', 'text', 'text', 'jsonb']);
SELECT has_function('dsocr_text', ARRAY['bytea', 'text', 'jsonb']);
SELECT has_function('dsocr_markdown', ARRAY['bytea', 'text', 'jsonb']);
SELECT has_function('dsocr_pages', ARRAY['bytea', 'text', 'text', 'jsonb']);
SELECT has_function('dsocr_extract_many', ARRAY['bytea[]', 'text', 'jsonb']);
SELECT has_function('dsocr_info', ARRAY['bytea']);
SELECT function_returns('dsocr_extract', 'jsonb');
SELECT function_returns('dsocr_text', 'text');
SELECT function_returns('dsocr_pages', 'setof record');
SELECT volatility_is('dsocr_extract', 'stable', 'not IMMUTABLE: another model gives another text');
SELECT volatility_is('dsocr_elements', 'immutable');
SELECT volatility_is('dsocr_lines', 'immutable');
SELECT isnt_strict('dsocr_extract', 'other arguments may be NULL');
SELECT isnt_definer('dsocr_grant', 'who grants must have the right to');
SELECT is(dsocr_text(NULL), NULL, 'no document, no text');
SELECT is_empty('SELECT * FROM dsocr_pages(NULL)', 'no document, no pages');
SELECT is(dsocr_version(), (SELECT extversion FROM pg_extension WHERE extname = 'dsocr'), 'library and extension are of one version');

SELECT throws_ok($$SELECT dsocr_text('')$$, '22P03', NULL, 'an empty document');
SELECT throws_ok($$SELECT dsocr_text('no image')$$, '22P03', 'not an image');
SELECT throws_ok($$SELECT dsocr_text('%PDF-1.4')$$, '0A000', 'PDF is not supported');
SELECT throws_ok($$SELECT dsocr_text('x', options => '[]')$$, '22023', 'options must be a JSON object');
SELECT throws_ok($$SELECT dsocr_text('x', options => '{"colour": 1}')$$, '22023', 'unknown option "colour"');
SELECT throws_ok($$SELECT dsocr_extract('x', 'loud')$$, '22023', 'unknown mode "loud"');
SELECT throws_ok($$SELECT dsocr_info('no image')$$, '22P03', 'not an image');
SELECT lives_ok($$SELECT dsocr_try_extract('no image')$$, 'dsocr_try_extract does not mind');
SELECT is(dsocr_try_extract('no image')->'document'->>'page_count', '0', 'and has no page');
SELECT is(dsocr_status()->>'state', 'ready', 'the engine is ready');
SELECT throws_ok($$SELECT dsocr_grant('postgres', 'all')$$, '22023', 'privilege "all" does not exist');
SELECT * FROM finish();
ROLLBACK;
