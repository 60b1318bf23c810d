"""Trains a member of the family on drawn lines.

    python train.py --model ../model/mini --out RUN --text TEXT --steps 20000
    python train.py --resume RUN --steps 30000
    python train.py ... --device cuda --compose --workers 15 --batch 1024 --lr 5e-3

Weights come from --model (its config, tokenizer and, unless --fresh, its weights). The schedule counts
steps, never time. RUN/last.pt is written at least every ten minutes, to a temporary name first, so the
last one stays whole; from it a run goes on exactly as if it had not stopped (batches are drawn from the
seed and their number, by however many workers). On a GPU nothing waits for the device but the printing
of the losses; with --compose it also draws the lines, which workers only plan. Two heads say where the characters are: one on
SAM's columns, dropped at export, and one on the vision tokens, which drafts for the decoder.
"""

import argparse
import collections
import contextlib
import copy
import itertools
import json
import math
import os
import queue
import signal
import time

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn as nn
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch.nn.attention import SDPBackend, sdpa_kernel

import compose
import found
import lines
import real
from model import BOS, EOS, PAD, Family, config_of, load
from muon import Muon
from vocab import Vocab

SLOTS = 4         # characters that one vision token can hold
BATCHES = 8       # in a chunk: lines of like width go together
AHEAD = 16        # batches that a worker may have ready
PRINT_EVERY = 20  # steps
BLANK_WEIGHT = 0.2
DOUBT_WEIGHT = 2.0  # of letters that cannot be read, beside those that can
UNKNOWN = -100      # what the heads are told of them: nothing
ADAM = ("embed_tokens", "query_", "lm_head", "rel_pos", "gate.weight", "columns", "slots", "pos_embed")


def to_input(views):
    """uint8 [B, H, W] -> [B, 3, H, W] in -1..1"""
    x = (views if torch.is_tensor(views) else torch.from_numpy(views)).float().div_(127.5).sub_(1)
    return x[:, None].expand(-1, 3, -1, -1)


