"""Lines for training that the processor only plans and the device draws, in batches.

lines.py draws a few hundred lines a second on a core, too few for a GPU. Here the workers decide what stands where (it is
lines.Source that does so, with pens that note glyphs and places instead of drawing), and the rest is done for a whole batch
at once: glyphs that were rastered at the start are laid on canvases of ink, the ink swells and wears, canvases are
warped and brought to a scan's resolution, aged, whitened, and cut to views. Nothing waits for the device. How a page ages is
drawn once more in ageing(), with the shares of lines.Scan; what differs from there is said in README.md.

    python compose.py sheet.png --text text [--only typed] [--held]      # 80 views to look at
"""

import argparse
import collections
import itertools
import math
import multiprocessing
import re

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

import lines
from lines import BASELINE, VIEW_H, VIEW_W, X_HEIGHT

INK = 22                     # x-height of the rastered glyphs
H, W, BASE = 80, 704, 54     # a canvas of ink, and the row of its baseline
EDGE = 16                    # columns before a view's own first ink
PAGE_H, PAGE_W = 64, 400     # a canvas at a scan's resolution
TOP, LEFT = 5, 4             # rows and columns of a view's size that it has before those of the view
FINEST = 16.5                # x-height of its finest scans; those of lines.py go to 24
SIZES = {"": 1.0, "small": .785, "raised": .615}  # of a face's glyphs: small capitals, notes' marks
LIGATURES = "ffi ffl ff fi fl ſſi ſi ſſ ſl ſt".split()
EARLY = ["ct", "st"]         # that are asked for by name
PIECES = {early: re.compile("|".join(LIGATURES + EARLY * early + ["."]), re.S) for early in (False, True)}
SOLID = H * W                # the atlas begins with as many bytes of full ink, for rules
WHAT = [*lines.WHAT, "unreadable"]

# ---- the atlas ---------------------------------------------------------------------------------------


def pieces(face, chars):
    """{size: what of a face is rastered}"""
    chars = set(chars) | set("ſ" + lines.LETTERS)
    for script in lines.SCRIPTS:
        if all(ord(c) in face.cover for c in script):
            chars |= set(script) | {lines.capital(c) for c in script}
    chars = sorted(c for c in chars if c != " " and ord(c) in face.cover)
    joined = [p for p in LIGATURES + EARLY if set(p) <= set(chars)]
    return {"": [*chars, *joined], "small": sorted({lines.capital(c) for c in chars if lines.capital(c) != c} & set(chars)),
            "raised": [c for c in "0123456789*†()" if c in chars]}


def raster(job):
    """One face -> its bytes, per glyph [width, height, left, top], and {size: {piece: (glyph, advance, where its characters
    end)}}, x-height, capitals' height; None of a face that FreeType refuses"""
    path, cover, chars = job
    face = lines.Face(path, cover)
    try:
        font, x_height, cap = face.at(INK)
    except (OSError, ValueError):
        return None
    sheet = Image.new("L", (10 * INK, 7 * INK))
    draw, at, data, boxes, tables = ImageDraw.Draw(sheet), (3 * INK, 4 * INK), [], [], {}
    for size, wanted in pieces(face, chars).items():
        f = font if size == "" else font.font_variant(size=max(6, round(font.size * SIZES[size])))
        table = tables[size] = {" ": (-1, f.getlength(" "), None)}
        for piece in wanted:
            features = ["dlig", "hlig"] if piece in EARLY else None
            try:
                draw.text(at, piece, 255, f, "ls", features=features)
                ends = [f.getlength(piece[:i + 1], features=features) for i in range(len(piece))]
            except (OSError, ValueError):  # FreeType refuses it: it is not drawn
                ends = None
            box = sheet.getbbox()
            if box and ends:
                table[piece] = len(boxes), ends[-1], ends if len(piece) > 1 else None
                boxes.append((box[2] - box[0], box[3] - box[1], box[0] - at[0], box[1] - at[1]))
                data.append(sheet.crop(box).tobytes())
            if box:
                sheet.paste(0, box)
    return b"".join(data), boxes, tables, x_height, cap


class Atlas:
    """Every glyph of some faces: `data`, their bytes, for the device; and what the workers need to place them."""

    def __init__(self, faces, chars, processes=1):
        jobs = [(f.path, f.cover, chars) for f in faces]
        if processes > 1:
            with multiprocessing.Pool(processes) as pool:
                made = pool.map(raster, jobs, 4)
        else:
            made = map(raster, jobs)
        data, boxes, self.faces = [b"\xff" * SOLID], [], {}
        for face, (raw, mine, tables, x_height, cap) in ((f, m) for f, m in zip(faces, made) if m):
            first = len(boxes)
            tables = {size: {p: (g + first if g >= 0 else g, a, e) for p, (g, a, e) in t.items()} for size, t in tables.items()}
            self.faces[face.path] = tables, x_height, cap
            boxes += mine
            data.append(raw)
        self.boxes = np.array(boxes, np.int64).reshape(-1, 4)
        size = self.boxes[:, 0] * self.boxes[:, 1]
        self.first = SOLID + np.cumsum(size) - size
        self.data = np.frombuffer(b"".join(data), np.uint8)

    def without_data(self):
        """What a worker is given."""
        other = object.__new__(Atlas)
        other.__dict__ = {k: v for k, v in self.__dict__.items() if k != "data"}
        return other


def atlas_of(fonts, chars, held=False, processes=1):
    groups = lines.faces(fonts, held).values()
    return Atlas([f for families in groups for members in families for f in members], chars, processes)


# ---- planning: the workers ---------------------------------------------------------------------------


class Font:
    """A face of the atlas as pens use Pillow's: lengths out of its table, kerning asked for once a pair."""

    def __init__(self, tables, size, face, scale=1.0):
        self.tables, self.glyphs, self.face, self.scale = tables, tables[size], face, scale
        self.size = scale * 100
        self.looks = lines.HEAVY.search(face.path) is not None, lines.TYPED.search(face.path) is not None
        self.advance = collections.defaultdict(float, {p: a for p, (_, a, _) in self.glyphs.items()})
        self.pairs = {}

    def getlength(self, text):
        return sum(map(self.advance.__getitem__, text))

    def kerning(self, pair):
        if pair not in self.pairs:
            real = self.face.at(INK)[0]
            self.pairs[pair] = real.getlength(pair, features=["-liga"]) - real.getlength(pair[0]) - real.getlength(pair[1])
        return self.pairs[pair]

    def font_variant(self, size):
        name = min(SIZES, key=lambda s: abs(SIZES[s] - size / self.size))
        return Font(self.tables, name, self.face, SIZES[name])


