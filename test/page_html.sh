#!/bin/bash
# page_html.sh - dsocr_page_html in a browser: every box within 2 pixels of where the result says it is, nothing on the
# console, nothing fetched, hits reached by keys, readable on a phone. Needs a server with dsocr (PGHOST and so on) and
# chromium; says so where that is missing. KEEP=dir keeps the page and two screenshots.
cd "$(dirname "$0")/.." || exit 1
browser=$(command -v chromium || command -v chromium-browser) || { echo "skip page_html: no chromium on this machine"; exit 0; }
dir=${KEEP:-$(mktemp -d)}
mkdir -p "$dir"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$dir"' EXIT
scan=${SCAN:-test/pages/letter_en.jpg} query=${QUERY:-please | mice | station}
failed=0
promise() { if [ "$2" = "$3" ]; then echo "ok   $1"; else echo "FAIL $1: $2"; failed=1; fi; }

{ echo "CREATE TEMP TABLE r AS SELECT d, dsocr_extract(d) AS r FROM (SELECT decode('$(od -An -v -tx1 "$scan" | tr -d ' \n')', 'hex') AS d) s;"
  echo "\\o $dir/page.html"
  echo "SELECT dsocr_page_html(d, r, to_tsquery('simple', :'q')) FROM r;"
  echo "\\o $dir/expected.json"
  echo "SELECT jsonb_build_object('width', r#>'{document,pages,0,width}', 'boxes', jsonb_path_query_array(r, '\$.document.pages[0].elements[*].lines[*].bbox'),
          'hits', (SELECT count(*) FROM dsocr_highlight(r, to_tsquery('simple', :'q')) WHERE bbox IS NOT NULL)) FROM r;"
} | psql -XqAt -v ON_ERROR_STOP=1 -v q="$query" -f - || { echo "FAIL page_html: no page"; exit 1; }

cat >"$dir/probe.js" <<'JS'
addEventListener('load', () => {
  const img = document.querySelector('.scan img'), scan = document.querySelector('.scan');
  const narrow = getComputedStyle(document.querySelector('section')).gridTemplateColumns.split(' ').length;
  scan.style.width = expected.width + 'px';
  const origin = img.getBoundingClientRect(), boxes = [...document.querySelectorAll('.scan a')];
  let worst = boxes.length === expected.boxes.length ? 0 : 1e9;
  boxes.forEach((a, i) => {
    const b = a.getBoundingClientRect(), e = expected.boxes[i] || [];
    for (const d of [b.left - origin.left - e[0], b.top - origin.top - e[1], b.right - origin.left - e[2], b.bottom - origin.top - e[3]])
      worst = Math.max(worst, Math.abs(d));
  });
  const hits = document.querySelectorAll('.scan i').length;
  document.dispatchEvent(new KeyboardEvent('keydown', { key: 'n' }));
  const at = document.getElementById('at') ? document.getElementById('at').textContent : '';
  boxes[0].focus();
  const lit = document.getElementById('t' + boxes[0].id.slice(1)).classList.contains('on');
  const enter = () => { document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' })); return document.activeElement.id; };
  const there = enter(), back = enter();
  const crossed = there === 't' + boxes[0].id.slice(1) && back === boxes[0].id;
  document.documentElement.setAttribute('data-probe', JSON.stringify({ boxes: boxes.length, worst, natural: img.naturalWidth, columns: narrow,
    hits, at, lit, crossed, fetched: performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length }));
});
JS
{ sed '$d' "$dir/page.html"; echo "<script>const expected = $(cat "$dir/expected.json");"; cat "$dir/probe.js"; echo "</script></html>"; } >"$dir/probe.html"

look() { # WIDTH OPTIONS...
    local width=$1; shift
    timeout 600 "$browser" --headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update \
        --no-first-run --user-data-dir="$dir/profile" --window-size="$width,1400" --enable-logging=stderr "$@" 2>>"$dir/log"
}
: >"$dir/log"
probe() { look "$1" --dump-dom "file://$(realpath "$dir")/probe.html" | grep -o 'data-probe="[^"]*"' | head -1 | sed 's/^data-probe="//; s/"$//; s/&quot;/"/g'; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1]))' "$1" <<<"$said"; }

said=$(probe 1400)
[ -n "$said" ] || { tail -n 5 "$dir/log"; echo "FAIL page_html: the browser did not show the page"; exit 1; }
echo "     $said"
promise "the scan is shown at the size that was read" "$(field natural)" "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["width"])' "$dir/expected.json")"
promise "there are boxes, each within 2 pixels of the result's" "$(python3 -c 'import json, sys; p = json.load(sys.stdin); print(p["boxes"] > 5 and p["worst"] <= 2)' <<<"$said")" True
promise "every hit has a mark on the scan" "$(field hits)" "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["hits"])' "$dir/expected.json")"
promise "the key n goes to the first hit" "$(field at)" "1 / $(grep -o '<mark ' "$dir/page.html" | wc -l)"
promise "a box that has the focus lights its text" "$(field lit)" True
promise "Enter goes from a box to its text, and back" "$(field crossed)" True
promise "nothing is fetched" "$(field fetched)" 0
promise "scan and text stand side by side" "$(field columns)" 2
said=$(probe 500)
promise "on a narrow screen one below the other" "$(field columns)" 1
promise "nothing is on the console" "$(grep -c CONSOLE "$dir/log")" 0
if [ -n "${KEEP:-}" ]; then
    look 1400 --screenshot="$dir/wide.png" "file://$(realpath "$dir")/page.html" >/dev/null
    look 500 --screenshot="$dir/narrow.png" "file://$(realpath "$dir")/page.html" >/dev/null
fi
exit $failed
