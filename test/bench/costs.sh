#!/bin/bash
# costs.sh [PAGES] [TURNS] - what dsocr adds: to an INSERT (at most 1.10 times), and to the engine alone when pages are
# read by dsocr_read and by the queue (at least 0.9 of its pages a second).
#
# Asks the server of PGHOST, PGPORT ... (dsocr preloaded and created); `dsocr` (the server's build) is found through
# DSOCR or PATH. Everything is done in turns, and medians of the turns and of their ratios are printed. Each scan is
# a page of test/pages with other bytes behind the image, so that nothing comes from the cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
pages=${1:-60} turns=${2:-5} dsocr=${DSOCR:-dsocr}
ask() { PGOPTIONS="-c client_min_messages=warning" psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
out=$(mktemp -d)
finish() {
    ask -c "SELECT dsocr_detach(watch, true) FROM dsocr.watches WHERE source::text IN ('bench_with', 'bench_queue')" \
        -c "DROP TABLE IF EXISTS bench_with, bench_without, bench_pages, bench_queue" >/dev/null
    rm -rf "$out"
}
trap finish EXIT
median() { sort -n "$1" | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }

# INSERT: 1,000 rows of 100 kB that do not compress, with the trigger of a paused watch and without.
ask >/dev/null <<'SQL'
CREATE TABLE bench_with (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scan bytea);
CREATE TABLE bench_without (LIKE bench_with INCLUDING ALL);
SELECT dsocr_pause(dsocr_attach('bench_with', 'scan', on_delete => 'keep'));
SQL
{
    cat <<'SQL'
CREATE FUNCTION pg_temp.cpu() RETURNS numeric LANGUAGE sql AS $$
    SELECT split_part(pg_read_file('/proc/self/schedstat', 0, 100), ' ', 1)::bigint / 1000000.0 $$; -- ms
CREATE TEMP TABLE rows AS
    SELECT (SELECT string_agg(sha512(int8send(i * 10000 + j)), '') FROM generate_series(1, 1600) j WHERE i > 0) AS scan FROM generate_series(1, 1000) i;
SQL
    for turn in $(seq $((turns * 3))); do
        # Who goes first changes, since the second finds the machine as the first left it.
        for way in $([ $((turn % 2)) = 0 ] && echo with without || echo without with); do
            echo "TRUNCATE bench_$way; CHECKPOINT;"
            echo "SELECT pg_temp.cpu() AS cpu, clock_timestamp() AS start \\gset"
            echo "INSERT INTO bench_$way (scan) SELECT scan FROM rows;"
            echo "SELECT '$way', extract(epoch FROM clock_timestamp() - :'start') * 1000, pg_temp.cpu() - :cpu;"
        done
    done
} | ask -F' ' >"$out/insert"
for way in with without; do
    awk -v way=$way '$1 == way { print $2 }' "$out/insert" >"$out/$way"
    awk -v way=$way '$1 == way { print $3 }' "$out/insert" >"$out/$way.cpu"
done
paste "$out/with" "$out/without" | awk '{ print $1 / $2 }' >"$out/ratio"
paste "$out/with.cpu" "$out/without.cpu" | awk '{ print $1 / $2 }' >"$out/ratio.cpu"
printf 'INSERT of 1,000 rows of 100 kB, %d turns: %.0f ms with the trigger, %.0f without; ratio %.2f; processor time %.0f and %.0f ms, ratio %.2f\n' \
    $((turns * 3)) "$(median "$out/with")" "$(median "$out/without")" "$(median "$out/ratio")" "$(median "$out/with.cpu")" "$(median "$out/without.cpu")" "$(median "$out/ratio.cpu")"

# Pages: the same files by the engine alone, through dsocr_read, and through the queue.
files=(test/pages/{book_en,letter_en,invoice_en,article_es}.jpg)
args=()
for ((i = 0; i < pages; i++)); do args+=("${files[i % 4]}"); done
ask -c "CREATE TABLE bench_pages (i int, scan bytea)" -c "CREATE TABLE bench_queue (id bigint PRIMARY KEY, scan bytea)"
for i in 0 1 2 3; do
    echo "\\set scan \`base64 -w0 ${files[i]}\`"
    echo "INSERT INTO bench_pages SELECT $i, decode(:'scan', 'base64');"
done | ask
watch=$(ask -c "SELECT dsocr_attach('bench_queue', 'scan', on_delete => 'keep')")
ask -c "SELECT dsocr_pause($watch)" >/dev/null
ms() { echo $(($(date +%s%N) / 1000000)); }
rate() { awk -v n="$pages" -v ms="$2" 'BEGIN { print n / ms * 1000 }' >>"$out/$1"; }
for turn in $(seq "$turns"); do
    from=$((RANDOM * 1000000))
    "$dsocr" bench "${args[@]}" | awk '/pages\/s/ { for (i = 1; i <= NF; i++) if ($i ~ /^pages\/s/) print $(i - 1) }' >>"$out/engine"
    start=$(ms)
    read=$(ask -c "SET dsocr.class = bulk" -c "SELECT count(*) FROM dsocr_read('SELECT n, scan || int8send($from + n) FROM generate_series(1, $pages) n JOIN bench_pages ON i = n % 4') WHERE result->>'status' IS DISTINCT FROM 'error'")
    rate read $(($(ms) - start))
    [ "$read" = "$pages" ] || { echo "dsocr_read gave $read of $pages pages" >&2; exit 1; }
    ask -c "INSERT INTO bench_queue SELECT $from + $pages + n, scan || int8send($from + $pages + n) FROM generate_series(1, $pages) n JOIN bench_pages ON i = n % 4"
    start=$(ms)
    ask -c "SELECT dsocr_resume($watch)" -c "SELECT dsocr_wait($watch)" >/dev/null
    rate queue $(($(ms) - start))
    ask -c "SELECT dsocr_pause($watch)" >/dev/null
done
[ "$(ask -c "SELECT count(*) FROM bench_queue_scan_ocr WHERE status <> 'error'")" = $((pages * turns)) ] || { echo "the queue has not read all" >&2; exit 1; }
for way in read queue; do
    paste "$out/$way" "$out/engine" | awk '{ print $1 / $2 }' >"$out/share"
    printf '%d pages, %d turns: %s %.2f pages/s, the engine alone %.2f; %.2f of it\n' "$pages" "$turns" \
        "$([ $way = read ] && echo dsocr_read || echo 'the queue')" "$(median "$out/$way")" "$(median "$out/engine")" "$(median "$out/share")"
done
