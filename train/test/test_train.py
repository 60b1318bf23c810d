#!/usr/bin/env python3
"""What train/ promises, in seconds. Plain: one line a promise, "ok" or "FAIL"; exit status 1 on a failure.

Needs train/requirements.txt. Where PyTorch is missing it says so and looks at what goes without: vocabulary, texts and the
cutting of views, for which NumPy and Pillow are enough, and drawn lines where there are also fontTools and fonts.
"""

import argparse
import base64
import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
MINI = os.path.join(ROOT, "model", "mini")
SHARED = os.environ.get("DSOCR_SHARED", os.path.join(ROOT, "..", "shared"))

try:
    import numpy as np
    from PIL import Image
    import found, lines, text
    from vocab import Vocab
except ImportError as e:
    print(f"skipped: train/test needs Python's {e.name} (pip install -r train/requirements.txt); 0 promises looked at")
    sys.exit(0)
try:
    import torch
    from safetensors.torch import load_file
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode
    import compose, confidence, evaluate, export, finetune, golden, grow, lora, model, muon, real, train
except ImportError as e:
    torch = None
    print(f"skipped: what needs Python's {e.name} (pip install -r train/requirements.txt): the model, training, export, adapters")

failed = 0
LETTERS = slice(7, 27)  # rows; beyond them the engine takes out what belongs to other lines
PROSE = ("The quick brown fox jumps over the lazy dog, and Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter "
         "Deich; mañana será otro día. ") * 20


def promise(what, kept, detail=""):
    global failed
    failed += not kept
    print(f"{'ok  ' if kept else 'FAIL'}  {what}{'' if kept else ': ' + str(detail)}", flush=True)


def skip(what, why):
    print(f"skipped  {what}: {why}", flush=True)


def tiny_config(view, patch, window):
    with open(os.path.join(MINI, "config.json"), encoding="utf-8") as f:
        c = json.load(f)
    c["dsocr"].pop("view_step", None)
    c["vision_config"]["image_size"] = view
    sam = c["vision_config"]["width"]["sam_vit_b"]
    sam.update(width=32, layers=2, heads=2, global_attn_indexes=[1], patch_size=patch, window_size=window,
               neck_channels=16, downsample_channels=[24, 32])
    c["vision_config"]["width"]["qwen2-0-5b"].update(dim=32, layers=1, heads=2, kv_heads=1, intermediate_size=48)
    c["language_config"].update(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
                                moe_intermediate_size=16, n_routed_experts=4)
    return c


# ---- model -------------------------------------------------------------------------------------------


def test_golden():
    family, config = model.load(MINI)
    vocab = Vocab(MINI)
    with open(os.path.join(ROOT, "test", "golden", "mini.json"), encoding="utf-8") as f:
        wanted = json.load(f)["segments"]
    got = [golden.answer(family, vocab, os.path.join(ROOT, "test", "golden", s["file"]), 40, i < 2) for i, s in enumerate(wanted[:8])]
    promise("the mini answers as test/golden/mini.json says", all(g["tokens"] == w["tokens"] and g["text"] == w["text"] for g, w in zip(got, wanted)))
    sums = [(g[k]["sum"], w[k]["sum"]) for g, w in zip(got[:2], wanted) for k in ("global_sam", "image_rows", "logits")]
    promise("so do its stages", all(abs(a - b) < 1e-2 for a, b in sums), sums)


def test_sizes():
    square = model.Family(tiny_config(256, 16, 6))
    promise("a square view gives (256 / 64)^2 queries", square.model.qwen2_model.query_256.weight.shape[0] == 16)
    wide = model.Family(tiny_config([32, 200], [16, 4], [2, 12]))
    rows = wide.see(torch.zeros(2, 3, 32, 200))[2]
    promise("an odd grid rounds up where it is halved", rows.shape == (2, 13 + 1, 32), rows.shape)
    logits = wide.decode(rows, torch.tensor([[1, 5, 6], [1, 7, 8]]))
    promise("logits for every id given", logits.shape == (2, 3, 306), logits.shape)
    wide.eval()
    one = wide.read(torch.zeros(2, 3, 32, 200), 6)
    slow = [1]
    for _ in range(6):
        slow.append(int(wide.decode(rows[:1], torch.tensor([slow]))[0, -1].argmax()))
        if slow[-1] == model.EOS:
            break
    promise("reading with a cache is reading without", one[0] == [i for i in slow[1:] if i != model.EOS], (one[0], slow))


def golden_view(number):
    return np.array(Image.open(os.path.join(ROOT, "test", "golden", "mini", f"{number:02}.png")))


def stepping(step=None):
    """The mini, which now reads views in such steps, or without any."""
    config = model.config_of(MINI)
    config["dsocr"].pop("view_step", None)
    if step:
        config["dsocr"]["view_step"] = step
    family, whole = model.Family(config), model.load(MINI)[0]
    family.load_state_dict(whole.state_dict())
    return family.eval()


def built_for(family, width):
    """-> a model of views of this width, whose tables are cut out of family's; and model.rope, which gives its queries and what
    follows the view in the decoder the positions that they have in family's."""
    config = json.loads(json.dumps(family.sizes.config))
    config["vision_config"]["image_size"] = [family.sizes.image[0], width]
    config["dsocr"].pop("view_step", None)
    small = model.Family(config)
    columns, n, s = small.sizes.grid[1], small.sizes.tokens, family.sizes
    weights = family.state_dict()
    for name in list(weights):
        if name.endswith("pos_embed"):
            weights[name] = weights[name][:, :, :columns]
        elif name.endswith("rel_pos_w") and len(weights[name]) == 2 * s.grid[1] - 1:  # from one distance to another
            weights[name] = weights[name][s.grid[1] - columns:s.grid[1] - 1 + columns]
        elif "query_" in name:
            weights[f"model.qwen2_model.query_{width}.weight"] = weights.pop(name)[:n]
    small.load_state_dict(weights)
    first, rope = {s.enc_theta: n, s.theta: 1 + n}, model.rope
    return small.eval(), lambda x, theta, pos: rope(x, theta, torch.where(pos < first[theta], pos, pos + s.tokens - n))


def test_distances():
    """One product for all distances, against one for every pair of places."""
    torch.manual_seed(1)
    q, table, i = torch.randn(2, 3, 5, 8, requires_grad=True), torch.randn(17, 8, requires_grad=True), torch.arange(5)
    plain = torch.einsum("bhic,ikc->bhik", q, table[i[:, None] - i + 8])
    mine, weight = model.distances(q, table, 5), torch.randn(2, 3, 5, 5)
    grads = [torch.autograd.grad((y * weight).sum(), (q, table)) for y in (plain, mine)]
    promise("what a query says about every distance, gradients too", torch.allclose(plain, mine, atol=1e-5) and
            all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*grads)))


def test_short():
    """A view cut short, in a model of whole views and in one that is built for the short ones."""
    family, ids = stepping(32), torch.tensor([[model.BOS, 20, 33, 47, 61]])
    for width in (32, 96, 224):
        x = train.to_input(golden_view(1)[None, :, :width])
        small, rope = built_for(family, width)
        mine = [*family.see(x), family.decode(family.see(x)[2], ids)]
        with mock.patch.object(model, "rope", rope):
            theirs = [*small.see(x), small.decode(small.see(x)[2], ids)]
            read = small.read(x)
        for what, a, b in zip(("SAM's columns", "vision tokens", "decoder rows", "logits"), mine, theirs):
            promise(f"a view of {width} px stands where it stood in the whole: {what}", a.shape == b.shape and torch.allclose(a, b, atol=1e-4), (a - b).abs().max())
        promise("it is read there too, letter by letter", family.read(x) == read, (family.read(x), read))
    whole = train.to_input(golden_view(1)[None])
    promise("a whole view is seen as without steps", all(map(torch.equal, family.see(whole), stepping().see(whole))))
    steps = lambda step: model.Sizes(model.config_of(MINI) | {"dsocr": {"view_step": step}})
    promise("steps of 0 are none, and the last may be shorter", steps(0).step == 256 and steps(96).step == 96)
    for step in (24, -32, "32", 32.0):
        try:
            steps(step)
            promise(f"steps of {step!r} are refused", False)
        except ValueError as e:
            promise(f"steps of {step!r} are refused", f"view_step is {step}" in str(e), e)


def test_order():
    """What is read together by width comes back in the order in which it was given, as it is read alone."""
    family, vocab = stepping(32), Vocab(MINI)
    views = [ending(golden_view(i), end) for i, end in ((1, 256), (2, 60), (3, 255), (4, 61), (5, 130), (6, 1), (7, 33))]
    alone = [train.read_all(family, vocab, [v])[0] for v in views]
    promise("lines are read in their order, as each alone", train.read_all(family, vocab, views) == alone and len(set(alone)) > 4, alone)
    promise("and two at once", train.read_all(family, vocab, views, 2) == alone)
    promise("also with their confidences", [vocab.decode(ids) for ids, _ in confidence.read(family, views)] == alone)
    sure = [confidence.confidence(*row) for row in confidence.read(family, views)]
    promise("which are each line's own", np.allclose(sure, [confidence.confidence(*confidence.read(family, [v])[0]) for v in views], atol=1e-4), sure)
    promise("no line is none", train.read_all(family, vocab, []) == [] == confidence.read(family, []))


def test_muon():
    g = torch.Generator().manual_seed(1)
    for shape in ((2, 40, 16), (1, 16, 40)):
        s = torch.linalg.svdvals(muon.orthogonal(torch.randn(shape, generator=g)))
        promise(f"Muon's update of {shape[1]} x {shape[2]} has singular values near 1", .5 < s.min() and s.max() < 1.4, s)


# ---- views and lines ---------------------------------------------------------------------------------


def ending(view, end):
    """The view with its last ink in the column before `end`."""
    view = view.copy()
    view[:, end:] = 255
    view[5, end - 1] = 254
    return view


