#!/bin/bash
# demo.sh [SCAN] - what `make demo` shows: scans in a table become text and layout, by SQL. A cluster of its own, in a
# copy of the installed server, in a folder that is removed at the end; no cluster that is already there is touched.
set -euo pipefail
cd "$(dirname "$0")/.."
. test/server.sh

scan=${1:-}
if [ -n "$scan" ] && [ ! -r "$scan" ]; then
    echo "cannot read $scan" >&2
    exit 1
fi
work=$(mktemp -d /tmp/dsocr-demo.XXXXXX)
chmod 755 "$work"
bin=
finish() {
    [ -z "$bin" ] || cluster_stop "$bin" "$work/cluster" || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

bold= dim= plain=
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[36m' plain=$'\e[0m'; fi
say() {
    printf '\n%s%s%s\n\n' "$bold" "$*" "$plain"
}
sql() {
    psql -XqAt -v ON_ERROR_STOP=1 "$@"
}
# Shows a statement and what comes of it.
show() {
    printf '%s%s%s\n\n' "$dim" "$(sed 's/^/    /' <<<"$1")" "$plain"
    psql -Xq -v ON_ERROR_STOP=1 -P pager=off -P linestyle=unicode -P border=1 -P footer=off -P null= -c "$1" | sed 's/^/  /'
}
# The same, for one text: without a frame.
show_text() {
    printf '%s%s%s\n\n' "$dim" "$(sed 's/^/    /' <<<"$1")" "$plain"
    sql -c "$1" | sed 's/^/  | /'
    echo
}
load() {
    printf "\\\\set data \`base64 -w0 '%s'\`\nINSERT INTO archive VALUES (:'name', decode(:'data', 'base64'));\n" \
        "${1//\'/\'\\\'\'}" | sql -v name="$(basename "$1")"
}

started=$SECONDS
late=test/pages/recipe_fr.jpg # inserted when the table reads itself
pg_config=$(server_copy "$work/pg")
make --no-print-directory -s PG_CONFIG="$pg_config" install >"$work/install.log" 2>&1 || {
    cat "$work/install.log" >&2
    exit 1
}
bin=${pg_config%/*}
export PATH=$bin:$PATH PGOPTIONS='-c client_min_messages=warning'
cluster_start "$bin" "$work/cluster" "shared_preload_libraries = 'dsocr'
cluster_name = 'dsocr demo'
${DEMO_CONF:-}"

say "dsocr: OCR as a function of the database. A PostgreSQL server of its own is up for the demo."
show "CREATE EXTENSION dsocr;
CREATE TABLE archive (name text PRIMARY KEY, scan bytea NOT NULL);"
if [ -n "$scan" ]; then
    load "$scan"
else
    for f in test/pages/*.jpg test/pages/*.tif; do [ "$f" = "$late" ] || load "$f"; done
fi
engine_wait "$bin" || {
    tail -n 20 "$work/cluster/log" >&2
    exit 1
}

say "1. What is in the archive"
show "SELECT name, i->>'format' AS format, i->'pages'->0->>'width' AS width, i->'pages'->0->>'height' AS height,
       pg_size_pretty(length(scan)::bigint) AS size
FROM archive, dsocr_info(scan) AS i ORDER BY name;"

one=${scan:+$(basename "$scan")}
one=${one:-book_en.jpg}
say "2. The text of a scan"
show_text "SELECT dsocr_text(scan) FROM archive WHERE name = '${one//\'/\'\'}';"

say "3. Reading the archive, once: a row for each page"
before=$(date +%s%N)
show "CREATE TABLE reading AS
SELECT name, page, status, confidence, text, result FROM archive, dsocr_pages(scan);"
pages=$(sql -c "SELECT count(*) FROM reading")
took=$((($(date +%s%N) - before) / 1000000))
show "SELECT name, status, round(confidence::numeric, 2) AS confidence, result->>'rotation' AS turned,
       length(text) AS letters, result->'ms'->>'generate' AS ms
FROM reading ORDER BY name, page;"
printf '  %d pages in %d.%d s\n' "$pages" $((took / 1000)) $((took % 1000 / 100))

two=${scan:+$one}
two=${two:-journal_en.jpg}
say "4. The layout: what stands where. A box is (right,bottom),(left,top) in pixels of the upright page"
show "SELECT e.seq, e.type, e.bbox, left(replace(e.text, E'\n', ' '), 60) AS text
FROM reading, dsocr_elements(result) AS e WHERE name = '${two//\'/\'\'}' ORDER BY e.page, e.seq;"

three=${scan:+$one}
three=${three:-invoice_en.jpg}
say "5. Every line with its box and the reader's confidence"
show "SELECT l.seq, l.line, l.text, l.bbox, round(l.confidence::numeric, 2) AS confidence
FROM reading, dsocr_lines(result) AS l WHERE name = '${three//\'/\'\'}' ORDER BY l.page, l.seq, l.line LIMIT 24;"

if [ -z "$scan" ]; then
    say "6. Search: which page, which line, and where on it"
    show "CREATE INDEX ON reading USING gin (to_tsvector('simple', text));"
    show "SELECT name, l.text AS line, l.bbox
FROM to_tsquery('simple', '${DEMO_QUERY:-weir:* | cig:* | barometer | hedgehog:* | berth}') AS q,
     reading AS r, dsocr_lines(r.result) AS l
WHERE to_tsvector('simple', r.text) @@ q AND to_tsvector('simple', l.text) @@ q ORDER BY r.name, l.seq, l.line;"
fi

# Writes a page to look at, where it stays.
page=build/demo.html
write_page() {
    printf '%s%s%s\n\n' "$dim" "$(sed 's/^/    /' <<<"$1")" "$plain"
    mkdir -p build && sql -c "$1" >"$page.new" && mv "$page.new" "$page"
    printf '  %sfile://%s%s  (%d kB: the scan, its boxes, the text and the hits in one file)\n' \
        "$bold" "$(realpath "$page")" "$plain" $(($(wc -c <"$page") / 1024))
}
if [ -z "$scan" ]; then
    say "7. A table that reads itself: what is there, and what is inserted from now on, is read in the background"
    show "SELECT dsocr_attach('archive', 'scan') AS watch;"
    printf "%s    INSERT INTO archive VALUES ('%s', ...);%s\n\n" "$dim" "$(basename "$late")" "$plain"
    load "$late"
    show "SELECT dsocr_wait(timeout => '2 min') AS left_to_read;"
    show "SELECT key->>'name' AS name, page, substring(snippet FROM '.{0,24}\[[^]]*\].{0,24}') AS snippet, jsonb_path_query_array(highlights, '\$[*].bbox') AS boxes
FROM dsocr_search('archive', 'watercress OR cigüeña OR mirabelles');"

    say "8. The hit on the page: look at it in a browser, also on a telephone"
    write_page "SELECT dsocr_page_html(scan, result, websearch_to_tsquery('simple', 'watercress OR hedgehogs'))
FROM archive JOIN archive_scan_ocr USING (name) WHERE name = 'minutes_en.jpg' AND current;"
else
    say "6. The page to look at in a browser"
    write_page "SELECT dsocr_page_html(scan, dsocr_extract(scan)) FROM archive;"
fi

model=$(sql -c "SELECT result->'metadata'->>'model' FROM (SELECT dsocr_extract(scan) AS result FROM archive LIMIT 1) AS r" || true)
say "Done in $((SECONDS - started)) s, read by ${model:-the engine} on $(nproc) processors. The server and its folder are gone again.
make demo SCAN=your.jpg reads a scan of yours; README.md says how to install dsocr into your server."
