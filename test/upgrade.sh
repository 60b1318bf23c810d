#!/bin/bash
# upgrade.sh BIN_OLD BIN_NEW FAKE - pg_upgrade of a cluster that has a watch, results, a correction and jobs that wait: all
# are there afterwards, and what waited is read once. FAKE: the fake engine.
set -euo pipefail
old=$1 new=$2 fake=$3
cd "$(dirname "$0")/.."
. test/server.sh
for tool in "$old/initdb" "$new/pg_upgrade"; do
    [ -x "$tool" ] || { echo "skip upgrade: there is no ${tool##*/} of that server here"; exit 0; }
done
top=$(mktemp -d /tmp/dsocr-upgrade.XXXXXX)
trap 'for side in old new; do "$old/pg_ctl" -D "$top/$side" -m immediate stop >/dev/null 2>&1 || :; done; rm -rf "$top"' EXIT
export PGHOST=$top PGUSER=postgres PGDATABASE=postgres PGPORT=5432
unset PGHOSTADDR

# make_cluster BIN NAME [initdb options]
make_cluster() {
    local bin=$1 name=$2
    shift 2
    "$bin/initdb" -D "$top/$name" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync "$@" >"$top/$name.initdb"
    cat >>"$top/$name/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$top'
fsync = off
shared_preload_libraries = 'dsocr'
dsocr.engine_path = '$fake'
dsocr.naptime = 1s
CONF
}
start() { "$1/pg_ctl" -D "$top/$2" -l "$top/$2.log" -w start >/dev/null || { tail -n 20 "$top/$2.log"; exit 1; }; }
sql() { "$old/psql" -XqAt -v ON_ERROR_STOP=1 -c "$1"; }
is() {
    if [ "$1" = "$2" ]; then echo "ok   $3"; else echo "FAIL $3: $1 and not $2"; fi
}

make_cluster "$old" old
start "$old" old
sql "CREATE EXTENSION dsocr"
sql "CREATE TABLE s (id int PRIMARY KEY, scan bytea)"
sql "INSERT INTO s SELECT g, convert_to('TEXT:before ' || g, 'UTF8') FROM generate_series(1, 20) g"
sql "SET client_min_messages = warning; SELECT dsocr_attach('s', 'scan')" >/dev/null
is "$(sql "SELECT dsocr_wait(1, '60s')")" 0 "the old server has read everything"
sql "SELECT dsocr_correct(1, '{\"id\": 1}', 1, 'by hand')" >/dev/null
# From here on it cannot read, so that jobs wait that no pause holds.
sql "ALTER TABLE s DISABLE TRIGGER dsocr_watch_1"
for _ in $(seq 600); do [ -z "$(sql 'SELECT problem FROM dsocr.watches')" ] || break; sleep 0.1; done
sql "INSERT INTO dsocr.job (watch, key) SELECT 1, ARRAY[g::text] FROM generate_series(101, 130) g"
sql "INSERT INTO s SELECT g, convert_to('TEXT:after ' || g, 'UTF8') FROM generate_series(101, 130) g"
sql "ALTER SYSTEM SET dsocr.engine_path = '/nonexistent'"
"$old/pg_ctl" -D "$top/old" -m fast -w stop >/dev/null
start "$old" old
sql "ALTER TABLE s ENABLE ALWAYS TRIGGER dsocr_watch_1"
is "$(sql "SELECT count(*) FROM dsocr.job")" 30 "30 jobs wait"
# PostgreSQL 15.20 writes an option pg_attver at every column of every table, which a new server that is older than that
# refuses, whatever the tables are: taken away here, for what is tried is ours.
if ! grep -q pg_attver "$new/postgres"; then
    sql "UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '{pg_attver=%}'"
fi
"$old/pg_ctl" -D "$top/old" -m fast -w stop >/dev/null

# The sums that 18 makes by itself are not in the old cluster.
"$new/initdb" --help | grep -q no-data-checksums && sums=--no-data-checksums || sums=
make_cluster "$new" new $sums
if (cd "$top" && "$new/pg_upgrade" -b "$old" -B "$new" -d "$top/old" -D "$top/new" -U postgres -s "$top") >"$top/log" 2>&1; then
    echo "ok   pg_upgrade from $("$old/postgres" -V | tr -dc 0-9. | cut -d. -f1) to $("$new/postgres" -V | grep -o '[0-9]*' | head -n 1)"
else
    tail -n 30 "$top/log"
    find "$top/new/pg_upgrade_output.d" -name '*.log' -exec grep -h -A4 'error:' {} + | head -n 30 || :
    echo "FAIL pg_upgrade"
    exit 1
fi
start "$new" new
is "$(sql "SELECT dsocr_wait(1, '60s')")" 0 "the new server has read what waited"
is "$(sql "SELECT count(*), count(*) FILTER (WHERE current), count(*) FILTER (WHERE current AND search_text = 'after ' || id) FROM s_scan_ocr")" \
    "51|50|30" "all results are there, once"
is "$(sql "SELECT search_text FROM s_scan_ocr WHERE id = 1 AND current")" "by hand" "corrections, too"
is "$(sql "SELECT count(*) FROM dsocr.failed_items")" 0 "nothing was given up"
sql "INSERT INTO s VALUES (500, 'TEXT:new row')"
is "$(sql "SELECT dsocr_wait(1, '60s'); SELECT search_text FROM s_scan_ocr WHERE id = 500" | tr '\n' ' ')" "0 new row " "and new rows are read"
if [ -n "$(sql "SELECT current_setting('transaction_timeout', true)")" ]; then
    # It ends a transaction with its process: no limit of sessions may keep the queue from its work.
    sql "ALTER DATABASE postgres SET transaction_timeout = '1ms'"
    export PGOPTIONS="-c transaction_timeout=0"
    "$new/pg_ctl" -D "$top/new" -m fast -w restart >/dev/null
    sql "INSERT INTO s SELECT g, 'TEXT:in time' FROM generate_series(501, 600) g"
    is "$(sql "SELECT dsocr_wait(1, '60s'); SELECT count(*) FROM s_scan_ocr WHERE search_text = 'in time'" | tr '\n' ' ')" "0 100 " "also where transactions of sessions are short"
fi
"$new/pg_ctl" -D "$top/new" -m fast -w stop >/dev/null
