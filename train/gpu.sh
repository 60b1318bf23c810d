#!/bin/bash
# gpu.sh - trains on a machine with a GPU that is reached only by calls of some minutes, has no network, and takes
# little along.
#
#   gpu.sh pack DIR                           here: code, model, fonts, text -> DIR, and its size
#   gpu.sh train DIR OUT MINUTES [OPTION ...] there: starts the training, or goes on with it; waits; weights to OUT
#   gpu.sh stop                               there: ends it at its next step, with a checkpoint
#
# pack takes TEXT (a folder of text.py), MODEL, FONTS (folders), and if given ENGINE (a dsocr that runs there, for
# --found) and WHEELS (a folder of wheels that Python lacks there); it fails above LIMIT bytes.
# train gives train.py its options (--steps N is needed at first; the device draws the lines, but for --no-compose,
# which --found needs); the training is in a session of its own, so it goes on between calls. A call brings its averaged
# weights (bf16, files of at most 16 MB), its curve and its log.
# The training lives in WORK, which must outlast a call. A new call after `stop`, or after a crash, resumes.
set -euo pipefail
PYTHON=${PYTHON:-python3} WORK=${WORK:-${TMPDIR:-/tmp}/dsocr-gpu} LIMIT=${LIMIT:-64000000}
FILE_LIMIT=16000000
run=$WORK/train/run

fail() {
    echo "gpu.sh: $*" >&2
    exit 1
}

usage() { fail "pack DIR | train DIR OUT MINUTES [OPTION ...] | stop"; }

pack() {
    local dir here size
    mkdir -p "$1/train"
    dir=$(cd "$1" && pwd) here=$(dirname "${BASH_SOURCE[0]}")
    local text=${TEXT:-$here/text} model=${MODEL:-$here/../model/mini}
    [ -d "$text" ] || fail "no folder $text: text.py makes one, TEXT names another"
    [ -z "$(ls -A "$dir/train")" ] || fail "$dir/train is not empty"
    cp "$here"/*.py "$here/gpu.sh" "$dir/train/"
    mkdir -p "$dir/model/mini"
    cp "$model"/{config.json,tokenizer.json,model.safetensors} "$dir/model/mini/"
    # shellcheck disable=SC2086 # FONTS is a list
    "$PYTHON" "$here/subset.py" "$dir/fonts" --model "$model" --fonts ${FONTS:-/usr/share/fonts /usr/share/texmf}
    tar -cJf "$dir/fonts.tar.xz" -C "$dir" fonts
    rm -r "$dir/fonts"
    tar -cJf "$dir/text.tar.xz" -C "$text" .
    [ -z "${ENGINE:-}" ] || install -D "$ENGINE" "$dir/build/dsocr"
    [ -z "${WHEELS:-}" ] || cp -r "$WHEELS" "$dir/wheels"
    size=$(du -sb "$dir" | cut -f1)
    du -b "$dir"/* | sort -n
    [ "$size" -le "$LIMIT" ] || fail "$dir has $size bytes, $((size - LIMIT)) too many (LIMIT=$LIMIT): fewer FONTS or less TEXT"
    echo "$dir: $size bytes of $LIMIT"
}

# The process of the training, if it runs; a number that another program has by now does not count.
running() {
    pid=$(cat "$WORK/pid" 2>/dev/null) && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "train.py "
}

# The machine must have what train.py needs; better said now than in a log.
look() {
    "$PYTHON" -c 'import torch, numpy, PIL, fontTools, rapidfuzz, safetensors' ||
        fail "$PYTHON lacks a package here: pack it as a wheel (WHEELS)"
    case " $* " in
    *" --device cpu "*) return ;;
    esac
    "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
        fail "PyTorch finds no CUDA device here; --device cpu tries all this without one"
}

unpack() {
    mkdir -p "$run"
    cp -r "$1"/{train,model} "$WORK/"
    [ ! -d "$1/build" ] || cp -r "$1/build" "$WORK/"
    [ -d "$WORK/fonts" ] || "$PYTHON" -m tarfile -e "$1/fonts.tar.xz" "$WORK"
    [ -d "$WORK/train/text" ] || "$PYTHON" -m tarfile -e "$1/text.tar.xz" "$WORK/train/text"
    [ ! -d "$1/wheels" ] || [ -d "$WORK/site" ] ||
        "$PYTHON" -m pip install -q --no-index --no-deps --target "$WORK/site" "$1"/wheels/*.whl
}

start() {
    local what=(--out run) workers=$(($(nproc) > 1 ? $(nproc) - 1 : 1))
    [ ! -e "$run/last.pt" ] || what=(--resume run)
    cd "$WORK/train"
    # shellcheck disable=SC2016 # expanded by the session's own shell
    setsid bash -c 'echo $$ >../pid; exec "$@"' - "$PYTHON" -u train.py "${what[@]}" --fonts ../fonts --device cuda \
        --compose --workers "$workers" --evaluate-every 60 "$@" >>run/log 2>&1 </dev/null &
    cd - >/dev/null
    until [ -s "$WORK/pid" ]; do sleep .1; done
}

# Averaged weights of the last checkpoint, curve and log to a folder.
bring() {
    mkdir -p "$1"
    if [ -e "$run/last.pt" ]; then
        "$PYTHON" "$WORK/train/export.py" "$run" "$WORK/weights" --like "$WORK/model/mini"
        cp "$WORK/weights/model.safetensors" "$1/"
        if [ "$(stat -c %s "$1/model.safetensors")" -gt $FILE_LIMIT ]; then # cat model.safetensors.* puts it together
            split -b $FILE_LIMIT -d "$1/model.safetensors" "$1/model.safetensors."
            rm "$1/model.safetensors"
        fi
    fi
    [ ! -e "$run/curve.jsonl" ] || cp "$run/curve.jsonl" "$1/"
    tail -c $FILE_LIMIT "$run/log" >"$1/log"
}

train() {
    local dir=$1 out=$2 end
    end=$(awk -v now="$EPOCHREALTIME" -v m="$3" 'BEGIN { printf "%d", now + 60 * m }')
    shift 3
    export PYTHONPATH=$WORK/site${PYTHONPATH:+:$PYTHONPATH}
    if running; then
        echo "goes on (process $pid)"
    else
        rm -f "$WORK/pid"
        unpack "$dir"
        look "$@"
        start "$@"
        running && echo "started (process $pid)"
    fi
    while running && [ "$EPOCHSECONDS" -lt "$end" ]; do sleep 1; done
    bring "$out"
    tail -n 3 "$run/log"
    running || [[ $(tail -n 1 "$run/log") == "== "* ]] || fail "the training has failed, see $out/log"
}

stop() {
    running || fail "no training runs here"
    kill -TERM "$pid"
    for _ in {1..300}; do
        running || break
        sleep 1
    done
    kill -KILL -- "-$pid" 2>/dev/null || true # what draws for it
    echo "stopped; its checkpoint is in $run"
}

case "${1:-}" in
pack) [ $# = 2 ] || usage ;;
train) [ $# -ge 4 ] || usage ;;
stop) [ $# = 1 ] || usage ;;
*) usage ;;
esac
"$@"