class Targets:
    """What the heads are told of a line: characters by column, and by vision token in order; `ids` of letters that cannot
    be read are below zero."""

    def __init__(self, sizes, vocab):
        self.width, self.column = sizes.image[1], sizes.patch[1]
        self.token, self.step, self.vocab = sizes.image[1] // sizes.tokens, sizes.step, vocab

    def ids(self, text):
        text, unknown = lines.doubtful(text)
        return [-i if u else i for i, u in zip(self.vocab.encode(text), unknown)]

    def __call__(self, ids, centres, width):
        """Of a view of which so much is read."""
        columns = np.zeros(self.width // self.column, np.int64)
        slots = np.zeros((self.width // self.token, SLOTS), np.int64)
        used = np.zeros(len(slots), np.int64)
        for i, x in zip(ids, np.clip(centres, 0, self.width - 1)):
            i = UNKNOWN if i < 0 else i
            columns[int(x) // self.column] = i
            t = int(x) // self.token
            if used[t] < SLOTS:
                slots[t, used[t]] = i
                used[t] += 1
        return columns[:width // self.column], slots[:width // self.token].ravel()


def batches(source, chunk, size, targets):
    """Chunk number `chunk` as BATCHES batches: views (or what compose.py draws them from), ids, columns, slots. Of a batch's
    views as much is there as is read of the widest."""
    rows = source.chunk(chunk, size * BATCHES)
    order = np.random.default_rng(chunk)
    read = lambda r: lines.read_width(source.end(r[0]), targets.step)
    rows.sort(key=lambda r: (read(r), len(r[1])))
    for b in order.permutation(BATCHES):
        part = rows[b * size:(b + 1) * size]
        width = read(part[-1])
        ids = np.full((len(part), max(len(r[1]) for r in part) + 2), PAD, np.int64)
        said = [targets.ids(text) for _, text, _ in part]
        for line, mine in zip(ids, said):
            line[:len(mine) + 2] = [BOS] + mine + [EOS]
        heads = [targets(mine, centres, width) for mine, (_, _, centres) in zip(said, part)]
        views = source.stack([r[0] for r in part], [source.seed, chunk, b], width)
        yield views, ids, np.stack([h[0] for h in heads]), np.stack([h[1] for h in heads])


def source_of(a, vocab, atlas):
    if atlas:
        return compose.Source(a.text, a.fonts, vocab.chars, atlas, seed=a.seed)
    finder = found.Finder(a.engine, a.model) if a.found else None
    return lines.Source(a.text, a.fonts, vocab.chars, seed=a.seed, finder=finder, found=a.found)


def worker(ready, a, config, step, first, atlas):
    """Draws the batches after `step` that are its own, for ever: those of chunks first, first + a.workers, ..."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to handle
    vocab = Vocab(a.model)
    source = source_of(a, vocab, atlas)
    targets = Targets(Family(config).sizes, vocab)
    for chunk in itertools.count(first, a.workers):
        for i, batch in enumerate(batches(source, chunk, a.batch, targets)):
            if chunk * BATCHES + i >= step:
                ready.put(batch)


class Feed:
    """The batches after `step` in their order, which is the same for any number of workers."""

    def __init__(self, a, config, step, atlas=None):
        self.step, self.workers = step, []
        chunk = step // BATCHES
        for first in range(chunk, chunk + a.workers):
            ready = mp.Queue(AHEAD)
            process = mp.Process(target=worker, args=(ready, a, config, step, first, atlas), daemon=True)
            process.start()
            self.workers.append((ready, process))
        self.chunk = chunk

    def next(self):
        ready, process = self.workers[(self.step // BATCHES - self.chunk) % len(self.workers)]
        self.step += 1
        while True:
            try:
                return ready.get(timeout=5)
            except queue.Empty:
                if not process.is_alive():
                    raise SystemExit("a process that draws lines has ended") from None


def to_device(batch, device):
    """Arrays -> tensors there. A GPU's copies are only asked for: they are made while the step before is learnt."""
    def send(array):
        t = torch.from_numpy(array)
        return (t.pin_memory() if device.type == "cuda" else t).to(device, non_blocking=True)

    return [b.map(send) if isinstance(b, compose.Batch) else send(b) for b in batch]


def drawn(composer, batch, space):
    """A batch of plans with its views drawn, on the device. Of lines that ageing has made illegible, or a comma of which a
    stop, nothing is learnt."""
    plans, ids, columns, slots = batch
    views = composer(plans)
    legible = (compose.legible(views, columns, space) & ~compose.tailless(views, plans.commas))[:, None]
    return [views, torch.where(legible | (ids == BOS), ids, PAD), *(torch.where(legible, y, UNKNOWN) for y in (columns, slots))]


def has_bf16(device):
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)


@contextlib.contextmanager
def half(device):
    """bf16 for the products where the device has it; weights, sums, the router and losses stay float32. On a processor
    attention goes by plain products: what PyTorch has for it there takes five times as long to go back through."""
    if not has_bf16(device):
        yield
        return
    with torch.autocast(device.type, torch.bfloat16):
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext():
            yield


class Joint(nn.Module):
    """The model and the two heads that teach it where characters are."""

    def __init__(self, family):
        super().__init__()
        self.family = family
        s = family.sizes
        self.columns = nn.Linear(s.grid[0] * s.sam_dim, s.vocab)
        self.slots = nn.Linear(s.enc_dim, SLOTS * s.vocab)

    def forward(self, image, ids, decode=True, frozen=False):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            columns, tokens, rows = self.family.see(image)
        B, R, W, C = columns.shape
        by_column = self.columns(columns.transpose(1, 2).reshape(B, W, R * C))
        by_slot = self.slots(tokens).view(B, tokens.shape[1] * SLOTS, -1)
        return self.family.decode(rows, ids) if decode else None, by_column, by_slot


def optimisers(joint, lr):
    matrices, others, heads = [], [], []
    for name, p in joint.named_parameters():
        is_matrix = p.dim() == 2 and not any(k in name for k in ADAM)
        (heads if not name.startswith("family.") else matrices if is_matrix else others).append(p)
    adam = [dict(params=others, lr=lr * 0.75), dict(params=heads, lr=max(lr * 0.75, 2e-3))]
    return [Muon(matrices, lr=lr), torch.optim.AdamW(adam, betas=(0.9, 0.98), weight_decay=0.01)]


def schedule(step, a):
    """Warm-up (once more after heads that were learnt alone), flat, cosine to the floor: a factor."""
    done, alone = step / a.steps, int(a.heads * a.steps) if a.frozen else 0
    fall = max(0.0, (done - a.flat) / (1 - a.flat))
    warm = (step + 1 - alone if step >= alone else step + 1) / a.warm
    return min(1, warm) * (a.floor + (1 - a.floor) * 0.5 * (1 + math.cos(math.pi * min(1, fall))))


def doubt(logits, unknown):
    """How far the chances of letters that cannot be read are from even, in nats: the sum, over `unknown` [B, T], of the
    mean over all letters of -log p, less what it is when all of them have the same chance."""
    log = logits.log_softmax(-1)[..., EOS + 1:]  # without padding, begin and end
    return ((-log.mean(-1) - math.log(log.shape[-1])) * unknown).sum()


def losses(joint, batch, a, done):
    """batch: tensors on the model's device; done: the part of the run that is over, 0 to 1."""
    x, ids, columns, slots = batch
    heads_only = done < a.heads
    unknown, ids = ids < 0, ids.abs()
    given, wanted = ids[:, :-1], ids[:, 1:].masked_fill(unknown[:, 1:], PAD)
    hide = a.hide * max(0.15, 1 - done)
    # Of a line that cannot be read half is hidden: that its letters make no words must not be what tells.
    hide = torch.where(unknown.any(1, keepdim=True), max(hide, .5), hide)
    given = given.masked_fill((torch.rand(given.shape, device=ids.device) < hide) & (given != BOS), PAD)
    logits, by_column, by_slot = joint(to_input(x), given, not heads_only, heads_only and a.frozen)
    weight = torch.ones(by_column.shape[-1], device=ids.device)
    weight[PAD] = BLANK_WEIGHT
    logits, by_column, by_slot = (y if y is None else y.float() for y in (logits, by_column, by_slot))
    out = {"columns": F.cross_entropy(by_column.transpose(1, 2), columns, weight=weight, ignore_index=UNKNOWN),
           "slots": F.cross_entropy(by_slot.transpose(1, 2), slots, weight=weight, ignore_index=UNKNOWN)}
    k = a.head_weight * (1 if heads_only else max(0.1, 1 - done))
    total = k * (out["columns"] + out["slots"])
    if not heads_only:
        out["text"] = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=PAD, label_smoothing=0.02)
        out["doubt"] = doubt(logits, unknown[:, 1:]) / (wanted != PAD).sum()
        total = total + out["text"] + DOUBT_WEIGHT * out["doubt"] + 0.01 * joint.family.balance()
    return total, out


def read_all(family, vocab, views, size=96):
    out, device = [""] * len(views), family.lm_head.weight.device
    for numbers, part in lines.alike(views, family.sizes.step, size):
        for i, ids in zip(numbers, family.read(to_input(torch.from_numpy(part).to(device)))):
            out[i] = vocab.decode(ids)
    return out


def evaluate(family, vocab, sets, pages):
    """Characters wrong, per set of drawn lines and per page of real ones."""
    result = {}
    for name, rows in sets.items():
        got = read_all(family, vocab, [r[0] for r in rows])
        result[name] = sum(Levenshtein.distance(g, r[1]) for g, r in zip(got, rows)) / sum(len(r[1]) for r in rows)
    if pages:
        got = iter(read_all(family, vocab, [v for p in pages for v in p[1]]))
        result |= real.errors([(name, " ".join(next(got) for _ in views), truth) for name, views, truth in pages])
    return {k: round(v, 4) for k, v in result.items()}


class Run:
    def __init__(self, a):
        self.a, self.device = a, torch.device(a.device)
        self.config, self.family_vocab = config_of(a.model), Vocab(a.model)
        family = Family(self.config) if a.fresh else load(a.model)[0]
        self.joint = Joint(family).to(self.device)
        self.step, self.lines, self.seconds = 0, 0, 0.0
        self.opts = optimisers(self.joint, a.lr)
        self.average = copy.deepcopy(self.joint)
        self.base = [g["lr"] for o in self.opts for g in o.param_groups]

    def restore(self, path):
        k = torch.load(path, weights_only=False, map_location="cpu")
        self.joint.load_state_dict(k["joint"])
        self.average.load_state_dict(k["average"])
        for o, s in zip(self.opts, k["opts"]):
            lrs = [g["lr"] for g in o.param_groups]
            o.load_state_dict(s)
            for g, lr in zip(o.param_groups, lrs):
                g["lr"] = lr
        self.step, self.lines, self.seconds = k["step"], k["lines"], k["seconds"]
        torch.set_rng_state(k["rng"])
        if self.device.type == "cuda" and "rng_cuda" in k:
            torch.cuda.set_rng_state(k["rng_cuda"])

    def save(self):
        """To last.pt by a rename: a full disk or a kill leaves the one before whole."""
        path = os.path.join(self.a.out, "last.pt")
        state = dict(joint=self.joint.state_dict(), average=self.average.state_dict(), step=self.step,
                     opts=[o.state_dict() for o in self.opts], rng=torch.get_rng_state(), lines=self.lines,
                     seconds=self.seconds, config=self.config, args=vars(self.a))
        if self.device.type == "cuda":
            state["rng_cuda"] = torch.cuda.get_rng_state()
        try:
            torch.save(state, path + ".tmp")
            os.replace(path + ".tmp", path)
        except (OSError, RuntimeError) as e:
            print(f"checkpoint not written, the last one stays: {e}", flush=True)
            if os.path.exists(path + ".tmp"):
                os.remove(path + ".tmp")

    def update(self, batch):
        """One step with a batch of to_device -> the losses, still on the device."""
        a, done = self.a, self.step / self.a.steps
        k = schedule(self.step, a)
        for g, lr in zip((g for o in self.opts for g in o.param_groups), self.base):
            g["lr"] = lr * k
        with half(self.device):
            total, parts = losses(self.joint, batch, a, done)
        for o in self.opts:
            o.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.joint.parameters(), 1.0)
        for o in self.opts:
            o.step()
        with torch.no_grad():
            keep = min(a.average, (self.step + 1) / (self.step + 20))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.joint.parameters()), 1 - keep)
        self.step += 1
        self.lines += len(batch[0])
        return {n: v.detach() for n, v in parts.items()}

    def replan(self):
        """A number written to RUN/steps makes the run longer or shorter while it goes on."""
        try:
            with open(os.path.join(self.a.out, "steps"), encoding="ascii") as f:
                self.a.steps = max(self.step + 1, int(f.read()))
        except (FileNotFoundError, ValueError):
            pass

    def report(self, sets, pages):
        r = evaluate(self.average.family, self.family_vocab, sets, pages)
        row = dict(step=self.step, lines=self.lines, hours=round(self.seconds / 3600, 3), **r)
        with open(os.path.join(self.a.out, "curve.jsonl"), "a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")
        print("==", json.dumps(row), flush=True)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="../model/mini", help="directory with config.json, tokenizer.json, weights")
    p.add_argument("--out", default="run")
    p.add_argument("--resume", metavar="RUN", help="go on from RUN/last.pt, with its arguments and --steps")
    p.add_argument("--text", default="text", help="folder of .txt files (text.py makes one)")
    p.add_argument("--fonts", nargs="+", default=["/usr/share/fonts", "/usr/share/texmf"])
    p.add_argument("--real", help="folder with boxes.tsv and pages, to be read and never trained on")
    p.add_argument("--found", type=float, default=0.0, help="part of the pages that the engine's line finder cuts: for the last third")
    p.add_argument("--engine", default="../build/dsocr", help="for --found")
    p.add_argument("--compose", action=argparse.BooleanOptionalAction, help="the device draws the lines (compose.py); not with --found")
    p.add_argument("--steps", type=int)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=2.5e-3)
    p.add_argument("--warm", type=int, default=150)
    p.add_argument("--flat", type=float, default=0.15, help="part of the run before the learning rate falls")
    p.add_argument("--floor", type=float, default=0.01)
    p.add_argument("--heads", type=float, default=0.08, help="part of the run in which only the heads are learnt")
    p.add_argument("--frozen", action="store_true", help="meanwhile the rest stands still: for weights that read already")
    p.add_argument("--head-weight", type=float, default=0.5)
    p.add_argument("--hide", type=float, default=0.35, help="part of the decoder's input that is hidden at first")
    p.add_argument("--average", type=float, default=0.999)
    p.add_argument("--fresh", action="store_true", help="random weights instead of the model's")
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--workers", type=int, default=1, help="processes that draw lines; the lines are the same for any number")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--evaluate-every", type=float, default=600, help="seconds; also the checkpoints'")
    a = p.parse_args()
    if a.resume:
        given = {k: v for k, v in vars(a).items() if v != p.get_default(k)}
        saved = torch.load(os.path.join(a.resume, "last.pt"), weights_only=False, map_location="cpu")["args"]
        here = {"out": a.resume, "device": a.device, "workers": a.workers}  # of this machine, not of the run
        a = argparse.Namespace(**{**vars(a), **saved, **given, **here})
    if not a.steps:
        p.error("--steps is needed")
    if a.compose and a.found:
        p.error("--found needs pages that are drawn before the line finder sees them: --no-compose")
    if a.workers < 1:
        p.error("--workers: one at least")
    if a.device == "cuda" and not torch.cuda.is_available():
        p.error("--device cuda: PyTorch finds no CUDA device here")
    return a


