#!/bin/bash
# layers.sh - includes point one way. Nothing on the left of the pipeline knows of anything on its right:
#
#   src/engine   a file includes headers that stand no later than itself in ORDER; cpu/ stands where backend does
#   src/serve    of the engine: dsocr.h and what it is made of
#   src/cli      serve and the engine, as serve
#   src/pg       of all this: serve/wire.h, and engine/status.h for the words
#   cuda         the engine's backend.h, tensor.h and what they stand on
#
# postgres.h is known to src/pg alone. A file that ORDER does not name is a mistake too: it has no place yet. a=b: they stand together.
cd "$(dirname "$0")/.." || exit 1

ORDER="status plant arena utf8 sha256 tensor options \
       image exif png jpeg tiff webp views resize lines page \
       backend safetensors adapter config draft model resize_tables \
       vision patches flow tokenizer prompt kvcache choose decoder \
       layout json dsocr=reading=look=turn=dump"
FACE="adapter status arena sha256 utf8 options image json dsocr views lines tokenizer layout tensor"

awk -v order="$ORDER" -v face="$FACE" '
function fail(why) { printf "FAIL %s:%d includes %s: %s\n", FILENAME, FNR, name, why; bad++ }
# image_formats.h stands where image does, as long as it has no place of its own.
function rank_of(base) { while (!(base in rank) && sub(/_[^_]*$/, "", base)); return (base in rank) ? rank[base] : 0 }
function layer(path) {
    if (path ~ /^src\/engine\/cpu\//) return "cpu"
    if (path ~ /^src\/engine\//) return "engine"
    if (path ~ /^cuda\//) return "cuda"
    sub(/^src\//, "", path); sub(/\/.*/, "", path); return path
}
BEGIN {
    n = split(order, words)
    for (i = 1; i <= n; i++) { k = split(words[i], same, "="); while (k) rank[same[k--]] = i }
    n = split(face, words);  for (i = 1; i <= n; i++) shown[words[i]] = 1
}
# Where a quoted include leads: beside the file, or one of the folders on the include path.
function resolve(file, inc,    dir, i, n, tries) {
    dir = file; sub(/[^\/]*$/, "", dir)
    n = split(dir inc " src/" inc " src/engine/" inc " src/serve/" inc, tries, " ")
    for (i = 1; i <= n; i++) { while (sub(/[^\/]+\/\.\.\//, "", tries[i])); if ((getline junk < tries[i]) >= 0) { close(tries[i]); return tries[i] } }
    return ""
}
FNR == 1 {
    files++; me = layer(FILENAME); base = FILENAME; sub(/.*\//, "", base); sub(/\.[a-z]+$/, "", base)
    if (me == "engine" && !rank_of(base)) { name = "(itself)"; fail("test/layers.sh gives it no place in ORDER") }
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    name = $0; sub(/^[^<]*</, "", name); sub(/>.*/, "", name)
    if (me != "pg" && name ~ /^(postgres|libpq|utils|storage|access|miscadmin|fmgr)/) fail("PostgreSQL is known to src/pg alone")
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    edges++
    name = $0; sub(/^[^"]*"/, "", name); sub(/".*/, "", name)
    to = resolve(FILENAME, name); it = layer(to); ib = to; sub(/.*\//, "", ib); sub(/\.h$/, "", ib)
    if (to == "") { if (me != "pg") fail("no such file of ours"); next }
    if (me == "engine") {
        if (it == "cpu" && (base == "backend" || base == "dsocr")) next
        if (it != "engine") fail("the engine knows nothing of " it)
        else if (rank_of(ib) > rank_of(base)) fail("it stands later in the pipeline")
    }
    if (me == "cpu" && !(it == "cpu" || (it == "engine" && rank_of(ib) <= rank_of("model")))) fail("operations know tensors, not stages")
    if (me == "cuda" && !(it == "cuda" || (it == "engine" && (ib ~ /^(backend|tensor|arena|status)$/)))) fail("the cuda backend knows backend.h and tensor.h")
    if ((me == "serve" || me == "cli") && it == "engine" && !(ib in shown)) fail("of the engine only dsocr.h and what it is made of")
    if (me == "serve" && it ~ /^(cli|pg)$/) fail("serve knows the engine alone")
    if (me == "cli" && it == "pg") fail("the command knows no server")
    if (me == "pg" && it != "pg" && to != "src/serve/wire.h" && to != "src/engine/status.h") fail("src/pg shares wire.h and nothing else")
}
END {
    if (!files || !edges) { print "FAIL no source was looked at"; exit 1 }
    if (!bad) printf "ok   %d includes of %d files point one way\n", edges, files
    exit bad != 0
}' $(find src cuda -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' 2>/dev/null | sort)
