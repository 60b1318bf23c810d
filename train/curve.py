"""Runs' curve.jsonl -> a PNG: characters wrong by lines seen, on held-out faces and on real pages.

    python curve.py RUN/curve.jsonl [NEXT_RUN/curve.jsonl ...] ../model/curve.png

Runs that follow one another stand behind one another, with a line between them.
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main():
    *sources, out = sys.argv[1:]
    fig, ax = plt.subplots(figsize=(8, 4.5))
    rows = []
    for source in sources:
        before = rows[-1]["lines"] if rows else 0
        if before:
            ax.axvline(before / 1000, color="grey", linewidth=.8)
        with open(source, encoding="utf-8") as f:
            new = [json.loads(line) for line in f]
        rows += [r | {"lines": r["lines"] + before} for r in new]
    for name in (n for n in rows[-1] if n not in ("step", "lines", "hours")):
        points = [(r["lines"] / 1000, 100 * r[name]) for r in rows if name in r]
        ax.plot(*zip(*points), marker="o", markersize=3, label="held-out faces" if name == "held" else name)
    ax.set(xlabel="thousand lines", ylabel="characters wrong, %", ylim=(0, None))
    ax.grid(alpha=.3)
    ax.legend()
    fig.tight_layout()
    fig.savefig(out, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
