#!/bin/bash
# commands.sh - what the command dsocr promises its user, without any database. BUILD can be given.
cd "$(dirname "$0")/../.." || exit 1
build=$PWD/${BUILD:-build}
dsocr=$build/dsocr
pages=$PWD/test/pages
out=$(mktemp -d /tmp/dsocr-cli.XXXXXX)
trap 'rm -rf "$out"' EXIT
status=0

promise() {
    if [ "$2" = 0 ]; then echo "ok   $1"; else echo "FAIL $1"; status=1; fi
}
# has WHAT FILE PATTERN: the file has a line that matches.
has() {
    grep -qE "$3" "$2"
    promise "$1" $?
}
# exits WHAT STATUS COMMAND...: its exit status, output kept in $out/o and $out/e.
exits() {
    local what=$1 want=$2
    shift 2
    "$@" >"$out/o" 2>"$out/e" </dev/null
    promise "$what" $(($? != want))
}

exits "--help prints the commands" 0 "$dsocr" --help
has "--help names read" "$out/o" "read FILE"
exits "so do help, and --help behind a command" 0 "$dsocr" read --help x
[ "$("$dsocr" help)" = "$(cat "$out/o")" ]
promise "all the same" $?
exits "an unknown command is an error" 2 "$dsocr" frobnicate x
exits "an unknown option is an error" 2 "$dsocr" read --frobnicate x
has "which says where the known ones are" "$out/e" "dsocr --help"
exits "a number that is none is an error" 2 "$dsocr" read --threads two x

exits "read gives the text of a page" 0 "$dsocr" read "$pages/recipe_fr.jpg"
has "the text has a line of the page" "$out/o" "farine"
cp "$out/o" "$out/recipe"
exits "read takes a file from standard input" 0 bash -c "'$dsocr' read - <'$pages/recipe_fr.jpg'"
cmp -s "$out/o" "$out/recipe"
promise "and reads the same there" $?
exits "markdown marks the title" 0 "$dsocr" read --format markdown "$pages/recipe_fr.jpg"
has "with a heading" "$out/o" "^# .*mirabelles"
exits "json is JSON" 0 "$dsocr" read --format json "$pages/recipe_fr.jpg"
python3 - "$out/o" <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
p = d["document"]["pages"][0]
assert d["version"] == "1.0" and d["metadata"]["model"] == "dsocr-mini" and len(d["metadata"]["weights_sha256"]) == 64
assert p["status"] == "ok" and p["elements"] and all(len(e["bbox"]) == 4 for e in p["elements"])
for e in p["elements"]:
    assert p["text"][e["char_start"]:e["char_end"]] == e["text"]
P
promise "with model, hash, elements and boxes, and texts found at char_start..char_end" $?

exits "several files come in their order, a bad one is told and the others are read" 1 \
    "$dsocr" read "$pages/receipt_en.jpg" "$out/recipe" "$pages/recipe_fr.jpg"
has "the bad one is named with its reason" "$out/e" "recipe: .*not an image"
[ "$(grep -n -m1 "CORNER SHELF" "$out/o" | cut -d: -f1)" -lt "$(grep -n -m1 farine "$out/o" | cut -d: -f1)" ]
promise "first file first" $?
exits "a file that is not there is told" 1 "$dsocr" read "$out/nothing.png"
has "with the system's word" "$out/e" "No such file"
exits "an unknown option of reading lists the known ones" 1 "$dsocr" read --options '{"rotat":90}' "$pages/receipt_en.jpg"
has "with their names" "$out/e" "rotate"
exits "what the model cannot is refused, before a file is looked at" 1 "$dsocr" read --mode describe "$out/nothing.png"
has "by its name" "$out/e" '"dsocr-mini"'
has "with a model that can" "$out/e" "DeepSeek-OCR-2"
exits "a phrase must be said" 1 "$dsocr" read --mode locate --question ' ' "$pages/receipt_en.jpg"
has "and it is told what one is" "$out/e" "the signature"
"$build/mktoy" "$out/toy" >"$out/o"
exits "a model that can is asked" 0 "$dsocr" read --model "$out/toy" --mode locate --question "a seal" --format json \
    --options '{"max_tokens": 5}' "$pages/receipt_en.jpg"
