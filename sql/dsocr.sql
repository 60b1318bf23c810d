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

CREATE FUNCTION dsocr_read(query text, mode text DEFAULT NULL, options jsonb DEFAULT '{}')
RETURNS TABLE(ord bigint, key jsonb, result jsonb) AS 'MODULE_PATHNAME', 'dsocr_read'
LANGUAGE C VOLATILE COST 100000 ROWS 1000;
COMMENT ON FUNCTION dsocr_read(text, text, jsonb) IS
'Runs a query whose last column is a scan, as the caller, and reads all its scans, many at once. Rows come as scans are finished: ord is the row of the query, key its other columns. In the select list rows are given one by one; in FROM the server collects them first. A document that cannot be read gives a result as dsocr_try_extract does. dsocr.timeout does not count here, statement_timeout does.';

CREATE FUNCTION dsocr_trigger() RETURNS trigger AS 'MODULE_PATHNAME', 'dsocr_trigger' LANGUAGE C;
COMMENT ON FUNCTION dsocr_trigger() IS
'BEFORE INSERT OR UPDATE FOR EACH ROW: reads the scan in the first column named and fills the second with its text and the third, which may be left out, with the result: dsocr_trigger(''scan'', ''ocr_text'', ''ocr''). An UPDATE that leaves the scan alone reads nothing.';

-- What some models can besides reading: 0A000 for others, with those that can. An answer is what the model says.

CREATE FUNCTION dsocr_describe(doc bytea, page int DEFAULT 1, options jsonb DEFAULT '{}')
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_describe'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_describe(bytea, int, jsonb) IS
'What is seen on a page, in words. An error if the model cannot do that, as the one that ships. dsocr_extract with the mode describe gives it as a result, with its confidence.';

CREATE FUNCTION dsocr_parse_figure(doc bytea, page int DEFAULT 1, options jsonb DEFAULT '{}')
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_parse_figure'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_parse_figure(bytea, int, jsonb) IS
'A chart or drawing as data, as the model gives it: an HTML table or markdown. An error if the model cannot do that. dsocr_extract with the mode figure gives it as a result.';

CREATE FUNCTION dsocr_locate(doc bytea, phrase text, page int DEFAULT 1, options jsonb DEFAULT '{}')
RETURNS SETOF box AS 'MODULE_PATHNAME', 'dsocr_locate'
LANGUAGE C STABLE PARALLEL SAFE COST 100000 ROWS 2;
COMMENT ON FUNCTION dsocr_locate(bytea, text, int, jsonb) IS
'Where on a page the model sees what a phrase names: boxes in pixels of the upright page, as those of dsocr_elements; no row when it names no place. An error if the model cannot do that.';

CREATE FUNCTION dsocr_ask(doc bytea, question text, page int DEFAULT 1, options jsonb DEFAULT '{}')
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_ask'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_ask(bytea, text, int, jsonb) IS
'What the model answers to a question about a page; the question is text to it, whatever stands in it. An error if the model was not made for questions.';

CREATE FUNCTION dsocr_chat_completions(request jsonb)
RETURNS jsonb AS 'MODULE_PATHNAME', 'dsocr_chat_completions'
LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION dsocr_chat_completions(jsonb) IS
'An answer in the form of chat services to a request in their form: one message of the user with one image as a data URL, and as text a prompt of the family (Free OCR., Convert the document to markdown., ...) or a question. What would change the answer and cannot be done is refused.';

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

-- Fields of receipts, forms and letters. Labels and values are found by where they stand; patterns are PostgreSQL's regular expressions.

CREATE FUNCTION dsocr_fields(result jsonb, schema jsonb) RETURNS jsonb
AS 'MODULE_PATHNAME', 'dsocr_fields'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION dsocr_fields(jsonb, jsonb) IS
'The values of named fields: {"total": {"value": 93.07, "text": "93.07", "page": 1, "bbox": [...], "confidence": 0.98, "method": "right"}, "date": null}. schema: {"total": {"type": "amount", "labels": ["total", "amount due"]}}; type: text, number, amount or date; labels: the words before the value, above it or below it, the preferred first, compared without case, accents and small reading errors; pattern: a regular expression that the value matches; take: first, last or largest of what is equally good; anywhere: true also takes a value without a label; day_first: false reads 03/04/2018 as the fourth of March; years_from (1970): the first of the hundred years that two digits may mean; decimal: the decimal mark where it is not told by the number. method: right, cell (the next of a table), below, above or anywhere. null: not found.';

-- Search. The configuration must be the one that the query was made with.

CREATE FUNCTION dsocr_highlight(result jsonb, query tsquery, config regconfig DEFAULT 'pg_catalog.simple')
RETURNS TABLE(page int, bbox box, geometry text, fragment text)
AS 'MODULE_PATHNAME', 'dsocr_highlight'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 ROWS 10;
COMMENT ON FUNCTION dsocr_highlight(jsonb, tsquery, regconfig) IS
'Where the words and phrases of a query stand: a box for each line that a hit stands on. geometry: estimated within a line, else that of the line or the element.';

-- 3. Tables that read themselves. Their state lives in the schema dsocr. Sources and results are named as text and
-- looked up when they are needed, so that a restore may bring them later and pg_upgrade finds nothing to refuse. All are
-- heaps, whatever default_table_access_method says: src/pg/state_rows.c looks into them page by page.

CREATE SCHEMA dsocr;
COMMENT ON SCHEMA dsocr IS 'State of dsocr: what is watched, what is waiting, and views of it. Functions are where the extension was installed.';

-- A dump has roles by name, and where it is restored a role may not be there. Called immutable so that a generated column
-- may be made of it: asked when a row is written, which keeps the answer whatever the role is called later.
CREATE FUNCTION dsocr.role_named(name text) RETURNS regrole
LANGUAGE sql IMMUTABLE STRICT AS 'SELECT pg_catalog.to_regrole(pg_catalog.quote_ident(name))';
COMMENT ON FUNCTION dsocr.role_named(text) IS 'A role, or NULL: there is none of that name.';

CREATE TABLE dsocr.watch (
    id              int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    source_schema   text NOT NULL,
    source_table    text NOT NULL,
    doc_column      text NOT NULL,
    key_columns     text[] NOT NULL,
    result_schema   text NOT NULL,
    result_table    text NOT NULL,
    result_columns  text[] NOT NULL,   -- what the key columns are called there
    mode            text,
    options         jsonb NOT NULL DEFAULT '{}',
    filter          text,
    ts_config       text NOT NULL,
    store_result    bool NOT NULL,
    priority        int NOT NULL,
    on_delete       text NOT NULL CHECK (on_delete IN ('cascade', 'keep')),
    attached_by_name text,             -- what is dumped of the next, and follows when the role is renamed
    attached_by     regrole GENERATED ALWAYS AS (dsocr.role_named(attached_by_name)) STORED,
    paused          bool NOT NULL DEFAULT false,
    backfill        bool NOT NULL,     -- existing rows are still being asked for
    backfill_after  text[],            -- the last key that was
    problem         text,              -- why it is not served
    created_at      timestamptz NOT NULL DEFAULT now()
) USING heap;
COMMENT ON TABLE dsocr.watch IS 'Tables that read themselves; dsocr.watches shows those that one may see.';
SELECT pg_catalog.pg_extension_config_dump('dsocr.watch', '');
COMMENT ON SEQUENCE dsocr.watch_id_seq IS 'Numbers of watches.';
SELECT pg_catalog.pg_extension_config_dump('dsocr.watch_id_seq', '');

-- A job is a watch and a key, and nothing of the document. The newest id of a key is its generation.
CREATE TABLE dsocr.job (
    id              bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    watch           int NOT NULL,      -- 0: dsocr.inbox. No foreign key: a job's insert locks nothing
    key             text[] NOT NULL,
    state           text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'claimed', 'dead', 'gone')),
    becomes         text[],            -- gone: the row has this key now; NULL: it was deleted, or, key {}, all were by TRUNCATE; {}: those of a partition
    force           bool NOT NULL DEFAULT false,   -- also when document, model and options are those of the result
    suspect         bool NOT NULL DEFAULT false,   -- it was being read when an engine died: it is read alone
    long            bool NOT NULL DEFAULT false,   -- known for many pages or bytes: it waits for one of the few places of such
    attempts        int NOT NULL DEFAULT 0,
    crashes         int NOT NULL DEFAULT 0,        -- of the engine, while it read nothing else
    pages           int,                           -- of the document, once the engine has said it
    token           bigint,                        -- of the claim; an answer to an older one is not stored
    not_before      timestamptz,
    error_code      text,
    error_message   text,
    error_detail    text,                          -- this and the next: of what was given up
    error_hint      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    claimed_at      timestamptz,
    failed_at       timestamptz
) USING heap;
CREATE INDEX job_queued ON dsocr.job (watch, long, id) WHERE state = 'queued';
CREATE INDEX job_claimed ON dsocr.job (token) WHERE state = 'claimed';
CREATE INDEX job_suspect ON dsocr.job (id) WHERE suspect AND state = 'queued';
CREATE INDEX job_key ON dsocr.job (watch, key);
CREATE INDEX job_gone ON dsocr.job (id) WHERE state = 'gone';
CREATE INDEX job_becomes ON dsocr.job (watch, becomes) WHERE becomes IS NOT NULL;
COMMENT ON TABLE dsocr.job IS 'Documents that wait for being read, are being read, or were given up, and rows that are gone, whose results follow; dsocr.jobs shows those that one may see.';
SELECT pg_catalog.pg_extension_config_dump('dsocr.job', '');
COMMENT ON SEQUENCE dsocr.job_id_seq IS 'Numbers of jobs, and so the generations of keys.';
SELECT pg_catalog.pg_extension_config_dump('dsocr.job_id_seq', '');

