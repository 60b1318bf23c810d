"""Fine-tunes a line-reading model on your own lines.

    python finetune.py LINES OUT [--model ../model/mini] [--epochs 8]

LINES: a folder of NAME.png (or .jpg, .tif) with NAME.txt, one text line each; or a file of image <TAB> text, where an
image is a path or, as \\copy writes what dsocr_training_set gives, the PNG in base64. OUT: a model directory, with the
error on held-out lines before and after. A line that cannot be used (no image, no text, nothing on it, characters the
model has no token for, a text that is plainly another line's) is named, left out and counted. Lines drawn in the
fonts of this machine are mixed in, so that nothing else is forgotten. After every epoch OUT/finetune.pt is replaced
by a rename; the same command goes on from it. The epoch that reads the held-out lines best is kept, and after two
in a row that are no better comes the last, in which the rate falls to its end.
"""

import argparse
import base64
import copy
import hashlib
import io
import os
import random
import re
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rapidfuzz.distance import Levenshtein
from safetensors.torch import load_file

import export
import lines
import real
from model import BOS, EOS, PAD, config_of, load
from train import half, read_all, to_input
from vocab import Vocab

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
FEWEST = 12         # usable lines
PATIENCE = 2        # epochs that are no better
PNG = "iVBORw0KGgo"  # its first bytes in base64
COPIED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}  # after a backslash, as COPY writes them


# ---- the user's lines ------------------------------------------------------------------------------


def text_of(path):
    """None: there is none, or it is not UTF-8."""
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def uncopied(field):
    return re.sub(r"\\(.)", lambda m: COPIED.get(m[1], m[1]), field)


def rows_of(path):
    """Of a file image <TAB> text: [(name, path or bytes of the image, text or None), ...]"""
    base, out = os.path.dirname(os.path.abspath(path)), []
    with open(path, encoding="utf-8", newline="\n") as f:
        for number, row in enumerate(f, 1):
            image, *text = row.rstrip("\r\n").split("\t")
            if image.startswith(PNG):
                out.append((f"{path}:{number}", base64.b64decode(uncopied(image)), uncopied(text[0]) if text else None))
            elif image:
                out.append((image, os.path.join(base, image), text[0] if text else None))
    return out


def pairs(source):
    """[(name, path or bytes of the image, text or None), ...]"""
    if os.path.isdir(source):
        stems = [os.path.splitext(os.path.join(source, n)) for n in sorted(os.listdir(source))]
        found = [(stem + ext, stem + ext, text_of(stem + ".txt")) for stem, ext in stems if ext.lower() in IMAGES]
        return found or sys.exit(f"{source} has no image ({' '.join(IMAGES)})")
    try:
        return rows_of(source)
    except OSError as e:
        sys.exit(f"{source} cannot be read: {e.strerror}")
    except UnicodeDecodeError:
        sys.exit(f"{source} is not UTF-8: \\copy ... WITH (ENCODING 'UTF8') writes it so")


def line_views(image):
    """One line's image (a path, or a file's bytes), of any size and grey, cut as the engine would cut it."""
    grey = lines.whiten(np.asarray(Image.open(io.BytesIO(image) if isinstance(image, bytes) else image).convert("L")))
    dark = lines.otsu(grey)
    ink = grey <= min(dark, 200)
    if not ink.any() or grey.min() > 200:
        return []
    first, last, capitals = real.band(ink)
    height = max(4, (last - first) * (0.72 if capitals else 1))
    xs = np.flatnonzero(ink.any(0))
    return [v[0] for v in lines.cut(grey, int(xs[0]), int(xs[-1]) + 1, last, height, dark)]


