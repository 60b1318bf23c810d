-- fields.sql - what dsocr_fields promises of letters beyond ASCII; sql/fields.sql has the rest.
BEGIN;
SELECT plan(11);

CREATE FUNCTION pg_temp.pick(line text, field text) RETURNS text LANGUAGE sql AS $$
  SELECT dsocr_fields(jsonb_build_object('elements', jsonb_build_array(jsonb_build_object('text', line))), format('{"x": %s}', field)::jsonb)->'x'->>'value' $$;

SELECT is(pg_temp.pick('Tòtal : € 1.50', '{"type": "amount", "labels": "TOTAL"}'), '1.50', 'an accent that is none, and a currency');
SELECT is(pg_temp.pick('Montant dû 12,00 €', '{"type": "amount", "labels": "montant du"}'), '12.00', 'a label without its accents');
SELECT is(pg_temp.pick('STRASSE: Weg 5', '{"labels": "Straße"}'), 'Weg 5', 'one letter that is two');
SELECT is(pg_temp.pick('ΕΛΛΑΔΑ: 7', '{"labels": "Ελλάδα"}'), '7', 'Greek, in both cases');
SELECT is(pg_temp.pick('ДАТА 3.5.1901', '{"type": "date", "labels": "дата"}'), '1901-05-03', 'Cyrillic');
SELECT is(pg_temp.pick('le 1er août 1898', '{"type": "date", "anywhere": true}'), '1898-08-01', 'a month with an accent');
SELECT is(pg_temp.pick('Wien, 4. März 1931', '{"type": "date", "anywhere": true}'), '1931-03-04', 'another');
SELECT is(pg_temp.pick('Summe 1’234.50', '{"type": "amount", "labels": "summe"}'), '1234.50', 'thousands behind a typographic apostrophe');
SELECT is(pg_temp.pick('Größe 7 über 8', '{"labels": "grösse", "pattern": "ü\\w+ (\\d)"}'), '8', 'a pattern sees the text as it was read');
SELECT is(pg_temp.pick('합계 12', '{"labels": "합계", "pattern": "\\d+"}'), '12', 'Hangul, which is divided into its letters');
SELECT is(pg_temp.pick('7½ ﬁnal 3', '{"type": "number", "labels": "final", "pattern": "\\d"}'), '3', 'a ligature is its letters');

SELECT * FROM finish();
ROLLBACK;
