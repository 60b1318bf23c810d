#!/bin/bash
# queue.sh [JOBS] [EARLY] - what the queue costs: jobs per second, and whether its processes stay as small as they are.
#
# In a cluster of its own with the server of PG_CONFIG, into which dsocr is installed. JOBS documents (20000) are queued and
# then read by the fake engine (build/dsocr-fake), which does nothing; with ENGINE=real by the installed one, each the upper
# edge of FILE, a few lines, with other bytes behind it. Prints
#
#   jobs per second of the queue, and of its statements said by hand: claim, delete of the job, insert of the result, one job
#     after the other in one session, through pgbench; and the processor time of the worker and of that session, per job,
#     with which other work of the machine has little to do
#   PSS and private memory of supervisor, launcher, queue worker and engine, and the memory contexts of the first three, after
#     EARLY jobs (2000) and after all: each may grow by 2 % or 2 MB. With MEMORY=only nothing else: make check does that with
#     fewer jobs
set -euo pipefail
cd "$(dirname "$0")/../.."
. test/server.sh
jobs=${1:-20000} early=${2:-2000}
bin=$("${PG_CONFIG:-pg_config}" --bindir)
top=$(mktemp -d "${TMPDIR:-/tmp}/dsocr-bench.XXXXXX")
chmod 755 "$top"
trap 'cluster_stop "$bin" "$top/c"; rm -rf "$top"' EXIT
fake=${DSOCR_FAKE:-$PWD/build/dsocr-fake} engine="dsocr.engine_path = '$fake'" scan="convert_to('TEXT:' || g, 'UTF8')"
if [ "${ENGINE:-fake}" = real ]; then
    engine=
    cp "${FILE:-test/pages/letter_en.jpg}" "$top/scan" && chmod 644 "$top/scan"
    scan="(SELECT scan FROM one) || int4send(g)"
