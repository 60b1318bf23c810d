#!/bin/bash
# fuzz.sh SECONDS - runs every fuzz target of build-fuzz for so long, beginning with its corpus; 0 replays the corpus.
# A crash stays in build-fuzz/NAME_crash-*: add it to test/fuzz/NAME_corpus with the repair.
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-60}
status=0 found=0
for target in build-fuzz/*_fuzz; do
    [ -x "$target" ] || continue
    found=1
    name=$(basename "$target" _fuzz)
    work=build-fuzz/${name}_work
    mkdir -p "$work"
    corpus=()
    for d in "test/fuzz/${name}_corpus" "test/fuzz/corpus/$name"; do [ -d "$d" ] && corpus+=("$d"); done
    limit=(-max_total_time="$seconds")
    [ "$seconds" = 0 ] && limit=(-runs=0)
    if "$target" "${limit[@]}" -timeout=120 -rss_limit_mb=2048 -artifact_prefix="build-fuzz/${name}_" \
        "$work" "${corpus[@]}" >"build-fuzz/$name.log" 2>&1; then
        n=$(find "${corpus[@]}" -type f | wc -l)
        echo "ok   $name: $(grep -a -o '^Done [0-9]*' "build-fuzz/$name.log" | cut -c6-) inputs, $n of them in the corpus"
    else
        echo "FAIL $name: build-fuzz/$name.log"
        tail -n 15 "build-fuzz/$name.log"
        status=1
    fi
done
[ $found = 1 ] || echo "skip there are no targets in test/fuzz"
exit $status
