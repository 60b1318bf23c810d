#!/bin/bash
# search.sh [PAGES] [TURNS] - what dsocr_search costs beside the same tsquery by hand; issue: at most 1.5 times.
#
# Asks the server of PGHOST, PGPORT ... (dsocr created in PGDATABASE). Makes a watch with PAGES (100,000) result pages of
# 300 words and 31 lines each, all with their layout, once: a later run finds them. Then, in turns, the best 20 pages
# of some queries: keys by hand (the same WHERE, ORDER BY and LIMIT) and by dsocr_search, which is what the issue compares;
# text and layout of these pages by hand, and all columns of dsocr_search, which makes snippets and boxes of them. Prints
# the session's processor time, in ms, medians: other work of the machine has little to do with that. And what the first
# search of a session takes.
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
trap 'rm -f "$out" "$out.times"' EXIT
# say NAME SQL: with the processor time it takes.
say() {
    echo "SELECT pg_temp.cpu() AS cpu \\gset"
    echo "$2 \\g /dev/null"
    echo "SELECT '$1', pg_temp.cpu() - :cpu;"
}
{
    cat <<'SQL'
CREATE FUNCTION pg_temp.cpu() RETURNS bigint LANGUAGE sql AS
$$ SELECT split_part(pg_read_file('/proc/self/schedstat', 0, 1000), ' ', 1)::bigint $$;
SQL
    for _ in $(seq "$turns"); do
        for i in "${!queries[@]}"; do
            hand="bench_search_scan_ocr t WHERE t.current AND t.tsv @@ websearch_to_tsquery('english', '${queries[i]}')
                  ORDER BY ts_rank(t.tsv, websearch_to_tsquery('english', '${queries[i]}')) DESC, id, page LIMIT 20"
            say "keys $i" "SELECT id, page FROM $hand"
            say "texts $i" "SELECT id, page, search_text, result FROM (SELECT * FROM $hand) t"
            say "found $i" "SELECT key, page, rank FROM dsocr_search('bench_search', '${queries[i]}')"
            say "shown $i" "SELECT * FROM dsocr_search('bench_search', '${queries[i]}')"
        done
    done
} >"$out"
ask -F ' ' -f "$out" >"$out.times"
for i in "${!queries[@]}"; do
    hits=$(ask -c "SELECT count(*) FROM bench_search_scan_ocr t WHERE t.current AND t.tsv @@ websearch_to_tsquery('english', '${queries[i]}')")
    for way in keys found texts shown; do
        awk -v way="$way" -v i="$i" '$1 == way && $2 == i { print $3 / 1e6 }' "$out.times" | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
    done | paste -s | awk -v q="${queries[i]}" -v hits="$hits" '{
        printf "%-20s %6d hits: keys by hand %6.2f ms, by dsocr_search %6.2f, ratio %5.2f; texts by hand %6.2f, snippets and boxes %6.2f, ratio %5.2f\n", q, hits, $1, $2, $2 / $1, $3, $4, $4 / $3 }'
done
printf 'the first search of a session: %.1f ms\n' "$(for _ in 1 2 3 4 5; do
    { head -3 "$out"; say first "SELECT key, page, rank FROM dsocr_search('bench_search', 'one77')"; } | ask -F ' ' -f - | cut -d' ' -f2
done | sort -n | sed -n 3p | awk '{ print $1 / 1e6 }')"