-- A page is kept here until the rest of its document is read, whatever dies meanwhile. Results get all of it at once.
CREATE TABLE dsocr.page (
    watch           int NOT NULL,
    key             text[] NOT NULL,
    page            int NOT NULL,
    sha256          text NOT NULL,     -- of the document
    request         text NOT NULL,     -- mode and options, as one word
    model           text NOT NULL,
    page_count      int NOT NULL,      -- of the document
    part            jsonb NOT NULL,    -- a result with this page alone
    read_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (watch, key, page)
) USING heap;
COMMENT ON TABLE dsocr.page IS 'Pages that are read, of documents that are not yet read to their end; dsocr.jobs counts them.';
SELECT pg_catalog.pg_extension_config_dump('dsocr.page', '');

CREATE TABLE dsocr.inbox (
    job             bigint PRIMARY KEY,
    role_name       text NOT NULL,     -- as in dsocr.watch
    role            regrole GENERATED ALWAYS AS (dsocr.role_named(role_name)) STORED,
    doc             bytea,             -- NULL once it is read
    mode            text NOT NULL,
    pages           text NOT NULL,
    options         jsonb NOT NULL,
    result          jsonb,
    error           jsonb,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz
) USING heap;
ALTER TABLE dsocr.inbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON dsocr.inbox USING (pg_catalog.pg_has_role(role, 'USAGE'));
COMMENT ON TABLE dsocr.inbox IS 'Documents given to dsocr_submit, and their results until dsocr.job_retention has passed.';
SELECT pg_catalog.pg_extension_config_dump('dsocr.inbox', '');

CREATE TABLE dsocr.tally (
    watch           int NOT NULL,
    model           text NOT NULL,
    documents       bigint NOT NULL,
    pages           bigint NOT NULL,
    failed_pages    bigint NOT NULL,
    blank_pages     bigint NOT NULL,
    looped_pages    bigint NOT NULL,
    tokens          bigint NOT NULL,
    ms              bigint NOT NULL,
    retries         bigint NOT NULL,
    decode_ms       bigint NOT NULL,
    encode_ms       bigint NOT NULL,
    generate_ms     bigint NOT NULL,
    fill            double precision NOT NULL,   -- of the engine's slots, summed over pages
    recent_pages    double precision NOT NULL,   -- since recent_since; fades by half in 42 s
    recent_since    timestamptz NOT NULL DEFAULT now(),   -- when reading began after a minute without
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    PRIMARY KEY (watch, model)
) USING heap;
COMMENT ON TABLE dsocr.tally IS 'What was read for each watch (0: dsocr_submit) by each model, since the watch was attached.';
SELECT pg_catalog.pg_extension_config_dump('dsocr.tally', '');

-- Not dumped: numbers of this database's tables and files. So a watch that was restored is new to the queue.
CREATE TABLE dsocr.served (
    watch           int NOT NULL,
    part            oid NOT NULL,      -- the table, or a partition
    filenode        oid NOT NULL,      -- of the partition; another: it was emptied, or rewritten. 0: the table
    PRIMARY KEY (watch, part)
) USING heap;
COMMENT ON TABLE dsocr.served IS 'Watched tables, and their partitions, as the queue has last seen them, also those that were detached since: results of one that is emptied or dropped go.';

CREATE FUNCTION dsocr.enqueue() RETURNS trigger AS 'MODULE_PATHNAME', 'dsocr_enqueue' LANGUAGE C;
COMMENT ON FUNCTION dsocr.enqueue() IS 'Triggers of watched tables, made by dsocr_attach: one more row in dsocr.job.';

CREATE FUNCTION dsocr.filter_columns(source regclass, filter text) RETURNS text[]
AS 'MODULE_PATHNAME', 'dsocr_filter_columns' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr.filter_columns(regclass, text) IS 'The columns that a condition on rows of a table looks at; an error if it is none.';

CREATE FUNCTION dsocr.add_watch(source regclass, doc_column text, key_columns text[], result_columns text[], result_table text, mode text,
    options jsonb, filter text, ts_config text, store_result bool, priority int, on_delete text, backfill bool) RETURNS int
AS 'MODULE_PATHNAME', 'dsocr_add_watch' LANGUAGE C;
COMMENT ON FUNCTION dsocr.add_watch(regclass, text, text[], text[], text, text, jsonb, text, text, bool, int, text, bool) IS
'Part of dsocr_attach.';

CREATE FUNCTION dsocr.remove_watch(watch int) RETURNS void AS 'MODULE_PATHNAME', 'dsocr_remove_watch' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr.remove_watch(int) IS 'Part of dsocr_detach.';

CREATE FUNCTION dsocr.add_job(watch int, key text[]) RETURNS void AS 'MODULE_PATHNAME', 'dsocr_add_job' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr.add_job(int, text[]) IS 'Asks for one row of a watch to be read again, even if nothing has changed.';

CREATE FUNCTION dsocr.add_missing(watch int) RETURNS bigint AS 'MODULE_PATHNAME', 'dsocr_add_missing' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr.add_missing(int) IS 'Part of dsocr_reprocess: asks for the rows of a watch that have no result. Gives how many.';

CREATE FUNCTION dsocr.lock_results(watch int, key text[]) RETURNS void AS 'MODULE_PATHNAME', 'dsocr_lock_results' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr.lock_results(int, text[]) IS 'Part of dsocr_correct: takes a row and its results before the queue does.';

CREATE FUNCTION dsocr.current_model() RETURNS text AS 'MODULE_PATHNAME', 'dsocr_current_model' LANGUAGE C STABLE;
COMMENT ON FUNCTION dsocr.current_model() IS 'The model that is loaded; NULL: none.';

-- The key of a table that rows can be found by: its primary key, or a unique index over columns that are never NULL.
CREATE FUNCTION dsocr.key_columns(source regclass) RETURNS text[]
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT array_agg(a.attname::text ORDER BY k.n)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            WHERE k.n <= i.indnkeyatts)
    FROM pg_index i
    WHERE i.indrelid = source AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
                      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                      WHERE k.n <= i.indnkeyatts AND NOT a.attnotnull)
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1
$$;
COMMENT ON FUNCTION dsocr.key_columns(regclass) IS 'The columns by which rows of a table can be found again; NULL: there are none.';

-- A table of results that is there already, of a watch that was detached or of a database that was restored.
CREATE FUNCTION dsocr.require_results(results regclass, source regclass, keys text[], their text[], config text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong text;
    hint constant text := 'Name another result_table, or rename or drop that one.';
BEGIN
    IF (SELECT r.relkind <> 'r' OR r.relowner <> s.relowner FROM pg_class r, pg_class s WHERE r.oid = results AND s.oid = source) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format('%s exists already', results),
            DETAIL = format('It is no table of the owner of %s.', source), HINT = hint;
    END IF;
    SELECT string_agg(format('%s %s', w.name, w.type), ', ' ORDER BY w.n) INTO wrong FROM (
        SELECT r AS name, format_type(a.atttypid, a.atttypmod) AS type, n FROM unnest(keys, their) WITH ORDINALITY u(k, r, n)
        JOIN pg_attribute a ON a.attrelid = source AND a.attname = u.k AND a.attnum > 0
        UNION ALL SELECT name, type, 100 + n FROM unnest(
            '{page,version,current,status,search_text,tsv,result,confidence,model,sha256,corrected_by,corrected_at,created_at}'::text[],
            '{integer,integer,boolean,text,text,tsvector,jsonb,real,text,text,text,timestamp with time zone,timestamp with time zone}'::text[])
            WITH ORDINALITY v(name, type, n)) w
    WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = results AND a.attname = w.name AND a.attnum > 0
                      AND format_type(a.atttypid, a.atttypmod) = w.type);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format('%s exists already, and is no table of results', results),
            DETAIL = format('It lacks: %s.', wrong), HINT = hint;
    ELSIF NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = results AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                      AND ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = results AND a.attnum = ANY (i.indkey::int2[]) ORDER BY 1)
                          = ARRAY(SELECT x FROM unnest(their || '{page,version}'::text[]) x ORDER BY 1)) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format('%s exists already, without its key', results),
            HINT = format('ALTER TABLE %s ADD PRIMARY KEY (%s, page, version);', results, array_to_string(their, ', '));
    END IF;
    SELECT pg_get_expr(d.adbin, d.adrelid) INTO wrong FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = results AND a.attname = 'tsv' AND a.attgenerated = 's';
    IF wrong IS DISTINCT FROM format('to_tsvector(%L::regconfig, COALESCE(search_text, %L::text))', config::regconfig, '') THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format('%s exists already, and is searched otherwise', results),
            DETAIL = format('tsv is %s there.', COALESCE(wrong, 'not generated')),
            HINT = COALESCE(format('ts_config => %L attaches to it.', substring(wrong FROM '^to_tsvector\(''(.*)''::regconfig')), hint);
    ELSIF EXISTS (SELECT FROM dsocr.watches w WHERE w.results = require_results.results) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format('%s has the results of another watch', results), HINT = hint;
    END IF;