def test_read_width():
    white = np.full((32, 256), 255, np.uint8)
    ends = {0: 32, 1: 32, 32: 32, 33: 64, 128: 128, 129: 160, 255: 256, 256: 256}
    views = [ending(white, end) if end else white for end in ends]
    promise("a view is read up to its ink, in whole steps", [lines.ink_end(v) for v in views] == list(ends) and
            [lines.read_width(end, 32) for end in ends] == list(ends.values()))
    promise("and whole where the step is", {lines.read_width(end, 256) for end in ends} == {256})
    promise("no further than it goes", [part.shape for _, part in lines.alike([white, views[6], views[7]], 96, 9)] == [(1, 32, 96), (2, 32, 256)])
    promise("many as far as the widest", lines.narrowed(np.stack(views[:4]), 32).shape == (4, 32, 64) and lines.narrowed(np.stack(views), 32).shape == (8, 32, 256))
    got = [(list(i), part) for i, part in lines.alike(views[::-1], 32, 2)]
    promise("those of one width go together, so many at once, and all of them", sorted(sum((i for i, _ in got), [])) == list(range(8)) and
            [part.shape[::2] for _, part in got] == [(2, 32), (1, 32), (1, 64), (1, 128), (1, 160), (2, 256)], got)
    promise("they are what they were, but for white", all(np.array_equal(v, views[::-1][j][:, :v.shape[1]]) and (views[::-1][j][:, v.shape[1]:] == 255).all()
                                                         for i, part in got for j, v in zip(i, part)))


def test_views():
    path = os.path.join(SHARED, "mini", "views.json")
    if not os.path.exists(path):
        return skip("views cut as the golden ones", f"no {path} (DSOCR_SHARED)")
    with open(path, encoding="utf-8") as f:
        wanted = json.load(f)["lines"]
    pages, worst, count = {}, 0, True
    for l in wanted:
        if l["page"] not in pages:
            grey = lines.whiten(np.asarray(Image.open(os.path.join(SHARED, "samples", l["page"])).convert("L")))
            pages[l["page"]] = grey, lines.otsu(grey)
        grey, dark = pages[l["page"]]
        mine = lines.cut(grey, l["x0"], l["x1"], l["baseline"], l["x_height"], dark)
        theirs = [np.asarray(Image.open(os.path.join(SHARED, "mini", v)), float) for v in l["views"]]
        count &= len(mine) == len(theirs)
        worst = max([worst] + [np.abs(m[0] - t).mean() for m, t in zip(mine, theirs)])
    promise("as many views of each golden line as there should be", count)
    promise("every golden view within a mean of 4 grey levels", worst <= 4, worst)


def test_against_engine():
    """The engine's own lines on a straight page, cut here at its baselines: the same views."""
    page, engine = os.path.join(SHARED, "samples", "phototest.tif"), os.path.join(ROOT, os.environ.get("DSOCR_BUILD", "build"), "dsocr")
    if not (os.path.exists(page) and os.access(engine, os.X_OK)):
        return skip("views cut as the engine cuts them", f"needs {engine} and {page}")
    found = engine_lines(engine, page)
    if found is None:
        return skip("views cut as the engine cuts them", "this engine has no read --stage lines")
    grey, close = lines.whiten(np.asarray(Image.open(page).convert("L"))), []
    for l, views in found:
        x0, _, x1, _ = l["bbox"]
        mine = lines.cut(grey, x0, x1, l["baseline"], l["x_height"], lines.otsu(grey))
        close += [np.abs(m[0] - v.astype(float))[LETTERS].mean() for m, v in zip(mine, views)]
    close = np.array(close)
    promise("nine in ten of the engine's views within a mean of 4 grey levels of ours, where letters are",
            len(close) > 8 and (close < 4).mean() >= .9, close.round(1).tolist())


def engine_lines(engine, page):
    """[(line of read --stage lines, its views), ...] or None"""
    with tempfile.TemporaryDirectory() as d:
        ask = lambda stage: subprocess.run([engine, "read", page, "--model", MINI, "--stage", stage], cwd=d, capture_output=True, text=True)
        got = ask("lines")
        if got.returncode or ask("views").returncode:
            return None
        out = json.loads(got.stdout)
        out = (out[0] if isinstance(out, list) else out)["lines"]
        names = sorted(f for f in os.listdir(d) if f.endswith(".png"))
        views, result = [np.asarray(Image.open(os.path.join(d, f))) for f in names], []
        for l in out:
            result.append((l, views[:len(l["views"])]))
            views = views[len(l["views"]):]
        return result


def test_vocab():
    vocab, said = Vocab(MINI), "Zwölf Boxkämpfer, 5,00 £"
    promise("what the vocabulary encodes it decodes, one id a character",
            vocab.decode(vocab.encode(said)) == said and len(vocab.encode(said)) == len(said))


def test_lines(folder, fonts):
    chars = Vocab(MINI).chars
    source = lines.Source(folder, fonts, chars, seed=3)
    rows, again = source.chunk(2, 48), lines.Source(folder, fonts, chars, seed=3).chunk(2, 48)
    promise("the same chunk twice is the same", all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(rows, again)))
    promise("views are 32 x 256 bytes", all(v.shape == (32, 256) and v.dtype == np.uint8 for v, _, _ in rows))
    promise("texts are of the vocabulary and fit", all(set(lines.doubtful(t)[0]) <= chars and len(t) <= lines.LONGEST for _, t, _ in rows))
    promise("every character has its place in the view", all(len(c) == len(t) and (not len(c) or -2 < c.min() and c.max() < 258) for _, t, c in rows))
    promise("some views hold nothing and say so", any(t == "" for j in range(12) for _, t, _ in source.chunk(j, 64)))
    for what in lines.WHAT:
        rows = lines.Source(folder, fonts, chars, seed=3, only=what).chunk(0, 24)
        promise(f"pages of this kind have lines that can be read: {what}",
                all(set(t) <= chars and len(c) == len(t) for _, t, c in rows) and sum(t != "" for _, t, _ in rows) > 12, rows)
    rows = lines.Source(folder, fonts, chars, seed=3, only="unreadable").chunk(0, 24)
    marked = [lines.doubtful(t) for _, t, _ in rows if t]
    promise("every letter of another script is marked, and no space", len(marked) > 12 and
            all(t.replace(" ", "").isalpha() and unknown == [c != " " for c in t] for t, unknown in marked), marked)
    rand = lines.random.Random(1)
    plain, marked = "dealt Dog 12".split(), [w for _ in range(20) for w in source.text.accented(rand, ["dealt", "Dog", "12"])]
    bare = [lines.unicodedata.normalize("NFD", w) for w in marked]
    promise("marks are set on letters that bear them, nothing else is changed", set(marked) > {"12"} and set("".join(marked)) <= chars and
            not set("".join(marked)) & set(lines.LIKE_ELISIONS) and len(set(marked)) > 3 and {"".join(c for c in w if not lines.unicodedata.combining(c)) for w in bare} == set(plain), marked)
    test_words()
    test_airy(fonts)
    test_tight(fonts)
    test_blunt(fonts)
    test_found_tailless(folder, fonts, *test_tailless())
    test_second(source)
    test_faint(source)
    test_clutter(next(v for v, t, _ in rows if t))
    test_damaged(rows)
    test_typewriter(fonts)
    held = lines.faces(fonts, held=True)
    seen = {f.path for fs in source.faces.values() for family in fs for f in family}
    promise("no held-out face is drawn for training", not seen & {f.path for fs in held.values() for family in fs for f in family})


def test_clutter(view):
    scan = lines.Scan(lines.random.Random(4), np.random.default_rng(4), None, "serif", [], "prose")
    got = [scan.nothing(view) for _ in range(200)]
    promise("what is no text has a view's form, and ink", all(g.shape == view.shape and g.dtype == np.uint8 for g in got) and
            np.mean([g.min() < 200 for g in got]) > .7)
    flowers = [scan.flowers(200) for _ in range(40)]
    promise("ornaments have ink of their own, where they may", all(f[:, :200].max() > 60 for f in flowers) and
            not any(f[:, 200:].any() for f in flowers) and len({f.tobytes() for f in flowers}) == 40)
    promise("what is no text is never the line itself", not any(np.corrcoef(g.ravel(), view.ravel())[0, 1] > .6 for g in got if g.std()))
    long = [scan.runs_on(view, 120) for _ in range(20)]
    promise("a line that runs on keeps its text as it was", all(np.array_equal(v[:, :120], view[:, :120]) for v in long) and
            any((v < view).any() for v in long))


def test_words():
    promise("no comma and no closing bracket stands alone", lines.closed("a , b ( c ) d, (e) f ,g :".split()) == "a, b (c) d, (e) f ,g :".split(),
            lines.closed("a , b ( c ) d, (e) f ,g :".split()))
    words = lines.much_f(lines.random.Random(1), ["x"] * 60, ["of", "no", "fit", "life"])
    promise("words with an f come in, each once", sorted(w for w in words if w != "x") == ["fit", "life", "of"] and len(words) == 60, words)
    words = lines.elided(lines.random.Random(1), ["avis"] * 60 + ["le"] * 60)
    promise("words that begin with a vowel, and no others, come with an elision", words[60:] == ["le"] * 60 and
            {w[-4:] for w in words[:60]} == {"avis"} and len(set(words[:60])) > 6, words)
    words = lines.pointed(lines.random.Random(1), ["mot,"] * 50 + ["mot."] * 50 + ["etc...", "-,", "mot", "."])
    promise("commas and stops take each other's place, at words' ends", {*words[:50]} == {*words[50:100]} == {"mot,", "mot."} and
            words[100:] == ["etc...", "-,", "mot", "."], words[100:])
    words = lines.joined(lines.random.Random(1), ["oeuf"] * 99)
    promise("words with joined letters come in, and are known", len(words) == 99 and 4 < sum(w != "oeuf" for w in words) < 40 and
            all(set("œæŒÆ") & set(w) and set(w) <= Vocab(MINI).chars for w in lines.JOINED))
    parts = [lines.entry(lines.random.Random(k), lambda n: "of some words") for k in range(60)]
    promise("an entry is a name, what it says, and where", all(name[-1].endswith(",") and said[-1].endswith(",") and "".join(c for c in where[-1] if c not in ".;").isdigit()
            for name, said, where in parts) and any("(" in "".join(name) for name, _, _ in parts), parts[0])
    long = "Name " + "." * 40 + " 12"
    text, centres = lines.shortened(long, np.arange(len(long)))
    promise("leader dots are as many as a view's text may hold", len(text) <= lines.LONGEST and len(centres) == len(text) and
            text.startswith("Name ....") and text.endswith(" 12") and all(long[int(i)] == c for i, c in zip(centres, text)), text)
    long = "- " * 24 + "5"
    text, _ = lines.shortened(long, np.arange(len(long)))
    promise("also with spaces between", len(text) <= lines.LONGEST and text in ("- " * 18 + "5", "- " * 17 + "5"), text)
    promise("and a line of letters is not shortened", lines.shortened("a" * 50, np.arange(50))[0] == "a" * 50)


