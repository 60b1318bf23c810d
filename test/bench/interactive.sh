#!/bin/bash
# interactive.sh [PAGES] [TURNS] - promise P7: an interactive call beside a backfill of PAGES (2,000) pages takes, at
# p95, at most twice what it takes on an idle engine.
#
# Asks the server of PGHOST, PGPORT ... (dsocr preloaded and created). The backfill is a watch over distinct scans; it is
# paused and resumed in turns, so that both figures meet the same machine. Every call reads a receipt with other bytes
# behind the image: nothing comes from the cache. Prints p50 and p95 of both, their ratio, and what bulk got meanwhile, as
# a share of what it gets when it is alone: a ninth is its due.
set -euo pipefail
cd "$(dirname "$0")/../.."
pages=${1:-2000} turns=${2:-4} calls=80
ask() { PGOPTIONS="-c client_min_messages=warning" psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
out=$(mktemp -d)
watch=
finish() {
    [ -z "$watch" ] || ask -c "SELECT dsocr_detach($watch, true)" -c "DROP TABLE IF EXISTS bench_backfill" >/dev/null
    rm -rf "$out"
}
trap finish EXIT

for f in test/pages/{book_en,letter_en,invoice_en,article_es}.jpg; do
    echo "\\set scan \`base64 -w0 $f\`"
    echo "INSERT INTO bench_backfill (scan) SELECT decode(:'scan', 'base64') || int4send(i) FROM generate_series(1, $pages / 4) i;"
done >"$out/load.sql"
ask -c "DROP TABLE IF EXISTS bench_backfill" -c "CREATE TABLE bench_backfill (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scan bytea)"
ask -f "$out/load.sql"
watch=$(ask -c "SELECT dsocr_attach('bench_backfill', 'scan', on_delete => 'keep')")

# receipts WAY TURN: the times of some calls.
receipts() {
    {
        echo "\\set scan \`base64 -w0 test/pages/receipt_en.jpg\`"
        echo "CREATE TEMP TABLE scan AS SELECT decode(:'scan', 'base64') AS scan;"
        echo '\timing on'
        for i in $(seq "$calls"); do
            echo "SELECT length(dsocr_text(scan || int8send($RANDOM$RANDOM$i))) > 0 FROM scan;"
        done
    } | ask | awk '/^Time:/ { print $2 }' >>"$out/$1"
}
status() { ask -c "SELECT (dsocr_status()->>'$1')::int"; }
until_status() { for _ in $(seq 600); do [ "$(status "$1")" "$2" "$3" ] && return; sleep 0.1; done; echo "$1 is not $2 $3" >&2; exit 1; }

bulk=0 seconds=0 alone=0
for turn in $(seq "$turns"); do
    ask -c "SELECT dsocr_pause($watch)" >/dev/null
    until_status active -eq 0
    receipts idle
    ask -c "SELECT dsocr_resume($watch)" >/dev/null
    until_status slots_used -gt 0
    sleep 2 # the first pages are on their way
    before=$(status pages_read)
    sleep 10
    alone=$((alone + $(status pages_read) - before))
    sleep 2 # what the engine has read is told once a second
    before=$(status pages_read) start=$(date +%s%N)
    receipts beside
    end=$(date +%s%N)
    sleep 1.2
    bulk=$((bulk + $(status pages_read) - before - calls)) seconds=$((seconds + (end - start) / 1000000))
done
left=$(ask -c "SELECT count(*) FROM bench_backfill b WHERE NOT EXISTS (SELECT FROM bench_backfill_scan_ocr r WHERE r.id = b.id)")
at() { sort -n "$out/$1" | awk -v share="$2" '{ t[NR] = $1 } END { i = int(NR * share + 0.5); print t[i < 1 ? 1 : i] }'; }
awk -v n=$((turns * calls)) -v i50="$(at idle 0.5)" -v i95="$(at idle 0.95)" -v b50="$(at beside 0.5)" -v b95="$(at beside 0.95)" -v bulk="$bulk" -v alone="$alone" -v turns="$turns" \
    -v s="$seconds" -v left="$left" 'BEGIN {
    printf "a receipt, %d calls each: idle p50 %.0f ms, p95 %.0f ms; beside the backfill p50 %.0f ms, p95 %.0f ms; p95 ratio %.2f\n", n, i50, i95, b50, b95, b95 / i95
    printf "bulk read %d pages in the %.0f s of calls, %.2f of its pace alone; %d of the backfill were left\n", bulk, s / 1000,
        bulk / (s / 1000) / (alone / turns / 10), left }'
[ "$left" -gt 0 ] || { echo "the backfill ended before the calls did: PAGES is too small" >&2; exit 1; }
