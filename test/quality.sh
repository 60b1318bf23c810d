#!/bin/bash
# quality.sh - how well dsocr-mini reads: the pages of test/pages, and the real ones of ../shared/samples where that
# folder is. Fails above the bounds of test/quality.bounds and test/samples.bounds. BUILD and MODEL can be given.
cd "$(dirname "$0")/.." || exit 1
dsocr=${BUILD:-build}/dsocr
model=${MODEL:-model/mini}
shared=${DSOCR_SHARED:-../shared}
python=python3
[ -x /usr/bin/python3 ] && python=/usr/bin/python3
out=$(mktemp -d /tmp/dsocr-quality.XXXXXX)
trap 'rm -rf "$out"' EXIT
status=0

read_all() {
    local folder=$1 to=$2 f start
    mkdir -p "$to"
    start=$(date +%s%N)
    for f in "$folder"/*.{png,jpg,tif}; do
        [ -e "$f" ] || continue
        "$dsocr" read --model "$model" --format json "$f" >"$to/$(basename "${f%.*}").json" || echo "FAIL $f could not be read"
    done
    echo "     $(($(date +%s%N) / 1000000 - start / 1000000)) ms for $(ls "$to" | wc -l) pages, the program's start included"
}

# The score itself: a reading that is the truth has no error, and one with a wrong letter has.
truth=$(sed -n 3,6p test/pages/letter_de.txt)
mkdir -p "$out"/{t,same,wrong}
echo "$truth" >"$out/t/a.txt"
tac <<<"$truth" >"$out/same/a.txt"
sed 's/ü/u/' <<<"$truth" >"$out/wrong/a.txt"
echo "a 0" >"$out/bounds"
"$python" test/score.py "$out/t" "$out/same" --bounds "$out/bounds" >/dev/null && echo "ok   the same lines in another order: no error" ||
    { echo "FAIL the same lines in another order have errors"; status=1; }
"$python" test/score.py "$out/t" "$out/wrong" --bounds "$out/bounds" >/dev/null && { echo "FAIL a wrong letter is not counted"; status=1; } ||
    echo "ok   a wrong letter is counted"

read_all test/pages "$out/pages"
"$python" test/score.py test/pages "$out/pages" --bounds test/quality.bounds || status=1
if [ -f "$shared/samples/boxes.tsv" ]; then
    read_all "$shared/samples" "$out/samples"
    "$python" test/score.py "$shared/samples" "$out/samples" --bounds test/samples.bounds || status=1
else
    echo "skip the real scans: no folder ../shared/samples (DSOCR_SHARED can name the folder above it)"
fi
exit $status