def test_airy(fonts):
    """White before a comma and inside brackets that is drawn, and is no space."""
    face = next(f for families in lines.faces(fonts).values() for family in families for f in family)
    ends = {}
    for airy in (0, 9):
        pen = lines.Pen(lines.random.Random(1), (600, 80), face, 20)
        pen.airy = airy
        ends[airy] = pen.word("(word", pen.word("ville,", 20, 50, 0), 50, 0), pen.chars.label
    promise("two gaps are two gaps wider, and the text is the same", abs(ends[9][0] - ends[0][0] - 18) < 2 and
            ends[9][1] == ends[0][1] == list("ville,(word"), ends)


def test_tight(fonts):
    """An apostrophe nearer to its letter, and less than a space behind a comma: the text is the same."""
    face = next(f for families in lines.faces(fonts).values() for family in families for f in family)
    got = {}
    for tight, behind in ((0, 1), (5, 1), (0, .5)):
        pen = lines.Pen(lines.random.Random(1), (600, 80), face, 20)
        pen.tight, pen.behind = tight, behind
        got[tight, behind] = lines.Source.write(None, pen, ["d'avoir,", "l'eau"], 20, 50, 0, 16), pen.chars.label
    ends, texts = zip(*got.values())
    promise("two apostrophes are nearer, or a comma's space is half as wide", abs(ends[0] - ends[1] - 10) < 2 and abs(ends[0] - ends[2] - 8) < 2, ends)
    promise("and the text is the same", all(t == list("d'avoir, l'eau") for t in texts), texts)


def test_blunt(fonts):
    """A stop's ink goes on, its letter's place and what it says do not."""
    face = next(f for families in lines.faces(fonts).values() for family in families for f in family)
    got = []
    for blunt in ((0, 0), (1, 4)):
        pen = lines.Pen(lines.random.Random(1), (300, 80), face, 20)
        pen.blunt = blunt
        end = pen.word("so.", 20, 50, 0)
        got.append((end, pen.chars.label, pen.chars.x, np.asarray(pen.image, float)))
    promise("the line is the same", got[0][:3] == got[1][:3], got[0][:3])
    more = np.argwhere(got[1][3] != got[0][3])
    promise("but the stop is taller", len(more) and (got[1][3] >= got[0][3]).all() and more[:, 0].min() > 40 and more[:, 1].min() > got[0][2][1] + 4, more)


def test_tailless():
    """Commas without a tail are no commas; a stop needs none, and a view may be cut too high or too low."""
    view = np.full((lines.VIEW_H, lines.VIEW_W), 255, np.uint8)
    view[20:23, 60:63] = 0
    stop, comma = view.copy(), view.copy()
    comma[23:26, 60:62] = 60
    got = [lines.tailless(v, t, [10, 61.5], 23 + d) for v, t, d in ((stop, "a,", 0), (comma, "a,", 0), (stop, "a.", 0), (comma, "a,", 1), (comma, "a,", -1), (view[::-1], "a,", 0))]
    promise("a comma that has lost its tail is seen", got == [True, False, False, False, False, False], got)
    return stop, comma


def test_found_tailless(folder, fonts, stop, comma):
    """Of what the line finder cuts, too: the baseline is the page's, wherever the finder has taken it to be."""
    class Finds:
        def rows(self, *_):
            return [(view, text, np.array([10.0, 61.5]), below) for view, text, below in
                    ((stop, "n,", 0.0), (stop, "n.", 0.0), (comma, "n,", 0.0), (comma, "n,", 2.6), (comma, "m,", -1.0))]

    for view in (stop, comma):
        view[12:23, 8:13] = 0
    got = lines.Source(folder, fonts, set("nm,. "), seed=3, finder=Finds(), found=1.0).chunk(0, 6)
    promise("nor are such of pages that the finder cuts", sorted(t for _, t, _ in got) == sorted(["n.", "n,", "m,"] * 2), [t for _, t, _ in got])


def test_second(source):
    """Runs of words in another face of the page, with the places of their letters."""
    face = next(f for families in source.faces.values() for family in families for f in family
                if not lines.SLANTED.search(f.path) and any(lines.SLANTED.search(g.path) for g in family))
    pen = lines.Pen(lines.random.Random(1), (4000, 80), face, 20)
    other = source.second(pen, lines.random.Random(1))
    words, x = ["word"] * 40, [0.0]
    promise("an upright face's other is slanted, and a slanted one's upright", lines.SLANTED.search(other.face.path) and
            not lines.SLANTED.search(source.second(other, lines.random.Random(1)).face.path), other.face.path)
    promise("and draws on the same page", other.image is pen.image and other.chars is pen.chars and other.x_height == pen.x_height)
    empty = lines.Pen(lines.random.Random(1), (400, 80), face, 20)
    lines.Source.write(None, empty, ["so,", "", "da", ""], 20, 50, 0, 16)
    promise("a word of which a face has nothing is not there", "".join(empty.chars.label) == "so, da", empty.chars.label)
    pen.second, used = other, []
    for line in range(2):
        with mock.patch.object(lines.Pen, "word", lambda p, w, x, y, line, word=lines.Pen.word: used.append(p) or word(p, w, x, y, line)):
            lines.Source.write(None, pen, words, 20, 50, line, 16)
    promise("some words are in either, and the text is the same", {id(p) for p in used} == {id(pen), id(other)} and
            "".join(pen.chars.label) == " ".join(words) * 2 and (np.diff(pen.chars.x[:100]) > 0).all(), x)


def test_faint(source):
    """Worn type with little ink is thinner and greyer, and still there."""
    pen = lines.Pen(lines.random.Random(1), (400, 80), source.faces[source.kinds[0]][0][0], 20)
    pen.word("mandolines", 20, 50, 0)
    scan = lines.Scan(lines.random.Random(4), np.random.default_rng(4), pen, "serif", [50], "prose")
    ink = [np.asarray(scan.faint(pen.image), float).sum() / np.asarray(pen.image, float).sum() for _ in range(30)]
    promise("worn type has less ink, not none", .08 < min(ink) and np.mean(ink) < .85, (min(ink), np.mean(ink)))


def test_damaged(rows):
    scan = lines.Scan(lines.random.Random(4), np.random.default_rng(4), None, "serif", [], "prose")
    views = [v for v, t, _ in rows if t]
    ends = [int(np.flatnonzero((v < 255).any(0))[-1]) + 1 for v in views]
    got = [(v, scan.damaged(v, end), end) for v, end in zip(views, ends) if end > 40 for _ in range(8)]
    promise("a damaged view is a view, white behind its end", all(g.shape == v.shape and g.dtype == np.uint8 and (g[:, end:] == 255).all() for v, g, end in got))
    like = np.array([np.corrcoef(g[4:28, :end].ravel(), v[4:28, :end].ravel())[0, 1] for v, g, end in got if g.std()])
    promise("it is another, and its line is still there", np.median(like) > .8 and like.min() < .95 and
            np.mean([np.array_equal(v, g) for v, g, _ in got]) < .1, like.round(2))
    promise("its paper is white", np.median([np.quantile(g[:, :end], .85) for _, g, end in got]) > 235)


def test_typewriter(fonts):
    """One pitch, whatever the strikes; a letter for a figure changes the ink and not the text."""
    face, r = lines.faces(fonts)["mono"][0][0], random.Random(1)
    pen, plain = lines.Typewriter(r, (900, 80), face, 20), lines.Pen(r, (900, 80), face, 20)
    pen.instead, pen.doubled = {"1": "l"}, 1.0
    end = pen.word("mill 1iI", 20, 50, 0)
    promise("a typewriter's letters stand at one pitch", np.allclose(np.diff(pen.chars.x), pen.pitch) and abs(end - 20 - pen.length("mill 1iI")) < 1e-6)
    promise("l for 1 is labelled 1", "".join(pen.chars.label) == "mill 1iI" and "1" not in pen.keys and "l" in pen.keys)
    plain.small_capitals(.8)
    plain.word("Straße", 20, 50, 0)
    promise("small capitals are labelled as capitals", "".join(plain.chars.label) == "STRAßE", plain.chars.label)
    odd = [c for c in Vocab(MINI).chars if lines.capital(c) not in Vocab(MINI).chars]
    promise("every capital is in the vocabulary", not odd and lines.capital("ü") == "Ü", odd)
    spell = lines.early_spelling(mock.Mock(random=lambda: .3))
    promise("an early printer's u, v and &", [spell(w) for w in ("upon", "Have", "and", "vu")] == ["vpon", "Haue", "&", "vu"], [spell(w) for w in ("upon", "Have", "and", "vu")])


