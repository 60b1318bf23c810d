#!/bin/bash
# tesseract.sh - pages a second of dsocr-mini to those of Tesseract 5.3 (performance.md, row 11): processor seconds of one
# thread each for the same scans, in turns, image decoding and line finding included, with both errors beside it.
#
# The pages are those of test/pages and, where that folder is, of ../shared/samples. Each program reads a page in a process
# of its own; its start with nothing to read (a blank page) is measured too and taken off both, since a server starts once.
# ROUNDS=3: the least of so many counts. DSOCR_CPU picks the operations. BUILD and MODEL can be given.
cd "$(dirname "$0")/../.." || exit 1
dsocr=${BUILD:-build}/dsocr
model=${MODEL:-model/mini}
samples=${DSOCR_SHARED:-../shared}/samples
export OMP_THREAD_LIMIT=1
command -v tesseract >/dev/null || { echo "skip tesseract.sh: tesseract is not installed"; exit 0; }
out=$(mktemp -d /tmp/dsocr-bench.XXXXXX)
trap 'rm -rf "$out"' EXIT

# Processor seconds of a command, user and system, its output to a file: cpu FILE COMMAND...
cpu() {
    local to=$1 TIMEFORMAT='%U %S'
    shift
    { time "$@" >"$to" 2>/dev/null; } 2>&1 | awk '{ printf "%.3f", $1 + $2 }'
}

mini() { cpu "$2.json" "$dsocr" read --model "$model" --threads 1 --format json "$1"; }

language() { case $1 in *_de.*) echo deu ;; *_es.*) echo spa ;; *_fr.*) echo fra ;; *) echo eng ;; esac; }

tess() { cpu "$2.txt" tesseract "$1" - -l "$(language "$1")" "${@:3}"; }

least() { awk -v a="$1" -v b="$2" 'BEGIN { print (a == "" || b < a) ? b : a }'; }

# One row a page; sums are kept in total_mini and total_tess.
bench() {
    local name=$1 folder=$2 f page m t a b
    mkdir -p "$out/$name"/{mini,tess}
    total_mini=0 total_tess=0
    printf '%-22s %8s %10s\n' "$name, CPU s" mini Tesseract
    for f in "$folder"/*.{png,jpg,tif}; do
        [ -e "$f" ] || continue
        page=$(basename "${f%.*}") a='' b=''
        tesseract --list-langs 2>&1 | grep -qx "$(language "$f")" || { echo "skip $page: tesseract has not learnt $(language "$f")"; continue; }
        for _ in $(seq "${ROUNDS:-3}"); do
            m=$(mini "$f" "$out/$name/mini/$page") t=$(tess "$f" "$out/$name/tess/$page")
            a=$(least "$a" "$m") b=$(least "$b" "$t")
        done
        a=$(awk -v x="$a" -v s="$start_mini" 'BEGIN { print x - s }') b=$(awk -v x="$b" -v s="$start_tess" 'BEGIN { print x - s }')
        printf '%-22s %8.2f %10.2f\n' "$page" "$a" "$b"
        total_mini=$(awk -v x="$total_mini" -v y="$a" 'BEGIN { print x + y }')
        total_tess=$(awk -v x="$total_tess" -v y="$b" 'BEGIN { print x + y }')
    done
    awk -v n="$name" -v m="$total_mini" -v t="$total_tess" 'BEGIN { printf "%s: Tesseract %.2f s, mini %.2f s, ratio %.2f (AVX2: floor 2, goal 4; AVX-512: 3, 6)\n", n, t, m, t / m }'
    for who in mini tess; do
        echo "$name, $who: $(/usr/bin/python3 test/score.py "$folder" "$out/$name/$who" | grep mean)"
    done
}

# The start of each, on a page with nothing on it.
base64 -d >"$out/white.png" <<<'iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAKUlEQVR4nO3MQREAAAwCIPuX1hD77SAA6VEEAoFAIBAIBAKBQCAQfA8Gpwvw4pr3blgAAAAASUVORK5CYII='
start_mini='' start_tess=''
for _ in 1 2 3; do
    start_mini=$(least "$start_mini" "$(mini "$out/white.png" "$out/white")")
    start_tess=$(least "$start_tess" "$(tess "$out/white.png" "$out/white")")
done
echo "start: mini $start_mini s, Tesseract $start_tess s; $("$dsocr" --version 2>/dev/null | head -n 1), $(tesseract --version 2>&1 | head -n 1)"
grep -m1 'model name' /proc/cpuinfo
bench pages test/pages
if [ -f "$samples/boxes.tsv" ]; then
    bench samples "$samples"
else
    echo "skip the real scans: no folder ../shared/samples (DSOCR_SHARED can name the folder above it)"
fi
