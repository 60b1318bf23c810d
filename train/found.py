"""Views as the engine's own line finder cuts them, out of drawn pages.

A page whose characters' places are known goes through `dsocr read --stage views`; every view that comes
back is given the characters that stand in its box. What is not certain (a page that was turned or
straightened, a baseline that fits no line or two, a cut through a letter) is left out and counted. So the
model learns the finder's habits: its scale and baseline, its gaps drawn together, the remains of
neighbours, the places where it cuts.
"""

import json
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image

HABITS = 16, 12  # a gap wider than the first is drawn together to the second (lines_cut.c), px of a view


class Finder:
    def __init__(self, engine, model):
        self.command = [os.path.abspath(engine), "read", "--model", os.path.abspath(model), "--threads", "1", "--stage", "views"]
        self.pages = self.kept = self.left_out = 0  # the last two: views

    def find(self, grey):
        """-> [(view, x-height, baseline, box), ...]; nothing of a page that was turned or straightened"""
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as d:
            Image.fromarray(grey).save(os.path.join(d, "page.png"), compress_level=1)
            got = subprocess.run([*self.command, "page.png"], cwd=d, capture_output=True, text=True, timeout=60)
            if got.returncode:
                raise ValueError(got.stderr)
            page, out = json.loads(got.stdout), []
            if page["rotation"] or abs(page["skew"]) > .01:
                return []
            for line in page["lines"]:
                for box in line["views"]:
                    view = np.asarray(Image.open(os.path.join(d, f"view-{len(out):03}.png")).convert("L"))
                    out.append((view, line["x_height"], line["baseline"], box))
        return out

    def rows(self, grey, labels, line, xs, ys, x_height, scale):
        """[(view, text, centres, below), ...]: labels, line numbers and places of the page's characters; scale: x-height in a
        view; below: how much lower than the finder says the baseline is there."""
        self.pages += 1
        base = {i: float(np.median(ys[line == i])) for i in np.unique(line)}
        out = []
        for view, height, y, (x0, _, x1, _) in self.find(grey):
            near = [i for i, b in base.items() if abs(b - y) < .75 * x_height]
            row = match(view, labels, np.flatnonzero(line == near[0]), xs, x0, x1, scale / height) if len(near) == 1 else None
            if row and .55 < height / x_height < 1.8:
                out.append((*row, (base[near[0]] - y) * scale / height))
            else:
                self.left_out += 1
        self.kept += len(out)
        return out


def match(view, labels, line, xs, x0, x1, k):
    """The characters between x0 and x1 of a line -> (view, text, centres), or nothing if an edge cuts one."""
    for edge in (x0 + 4 / k, x1):  # a view starts 4 px before its ink
        if any(labels[i] != " " and abs(xs[i] - edge) < 1.2 / k for i in line):
            return None
    inside = [i for i in line if x0 <= xs[i] < x1]
    while inside and labels[inside[0]] == " ":
        inside = inside[1:]
    while inside and labels[inside[-1]] == " ":
        inside = inside[:-1]
    if not inside:
        return None
    at = (xs[inside] - x0) * k
    for n, i in enumerate(inside[1:-1], 1):
        if labels[i] == " ":
            gap = at[n + 1] - at[n - 1] - .55 * 2 * 8  # less half a letter on either side
            if gap > HABITS[0]:
                at[n + 1:] -= gap - HABITS[1]
                at[n] = (at[n - 1] + at[n + 1]) / 2
    ink = np.flatnonzero((view < 140).any(0))
    if not len(ink) or abs(ink[-1] - at[-1]) > 14 or abs(ink[0] - at[0]) > 14:
        return None
    return view, "".join(labels[i] for i in inside), at
