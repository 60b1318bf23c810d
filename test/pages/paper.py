"""What generate.py is written with: a sheet that text is set on, and what time and a scanner do to it.

Sheet sets text with Pango and remembers every printed line with its box. age() turns the ink into a grey scan;
Scan turns, skews and stores it, moving the boxes along. Lengths are millimetres, sizes points, boxes pixels.
"""
import math

import cairo
import gi
import numpy as np
from PIL import Image

gi.require_version("Pango", "1.0")
gi.require_version("PangoCairo", "1.0")
from gi.repository import Pango, PangoCairo  # noqa: E402

SOFT = "\u00ad"
FINE = 2  # drawn so many times finer than the scan, then averaged


class Sheet:
    def __init__(self, width, height, dpi, language="en"):
        self.mm = dpi * FINE / 25.4
        self.dpi = dpi
        self.language = language
        self.w, self.h = (int(round(v / 25.4 * dpi)) * FINE for v in (width, height))
        self.surface = cairo.ImageSurface(cairo.FORMAT_A8, self.w, self.h)
        self.c = cairo.Context(self.surface)
        self.lines = []  # (text of a printed line, [(box, text of a piece), ...])

    def _layout(self, s, font, size):
        lay = PangoCairo.create_layout(self.c)
        options = cairo.FontOptions()
        options.set_hint_style(cairo.HINT_STYLE_NONE)
        options.set_hint_metrics(cairo.HINT_METRICS_OFF)
        PangoCairo.context_set_font_options(lay.get_context(), options)
        lay.get_context().set_language(Pango.Language.from_string(self.language))
        d = Pango.FontDescription.from_string(font)
        d.set_absolute_size(size * self.dpi * FINE / 72 * Pango.SCALE)
        lay.set_font_description(d)
        lay.set_text(s, -1)
        return lay

    def _pieces(self, lay, s, x, y, size):
        """Every line of a layout: (text, box in scan pixels). As wide as its ink, as high as tall letters and tails."""
        raw = s.encode()
        em = size * self.dpi * FINE / 72
        it = lay.get_iter()
        while True:
            line = it.get_line_readonly()
            text = raw[line.start_index:line.start_index + line.length].decode().strip()
            if text.endswith(SOFT):
                text = text[:-1] + "-"
            text = text.replace(SOFT, "").replace("\u00a0", " ")
            ink, _ = it.get_line_extents()
            if text:
                x0, base = x + ink.x / Pango.SCALE, y + it.get_baseline() / Pango.SCALE
                box = (x0, base - 0.74 * em, x0 + ink.width / Pango.SCALE, base + 0.24 * em)
                yield text, tuple(v / FINE for v in box)
            if not it.next_line():
                return

    def text(self, x, y, s, font, size, width=None, align="left", leading=1.2, justify=False, indent=0.0, ink=1.0):
        """Sets s at x, y (its top left; with align right or center, x is that edge) and gives the y below it."""
        lay = self._layout(s, font, size)
        lay.set_line_spacing(leading)
        if width:
            lay.set_width(int(width * self.mm * Pango.SCALE))
            lay.set_wrap(Pango.WrapMode.WORD)
            lay.set_justify(justify)
            lay.set_indent(int(indent * self.mm * Pango.SCALE))
            lay.set_alignment({"left": Pango.Alignment.LEFT, "right": Pango.Alignment.RIGHT,
                               "center": Pango.Alignment.CENTER}[align])
            left = x * self.mm
        else:
            w = lay.get_size()[0] / Pango.SCALE
            left = x * self.mm - {"left": 0, "right": w, "center": w / 2}[align]
        top = y * self.mm
        self.c.set_source_rgba(0, 0, 0, ink)
        self.c.move_to(left, top)
        PangoCairo.show_layout(self.c, lay)
        for piece, box in self._pieces(lay, s, left, top, size):
            self.lines.append((piece, [(box, piece)]))
        return y + lay.get_size()[1] / Pango.SCALE / self.mm

    def row(self, y, cells):
        """Pieces that share a printed line: (x, align, text, font, size), from left to right."""
        first = len(self.lines)
        bottom = max(self.text(x, y, s, font, size, align=align) for x, align, s, font, size in cells)
        parts = [p for _, pieces in self.lines[first:] for p in pieces]
        self.lines[first:] = [(" ".join(t for _, t in parts), parts)]
        return bottom

    def rule(self, x0, y0, x1, y1, width=0.25):
        self.c.set_source_rgba(0, 0, 0, 1)
        self.c.set_line_width(width * self.mm)
        self.c.move_to(x0 * self.mm, y0 * self.mm)
        self.c.line_to(x1 * self.mm, y1 * self.mm)
        self.c.stroke()

    def frame(self, x, y, w, h, width=0.25, fill=0.0):
        self.c.rectangle(x * self.mm, y * self.mm, w * self.mm, h * self.mm)
        if fill:
            self.c.set_source_rgba(0, 0, 0, fill)
            self.c.fill_preserve()
        self.c.set_source_rgba(0, 0, 0, 1)
        self.c.set_line_width(width * self.mm)
        self.c.stroke()

    def curve(self, points, width=0.35):
        self.c.set_source_rgba(0, 0, 0, 1)
        self.c.set_line_width(width * self.mm)
        self.c.new_path()
        for x, y in points:
            self.c.line_to(x * self.mm, y * self.mm)
        self.c.stroke()

    def ink(self):
        """[h, w], 0 paper to 1 ink, at the scan's resolution."""
        self.surface.flush()
        a = np.frombuffer(self.surface.get_data(), np.uint8).reshape(self.h, self.surface.get_stride())[:, :self.w]
        return a.reshape(self.h // FINE, FINE, self.w // FINE, FINE).mean((1, 3)) / 255


def blur(a, radius):
    if radius <= 0:
        return a
    n = int(math.ceil(3 * radius))
    k = np.exp(-0.5 * (np.arange(-n, n + 1) / radius) ** 2)
    k /= k.sum()
    for axis in (0, 1):
        pad = [(n, n) if d == axis else (0, 0) for d in (0, 1)]
        p = np.pad(a, pad, mode="edge")
        a = sum(w * (p[i:i + a.shape[0]] if axis == 0 else p[:, i:i + a.shape[1]]) for i, w in enumerate(k))
    return a


def clouds(rng, shape, cell):
    """Slow unevenness, about -1 to 1, that changes over `cell` pixels."""
    small = rng.standard_normal((max(2, shape[0] // cell + 2), max(2, shape[1] // cell + 2))).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.BICUBIC)) / 2


def age(ink, rng, paper=238, black=40, soft=0.6, wear=0.15, grain=3.0, stains=0, back=None, show=0.0, shade=0.0,
        gutter=0.0, folds=()):
    """Ink on paper after some years, as grey levels [h, w].

    soft: ink spread, px; wear: missing ink; grain: noise of paper and sensor; back: the ink of the other side, which
    shows through at `show`; shade: slow unevenness; gutter: how dark the left edge is; folds: heights (0..1) of creases.
    """
    h, w = ink.shape
    ink = blur(ink, soft)
    ink = np.clip(ink * (1 - wear * np.clip(0.5 + clouds(rng, ink.shape, 110), 0, 1.6) - wear * np.abs(clouds(rng, ink.shape, 3))), 0, 1)
    level = paper + shade * clouds(rng, ink.shape, 260) + 1.2 * clouds(rng, ink.shape, 5)
    for _ in range(stains):
        y, x, r = rng.uniform(0, h), rng.uniform(0, w), rng.uniform(30, 110)
        d = np.hypot(np.arange(h)[:, None] - y, np.arange(w)[None] - x) + 14 * clouds(rng, ink.shape, 40)
        level = level - rng.uniform(5, 12) / (1 + np.exp((d - r) / 5)) - rng.uniform(4, 9) * np.exp(-((d - r) / 4) ** 2)
    if back is not None:
        level = level - show * (paper - black) * blur(back[:, ::-1], 1.8)
    if gutter:
        level = level - gutter * np.exp(-np.arange(w) / (0.035 * w))[None]
    for f in folds:
        at = f * h + 2.5 * clouds(rng, (1, w), 120)[0]
        d = np.arange(h)[:, None] - at[None]
        level = level + 10 * np.exp(-((d - 1.2) / 1.3) ** 2) - 22 * np.exp(-((d + 1.2) / 1.3) ** 2)
        ink = ink * (1 - 0.5 * np.exp(-(d / 1.2) ** 2))
    grey = level * (1 - ink) + black * ink
    return grey + blur(rng.standard_normal(ink.shape), 0.5) * grain * 1.6


class Scan:
    """A grey page [h, w] on the scanner's bed, with its lines."""

    def __init__(self, grey, lines):
        self.image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
        self.lines = lines

    def _move(self, f):
        def box(b):
            p = [f(x, y) for x in (b[0], b[2]) for y in (b[1], b[3])]
            return (min(x for x, _ in p), min(y for _, y in p), max(x for x, _ in p), max(y for _, y in p))
        self.lines = [(t, [(box(b), s) for b, s in pieces]) for t, pieces in self.lines]

    def bed(self, left, top, right, bottom, level=38):
        w, h = self.image.size
        out = Image.new("L", (w + left + right, h + top + bottom), level)
        out.paste(self.image, (left, top))
        self.image = out
        self._move(lambda x, y: (x + left, y + top))
        return self

    def skew(self, degrees, fill):
        w, h = self.image.size
        a = math.radians(degrees)
        self.image = self.image.rotate(degrees, Image.BICUBIC, fillcolor=fill)
        cx, cy = w / 2, h / 2
        self._move(lambda x, y: (cx + (x - cx) * math.cos(a) + (y - cy) * math.sin(a),
                                 cy - (x - cx) * math.sin(a) + (y - cy) * math.cos(a)))
        return self

    def holes(self, places, radius, level=46):
        a = np.asarray(self.image).astype(float)
        yy, xx = np.mgrid[0:a.shape[0], 0:a.shape[1]]
        for x, y in places:
            d = np.hypot(yy - y, xx - x)
            k = np.clip(0.5 - (d - radius) / 3, 0, 1)
            a = a * (1 - k) + (level + 18 * np.exp(-((d - radius + 3) / 2) ** 2)) * k
        self.image = Image.fromarray(a.astype(np.uint8))
        return self

    def fax(self, rng, threshold=150):
        """Two levels, specks, and rows that the line ate."""
        a = np.asarray(self.image).astype(float) + 16 * rng.standard_normal(self.image.size[::-1])
        black = a < threshold
        specks = rng.random(black.shape) < 0.0006
        specks |= np.roll(specks, 1, 1) & (rng.random(black.shape) < 0.6)
        black |= specks
        black &= rng.random(black.shape) > 0.003
        for y in rng.integers(0, black.shape[0], 5):
            black[y] = black[y - 1]
            x = rng.integers(0, black.shape[1] // 2)
            black[y, x:x + rng.integers(40, 400)] = rng.random() < 0.5
        self.image = Image.fromarray(np.where(black, 0, 255).astype(np.uint8)).convert("1")
        return self