END $$;
COMMENT ON FUNCTION dsocr.require_results(regclass, regclass, text[], text[], text) IS 'Part of dsocr_attach: an error unless a table can take its results.';

CREATE FUNCTION dsocr_attach(source regclass, doc_column name, mode text DEFAULT NULL, options jsonb DEFAULT '{}',
    filter text DEFAULT NULL, result_table name DEFAULT NULL, ts_config regconfig DEFAULT 'pg_catalog.simple',
    store_result bool DEFAULT true, backfill bool DEFAULT true, priority int DEFAULT 0, on_delete text DEFAULT 'cascade') RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET dsocr.timeout = '3s'
AS $$
#variable_conflict use_variable
DECLARE
    taken constant text[] := ARRAY['page', 'version', 'current', 'status', 'search_text', 'tsv', 'result', 'confidence', 'model',
                                   'sha256', 'corrected_by', 'corrected_at', 'created_at'];
    c pg_class;
    home text;
    config text;
    keys text[];
    their text[];
    columns text;
    target text;
    type oid;
    watch int;
    arguments text;
    old regclass;
    orphans bool;
BEGIN
    SELECT * INTO c FROM pg_class WHERE oid = source;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = 'there is no such table';
    END IF;
    home := c.relnamespace::regnamespace::text;
    IF c.relkind NOT IN ('r', 'p') OR c.relpersistence = 't' THEN
        RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
            MESSAGE = format('%s is not a table that can be watched', source),
            DETAIL = CASE WHEN c.relpersistence = 't' THEN 'It is temporary.' WHEN c.relkind = 'v' THEN 'It is a view.' WHEN c.relkind = 'm' THEN 'It is a materialized view.'
                     ELSE 'It is neither a table nor a partitioned table.' END,
            HINT = 'Attach the table that holds the scans.';
    END IF;
    IF NOT pg_has_role(c.relowner, 'USAGE') THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = format('must be owner of table %s', source),
            DETAIL = format('It belongs to %s, as whom results are stored.', c.relowner::regrole);
    END IF;
    IF c.relrowsecurity AND c.relforcerowsecurity AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = c.relowner AND (r.rolsuper OR r.rolbypassrls)) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the owner of %s is subject to row-level security on it', source),
            DETAIL = format('It is read as %s, and rows that a policy hides would be taken for deleted.', c.relowner::regrole),
            HINT = format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY leaves policies for all other roles as they are; or give the owner BYPASSRLS.', source);
    END IF;
    IF doc_column IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'doc_column must not be NULL';
    END IF;
    SELECT a.atttypid INTO type FROM pg_attribute a
    WHERE a.attrelid = source AND a.attname = doc_column AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column',
            MESSAGE = format('column "%s" of %s does not exist', doc_column, source);
    END IF;
    IF type <> 'bytea'::regtype
       AND NOT EXISTS (SELECT FROM pg_type t WHERE t.oid = type AND t.typtype = 'd' AND t.typbasetype = 'bytea'::regtype) THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column "%s" of %s has type %s', doc_column, source, format_type(type, NULL)),
            HINT = CASE WHEN type = 'oid'::regtype THEN 'Scans are bytea. Large objects can be copied: UPDATE ... SET scan = lo_get(oid).' ELSE 'Scans are bytea.' END;
    END IF;
    keys := dsocr.key_columns(source);
    IF keys IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s has no key', source),
            DETAIL = 'Results are stored by the key of the row they belong to.',
            HINT = 'Add a primary key, or a unique index over columns that are NOT NULL.';
    END IF;
    IF doc_column = ANY (keys) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('column "%s" is part of the key of %s', doc_column, source),
            HINT = 'Results are stored by the key: add a primary key without the scan.';
    END IF;
    IF on_delete IS NULL OR on_delete NOT IN ('cascade', 'keep') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('on_delete "%s" does not exist', on_delete), HINT = 'It is ''cascade'' or ''keep''.';
    END IF;
    IF mode NOT IN ('layout', 'text') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('mode "%s" does not exist', mode), HINT = 'It is ''layout'' or ''text''.';
    END IF;
    IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'options must be a JSON object';
    END IF;
    -- What options there are the engine knows; it says so before it looks at the document. One that is not up is not waited for.
    IF options <> '{}' THEN
        BEGIN
            EXECUTE format('SELECT %s.dsocr_extract(''no document'', $1, ''all'', $2)',
                (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'dsocr')) USING mode, options;
        EXCEPTION
            WHEN invalid_parameter_value OR feature_not_supported THEN RAISE;
            WHEN OTHERS THEN NULL;
        END;
    END IF;
    IF ts_config IS NULL OR store_result IS NULL OR backfill IS NULL OR priority IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'ts_config, store_result, backfill and priority must not be NULL';
    END IF;
    SELECT format('%I.%I', n.nspname, t.cfgname) INTO config
    FROM pg_ts_config t JOIN pg_namespace n ON n.oid = t.cfgnamespace WHERE t.oid = ts_config;

    SELECT array_agg(CASE WHEN k = ANY (taken) THEN 'key_' || k ELSE k END ORDER BY n) INTO their
    FROM unnest(keys) WITH ORDINALITY u(k, n);
    IF result_table IS NULL THEN
        -- Cut like the server cuts such names, at whole characters.
        result_table := left(c.relname::text, greatest(1, 59 - octet_length(left(doc_column::text, 24)))
                             * char_length(c.relname) / octet_length(c.relname))
                        || '_' || left(doc_column::text, 24) || '_ocr';
    END IF;
    target := format('%s.%I', home, result_table);
    old := to_regclass(target);
    IF old IS NOT NULL AND NOT EXISTS (SELECT FROM dsocr.watches v WHERE v.source = source AND v.doc_column = doc_column) THEN
        PERFORM dsocr.require_results(old, source, keys, their, config);
    END IF;
    arguments := (SELECT string_agg(', ' || quote_literal(f), '') FROM unnest(dsocr.filter_columns(source, filter)) f);
    watch := dsocr.add_watch(source, doc_column, keys, their, result_table, mode, options, filter, config, store_result,
                             priority, on_delete, backfill);

    SELECT string_agg(format('%I %s%s NOT NULL', r, format_type(a.atttypid, a.atttypmod),
               CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0
                    THEN (SELECT format(' COLLATE %I.%I', cn.nspname, co.collname) FROM pg_collation co
                          JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) ELSE '' END), ', ' ORDER BY n)
    INTO columns
    FROM unnest(keys, their) WITH ORDINALITY u(k, r, n)
    JOIN pg_attribute a ON a.attrelid = source AND a.attname = u.k AND a.attnum > 0
    JOIN pg_type t ON t.oid = a.atttypid;
    IF old IS NOT NULL THEN
        IF on_delete = 'cascade' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s r WHERE NOT EXISTS (SELECT FROM %s s WHERE %s))', target, source,
                (SELECT string_agg(format('s.%I = r.%I', k, r), ' AND ' ORDER BY n) FROM unnest(keys, their) WITH ORDINALITY u(k, r, n)))
            INTO orphans;
            IF orphans THEN
                RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', MESSAGE = format('%s has results of rows that are not in %s', target, source),
                    HINT = 'Delete them, or keep them with on_delete => ''keep''.';
            END IF;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
                       JOIN pg_attribute a ON a.attrelid = old AND a.attname = 'tsv' AND i.indkey[0] = a.attnum
                       WHERE i.indrelid = old AND m.amname = 'gin') THEN
            EXECUTE format('CREATE INDEX ON %s USING gin (tsv) WHERE current', target);
        END IF;
        RAISE NOTICE USING MESSAGE = format('%s is there already: what it holds is kept', target),
            DETAIL = 'Documents that have not changed since are not read again.';
    ELSE
        EXECUTE format($t$CREATE %s TABLE %s (%s, page int NOT NULL, version int NOT NULL, current bool NOT NULL DEFAULT true,
                status text NOT NULL, search_text text, tsv tsvector GENERATED ALWAYS AS (to_tsvector(%L::regconfig, coalesce(search_text, ''))) STORED,
                result jsonb, confidence real, model text, sha256 text, corrected_by text, corrected_at timestamptz,
                created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (%s, page, version))$t$,
            CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE '' END, target, columns, config,
            (SELECT string_agg(quote_ident(r), ', ' ORDER BY n) FROM unnest(their) WITH ORDINALITY u(r, n)));
        EXECUTE format('CREATE INDEX ON %s USING gin (tsv) WHERE current', target);
        EXECUTE format('COMMENT ON TABLE %s IS %L', target, format('What dsocr has read in column %s of %s: a row per page and version. '
            || 'Page 0 stands for a document that could not be opened.', quote_ident(doc_column), source));
        EXECUTE (SELECT string_agg(format('COMMENT ON COLUMN %s.%I IS %L', target, k, v), '; ') FROM (VALUES
            ('version', 'Counts readings and corrections of the page.'), ('current', 'The version that is searched; the others are history.'),
            ('status', 'ok, blank, truncated, repetition or error.'), ('search_text', 'What is searched: the text without markup, divided words whole.'),
            ('result', 'The page as dsocr_elements, dsocr_lines and dsocr_page_html take it.'), ('confidence', 'From 0 to 1.'),
            ('sha256', 'Of the document that was read.'), ('corrected_by', 'Who has corrected it; NULL: it is as it was read.')) c(k, v));
        EXECUTE format('ALTER TABLE %s OWNER TO %s', target, c.relowner::regrole);
    END IF;

    EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE %s ON %s FOR EACH ROW EXECUTE FUNCTION dsocr.enqueue(%s, %L, %s%s%s)',
        'dsocr_watch_' || watch, CASE on_delete WHEN 'cascade' THEN 'OR DELETE' ELSE '' END, source, quote_literal(watch), doc_column,
        quote_literal(cardinality(keys)), (SELECT string_agg(', ' || quote_literal(k), '' ORDER BY n) FROM unnest(keys) WITH ORDINALITY u(k, n)),
        coalesce(arguments, ''));
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', source, 'dsocr_watch_' || watch);
    IF on_delete = 'cascade' THEN
        EXECUTE format('CREATE TRIGGER %I AFTER TRUNCATE ON %s EXECUTE FUNCTION dsocr.enqueue(%s)', 'dsocr_truncate_' || watch, source, quote_literal(watch));
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', source, 'dsocr_truncate_' || watch);
    END IF;
    RETURN watch;
