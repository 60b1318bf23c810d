"""How honest a model's confidences are, on drawn lines in faces that no training sees.

    python confidence.py ../model/mini --text TEXT [--n 800] [--png ../model/confidence.png]
    python confidence.py my-mini --text TEXT --fit my-honest-mini

A line's confidence is the geometric mean of its tokens' probabilities, as in the engine; what it should
equal is the part of its characters that are right. Prints the expected calibration error over ten equal
bins of lines, how many of the wrong characters the least confident tenth of the lines holds, and what lines in
Cyrillic, Greek and other scripts that it cannot read get (a quarter as many, in held-out faces). --fit
writes the model with its lm_head multiplied by the factor that makes this error least (on other lines
than are measured): probabilities change, what is read does not.
"""

import argparse
import os

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from safetensors.torch import load_file

import export
import lines
from model import BOS, EOS, PAD, load
from train import to_input
from vocab import Vocab

BINS = 10


@torch.no_grad()
def read(family, views):
    """-> [(ids, logits [tokens with EOS, V]), ...]"""
    out = [None] * len(views)
    for numbers, part in lines.alike(views, family.sizes.step, 64):
        x = to_input(part)
        got = family.read(x)
        ids = torch.full((len(got), max(map(len, got)) + 1), PAD)
        for row, g in zip(ids, got):
            row[:len(g) + 1] = torch.tensor([BOS] + g)
        for i, g, l in zip(numbers, got, family.decode(family.see(x)[2], ids)):
            out[i] = g, l[:len(g) + 1].clone()
    return out


def confidence(ids, logits, factor=1.0):
    said = torch.tensor(ids + [EOS])[:, None]
    return float((logits * factor).log_softmax(-1).gather(1, said).mean().exp())


def read_drawn(a, seed, n, only=None):
    """[(ids, logits, characters wrong, characters), ...] of lines in held-out faces"""
    (family, _), vocab, out = load(a.model), Vocab(a.model), []
    rows = [r for r in lines.Source(a.text, a.fonts, vocab.chars, seed=seed, held=True, only=only).chunk(0, n) if r[1]]
    for (_, text, _), (ids, logits) in zip(rows, read(family, [r[0] for r in rows])):
        out.append((ids, logits, Levenshtein.distance(vocab.decode(ids), text), len(text)))
    return out


def fit(rows):
    """-> the factor of the logits that makes the error least"""
    error = {}
    for factor in np.exp(np.linspace(np.log(.4), np.log(2), 33)):
        error[factor] = measure([(confidence(i, l, factor), w, n) for i, l, w, n in rows])[1]
    return float(min(error, key=error.get))


def measure(rows):
    """[(confidence, characters wrong, characters), ...] -> bins [(confidence, right, lines)], error, share of the worst tenth"""
    a = np.array(sorted(rows))
    right = np.clip(1 - a[:, 1] / np.maximum(1, a[:, 2]), 0, 1)
    bins = [(a[i, 0].mean(), right[i].mean(), len(i)) for i in np.array_split(np.arange(len(a)), BINS)]
    error = sum(n * abs(c - r) for c, r, n in bins) / len(a)
    return bins, error, a[:len(a) // 10, 1].sum() / max(1, a[:, 1].sum())


def draw(bins, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(figsize=(4.5, 4.5))
    ax.plot([0, 1], [0, 1], color="grey", linewidth=.8)
    ax.plot([b[0] for b in bins], [b[1] for b in bins], marker="o", markersize=4)
    ax.set(xlabel="confidence of the line", ylabel="characters right", xlim=(.3, 1), ylim=(.3, 1))
    ax.grid(alpha=.3)
    fig.tight_layout()
    fig.savefig(path, dpi=110, metadata={"Software": None})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--text", default="text")
    p.add_argument("--fonts", nargs="+", default=["/usr/share/fonts", "/usr/share/texmf"])
    p.add_argument("--n", type=int, default=800)
    p.add_argument("--fit", metavar="OUT")
    p.add_argument("--png")
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.fit:
        factor = fit(read_drawn(a, 780, a.n))
        tensors = load_file(os.path.join(a.model, "model.safetensors"))
        tensors["lm_head.weight"] = (tensors["lm_head.weight"].float() * factor).to(torch.bfloat16)
        export.write(tensors, a.fit, a.model, export.note_of(a.model))
        print(f"{a.fit}: lm_head times {factor:.3f}")
        a.model = a.fit
    bins, error, share = measure([(confidence(i, l), w, n) for i, l, w, n in read_drawn(a, 779, a.n)])
    for c, r, n in bins:
        print(f"{n:4} lines  confidence {c:.3f}  right {r:.3f}")
    print(f"expected calibration error {error:.3f}; the least confident tenth holds {100 * share:.0f} % of the wrong characters")
    foreign = np.array([confidence(i, l) for i, l, _, _ in read_drawn(a, 41, a.n // 4, only="unreadable")])
    print(f"{len(foreign)} lines in scripts that it cannot read: median confidence {np.median(foreign):.2f}, {(foreign > .8).sum()} above 0.8")
    if a.png:
        draw(bins, a.png)


if __name__ == "__main__":
    main()
