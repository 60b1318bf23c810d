"""Real lines whose place is known (boxes.tsv: file, x0, y0, x1, y1, text), cut into views as the engine cuts them.

For looking at only: no training ever sees them.
"""

import csv
import os
import re
import unicodedata

import numpy as np
from PIL import Image
from rapidfuzz.distance import Levenshtein

import lines

FOLD = str.maketrans({"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "»": '"', "«": '"',
                      "ſ": "s", "º": "°"})


def fold_space(text):
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()


def fold(text):
    return fold_space(text.translate(FOLD))


def band(ink):
    """ink [h, w] bool -> first and last row of the small letters, and whether there are only capitals.

    The longest run of rows whose changes along the row are over .45 of their high level."""
    changes = np.abs(np.diff(ink.astype(np.int8), axis=1)).sum(1).astype(float)
    p = np.convolve(changes, np.ones(3) / 3, "same")
    over = np.concatenate([[0], (p > 0.45 * np.quantile(p, 0.95)).astype(int), [0]])
    starts, ends = np.where(np.diff(over) == 1)[0], np.where(np.diff(over) == -1)[0]
    if not len(starts):
        return 0, len(p), False
    b0, b1 = max(zip(starts, ends), key=lambda r: p[r[0]:r[1]].sum())
    above = p[max(0, b0 - (b1 - b0) // 2):max(0, b0 - 2)]
    return b0, b1, not len(above) or above.mean() < 0.10 * p[b0:b1].mean()


def page_lines(path, boxes):
    """The views of every box of a page: [[view, ...], ...]"""
    grey = lines.whiten(np.asarray(Image.open(path).convert("L")))
    dark, found = lines.otsu(grey), []
    for x0, y0, x1, y1 in boxes:
        m = (y1 - y0) // 4
        ink = grey[max(0, y0 - m):y1 + m, max(0, x0):x1] <= dark
        b0, b1, capitals = band(ink[m:-m] if m else ink)
        found.append((y0 + b1, (b1 - b0) * (0.72 if capitals else 1), capitals))
    low = [h for _, h, capitals in found if not capitals]
    usual = np.median(low if len(low) > len(found) // 4 else [h for _, h, _ in found])
    out = []
    for (x0, _, x1, _), (base, height, _) in zip(boxes, found):
        height = height if 0.75 * usual <= height <= 1.6 * usual else usual
        out.append([v[0] for v in lines.cut(grey, x0, x1, base, height, dark)])
    return out


def pages(folder):
    """[(page, [view, ...], text), ...], one a line"""
    with open(os.path.join(folder, "boxes.tsv"), encoding="utf-8") as f:
        rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    out = []
    for name in dict.fromkeys(r[0] for r in rows):
        mine = [r for r in rows if r[0] == name]
        views = page_lines(os.path.join(folder, name), [tuple(map(int, r[1:5])) for r in mine])
        out += [(name, v, r[5]) for v, r in zip(views, mine)]
    return out


def errors(read):
    """[(page, read, truth)] -> part of the characters wrong, per page; receipts without case and spaces."""
    wrong, total = {}, {}
    for name, got, truth in read:
        got, truth = fold(got), fold(truth)
        if name.startswith("receipt"):
            got, truth = got.upper().replace(" ", ""), truth.upper().replace(" ", "")
        wrong[name] = wrong.get(name, 0) + Levenshtein.distance(got, truth)
        total[name] = total.get(name, 0) + len(truth)
    return {os.path.splitext(n)[0]: wrong[n] / total[n] for n in wrong}