def share_out(text, read):
    """The line's text dealt to its views, at word gaps, as their first readings say: [str, ...]"""
    joined, ends = " ".join(read), np.cumsum([len(t) + 1 for t in read])[:-1]
    at, cuts = 0, []
    where = np.zeros(len(joined) + 1, int)  # reading position -> text position
    for op in Levenshtein.opcodes(joined, text):
        for i in range(op.src_start, op.src_end):
            where[i] = op.dest_start + min(i - op.src_start, op.dest_end - op.dest_start)
    where[len(joined)] = len(text)
    gaps = [i for i, c in enumerate(text) if c == " "]
    for e in ends:
        guess = where[min(e, len(joined))]
        near = [g for g in gaps if g > at and abs(g - guess) <= 4]
        cut = min(near, key=lambda g: abs(g - guess)) if near else int(guess)
        cuts.append(max(at, cut))
        at = cuts[-1]
    edges = [0] + cuts + [len(text)]
    return [text[a:b].strip() for a, b in zip(edges, edges[1:])]


def unusable(image, text, vocab):
    """-> views of a line that may be learnt from, or why it may not"""
    if not text:
        return "no text"
    strange = sorted({c for c in text if c not in vocab.chars})
    if strange:
        return "characters without a token: " + "".join(strange)[:20]
    try:
        return line_views(image) or "nothing on it"
    except FileNotFoundError:
        return "no such image"
    except (OSError, ValueError):
        return "not an image"


def usable(found, family, vocab, limit, mislabelled=.7):
    """-> [(views, texts, text)], {reason: count}; every line left out is named on stderr."""
    kept, out = [], {}

    def drop(name, why):
        kind = why.split(":")[0]
        out[kind] = out.get(kind, 0) + 1
        print(f"left out: {name}: {why}", file=sys.stderr)

    found = [(name, real.fold_space(text or ""), image) for name, image, text in found]
    found = [(name, text, unusable(image, text, vocab)) for name, text, image in found]
    got = iter(read_all(family, vocab, [v for _, _, views in found if not isinstance(views, str) for v in views]))
    for name, text, views in found:
        if isinstance(views, str):
            drop(name, views)
            continue
        read = [next(got) for _ in views]
        said = " ".join(read)
        texts = share_out(text, read)
        if Levenshtein.distance(said, text) > mislabelled * max(len(text), len(said)):
            drop(name, f"mislabelled, it seems: {text[:40]!r} is read as {said[:40]!r}")
        elif max(map(len, texts)) >= limit:
            drop(name, "too much text for its width")
        else:
            kept.append((views, texts, text))
    return kept, out


# ---- training --------------------------------------------------------------------------------------


def shaken(view, r):
    """The same view a little elsewhere, lighter or darker: few lines must not be learnt by heart."""
    v = np.roll(view.astype(np.float32), (r.choice([-1, 0, 0, 1]), r.randrange(0, 3)), (0, 1))
    return np.clip(255 - (255 - v) * r.uniform(.7, 1.15), 0, 255).astype(np.uint8)


def step(family, vocab, part, r):
    ids = np.full((len(part), max(len(t) for _, t in part) + 2), PAD, np.int64)
    for row, (_, text) in zip(ids, part):
        row[:len(text) + 2] = [BOS] + vocab.encode(text) + [EOS]
    ids = torch.from_numpy(ids)
    given = ids[:, :-1].clone()
    given[(torch.rand(given.shape) < .1) & (given != BOS)] = PAD
    views = lines.narrowed(np.stack([shaken(v, r) for v, _ in part]), family.sizes.step)
    with half(ids.device):
        logits = family.decode(family.see(to_input(views))[2], given)
    return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD, label_smoothing=.02) + .01 * family.balance()


def score(family, vocab, held):
    """Part of the characters wrong on whole lines."""
    got = iter(read_all(family, vocab, [v for views, _, _ in held for v in views]))
    wrong = sum(Levenshtein.distance(real.fold_space(" ".join(next(got) for _ in views)), text) for views, _, text in held)
    return wrong / sum(len(text) for _, _, text in held)


def save(path, state):
    """By a rename; a full disk leaves the last one whole and training going on."""
    try:
        torch.save(state, path + ".tmp")
        os.replace(path + ".tmp", path)
    except (OSError, RuntimeError) as e:
        print(f"checkpoint not written, the last one stays: {e}", file=sys.stderr)
        if os.path.exists(path + ".tmp"):
            os.remove(path + ".tmp")


def digest(rows):
    h = hashlib.sha256()
    for view, text in rows:
        h.update(view.tobytes() + text.encode())
    return h.hexdigest()


