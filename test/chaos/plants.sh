#!/bin/bash
# plants.sh - the run under kills fails when it should: once with each mistake of src/pg/store.h, in a server of its own
# that was built with PLANT=1; and passes with a second worker forced, which is no mistake. So do two specs of test/isolation.
#
# Prints one line per mistake. Not as root; needs build/dsocr-fake, or DSOCR_FAKE.
cd "$(dirname "$0")/../.." || exit 1
. test/server.sh
top=$(mktemp -d "${TMPDIR:-/tmp}/dsocr-plants.XXXXXX")
trap 'rm -rf "$top"' EXIT
export DSOCR_FAKE=${DSOCR_FAKE:-$PWD/build/dsocr-fake}
mkdir "$top/src" && tar -c --exclude=./build* --exclude='*.o' --exclude='*.so' --exclude=./model --exclude=./tmp_check . | tar -x -C "$top/src"
pg_config=$(server_copy "$top/pg") && cd "$top/src" &&
    make -s -f pgxs.mk PLANT=1 PG_CONFIG="$pg_config" all install >"$top/build.log" 2>&1 || { tail "$top/build.log"; echo "FAIL the planted server is not built"; exit 1; }
export PATH=${pg_config%/*}:$PATH PG_REGRESS=$(dirname "$("$pg_config" --pgxs)")/../test/regress/pg_regress
export PERL5LIB=$top/src/test/t:$(dirname "$("$pg_config" --pgxs)")/../test/perl:${PERL5LIB:-}
export CHAOS_JOBS=360 CHAOS_KILLS=12 CHAOS_RESTARTS=1 CHAOS_PATIENCE=${CHAOS_PATIENCE:-15}
status=0

# try MISTAKES WHAT-IT-SAYS PATTERN: the line that must be there in one of three runs: whether a kill hits the moment in
# which a mistake matters is a matter of luck.
try() {
    local seed log=$top/$1.log
    for seed in 7 8 9; do
        mkdir -p "$top/$1.$seed" # a run that fails leaves its server behind
        CHAOS_SEED=$seed TESTDIR=$top/$1.$seed DSOCR_PLANT=$1 prove -v test/t/020_chaos.pl >"$log" 2>&1
        grep -qE "$3" "$log" && echo "ok   $2" && return
    done
    echo "FAIL $2"
    grep -E '^(not )?ok|# (kill|  *(got|exp))' "$log"
    status=1
}

try requeue   'claims of a dead worker forgotten: documents are missed' '^not ok .* (0 lost|the queue is empty)'
try early     'jobs deleted before the result is there: documents are missed' '^not ok .* 0 lost'
CHAOS_PATIENCE=180 try two       'a second worker does no harm' '^Result: PASS'
try token,two 'the token not looked at: results are doubled' '^not ok .* 0 twice'

# spec MISTAKE SPEC WHAT-IT-SAYS PATTERN: what stands in a user's way, a spec has to see. The foreign key, from results to their
# rows, is a mistake of the specs' own tables.
spec() {
    local log=$top/$1.log
    DSOCR_PLANT=$1 SPEC_CONF="spec.foreign_key = $([ "$1" = foreign_key ] && echo on || echo off)" SPEC_PATIENCE=1s TMPDIR=$top \
        test/isolation/run.sh "$pg_config" "$2" >"$log" 2>&1
    grep -qE "$4" "$log" && echo "ok   $3" && return
    echo "FAIL $3"
    tail -n 40 "$log"
    status=1
}
spec rowlock     update 'a row locked against all changes: an open UPDATE holds the queue up' '^\+ERROR: +never came'
spec foreign_key delete 'a foreign key: a DELETE with an old snapshot fails' '^\+ERROR: +could not serialize access'
exit $status
