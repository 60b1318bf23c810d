"""A run's curve.jsonl -> a PNG: characters wrong by lines seen, on held-out faces and on real pages.

    python curve.py RUN/curve.jsonl ../model/curve.png
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main():
    source, out = sys.argv[1:]
    with open(source, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    fig, ax = plt.subplots(figsize=(8, 4.5))
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