class Tuning:
    def __init__(self, a, family, vocab, train, drawn):
        self.a, self.family, self.vocab, self.rows, self.drawn = a, family, vocab, train, drawn
        self.run = {k: v for k, v in vars(a).items() if k not in ("lines", "out", "model", "epochs", "fonts", "threads")}
        self.run |= {"LINES": digest(train), "model": export.fingerprint(a.model)}
        self.opt = torch.optim.AdamW(family.parameters(), lr=a.lr, betas=(.9, .98), weight_decay=.01)
        self.average, self.epoch, self.best, self.kept, self.vain = copy.deepcopy(family), 0, None, None, 0
        self.turn, self.end = (0, 0.0), a.epochs  # an epoch and what was done by then, from where on the plan goes straight to its end

    def done(self, epoch):
        """The part of the plan that is behind, 0 to 1."""
        at, done = self.turn
        return done + (1 - done) * (epoch - at) / (self.end - at)

    def judge(self, now):
        """What the held-out lines say after an epoch."""
        self.vain += 1
        if now < self.best:
            self.best, self.kept, self.vain = now, copy.deepcopy(self.average.state_dict()), 0
        if self.vain >= PATIENCE and self.end > self.epoch + 1:
            self.turn, self.end = (self.epoch, self.done(self.epoch)), self.epoch + 1

    def run_epoch(self):
        r, a = random.Random(100 + self.epoch), self.a
        torch.manual_seed(100 + self.epoch)
        mine = list(self.rows)
        if self.drawn:
            drawn = self.drawn.chunk(self.epoch, int(len(mine) * a.mix))
            mine += [(v, t) for v, t, _ in drawn if not any(lines.doubtful(t)[1])]
        r.shuffle(mine)
        mine.sort(key=lambda row: lines.read_width(lines.ink_end(row[0]), self.family.sizes.step))  # a batch is as wide as its widest
        parts = [mine[i:i + a.batch] for i in range(0, len(mine), a.batch)]
        r.shuffle(parts)
        self.family.train()
        for i, part in enumerate(parts):
            for g in self.opt.param_groups:
                g["lr"] = a.lr * min(1, (self.epoch * len(parts) + i + 1) / 10) * (1 - .95 * self.done(self.epoch + i / len(parts)))
            loss = step(self.family, self.vocab, part, r)
            self.opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.family.parameters(), 1.0)
            self.opt.step()
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.family.parameters()), .05)
        self.epoch += 1
        return float(loss.detach())

    def state(self):
        return dict(run=self.run, family=self.family.state_dict(), average=self.average.state_dict(), opt=self.opt.state_dict(),
                    epoch=self.epoch, best=self.best, kept=self.kept, vain=self.vain, turn=self.turn, end=self.end)

    def restore(self, k, path):
        other = [n for n in sorted(self.run.keys() | k["run"].keys()) if self.run.get(n) != k["run"].get(n)]
        if other:
            sys.exit(f"{path} is of a run that was stopped, with another {', '.join(other)}: give its command again, or delete it")
        self.family.load_state_dict(k["family"])
        self.average.load_state_dict(k["average"])
        self.opt.load_state_dict(k["opt"])
        self.epoch, self.best, self.kept, self.vain = k["epoch"], k["best"], k["kept"], k["vain"]
        if k["turn"][0]:
            self.turn, self.end = k["turn"], k["end"]


def tune(t, a, held, before):
    path = os.path.join(a.out, "finetune.pt")
    if os.path.exists(path):
        t.restore(torch.load(path, weights_only=False, map_location="cpu"), path)
        print(f"going on after epoch {t.epoch}")
    if t.best is None:
        t.best, t.kept = before, copy.deepcopy(t.family.state_dict())
    while t.epoch < t.end:
        start, loss = time.time(), t.run_epoch()
        now = score(t.average, t.vocab, held)
        print(f"epoch {t.epoch}: loss {loss:.3f}, held-out {100 * now:.2f} %, {time.time() - start:.0f} s", flush=True)
        t.judge(now)
        save(path, t.state())


