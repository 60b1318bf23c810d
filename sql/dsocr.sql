-- dsocr.sql - everything that CREATE EXTENSION dsocr makes, in reading order.
\echo Use "CREATE EXTENSION dsocr" to load this file. \quit

-- 1. Reading, while the statement waits. STABLE: the same bytes give the same text, but another model may be set.

CREATE FUNCTION dsocr_extract(doc bytea, mode text DEFAULT NULL, pages text DEFAULT 'all', options jsonb DEFAULT '{}')
RETURNS jsonb AS 'MODULE_PATHNAME', 'dsocr_extract'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_extract(bytea, text, text, jsonb) IS
'Reads a scan: text, layout and confidence of each page, as one document. mode: layout or text (default: dsocr.mode); pages: all, 3, 1-3,7. A page that fails does not fail the document: it has its status.';

CREATE FUNCTION dsocr_try_extract(doc bytea, mode text DEFAULT NULL, pages text DEFAULT 'all', options jsonb DEFAULT '{}')
RETURNS jsonb AS 'MODULE_PATHNAME', 'dsocr_try_extract'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_try_extract(bytea, text, text, jsonb) IS
'As dsocr_extract, but a document that cannot be read gives a result without pages and with the reason in error_status, instead of an error.';

CREATE FUNCTION dsocr_text(doc bytea, pages text DEFAULT 'all', options jsonb DEFAULT '{}')
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_text'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_text(bytea, text, jsonb) IS
'The plain text of a scan, pages separated by an empty line. Pages that could not be read are named in a warning; if there is no other, that is an error.';

CREATE FUNCTION dsocr_markdown(doc bytea, pages text DEFAULT 'all', options jsonb DEFAULT '{}')
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_markdown'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_markdown(bytea, text, jsonb) IS
'A scan as markdown, with headings and tables, pages separated by an empty line. Pages that could not be read are named in a warning.';

CREATE FUNCTION dsocr_pages(doc bytea, mode text DEFAULT NULL, pages text DEFAULT 'all', options jsonb DEFAULT '{}')
RETURNS TABLE(page int, status text, text text, markdown text, width int, height int, confidence real, result jsonb)
AS 'MODULE_PATHNAME', 'dsocr_pages'
LANGUAGE C STABLE PARALLEL SAFE COST 100000 ROWS 10;
COMMENT ON FUNCTION dsocr_pages(bytea, text, text, jsonb) IS
'Reads a scan and gives one row per page. status: ok, blank, truncated, repetition or error.';

CREATE FUNCTION dsocr_extract_many(docs bytea[], mode text DEFAULT NULL, options jsonb DEFAULT '{}')
RETURNS TABLE(ord int, result jsonb) AS 'MODULE_PATHNAME', 'dsocr_extract_many'
LANGUAGE C STABLE PARALLEL SAFE COST 100000 ROWS 100;
COMMENT ON FUNCTION dsocr_extract_many(bytea[], text, jsonb) IS
'Reads many scans that are in the engine together; rows come as scans are finished, ord is the place in the array. A document that cannot be read gives a result as dsocr_try_extract does.';

CREATE FUNCTION dsocr_info(doc bytea)
RETURNS jsonb AS 'MODULE_PATHNAME', 'dsocr_info'
LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION dsocr_info(bytea) IS
'Format, SHA-256, number and size of the pages of a scan. Reads headers only and needs no model.';

-- 2. Working with results: no engine, no model.

CREATE FUNCTION dsocr_elements(result jsonb)
RETURNS TABLE(page int, seq int, type text, label text, content text, text text, bbox box, confidence real)
AS 'MODULE_PATHNAME', 'dsocr_elements'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 50;
COMMENT ON FUNCTION dsocr_elements(jsonb) IS
'The elements of a result, or of one page of it, in reading order. bbox: pixels of the upright page, origin top left.';

CREATE FUNCTION dsocr_lines(result jsonb)
RETURNS TABLE(page int, seq int, line int, text text, bbox box, geometry text, confidence real)
AS 'MODULE_PATHNAME', 'dsocr_lines'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION dsocr_lines(jsonb) IS
'The text lines of a result, or of one page of it; seq is the element they belong to. geometry: measured on the image, or estimated.';

CREATE FUNCTION dsocr_search_text(result jsonb, page int DEFAULT NULL)
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_search_text'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION dsocr_search_text(jsonb, int) IS
'The text of a result, or of one page of it, for full-text search: words divided at a line''s end are whole, markup is gone.';

CREATE FUNCTION dsocr_tables(result jsonb)
RETURNS TABLE(page int, table_no int, row_no int, col_no int, rowspan int, colspan int, is_header bool, content text)
AS 'MODULE_PATHNAME', 'dsocr_tables'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION dsocr_tables(jsonb) IS
'The cells of the tables of a result; row_no and col_no are the top left place of a cell that spans several.';