fi
# Few buffers: what of them a process has touched counts as its own.
cluster_start "$bin" "$top/c" "shared_preload_libraries = 'dsocr'
$engine
shared_buffers = 4MB
dsocr.cache_size = 0
log_min_messages = warning"
sql() { "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -c "$1"; }
sql 'CREATE EXTENSION dsocr' && engine_wait "$bin"
[ -n "$engine" ] || sql "CREATE TABLE one AS SELECT dsocr_crop(pg_read_binary_file('$top/scan'), 1, box '((0,0),(1000,300))') AS scan"
sql "CREATE TABLE s (id int PRIMARY KEY, scan bytea)" && sql "SET client_min_messages = warning; SELECT dsocr_attach('s', 'scan')" >/dev/null
sql "SELECT dsocr_pause(1); INSERT INTO s SELECT g, $scan FROM generate_series(1, $jobs) g" >/dev/null

pid_of() { sql "SELECT pid FROM pg_stat_activity WHERE backend_type = 'dsocr $1' LIMIT 1"; }
# name PSS private kB, by name
measure() {
    local name pid
    for name in supervisor launcher 'queue worker' engine; do
        if [ "$name" = engine ]; then pid=$(sql "SELECT dsocr_status()->>'pid'"); else pid=$(pid_of "$name"); fi
        awk -v name="${name// /_}" '$1 == "Pss:" { pss = $2 } $1 == "Pss_Anon:" { anon = $2 } END { print name, "pss", pss; print name, "private", anon }' "/proc/$pid/smaps_rollup"
        [ "$name" != engine ] || continue
        sql "SELECT pg_log_backend_memory_contexts($pid)" >/dev/null
        for _ in $(seq 1200); do grep -q "\[$pid\] LOG:  Grand total" "$top/c/log" && break; sleep 0.1; done
        sed -n "s/.*\[$pid\] LOG:  Grand total: .*; \([0-9]*\) used.*/${name// /_} contexts \1/p" "$top/c/log" | tail -n 1 | awk '{ print $1, $2, int($3 / 1024) }'
    done
}
cpu_of() { awk '{ printf "%.0f", $1 / 1e6 }' "/proc/$1/schedstat"; } # its processor time so far, ms
done_jobs() { sql 'SELECT coalesce(sum(documents), 0) FROM dsocr.tally'; }

now() { date +%s.%N; }
# Both times nothing is in flight, so that the same is compared.
start=$(now)
sql 'SELECT dsocr_resume(1)' >/dev/null
while [ "$(done_jobs)" -lt "$early" ]; do sleep 0.1; done
sql 'SELECT dsocr_pause(1)' >/dev/null
while [ "$(sql "SELECT dsocr_status()->'queue'->>'reading'")" != 0 ]; do sleep 0.1; done
half=$(now)
measure >"$top/early"
worker=$(pid_of 'queue worker') cpu=$(cpu_of "$(pid_of 'queue worker')")
again=$(now)
sql 'SELECT dsocr_resume(1)' >/dev/null
while [ "$(done_jobs)" -lt "$jobs" ]; do sleep 0.1; done
end=$(now)
cpu=$(($(cpu_of "$worker") - cpu))
measure >"$top/late"

queue=$(awk -v n="$jobs" -v t="$(echo "$end - $again + $half - $start" | bc)" 'BEGIN { printf "%.0f", n / t }')
if [ "${MEMORY:-}" = only ]; then
    :
elif [ "${ENGINE:-fake}" = fake ]; then
    # The same rows in tables of the same form, by the statements that the worker says of them.
    sql "CREATE TABLE job (LIKE dsocr.job INCLUDING ALL); CREATE TABLE r (LIKE s_scan_ocr INCLUDING ALL);
        INSERT INTO job (id, watch, key) SELECT id, 1, ARRAY[id::text] FROM s; ANALYZE job, s"
    cat >"$top/hand.sql" <<'SQL'
\set token random(1, 1000000000000)
SELECT id AS job FROM job WHERE state = 'queued' AND watch = 1 ORDER BY id LIMIT 1 \gset
UPDATE job SET state = 'claimed', token = :token, claimed_at = clock_timestamp() WHERE id = :job;
BEGIN;
DELETE FROM job WHERE id = :job;
INSERT INTO r (id, page, version, status, search_text, result, confidence, model, sha256) SELECT :job, page, version, status, search_text, result, confidence, model, sha256 FROM s_scan_ocr WHERE id = :job;
COMMIT;
SQL
    n=$((jobs < 5000 ? jobs : 5000))
    "$bin/pgbench" -n -M prepared -f "$top/hand.sql" -t "$n" >"$top/hand" 2>/dev/null &
    session=
    while [ -z "$session" ]; do session=$(sql "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench' AND query LIKE '%job%' LIMIT 1"); done
    while hand_cpu_now=$(cpu_of "$session" 2>/dev/null); do hand_cpu=$hand_cpu_now; sleep 0.05; done
    wait $!
    hand=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$top/hand")
    echo "$queue jobs/s through the queue, $hand jobs/s by hand: $(awk -v a="$queue" -v b="$hand" 'BEGIN { printf "%.2f", a / b }')"
    awk -v a="$cpu" -v na=$((jobs - early)) -v b="$hand_cpu" -v nb="$n" \
        'BEGIN { printf "processor time of a job: %.2f ms of the worker, %.2f ms by hand; %.2f\n", a / na, b / nb, a / na / (b / nb) }'
else
    echo "$queue jobs/s through the queue"
fi
paste -d ' ' "$top/early" "$top/late" | awk -v early="$early" -v jobs="$jobs" '
    { grown = $6 - $3; bad = grown > 2048 && grown > $3 * 0.02; failed += bad
      printf "%-4s %-13s %-8s %8d kB after %d jobs, %8d kB after %d: %+d kB\n", bad ? "FAIL" : "ok", $1, $2, $3, early, $6, jobs, grown }
    END { exit failed > 0 }'