END $$;
COMMENT ON FUNCTION dsocr_attach(regclass, name, text, jsonb, text, name, regconfig, bool, bool, int, text) IS
'Has every scan in a column read in the background, from now on and (backfill) those already there. Results go to result_table, a row per page. filter: which rows, as a condition on their columns; ts_config: the language that is searched in; store_result false: texts alone, without boxes; priority: the highest watch is read first. on_delete: cascade, results go with their row, by the queue, after its commit; or keep. Gives the number of the watch.';

CREATE FUNCTION dsocr_detach(watch int, drop_results bool DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    w dsocr.watches;
BEGIN
    SELECT * INTO w FROM dsocr.watches s WHERE s.watch = dsocr_detach.watch;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('watch %s does not exist', COALESCE(watch::text, 'NULL')),
            HINT = 'dsocr.watches lists them.';
    END IF;
    IF w.source IS NOT NULL THEN
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', 'dsocr_watch_' || watch, w.source);
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', 'dsocr_truncate_' || watch, w.source);
    END IF;
    PERFORM dsocr.remove_watch(watch);
    IF drop_results THEN
        EXECUTE format('DROP TABLE IF EXISTS %I.%I', w.result_schema, w.result_table);
    END IF;
END $$;
COMMENT ON FUNCTION dsocr_detach(int, bool) IS
'Ends a watch: its trigger and its jobs go. The table of results stays, unless drop_results.';

CREATE FUNCTION dsocr_pause(watch int) RETURNS void AS 'MODULE_PATHNAME', 'dsocr_pause' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr_pause(int) IS 'Nothing of this watch is read until dsocr_resume; changes are noted all the same.';

CREATE FUNCTION dsocr_resume(watch int) RETURNS void AS 'MODULE_PATHNAME', 'dsocr_resume' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr_resume(int) IS 'Ends dsocr_pause.';

CREATE FUNCTION dsocr_retry(watch int DEFAULT NULL, error_code text DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'dsocr_retry' LANGUAGE C;
COMMENT ON FUNCTION dsocr_retry(int, text) IS
'Queues jobs again that were given up: of one watch or of all of one''s own, with one error_code or any. Gives how many.';

CREATE FUNCTION dsocr_wait(watch int DEFAULT NULL, timeout interval DEFAULT '1h') RETURNS bigint
AS 'MODULE_PATHNAME', 'dsocr_wait' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dsocr_wait(int, interval) IS
'Waits until nothing is queued or being read, for one watch or all that one may see. Gives how many jobs still are: 0, or more if the timeout passed. The statement holds its snapshot meanwhile.';

CREATE FUNCTION dsocr_reprocess(watch int, reason text DEFAULT 'model') RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC'
SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
#variable_conflict use_variable
DECLARE
    w dsocr.watches;
    target text;
    which text;
    k text[];
    n bigint := 0;
BEGIN
    SELECT * INTO w FROM dsocr.watches s WHERE s.watch = dsocr_reprocess.watch;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('watch %s does not exist', COALESCE(watch::text, 'NULL')),
            HINT = 'dsocr.watches lists them.';
    END IF;
    target := format('%I.%I', w.result_schema, w.result_table);
    IF reason = 'model' THEN
        IF dsocr.current_model() IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'no model is loaded',
                HINT = 'dsocr_status() says why.';
        END IF;
        which := format('r.current AND r.corrected_by IS NULL AND r.model IS DISTINCT FROM %L', dsocr.current_model());
    ELSIF reason = 'failed' THEN
        which := 'r.current AND r.corrected_by IS NULL AND r.status NOT IN (''ok'', ''blank'')';
    ELSIF reason = 'doubtful' THEN
        which := format('r.current AND r.corrected_by IS NULL AND r.confidence < %L', current_setting('dsocr.review_confidence'));
    ELSIF reason = 'missing' THEN
        RETURN dsocr.add_missing(watch);
    ELSE
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('reason "%s" does not exist', COALESCE(reason, 'NULL')),
            HINT = 'It is ''model'' (read by another model), ''failed'' (a page that is not well read), ''doubtful'' (one with less than dsocr.review_confidence) or ''missing'' (no result).';
    END IF;
    FOR k IN EXECUTE format('SELECT DISTINCT ARRAY[%s] FROM %s r WHERE %s',
        (SELECT string_agg(format('format(''%%s'', r.%I)', c), ', ' ORDER BY o) FROM unnest(w.result_columns) WITH ORDINALITY u(c, o)), target, which)
    LOOP
        PERFORM dsocr.add_job(watch, k);
        n := n + 1;
    END LOOP;
    RETURN n;
END $$;
COMMENT ON FUNCTION dsocr_reprocess(int, text) IS
'Has documents read again: those read by another model than the one loaded (model), with a page that failed (failed) or has less than dsocr.review_confidence (doubtful), or without a result though the filter wants them (missing). Corrected pages stay. Gives how many.';

-- 4. Jobs without a table.

CREATE FUNCTION dsocr_submit(doc bytea, mode text DEFAULT NULL, pages text DEFAULT 'all', options jsonb DEFAULT '{}') RETURNS bigint
AS 'MODULE_PATHNAME', 'dsocr_submit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dsocr_submit(bytea, text, text, jsonb) IS
'Has a document read in the background, after commit. Gives a job for dsocr_result; NOTIFY dsocr says its number when it is done.';

CREATE FUNCTION dsocr_result(job bigint, wait interval DEFAULT '0') RETURNS jsonb
AS 'MODULE_PATHNAME', 'dsocr_result' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION dsocr_result(bigint, interval) IS
'The result of a submitted job of one''s own; NULL: it is not done yet, after waiting that long. An error if it could not be read.';

CREATE FUNCTION dsocr_cancel(job bigint) RETURNS bool
AS 'MODULE_PATHNAME', 'dsocr_cancel' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION dsocr_cancel(bigint) IS 'Withdraws a job of dsocr.jobs, also while it is read: one''s own submitted one, or one of a table of one''s own. False: there is none, or it is done.';

-- 5. Views: what one may see is what belongs to sources that one may SELECT, and to one's own submitted jobs. The
-- conditions run as the caller.

CREATE VIEW dsocr.watches WITH (security_barrier) AS
    SELECT w.id AS watch, s.oid::regclass AS source, r.oid::regclass AS results, w.source_schema, w.source_table, w.doc_column, w.key_columns,
           w.result_schema, w.result_table, w.result_columns, w.mode, w.options, w.filter, w.ts_config, w.store_result, w.priority,
           w.on_delete, w.paused, w.backfill, w.problem, w.created_at
    FROM dsocr.watch w
    LEFT JOIN LATERAL (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname = w.source_schema AND c.relname = w.source_table) s ON true
    LEFT JOIN LATERAL (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname = w.result_schema AND c.relname = w.result_table) r ON true
    WHERE CASE WHEN s.oid IS NULL
               THEN COALESCE(pg_catalog.pg_has_role(w.attached_by, 'USAGE'), (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER))
               ELSE pg_catalog.has_table_privilege(s.oid, 'SELECT') END;
COMMENT ON VIEW dsocr.watches IS 'Tables that read themselves. problem: why a watch is not served at present.';

CREATE VIEW dsocr.seen_job WITH (security_barrier) AS
    SELECT j.id AS job, j.watch, w.source_schema, w.source_table, CASE WHEN j.watch <> 0 THEN COALESCE((
               SELECT jsonb_object_agg(k.name, CASE WHEN t.base = ANY ('{int2,int4,int8,float4,float8,numeric}'::regtype[])
                          AND k.value ~ '^-?[0-9]+([.][0-9]+)?(e[-+]?[0-9]+)?$' THEN to_jsonb(k.value::numeric)
                      WHEN t.base = 'bool'::regtype AND k.value IN ('t', 'f') THEN to_jsonb(k.value = 't') ELSE to_jsonb(k.value) END)
               FROM ROWS FROM (unnest(w.key_columns), unnest(j.key)) k(name, value)
               LEFT JOIN LATERAL (SELECT CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END AS base
                                  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
                                  WHERE a.attrelid = w.source AND a.attname = k.name) t ON true
               WHERE k.name IS NOT NULL), '{}') END AS key,
           j.key AS texts, j.state, j.pages, j.attempts, j.crashes, j.suspect, j.not_before, j.created_at, j.claimed_at, j.failed_at, j.error_code, j.error_message,
           j.error_detail, j.error_hint
    FROM dsocr.job j LEFT JOIN dsocr.watches w ON w.watch = j.watch LEFT JOIN dsocr.inbox i ON j.watch = 0 AND i.job = j.id
    WHERE w.watch IS NOT NULL OR pg_catalog.pg_has_role(i.role, 'USAGE');
COMMENT ON VIEW dsocr.seen_job IS 'Part of dsocr.jobs and dsocr.failed_items. key: as dsocr_search shows it and dsocr_correct takes it.';

CREATE VIEW dsocr.jobs WITH (security_barrier) AS
    SELECT j.job, j.watch, j.source_schema, j.source_table, j.key, j.state, p.done AS pages_done, COALESCE(p.count, j.pages) AS pages,
           CASE j.state WHEN 'claimed' THEN greatest(j.claimed_at, p.last) END AS page_since, j.attempts, j.suspect, j.not_before, j.created_at, j.claimed_at,
           j.error_code, j.error_message
    FROM dsocr.seen_job j
    CROSS JOIN LATERAL (SELECT count(*)::int AS done, max(p.page_count) AS count, max(p.read_at) AS last
                        FROM dsocr.page p WHERE p.watch = j.watch AND p.key = j.texts) p
    WHERE j.state <> 'dead';
COMMENT ON VIEW dsocr.jobs IS 'What is queued, what is being read (claimed), and rows that were deleted or have another key, and whose results have not followed yet (gone); watch 0: dsocr_submit, which has no key; key {}: all rows, or those of a partition. pages_done of pages are read and kept; page_since: when the last of them was, so how long the next one has taken. error_message: why the last attempt came to nothing. dsocr_cancel withdraws a job.';

CREATE VIEW dsocr.failed_items WITH (security_barrier) AS
    SELECT j.job, j.watch, j.source_schema, j.source_table, j.key, j.error_code, j.error_message, j.error_detail, j.error_hint, j.attempts, j.crashes,
           j.created_at, j.failed_at
    FROM dsocr.seen_job j WHERE j.state = 'dead';
COMMENT ON VIEW dsocr.failed_items IS 'Documents that were given up, why, and what helps; dsocr_retry queues them again. attempts: those that came to nothing and were followed by another; a document that is at fault itself has none, since it is given up at once. watch 0: dsocr_submit, which has no key.';

CREATE VIEW dsocr.stats WITH (security_barrier) AS
    SELECT t.watch, t.model, t.documents, t.pages, t.failed_pages, t.blank_pages, t.looped_pages, t.retries, t.tokens, t.ms AS engine_ms,
           t.decode_ms, t.encode_ms, t.generate_ms, (t.fill / nullif(t.pages, 0))::real AS batch_fill,
           (t.recent_pages * exp(-least(600, extract(epoch FROM clock_timestamp() - t.last_at)) / 60)
               / (60 * (1 - exp(-greatest(1, least(600, extract(epoch FROM clock_timestamp() - t.recent_since))) / 60))))::real AS pages_per_second,
           t.first_at, t.last_at
    FROM dsocr.tally t LEFT JOIN dsocr.watches w ON w.watch = t.watch
    WHERE w.watch IS NOT NULL OR t.watch = 0;
COMMENT ON VIEW dsocr.stats IS 'What the queue has read, by watch (0: dsocr_submit) and model. looped: stopped for repetition or cut short; retries: further attempts at pages that looped; engine_ms: from a document''s beginning to its end, others read beside it included, and decode_, encode_ and generate_ms: of its pages, by stage; pages_per_second: of the last minute, or since reading began when that is less; batch_fill: the share of the engine''s slots that was in use, on average, when a page came.';

CREATE VIEW dsocr.coverage WITH (security_barrier) AS
    SELECT w.watch, w.source_schema, w.source_table, w.doc_column, COALESCE(t.documents, 0) AS done, q.pending, q.failed, h.half_read, w.backfill,
           q.oldest_pending, t.pages_per_second, CASE WHEN t.documents_per_second > 0.001
               THEN pg_catalog.make_interval(secs => q.pending / t.documents_per_second) END AS time_left, t.pages_by_model, w.problem
    FROM dsocr.watches w
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE j.state <> 'dead') AS pending, count(*) FILTER (WHERE j.state = 'dead') AS failed,
               min(j.created_at) FILTER (WHERE j.state <> 'dead') AS oldest_pending
        FROM dsocr.job j WHERE j.watch = w.watch) q
    CROSS JOIN LATERAL (SELECT count(*) AS half_read FROM (SELECT FROM dsocr.page p WHERE p.watch = w.watch GROUP BY p.key) p) h
    CROSS JOIN LATERAL (
        SELECT sum(t.documents)::bigint AS documents, sum(t.pages_per_second) AS pages_per_second,
               (sum(t.pages_per_second * t.documents / greatest(t.pages, 1)))::real AS documents_per_second,
               jsonb_object_agg(t.model, t.pages) FILTER (WHERE t.model IS NOT NULL) AS pages_by_model
        FROM dsocr.stats t
        WHERE t.watch = w.watch) t;
