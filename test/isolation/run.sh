#!/bin/bash
# run.sh PG_CONFIG [SPEC...] - the specs of isolationtester: what becomes of a user's transaction beside the queue, step by
# step. A server of its own, with the fake engine (build/dsocr-fake, or DSOCR_FAKE). SPEC_PATIENCE: how long a step waits for
# what has to come; SPEC_CONF: settings; KEEP=dir keeps the results and the log. Not as root. setup.sql has the words that the specs share.
cd "$(dirname "$0")/../.." || exit 1
. test/server.sh
top=$(mktemp -d "${TMPDIR:-/tmp}/dsocr-isolation.XXXXXX")
bin=$("$1" --bindir) tester=$(dirname "$("$1" --pgxs)")/../test/isolation
shift
[ $# -gt 0 ] || set -- $(basename -s .spec test/isolation/specs/*.spec)
fake=${DSOCR_FAKE:-$PWD/build/dsocr-fake}
trap 'cluster_stop "$bin" "$top"; [ -z "${KEEP:-}" ] || cp -r "$top/log" "$top/out/results" "$KEEP"; rm -rf "$top"' EXIT
# The queue's worker waits for a lock half as long as the server waits before it looks for a deadlock.
cluster_start "$bin" "$top" "shared_preload_libraries = 'dsocr'
dsocr.engine_path = '$fake'
dsocr.naptime = 1s
dsocr.retry_delay = 50ms
dsocr.max_attempts = 2
deadlock_timeout = 1s
log_min_messages = warning
spec.patience = '${SPEC_PATIENCE:-3min}'
${SPEC_CONF:-}" || exit 1
engine_wait "$bin" || exit 1
"$bin/createdb" isolation && "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -d isolation -f test/isolation/setup.sql || exit 1
"$tester/pg_isolation_regress" --use-existing --bindir="$bin" --dbname=isolation --host="$PGHOST" --user=postgres \
    --inputdir=test/isolation --outputdir="$top/out" "$@"
status=$?
[ $status = 0 ] || cat "$top/out/regression.diffs"
if grep -A5 'deadlock detected' "$top/log"; then echo "FAIL the server has seen a deadlock"; status=1; fi
exit $status