class Notes:
    """A pen that notes what is to be laid where: (glyph, x, y, force, how much more to the right, and below, clogged);
    of rules, which have no glyph, width and height instead of the last two."""

    atlas, fonts = None, None

    def begin(self, size, height):
        self.size, self.marks, self.rules = size, [], []
        if self.face.path not in self.atlas.faces:
            raise ValueError(f"no glyphs of {self.face.path}")  # Source.chunk() takes another page
        tables, self.x_height, self.cap = self.atlas.faces[self.face.path]
        if self.face.path not in self.fonts:
            self.fonts[self.face.path] = Font(tables, "", self.face)
        self.font = self.fonts[self.face.path]

    def beside(self, pen):
        self.marks, self.rules, self.chars = pen.marks, pen.rules, pen.chars
        return self

    def put(self, shown, x, y):
        ends, at, before, glyphs = [0.0], 0.0, "", self.font.glyphs
        found = PIECES[self.features is not None].findall(shown)
        for piece in found if all(p in glyphs for p in found) else [c for c in shown if c in glyphs]:
            glyph, advance, inner = glyphs[piece]
            if before:
                at += self.font.kerning(before + piece[0])
            self.marks.append((glyph, x + at, y, 1, 0, 0, 0))
            ends += [at + e for e in inner] if inner else [at + advance]
            at, before = at + advance, piece[-1]
        return ends + ends[-1:] * (len(shown) + 1 - len(ends))

    def letter(self, c, at, font, fill=255):
        if c in font.glyphs:
            self.marks.append((font.glyphs[c][0], *at, fill / 255, 0, 0, 0))

    def rule(self, ends, fill, thick):
        (x0, y0), (x1, y1) = ends
        side, down = (thick / 2, 0) if abs(x1 - x0) < abs(y1 - y0) else (0, thick / 2)
        self.solid([min(x0, x1) - side, min(y0, y1) - down, max(x0, x1) + side, max(y0, y1) + down], fill)

    def dot(self, box):
        self.solid(box, 255)

    def frame(self, box, fill, thick):
        x0, y0, x1, y1 = box
        for side in ([x0, y0, x1, y0 + thick], [x0, y1 - thick, x1, y1], [x0, y0, x0 + thick, y1], [x1 - thick, y0, x1, y1]):
            self.solid(side, fill)

    def solid(self, box, fill):
        self.rules.append((*box, fill / 255))


class Pen(Notes, lines.Pen):
    pass


class Typewriter(Notes, lines.Typewriter):
    """Keys' faults and strikes' force as there; a clogged key's counters are shut and points are heavier on the device."""

    def key(self, c):
        if c not in self.keys:
            r, x = self.r, self.x_height
            slope = [0.0, 0.0]
            clogged = self.clogged and c in "aegosbdpqcmn&8B6R04@" and r.random() < .55
            if r.random() < .13 * self.worn:  # the type does not strike squarely
                slope[r.randrange(2)] = r.choice([-1, 1]) * r.uniform(.2, .8)
            glyph, advance, _ = self.font.glyphs.get(c, (-1, 0, None))
            up = self.shift if c.isupper() else 0
            self.keys[c] = (glyph, (self.pitch - advance) / 2 + r.gauss(0, .03) * self.worn * x, up + r.gauss(0, .03) * self.worn * x,
                            min(1.0, r.gauss(.97, .07 * self.worn)), slope, r.uniform(.3, 1) * clogged)
        return self.keys[c]

    def strike(self, c, x, y, force=1.0):
        r = self.r
        glyph, dx, dy, strong, slope, clogged = self.key(c)
        turns, depth, start = self.ribbon
        strong *= force * (1 + r.gauss(0, .06) * self.worn) * (1 - depth * (1 + math.sin(start + turns * x / self.x_height)) / 2)
        strong = min(1, max(.3, strong)) - sum(map(abs, slope)) / 2
        for off in (-1, 1) if self.heavy_points and c in ".,:;'\"-" else (0,):
            self.marks.append((glyph, x + dx + off, y + dy + off + r.gauss(0, .012) * self.x_height, strong, *slope, clogged))


