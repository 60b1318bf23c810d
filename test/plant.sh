#!/bin/bash
# plant.sh - the toy's test (the prompt's, of the prompt) must notice every mistake that plant.h can plant (spec 14.2),
# and none where there is none.
# In an archive of its own: no other build knows how to make mistakes. JOBS=2 threads of make.
set -u
cd "$(dirname "$0")/.."
build=build-plant
make -s -j"${JOBS:-2}" PLANT=1 BUILD=$build $build/toy_test $build/prompt_test $build/mktoy >/dev/null || exit 1
export DSOCR_BUILD=$build
failed=0
names=($(sed -n 's/^ *\(PLANT_[A-Z0-9_]*\),.*/\1/p' src/engine/plant.h))
for i in "${!names[@]}"; do
    name=${names[$i]}
    [ "$name" = PLANT_COUNT ] && continue
    test=toy_test
    [ "$name" != PLANT_PROMPT_ORDER ] || test=prompt_test
    out=$(DSOCR_PLANT=$i timeout 600 $build/$test 2>&1)
    status=$?
    first=$(grep -m1 '^FAIL' <<<"$out" | cut -c6-70)
    if [ "$name" = PLANT_NONE ] && [ $status -eq 0 ]; then
        echo "ok   no mistake: the toy's test passes"
    elif [ "$name" != PLANT_NONE ] && [ $status -eq 1 ]; then
        echo "ok   $name is noticed: $first"
    else
        echo "FAIL $name: exit status $status"
        failed=1
    fi
    [ -n "${VERBOSE:-}" ] && grep -A0 '^     ' <<<"$out" | head -"$VERBOSE"
done
exit $failed
