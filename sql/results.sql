-- Functions that work on a result: no engine is asked.
CREATE EXTENSION dsocr;
CREATE TABLE results (result jsonb);
INSERT INTO results VALUES ('{"version": "1.0", "document": {"pages": [
  {"page": 1, "status": "ok", "elements": [
    {"id": 0, "type": "title", "label": "title", "content": "# A title", "text": "A title", "bbox": [10, 20, 110, 40],
     "confidence": 0.5, "lines": [{"text": "A title", "bbox": [10, 20, 110, 40], "geometry": "measured", "confidence": 0.25}]},
    {"id": 1, "type": "figure", "label": null, "content": "", "text": "", "bbox": null, "confidence": null}]},
  {"page": 3, "status": "ok", "elements": [
    {"id": 0, "type": "text", "content": "two\nlines", "text": "two\nlines", "bbox": [0, 0, 7, 9],
     "lines": [{"text": "two", "bbox": [0, 0, 7, 4], "geometry": "estimated"}, {"text": "lines", "bbox": [1, 5, 7, 9]}]}]}]}}');

SELECT e.* FROM results, dsocr_elements(result) e;
SELECT l.* FROM results, dsocr_lines(result) l;
-- one page alone, as dsocr_pages gives it
SELECT l.* FROM results, dsocr_lines(result->'document'->'pages'->1) l;
-- anything else gives nothing, and no harm
SELECT count(*) FROM (VALUES ('{}'), ('[]'), ('null'), ('"x"'), ('7'), ('{"document": 1}'), ('{"document": {"pages": {}}}'),
  ('{"document": {"pages": [null, 1, [], {"elements": "x"}, {"elements": [1, null, []]}]}}')) v(j),
  LATERAL (SELECT 1 FROM dsocr_elements(v.j::jsonb) UNION ALL SELECT 1 FROM dsocr_lines(v.j::jsonb)) r;
SELECT type, bbox, confidence FROM dsocr_elements('{"elements": [{"type": 5, "bbox": [1, 2, 3], "confidence": "high"},
  {"type": "text", "bbox": [30, 40, 10, 20], "confidence": 1e-40}, {"bbox": [1, 2, "3", 4]}]}');
SELECT count(*) FROM dsocr_elements(NULL);
SELECT page FROM dsocr_elements('{"page": 99999999999, "elements": [{}]}');
-- they may back an index
CREATE FUNCTION first_type(jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT type FROM public.dsocr_elements($1) LIMIT 1';
CREATE INDEX ON results (first_type(result));
DROP TABLE results;
DROP FUNCTION first_type;
DROP EXTENSION dsocr;
