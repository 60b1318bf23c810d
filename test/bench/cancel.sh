#!/bin/bash
# cancel.sh [FILE] [N] - how long a statement goes on after its time is up: promise P3, 50 ms at p99.
#
# Asks the server of PGHOST, PGPORT ... (dsocr preloaded and created) to read FILE N times with a statement_timeout of
# 50 ms, each time with other bytes behind the image, so that no answer is cached. Prints what was taken beyond the
# 50 ms. A reading that ends before that is counted and left out. In turns with pg_sleep, which needs no time to stop: what
# that takes is the machine's.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
file=${1:-test/pages/journal_en.jpg} n=${2:-200}
{
    echo "\\set scan \`base64 -w0 $file\`"
    echo "CREATE TEMP TABLE scan AS SELECT decode(:'scan', 'base64') AS scan;"
    echo "SET statement_timeout = 50;"
    echo '\timing on'
    for i in $(seq "$n"); do
        echo '\echo read'
        echo "SELECT dsocr_extract(scan || '\\x$(printf %08x "$i")'::bytea) IS NULL FROM scan;"
        echo '\echo sleep'
        echo "SELECT pg_sleep(1);"
    done
} | psql -XqAt >"$out" 2>&1
report() {
    awk -v way="$1" '/^(read|sleep)$/ { now = $0 } /^Time:/ { if (now == way && last ~ /statement timeout/) print $2 - 50; last = ""; next } { last = last $0 }' "$out" |
        sort -n | awk -v n="$n" -v what="$2" '
        { t[NR] = $1 }
        function at(share) { i = int(NR * share + 0.5); return t[i < 1 ? 1 : i] }
        END { if (NR == 0) { print "no statement was cancelled"; exit 1 }
              printf "%s: %d of %d cancelled: p50 %.1f ms, p99 %.1f ms, max %.1f ms beyond the timeout\n", what, NR, n, at(0.5), at(0.99), t[NR] }'
}
report read 'a reading'
report sleep 'pg_sleep'