def test_doubt():
    """Letters that cannot be read are taught as not known, and others as before."""
    vocab = Vocab(MINI)
    targets = train.Targets(model.load(MINI)[0].sizes, vocab)
    ids = targets.ids("a" + chr(lines.DOUBT + ord("b")) + " c")
    promise("what cannot be read is below zero", ids == [vocab.ids["a"], -vocab.ids["b"], vocab.ids[" "], vocab.ids["c"]], ids)
    columns, slots = targets(ids, np.array([10.0, 20.0, 30.0, 40.0]), 256)
    promise("the heads are told nothing of it", columns[5] == train.UNKNOWN and slots[1 * train.SLOTS] == train.UNKNOWN and (columns < 0).sum() == (slots < 0).sum() == 1)
    logits = torch.zeros(2, 4, 306)
    logits[1, 2, 40] = 9
    logits.requires_grad_()
    unknown = torch.tensor([[0, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)
    value = train.doubt(logits, unknown)
    value.backward()
    promise("even chances are what is wanted", float(train.doubt(logits[:1], unknown[:1]).detach()) < .02 and float(value.detach()) > 1, value)
    promise("letters that can be read are left alone", not logits.grad[~unknown].any() and float(logits.grad[1, 2, 40]) > .5)
    batch = [torch.zeros(1, 32, 256, dtype=torch.uint8), torch.tensor([[model.BOS, *ids, model.EOS]]), torch.from_numpy(columns)[None], torch.from_numpy(slots)[None]]
    torch.manual_seed(1)
    a = argparse.Namespace(heads=0, hide=0, frozen=False, head_weight=1)
    joint = train.Joint(model.load(MINI)[0])
    total, parts = train.losses(joint, batch, a, .5)
    promise("the losses of a line with such a letter are numbers", all(torch.isfinite(v) for v in (total, *parts.values())) and float(parts["doubt"].detach()) > 0)


def test_found(folder, fonts):
    """Views that the engine's line finder cut: what they are said to show is what the mini reads in them."""
    from rapidfuzz.distance import Levenshtein
    engine = os.path.join(ROOT, os.environ.get("DSOCR_BUILD", "build"), "dsocr")
    if not os.access(engine, os.X_OK):
        return skip("views that the line finder cuts", f"needs {engine}")
    vocab, finder = Vocab(MINI), found.Finder(engine, MINI)
    rows = lines.Source(folder, fonts, vocab.chars, seed=3, finder=finder, found=1.0).chunk(0, 48)
    promise("the finder's views are 32 x 256 bytes, their characters inside",
            all(v.shape == (32, 256) and v.dtype == np.uint8 and len(c) == len(t) and -2 < c.min() and c.max() < 258 for v, t, c in rows))
    promise("it is asked for whole pages", 0 < finder.pages < finder.kept, (finder.pages, finder.kept))
    got = train.read_all(model.load(MINI)[0], vocab, [r[0] for r in rows])
    near = sum(Levenshtein.normalized_distance(g, r[1]) < .35 for g, r in zip(got, rows))
    promise("most are read as what they are said to show", near >= .5 * len(rows), (near, len(rows)))


# ---- training ----------------------------------------------------------------------------------------


def tiny_model(folder):
    os.makedirs(folder, exist_ok=True)
    config = tiny_config([32, 256], [16, 4], [2, 12])
    config["dsocr"]["view_step"] = 32
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    shutil.copy(os.path.join(MINI, "tokenizer.json"), folder)
    torch.manual_seed(0)
    tensors = {k: v.to(torch.bfloat16).contiguous() for k, v in model.Family(config).state_dict().items()}
    export.save_file(tensors, os.path.join(folder, "model.safetensors"))


def tiny_run(folder, text_folder, fonts, steps=4):
    like = os.path.join(folder, "like")
    if not os.path.isdir(like):
        tiny_model(like)
    sys.argv = ["train.py", "--model", like, "--out", folder, "--text", text_folder, "--steps", str(steps), "--batch", "4",
                "--heads", "0.25", "--fonts", *fonts]
    a = train.arguments()
    torch.manual_seed(a.seed)
    return train.Run(a)


def test_batches(text_folder, fonts):
    """A chunk's rows as batches of views cut short, and as those of whole views that they always were."""
    vocab = Vocab(MINI)
    source = lines.Source(text_folder, fonts, vocab.chars, seed=3)
    rows, (short, whole) = source.chunk(0, 6 * train.BATCHES), (train.Targets(stepping(step).sizes, vocab) for step in (32, None))
    got = list(train.batches(source, 0, 6, short))
    back = sorted(np.pad(v, ((0, 0), (0, 256 - v.shape[1])), constant_values=255).tobytes() for b in got for v in b[0])
    promise("views of a chunk are all in its batches, and only white is cut off", back == sorted(v.tobytes() for v, _, _ in rows))
    widths = [b[0].shape[2] for b in got]
    promise("a batch is as wide as its widest view, and lines of like width are together",
            all(w == max(lines.read_width(lines.ink_end(v), 32) for v in b[0]) for w, b in zip(widths, got)) and len(set(widths)) > 2, widths)
    told = {(v.tobytes(), tuple(ids[ids != model.PAD])): heads for b in train.batches(source, 0, 6, whole) for v, ids, *heads in zip(*b)}
    same, lost = [], 0
    for b in got:
        for v, ids, columns, slots in zip(*b):
            w = v.shape[1]
            all_columns, all_slots = told[np.pad(v, ((0, 0), (0, 256 - w)), constant_values=255).tobytes(), tuple(ids[ids != model.PAD])]
            same += [np.array_equal(columns, all_columns[:w // 4]), np.array_equal(slots, all_slots[:w // 16 * train.SLOTS])]
            lost += np.count_nonzero(all_columns[w // 4:])
    promise("so are what the heads are told, which loses no letter that has ink", all(same) and len(same) == 2 * len(rows) and lost < 3, lost)
    rows.sort(key=lambda r: len(r[1]))
    order = np.random.default_rng(0).permutation(train.BATCHES)
    promise("whole views go together by the length of their texts", all(
        np.array_equal(b[0], np.stack([r[0] for r in rows[i * 6:i * 6 + 6]])) for i, b in zip(order, train.batches(source, 0, 6, whole))))


def test_resume(text_folder, fonts):
    with tempfile.TemporaryDirectory() as d:
        run = tiny_run(d, text_folder, fonts)
        source = lines.Source(text_folder, fonts, run.family_vocab.chars, seed=run.a.seed)
        batches = train.batches(source, 0, run.a.batch, train.Targets(run.joint.family.sizes, run.family_vocab))
        batches = [train.to_device(b, run.device) for b in batches]
        run.joint.train()
        for i, b in enumerate(batches[:4]):
            run.update(b)
            if i == 1:
                run.save()
        other = tiny_run(d, text_folder, fonts)
        other.restore(os.path.join(d, "last.pt"))
        other.joint.train()
        promise("a checkpoint knows its step", other.step == 2, other.step)
        for b in batches[other.step:4]:
            other.update(b)
        same = all(torch.equal(a, b) for a, b in zip(run.joint.state_dict().values(), other.joint.state_dict().values()))
        promise("a run that was stopped goes on exactly as if it had not been", same)
        test_full_disk(d, run)
        test_export(d, run)
        like = os.path.join(d, "like")
        test_workers(like, text_folder, fonts)
        test_gpu(like, text_folder, fonts)


# ---- a GPU, without one ------------------------------------------------------------------------------

DEVICE = "meta"  # not the processor, and nothing is computed there


def made_up_batch(sizes, size=4, length=12):
    r = np.random.default_rng(1)
    ids = r.integers(3, sizes.vocab, (size, length))
    ids[:, 0] = model.BOS
    columns = r.integers(0, sizes.vocab, (size, sizes.grid[1]))
    slots = r.integers(0, sizes.vocab, (size, sizes.tokens * train.SLOTS))
    return r.integers(0, 256, (size, *sizes.image), np.uint8), ids, columns, slots


def nothing_comes_back():
    """Fails where a tensor is copied from the device: the host would wait for it."""
    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if func is torch.ops.aten._to_copy.default and args[0].device != out.device == torch.device("cpu"):
                raise RuntimeError("copied from the device")
            return out
    return Watch()


def on_device(folder, work, batch=None):
    """work(run, batch) where only shapes and devices are followed -> the error, or None"""
    sys.argv = ["train.py", "--model", folder, "--fresh", "--out", folder, "--steps", "4", "--heads", "0.25"]
    a = train.arguments()
    a.device = DEVICE
    with FakeTensorMode(allow_non_fake_inputs=True), nothing_comes_back():
        with torch.device(DEVICE), mock.patch.object(train.Joint, "to", lambda joint, device: joint):  # fake weights are made there, not moved
            run = train.Run(a)
        try:
            run.joint.train()
            work(run, train.to_device(batch or made_up_batch(run.joint.family.sizes), run.device))
        except Exception as e:
            return e


def test_device(folder):
    def steps(run, batch):
        for _ in range(3):
            run.update(batch)

    error = on_device(folder, steps)
    promise("whole steps on a device: nothing is left on the processor, nothing waits for the device", error is None, repr(error))
    error = on_device(folder, lambda run, batch: train.read_all(run.average.family, run.family_vocab, list(np.zeros((2, 32, 256), np.uint8))))
    promise("reading there goes as far as asking for the first characters", "DataDependent" in repr(error), repr(error))
    distances = model.distances
    left = lambda q, table, size: distances(q, table, size) + torch.zeros(size, size)
    there = lambda batch, device: [torch.from_numpy(b).to(device if i else "cpu") for i, b in enumerate(batch)]
    for what, broken in (("a tensor left on the processor", mock.patch.object(model, "distances", left)),
                         ("a batch left there", mock.patch.object(train, "to_device", there)),
                         ("a choice of tokens by their experts", mock.patch.object(model.Experts, "dense", model.Experts.sparse)),
                         ("a loss that is asked for", mock.patch.object(train.nn.utils, "clip_grad_norm_", lambda p, m: float(next(p).detach().sum()))),
                         ("a copy back", mock.patch.object(train.nn.utils, "clip_grad_norm_", lambda p, m: next(p).cpu()))):
        with broken:
            promise(f"these promises would notice {what}", on_device(folder, steps) is not None)


def test_default_device(folder):
    """Reads for real while every tensor made without saying where appears elsewhere."""
    run = made_up_run(folder)
    views = list(made_up_batch(run.joint.family.sizes)[0])
    plain = train.read_all(run.average.family, run.family_vocab, views)
    with torch.device(DEVICE):
        promise("what reads says of every tensor where it is", train.read_all(run.average.family, run.family_vocab, views) == plain)


def made_up_run(folder):
    sys.argv = ["train.py", "--model", folder, "--fresh", "--out", folder, "--steps", "40", "--heads", "0.25", "--warm", "1"]
    torch.manual_seed(1)
    run = train.Run(train.arguments())
    run.joint.train()
    return run


def test_experts():
    torch.manual_seed(1)
    experts, x = model.load(MINI)[0].train().model.layers[1].mlp, torch.randn(3, 50, 192)
    results = []
    for mix in (experts.sparse, experts.dense):
        with mock.patch.object(experts, "sparse", mix):
            y = experts(x)
        results.append([y, *torch.autograd.grad(y.square().sum() + experts.balance, list(experts.parameters()))])
    close = [torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(a.detach().abs().max())) for a, b in zip(*results)]
    promise("all experts computed and masked are the chosen ones alone, gradients too", all(close) and len(close) == 29, close)


def test_half(folder):
    """Products in bf16: as on a GPU, experts all of them, and as on a processor that has it, experts as chosen."""
    dense, sparse = model.Experts.dense, model.Experts.sparse
    autocast = lambda: torch.autocast("cpu", torch.bfloat16)
    ways = [(train.contextlib.nullcontext, dense), (autocast, dense), (None, sparse)]
    curves = []
    for how, experts in ways:
        run = made_up_run(folder)
        batch = train.to_device(made_up_batch(run.joint.family.sizes), run.device)
        with contextlib.ExitStack() as put:
            put.enter_context(mock.patch.object(train, "has_bf16", lambda device: True))
            put.enter_context(mock.patch.object(model.Experts, "sparse", experts))
            if how:
                put.enter_context(mock.patch.object(train, "half", lambda device: how()))
            parts = [run.update(batch) for _ in range(30)]
        curves.append([float(p["columns"] + p["slots"]) for p in parts])
        weights = {p.dtype for p in run.joint.parameters()} | {v["momentum"].dtype for v in run.opts[0].state.values()}
    learns = [c[-1] < .9 * c[0] and abs(c[-1] - curves[0][-1]) < .1 * curves[0][0] for c in curves]
    promise("in bf16 it learns as in float32", all(learns) and curves[0] != curves[1] != curves[2], curves)
    promise("weights and momentum stay float32, and so do the losses", weights == {torch.float32} == {p.dtype for p in parts[-1].values()}, weights)


def test_workers(folder, text_folder, fonts):
    """The same batches for one worker and for three, and from the middle of a chunk on."""
    sys.argv = ["train.py", "--model", folder, "--text", text_folder, "--steps", "9", "--batch", "2", "--fonts", *fonts]
    a = train.arguments()
    got = {}
    for workers, step in ((1, 0), (3, 0), (2, 11)):
        a.workers = workers
        feed = train.Feed(a, model.config_of(folder), step)
        got[workers] = [feed.next() for _ in range(26 - step)]
        for ready, process in feed.workers:
            process.kill()
            process.join()
    same = lambda a, b: len(a) == len(b) and all(np.array_equal(x, y) for p, q in zip(a, b) for x, y in zip(p, q))
    promise("three workers draw the batches of one, in their order", same(got[1], got[3]))
    promise("so do two that begin in the middle of a chunk", same(got[1][11:], got[2]))
    try:
        for _ in range(1000):
            feed.next()
        promise("a worker that has gone is missed", False)
    except SystemExit as e:
        promise("a worker that has gone is missed", "ended" in str(e), e)


def test_gpu(folder, text_folder, fonts):
    """pack, train, train, stop: on the processor, with a few faces and a few steps."""
    with tempfile.TemporaryDirectory() as d:
        few_faces(fonts, os.path.join(d, "faces"))
        env = os.environ | dict(PYTHON=sys.executable, WORK=os.path.join(d, "work"), TEXT=text_folder, MODEL=folder, FONTS=os.path.join(d, "faces"))
        pack, out, log = (os.path.join(d, n) for n in ("pack", "out", "work/train/run/log"))

        def call(*words, script=os.path.join(pack, "train", "gpu.sh"), **more):
            return subprocess.run([script, *map(str, words)], env=env | more, capture_output=True, text=True, timeout=600)

        got = call("pack", pack, script=os.path.join(ROOT, "train", "gpu.sh"))
        promise("what a GPU's machine needs is packed", got.returncode == 0 and "bytes of 64000000" in got.stdout, got)
        got = call("pack", os.path.join(d, "small"), script=os.path.join(ROOT, "train", "gpu.sh"), LIMIT="1000")
        promise("a pack that is too large is refused", got.returncode != 0 and "too many" in got.stderr, got)
        if not torch.cuda.is_available():
            got = call("train", pack, out, 1, "--steps", 4)
            promise("without CUDA it says so and starts nothing", got.returncode != 0 and "no CUDA device" in got.stderr and not os.path.exists(log), got)
        options = "--device", "cpu", "--workers", 2, "--batch", 4, "--evaluate-every", 1
        first = call("train", pack, out, 0, "--steps", 1000000, *options)
        second = call("train", pack, out, 0)
        promise("a second call goes on with the training of the first", "started" in first.stdout and "goes on" in second.stdout, (first, second))
        end = time.time() + 300
        while not os.path.exists(os.path.join(d, "work/train/run/last.pt")) and time.time() < end:
            time.sleep(.2)
        got = call("stop"), call("stop")
        promise("stop ends it, once", got[0].returncode == 0 and got[1].returncode != 0 and "no training" in got[1].stderr, got)
        state = torch.load(os.path.join(d, "work/train/run/last.pt"), weights_only=False)
        got = call("train", pack, out, 9, "--steps", state["step"] + 3, *options)
        promise("after that it is resumed, and ends when its steps are done", got.returncode == 0 and not call("stop").returncode == 0, got)
        after = torch.load(os.path.join(d, "work/train/run/last.pt"), weights_only=False)["step"]
        promise("no step is done twice or left out", after == state["step"] + 3, (state["step"], after))
        tensors = load_file(os.path.join(out, "model.safetensors"))
        promise("averaged weights come back in bf16, with the curve and the log", {t.dtype for t in tensors.values()} == {torch.bfloat16}
                and sorted(os.listdir(out)) == ["curve.jsonl", "log", "model.safetensors"], os.listdir(out))


# ---- lines that the device draws ---------------------------------------------------------------------


def few_faces(fonts, folder):
    """A face or two of every kind, of typewriters' and of those that are held out, in a folder of their own."""
    os.makedirs(folder, exist_ok=True)
    for group, k in ((lines.faces(fonts), 2), (lines.faces(fonts, held=True), 1)):
        typed = [f for family in group.get("mono", []) for f in family if lines.TYPEWRITER.search(os.path.basename(f.path))]
        for face in [family[0] for families in group.values() for family in families[:k]] + typed[:1]:
            shutil.copy(face.path, folder)
    return [folder]


def composed(source, chunk, size, sizes, vocab):
    """A chunk's batches as train.py has them, and their rows' labels and centres."""
    rows = {}

    def noted(plans, key, width):
        rows[key[-1]] = [texts[id(p)] for p in plans]
        return compose.Batch.of(plans, key, width)

    whole, texts = source.chunk(chunk, size * train.BATCHES), {}
    texts.update({id(r[0]): r[1:] for r in whole})
    with mock.patch.object(source, "chunk", lambda j, n: whole), mock.patch.object(source, "stack", noted):
        got = list(train.batches(source, chunk, size, train.Targets(sizes, vocab)))
    return got, list(rows.values())


def test_compose(text_folder, fonts):
    vocab, sizes, raster = Vocab(MINI), stepping().sizes, compose.raster
    with tempfile.TemporaryDirectory() as d:
        fonts = few_faces(fonts, d)
        atlas = compose.atlas_of(fonts, vocab.chars)
        composer = compose.Composer(atlas.data, "cpu")
        test_device_draws(atlas, composer)
        source = lambda **more: compose.Source(text_folder, fonts, vocab.chars, atlas, **{"seed": 3, **more})
        draw = lambda batch: composer(train.to_device(batch, torch.device("cpu"))[0])
        batches, rows = composed(source(), 2, 6, sizes, vocab)
        views = [draw(b) for b in batches]
        again = [draw(b) for b in composed(source(), 2, 6, sizes, vocab)[0]]
        promise("the same plans draw the same views, whatever was drawn before", all(map(torch.equal, views, again)) and torch.equal(draw(batches[3]), views[3]))
        promise("and others others", not any(map(torch.equal, views, (draw(b) for b in composed(source(seed=4), 2, 6, sizes, vocab)[0]))))
        promise("drawn views are bytes, 32 x 256, and hold ink", all(v.shape == (6, 32, 256) and v.dtype == torch.uint8 for v in views)
                and np.mean([float(v.min()) < 160 for v in torch.cat(views)]) > .9)
        for size in (1, 3):
            got = [draw(b) for b in composed(source(), 5, size, sizes, vocab)[0]]
            promise(f"batches of {size} are drawn", all(v.shape == (size, 32, 256) for v in got) and any(v.min() < 128 for v in got))
        nothing = compose.Batch.of([p for p, t, _ in source().chunk(0, 400) if not t], [1])
        got = composer(nothing.map(torch.from_numpy))
        promise("a batch in which nothing is written is drawn", len(got) == nothing.size > 3 and nothing.pixels == 0)
        test_places(source, draw, sizes, vocab)
        test_illegible(composer, batches[0])
        test_composed_commas(draw, batches, rows)
        test_composed_ink(source)
        test_composed_short(source, composer, draw, vocab)
        refused = next(iter(atlas.faces))
        with mock.patch.object(compose, "raster", lambda job: None if job[0] == refused else raster(job)):
            less = compose.atlas_of(fonts, vocab.chars)
        rows = compose.Source(text_folder, fonts, vocab.chars, less, seed=3).chunk(0, 48)
        promise("a face that FreeType refuses is left out", 0 < len(less.faces) < len(atlas.faces) and any(t for _, t, _ in rows), fonts)
        bare = compose.atlas_of(fonts, vocab.chars - set("e"))
        rows = compose.Source(text_folder, fonts, vocab.chars, bare, seed=3).chunk(0, 48)
        promise("what a face has no glyph of is not written with it", not any("e" in t for _, t, _ in rows) and any("a" in t for _, t, _ in rows))
        for what in compose.WHAT:
            plans = source(only=what).chunk(0, 12)
            promise(f"pages of this kind are planned: {what}", any(t for _, t, _ in plans) and all(len(c) == len(t) for _, t, c in plans), plans)
            composer(compose.Batch.of([p for p, _, _ in plans], [1]).map(torch.from_numpy))
        test_drawn_on_device(text_folder, fonts, atlas, source, vocab)


def test_device_draws(atlas, composer):
    """What the device does beside what lines.py does with Pillow."""
    r = np.random.default_rng(1)
    scan = lines.Scan(random.Random(1), r, None, "serif", [], "prose")
    page = np.clip(200 + 60 * scan.noise((64, 400), 90) - 150 * (scan.noise((64, 400), 3) > .5), 0, 255).astype(np.uint8)
    grey = torch.from_numpy(page)[None].float()
    off = np.abs(composer.whitened(grey)[0].numpy() - lines.whiten(page)).mean()
    promise("paper is brought to white as lines.whiten() does", off < 3 < np.abs(page - lines.whiten(page).astype(float)).mean(), off)
    off = []
    for quality in (25, 60):
        with mock.patch.object(scan.r, "randrange", lambda *_: quality):
            theirs = np.asarray(scan.jpeg(page), float)
        torch.set_float32_matmul_precision("medium")  # as train.py does
        mine = composer.jpeg(grey / 255, torch.full((1, 1, 1), float(quality)))[0].numpy() * 255
        torch.set_float32_matmul_precision("highest")
        off += [np.abs(mine - theirs).mean() < 1 < np.abs(theirs - page).mean()]
    promise("JPEG leaves what Pillow's leaves", all(off), off)
    soft = compose.blurred(grey, torch.tensor([1.2]), 1.6)[0].numpy()
    off = np.abs(soft - np.asarray(Image.fromarray(page).filter(lines.ImageFilter.GaussianBlur(1.2)), float))[8:-8, 8:-8].mean()
    promise("blur is Pillow's", off < 2, off)
    tables, x_height, _ = next(iter(atlas.faces.values()))
    path = next(iter(atlas.faces))
    font = lines.Face(path, ()).at(compose.INK)[0]
    good = []
    for c in "agHj.":
        w, h, left, top = atlas.boxes[tables[""][c][0]]
        mine = atlas.data[atlas.first[tables[""][c][0]]:][:w * h].reshape(h, w)
        sheet = Image.new("L", (200, 200))
        lines.ImageDraw.Draw(sheet).text((50, 100), c, 255, font, "ls")
        good.append(np.array_equal(np.asarray(sheet)[100 + top:100 + top + h, 50 + left:50 + left + w], mine) and np.asarray(sheet).sum() == mine.sum(dtype=int))
    promise("the atlas holds what Pillow draws", all(good), good)


def test_composed_short(source, composer, draw, vocab):
    """Batches of lines that the device draws, cut short."""
    batches, rows = composed(source(), 2, 6, stepping(32).sizes, vocab)
    widths, views = [b[0].width for b in batches], [draw(b) for b in batches]
    promise("what is drawn is cut where the batch's widest line ends", len(set(widths)) > 2 and [v.shape for v in views] == [(6, 32, w) for w in widths], widths)
    behind, nothing, same = [], [], []
    for b, v, mine in zip(batches, views, rows):
        b[0].width = 256
        whole = draw(b)
        behind += [bool((w[:, v.shape[2]:] < 255).any()) for w, (text, _) in zip(whole, mine) if text]
        nothing += [v.shape[2] for text, _ in mine if not text]
        b[0].width = v.shape[2]
        same.append(torch.equal(whole[:, :, :v.shape[2]], v) and b[2].shape[1] * 4 == b[3].shape[1] * 16 // train.SLOTS == v.shape[2])
    promise("and is what stood there", all(same), same)
    promise("no line loses ink, but what it ran on into", np.mean(behind) < .12, np.mean(behind))
    promise("views of nothing are of every width", len(set(nothing)) > 1, nothing)
    test_illegible(composer, batches[int(np.argmin(widths))])


def test_places(source, draw, sizes, vocab):
    """Of pages as they are before they age: ink stands where the labels say, and is what they say."""
    class Clean(compose.Scan):
        def __init__(self, *a):
            super().__init__(*a)
            self.clean = True

    with mock.patch.object(compose, "Scan", Clean):
        family, on, fit, got, wanted = model.load(MINI)[0], [], np.zeros(17), [], []
        for what in ("prose", "typed", "table"):
            batches, rows = composed(source(only=what), 1, 8, sizes, vocab)
            for batch, mine in zip(batches, rows):
                views = draw(batch)
                for view, (text, centres) in zip(views.numpy(), mine):
                    column = np.pad(255 - view[4:30].min(0).astype(int), 10)
                    at, space = np.clip(centres, 0, 255).astype(int) + 10, np.array([c == " " for c in text], bool)
                    on += [column[x - 2:x + 3].max() > 90 for x, c in zip(at, text) if c not in " .'"]
                    if space.any():
                        fit += [column[at[~space] + k].mean() - column[at[space] + k].mean() for k in range(-8, 9)]
                read = [(v, t) for v, (t, _) in zip(views.numpy(), mine) if t]
                got += train.read_all(family, vocab, [v for v, _ in read])
                wanted += [t for _, t in read]
    promise("ink stands where characters are said to be", len(on) > 500 and np.mean(on) > .97, (len(on), np.mean(on)))
    promise("and moved by two pixels it would fit letters and spaces less", abs(int(fit.argmax()) - 8) < 2, fit.round())
    from rapidfuzz.distance import Levenshtein
    wrong = sum(map(Levenshtein.distance, got, wanted)) / sum(map(len, wanted))
    promise("the mini reads there what the labels say", wrong < .08, (wrong, [p for p in zip(got, wanted) if p[0] != p[1]][:9]))


def test_illegible(composer, batch):
    """Ageing may leave nothing of a line: then nothing is learnt of it."""
    device, space = torch.device("cpu"), Vocab(MINI).ids[" "]
    good = train.drawn(composer, train.to_device(batch, device), space)
    white = train.drawn(lambda plans: torch.full((plans.size, 32, plans.width), 255, dtype=torch.uint8), train.to_device(batch, device), space)
    said = torch.from_numpy(batch[2]).any(1)
    promise("most lines are legible", (good[1][said][:, 1] != model.PAD).float().mean() > .6, good[1])
    promise("of those that are not, nothing is learnt", not white[1][said][:, 1:].any() and (white[1][:, 0] == model.BOS).all()
            and all((y[said] == train.UNKNOWN).all() for y in white[2:]), white)
    views = [np.pad(v, ((0, 0), (0, 256 - v.shape[1])), constant_values=255) for v in good[0].numpy()]
    same = [lines.legible(v, "x" * np.count_nonzero(c), (np.flatnonzero(c) + .5) * 4) for v, c in zip(views, batch[2])]
    promise("legible is what lines.legible() says", compose.legible(good[0], torch.from_numpy(batch[2]), -1).tolist() == same, same)


def test_composed_commas(draw, batches, rows):
    """Commas that have lost their tail are those of lines.tailless(), and nothing is learnt of their lines."""
    space, got, want, learnt, there = Vocab(MINI).ids[" "], [], [], [], 0
    for batch, mine in zip(batches, rows):
        plans = batch[0].map(torch.from_numpy)
        views = draw(batch)
        views[1::2, 23:28] = 255  # below the baseline, more or less
        base = dict(zip(plans.commas[0].tolist(), plans.commas[2].tolist()))
        want += [lines.tailless(v, t, c, base.get(i, 23)) for i, (v, (t, c)) in enumerate(zip(views.numpy(), mine))]
        learnt += train.drawn(lambda _: views, train.to_device(batch, torch.device("cpu")), space)[1][:, 1:].any(1).tolist()
        got += compose.tailless(views, plans.commas).tolist()
        there += sum("," in t for t, _ in mine)
    promise("commas without a tail are seen as lines.tailless() sees them", got == want and 2 < sum(want) < there, (sum(got), sum(want), there))
    promise("and nothing is learnt of their lines", any(learnt) and not any(l and w for l, w in zip(learnt, want)), (learnt, want))


def test_composed_ink(source):
    """Old and serif faces are worn or faint as lines.Scan.ink() has them, and others are not."""
    n, share = 4000, {}
    for kind in ("old", "serif", "sans", "mono"):
        k = {name: np.zeros(n) for name in compose.PAGE} | {"x_height": np.full(n, 12.0), "height": np.ones(n), "end": np.full(n, 200.0)}
        if kind in k:
            k[kind] = np.ones(n)
        p = compose.ageing(np.random.default_rng(5), k)
        share[kind] = (p["pale"] > 0).mean(), ((p["edged"] > 0) & (p["edge_wide"] >= .03) & (p["pale"] == 0) & (p["ink_blur"] <= 1.8)).mean()
    promise("ink is little in one page of sixteen in old and serif faces", all(.045 < share[k][0] < .075 for k in ("old", "serif"))
            and not share["sans"][0] and not share["mono"][0], share)
    plans, ageing, seen = [p for p, t, _ in source(only="prose").chunk(3, 24) if t], compose.ageing, []
    for pale in (0.0, .6):
        def aged(r, k):
            p = ageing(r, k)
            for name in compose.LISTED + ["thermal", "dots", "fat"]:
                p[name] = np.zeros_like(p[name])
            return p | {"pale": np.full(len(plans), pale)}
        with mock.patch.object(compose, "ageing", aged):
            batch = compose.Batch.of(plans, [1])
        atlas = source().noting["atlas"]
        composer = compose.Composer(atlas.data, "cpu")
        composer.batch = batch.map(torch.from_numpy)
        composer.generator.manual_seed(1)
        seen.append(composer.ink(composer.laid()).amax((1, 2)))
    promise("and is paler then", ((seen[1] < .62) & (seen[0] > .9)).float().mean() > .9, seen)


def test_drawn_on_device(text_folder, fonts, atlas, source, vocab):
    """Lines drawn and learnt where only shapes and devices are followed."""
    with tempfile.TemporaryDirectory() as d:
        tiny_model(d)
        effects = lambda batch: {n for n, at in batch[0].lists.items() if len(at)}
        batch = max(train.batches(source(), 7, 32, train.Targets(model.Family(model.config_of(d)).sizes, vocab)), key=lambda b: len(effects(b)))
        lists = effects(batch)

        def steps(run, batch):
            composer = compose.Composer(atlas.data, DEVICE)
            for _ in range(2):
                run.update(train.drawn(composer, batch, 3))

        error = on_device(d, steps, batch)
        promise("lines are drawn there: nothing is left on the processor, nothing waits for the device", error is None and len(lists) > 25, (repr(error), lists))
        for what, broken in (("a tensor left on the processor", mock.patch.object(compose.Composer, "normal", lambda c, *shape: torch.zeros(shape).cpu() + torch.zeros(shape, device="cpu"))),
                             ("what is asked for", mock.patch.object(compose.Composer, "whitened", lambda c, grey: grey * float(grey.max())))):
            with broken:
                promise(f"these promises would notice {what}", on_device(d, steps, batch) is not None)
        sys.argv = ["train.py", "--model", d, "--text", text_folder, "--steps", "9", "--batch", "2", "--fonts", *fonts, "--compose"]
        a, got = train.arguments(), {}
        for a.workers, step in ((1, 0), (2, 11)):
            feed = train.Feed(a, model.config_of(d), step, atlas.without_data())
            got[a.workers] = [feed.next() for _ in range(20 - step)]
            for ready, process in feed.workers:
                process.kill()
                process.join()
        composer = compose.Composer(atlas.data, "cpu")
        drawn = {k: [composer(train.to_device(b, torch.device("cpu"))[0]) for b in batches] for k, batches in got.items()}
        promise("two workers plan what one plans, from the middle of a chunk on", all(map(torch.equal, drawn[1][11:], drawn[2])) and len(drawn[2]) == 9)


def test_full_disk(d, run):
    path = os.path.join(d, "last.pt")
    before, whole = open(path, "rb").read(), torch.save

    def fails(state, path):
        with open(path, "wb") as f:
            f.write(b"half")
        raise OSError(28, "No space left on device")

    torch.save = fails
    run.save()
    finetune.save(path, {})
    torch.save = whole
    promise("a disk that is full leaves the last checkpoint whole", open(path, "rb").read() == before and not os.path.exists(path + ".tmp"))


def test_export(d, run):
    run.save()
    tensors, k = export.averaged(os.path.join(d, "last.pt"))
    twice, _ = export.averaged(os.path.join(d, "last.pt"), others=[os.path.join(d, "last.pt")] * 2)
    raw, _ = export.averaged(os.path.join(d, "last.pt"), raw=True)
    promise("the mean of a checkpoint and itself is that checkpoint, and not another",
            all(torch.equal(tensors[n], twice[n]) for n in tensors) and any(not torch.equal(tensors[n], raw[n]) for n in tensors))
    export.write(tensors, os.path.join(d, "out"), os.path.join(d, "like"))
    family, _ = model.load(os.path.join(d, "out"))
    promise("an exported model opens, without the heads", not any("slots" in n for n in tensors) and family.sizes.hidden == 32)
    drafted, _ = export.averaged(os.path.join(d, "last.pt"), draft=True)
    vocab = len(tensors["lm_head.weight"])
    for out, what in (("out3", drafted), ("out4", tensors)):
        export.write(what, os.path.join(d, out), os.path.join(d, "like" if out == "out3" else "out3"))
    promise("the draft head goes with them when it is asked for: the first three letters of a token",
            torch.equal(drafted["draft.weight"], k["average"]["slots.weight"][:3 * vocab].to(torch.bfloat16)) and
            drafted["draft.bias"].shape == (3 * vocab,) and model.load(os.path.join(d, "out3"))[0].sizes.hidden == 32)
    promise("the config says so, and no more when the head is gone",
            model.config_of(os.path.join(d, "out3"))["dsocr"]["draft_slots"] == 3 and
            "draft_slots" not in model.config_of(os.path.join(d, "out4")).get("dsocr", {}))
    promise("it says how far views are read, as before, also under another name", "view_step" in open(os.path.join(d, "like", "config.json")).read() and
            all(model.config_of(os.path.join(d, o))["dsocr"]["view_step"] == 32 for o in ("out", "out3", "out4")) and
            json.loads(export.config_for(drafted, os.path.join(d, "like"), "other"))["dsocr"]["view_step"] == 32)
    shutil.copytree(os.path.join(d, "like"), os.path.join(d, "whole"))
    with open(os.path.join(d, "whole", "config.json"), "w") as f:
        json.dump({**k["config"], "dsocr": {"reader": "lines"}}, f)
    sys.argv = ["export.py", d, os.path.join(d, "out5"), "--like", os.path.join(d, "whole")]
    why = left_by(export.main)
    promise("a model that reads views in other steps is not what it is like", why and "view_step" in why and not os.path.exists(os.path.join(d, "out5")), why)
    half = export.mixed(drafted, .5, os.path.join(d, "like"))
    like = export.load_file(os.path.join(d, "like", "model.safetensors"))
    promise("a half of another model's weights is the middle, and its missing draft head changes nothing",
            all(torch.allclose(half[n].float(), (drafted[n].float() + like[n].float()) / 2, atol=.01) for n in like) and
            torch.equal(half["draft.bias"], drafted["draft.bias"]) and any(not torch.equal(half[n], drafted[n]) for n in like))
    other = os.path.join(d, "drafting")
    os.mkdir(other)
    export.save_file({n: t * 2 + 1 for n, t in drafted.items()}, os.path.join(other, "model.safetensors"))
    half = export.mixed(drafted, .5, other)
    promise("nor does one that it has", all(torch.equal(half[n], drafted[n]) == n.startswith("draft.") for n in drafted))
    try:
        export.mixed(drafted, .5, MINI)
        promise("a model of other shapes is not mixed in", False, "mixed")
    except SystemExit as e:
        promise("a model of other shapes is not mixed in", MINI in str(e), e)
    try:
        export.write(tensors, os.path.join(d, "out2"), MINI)
        promise("weights of another shape are refused", False, "written")
    except SystemExit as e:
        promise("weights of another shape are refused", "not a model like" in str(e), e)


def test_grow():
    with tempfile.TemporaryDirectory() as d, torch.no_grad():
        like, out = os.path.join(d, "like"), os.path.join(d, "out")
        tiny_model(like)
        weights = load_file(os.path.join(like, "model.safetensors"))
        weights |= {"draft.bias": torch.ones(3)}
        export.save_file(weights, os.path.join(like, "model.safetensors"))

        def run(layers, to=out):
            with mock.patch.object(sys, "argv", ["grow.py", like, to, "--layers", *layers.split()]), unheard():
                return left_by(grow.main)

        why = run("window 0 global 1 window")
        family, config = model.load(out)
        sam, before = config["vision_config"]["width"]["sam_vit_b"], model.load(like)[0]
        x, ids = torch.rand(2, 3, 32, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1, torch.tensor([[model.BOS, 9], [model.BOS, 20]])
        answers = [[*m.see(x), m.decode(m.see(x)[2], ids)] for m in (before, family)]
        promise("a grown model answers what it answered, bit for bit", why is None and all(map(torch.equal, *answers)), why)
        promise("it has the blocks that were asked for", sam["layers"] == len(family.model.sam_model.blocks) == 5 and sam["global_attn_indexes"] == [2, 3] and
                [b.window for b in family.model.sam_model.blocks] == [(2, 12), (2, 12), None, None, (2, 12)], sam)
        promise("and all else that it had", torch.equal(load_file(os.path.join(out, "model.safetensors"))["draft.bias"], weights["draft.bias"]) and
                config["dsocr"]["view_step"] == 32 and Vocab(out).chars == Vocab(like).chars)
        with torch.enable_grad():
            family.see(x)[2].square().sum().backward()
        promise("its new blocks learn", all(family.model.sam_model.blocks[i].attn.proj.weight.grad.any() and
                                            family.model.sam_model.blocks[i].mlp.lin2.weight.grad.any() for i in (0, 2, 4)))
        refused = [run(layers, os.path.join(d, "other")) for layers in ("0", "1 0", "0 0 1", "0 1 2", "window")]
        promise("blocks left out, doubled, in another order or that it lacks are refused", all(w and "0 1, each once" in w for w in refused) and
                not os.path.exists(os.path.join(d, "other")), refused)
        promise("and a folder that is there", "exists" in (run("0 1 window", like) or ""))


# ---- the user's own lines ----------------------------------------------------------------------------


def left_by(what):
    """The words that a function ends the program with."""
    try:
        what()
    except SystemExit as e:
        return str(e)


@contextlib.contextmanager
def unheard():
    with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(quiet):
        yield


def test_usable():
    with tempfile.TemporaryDirectory() as d, unheard():
        first = os.path.join(ROOT, "test", "golden", "mini", "01.png")
        for name, words in (("a", "menso perístilo de"), ("b", ""), ("c", "quite another line of text"), ("d", "мир мир"), ("e", None)):
            Image.open(first).save(os.path.join(d, name + ".png"))
            if words is not None:
                open(os.path.join(d, name + ".txt"), "w", encoding="utf-8").write(words + "\n")
        Image.new("L", (300, 40), 255).save(os.path.join(d, "f.png"))
        open(os.path.join(d, "f.txt"), "w").write("nothing")
        open(os.path.join(d, "g.png"), "w").write("not an image")
        open(os.path.join(d, "g.txt"), "w").write("text")
        open(os.path.join(d, "h.png"), "w").write("not an image")
        open(os.path.join(d, "h.txt"), "wb").write("Sch\xe4tze".encode("latin-1"))
        family, vocab = model.load(MINI)[0], Vocab(MINI)
        kept, out = finetune.usable(finetune.pairs(d), family, vocab, 39)
        tsv = os.path.join(d, "lines.tsv")
        with open(tsv, "w", encoding="utf-8") as f:
            f.write("a.png\tmenso perístilo de\nb.png\t\nx.png\tx\n")
        listed = finetune.pairs(tsv)
        absent = finetune.usable(listed[2:], family, vocab, 39)[1]
        # What \copy makes of encode(image, 'base64'), whose lines end after 76 letters, and of a text.
        png = open(first, "rb").read()
        coded = base64.encodebytes(png).decode().strip().replace("\n", "\\n")
        with open(tsv, "w", encoding="utf-8") as f:
            f.write(f"{coded}\tmenso perístilo de\n{coded}\ta\\tb \\\\ c\n")
        copied = finetune.pairs(tsv)
        same = finetune.usable(copied[:1], family, vocab, 39)[0]
        open(tsv, "wb").write("a.png\tSch\xe4tze\n".encode("latin-1"))
        latin, nowhere = left_by(lambda: finetune.pairs(tsv)), left_by(lambda: finetune.pairs(os.path.join(d, "nowhere")))
        empty = left_by(lambda: finetune.pairs(os.path.join(ROOT, "train")))
    promise("a good line is kept", [k[2] for k in kept] == ["menso perístilo de"], [k[2] for k in kept])
    wanted = {"no text": 3, "mislabelled, it seems": 1, "characters without a token": 1, "nothing on it": 1, "not an image": 1}
    promise("bad ones are left out and counted by reason", out == wanted, out)
    promise("a TSV names them as well as a folder", [p[2] for p in listed] == ["menso perístilo de", "", "x"] and absent == {"no such image": 1}, (listed, absent))
    promise("so does what psql's \\copy writes, images and all", [p[1:] for p in copied] == [(png, "menso perístilo de"), (png, "a\tb \\ c")] and
            len(same) == 1 and all(map(np.array_equal, same[0][0], kept[0][0])), copied)
    promise("a file in another encoding is told", "is not UTF-8" in latin, latin)
    promise("lines that are not there, too, and a folder without an image", "nowhere cannot be read" in nowhere and "has no image" in empty, (nowhere, empty))


def golden_lines(d):
    """LINES of what the mini reads anyway."""
    with open(os.path.join(ROOT, "test", "golden", "mini.json"), encoding="utf-8") as f:
        rows = [f"{os.path.join(ROOT, 'test', 'golden', s['file'])}\t{s['text']}\n" for s in json.load(f)["segments"] if s["text"]]
    path = os.path.join(d, "lines.tsv")
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(rows)
    return path


def taught(module, *arguments):
    """What finetune.py or lora.py prints, given these."""
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")) as out, open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
        with mock.patch.object(sys, "argv", ["x", *arguments, "--model", MINI]):
            module.main()
        out.flush()
        return out.buffer.getvalue().decode()


def test_tuned_short():
    """Lines of the user's, of two widths, in a model that reads views as far as their ink goes."""
    family, vocab, seen = stepping(32), Vocab(MINI), []
    rows = [(ending(golden_view(1), end), "m") for end in (40, 250) * 4]
    a = argparse.Namespace(model=MINI, epochs=1, lr=0.0, batch=4, mix=0, text=None)
    see = lambda x: seen.append(x.shape[3]) or model.Family.see(family, x)
    with mock.patch.object(family, "see", see):
        finetune.Tuning(a, family, vocab, rows, None).run_epoch()
    promise("lines of one width are learnt together, as far as they are read", sorted(seen) == [64, 256], seen)


def test_taught(fonts):
    with tempfile.TemporaryDirectory() as d:
        mine, out = golden_lines(d), os.path.join(d, "my-hand")
        said = taught(finetune, mine, out, "--epochs", "1", "--mix", "0", "--lr", "1e-7")
        config, digest = model.config_of(out), export.fingerprint(out)
        promise("a model that was taught is called for its folder and its weights", config["dsocr"]["name"] == f"my-hand@{digest[:8]}" in said, (config["dsocr"], said))
        old, new = (load_file(os.path.join(p, "model.safetensors")) for p in (MINI, out))
        promise("and keeps its base's draft head", old.keys() == new.keys() and torch.equal(old["draft.weight"], new["draft.weight"]) and
                config["dsocr"]["draft_slots"] == model.config_of(MINI)["dsocr"]["draft_slots"])
        promise("the error on held-out lines is told, before and after", "% of the characters wrong before" in said and "no better" in said, said)
        a = argparse.Namespace(lines=mine, out=os.path.join(d, "other"), model=MINI, epochs=9, lr=0.0, batch=64, mix=0, held=.1, rank=1)
        family, vocab = model.load(MINI)[0], Vocab(MINI)
        kept, _ = finetune.usable(finetune.pairs(mine)[:6], family, vocab, 39)
        rows = [(v, t) for views, texts, _ in kept for v, t in zip(views, texts)]
        os.makedirs(a.out)
        t = finetune.Tuning(a, family, vocab, rows, None)
        with unheard():
            finetune.tune(t, a, kept, finetune.score(family, vocab, kept))
        promise("after two epochs that are no better comes the last", t.epoch == finetune.PATIENCE + 1, t.epoch)
        promise("in which the rate falls to its end", np.allclose([t.done(e) for e in (2, 2.5, 3)], [2 / 9, 11 / 18, 1]), t.turn)
        a.rank = 2
        again = finetune.Tuning(a, model.load(MINI)[0], vocab, rows[1:], None)
        why = left_by(lambda: finetune.tune(again, a, kept, 1.0))
        promise("a run that was stopped is not gone on with for other lines", why and "another LINES, rank" in why, why)
        if fonts and lines.faces(fonts):
            a.text, a.fonts, a.mix = None, fonts, 1.0
            words = set("".join(PROSE).split())
            drawn = finetune.drawn_lines(a, [PROSE[:130]], vocab).text.words(random.Random(1), 200)
            promise("without --text drawn lines say what the user's say", set(drawn[1:-1]) <= words, drawn)
        a.mix, a.text, a.fonts = 1.0, None, [d]
        with unheard():
            drawn = finetune.drawn_lines(a, [PROSE], vocab)
        promise("without fonts nothing is mixed in", drawn is None)
        published = os.path.join(d, "published")
        os.makedirs(published)
        with open(os.path.join(published, "config.json"), "w") as f:
            json.dump({"architectures": ["DeepseekOCR2ForCausalLM"]}, f)
        a.threads = 1
        whole = [left_by(lambda: finetune.opened(argparse.Namespace(**vars(a) | {"model": m}))) for m in (published, os.path.join(d, "none"))]
        promise("wherever one stands, the mini is the model", os.path.samefile(finetune.parser("").parse_args(["a", "b"]).model, MINI))
        promise("a model that reads whole pages is refused, and a folder that is none", "reads whole pages" in whole[0] and "is no model directory" in whole[1], whole)


def test_lora():
    family, config = model.load(MINI)
    image = torch.rand(2, 3, *family.sizes.image) * 2 - 1
    ids = torch.tensor([[model.BOS, 9, 12], [model.BOS, 20, 30]])
    with torch.no_grad(), tempfile.TemporaryDirectory() as d:
        plain = family.decode(family.see(image)[2], ids)
        names = lora.attach(family, 2, 4, None)
        same = family.decode(family.see(image)[2], ids)
        promise("an adapter that has learnt nothing changes nothing", torch.equal(plain, same))
        promise("only its matrices learn", {n.rsplit(".", 1)[-1] for n, p in family.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"})
        promise("router and lm_head have none", not any(n.endswith(("mlp.gate", "lm_head")) for n in names) and len(names) > 40, len(names))
        for n, p in family.named_parameters():
            if n.endswith("lora_B"):
                p.normal_(std=.02)
        adapted = family.decode(family.see(image)[2], ids)
        lora.write(family.state_dict(), names, argparse.Namespace(rank=2, alpha=4, model=MINI, out=d), config)
        merged = model.load(MINI)[0]
        pairs = load_file(os.path.join(d, "adapter_model.safetensors"))
        for n in names:
            a, b = (pairs[f"base_model.model.{n}.lora_{x}.weight"] for x in "AB")
            merged.get_submodule(n).weight += 4 / 2 * b @ a
        promise("what is written, merged, answers as what was trained",
                torch.allclose(merged.decode(merged.see(image)[2], ids), adapted, atol=1e-3) and not torch.allclose(adapted, plain, atol=1e-3))
        said = json.load(open(os.path.join(d, "adapter_config.json")))
        promise("the adapter says which weights it is for", said["base_model_name_or_path"] == config["dsocr"]["name"] and said["dsocr"]["base_sha256"] == export.fingerprint(MINI))


def test_share_out():
    got = finetune.share_out("soberbio ático, adornado con esta inscrip-", ["soberbio atico,", "adornado con", "csta inscrip-"])
    promise("a line's text is dealt to its views at the gaps", got == ["soberbio ático,", "adornado con", "esta inscrip-"], got)


def test_errors():
    got = real.errors([("receipt_x.jpg", "TOTAL 5.00", "Total  5 . 00"), ("page.png", "abc", "abd")])
    promise("receipts are compared without case and spaces", got["receipt_x"] == 0 and abs(got["page"] - 1 / 3) < 1e-6, got)
    promise("reading order does not count in CERof", evaluate.in_order(["second line", "first line"], ["first line", "second line"]) == ["first line", "second line"])


def test_text():
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(os.path.join(d, "in"))
        with open(os.path.join(d, "in", "a.txt"), "w", encoding="utf-8") as f:
            f.write(PROSE[:140] + "\n\n" + PROSE[:140] + "\n\n" + "Кириллица " * 20 + "\n\nshort\n")
        stdout, sys.stdout = sys.stdout, open(os.devnull, "w")
        text.from_folder(text.Writer(os.path.join(d, "out"), Vocab(MINI).chars), os.path.join(d, "in"))
        sys.stdout = stdout
        got = open(os.path.join(d, "out", "my_a.txt"), encoding="utf-8").read()
        promise("texts: doubles, other scripts and scraps are dropped", got == PROSE[:140].strip() + "\n", repr(got))


def main():
    fonts = [d for d in ("/usr/share/fonts", "/usr/share/texmf") if os.path.isdir(d)]
    test_vocab()
    test_text()
    test_read_width()
    test_views()
    test_against_engine()
    if torch:
        torch.set_num_threads(1)
        test_golden()
        test_sizes()
        test_distances()
        with torch.no_grad():
            test_short()
        test_order()
        test_muon()
        test_experts()
        test_doubt()
        with tempfile.TemporaryDirectory() as d:
            tiny_model(d)
            test_device(d)
            test_default_device(d)
            test_half(d)
        test_grow()
        test_usable()
        test_tuned_short()
        test_taught(fonts)
        test_lora()
        test_share_out()
        test_errors()
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "a.txt"), "w", encoding="utf-8") as f:
            f.write(PROSE)
        if find_spec("fontTools") is None:
            skip("drawn lines and training on them", "no fontTools (pip install -r train/requirements.txt)")
        elif fonts and lines.faces(fonts) and lines.faces(fonts, held=True):
            test_lines(d, fonts)
            if torch:
                test_found(d, fonts)
                test_compose(d, fonts)
                test_batches(d, fonts)
                test_resume(d, fonts)
        else:
            skip("drawn lines and training on them", "no fonts (apt-get install $(grep -v '^#' train/fonts.txt))")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