def main():
    a = arguments()
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    if has_bf16(torch.device(a.device)):
        torch.set_float32_matmul_precision("medium")  # Muon's products too
    chars = Vocab(a.model).chars
    atlas = compose.atlas_of(a.fonts, chars, processes=a.workers) if a.compose else None  # by processes: before CUDA is there
    run = Run(a)
    if a.resume:
        run.restore(os.path.join(a.resume, "last.pt"))
    sets = {"held": lines.Source(a.text, a.fonts, chars, seed=778, held=True).chunk(0, 256)}
    pages = real.pages(a.real) if a.real else []
    feed = Feed(a, run.config, run.step, atlas and atlas.without_data())
    composer = compose.Composer(atlas.data, run.device) if atlas else None
    run.report(sets, pages)
    stop = []
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stop.append(1))
    mean, parts, last = {}, [], time.time()
    recent = collections.deque([(last, run.step)], 12)
    due = last + a.evaluate_every
    run.joint.train()
    while run.step < a.steps and not stop:
        try:
            batch = feed.next()
        except SystemExit:
            run.save()
            raise
        batch = to_device(batch, run.device)
        parts.append(run.update(drawn(composer, batch, run.family_vocab.ids[" "]) if composer else batch))
        now = time.time()
        run.seconds, last = run.seconds + now - last, now
        if run.step % PRINT_EVERY == 0:
            for n, v in (item for p in parts for item in p.items()):
                mean[n] = float(v) if n not in mean else 0.98 * mean[n] + 0.02 * float(v)
            parts.clear()
            run.replan()
            recent.append((now, run.step))
            speed = (run.step - recent[0][1]) * a.batch / (now - recent[0][0] + 1e-9)
            left = (a.steps - run.step) * a.batch / max(speed, 1e-9) / 60
            print(f"{run.step} " + " ".join(f"{n} {v:.3f}" for n, v in mean.items()) +
                  f" lr {run.base[0] * schedule(run.step, a):.1e} {speed:.1f} lines/s, {left:.0f} min left", flush=True)
        if now > due:
            run.save()
            run.report(sets, pages)
            run.joint.train()
            last = time.time()
            due = last + a.evaluate_every
    run.save()
    run.report(sets, pages)


if __name__ == "__main__":
    main()