COMMENT ON VIEW dsocr.coverage IS 'How far each watch has come: documents read, waiting and given up, pages per second in the last minute (or since reading began when that is less), time left. half_read: those waiting of which some pages are read; their results come when all are.';

CREATE FUNCTION dsocr.list_review() RETURNS TABLE (watch int, key jsonb, page int, version int, status text, confidence real, search_text text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w dsocr.watches;
BEGIN
    FOR w IN SELECT * FROM dsocr.watches s ORDER BY s.watch LOOP
        CONTINUE WHEN w.results IS NULL OR NOT has_table_privilege(w.results, 'SELECT');
        RETURN QUERY EXECUTE format('SELECT %s, jsonb_build_object(%s), r.page, r.version, r.status, r.confidence, r.search_text FROM %s r
            WHERE r.current AND r.corrected_by IS NULL AND (r.status NOT IN (''ok'', ''blank'') OR r.confidence < %L)', w.watch,
            (SELECT string_agg(format('%L, r.%I', k, r), ', ' ORDER BY n) FROM unnest(w.key_columns, w.result_columns) WITH ORDINALITY u(k, r, n)),
            w.results, current_setting('dsocr.review_confidence'));
    END LOOP;
END $$;
COMMENT ON FUNCTION dsocr.list_review() IS 'Rows of the view dsocr.review; reads results as the caller.';
CREATE VIEW dsocr.review AS
    SELECT * FROM dsocr.list_review() ORDER BY status NOT IN ('ok', 'blank') DESC, confidence NULLS FIRST, watch, page;
COMMENT ON VIEW dsocr.review IS 'Pages that somebody should look at, the most doubtful first: not read well, or with less than dsocr.review_confidence.';

CREATE VIEW dsocr.models AS
    SELECT m.model, m.model = dsocr.current_model() AS loaded, m.pages FROM (
        SELECT COALESCE(s.model, dsocr.current_model()) AS model, COALESCE(sum(s.pages), 0)::bigint AS pages
        FROM (SELECT 1) one LEFT JOIN dsocr.stats s ON true GROUP BY 1
        UNION SELECT dsocr.current_model(), 0 WHERE NOT EXISTS (SELECT FROM dsocr.stats s WHERE s.model = dsocr.current_model())) m
    WHERE m.model IS NOT NULL;
COMMENT ON VIEW dsocr.models IS 'The model that is loaded, and those that have read pages here.';

-- 6. Search.

-- Search over result tables. Everything runs as the caller: who may not read the results finds nothing out.

CREATE FUNCTION dsocr.search_support(internal) RETURNS internal AS 'MODULE_PATHNAME', 'dsocr_search_support' LANGUAGE C STRICT;
COMMENT ON FUNCTION dsocr.search_support(internal) IS 'Tells the planner what dsocr_search need not make.';

CREATE FUNCTION dsocr_search(watch int, query text, lim int DEFAULT 20, fuzzy real DEFAULT NULL, snippets bool DEFAULT true)
RETURNS TABLE(key jsonb, page int, rank real, snippet text, highlights jsonb)
AS 'MODULE_PATHNAME', 'dsocr_search_watch' LANGUAGE C STABLE COST 100 ROWS 20 SUPPORT dsocr.search_support;
COMMENT ON FUNCTION dsocr_search(int, text, int, real, bool) IS
'Searches what a watch has read, best first, with the hits as boxes on the page (highlights) and in [brackets] in a snippet. query: words, "phrases", or, -not. fuzzy (0.1 to 1; needs pg_trgm): words need only resemble, as reading errors do. What was read of rows that are gone is not shown, even if the queue has not yet deleted it. snippets: false leaves snippet and highlights NULL, which spares looking at the pages; a query that asks for neither column does so by itself.';

CREATE FUNCTION dsocr_search(source regclass, query text, lim int DEFAULT 20, fuzzy real DEFAULT NULL, snippets bool DEFAULT true)
RETURNS TABLE(key jsonb, page int, rank real, snippet text, highlights jsonb)
AS 'MODULE_PATHNAME', 'dsocr_search_source' LANGUAGE C STABLE COST 100 ROWS 20 SUPPORT dsocr.search_support;
COMMENT ON FUNCTION dsocr_search(regclass, text, int, real, bool) IS 'As dsocr_search(watch, ...), over all watches of a table.';

-- A quoted name is a table, and not a number.
CREATE FUNCTION dsocr_search(source text, query text, lim int DEFAULT 20, fuzzy real DEFAULT NULL, snippets bool DEFAULT true)
RETURNS TABLE(key jsonb, page int, rank real, snippet text, highlights jsonb)
AS 'MODULE_PATHNAME', 'dsocr_search_named' LANGUAGE C STABLE COST 100 ROWS 20 SUPPORT dsocr.search_support;
COMMENT ON FUNCTION dsocr_search(text, text, int, real, bool) IS 'As dsocr_search(watch, ...), over all watches of a table.';

REVOKE ALL ON FUNCTION dsocr_search(int, text, int, real, bool), dsocr_search(regclass, text, int, real, bool), dsocr_search(text, text, int, real, bool) FROM PUBLIC;

-- Pictures, made by the engine; no model is needed.

CREATE FUNCTION dsocr_page_image(doc bytea, page int DEFAULT 1, dpi int DEFAULT 144)
RETURNS bytea AS 'MODULE_PATHNAME', 'dsocr_page_image'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION dsocr_page_image(bytea, int, int) IS
'A page of a scan as an upright PNG. dpi NULL, or a scan that does not say its own: at the size it was scanned.';

CREATE FUNCTION dsocr_crop(doc bytea, page int, region box, rotation int DEFAULT 0)
RETURNS bytea AS 'MODULE_PATHNAME', 'dsocr_crop'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION dsocr_crop(bytea, int, box, int) IS
'A part of a page as a PNG: a box of dsocr_elements, dsocr_lines or dsocr_highlight. rotation: that of the page in the result, when it was turned to be read.';

CREATE FUNCTION dsocr_render_highlight(doc bytea, result jsonb, query tsquery, page int DEFAULT 1, config regconfig DEFAULT 'pg_catalog.simple')
RETURNS bytea AS 'MODULE_PATHNAME', 'dsocr_render_highlight'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION dsocr_render_highlight(bytea, jsonb, tsquery, int, regconfig) IS 'A page as a PNG with the hits of a query marked.';

CREATE FUNCTION dsocr_page_html(doc bytea, result jsonb, query tsquery DEFAULT NULL, config regconfig DEFAULT 'pg_catalog.simple')
RETURNS text AS 'MODULE_PATHNAME', 'dsocr_page_html'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION dsocr_page_html(bytea, jsonb, tsquery, regconfig) IS
'One self-contained HTML page: the scan, boxes over it, the text beside it, the hits of a query marked. It fetches nothing; n and p go from hit to hit, Enter from a box to its text and back.';

REVOKE ALL ON FUNCTION dsocr_page_image(bytea, int, int), dsocr_crop(bytea, int, box, int),
    dsocr_render_highlight(bytea, jsonb, tsquery, int, regconfig), dsocr_page_html(bytea, jsonb, tsquery, regconfig) FROM PUBLIC;

-- Correction by hand. The results' table says who may: it runs as the caller, who needs SELECT, INSERT and UPDATE there.

CREATE FUNCTION dsocr.lay_text(page jsonb, new_text text, element int)
RETURNS TABLE(element int, line int, text text, changed bool, in_table bool)
AS 'MODULE_PATHNAME', 'dsocr_lay_text' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION dsocr.lay_text(jsonb, text, int) IS
'A corrected text laid on the lines of a page, or of one element. line NULL: no line that was read; element below 0: nor an element; text NULL: an element stays as it is. in_table: line is a cell, or a line of text beside the table; NULL: a whole new table.';

CREATE FUNCTION dsocr.fill_table(html text, numbers int[], texts text[], OUT content text, OUT text text)
AS 'MODULE_PATHNAME', 'dsocr_fill_table' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION dsocr.fill_table(text, int[], text[]) IS
'HTML of a table with other text in some of the cells that dsocr.lay_text has numbered, and what it says: rows by line ends, cells by tabs.';

CREATE FUNCTION dsocr.corrected(page jsonb, new_text text, element int) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $f$
    WITH laid AS (
        SELECT l.*, CASE WHEN l.element > 0 THEN page->'elements'->(l.element - 1) END AS old,
               CASE WHEN l.element > 0 THEN l.element ELSE COALESCE(max(l.element) FILTER (WHERE l.element > 0 AND l.text IS NOT NULL) OVER (ORDER BY l.o), 0) END AS place
        FROM dsocr.lay_text($1, $2, $3) WITH ORDINALITY l(element, line, text, changed, in_table, o)),
    joined AS (
        SELECT l.element, l.place, min(l.o) AS o, (array_agg(l.old))[1] AS old, string_agg(l.text, E'\n' ORDER BY l.o) AS text, bool_or(l.changed) AS changed,
               bool_or(l.in_table) AS in_table, array_agg(l.line ORDER BY l.o) AS numbers, array_agg(l.text ORDER BY l.o) AS texts,
               jsonb_agg(CASE WHEN l.line IS NULL THEN jsonb_build_object('text', l.text, 'corrected', true)
                              WHEN l.changed THEN jsonb_build_object('read', l.old->'lines'->(l.line - 1)->'text') || ((l.old->'lines'->(l.line - 1)) - 'confidence')
                                                  || jsonb_build_object('text', l.text, 'corrected', true)
                              ELSE l.old->'lines'->(l.line - 1) END ORDER BY l.o) AS lines
        FROM laid l GROUP BY l.element, l.place),
    elements AS (
        SELECT j.*, row_number() OVER w AS n, COALESCE(sum(length(j.text) + 2) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS at
        FROM (SELECT j.element, j.place, j.o, j.old, j.lines, CASE WHEN j.in_table AND NOT j.changed THEN j.old->>'text' ELSE COALESCE(t.text, j.text, j.old->>'text', '') END AS text,
                     t.content, j.text IS NULL OR j.in_table AND NOT j.changed AS kept
              FROM joined j LEFT JOIN LATERAL dsocr.fill_table(CASE WHEN NOT (j.in_table AND j.changed) THEN NULL WHEN j.numbers[1] IS NULL THEN j.texts[1] ELSE j.old->>'content' END,
                  CASE WHEN j.numbers[1] IS NULL THEN '{}' ELSE j.numbers END, j.texts) t ON true) j
        WINDOW w AS (ORDER BY j.place, j.element < 0, j.o)),
    made AS (
        SELECT e.n, e.text, CASE WHEN e.kept OR e.content IS NULL AND e.text = e.old->>'text' THEN e.old ELSE
                   COALESCE(e.old, '{"type": "text", "label": null, "geometry": null, "confidence": null}')
                   || jsonb_build_object('text', e.text, 'content', CASE
                        WHEN e.content IS NOT NULL THEN e.content
                        WHEN e.old->>'type' IN ('title', 'section_header') THEN COALESCE(substring(e.old->>'content' FROM '^#+ '), '') || replace(e.text, E'\n', ' ')
                        ELSE e.text END)
                   || CASE WHEN e.content IS NULL AND (e.old IS NULL OR e.old ? 'lines') THEN jsonb_build_object('lines', e.lines) ELSE '{"corrected": true}' END END
               || jsonb_build_object('id', e.n - 1, 'char_start', CASE WHEN e.text = '' THEN greatest(e.at - 2, 0) ELSE e.at END,
                                     'char_end', CASE WHEN e.text = '' THEN greatest(e.at - 2, 0) ELSE e.at + length(e.text) END) AS element
        FROM (SELECT e.*, (SELECT count(*) FROM elements b WHERE b.n < e.n AND b.text = '') AS empty FROM elements e) x,
             LATERAL (SELECT x.element, x.old, x.n, x.text, x.content, x.kept, x.lines, x.at - 2 * x.empty AS at) e)
    SELECT CASE WHEN $3 IS NULL THEN ($1 - '{error_code,error_message}'::text[]) || jsonb_build_object('status', CASE WHEN m.text IS NULL THEN 'blank' ELSE 'ok' END) ELSE $1 END
           || jsonb_build_object('elements', COALESCE(m.elements, '[]'), 'text', COALESCE(m.text, ''), 'markdown', COALESCE(m.markdown, ''))
    FROM (SELECT jsonb_agg(m.element ORDER BY m.n) AS elements, string_agg(m.text, E'\n\n' ORDER BY m.n) FILTER (WHERE m.text <> '') AS text,
                 string_agg(m.element->>'content', E'\n\n' ORDER BY m.n) FILTER (WHERE m.element->>'content' <> '') AS markdown FROM made m) m
$f$;
COMMENT ON FUNCTION dsocr.corrected(jsonb, text, int) IS 'A page''s result with its text, or that of one element, corrected: boxes stay, lines that changed say so, and what was read there at first.';

CREATE FUNCTION dsocr.own_columns(results regclass, keys text[]) RETURNS text[]
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $f$
    SELECT COALESCE(array_agg(a.attname::text ORDER BY a.attnum), '{}') FROM pg_attribute a
    WHERE a.attrelid = results AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
      AND a.attname <> ALL (keys || '{page,version,current,status,search_text,tsv,result,confidence,model,sha256,corrected_by,corrected_at,created_at}'::text[])
      AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
                      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = results AND d.refobjsubid = a.attnum AND d.deptype = 'a')
$f$;
COMMENT ON FUNCTION dsocr.own_columns(regclass, text[]) IS
'The columns that a user has added to a table of results and whose values a new version takes over: not those that are generated or numbered.';

CREATE FUNCTION dsocr_correct(watch int, key jsonb, page int, new_text text, element int DEFAULT NULL) RETURNS int
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC'
SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $f$
#variable_conflict use_variable
DECLARE
    home constant text := (SELECT e.extnamespace::regnamespace::text FROM pg_extension e WHERE e.extname = 'dsocr');
    w dsocr.watches;
    target text;
    columns text;
    matches text;
    their jsonb;
    texts text[];
    old record;
    result jsonb;
    searched text;
    own text[];
    said text;
    detail text;
    rule text;
    n int;
BEGIN
    SELECT * INTO w FROM dsocr.watches s WHERE s.watch = dsocr_correct.watch;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('watch %s does not exist', COALESCE(watch::text, 'NULL')),
            HINT = 'dsocr.watches lists them.';
    ELSIF w.results IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('the result table of watch %s is not there', watch);
    ELSIF new_text IS NULL OR page IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'page and new_text must not be NULL';
    ELSIF jsonb_typeof(key) IS DISTINCT FROM 'object'
          OR ARRAY(SELECT k FROM jsonb_object_keys(key) k ORDER BY 1) <> ARRAY(SELECT k FROM unnest(w.key_columns) k ORDER BY 1) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this is not a key of the table',
            DETAIL = format('Its key is (%s).', array_to_string(w.key_columns, ', ')),
            HINT = 'It is what dsocr_search and dsocr.review show as key, for example {"' || w.key_columns[1] || '": 1}.';
    END IF;
    target := format('%I.%I', w.result_schema, w.result_table);
    SELECT string_agg(quote_ident(r), ', ' ORDER BY o), string_agg(format('r.%I = k.%1$I', r), ' AND ' ORDER BY o), jsonb_object_agg(r, key->k)
    INTO columns, matches, their FROM unnest(w.key_columns, w.result_columns) WITH ORDINALITY u(k, r, o);
    EXECUTE format('SELECT ARRAY[%s] FROM jsonb_populate_record(NULL::%s, $1) k',
        (SELECT string_agg(format('format(''%%s'', k.%I)', r), ', ' ORDER BY o) FROM unnest(w.result_columns) WITH ORDINALITY u(r, o)), target)
    INTO texts USING their;
    PERFORM dsocr.lock_results(watch, texts);
    EXECUTE format('SELECT r.version, r.status, r.search_text, r.result, r.confidence, r.model, r.sha256 FROM %s r, jsonb_populate_record(NULL::%1$s, $1) k
        WHERE %s AND r.page = $2 AND r.current', target, matches) INTO old USING their, page;
    IF old.version IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('there is no page %s of %s to correct', page, key),
            HINT = 'It must have been read, and be current.';
    ELSIF page = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'page 0 stands for a document that could not be opened';
    ELSIF old.result IS NULL AND element IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('watch %s stores no results, so there are no elements', watch),
            HINT = 'Correct the page as a whole.';
    END IF;
    result := dsocr.corrected(old.result, new_text, element);
    EXECUTE format('SELECT left(CASE WHEN $1 IS NULL THEN $2 ELSE %s.dsocr_search_text($1) END, 250000)', home) INTO searched USING result, new_text;
    own := dsocr.own_columns(w.results, w.result_columns);
    EXECUTE format('UPDATE %s r SET current = false FROM jsonb_populate_record(NULL::%1$s, $1) k WHERE %s AND r.page = $2 AND r.current', target, matches) USING their, page;
    BEGIN
        EXECUTE format('INSERT INTO %s (%s, page, version, current, status, search_text, result, confidence, model, sha256, corrected_by, corrected_at%s)
            SELECT %s, $2, (SELECT max(r.version) + 1 FROM %1$s r WHERE %5$s), true, $3, $4, $5, $6, $7, $8, current_user, clock_timestamp()%6$s
            FROM %1$s r, jsonb_populate_record(NULL::%1$s, $1) k WHERE %5$s AND r.page = $2 AND r.version = $9 RETURNING version',
            target, columns, (SELECT string_agg(format(', %I', c), '' ORDER BY o) FROM unnest(own) WITH ORDINALITY u(c, o)),
            (SELECT string_agg(format('k.%I', r), ', ' ORDER BY o) FROM unnest(w.result_columns) WITH ORDINALITY u(r, o)), matches,
            (SELECT string_agg(format(', r.%I', c), '' ORDER BY o) FROM unnest(own) WITH ORDINALITY u(c, o)))
        INTO n USING their, page, COALESCE(result->>'status', 'ok'), searched, result, old.confidence, old.model, old.sha256, old.version;
    EXCEPTION WHEN unique_violation OR exclusion_violation THEN
        GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, rule = CONSTRAINT_NAME;
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = said, DETAIL = detail, CONSTRAINT = rule, TABLE = w.result_table, SCHEMA = w.result_schema,
            HINT = 'The new version has the values of your own columns that the version before has, and both stay. Let the constraint cover version too, or make it a unique index WHERE current.';
    END;
    RETURN n;
END $f$;
COMMENT ON FUNCTION dsocr_correct(int, jsonb, int, text, int) IS
'Corrects the text of a page, or of one element of it (seq of dsocr_elements; one that is a table also as HTML): a new version, which is searched from then on and stays until the document changes. Lines keep their boxes, tables their rows and cells; columns that you have added to the results, their values. The caller needs SELECT, INSERT and UPDATE on the results. Gives the version.';

CREATE FUNCTION dsocr.cut_lines(doc bytea, page int, rotation int, lines box[]) RETURNS bytea[]
AS 'MODULE_PATHNAME', 'dsocr_cut_lines' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION dsocr.cut_lines(bytea, int, int, box[]) IS
'The lines at these boxes of a page as PNGs, each straightened as the reader sees it, without its neighbours; a box of no line as it lies on the page.';

CREATE FUNCTION dsocr_training_set(watch int) RETURNS TABLE(image bytea, text text)
LANGUAGE plpgsql STABLE ROWS 1000 COST 100000 SET search_path = pg_catalog, pg_temp
AS $f$
#variable_conflict use_column
DECLARE
    -- Of a line's characters: where more of them were changed, and more than these few, the text is another line's.
    far constant real := 0.6;
    few constant int := 3;
    home constant text := (SELECT e.extnamespace::regnamespace::text FROM pg_extension e WHERE e.extname = 'dsocr');
    w dsocr.watches;
    r record;
    doc bytea;
    near jsonb;
    loose bigint := 0;
    outdated bigint := 0;
    unlike bigint := 0;
BEGIN
    SELECT * INTO w FROM dsocr.watches s WHERE s.watch = dsocr_training_set.watch;
    IF w.results IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('watch %s does not exist', COALESCE(dsocr_training_set.watch::text, 'NULL')),
            HINT = 'dsocr.watches lists them.';
    END IF;
    FOR r IN EXECUTE format($q$SELECT s.%I AS doc, r.page, COALESCE((r.result->>'rotation')::int, 0) AS rotation, r.sha256,
                (SELECT jsonb_agg(l) FROM jsonb_path_query(r.result, '$.elements[*].lines[*] ? (@.corrected == true)') l) AS lines,
                (SELECT count(*) FROM jsonb_path_query(r.result, '$.elements[*] ? (@.corrected == true)')) AS loose
            FROM %s r LEFT JOIN %s s ON %s WHERE r.current AND r.corrected_by IS NOT NULL ORDER BY %s, r.page$q$,
            w.doc_column, w.results, w.source,
            (SELECT string_agg(format('s.%I = r.%I', k, c), ' AND ' ORDER BY o) FROM unnest(w.key_columns, w.result_columns) WITH ORDINALITY u(k, c, o)),
            (SELECT string_agg(format('r.%I', c), ', ' ORDER BY o) FROM unnest(w.result_columns) WITH ORDINALITY u(c, o)))
    LOOP
        loose := loose + r.loose + (SELECT count(*) FROM jsonb_array_elements(r.lines) l WHERE l->'bbox' IS NULL);
        IF r.doc IS NULL OR encode(sha256(r.doc), 'hex') IS DISTINCT FROM r.sha256 THEN
            outdated := outdated + COALESCE(jsonb_array_length(r.lines), 0);
            CONTINUE;
        END IF;
        doc := r.doc;
        EXECUTE format('SELECT jsonb_agg(e.l ORDER BY e.o) FROM jsonb_array_elements($1) WITH ORDINALITY e(l, o),
            LATERAL (SELECT e.l->>''text'' AS now, COALESCE(e.l->>''read'', e.l->>''text'') AS was) t,
            LATERAL (SELECT %s.dsocr_cer(t.now, t.was) * length(t.now) AS n) c WHERE c.n <= $2 OR c.n <= $3 * greatest(length(t.now), length(t.was))', home)
        INTO near USING r.lines, few, far;
        unlike := unlike + COALESCE(jsonb_array_length(r.lines), 0) - COALESCE(jsonb_array_length(near), 0);
        RETURN QUERY SELECT u.image, u.text FROM (
            SELECT dsocr.cut_lines(doc, r.page, r.rotation, array_agg(box(point((b->>0)::float8, (b->>1)::float8), point((b->>2)::float8, (b->>3)::float8)) ORDER BY o)) AS images,
                   array_agg(l->>'text' ORDER BY o) AS texts
            FROM jsonb_array_elements(near) WITH ORDINALITY e(l, o), LATERAL (SELECT l->'bbox' AS b) b WHERE jsonb_typeof(b) = 'array') c,
            unnest(c.images, c.texts) u(image, text);
    END LOOP;
    IF loose + outdated + unlike > 0 THEN
        RAISE NOTICE USING MESSAGE = format('%s corrected lines were left out', loose + outdated + unlike),
            DETAIL = format('%s have no line on the page, %s belong to documents that have changed, %s have little in common with what was read there.', loose, outdated, unlike);
    END IF;
END $f$;
COMMENT ON FUNCTION dsocr_training_set(int) IS
'The lines that were corrected, as (image, text), for fine-tuning: train/README.md. Bent and sloped ones are straight in their image, as the reader sees them. Those that have no place on the page, and those of which more than six characters in ten were changed, which may be another line''s text, are left out, and counted in a notice.';

REVOKE ALL ON FUNCTION dsocr_correct(int, jsonb, int, text, int), dsocr_training_set(int) FROM PUBLIC;

-- 7. Seeing and steering.

CREATE FUNCTION dsocr_status()
RETURNS jsonb AS 'MODULE_PATHNAME', 'dsocr_status'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dsocr_status() IS
'What the engine is doing: state, process, model, device, memory, uptime and the last error; the queue of this database; and, in queue.databases, which databases have the extension, who serves them, or why nobody does.';

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
    finders constant name[] := ARRAY['dsocr_search', 'dsocr_page_image', 'dsocr_crop', 'dsocr_render_highlight', 'dsocr_page_html',
        'dsocr_correct', 'lock_results', 'own_columns', 'lay_text', 'fill_table', 'corrected', 'cut_lines', 'dsocr_training_set'];
    readers constant name[] := finders || ARRAY['dsocr_extract', 'dsocr_try_extract', 'dsocr_text', 'dsocr_markdown', 'dsocr_pages',
        'dsocr_extract_many', 'dsocr_read', 'dsocr_describe', 'dsocr_parse_figure', 'dsocr_locate', 'dsocr_ask', 'dsocr_chat_completions', 'dsocr_trigger', 'dsocr_info', 'dsocr_submit', 'dsocr_result', 'dsocr_cancel', 'dsocr_wait', 'current_model', 'list_review'];
    managers constant name[] := readers || ARRAY['dsocr_status', 'dsocr_attach', 'dsocr_detach', 'dsocr_pause', 'dsocr_resume', 'dsocr_retry',
        'dsocr_reprocess', 'enqueue', 'filter_columns', 'require_results', 'add_watch', 'remove_watch', 'add_job', 'add_missing', 'key_columns']::name[];
    views constant name[] := ARRAY['watches', 'jobs', 'failed_items', 'coverage', 'review', 'stats', 'models'];
    home constant name := (SELECT n.nspname FROM pg_namespace n JOIN pg_extension e ON e.extnamespace = n.oid
                           WHERE e.extname = 'dsocr');
    f regprocedure;
    v name;
BEGIN
    IF privilege IS NULL OR privilege NOT IN ('read', 'manage') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('privilege "%s" does not exist', privilege),
            HINT = 'It is ''read'' (the functions that read images, and the views) or ''manage'' (those, dsocr_attach and what belongs to it, and dsocr_status).';
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
    EXECUTE format('GRANT USAGE ON SCHEMA dsocr TO %I', role);
    FOREACH v IN ARRAY views LOOP
        EXECUTE format('GRANT SELECT ON dsocr.%I TO %I', v, role);
    END LOOP;
END $$;
COMMENT ON FUNCTION dsocr_grant(name, text) IS
'Gives a role the right to read images and to see the views (read), or that and to have tables read and to see the engine''s state (manage), by plain GRANTs.';

REVOKE ALL ON FUNCTION dsocr_extract(bytea, text, text, jsonb), dsocr_try_extract(bytea, text, text, jsonb),
    dsocr_text(bytea, text, jsonb), dsocr_markdown(bytea, text, jsonb), dsocr_pages(bytea, text, text, jsonb),
    dsocr_extract_many(bytea[], text, jsonb), dsocr_read(text, text, jsonb), dsocr_describe(bytea, int, jsonb), dsocr_parse_figure(bytea, int, jsonb),
    dsocr_locate(bytea, text, int, jsonb), dsocr_ask(bytea, text, int, jsonb), dsocr_chat_completions(jsonb), dsocr_trigger(), dsocr_info(bytea), dsocr_status(), dsocr_grant(name, text),
    dsocr_attach(regclass, name, text, jsonb, text, name, regconfig, bool, bool, int, text), dsocr_detach(int, bool), dsocr_pause(int),
    dsocr_resume(int), dsocr_retry(int, text), dsocr_wait(int, interval), dsocr_reprocess(int, text), dsocr_submit(bytea, text, text, jsonb),
    dsocr_result(bigint, interval), dsocr_cancel(bigint) FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dsocr FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dsocr_status() TO pg_monitor;
