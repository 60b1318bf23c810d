"""Reads with the built engine (build/dsocr, not PyTorch) and counts wrong characters.

    python evaluate.py pages FOLDER [--model DIR]       NAME.png (.jpg, .tif) with its text in NAME.txt
    python evaluate.py drawn --text TEXT [--n 400]      lines in faces that no training sees
    python evaluate.py export FOLDER --text TEXT        those lines as PNG and TXT, for other programs

Pages go through everything: line finding, views, reading. CERof puts the reading's lines in the truth's
order first, so that only reading errors are left. Drawn lines go in as views, without line finding, and are
read as a page's are: with a second look where the first was in doubt.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

from PIL import Image
from rapidfuzz.distance import Levenshtein

import lines
import real
from vocab import Vocab


def engine(a, *arguments):
    """-> what the engine prints, CPU seconds"""
    before = os.times()
    got = subprocess.run([a.engine, *arguments, "--model", a.model, "--threads", "1"], capture_output=True, text=True)
    after = os.times()
    if got.returncode:
        raise SystemExit(f"{a.engine} {' '.join(arguments)}: {got.stderr.strip() or got.returncode}")
    return got.stdout, after.children_user + after.children_system - before.children_user - before.children_system


def in_order(reading, truth):
    """The reading's lines dealt to the truth's, best match first; what matches none comes last."""
    left, out = list(reading), []
    for t in truth:
        best = min(left, key=lambda l: Levenshtein.normalized_distance(l, t), default=None)
        if best is not None and Levenshtein.normalized_distance(best, t) < .6:
            left.remove(best)
            out.append(best)
    return out + left


def evened(text, name):
    if name.startswith("receipt"):
        text = text.upper().replace(" ", "")
    return [l for l in (real.fold(l) for l in text.splitlines()) if l]


def pages(a):
    wrong_all = length_all = 0
    print(f"{'page':24} {'CER':>7} {'CERof':>7} {'CPU s':>7}")
    for path in sorted(p for e in ("png", "jpg", "jpeg", "tif", "tiff", "webp") for p in glob.glob(os.path.join(a.folder, "*." + e))):
        name = os.path.splitext(os.path.basename(path))[0]
        truth_path = os.path.join(a.folder, name + ".txt")
        if not os.path.exists(truth_path):
            print(f"{name:24} skipped: no {name}.txt")
            continue
        got, seconds = engine(a, "read", path, "--format", "text")
        truth = evened(open(truth_path, encoding="utf-8").read(), name)
        read, whole = evened(got, name), " ".join(truth)
        plain = Levenshtein.distance(" ".join(read), whole)
        free = min(plain, Levenshtein.distance(" ".join(in_order(read, truth)), whole))
        wrong_all, length_all = wrong_all + free, length_all + len(whole)
        print(f"{name:24} {100 * plain / len(whole):7.2f} {100 * free / len(whole):7.2f} {seconds:7.2f}", flush=True)
    if length_all:
        print(f"{'all':24} {'':7} {100 * wrong_all / length_all:7.2f}")


def draw(a):
    vocab = Vocab(a.model)
    return lines.Source(a.text, a.fonts, vocab.chars, seed=a.seed, held=True).chunk(0, a.n)


def drawn(a):
    wrong = once = length = 0
    worst, start = [], time.time()
    with tempfile.TemporaryDirectory() as d:
        for view, text, _ in draw(a):
            path = os.path.join(d, "view.png")
            Image.fromarray(view).save(path)
            out, = json.loads(engine(a, "dump", path)[0])["views"]
            got = out["read"]["text"]
            n = Levenshtein.distance(got, text)
            wrong, length = wrong + n, length + len(text)
            once += Levenshtein.distance(out["text"], text)
            worst.append((n, text, got))
    for n, text, got in sorted(worst, reverse=True)[:a.show]:
        print(f"{n:3} {text!r} read as {got!r}")
    print(f"{a.n} drawn lines, held-out faces: {100 * wrong / length:.2f} % of {length} characters wrong "
          f"({100 * once / length:.2f} by the first look), {time.time() - start:.0f} s")


def export(a):
    os.makedirs(a.folder, exist_ok=True)
    for i, (view, text, _) in enumerate(draw(a)):
        Image.fromarray(view).save(os.path.join(a.folder, f"{i:04d}.png"))
        with open(os.path.join(a.folder, f"{i:04d}.txt"), "w", encoding="utf-8") as f:
            f.write(text + "\n")
    print(f"{a.n} lines in {a.folder}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["pages", "drawn", "export"])
    p.add_argument("folder", nargs="?")
    p.add_argument("--engine", default="../build/dsocr")
    p.add_argument("--model", default="../model/mini")
    p.add_argument("--text", default="text")
    p.add_argument("--fonts", nargs="+", default=["/usr/share/fonts", "/usr/share/texmf"])
    p.add_argument("--n", type=int, default=400)
    p.add_argument("--seed", type=int, default=778)
    p.add_argument("--show", type=int, default=10, help="worst lines to print")
    a = p.parse_args()
    if a.what != "drawn" and not a.folder:
        p.error(f"{a.what} needs a folder")
    if a.what != "export" and not os.access(a.engine, os.X_OK):
        sys.exit(f"{a.engine} is not built: make")
    {"pages": pages, "drawn": drawn, "export": export}[a.what](a)


if __name__ == "__main__":
    main()
