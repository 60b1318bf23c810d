"""Test pages that no training has a part in: set by Chromium in reserved faces, aged by test/pages/paper.py.

    python3 typeset.py OUT --text TEXT [--n 60]        # Debian's Python and packages, group `pages` of deps/debian.txt
    python evaluate.py pages OUT

Letters, prose in columns, tables, receipts and forms at 75 to 300 dpi. The faces are families of lines.HELD,
the layout is a browser's, the ageing another program's: what the mini has merely got used to shows here.
"""

import argparse
import html
import os
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

import lines

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "test", "pages"))
import paper  # noqa: E402

W, H, TOGETHER, ZOOM = 620, 877, 6, 2.5  # A4 at 75 dpi; pages in one screenshot; 75 dpi times this
FACES = {"typed": ["Tlwg Typist", "Compagnon"], "receipt": ["Hermit", "Agave", "Compagnon"],
         "form": ["Carlito", "Open Sans", "Cantarell"], "table": ["Carlito", "Open Sans", "Charis SIL"],
         "prose": ["Charis SIL", "Prociono", "Goudy Bookletter 1911", "Century Catalogue", "ElstobD", "Carlito"],
         "columns": ["Charis SIL", "Prociono", "Goudy Bookletter 1911", "Fanwood Text", "Open Sans"]}


class Page:
    """HTML that grows, and its truth: one line a paragraph, row or label."""

    def __init__(self, r, text):
        self.r, self.text, self.html, self.truth = r, text, "", []

    def put(self, words, style=""):
        if words:
            self.truth.append(words)
            self.html += f'<div style="{style}">{html.escape(words)}</div>'

    def row(self, cells, style=""):
        self.truth.append(" ".join(c for c in cells if c))
        self.html += f'<div style="display:flex;justify-content:space-between;{style}">' + "".join(
            f"<span>{html.escape(c)}</span>" for c in cells) + "</div>"

    def running(self, n):
        return " ".join(self.text.words(self.r, n))


def prose(p, columns=1):
    p.put(p.running(30), "font-size:140%;text-align:center;margin-bottom:1em")
    p.html += f'<div style="columns:{columns};column-gap:2em;text-align:justify">'
    for _ in range(4):
        p.put(p.running(p.r.randrange(150, 380)), "margin-bottom:.6em")
    p.html += "</div>"


def typed(p):
    p.put(lines.number(p.r), "text-align:right")
    for _ in range(3):
        p.put(p.running(p.r.randrange(120, 330)), "margin:1em 0")
    p.put(p.running(24).upper())


def receipt(p):
    p.html += '<div style="width:52%;margin:auto">'
    p.put(p.running(22).upper(), "text-align:center")
    for _ in range(p.r.randrange(8, 16)):
        p.row([p.text.phrase(p.r, 14).upper(), lines.amount(p.r)])
    p.row(["TOTAL", lines.amount(p.r)], "font-size:125%")
    p.html += "</div>"


def table(p):
    p.put(p.running(40), "margin-bottom:1em")
    for _ in range(p.r.randrange(10, 18)):
        p.row([p.text.phrase(p.r, 18), lines.number(p.r), lines.amount(p.r)], "border-bottom:1px solid #444")


def form(p):
    for _ in range(p.r.randrange(9, 15)):
        p.html += '<div style="border:1px solid #222;padding:2px 5px 6px">'
        p.put(p.text.phrase(p.r, 20), "font-size:70%")
        p.put(lines.number(p.r) if p.r.random() < .5 else p.running(30), "font-family:'Tlwg Typist'")
        p.html += "</div>"


KINDS = {"typed": typed, "receipt": receipt, "form": form, "table": table, "prose": prose,
         "columns": lambda p: prose(p, 2)}


def shoot(pages, browser, folder):
    """Pages' HTML -> ink [H * ZOOM, W * ZOOM] each, 0..1"""
    body = "".join(f'<div style="position:absolute;top:{i * H}px;left:0;width:{W - 120}px;height:{H - 100}px;padding:50px 60px;'
                   f'overflow:hidden;line-height:{p.leading};font:{p.size}px/{p.leading} \'{p.face}\'">{p.html}</div>' for i, p in enumerate(pages))
    with open(os.path.join(folder, "p.html"), "w", encoding="utf-8") as f:
        f.write(f'<meta charset="utf-8"><body style="margin:0;background:#fff;color:#000">{body}')
    subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--force-device-scale-factor={ZOOM}",
                    f"--window-size={W},{H * len(pages)}", f"--screenshot={folder}/p.png", f"file://{folder}/p.html"],
                   check=True, capture_output=True, timeout=180)
    a = 1 - np.asarray(Image.open(os.path.join(folder, "p.png")).convert("L"), np.float32) / 255
    return [a[round(i * H * ZOOM):round((i + 1) * H * ZOOM)] for i in range(len(pages))]


def aged(ink, r, rng):
    """Scanned at 75 to 300 dpi; some on one bit."""
    dpi = r.choice([100, 150, 150, 200, 200, 300])
    size = round(W * dpi / 75), round(H * dpi / 75)
    ink = np.asarray(Image.fromarray(ink).resize(size, Image.LANCZOS)).clip(0, 1)
    light, black = r.uniform(200, 250), r.uniform(20, 70)
    grey = paper.age(ink, rng, paper=light, black=black, soft=r.uniform(.3, .9) * dpi / 150, wear=r.uniform(0, .3),
                     grain=r.uniform(1, 5), stains=r.randrange(4), shade=r.uniform(0, 7))
    out = grey.clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.where(out > black + (light - black) * r.uniform(.55, .75), 255, 0).astype(np.uint8) if r.random() < .2 else out), dpi


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--text", default="text")
    p.add_argument("--n", type=int, default=60)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or sys.exit("no chromium")
    r, rng = random.Random(a.seed), np.random.default_rng(a.seed)
    text = lines.Text(a.text, "abc")
    os.makedirs(a.out, exist_ok=True)
    for start in range(0, a.n, TOGETHER):
        pages = []
        for i in range(start, min(a.n, start + TOGETHER)):
            page = Page(r, text)
            page.kind = list(KINDS)[i % len(KINDS)]
            page.face, page.size, page.leading = r.choice(FACES[page.kind]), r.uniform(10.5, 13.5), r.uniform(1.15, 1.5)
            KINDS[page.kind](page)
            pages.append(page)
        with tempfile.TemporaryDirectory() as d:
            inks = shoot(pages, browser, d)
        for i, (page, ink) in enumerate(zip(pages, inks), start):
            image, dpi = aged(ink, r, rng)
            name = os.path.join(a.out, f"{page.kind}_{i:02}")
            image.save(name + ".png", dpi=(dpi, dpi))
            with open(name + ".txt", "w", encoding="utf-8") as f:
                f.write("\n".join(page.truth) + "\n")
    print(f"{a.n} pages in {a.out}")


if __name__ == "__main__":
    main()
