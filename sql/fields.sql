-- dsocr_fields: no engine is asked.
CREATE EXTENSION dsocr;
CREATE FUNCTION page(VARIADIC lines text[]) RETURNS jsonb LANGUAGE sql AS $$
    -- each line "text" or "text|x0,y0,x1,y1"; without a box they stand one below the other
    SELECT jsonb_build_object('page', 1, 'status', 'ok', 'elements', jsonb_build_array(jsonb_build_object('type', 'text', 'text', string_agg(split_part(l, '|', 1), E'\n' ORDER BY n),
        'bbox', '[0, 0, 1000, 1000]'::jsonb, 'lines', jsonb_agg(jsonb_build_object('text', split_part(l, '|', 1), 'confidence', 0.9, 'bbox',
            CASE WHEN l LIKE '%|%' THEN format('[%s]', split_part(l, '|', 2))::jsonb ELSE jsonb_build_array(0, 40 * n, 20 * length(l), 40 * n + 30) END) ORDER BY n))))
    FROM unnest(lines) WITH ORDINALITY u(l, n) $$;
CREATE FUNCTION pick(result jsonb, field text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s (%s)', f->'x'->>'value', f->'x'->>'method') FROM dsocr_fields(result, format('{"x": %s}', field)::jsonb) f $$;

-- what a result has
SELECT jsonb_pretty(dsocr_fields(page('Receipt 0042', 'Total 12.50', 'Thank you'),
  '{"total": {"type": "amount", "labels": ["amount due", "total"]}, "date": {"type": "date", "labels": "date"}}'));

-- labels: without case, accents and small errors; at the beginnings of words; the longer one, of whatever field
SELECT pick(page(l), '{"type": "amount", "labels": ["total"]}'), l FROM unnest(ARRAY['TOTAL: 1.50', 'T0TAL 1.50', 'Totai 1.50', 'Tofal 1.50',
  'to tal 1.50', 'Total1.50', 'Subtotal 1.50', 'totally 1.50', 'Metal 1.50']) l;
SELECT pick(page(l), '{"labels": ["Invoice no"]}'), l FROM unnest(ARRAY['lnvoice No. A-17', 'INVOICE-NO: 7', 'Invoice 12']) l;
SELECT f->'a'->>'value' AS a, f->'b'->>'value' AS b FROM dsocr_fields(page('Total GST 0.42', 'Total 7.00'),
  '{"a": {"type": "amount", "labels": "total"}, "b": {"type": "amount", "labels": "total gst"}}') f;
SELECT f->'a'->>'value' AS a, f->'b'->>'value' AS b FROM dsocr_fields(page('Total GST 0.42'),
  '{"a": {"type": "amount", "labels": "total"}, "b": {"type": "amount", "labels": "total gst"}}') f;
-- the plain one: no other word between label and value, nor before the label
SELECT pick(page('Sub Total 5.00', 'Total GST 0.30', 'Total RM 5.30', 'Change 1.00'), '{"type": "amount", "labels": "total"}');
SELECT pick(page('Total 3.00', 'Nett total 5.00', 'Total 4.00'), format('{"type": "amount", "labels": ["nett total", "total"]%s}', t)) FROM unnest(ARRAY['', ', "take": "last"']) t;
SELECT pick(page('Total 3.00', 'Total 5.00', 'Total 4.00'), format('{"type": "amount", "labels": ["total"], "take": "%s"}', t)), t FROM unnest(ARRAY['first', 'last', 'largest']) t;

-- where: behind, in the same row, below, above
SELECT pick(page('Total|10,10,110,40', 'EUR|300,12,360,42', '9.99|400,8,460,38', '8.88|400,60,460,90'), '{"type": "amount", "labels": "total"}');
SELECT f->'n'->>'value' AS n, f->'b'->>'value' AS b, f->'b'->>'bbox' AS bbox FROM dsocr_fields(page('Name|10,10,110,40', 'Born|300,10,380,40', 'Ann Lee|10,60,150,90', '3 May 1901|300,60,460,90'),
  '{"n": {"labels": "name"}, "b": {"type": "date", "labels": "born"}}') f;
SELECT f->'n'->>'value' AS n, f->'b'->>'value' AS b FROM dsocr_fields(page('Name Born|0,10,400,40', 'Ann Lee-Smith 3.5.1901|0,60,450,90'),
  '{"n": {"labels": "name"}, "b": {"type": "date", "labels": "born"}}') f;
SELECT pick(page('Total|10,100,110,130', 'RM|363,100,363,130', 'EUR|363,100,363,130', '7.00|500,100,500,130'), '{"type": "amount", "labels": "total"}');
SELECT pick(page('Signature Date|0,100,800,130', '5.4.1960|500,50,700,80'), '{"type": "date", "labels": "date"}');
SELECT pick('{"elements": [{"type": "text", "text": "Name\nAnn Lee"}]}', '{"labels": "name"}');
-- cells of tables, with a head above or before
SELECT pick('{"elements": [{"type": "table", "bbox": [1, 2, 3, 4], "content": "<table><tr><th>Item</th><th>Amount</th></tr><tr><td>Tea</td><td>3.00</td></tr><tr><td>Total</td><td>3.00</td></tr></table>"}]}', f)
  FROM unnest(ARRAY['{"type": "amount", "labels": "total"}', '{"type": "amount", "labels": "amount"}', '{"labels": "item"}']) f;
-- a text ends where another label, or a word with a colon, begins; a word of a sentence is no label
SELECT f->'no'->>'value' AS no, f->'by'->>'value' AS by FROM dsocr_fields(page('Doc no CS12 Cashier Ann Lee Time: 16:58'),
  '{"no": {"labels": "doc no"}, "by": {"labels": "cashier"}}') f;
SELECT pick(page('They went to the mill', 'and from there to', 'To: Miss Lee'), '{"labels": "to"}'), pick(page('They went to the mill'), '{"labels": "to"}');

-- numbers and amounts
SELECT t, pick(page('x ' || t), '{"type": "amount", "labels": "x"}') AS amount, pick(page('x ' || t), '{"type": "number", "labels": "x", "decimal": "."}') AS number_point,
  pick(page('x ' || t), '{"type": "amount", "labels": "x", "decimal": ","}') AS amount_comma
FROM unnest(ARRAY['1,234.50', '1.234,50', '1,234', '1.234', '0.125', '12,5', '1 234,56', '1''234.50', '1.234.567', '-5.00', '5.00-', '$-5.00', '6 93.07', '6% 0.42', '5. 75',
  '02/01/2018', '16:58', '00012', '12pcs', 'RM3.20', '3-4', '1,23,4', '1.2.3', '007', '00.000', '.5', '5', '99999999999999999999.99']) t;
-- dates
SELECT t, pick(page('on ' || t), '{"type": "date", "labels": "on"}') AS day_first, pick(page('on ' || t), '{"type": "date", "labels": "on", "day_first": false, "years_from": 1900}') AS month_first
FROM unnest(ARRAY['03/04/2018', '13.4.18', '4-13-69', '1/2/70', '2018-03-04', '1898/5/7', '4th March 1931', 'March 4, 1931', '1st of May, 1898', '18. Februar 1958', '2 de enero de 2018', '1er Aout 1898',
  '5 Okt. ''98', '20 / 03 / 2018', '14Mar2018', 'Mai 1898', '29.2.2024', '29.2.2023', '31.4.2020', '3/21-12-05', '1.2.3.2004', '12.12.123', '0999-01-01', '5 Marsh 1990', 'May 19 Aug 11']) t;

-- a pattern: the whole of it, or its first group; what it gives must be of the type
SELECT pick(page('Ref AB-12 / 2019-05-06'), f) FROM unnest(ARRAY['{"labels": "ref", "pattern": "[0-9]+"}', '{"labels": "ref", "pattern": "/ (.*)", "type": "date"}',
  '{"labels": "ref", "pattern": "([A-Z]+)-"}', '{"pattern": "\\mab-[0-9]+"}', '{"pattern": "(?i)\\mab-[0-9]+"}', '{"labels": "ref", "pattern": "x*"}']) f;
-- without a label
SELECT pick(page('Tel. 0555 014 233', '3 May 1901', 'Tea 2.50', '250 g', 'Milk 3.10', '7 May 1901'), f) FROM unnest(ARRAY['{"type": "date", "labels": "date", "anywhere": true}',
  '{"type": "date", "labels": "date"}', '{"type": "amount", "anywhere": true, "take": "largest"}', '{"type": "date", "anywhere": true, "take": "last"}']) f;
-- a whole document: the page of each
SELECT f->'x'->>'page' AS page, f->'x'->>'value' AS value FROM jsonb_build_object('document', jsonb_build_object('pages', jsonb_build_array(page('nothing') || '{"page": 1}', page('Date 1.2.2003') || '{"page": 2}'))) d,
  dsocr_fields(d, '{"x": {"type": "date", "labels": "date"}}') f;

-- nothing asked, nothing there
SELECT dsocr_fields(page('Total 1'), '{}'), dsocr_fields('{"status": "blank", "elements": []}', '{"a": {"labels": "b"}}'), dsocr_fields(NULL, '{}') IS NULL AS strict;

-- what is wrong
SELECT dsocr_fields('{}', '{}');
SELECT dsocr_fields(page('x'), '[]');
SELECT dsocr_fields(page('x'), '{"total": "amount"}');
SELECT dsocr_fields(page('x'), '{"total": {"type": "money", "labels": "total"}}');
SELECT dsocr_fields(page('x'), '{"total": {"type": 7, "labels": "total"}}');
SELECT dsocr_fields(page('x'), '{"total": {"label": "total"}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": []}}');
SELECT dsocr_fields(page('x'), '{"total": {"type": "amount"}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": ["total", "..."]}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": [7]}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": {"a": "total"}}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "pattern": "(["}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "pattern": 7}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "take": "largest"}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "take": "best"}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "anywhere": 1}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "day_first": "no"}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "years_from": 70}}');
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "decimal": ";"}}');
\set VERBOSITY sqlstate
SELECT dsocr_fields(page('x'), '{"total": {"labels": "total", "pattern": "(["}}');
SELECT dsocr_fields(page('x'), '{"total": {"label": "total"}}');
\set VERBOSITY default
DROP FUNCTION page, pick;
DROP EXTENSION dsocr;