def parser(doc):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("lines")
    p.add_argument("out")
    p.add_argument("--model", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model", "mini"))
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--lr", type=float, default=3e-4)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--mix", type=float, default=1.0, help="drawn lines for one of yours, so that nothing else is forgotten")
    p.add_argument("--text", help="folder of texts for the drawn lines; without it they say what yours say")
    p.add_argument("--fonts", nargs="+", default=["/usr/share/fonts", "/usr/share/texmf"])
    p.add_argument("--held", type=float, default=.1, help="part of the lines that is only scored")
    p.add_argument("--mislabelled", type=float, default=.7, help="part of a line read wrong before any training that "
                   "makes its text another line's; 1 for a face the model cannot read at all")
    p.add_argument("--threads", type=int, default=1)
    return p


def opened(a):
    """-> family, config, vocab of a.model, which must read lines"""
    torch.set_num_threads(a.threads)
    sys.stdout.reconfigure(line_buffering=True)  # also into a file: it is looked at meanwhile
    try:
        config = config_of(a.model)
    except OSError as e:
        sys.exit(f"{a.model} is no model directory: {e.filename}: {e.strerror}")
    if config.get("dsocr", {}).get("reader") != "lines":
        sys.exit(f"{a.model} reads whole pages; only a model that reads lines can be taught by lines")
    family, config = load(a.model)
    os.makedirs(a.out, exist_ok=True)
    return family, config, Vocab(a.model)


def drawn_lines(a, texts, vocab):
    """What draws the lines to mix in; None: nothing does."""
    if a.mix <= 0:
        return None
    if a.text:
        return lines.Source(a.text, a.fonts, vocab.chars, seed=5)
    if not lines.faces(a.fonts):
        print(f"no usable font in {', '.join(a.fonts)}: no lines are mixed in, so ordinary type will be read worse (fonts.txt)", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "mine.txt"), "w", encoding="utf-8") as f:
            mine = " ".join(texts)
            f.write(" ".join([mine] * (2000 // len(mine) + 1)))
        return lines.Source(d, a.fonts, vocab.chars, seed=5)


def prepared(a, family, vocab, config):
    """-> lines to score, views to learn from, what draws others; says what was left out, and ends when too little is there."""
    found = pairs(a.lines)
    print(f"{len(found)} lines are read as the model reads them now")
    kept, dropped = usable(found, family, vocab, config["dsocr"]["max_new_tokens"] - 1, a.mislabelled)
    left = ", ".join(f"{n} {why}" for why, n in sorted(dropped.items())) or "none"
    print(f"{len(kept)} lines usable; left out: {left}")
    if len(kept) < FEWEST:
        sys.exit(f"{len(kept)} usable lines are too few: at least {FEWEST} are needed")
    random.Random(7).shuffle(kept)
    n = max(4, int(len(kept) * a.held))
    rows = [(v, t) for views, texts, _ in kept[n:] for v, t in zip(views, texts) if t]
    return kept[:n], rows, drawn_lines(a, [t for _, t in rows], vocab)


def main():
    a = parser(__doc__).parse_args()
    family, config, vocab = opened(a)
    held, rows, drawn = prepared(a, family, vocab, config)
    before = score(family, vocab, held)
    t = Tuning(a, family, vocab, rows, drawn)
    tune(t, a, held, before)
    tensors = {n: v.to(torch.bfloat16).contiguous() for n, v in t.kept.items()}
    # The base's draft head still guesses most letters, and what is read does not depend on it.
    tensors |= {n: v for n, v in load_file(os.path.join(a.model, "model.safetensors")).items() if n.startswith("draft.")}
    name = export.write(tensors, a.out, a.model, f"fine-tuned on {len(rows)} views", rename=True)
    os.remove(os.path.join(a.out, "finetune.pt"))
    after = score(load(a.out)[0], vocab, held)
    print(f"{a.out}: the model {name}, from {len(rows)} views")
    print(f"held-out lines ({len(held)}): {100 * before:.2f} % of the characters wrong before, {100 * after:.2f} % after")
    if after >= before:
        print("no better: OUT holds the weights as they were")


if __name__ == "__main__":
    main()
