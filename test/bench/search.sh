#!/bin/bash
# search.sh [PAGES] [TURNS] - what dsocr_search costs beside the same tsquery by hand; issue: at most 1.5 times.
#
# Asks the server of PGHOST, PGPORT ... (dsocr created in PGDATABASE). Makes a watch with PAGES (100,000) result pages of
# 300 words and 31 lines each, all with their layout, once: a later run finds them. Then, in turns, the best 20 pages
# of four queries: by hand (the same WHERE, ORDER BY and LIMIT, keys only) and by dsocr_search, with snippets and boxes.
# Prints the medians in ms, their ratio and difference, and the scans that dsocr_search added.
set -euo pipefail
pages=${1:-100000} turns=${2:-15}
export PGOPTIONS="-c client_min_messages=warning"
ask() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

if [ "$(ask -c "SELECT count(*) FROM dsocr.watches WHERE source = to_regclass('bench_search')")" = 0 ]; then
    ask -v pages="$pages" <<'SQL'
CREATE TABLE bench_search (id int PRIMARY KEY, scan bytea);
SELECT dsocr_attach('bench_search', 'scan', ts_config => 'english', on_delete => 'keep') AS watch \gset
SELECT dsocr_pause(:watch) \g /dev/null
SELECT setseed(0.25);
CREATE TEMP TABLE words AS SELECT n, left(translate(md5(n::text), '0123456789', 'ghijklmnop'), 4 + n % 6) AS w FROM generate_series(0, 19999) n;
CREATE TEMP TABLE lines AS SELECT l, string_agg(w, ' ' ORDER BY k) AS t FROM (
    SELECT l, k, (20000 * random() ^ 4)::int % 20000 AS n FROM generate_series(0, 9999) l, generate_series(1, 10) k OFFSET 0) x JOIN words USING (n) GROUP BY l;
CREATE TEMP TABLE blocks AS SELECT l / 10 AS b, string_agg(t, E'\n' ORDER BY l) AS t,
    jsonb_build_object('type', 'text', 'text', string_agg(t, E'\n' ORDER BY l), 'bbox', '[100, 100, 1500, 400]'::jsonb, 'confidence', 0.97,
        'lines', jsonb_agg(jsonb_build_object('text', t, 'bbox', jsonb_build_array(100, 100 + l % 10 * 30, 1500, 125 + l % 10 * 30),
                                              'confidence', 0.97, 'geometry', 'measured') ORDER BY l)) AS e
    FROM lines GROUP BY 1;
CREATE UNIQUE INDEX ON blocks (b);
SET enable_hashjoin = off;
SET enable_mergejoin = off;
INSERT INTO bench_search_scan_ocr (id, page, version, status, search_text, result)
SELECT i, 1, 1, 'ok', concat_ws(E'\n\n', x.t, y.t, z.t, own), jsonb_build_object('page', 1, 'width', 1700, 'height', 2200, 'status', 'ok',
    'elements', jsonb_build_array(x.e, y.e, z.e, jsonb_build_object('type', 'text', 'text', own, 'bbox', '[100, 1800, 1500, 1830]'::jsonb,
        'lines', jsonb_build_array(jsonb_build_object('text', own, 'bbox', '[100, 1800, 1500, 1830]'::jsonb, 'geometry', 'measured')))))
FROM (SELECT i, format('one%s rare%s some%s often%s of Venice and Rome', i, i % (:pages / 20), i % 100, i % 10) AS own,
             (random() * 999)::int AS b1, (random() * 999)::int AS b2, (random() * 999)::int AS b3
      FROM generate_series(1, :pages) i OFFSET 0) p
JOIN blocks x ON x.b = b1 JOIN blocks y ON y.b = b2 JOIN blocks z ON z.b = b3;
VACUUM ANALYZE bench_search_scan_ocr;
SQL
fi

queries=(one77 rare7 some7 often7 '"often7 of Venice"' 'some7 or rare8')
out=$(mktemp)
trap 'rm -f "$out"' EXIT
{
    echo '\timing on'
    for _ in $(seq "$turns"); do
        for i in "${!queries[@]}"; do
            echo "\\echo hand $i"
            echo "SELECT id, page FROM bench_search_scan_ocr t WHERE t.current AND t.tsv @@ websearch_to_tsquery('english', '${queries[i]}')
                  ORDER BY ts_rank(t.tsv, websearch_to_tsquery('english', '${queries[i]}')) DESC, id, page LIMIT 20 \\g /dev/null"
            echo "\\echo search $i"
            echo "SELECT * FROM dsocr_search('bench_search', '${queries[i]}') \\g /dev/null"
        done
    done
} >"$out"
scans() { ask -c "SELECT pg_stat_clear_snapshot() IS NULL, seq_scan, idx_scan FROM pg_stat_user_tables WHERE relid = 'bench_search_scan_ocr'::regclass"; }
before=$(ask -c "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'bench_search_scan_ocr'::regclass")
ask -f "$out" >"$out.times"
sleep 1
for i in "${!queries[@]}"; do
    hits=$(ask -c "SELECT count(*) FROM bench_search_scan_ocr t WHERE t.current AND t.tsv @@ websearch_to_tsquery('english', '${queries[i]}')")
    awk -v i="$i" -v q="${queries[i]}" -v hits="$hits" '
        /^(hand|search) / { way = $1; n = $2 }
        /^Time:/ && n == i { t[way, ++count[way]] = $2 }
        function median(way,   a, j, k, x, m) {
            m = count[way]
            for (j = 1; j <= m; j++) a[j] = t[way, j]
            for (j = 2; j <= m; j++) for (k = j; k > 1 && a[k] < a[k - 1]; k--) { x = a[k]; a[k] = a[k - 1]; a[k - 1] = x }
            return a[int((m + 1) / 2)]
        }
        END { h = median("hand"); s = median("search")
              printf "%-22s %6d hits: by hand %7.1f ms, dsocr_search %7.1f ms, ratio %5.2f, %+.1f ms\n", q, hits, h, s, s / h, s - h }' "$out.times"
done
rm -f "$out.times"