class Scan(lines.Scan):
    """What of a noted page is seen in which view."""

    def back(self, across):
        """What a line's true places, in view pixels from the page's middle, are of those seen."""
        r = self.r
        if self.clean or r.random() >= .6:
            return np.eye(3)
        turn, lean = math.radians(r.gauss(0, .22)), r.gauss(0, .05) if r.random() < .2 else 0
        away = (r.gauss(0, .015) / across, r.gauss(0, .02) / across) if r.random() < .3 else (0, 0)
        return np.array([[1, lean - turn, 0], [turn, 1, 0], [*away, 1]])

    def stretch(self):
        r = self.r
        stretch = 1 if self.clean else max(.8, min(1.22, r.gauss(1, .07)))
        if self.what in ("receipt", "table") and r.random() < .6:
            stretch *= r.uniform(.62, 1) if r.random() < .85 else r.uniform(1.2, 1.9)  # double width
        return stretch

    def laid(self):
        """Marks and rules as boxes [n, 4] (left, top, width, height), first bytes, force, slopes and clogging [n, 4], and how
        many of them are marks."""
        atlas, marks = self.pen.atlas, np.array([m for m in self.pen.marks if m[0] >= 0], np.float64).reshape(-1, 7)
        glyph = marks[:, 0].astype(np.int64)
        boxes = atlas.boxes[glyph].copy()
        at = np.rint(marks[:, 1:3] + boxes[:, 2:]).astype(np.int64)
        boxes[:, 2:], first, shade = boxes[:, :2], atlas.first[glyph], marks[:, 3:]
        boxes[:, :2] = at
        if self.pen.rules:
            rules = np.array(self.pen.rules)
            rest = np.rint(rules[:, :4]).astype(np.int64)
            rest[:, 2:] = np.maximum(1, rest[:, 2:] - rest[:, :2])
            boxes, first = np.concatenate([boxes, rest]), np.concatenate([first, np.zeros(len(rest), np.int64)])
            shade = np.concatenate([shade, np.pad(rules[:, 4:], ((0, 0), (0, 3)))])
        return boxes, first, shade, len(glyph)

    def views(self):
        r, pen = self.r, self.pen
        laid = self.laid()
        stretch, line, xs = self.stretch(), np.array(pen.chars.line), np.array(pen.chars.x)
        pitch = self.bases[1] - self.bases[0] if len(self.bases) > 1 else 1e6
        middle, across = pen.size[0] / 2, pen.size[0] * X_HEIGHT / pen.x_height
        back = self.back(across)
        boxes, letters = laid[0], laid[3]
        row = np.abs(np.array(self.bases)[None] - (boxes[:letters, 1] + boxes[:letters, 3] / 2)[:, None]
                     - .5 * pen.x_height).argmin(1) if letters else np.zeros(0, int)
        out = []
        for i in np.unique(line):
            mine = np.flatnonzero(line == i)
            own = boxes[:letters][row == i]
            if len(own):
                out += self.plans(laid, own, [pen.chars.label[j] for j in mine], xs[mine], self.bases[i], stretch, back, middle, pitch)
        for _ in range(min(len(out), 1 + (r.random() < .3))):
            lot = r.random()
            if lot < .4:
                out.append((Plan(self, read=math.ceil(lot / .4 * VIEW_W)), "", np.zeros(0)))
        return out

    def plans(self, laid, own, labels, xs, base, stretch, back, middle, pitch):
        """One line's views. Pixels of views: first from the page's middle and true, then as seen."""
        r, pen = self.r, self.pen
        off = 0 if self.clean else max(-2.5, min(2.5, r.gauss(0, .9)))
        height = self.height(labels) / self.x_height
        sy = X_HEIGHT / pen.x_height / height
        sx, seen = sy * stretch, np.linalg.inv(back).tolist()
        x, y, d = (row[0] * (np.concatenate([xs, own[:, 0], own[:, 0] + own[:, 2]]) - middle) * sx + row[2] for row in seen)
        x, n = x / d, len(xs)
        at, left, right, drift = x[:n], x[n:-len(own)], x[-len(own):], float(np.sort(y[:n] / d[:n])[n // 2])
        start = float(left.min())
        n = int(right.max() - start) + 2
        edges = np.zeros(n + 1, np.int64)
        np.add.at(edges, np.clip((left - start).astype(int), 0, n), 1)
        np.add.at(edges, np.clip((right - start).astype(int) + 1, 0, n), -1)
        ink = (edges.cumsum() > 0)[:n]
        white = bytes(ink)
        most = min(VIEW_W, int((W - EDGE - 8) * sx) - 8)
        alone = r.random() < .6
        up, down = (max(1.65, pitch / pen.x_height - .5), max(.45, pitch / pen.x_height - 1.7)) if alone else (9, 9)
        base_row = BASELINE - off
        top, bottom = base_row - up * X_HEIGHT / height, base_row + down * X_HEIGHT / height
        rows, s = [], 0
        while s < n:
            first = white.find(1, max(0, s))
            if first < 0:
                break
            s = max(s, first - 4) if s else first - 4
            e = n if n - s <= most else lines.end_of_view(bytes(max(0, -s)) + white[max(0, s):], 0, n - s, most) + s
            inside = np.flatnonzero((at - start >= s) & (at - start < e))
            while len(inside) and labels[inside[0]] == " ":
                inside = inside[1:]
            while len(inside) and labels[inside[-1]] == " ":
                inside = inside[:-1]
            text = "".join(labels[j] for j in inside)
            if 0 < len(text) <= lines.LONGEST:
                centres = at[inside] - start - s
                ahead = np.linalg.norm(back[2, :2]) * abs(start)  # perspective's part is below a pixel or two
                x_ink = int((start + s) / sx + middle - ahead) - EDGE
                shift = np.array([[1, 0, start + s], [0, 1, drift - base_row], [0, 0, 1]])
                ink_of = np.array([[1 / sx, 0, middle - x_ink], [0, 1 / sy, BASE], [0, 0, 1]])
                near = self.near(laid, x_ink, round(base) - BASE)
                commas = [int(x) for c, x in zip(text, centres) if c == ","]
                rows.append((Plan(self, ink_of @ back @ shift, height, e - s, top, bottom, *near, base=base_row, commas=commas), text, centres))
            s = e
        return rows

    @staticmethod
    def near(laid, x0, y0):
        """What of the page falls on a view's canvas, its rows cut where they leave it."""
        boxes, first, shade, _ = laid
        x, y = boxes[:, 0] - x0, boxes[:, 1] - y0
        w, top, bottom = boxes[:, 2], np.maximum(0, y), np.minimum(H, y + boxes[:, 3])
        solid = first == 0
        left, right = np.where(solid, np.maximum(0, x), x), np.where(solid, np.minimum(W, x + w), x + w)
        i = np.flatnonzero((bottom > top) & (left >= 0) & (right <= W) & (right > left))
        w, top, left = (right - left)[i], top[i], left[i]
        src = np.where(solid[i], 0, first[i] + (top - y[i]) * w)
        # first byte, width, height, place on the canvas
        return np.array([src, w, bottom[i] - top, top * W + left]), shade[i].T


class Plan:
    """One view: where its canvas' ink lies, what lies on it, what its page is like. What is drawn where there is no line, or
    behind one, may end anywhere, and is cut off where batches of its width end: `read`, by lot, where there is no line."""

    NOTHING = np.zeros((4, 0), np.int64), np.zeros((4, 0))

    def __init__(self, scan, m=np.eye(3), height=1.0, end=0, top=0, bottom=VIEW_H, marks=NOTHING[0], shade=NOTHING[1], read=0,
                 base=BASELINE, commas=()):
        self.m, self.marks, self.shade, self.end = m, marks, shade, read or end
        self.commas = [(x, round(base)) for x in commas]
        self.page = (WHAT.index(scan.what), scan.kind == "mono", scan.kind == "old", scan.kind == "serif", *scan.pen.font.looks, scan.clean, scan.again,
                     scan.coarse, getattr(scan.pen, "spread", 0),
                     scan.x_height, height, end, top, bottom)


PAGE = "what mono old serif heavy typed_face clean again coarse spread x_height height end top bottom".split()


class Source(lines.Source):
    """lines.Source, whose rows hold plans instead of views."""

    ink_heights = (INK,)

    def __init__(self, text, fonts, chars, atlas, **more):
        super().__init__(text, fonts, chars, **more)
        self.new = True  # a plan ages as pages of training do
        self.noting = dict(atlas=atlas, fonts={})
        self.pens = [type(kind.__name__, (kind,), self.noting) for kind in (Pen, Typewriter)]
        known = {*chars, *"".join(lines.SCRIPTS), "ſ", " "}
        for face in (f for families in self.faces.values() for members in families for f in members):
            glyphs = atlas.faces[face.path][0][""] if face.path in atlas.faces else ()
            face.drawn.update({c: c in glyphs for c in known})

    def pen(self, typed, *how):
        return self.pens[typed](*how)

    def scan(self, *how):
        return Scan(*how)

    @staticmethod
    def end(plan):
        return plan.end

    @staticmethod
    def stack(plans, key, width):
        return Batch.of(plans, key, width)


def ageing(r, k):
    """How every view of a batch ages: {what: [B]}; 0 where it does not. r: NumPy's generator; k: {PAGE: [B]}."""
    n = len(k["what"])
    p, some, u = {}, lambda part: r.random(n) < part, lambda a, b: r.uniform(a, b, n)
    gauss, one = lambda m, s: r.normal(m, s, n), lambda *of: r.choice(of, n)
    on = lambda where, value: np.where(where, value, 0)
    typed, early, receipt = (k["what"] == WHAT.index(w) for w in ("typed", "early", "receipt"))
    mono, old, serif, heavy, clean, again = (k[w] > 0 for w in ("mono", "old", "serif", "heavy", "clean", "again"))
    # ink: lines.Scan.ink()
    kind, live = u(0, 1), ~clean
    carbon, weave, rough = (live & typed & w for w in (kind < .2, kind >= .55, (kind >= .2) & (kind < .55)))
    worn = live & early & some(.75)
    poor = live & ~typed & ~worn & (old | serif) & some(.12)
    faint = poor & some(.5)
    worn |= poor & ~faint
    thermal = live & receipt & ~poor & some(.4)
    rest = live & ~typed & ~worn & ~faint & ~thermal
    dots = rest & some(np.where(receipt, .25, .04 * mono))
    rest &= ~dots
    ribbon = rest & mono & ~heavy & (kind < np.where(k["typed_face"] > 0, .6, .2))
    spread, p["thin"] = rest & ~ribbon & (kind < .18), on(rest & ~ribbon & (kind >= .18) & (kind < .24), 1)
    rough |= rest & some(np.where(mono | old, .55, .3))
    p["fat"] = np.select([live & typed, ribbon, spread | worn & some(.5) | thermal & ~heavy | dots & some(.7)], [k["spread"], 5, 3], 0)
    p["clog"] = on(live & typed, 1)
    p["thermal"] = on(thermal, np.maximum(2, np.rint(INK / one(6, 7, 8, 9, 11))))
    p["dots"] = on(dots, np.maximum(3, np.rint(INK / one(5, 5, 6, 7))))
    p["level"] = np.where(dots, u(60, 110), u(45, 110)) / 255
    p["fade"], p["fade_cell"] = on(some(.5), u(.1, .5)), u(4, 25)
    p["rows_fade"], p["disc"] = on(some(.35), u(.2, .8)), u(.5, .75)
    p["ink_blur"] = np.hypot(on(ribbon, u(.5, 2)), np.select([rough, worn, faint, carbon, weave, thermal],
                             [u(.8, 2.2), u(.8, 1.8), INK * u(.05, .1), INK * u(.05, .12), u(.5, 1.6), p["thermal"] * u(.15, .5)], 0))
    p["edged"], of = on(rough | worn | faint, 1), lambda w, f, other: np.select([worn, faint], [w, f], other)
    p["edge"], p["gain"] = of(u(.25, .48), u(.38, .56), u(.25, .52)), of(u(2.5, 7), u(1.5, 4), u(2, 8))
    p["edge_fine"], p["fine_cell"] = of(u(.05, .2), u(.05, .15), u(.02, .2)), of(u(2.5, 6), INK * u(.2, .5), u(2, 6))
    p["edge_wide"], p["wide_cell"] = of(u(.03, .18), u(0, .15), u(0, .15)), of(u(15, 60), 60, 30)
    p["pale"], p["soft"] = on(faint, u(.5, 1)), INK * u(.02, .07)
    p["gone"], p["gone_cell"] = on(worn & some(.5), u(.85, 1.4)), u(3, 8)
    p["weave"], p["weave_cell"] = on(weave, u(.05, .45)), u(1.5, 3.5)
    p["carbon"], p["less"] = on(carbon, u(1, 1.6)), u(0, 30) / 255
    # the scan: lines.Scan.scanned()
    x = np.minimum(k["x_height"], FINEST / k["height"])
    p["scale"] = x * k["height"] / X_HEIGHT  # page pixels per view pixel
    dull = clean | again & some(.8)  # nothing happens to this paper
    coarse = (k["coarse"] > 0) & ~dull
    p["support"] = np.maximum(1, INK / np.where(coarse, np.minimum(x, u(4.5, 7.5)), x))
    p["faxed"] = on(coarse & some(.25), u(.3, .5))
    # paper: lines.Scan.paper(), marks()
    live = ~dull
    p["through"] = on(live & some(np.where(early, .45, .12)), u(.08, .35))
    p["roll_y"], p["roll_x"] = r.integers(0, PAGE_H, n), r.integers(0, PAGE_W, n)
    p["stroke"], p["stroke_x"], p["stroke_w"] = on(live & some(.05), u(.4, 1)), u(0, 264) * p["scale"], one(1, 2)
    p["rule"], p["rule_y"], p["rule_h"] = on(live & some(.07), u(.5, 1)), (TOP + BASELINE) * p["scale"] + x * u(0, .6), one(1, 2)
    p["stamp"], p["stamp_r"] = on(live & some(.03), u(.12, .45)), x * u(2.5, 6)
    p["stamp_x"], p["stamp_y"] = u(0, PAGE_W), u(-PAGE_H / 2, PAGE_H * 1.5)
    p["specks"], p["speck"] = on(live & some(.12), u(.0002, .004)), one(0, .6, 1)
    p["stains"], p["stain_cell"] = on(live & some(.18), u(.15, .6)), u(8, 60)
    light = np.where(live & some(.65), u(.55, 1), 1)
    p["light"], p["dark"] = light, on(live & some(.6), u(0, .55)) * light
    p["strength"] = np.where(live, u(.75, 1.3), 1)
    p["shade"], p["shade_cell"] = on(live & some(.3), u(.02, .15)), u(60, 200)
    p["grain"], p["grain_cell"] = on(live & some(.25), u(.01, .06)), u(2, 6)
    p["blur"] = on(live & some(.45), u(.3, 1.1) * np.maximum(.6, x / 12))
    p["noise"] = on(live & some(.45), u(.005, .1) * (light - p["dark"]))
    p["cut"] = on(live & some(.2), (light + p["dark"]) / 2 + gauss(.03, .06) * (light - p["dark"]))
    p["jpeg"] = on(live & some(.3), r.integers(20, 90, n))
    # once more at the view's scale: lines.Scan.damaged()
    p["again"] = on(again & (k["end"] > 0), 1)
    p["rest"], p["rest_rows"], p["rest_below"], p["rest_x"] = on(some(.3), u(.4, 1)), r.integers(1, 7, n), some(.5), r.integers(0, VIEW_W, n)
    p["other"], p["other_x"] = on(some(.12), u(.08, .3)), r.integers(0, VIEW_W, n)
    p["again_stroke"] = np.where(some(.05), np.where(some(.5), r.integers(0, 4, n), np.maximum(0, k["end"] - r.integers(1, 6, n))), -9)
    p["again_rule"] = np.where(some(.08), np.where(some(.5), r.integers(0, 4, n), VIEW_H - 1 - r.integers(0, 4, n)), -9)
    p["thick"], p["blots"] = one(1, 2), on(some(.18), u(.1, .5))
    p["light2"] = np.where(some(.6), u(.6, 1), 1)
    p["dark2"], p["strength2"] = on(some(.6), u(0, .5)) * p["light2"], u(.7, 1.3)
    uneven = some(.2)
    p["ramp_x"], p["ramp_y"], p["grain2"] = on(uneven, gauss(0, .1)), on(uneven, gauss(0, .05)), on(some(.2), u(.01, .05))
    p["blur2"], p["noise2"] = on(some(.35), u(.2, 1)), on(some(.45), u(.005, .09) * (p["light2"] - p["dark2"]))
    p["salt"], p["jpeg2"] = on(some(.06), u(.001, .02)), on(some(.25), r.integers(20, 90, n))
    p["cut2"] = on(some(.15), (p["light2"] + p["dark2"]) / 2 + gauss(0, .04))
    return p


class Batch:
    """What the device is told of some views, as arrays; map() makes tensors of them."""

    ARRAYS = "marks shade values page_to_ink lists clutter commas".split()

    @classmethod
    def of(cls, plans, key, width=VIEW_W):
        """key: numbers that no other batch has; width: as much as is read of the views"""
        self = cls()
        self.width = width
        r = np.random.default_rng(key)
        k = dict(zip(PAGE, np.array([p.page for p in plans], np.float64).T))
        p = ageing(r, k)
        p |= {name: k[name] for name in ("end", "top", "bottom")}
        self.size, self.seed = len(plans), int(r.integers(1 << 62))
        self.names = {name: i for i, name in enumerate(p)}
        self.values = np.stack(list(p.values()), 1).astype(np.float32)
        to_view = np.zeros((len(plans), 3, 3))  # pixels of the scan to those of the view
        to_view[:, 0, 0] = to_view[:, 1, 1] = 1 / p["scale"]
        to_view[:, 2, 2], to_view[:, 0, 2], to_view[:, 1, 2] = 1, -LEFT, -TOP
        self.page_to_ink = (np.stack([q.m for q in plans]) @ to_view).reshape(-1, 9).astype(np.float32)
        self.marks = np.concatenate([q.marks for q in plans], 1)
        self.marks[3] += np.repeat(np.arange(len(plans)) * H * W, [q.marks.shape[1] for q in plans])
        self.shade = np.concatenate([q.shade for q in plans], 1).astype(np.float32)
        self.pixels = int((self.marks[1] * self.marks[2]).sum())
        self.commas = np.array([(i, *c) for i, q in enumerate(plans) for c in q.commas], np.int64).reshape(-1, 3).T  # view, x, y
        listed = [n for n in p if p[n].dtype != bool and n in LISTED]
        self.lists = {n: np.flatnonzero(p[n]) for n in listed}
        self.lists |= {f"fat {w}": np.flatnonzero(p["fat"] == w) for w in (3, 5, 7)}
        for name in ("thermal", "dots"):
            self.lists |= {f"{name} {cell}": np.flatnonzero(p[name] == cell) for cell in (2, 3, 4)}
        full = k["end"] > 0
        self.lists["rows"] = np.flatnonzero((k["top"] > 0) | (k["bottom"] < VIEW_H))
        clogged = np.flatnonzero(self.shade[3] > 0)
        self.lists["clogged"] = clogged
        self.clogged = int((self.marks[1] * self.marks[2])[clogged].sum())
        # views of nothing, and lines that run on: where to, from which view, from which column on, how
        runs = np.flatnonzero(full & (r.random(len(plans)) < .05) & (k["end"] < VIEW_W - 36))
        to = np.concatenate([np.flatnonzero(~full), runs])
        start = np.concatenate([np.zeros(len(to) - len(runs)), k["end"][runs] + r.integers(2, 24, len(runs))])
        seen = np.flatnonzero(full)
        of = r.choice(seen, len(to)) if len(seen) else np.zeros(len(to), int)
        of_page = r.choice([4, 5, 6, 7, 8, 9], len(to), p=[.3, .13, .13, .14, .18, .12])
        how = np.where((r.random(len(to)) < .75) & (len(seen) > 0), of_page, r.integers(0, 4, len(to)))
        self.lists |= {f"clutter {h}": np.flatnonzero(how == h) for h in range(10)} | {"to": to, "of": of}
        self.clutter = np.concatenate([start[:, None], r.random((len(to), 12))], 1).astype(np.float32)
        return self

    def map(self, change):
        other = object.__new__(Batch)
        other.__dict__ = dict(self.__dict__)
        for name in self.ARRAYS:
            value = getattr(self, name)
            setattr(other, name, {n: change(a) for n, a in value.items()} if isinstance(value, dict) else change(value))
        return other

    def __len__(self):
        return self.size


LISTED = ("thin clog ink_blur edged pale gone weave carbon faxed through stroke rule stamp specks stains shade grain blur noise cut jpeg "
          "again").split()

# ---- drawing: the device -----------------------------------------------------------------------------

JPEG = [[16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]]  # its luminance at quality 50


def fatter(x, k):
    """The brightest of k x k pixels."""
    return F.max_pool2d(x[:, None], k, 1, k // 2)[:, 0]


def along(x, kernel, edge):
    """x [n, h, w] with each its own kernel [n, odd], down and across"""
    k = kernel.shape[1] // 2
    for shape, pad in (((-1, 1, 2 * k + 1, 1), (0, 0, k, k)), ((-1, 1, 1, 2 * k + 1), (k, k, 0, 0))):
        x = F.conv2d(F.pad(x[None], pad, edge), kernel.view(shape), groups=len(kernel))[0]
    return x


def blurred(x, sigma, most, edge="replicate"):
    """Gaussian; sigma [n], up to `most`"""
    k = torch.arange(-math.ceil(2.5 * most), math.ceil(2.5 * most) + 1, device=x.device)
    kernel = torch.exp(-k.square() / (2 * sigma.clamp(min=.05).square()[:, None]))
    return along(x, kernel / kernel.sum(1, keepdim=True), edge)


def sampled(x, m, h, w, mode="bilinear", outside="zeros"):
    """x [n, H, W] at the places that matrices m [n, 9] give for the middles of h x w pixels."""
    m = m[:, :, None, None]
    u = (torch.arange(w, device=x.device) + .5)[None, None]
    v = (torch.arange(h, device=x.device) + .5)[None, :, None]
    d = m[:, 6] * u + m[:, 7] * v + m[:, 8]
    at = [(m[:, i] * u + m[:, i + 1] * v + m[:, i + 2]) / d * (2 / side) - 1 for i, side in ((0, x.shape[2]), (3, x.shape[1]))]
    return F.grid_sample(x[:, None], torch.stack(at, -1), mode, outside, align_corners=False)[:, 0]


def rolled(x, down, across):
    """x [n, h, w] turned round by [n] rows and columns"""
    h, w = x.shape[1:]
    y = (torch.arange(h, device=x.device) - down.long()[:, None]) % h
    z = (torch.arange(w, device=x.device) - across.long()[:, None]) % w
    return x.gather(1, y[:, :, None].expand_as(x)).gather(2, z[:, None].expand_as(x))


class Composer:
    """Draws batches: the same batch gives the same views on the same kind of device, whenever it is drawn."""

    def __init__(self, data, device):
        self.device = torch.device(device)
        self.data = torch.from_numpy(data.copy() if isinstance(data, np.ndarray) else data).to(self.device)
        self.generator = None if self.device.type == "meta" else torch.Generator(self.device)
        i = np.arange(8)
        dct = np.cos((2 * i[None] + 1) * i[:, None] * math.pi / 16) * np.where(i[:, None] == 0, math.sqrt(1 / 8), .5)
        self.dct, self.table = (torch.from_numpy(np.array(a, np.float64)).to(self.device) for a in (dct, JPEG))

    @torch.no_grad()
    def __call__(self, batch):
        """A Batch of this device's tensors -> uint8 [B, VIEW_H, its width]"""
        if self.generator is not None:
            self.generator.manual_seed(batch.seed)
        self.batch = batch
        a = self.scanned(self.ink(self.laid()))
        grey = self.whitened(self.paper(a) * 255)
        a = self.cut(grey) / 255
        a = self.some(a, "again", self.damaged)
        end = self.value("end")[:, None]
        a = torch.where((torch.arange(VIEW_W, device=a.device) < end)[:, None], a, 1.0)
        return (self.cluttered(a)[..., :batch.width] * 255).clamp(0, 255).byte()

    # -- help

    def value(self, name, at=None):
        v = self.batch.values[:, self.batch.names[name]]
        return v if at is None else v.index_select(0, at)[:, None, None]

    def some(self, x, name, change):
        """x changed where a list says so: change(part of x, value), value(name) being what the part's views have, [n, 1, 1]."""
        at = self.batch.lists[name]
        if not len(at):
            return x
        part = change(x.index_select(0, at), lambda n: self.value(n, at))
        return x.index_copy(0, at, part.to(x.dtype))

    def random(self, *shape):
        return torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator, device=self.device)

    def noise(self, like, cell, least):
        """Smooth noise, -1..1 or so, that changes over about `cell` [n, 1, 1] pixels, which is `least` or more."""
        n, h, w = like.shape
        grid = .5 * self.normal(n, math.ceil(h / least) + 1, math.ceil(w / least) + 1)
        k, o = 1 / cell.view(-1), torch.zeros(n, device=self.device)
        return sampled(grid, torch.stack([k, o, o, o, k, o, o, o, o + 1], 1), h, w, "bicubic", "border")

    # -- ink

    def laid(self):
        """Glyphs and rules on their canvases: ink 0..1 [B, H, W]"""
        b = self.batch
        force, right, down, _ = b.shade

        def value(raw, which, row, col, w, h):
            more = right[which] * ((col + .5) / w - .5) + down[which] * ((row + .5) / h - .5)
            return raw * (force[which] + more).clamp(0, 1)

        return self.stamped(*b.marks, b.pixels, value).view(b.size, H, W) / 255

    def stamped(self, first, w, h, to, pixels, value):
        """Boxes of the atlas on all canvases as one row, the stronger where they meet."""
        canvas = torch.zeros(self.batch.size * H * W, dtype=torch.uint8, device=self.device)
        if not pixels:
            return canvas
        size = w * h
        which = torch.repeat_interleave(torch.arange(len(size), device=self.device), size, output_size=pixels)
        k = torch.arange(pixels, device=self.device) - (size.cumsum(0) - size)[which]
        width = w[which]
        row = torch.div(k, width, rounding_mode="floor")
        col = k - row * width
        raw = self.data[first[which] + k]
        return canvas.scatter_reduce_(0, to[which] + row * W + col, value(raw, which, row, col, width, h[which]).byte(), "amax")

    def ink(self, a):
        """lines.Scan.ink()"""
        for k in (3, 5, 7):
            a = self.some(a, f"fat {k}", lambda x, _: fatter(x, k))
        a = self.some(a, "thin", lambda x, _: -fatter(-x, 3))
        if self.batch.clogged:
            at = self.batch.lists["clogged"]
            much = self.batch.shade[3]
            shut = self.stamped(*self.batch.marks.index_select(1, at), self.batch.clogged,
                                lambda raw, which, *_: torch.full_like(raw, 255) * much.index_select(0, at)[which]).view_as(a)
            shut = shut.index_select(0, self.batch.lists["clog"]).float() / 255
            a = self.some(a, "clog", lambda x, _: torch.lerp(x, torch.maximum(x, -fatter(-fatter(x, 7), 7)), shut))
        for cell in (2, 3, 4):
            a = self.some(a, f"thermal {cell}", lambda x, v: self.thermal(x, v, cell))
            a = self.some(a, f"dots {cell}", lambda x, v: self.dots(x, v, cell))
        a = self.some(a, "ink_blur", lambda x, v: blurred(x, v("ink_blur").view(-1), 3, "constant"))
        a = self.some(a, "edged", self.edged)
        a = self.some(a, "pale", lambda x, v: blurred(x * v("pale"), v("soft").view(-1), 1.6, "constant"))
        a = self.some(a, "gone", lambda x, v: x * (self.noise(x, v("gone_cell"), 3) > -v("gone")))
        a = self.some(a, "weave", self.weave)
        return self.some(a, "carbon", lambda x, v: (x * v("carbon") - v("less")).clamp(0, 1))

    def weave(self, x, v):
        """A ribbon's."""
        threads = self.noise(x, v("weave_cell"), 1.5) + .5 * self.noise(x, torch.full_like(v("weave_cell"), 12.0), 12)
        return x * (1 - v("weave") * (threads + .3).clamp(0, 1))

    def edged(self, x, v):
        """Ink that swells and shrinks over small distances; first thin faces' lines become as black as others'."""
        full = (x.pow(5).sum((1, 2)) / x.pow(4).sum((1, 2)).clamp(min=1e-6)).clamp(min=.1)[:, None, None]
        edge = v("edge") + v("edge_fine") * self.noise(x, v("fine_cell"), 2) + v("edge_wide") * self.noise(x, v("wide_cell"), 15)
        return ((x / full - edge) * v("gain") + .5).clamp(0, 1)

    def coarse(self, x, cell):
        return F.avg_pool2d(x[:, None], cell, ceil_mode=True)[:, 0]

    def thermal(self, x, v, cell):
        on = (self.coarse(x, cell) > v("level")).float()
        rows = self.noise(on[:, :, :1], v("fade_cell") / 4, 1)
        on = on * (1 - v("rows_fade") * (2 * rows).clamp(0, 1)) * (1 - v("fade") * (self.noise(on, v("fade_cell"), 4) + .2).clamp(0, 1))
        return F.interpolate(on[:, None], scale_factor=cell)[:, 0, :H, :W]

    def dots(self, x, v, cell):
        on = self.coarse(x, cell)
        on = (on > v("level")) * (.95 + .15 * self.normal(*on.shape)).clamp(.3, 1)
        k = torch.arange(cell, device=x.device) - (cell - 1) / 2
        disc = (cell * v("disc") - torch.hypot(k[:, None], k[None]) + .3).clamp(0, 1)
        big = on[:, :, None, :, None] * disc[:, None, :, None]
        return big.reshape(len(x), on.shape[1] * cell, on.shape[2] * cell)[:, :H, :W]

    # -- the scan and its paper

    def scanned(self, a):
        """At the scan's resolution, warped: [B, PAGE_H, PAGE_W]"""
        support = self.value("support")[:, None]
        k = torch.arange(-5, 6, device=a.device)
        kernel = (1 - k.abs() / support).clamp(min=0)
        a = along(a, kernel / kernel.sum(1, keepdim=True), "constant")
        a = sampled(a, self.batch.page_to_ink, PAGE_H, PAGE_W)
        return self.some(a, "faxed", lambda x, v: ((x - v("faxed")) * 4 + .5).clamp(0, 1))

    def paper(self, a):
        """lines.Scan.paper()"""
        y = torch.arange(PAGE_H, device=a.device)[None, :, None]
        x = torch.arange(PAGE_W, device=a.device)[None, None]
        a = self.some(a, "through", lambda a, v: torch.maximum(a, rolled(a.flip(2), v("roll_y").view(-1), v("roll_x").view(-1)) * v("through")))
        a = self.some(a, "stroke", lambda a, v: torch.where((x - v("stroke_x")).floor().abs() < v("stroke_w"), v("stroke"), a))
        a = self.some(a, "rule", lambda a, v: torch.where((y >= v("rule_y")) & (y < v("rule_y") + v("rule_h")), v("rule"), a))
        a = self.some(a, "stamp", lambda a, v: torch.maximum(a, v("stamp") * (
            (torch.hypot(x - v("stamp_x"), y - v("stamp_y")) - v("stamp_r")).abs() < 1 + v("stamp_r") / 40)))
        a = self.some(a, "specks", lambda a, v: torch.where(fatter((self.random(*a.shape) < v("specks")).float(), 3)
                                                           * (self.random(*a.shape) < .5) > 0, v("speck"), a))
        a = self.some(a, "stains", lambda a, v: a * (1 - v("stains") * (self.noise(a, v("stain_cell"), 8) + .4).clamp(0, 1)))
        light, dark, strength = (self.value(n)[:, None, None] for n in ("light", "dark", "strength"))
        a = light + (dark - light) * (a * strength).clamp(0, 1)
        a = self.some(a, "shade", lambda a, v: a * (1 + v("shade") * self.noise(a, v("shade_cell"), 60)))
        a = self.some(a, "grain", lambda a, v: a + v("grain") * self.noise(a, v("grain_cell"), 2))
        a = self.some(a.clamp(0, 1), "blur", lambda a, v: blurred(a, v("blur").view(-1), 1.6))
        a = self.some(a, "noise", lambda a, v: a + v("noise") * self.normal(*a.shape))
        a = self.some(a, "cut", lambda a, v: (a > v("cut")).float())
        return self.some(a.clamp(0, 1), "jpeg", lambda a, v: self.jpeg(a, v("jpeg")))

    def jpeg(self, a, quality):
        """What JPEG leaves of a picture: its blocks' frequencies, rounded; in doubles, since a trainer lets products of
        floats be made in bf16."""
        n, h, w = a.shape
        q = quality[..., None, None]
        table = ((self.table * torch.where(q < 50, 5000 / q, 200 - 2 * q) + 50) / 100).floor().clamp(1, 255)
        blocks = (a * 255 - 128).double().view(n, h // 8, 8, w // 8, 8).transpose(2, 3)
        there = (self.dct @ blocks @ self.dct.T / table).round() * table
        return ((self.dct.T @ there @ self.dct).transpose(2, 3).reshape(n, h, w).add(128) / 255).clamp(0, 1).float()

    def whitened(self, grey):
        """lines.whiten(): paper to white"""
        small = fatter(F.avg_pool2d(grey[:, None], 8)[:, 0], 5)
        level = blurred(small, torch.full((len(grey),), 4.0, device=grey.device), 4)
        level = F.interpolate(level[:, None], scale_factor=8, mode="bilinear", align_corners=False)[:, 0]
        return (grey * (255 / level.clamp(min=40))).clamp(0, 255)

    def cut(self, grey):
        """The views, other lines' rows taken out where the plan says so."""
        k = self.value("scale")
        o = torch.zeros_like(k)
        a = sampled(grey, torch.stack([k, o, k * LEFT, o, k, k * TOP, o, o, o + 1], 1), VIEW_H, VIEW_W, outside="border")
        y = torch.arange(VIEW_H, device=a.device)[None, :, None]
        return self.some(a, "rows", lambda a, v: torch.where((y >= v("top").floor()) & (y < v("bottom").ceil()), a, 255.0))

    # -- views

    def damaged(self, a, v):
        """lines.Scan.damaged()"""
        n = len(a)
        y, x = torch.arange(VIEW_H, device=a.device)[None, :, None], torch.arange(VIEW_W, device=a.device)[None, None]
        ink, rows, below = 1 - a, v("rest_rows"), v("rest_below") > 0
        still = torch.zeros(n, device=a.device)
        beside = torch.where(below, VIEW_H - rows - (BASELINE - 5), -(BASELINE - 5.0)).view(-1)
        there = torch.where(below, y >= VIEW_H - rows, y < rows)
        ink = torch.maximum(ink, rolled(ink, beside, v("rest_x").view(-1)) * v("rest") * there)
        ink = torch.maximum(ink, rolled(ink.flip(2), still, v("other_x").view(-1)) * v("other"))
        for place, at in ((x, v("again_stroke")), (y, v("again_rule"))):
            ink = torch.where((place >= at) & (place < at + v("thick")), 1.0, ink)
        blots = F.interpolate(self.random(n, 1, 4, VIEW_W // 16), scale_factor=(8, 16))[:, 0]
        ink = ink * (1 - v("blots") * blots)
        light, dark = v("light2"), v("dark2")
        img = light + (dark - light) * (ink * v("strength2")).clamp(0, 1)
        img = img + v("ramp_x") * (x / VIEW_W - .5) + v("ramp_y") * (y / VIEW_H - .5)
        img = img + v("grain2") * F.interpolate(self.normal(n, 1, VIEW_H // 4, VIEW_W // 4), scale_factor=4)[:, 0]
        img = blurred(img.clamp(0, 1), v("blur2").view(-1), 1) + v("noise2") * self.normal(*a.shape)
        img = torch.where(self.random(*a.shape) < v("salt"), (self.random(*a.shape) < .5).float(), img)
        img = torch.where(v("cut2") > 0, (img > v("cut2")).float(), img).clamp(0, 1)
        img = torch.where(v("jpeg2") > 0, self.jpeg(img, v("jpeg2").clamp(min=20)), img)
        level = img.view(n, VIEW_H, 8, VIEW_W // 8).transpose(1, 2).reshape(n, 8, -1).sort(2).values[:, :, -VIEW_H * VIEW_W // 80]
        level = F.interpolate(level[:, None].clamp(min=.16), scale_factor=VIEW_W // 8, mode="linear", align_corners=False)
        return (img / level).clamp(0, 1)

    def cluttered(self, views):
        """Views of nothing, and lines that run on into it: lines.Scan.nothing(), clutter(), runs_on()."""
        b, lists = self.batch, self.batch.lists
        if not len(lists["to"]):
            return views
        other = torch.ones(len(lists["to"]), VIEW_H, VIEW_W, device=self.device)
        made = (self.only_grain, self.only_rule, self.only_specks, self.only_blobs, self.other_side, self.hatching, self.paper_edge, self.scribble,
                self.flowers, self.piece)
        for i, make in enumerate(made):
            at = lists[f"clutter {i}"]
            if len(at):
                of = lists["of"].index_select(0, at)
                u = b.clutter.index_select(0, at)[:, :, None, None]
                some = make(u[:, 1:].unbind(1), views.index_select(0, of))
                other = other.index_copy(0, at, some.clamp(0, 1))
        x = torch.arange(VIEW_W, device=self.device) - b.clutter[:, :1].long()
        shifted = other.gather(2, x.clamp(min=0)[:, None].expand_as(other))
        shifted = torch.where((x >= 0)[:, None], shifted, 1.0)
        return views.index_copy(0, lists["to"], torch.minimum(views.index_select(0, lists["to"]), shifted))

    def grid(self):
        return torch.arange(VIEW_H, device=self.device)[None, :, None], torch.arange(VIEW_W, device=self.device)[None, None]

    def only_grain(self, u, view):
        return 1 - self.normal(*view.shape).abs() * (2 + 58 * u[0]) / 255 * (self.grid()[1] < 8 + 248 * u[1])

    def only_rule(self, u, view):
        y, x = self.grid()
        there = (y >= (6 + 21 * u[0]).floor()) & (y < (6 + 21 * u[0] + 1 + 3 * u[1]).floor()) & (x >= 4) & (x < 8 + 248 * u[2])
        return 1 - there * (1 - .6 * u[3])

    def only_specks(self, u, view):
        there = self.random(*view.shape) < u[0] * .0015
        return 1 - fatter(there.float(), 3) * (self.random(*view.shape) < .8) * (1 - .6 * u[1])

    def only_blobs(self, u, view):
        return torch.where(self.grid()[1] < 8 + 248 * u[1], .5 + .5 * self.noise(view, 2 + 10 * u[0], 2), 1.0)

    def other_side(self, u, view):
        out = 1 - (1 - blurred(view.flip(2), (.3 + 1.3 * u[0]).view(-1), 1.6)) * (.15 + .45 * u[1])
        return self.sensed(rolled(out, (13 * u[2] - 6).floor().view(-1), (VIEW_W * u[3]).floor().view(-1)), u[4])

    def hatching(self, u, view):
        y, x = self.grid()
        angle, pitch = u[0] * math.pi, 2 * math.pi / (2.5 + 6.5 * u[1])
        waves = torch.sin((x * torch.cos(angle) + y * torch.sin(angle)) * pitch)
        waves = waves * torch.where(u[2] < .5, torch.sin((y * torch.cos(angle) - x * torch.sin(angle)) * pitch), 1.0)
        ink = (waves + (.3 + .9 * u[3]) * self.noise(view, 3 + 27 * u[4], 3) - (1.1 * u[5] - .5)) * (1 + 5 * u[6])
        return self.sensed(1 - ink.clamp(0, 1) * (60 + 190 * u[7]) / 255, u[8])

    def paper_edge(self, u, view):
        x, w = self.grid()[1], 16 + 240 * u[0]
        a = 4 + (w - 4) * u[1]
        inner = .2 + .8 * u[2]
        side = torch.where(x < a, 1 + (inner - 1) * x / a, inner * (1 - (x - a) / (w + 8 - a)).clamp(min=0))
        return self.sensed(1 - (50 + 200 * u[3]) / 255 * (side * (1 + .6 * u[4] * self.noise(view, 1.5 + 10.5 * u[5], 1.5))).clamp(0, 1), u[6])

    def scribble(self, u, view, strokes=40):
        """A wandering pen: the distance to the nearest of its strokes."""
        n = len(view)
        step = torch.stack([.4 + 1.7 * self.normal(n, strokes), 2.3 * self.normal(n, strokes)], -1)
        step = (step + .8 * step.roll(1, 1) + .5 * step.roll(2, 1)) * (torch.arange(strokes, device=self.device) < 4 + 36 * u[0][:, 0])[..., None]
        to = step.cumsum(1) + torch.cat([20 * u[1][:, 0], 7 + 18 * u[2][:, 0]], 1)[:, None]
        to = torch.stack([to[..., 0].clamp(0, VIEW_W), to[..., 1].clamp(0, VIEW_H - 1)], -1)
        a, d = to[:, :-1], to.diff(dim=1)
        y, x = self.grid()
        p = torch.stack(torch.broadcast_tensors(x.float(), y.float()), -1)[:, :, :, None]
        part = (((p - a[:, None, None]) * d[:, None, None]).sum(-1) / d.square().sum(-1).clamp(min=1e-3)[:, None, None]).clamp(0, 1)
        far = (p - a[:, None, None] - part[..., None] * d[:, None, None]).norm(dim=-1).amin(-1)
        return self.sensed(1 - (.5 + .5 * u[3]) * (.5 + 1.2 * u[4] - far + .5).clamp(0, 1), u[5])

    def flowers(self, u, view):
        """A row of ornaments: blots that are the same on both sides of each middle, and that again and again."""
        y, x = self.grid()
        period = (7 + 27 * u[0]).floor()
        at = (x % period).expand(len(view), 1, VIEW_W)
        blots = self.noise(view, 2 + 3 * u[1], 2).gather(2, torch.minimum(at, period - 1 - at).long().expand_as(view))
        top, high = 24 * u[2], 8 + 18 * u[3]
        there = (y >= top) & (y < top + high) & (x < 16 + 240 * u[4])
        return self.sensed(1 - (.5 + .5 * u[5]) * there * (4 * blots + 1.5 * u[6] - .5).clamp(0, 1), u[7])

    def piece(self, u, view):
        """A part of a heading or a logo, at a small line's scale."""
        k, o = 1 / (2.8 + 3.2 * u[0]).view(-1), torch.zeros(len(view), device=self.device)
        x, y = ((VIEW_W - 60) * u[1]).view(-1), (4 + (VIEW_H - 16) * u[2]).view(-1)
        out = sampled(view, torch.stack([k, o, x, o, k, y, o, o, o + 1], 1), VIEW_H, VIEW_W, "bicubic", "border")
        return self.sensed(torch.where(self.grid()[1] < 16 + 240 * u[3], out, 1.0), u[4])

    def sensed(self, out, much):
        return out + self.normal(*out.shape) * much * 10 / 255


def legible(views, columns, space):
    """lines.legible() of a batch: columns [B, n] says which character's middle is where, 0 for none -> [B]"""
    dark = views[:, 3:30].amin(1).view(*columns.shape, -1).amin(2)
    level = -F.max_pool1d(-dark[:, None].float(), 3, 1, 1)[:, 0]
    letters = (columns != 0) & (columns != space)
    return (letters & (level > 190)).sum(1) * 8 <= letters.sum(1)


def tailless(views, commas):
    """lines.tailless() of a batch: commas [3, n] says of each its view, its middle and the row of its line's baseline -> [B]"""
    view, x, y = (c[:, None] for c in commas)
    ink = 255 - views[view[:, :, None], torch.arange(VIEW_H, device=views.device)[None, :, None],
                      (x + torch.arange(-2, 3, device=views.device)).clamp(0, views.shape[2] - 1)[:, None]].amin(2).float()
    rows = lambda first: ink.gather(1, y + torch.arange(first, first + 3, device=views.device)).amax(1)
    gone = torch.zeros(len(views), dtype=torch.uint8, device=views.device)
    return gone.scatter_reduce_(0, commas[0], (rows(1) < .4 * rows(-3)).byte(), "amax") > 0


def main():
    from vocab import Vocab
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--model", default="../model/mini")
    p.add_argument("--text", default="text")
    p.add_argument("--fonts", nargs="+", default=["/usr/share/fonts", "/usr/share/texmf"])
    p.add_argument("--only", choices=WHAT)
    p.add_argument("--held", action="store_true", help="faces that no training sees")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cpu")
    a = p.parse_args()
    chars = Vocab(a.model).chars
    atlas = atlas_of(a.fonts, chars, a.held)
    rows = Source(a.text, a.fonts, chars, atlas, seed=a.seed, held=a.held, only=a.only).chunk(0, 80)
    batch = Source.stack([row[0] for row in rows], [a.seed], VIEW_W).map(lambda x: torch.from_numpy(x).to(a.device))
    views = Composer(atlas.data, a.device)(batch).cpu().numpy()
    sheet = np.full((40 * (VIEW_H + 4), 2 * (VIEW_W + 4)), 160, np.uint8)
    for (i, j), view in zip(itertools.product(range(40), range(2)), views):
        sheet[i * 36:i * 36 + VIEW_H, j * 260:j * 260 + VIEW_W] = view
    Image.fromarray(sheet).save(a.out)


if __name__ == "__main__":
    main()