has "and its answer says so" "$out/o" '"mode": ?"locate"'
exits "a page that the document lacks is refused" 1 "$dsocr" read --pages 3 "$pages/receipt_en.jpg"
exits "another model's directory that is missing is told" 1 "$dsocr" read --model /nowhere/model "$pages/receipt_en.jpg"
has "with its name" "$out/e" "/nowhere/model"

exits "info needs no model" 0 env DSOCR_MODEL=/nowhere/model "$dsocr" info "$pages/fax_en.tif"
has "and gives the format" "$out/o" '"format": ?"tiff"'
exits "verify says what a model is" 0 "$dsocr" verify --hash model/mini
has "its name" "$out/o" "dsocr-mini"
has "its hash" "$out/o" "sha256 +[0-9a-f]{64}"
mkdir "$out/model" && cp model/mini/config.json model/mini/tokenizer.json "$out/model"
head -c 4000000 model/mini/model.safetensors >"$out/model/model.safetensors"
exits "verify refuses a file that was cut off" 1 "$dsocr" verify "$out/model"

(cd "$out" && "$dsocr" read --stage views "$pages/receipt_en.jpg" >o && [ -s view-000.png ])
promise "--stage views writes the views as PNG" $?
[ "$(tr -d ' \n' <"$out/o" | grep -o '"views":\[\[[0-9]' | wc -l)" -ge 8 ]
promise "and says where each was cut from" $?
exits "--stage lines gives boxes" 0 "$dsocr" read --stage lines "$pages/receipt_en.jpg"
has "with baselines" "$out/o" '"baseline"'
exits "an unknown stage lists the known ones" 1 "$dsocr" read --stage nonsense "$pages/receipt_en.jpg"
exits "bench prints figures" 0 "$dsocr" bench "$pages/receipt_en.jpg"
has "pages a second" "$out/o" "pages/s"
exits "bench --sandbox decodes in children" 0 "$dsocr" bench --sandbox "$pages/receipt_en.jpg"
has "and prices one" "$out/o" "a child costs [0-9.-]+ ms"

view=test/golden/mini/00.png
exits "dump takes an image of the view's size as one view" 0 "$dsocr" dump --max-tokens 3 "$view"
python3 - "$out/o" <<'P'
import json, sys
v, = json.load(open(sys.argv[1]))["views"]
for k in "global_sam global_encoder image_rows logits".split():
    assert len(v[k]["first"]) == 4 and len(v[k]["last"]) == 2 and v[k]["shape"] and "sum" in v[k] and "sumsq" in v[k]
assert len(v["tokens"]) == 3 and v["min_gap"] >= 0 and v["text"]
P
promise "with every stage, tokens, gap and text" $?
(cd "$out" && "$dsocr" read --stage views "$pages/form_en.jpg" >o && "$dsocr" read --stage tokens "$pages/form_en.jpg" >o &&
    for v in view-*.png; do "$dsocr" dump "$v"; done >e)
python3 - "$out/o" "$out/e" <<'P'
import json, sys
page, dumps = json.load(open(sys.argv[1])), open(sys.argv[2]).read().replace("\n}\n{", "\n},{")
read = [d["views"][0]["read"] for d in json.loads(f"[{dumps}]")]
looks = [r.pop("looks") for r in read]
assert len(page) > 30 and page == read[:len(page)], [(p, r) for p, r in zip(page, read) if p != r]
assert set(looks) == {1, 2}, looks
P
promise "and reads a view as the page does that it was cut from, with a second look at some" $?
exits "dump takes prompt ids" 0 "$dsocr" dump --prompt-ids 1,I --max-tokens 3 "$view"
exits "a prompt id outside of the vocabulary is refused" 1 "$dsocr" dump --prompt-ids 1,I,99999 "$view"
rm "$out/model/tokenizer.json" && cp model/mini/model.safetensors "$out/model"
exits "dump works without a tokenizer" 0 "$dsocr" dump --model "$out/model" --prompt-ids 1,I --max-tokens 3 "$view"
exit $status