CREATE FUNCTION dsocr_cer(reference text, reading text)
RETURNS real AS 'MODULE_PATHNAME', 'dsocr_cer'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION dsocr_cer(text, text) IS
'Character error rate: edit distance by the length of the reference; white space counts as one space. 1 when only the reference is empty; may be above 1.';

CREATE FUNCTION dsocr_wer(reference text, reading text)
RETURNS real AS 'MODULE_PATHNAME', 'dsocr_wer'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION dsocr_wer(text, text) IS
'Word error rate: as dsocr_cer, with words instead of characters.';

CREATE FUNCTION dsocr_chunks(result jsonb, size int DEFAULT 1200, overlap int DEFAULT 150)
RETURNS TABLE(seq int, heading text[], page_start int, page_end int, content text, bboxes jsonb)
AS 'MODULE_PATHNAME', 'dsocr_chunks'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 20;
COMMENT ON FUNCTION dsocr_chunks(jsonb, int, int) IS
'A result in pieces of at most size characters, for embedding, with the headings above each and its boxes; a heading begins a new piece, longer sections overlap.';

CREATE FUNCTION dsocr_to_hocr(result jsonb)
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_to_hocr'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION dsocr_to_hocr(jsonb) IS 'A result as hOCR. Boxes of words are estimated within their line.';

CREATE FUNCTION dsocr_to_alto(result jsonb)
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_to_alto'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION dsocr_to_alto(jsonb) IS 'A result as ALTO 4 XML. Boxes of words are estimated within their line.';

CREATE FUNCTION dsocr_to_page(result jsonb)
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_to_page'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION dsocr_to_page(jsonb) IS
'A result of one page as PAGE XML (2019-07-15). Boxes of words are estimated within their line.';

CREATE FUNCTION dsocr_to_tsv(result jsonb)
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_to_tsv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION dsocr_to_tsv(jsonb) IS
'A result as tab-separated words with boxes and confidences, in the columns that Tesseract uses.';

CREATE FUNCTION dsocr_to_html(result jsonb)
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_to_html'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION dsocr_to_html(jsonb) IS
'A result as an HTML document of headings, paragraphs, lists and tables; nothing of the model''s own HTML is passed on.';

-- Search. The configuration must be the one that the query was made with.

CREATE FUNCTION dsocr_highlight(result jsonb, query tsquery, config regconfig DEFAULT 'pg_catalog.simple')
RETURNS TABLE(page int, bbox box, geometry text, fragment text)
AS 'MODULE_PATHNAME', 'dsocr_highlight'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 ROWS 10;
COMMENT ON FUNCTION dsocr_highlight(jsonb, tsquery, regconfig) IS
'Where the words and phrases of a query stand: a box for each line that a hit stands on. geometry: estimated within a line, else that of the line or the element.';

-- 3. Seeing and steering.

CREATE FUNCTION dsocr_status()
RETURNS jsonb AS 'MODULE_PATHNAME', 'dsocr_status'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION dsocr_status() IS
'What the engine is doing: state, process, model, device, memory, queue, uptime and the last error.';

CREATE FUNCTION dsocr_version()
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_version'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION dsocr_version() IS 'The version of the loaded library.';

-- Plain GRANTs, which pg_dump keeps. Only names of this extension's own functions, found by its membership, get in.
CREATE FUNCTION dsocr_grant(role name, privilege text DEFAULT 'read')
RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    readers constant name[] := ARRAY['dsocr_extract', 'dsocr_try_extract', 'dsocr_text', 'dsocr_markdown',
                                     'dsocr_pages', 'dsocr_extract_many', 'dsocr_info'];
    managers constant name[] := readers || ARRAY['dsocr_status']::name[];
    home constant name := (SELECT n.nspname FROM pg_namespace n JOIN pg_extension e ON e.extnamespace = n.oid
                           WHERE e.extname = 'dsocr');
    f regprocedure;
BEGIN
    IF privilege IS NULL OR privilege NOT IN ('read', 'manage') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('privilege "%s" does not exist', privilege),
            HINT = 'It is ''read'' (the functions that read images) or ''manage'' (those and dsocr_status).';
    END IF;
    FOR f IN
        SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
        WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
          AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dsocr')
          AND p.proname = ANY (CASE privilege WHEN 'read' THEN readers ELSE managers END)
        ORDER BY p.proname
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f, role);
    END LOOP;
    IF NOT has_schema_privilege(role, home, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', home, role);
    END IF;
END $$;
COMMENT ON FUNCTION dsocr_grant(name, text) IS
'Gives a role the right to read images (read), or that and to see the engine''s state (manage), by plain GRANTs.';

REVOKE ALL ON FUNCTION dsocr_extract(bytea, text, text, jsonb), dsocr_try_extract(bytea, text, text, jsonb),
    dsocr_text(bytea, text, jsonb), dsocr_markdown(bytea, text, jsonb), dsocr_pages(bytea, text, text, jsonb),
    dsocr_extract_many(bytea[], text, jsonb), dsocr_info(bytea), dsocr_status(), dsocr_grant(name, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dsocr_status() TO pg_monitor;
