"""Draws pages of text, ages them, and cuts them into views as the engine cuts real ones.

A page is a few lines of one face: prose, lists with leader dots, receipts, tables, labels. It is drawn
large, inked, brought to a scan's resolution, aged, its paper brought to white (whiten), and cut (cut)
at baselines and x-heights that are as wrong as a line finder's. The glyph positions are known all the
way: a view comes with its text and the column of every character's middle.
"""

import functools
import glob
import io
import math
import os
import random
import re
import unicodedata

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

VIEW_H, VIEW_W = 32, 256
X_HEIGHT, BASELINE = 11, 23
LONGEST = 38  # characters: more are not read from one view

# ---- what the engine does too (src/engine/lines.h; test/test_views.py compares) --------------------


def whiten(grey, k=8):
    """Paper to white: grey [h, w] uint8 divided by the bright level around each pixel."""
    im = Image.fromarray(grey)
    small = im.resize((max(1, im.width // k), max(1, im.height // k)), Image.BOX)
    small = small.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(4))
    level = np.asarray(small.resize(im.size, Image.BILINEAR), np.float32)
    return np.clip(grey * (255 / np.maximum(level, 40)), 0, 255).astype(np.uint8)


def strip(grey, x0, x1, base, height):
    """The line at view scale: [VIEW_H, n], and its left edge on the page. Outside of the page is white."""
    k = X_HEIGHT / height
    top, margin = base - BASELINE / k, int(6 / k) + 1
    left, right = max(0, x0 - margin), min(grey.shape[1], x1 + margin)
    n, shrink = max(8, int((right - left) * k)), max(1, int(1 / k))
    box = (left, top, right, top + VIEW_H / k)
    y0, y1 = max(0, int(top) - 2), int(top + VIEW_H / k) + 3
    part = Image.fromarray(np.ascontiguousarray(grey[y0:y1])) if y1 > 0 and y0 < len(grey) else Image.new("L", (grey.shape[1], 1), 255)
    box = (left, top - y0, right, top + VIEW_H / k - y0)
    im = part.transform((n * shrink, VIEW_H * shrink), Image.EXTENT, box, Image.BILINEAR, fillcolor=255)
    return np.asarray(im.resize((n, VIEW_H), Image.BOX) if shrink > 1 else im), left


def cut(grey, x0, x1, base, height, dark):
    """A line's views: [(view, page x of its first column, page x of its end), ...]

    At the widest gap that fits, late ones preferred; each starts 4 px before its first ink."""
    a, left = strip(grey, x0, x1, base, height)
    k, n = X_HEIGHT / height, a.shape[1]
    ink = (a <= max(dark, 140))[4:29].any(0)
    out, s = [], 0
    while True:
        first = np.flatnonzero(ink[s:])
        if not len(first):
            return out
        s = max(0, s + int(first[0]) - 4)
        e = n if n - s <= VIEW_W else end_of_view(ink, s, n)
        view = np.full((VIEW_H, VIEW_W), 255, np.uint8)
        view[:, :e - s] = a[:, s:e]
        out.append((view, left + s / k, left + e / k))
        s = e


def end_of_view(ink, s, n, most=VIEW_W):
    best, i = None, s + most // 3
    while i < s + most:
        if ink[i]:
            i += 1
            continue
        j = i
        while j < n and not ink[j]:
            j += 1
        worth = (min(j - i, 8) + (i - s) / most * 6, (i + min(j, s + most)) // 2)
        best = max(best, worth) if best else worth
        i = j
    return best[1] if best else s + most


def ink_end(view):
    """The column behind the last ink of [H, W]; 0 where there is none."""
    return int(np.flatnonzero((view < 255).any(0)).max(initial=-1)) + 1


def read_width(end, step):
    """How much is read of a view whose ink ends so, if it goes on so far: whole steps, one at least. A model's step is Sizes.step."""
    return -(-max(end, 1) // step) * step


def narrowed(views, step):
    """[B, H, W] -> as much of all as is read of the widest"""
    return views[:, :, :read_width(ink_end(views.min(0)), step)]


def alike(views, step, most):
    """A list of views -> (their numbers, [n, H, width]) of those that are read so far, at most so many at once"""
    widths = np.array([read_width(ink_end(v), step) for v in views])
    for width in np.unique(widths):
        same = np.flatnonzero(widths == width)
        for i in np.split(same, range(most, len(same), most)):
            yield i, np.stack([views[j][:, :width] for j in i])


def otsu(grey):
    """The threshold that parts the histogram best."""
    p = np.bincount(grey.ravel(), minlength=256) / grey.size
    w, m = p.cumsum(), (p * np.arange(256)).cumsum()
    return int(((m[-1] * w - m) ** 2 / (w * (1 - w) + 1e-9)).argmax())


# ---- faces -------------------------------------------------------------------------------------------

# Novelty, symbols, scripts nobody prints lines with, and faces whose glyphs are not what they say.
LEAVE_OUT = re.compile(
    r"Symbol|D050000|dingbat|math|Isabella|DancingScript|fifthhorseman|lmmi|lmsy|lmex|Dotted|Outline|Emoji|Futhark|"
    r"Klingon|HaSta|Keyboard|Vibes|Caliban|Mekanus.*Titling|Z003|Chorus|Romande.*(Script|Style)|Yanone.*Thin|"
    r"Solothurn|uralic|levien|Joscelyn|Blankenburg|fetteclassic|UNZ|cmex|cmsy|cmmi|msam|msbm|Bullets|Braille|Pro(saic|ciono).*Ornament", re.I)
# Families that no training sees: one or more of every kind.
HELD = re.compile(r"Prociono|Goudy|Berenis|Century Catalogue|Charis|Libris|Cantarell|Hermit|League Mono|Compagnon|"
                  r"Elstob|Agave|Carlito|Tlwg Typist|Fanwood|Open Sans", re.I)
MONO = re.compile(r"Mono|Courier|Typewriter|Typist|Tlwg ?Typo|OCR|3270|Cursor|Inconsolata|lmtt|Anonymous|Compagnon|Spleen|Px ", re.I)
OLD = re.compile(r"1743|Oldania|FELL|Fanwood|Lindenhill|Junicode|Cardo|Romande|Baskervald|Didot|Old ?Standard|"
                 r"EB ?Garamond|Mekanus|Tribun|IM_|Accanthis|Elstob|Goudy|Berenis|Catalogue|Caslon", re.I)
HAND = re.compile(r"Comic|Purisa|Dkg|hand|script|Breip", re.I)
SANS = re.compile(r"Sans|Lato|Roboto(?!.*Slab)|Gillius|Universalis|Switzera|Heros|Adventor|Karla|Manrope|Tuffy|Cabin|"
                  r"Carlito|Arimo|Gothic|Yanone|Biolinum|Libris|Cantarell|Solothurn", re.I)
SHARE = dict(serif=.34, sans=.21, mono=.19, old=.23, hand=.03)
WHAT = dict(prose=.335, list=.09, receipt=.11, table=.06, soup=.105, label=.075, typed=.08, early=.055, form=.04, entries=.05)
# Those that held-out lines are drawn with, for good, so that figures compare.
HELD_SHARE = dict(serif=.31, sans=.18, mono=.26, old=.22, hand=.03)
HELD_WHAT = dict(prose=.55, list=.12, receipt=.12, table=.07, soup=.05, label=.09)
HEAVY = re.compile(r"Bold|Black|Heavy|-[Bb]d|Demi", re.I)
TYPED = re.compile(r"Courier|Cursor|Typewriter|Typo|Nimbus ?Mono|FreeMono", re.I)  # thin beside a real ribbon's
# Faces that stand for a typewriter's, upright; faces whose small letters are capitals.
TYPEWRITER = re.compile(r"Courier Prime(?! *(Sans|Code))|GNUTypewriter|FreeMono|NimbusMono|texgyrecursor|TlwgTyp|"
                        r"lmmono(lt)?10-(regular|bold\.)|cmunt[bt]\.|Compagnon-(Roman|Medium)", re.I)
SLANTED = re.compile(r"Italic|Oblique|Slant|it\.", re.I)
SMALL_CAPS = re.compile(r"(mono|roman)caps|Small-?caps", re.I)
GRADES = "O OW UW EW N Q. A. B C D I II III IV V X x - – — 0 1 * Q A".split()  # what stands in a table's cells
FOREIGN, COARSE, AGAIN = .05, .1, .27  # parts of the pages; AGAIN: their views are damaged once more
SCRIPTS = {"абвгдежзийклмнопрстуфхцчшщыьюя": .42, "αβγδεζηθικλμνξοπρστυφχψως": .34, "אבגדהוזחטילמנסעפצקרשת": .08,
           "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ": .04, "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփք": .04,
           "กขคงจฉชซญดตถทธนบปผพฟมยรลวสหอ": .04, "कखगघचछजटठडतथदधनपफबमयरलवशसह": .04}
LATIN = "abcdefghijklmnopqrstuvwxyz"
LIKE_ELISIONS = "ďľťĽ"  # their caron is an apostrophe's shape
ELISIONS = "d l qu j n s c m t d l l L D".split()
JOINED = ("cœur sœur œuvre œuvres œil œufs bœuf mœurs nœuds vœux chœur manœuvre Œuvres Œdipe œconomie fœtus "
          "quæ hæc præsens æternæ sæculi musæ Cæsar Æneæ cæteris nævus ægre").split()
TRADES = ("fab. de fils, frères, fers et fonte, étoffes, fourrures, fleurs artif. fondeur, ferblantier, coiffeur, chauffage, "
          "confections, bijoutier, négoc. cirier, modes, papetier, tailleur, vins en gros, épicier, bois, draps, nég. en soieries, "
          "huile, toile, coffres-forts, officier, professeur, oil, self port. flowers, after life, fac-similé, affiches, soufflets").split()
# What a reader of Latin takes them for.
LOOKS = dict(zip("абвгдежзийклмнопрстуфхцчшщыьюяαβγδεζηθικλμνξοπρστυφχψως", "aoBrdexsuuknmHonpctyoxuywwbborabyoezneiklmvexnpotuoxwws"))
DOUBT = 0xE000  # added to a label's code: nothing is right here, the letter is only what might be said
LETTERS = "ABCXYZabcxyz0123456789.,;:-()"


class Face:
    """One font file, its characters and, by size, its loaded form."""

    def __init__(self, path, cover):
        self.path, self.cover, self.sizes, self.drawn = path, cover, {}, {}

    def at(self, height):
        """-> font whose small letters are about `height` px high, and their exact height"""
        if height not in self.sizes:
            probe = ImageFont.truetype(self.path, 100)
            x = max(10, -probe.getbbox("x", anchor="ls")[1])
            font = ImageFont.truetype(self.path, max(8, round(height * 100 / x)))
            self.sizes[height] = font, max(1, -font.getbbox("x", anchor="ls")[1]), max(1, -font.getbbox("H", anchor="ls")[1])
        return self.sizes[height]

    def has(self, c):
        """Covered, and not an empty glyph: some fonts say they have what they do not draw."""
        if c not in self.drawn:
            font = self.at(24)[0]
            self.drawn[c] = c == " " or (ord(c) in self.cover and font.getmask(c).getbbox() is not None)
        return self.drawn[c]


def kind_of(name, fixed):
    for kind, pattern in (("mono", MONO), ("hand", HAND), ("old", OLD), ("sans", SANS)):
        if pattern.search(name) or (kind == "mono" and fixed):
            return kind
    return "serif"


@functools.lru_cache
def families(folders):
    """{(kind, family): [Face, ...]} of every usable font file under some folders"""
    from fontTools.ttLib import TTFont
    out = {}
    for path in sorted(p for d in folders for p in glob.glob(os.path.join(d, "**", "*.[ot]tf"), recursive=True)):
        if LEAVE_OUT.search(os.path.basename(path)):
            continue
        try:
            font = TTFont(path, lazy=True, fontNumber=0)
            cover, names = font.getBestCmap() or {}, font["name"]
            family = names.getDebugName(16) or names.getDebugName(1) or os.path.basename(path)
            fixed = bool(font["post"].isFixedPitch)
        except Exception:  # whatever a broken font raises: it is left out
            continue
        if LEAVE_OUT.search(family) or not all(ord(c) in cover for c in LETTERS):
            continue
        key = kind_of(os.path.basename(path) + " " + family, fixed), family
        out.setdefault(key, []).append(Face(path, frozenset(cover)))
    return out


def faces(folders, held=False):
    """{kind: [[Face, ...] of a family, ...]}: those that training sees, or the others"""
    out = {}
    for (kind, family), members in sorted(families(tuple(folders)).items()):
        if bool(HELD.search(family)) == held:
            out.setdefault(kind, []).append(members)
    return out


# ---- text --------------------------------------------------------------------------------------------

MONTHS = ("January February March April May June July August September October November December janvier février "
          "mars avril Mai Juni Juli enero marzo luglio Dez. Okt.").split()
KEYS = ("No. Nr Nr. Invoice ID: Ref Tel: Fax # Total TOTAL Subtotal GST Qty Page p. Art. Date: DATE VAT MwSt. Summe "
        "Cash CASH Change Table Item Amount Tax Seite Fr. Mk. Pf. § Vol. Chap. fol.").split()
ALPHA = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789-/"


def digits(r, n):
    return "".join(r.choice("0123456789") for _ in range(n))


def amount(r):
    k = r.randrange(6)
    if k < 2:
        return f"{r.choice(['$', '€', '£', 'RM', 'EUR ', '', '', ''])}{r.randrange(0, 9999):,}.{digits(r, 2)}"
    if k == 2:
        return f"{r.randrange(0, 3000)},{digits(r, 2)}{r.choice(['', ' €', ' EUR', '-'])}"
    if k == 3:
        return f"{r.randrange(1, 400) * r.choice([1, 5, 10])}"
    if k == 4:
        return f"{r.uniform(-1000, 1000):,.{r.randrange(0, 4)}f}"
    return f"{r.randrange(1, 90)}.{digits(r, 2)}"


def number(r):
    d = digits
    k = r.randrange(13)
    if k == 0:
        return amount(r)
    if k == 1:
        s = r.choice("/.-")
        return f"{r.randrange(1, 32):02d}{s}{r.randrange(1, 13):02d}{s}{r.choice([str(r.randrange(1900, 2030)), d(r, 2)])}"
    if k == 2:
        return f"{r.randrange(1, 32)}{r.choice([' ', '. '])}{r.choice(MONTHS)} {r.randrange(1700, 2030)}"
    if k == 3:
        return f"+{d(r, 2)} {d(r, 3)} {d(r, 3)} {d(r, 4)}"
    if k == 4:
        return f"{r.choice(KEYS)} {d(r, r.randrange(1, 9))}"
    if k == 5:
        return f"{r.uniform(0, 100):.{r.randrange(0, 3)}f}%"
    if k == 6:
        return "".join(r.choice(ALPHA) for _ in range(r.randrange(4, 14)))
    if k == 7:
        return f"{r.randrange(0, 24):02d}:{d(r, 2)}" + r.choice(["", ":" + d(r, 2), " AM", " PM"])
    if k == 8:
        return f"{d(r, r.randrange(1, 4))} x {r.randrange(1, 500)}.{d(r, 2)}"
    if k == 9:
        word = "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randrange(3, 10)))
        return f"{r.choice(['www.', 'http://', 'info@', 'mail@'])}{word}.{r.choice(['com', 'org', 'de', 'fr', 'net'])}"
    if k == 10:
        return f"({d(r, r.randrange(1, 4))})" if r.random() < .5 else f"[{d(r, r.randrange(1, 3))}]"
    return d(r, r.randrange(1, 8))


class Text:
    """Words out of a folder of .txt files; a large file is not drawn from in proportion to its size."""

    def __init__(self, folder, chars):
        paths = sorted(glob.glob(os.path.join(folder, "*.txt")))
        parts = [open(p, encoding="utf-8", errors="replace").read() for p in paths]
        parts = [p.replace("--", "—" if i % 2 else "–") for i, p in enumerate(parts)]  # nothing prints two hyphens
        self.parts = [p for p in parts if len(p) > 1000]
        if not self.parts:
            raise SystemExit(f"no text of 1000 characters or more in {folder}: text.py makes some")
        self.sizes = [min(len(p), 4_000_000) ** .6 for p in self.parts]
        self.common = sorted(c for c in chars if c.isascii() and c != " ")
        self.rare = sorted(c for c in chars if not c.isascii())
        self.marked = {}  # letter -> those that are it with a mark
        for c in self.rare:
            letter, *marks = unicodedata.normalize("NFD", c)
            if marks and c not in LIKE_ELISIONS:
                self.marked.setdefault(letter, []).append(c)

    def words(self, r, n):
        """About n characters of running text as words."""
        part = r.choices(self.parts, self.sizes)[0]
        i = r.randrange(max(1, len(part) - n - 60))
        return part[part.find(" ", i) + 1:][:n].split() if i + n + 60 < len(part) else part[-n:].split()

    def soup(self, r, n):
        """Words of any characters, so that rare ones are met."""
        out = []
        while sum(map(len, out)) < n:
            out.append("".join(r.choice(self.rare if r.random() < .5 else self.common) for _ in range(r.randrange(1, 9))))
        return out

    def accented(self, r, words):
        """Some letters with a mark that the language does not put there: it is the mark that is to be read."""
        return ["".join(r.choice(self.marked[c]) if c in self.marked and r.random() < .25 else c for c in w) for w in words]

    def phrase(self, r, n):
        return " ".join(self.words(r, n + 12)[:-1]).strip(" ,;") or "and"


def dashed(r, words):
    """Some words joined or begun with a dash."""
    out = []
    for w in words:
        k = r.random()
        if k < .05 and out:
            out[-1] += r.choice("–—") + w
        else:
            out.append(r.choice(["–", "—", "-"]) + w if k < .09 else w)
    return out


def closed(words):
    """Commas and closing brackets that stand alone join the word before, an opening one the word after."""
    text = re.sub(r" (?=[,)](?: |$))", "", " ".join(words))
    return re.sub(r"(?<![^ ])\( ", "(", text).split()


def elided(r, words):
    """Some words that begin with a vowel have d', l', qu' and the like before them: no letter with a caron."""
    sign = r.choice("'’’")
    vowel = re.compile("[aeiouhàâéèêîôAEIOUÉ]")
    return [r.choice(ELISIONS) + sign + w if vowel.match(w) and r.random() < .4 else w for w in words]


def much_f(r, words, more):
    """Some words are others with an f, which worn type makes look like a long s."""
    with_f = [w for w in more if "f" in w]
    return [with_f.pop(r.randrange(len(with_f))) if with_f and r.random() < .5 else w for w in words]


def pointed(r, words):
    """Some words end in the other of comma and stop: what stands there is to be seen, not guessed."""
    other = {",": ".", ".": ","}
    return [w[:-1] + other[w[-1]] if w[-1] in other and w[-2:-1].isalnum() and r.random() < .4 else w for w in words]


def joined(r, words):
    """Some words are others with joined letters: what looks like two is one character."""
    return [r.choice(JOINED) if r.random() < .15 else w for w in words]


def entry(r, phrase):
    """One of a directory's or a catalogue's -> its parts, as words: name, what it says of it, where"""
    name = phrase(r.randrange(4, 14)).title().split()[:2]
    if r.random() < .3:
        name = [w.upper() for w in name]
    if r.random() < .55:
        name += f"({r.choice([phrase(9).title(), 'Mme', 'Vve', 'Mlle', 'J.-B.', 'aîné'])})".split()
    k = r.randrange(len(TRADES))
    said = (TRADES[k:k + r.randrange(1, 5)] if r.random() < .6 else phrase(r.randrange(5, 25)).split())
    where = phrase(r.randrange(4, 16)).title().split()
    if r.random() < .4:
        where = ["-".join(where)]
    where[-1] += ","
    name[-1], said[-1] = name[-1] + ",", said[-1].rstrip(".,;:") + ","
    number = f"{r.randrange(1, 400)}" + (f" et {r.randrange(1, 99)}" if r.random() < .06 else "")
    return name, said, where + (number + r.choice([".", ".", ".", "", ";"])).split()


def shortened(text, centres):
    """A line that is longer than what is read from a view, by its leader dots: as many of them as fit."""
    runs = [m.span() for m in re.finditer(r"([-._])\1{9,}|([-._]) (?:\2 ){5,}", text)]
    a, b = max(runs, key=lambda m: m[1] - m[0], default=(0, 0))
    excess = len(text) - LONGEST
    excess += excess % 2
    if b - a < excess + 8:
        return text, centres
    kept = [i for i in range(len(text)) if not b - excess <= i < b]
    return "".join(text[i] for i in kept), centres[kept]


def hyphenated(r, word):
    """A word that goes on in the next line -> what stands in this one, and the rest."""
    if len(word) < 6 or not word.isalpha():
        return None
    k = r.randrange(2, len(word) - 2)
    return word[:k] + "-", word[k:]


def long_s(text):
    return re.sub(r"s(?=[A-Za-zÀ-ÿ])", "ſ", text)


def looks_like(r, c):
    """The label of a letter that cannot be read."""
    look = LOOKS.get(c.lower(), "") if r.random() < .7 else ""
    return chr(DOUBT + ord(look or r.choice(LATIN)))


def doubtful(text):
    """-> the text as it might be read, and which of its characters nothing is known of"""
    codes = [ord(c) for c in text]
    unknown = [DOUBT <= c < DOUBT + 256 for c in codes]
    return "".join(chr(c - DOUBT * u) for c, u in zip(codes, unknown)), unknown


def typewritten(r, words):
    """Only what a typewriter has: straight quotes, hyphens for dashes."""
    dash = r.choice(["-", "--", "--"])
    even = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": dash, "—": dash, "…": "..."})
    return [w.translate(even) for w in words]


def early_spelling(r):
    """-> how one early printer spells: a function of a word. What is seen is the text."""
    v_first, i_for_j, final_e, ampersand, strokes = (r.random() < p for p in (.35, .3, .3, .4, .2))
    over = r.choice(["āēōū", "ãēõū"])

    def spell(word):
        if v_first:
            word = re.sub(r"(?<=\w)v", "u", re.sub(r"\bu(?=\w)", "v", word))
        if i_for_j:
            word = re.sub(r"j", "i", re.sub(r"J(?=\w)", "I", word))
        if ampersand and word.lower() in ("and", "et", "und", "y", "e"):
            word = "&"
        if final_e and len(word) > 3 and word.isalpha() and word.islower() and r.random() < .2:
            word = word[:-1] + "ie" if word.endswith("y") else word + "e" * (word[-1] in "kndtlp")
        if strokes:
            word = re.sub(r"([aeou])[mn](?=[bcdfgmnpqt])", lambda m: over["aeou".index(m[1])] if r.random() < .4 else m[0], word)
        return word

    return spell


# ---- pages -------------------------------------------------------------------------------------------


class Chars:
    """The characters of a page, growing: label, x of the middle, line number; in ink pixels."""

    def __init__(self):
        self.label, self.x, self.line = [], [], []

    def add(self, label, x, line):
        self.label.append(label)
        self.x.append(x)
        self.line.append(line)


def capital(c):
    """A small letter's capital, where there is one and it is this letter's alone: that of the micro sign is Greek."""
    up = c.upper()
    return up if up.lower() == c and len(up) == 1 else c


class Pen:
    """Draws words on an ink page [h, w], white on black, and notes where the characters are.

    What lays ink is in begin() to frame(), and strike() of a typewriter: compose.py only notes there what is to be laid."""

    def __init__(self, r, size, face, height):
        self.r, self.face, self.chars = r, face, Chars()
        self.begin(size, height)
        self.track = self.shake = self.wave = 0.0
        self.airy = 0.0  # before a comma, inside brackets: white that is no space
        self.tight = 0.0  # by which an apostrophe is nearer to the letter before it
        self.behind = 1.0  # a comma or a stop: the part of a space that stands there
        self.blunt = 0, 0  # to the right and down, where a stop's ink goes on
        self.second, self.turned = None, False  # a pen of another face, for runs of words
        self.long_s, self.features, self.small = False, None, None
        self.capitals = SMALL_CAPS.search(face.path) is not None

    def begin(self, size, height):
        self.font, self.x_height, self.cap = self.face.at(height)
        self.image = Image.new("L", size, 0)
        self.draw = ImageDraw.Draw(self.image)

    def beside(self, pen):
        """Another pen's page is this one's too."""
        self.image, self.draw, self.chars = pen.image, pen.draw, pen.chars
        return self

    def now(self, word):
        """The pen for the next word."""
        if self.second and self.r.random() < .25:
            self.turned = not self.turned
        return self.second if self.turned and all(map(self.second.face.has, word)) else self

    def put(self, shown, x, y):
        """A word as its face sets it, from x on at baseline y; -> where its characters end, counted from x, after a 0."""
        self.draw.text((x, y), shown, font=self.font, fill=255, anchor="ls", features=self.features)
        return [self.font.getlength(shown[:i], features=self.features) for i in range(len(shown) + 1)]

    def letter(self, c, at, font, fill=255):
        self.draw.text(at, c, font=font, fill=fill, anchor="ls")

    def rule(self, ends, fill, thick):
        self.draw.line(ends, fill, thick)

    def dot(self, box):
        self.draw.ellipse(box, 255)

    def frame(self, box, fill, thick):
        self.draw.rectangle(box, None, fill, thick)

    def length(self, word):
        return self.font.getlength(word) + self.track * len(word)

    def label(self, c):
        """What the eye sees: small capitals are capitals."""
        return capital(c) if self.capitals or self.small else c

    def small_capitals(self, part):
        """Small letters are drawn as capitals of `part` of their height from now on."""
        self.small = self.font.font_variant(size=max(6, round(self.font.size * part)))

    def word(self, word, x, y, line):
        """Writes at pen x, baseline y; -> pen x after it."""
        white, parts = self.airy, [word]
        if self.airy:
            parts = [part for part in re.match(r"(\(?)(.*?)([,)]?)$", word).groups() if part]
        elif self.tight:
            white, parts = -self.tight, re.split(r"(?<=.)(?=['’])", word)
        for i, part in enumerate(parts):
            x = self._word(part, x + (white if i else 0), y, line)
        return x

    def _word(self, word, x, y, line):
        shown = long_s(word) if self.long_s else word
        if self.wave:
            y += self.wave * self.x_height * (math.sin(x / 90) + self.r.gauss(0, .5))
        if self.track or self.shake or self.small:
            return self._letters(word, shown, x, y, line)
        ends = self.put(shown, x, y)
        for c, a, b in zip(word, ends, ends[1:]):
            self.chars.add(self.label(c), x + (a + b) / 2, line)
            if c == "." and any(self.blunt):
                self.letter(c, (x + a + self.blunt[0], y + self.blunt[1]), self.font)
        return x + ends[-1]

    def _letters(self, word, shown, x, y, line):
        r, s = self.r, self.shake * self.x_height
        for c, d in zip(word, shown):
            font = self.font
            if self.small and capital(c) != c:
                font, d = self.small, capital(c)
            w = font.getlength(d)
            at = (x + r.gauss(0, s), y + r.gauss(0, s * 1.3)) if s else (x, y)
            fill = 255 if not s else min(255, int(r.gauss(235, 35)))
            self.letter(d, at, font, max(110, fill))
            self.chars.add(self.label(c), x + w / 2, line)
            x += w + self.track
        return x

    def raised(self, mark, known, x, y, line):
        """A note's mark; of figures the raised characters where the vocabulary has them."""
        font = self.font.font_variant(size=max(6, round(self.font.size * self.r.uniform(.55, .68))))
        for c in mark:
            w, up = font.getlength(c), {"1": "¹", "2": "²", "3": "³"}.get(c, c)
            self.letter(c, (x, y - self.x_height * .75), font)
            self.chars.add(up if up in known else c, x + w / 2, line)
            x += w
        return x

    def space(self, x, width, line):
        self.chars.add(" ", x + width / 2, line)
        return x + width


class Typewriter(Pen):
    """One pitch; every key has its faults for a whole page, every strike its own force."""

    def __init__(self, r, size, face, height):
        super().__init__(r, size, face, height)
        self.pitch = self.font.getlength("n") * min(1.12, max(.9, r.gauss(1, .04)))
        self.keys, self.instead = {}, {}
        self.worn = r.choice([.3, .7, 1, 1.4])
        self.shift = r.gauss(0, .04) * self.worn * self.x_height  # capitals stand high or low
        self.clogged = r.random() < .55
        self.spread = r.choice([0, 3, 3, 3, 5, 5, 5, 7]) if not HEAVY.search(face.path) else r.choice([0, 0, 3])
        self.heavy_points = r.choice([3, 5, 5, 7]) if r.random() < .35 else 0  # points strike through the paper
        self.doubled = r.uniform(.005, .04) if r.random() < .2 else 0
        self.ribbon = r.uniform(.2, 1.5), r.uniform(0, .25), r.uniform(0, 6)  # bands of weak ink along the line
        self.underlines = r.uniform(.02, .2) if r.random() < .3 else 0
        if r.random() < .4:
            self.instead["1"] = "l"
        if r.random() < .12:
            self.instead["0"] = "O"

    def length(self, word):
        return self.pitch * len(word)

    def key(self, c):
        """A type as it prints on this page: its picture, where it stands, its force."""
        if c not in self.keys:
            r, x = self.r, self.x_height
            tile = Image.new("L", (int(self.pitch + 1.4 * x), int(3.4 * x)), 0)
            ImageDraw.Draw(tile).text((tile.width / 2, 2.2 * x), c, font=self.font, fill=255, anchor="ms")
            if self.spread:
                tile = tile.filter(ImageFilter.MaxFilter(self.spread))
            if self.heavy_points and c in ".,:;'\"-" and r.random() < .7:
                tile = tile.filter(ImageFilter.MaxFilter(self.heavy_points))
            if self.clogged and c in "aegosbdpqcmn&8B6R04@" and r.random() < .55:
                n = r.choice([5, 7, 7, 9])
                shut = tile.filter(ImageFilter.MaxFilter(n)).filter(ImageFilter.MinFilter(n))
                tile = Image.blend(tile, ImageChops.lighter(tile, shut), r.uniform(.3, 1))
            if r.random() < .13 * self.worn:  # the type does not strike squarely
                weak, ramp = r.uniform(.2, .8), np.linspace(0, 1, 25, dtype=np.float32)
                h = np.interp(np.arange(tile.height), np.linspace(.7 * x, 2.3 * x, 25), ramp)
                w = np.interp(np.arange(tile.width), np.linspace(.7 * x, tile.width - .7 * x, 25), ramp)
                side = [h[:, None], 1 - h[:, None], w[None], 1 - w[None]][r.randrange(4)]
                tile = Image.fromarray((np.asarray(tile) * (weak + (1 - weak) * side)).astype(np.uint8))
            up = self.shift if c.isupper() else 0
            self.keys[c] = (tile, r.gauss(0, .03) * self.worn * x, up + r.gauss(0, .03) * self.worn * x,
                            min(1.0, r.gauss(.97, .07 * self.worn)))
        return self.keys[c]

    def strike(self, c, x, y, force=1.0):
        r = self.r
        tile, dx, dy, strong = self.key(c)
        turns, depth, start = self.ribbon
        strong *= force * (1 + r.gauss(0, .06) * self.worn) * (1 - depth * (1 + math.sin(start + turns * x / self.x_height)) / 2)
        if strong < 1:
            tile = tile.point([int(v * max(.3, strong)) for v in range(256)])
        at = round(x + dx + (self.pitch - tile.width) / 2), round(y + dy + r.gauss(0, .012) * self.x_height - 2.2 * self.x_height)
        box = (*at, at[0] + tile.width, at[1] + tile.height)
        self.image.paste(ImageChops.lighter(self.image.crop(box), tile), box)

    def word(self, word, x, y, line):
        r, under = self.r, self.underlines and self.r.random() < self.underlines
        for c in word:
            shown = self.instead.get(c, c)
            self.strike(shown, x, y)
            if self.doubled and r.random() < self.doubled:
                self.strike(shown, x + r.gauss(0, .15) * self.pitch, y + r.gauss(0, .08) * self.x_height, r.uniform(.35, .8))
            if under:
                self.strike("_", x, y)
            self.chars.add(c, x + self.pitch / 2, line)
            x += self.pitch
        return x


class Source:
    """Views for training: chunk(j, n) is the same for the same seed, j and n, wherever it runs.

    What draws them is in pen(), scan() and stack(), which compose.py replaces."""

    ink_heights = 18, 20, 22, 25

    def pen(self, typed, *how):
        return (Typewriter if typed else Pen)(*how)

    def scan(self, *how):
        return Scan(*how)

    def __init__(self, text, fonts, chars, seed=1, held=False, finder=None, found=0.0, only=None):
        """finder: a found.Finder that cuts the part `found` of the pages; only: one kind of page, of WHAT, or unreadable."""
        self.finder, self.found, self.only, self.scripts = finder, found, only, {}
        self.faces, self.text = faces(fonts, held), Text(text, chars)
        self.chars, self.seed, self.held = chars, seed, held
        self.new = not held or only  # else the held-out lines, which stay as they were, so that figures compare
        self.kinds = [k for k in SHARE if k in self.faces]
        if not self.kinds:
            raise SystemExit(f"no usable font in {', '.join(fonts)}: fonts.txt lists Debian packages")
        typed = [[f for f in family if TYPEWRITER.search(os.path.basename(f.path)) and not SLANTED.search(f.path)]
                 for family in self.faces.get("mono", [])]
        self.typewriters = [family for family in typed if family]

    end = staticmethod(ink_end)  # of a row's view

    @staticmethod
    def stack(views, key, width):
        """Views of rows as a batch that train.py takes, as much of them as is read; key: what no other batch has."""
        return np.stack(views)[:, :, :width]

    def chunk(self, j, n):
        key = f"{self.seed}/{'held' if self.held else 'seen'}/{j}"
        r, rng, rows = random.Random(key), np.random.default_rng(list(key.encode())), []
        while len(rows) < n:
            try:
                rows += self.page(r, rng)
            except (OSError, ValueError):  # FreeType refuses a glyph: another page
                continue
        r.shuffle(rows)
        return rows[:n]

    # -- what stands on the page

    def page(self, r, rng):
        new = self.new
        kinds, share = (WHAT, list(WHAT.values())) if new else (HELD_WHAT, list(HELD_WHAT.values()))
        what = self.only or r.choices(list(kinds), share)[0]
        # The held-out lines have none of these, so that figures of different times compare.
        foreign, coarse = (what == "unreadable", False) if not new or self.only else (r.random() < FOREIGN, r.random() < COARSE)
        again = new and not foreign and r.random() < AGAIN
        if foreign:
            what = "unreadable"
        kind, face, script = self.choose(r, what, new)
        if face is None:
            return []
        ink_height = r.choice(self.ink_heights)
        views = r.choice([1, 2, 2.5, 3, 3.6])
        width = int(views * VIEW_W / X_HEIGHT * ink_height)
        rows = r.randrange(3, 8) if what != "label" else r.randrange(1, 4)
        pitch = ink_height * r.choice([r.uniform(1.9, 2.4), r.uniform(2.2, 3.2), r.uniform(2.5, 4.2)])
        margin = 2 * ink_height
        size = int(width * 1.06 + 2 * margin), int(rows * pitch + 2 * margin + ink_height)
        pen = self.pen(what == "typed", r, size, face, ink_height)
        if kind == "mono" and r.random() < .55:
            pen.shake = abs(r.gauss(0, .035))
        elif r.random() < .12:
            pen.shake = abs(r.gauss(0, .02))
        if r.random() < .08:
            pen.track = r.choice([abs(r.gauss(0, .35)), r.gauss(0, .05)]) * pen.x_height
        pen.long_s = kind in ("old", "serif") and face.has("ſ") and r.random() < (.22 if kind == "old" else .04) * (.35 if new else 1)
        case = r.choices([None, str.upper, str.title], [.88, .09, .03])[0]
        if what == "receipt" and r.random() < .6:
            case = str.upper
        if new and r.random() < (.45 if what == "early" else {"old": .2, "serif": .08}.get(kind, 0)):
            pen.airy = r.uniform(.2, .6) * pen.x_height
        elif new and r.random() < .2:
            pen.tight = r.uniform(0, .16) * pen.x_height
        if new and r.random() < (.4 if what == "early" else .1 if kind == "old" else 0):
            pen.behind = r.uniform(.3, 1)
        if new and r.random() < .15:
            pen.blunt = r.uniform(-.05, .08) * pen.x_height, r.uniform(-.08, .16) * pen.x_height
        if new and what in ("prose", "label") and r.random() < .03:
            pen.small_capitals(r.uniform(.72, .85))
        bases = [margin + 1.6 * ink_height + i * pitch for i in range(rows)]
        if script:
            self.unreadable(pen, r, margin, width, bases, script)
        else:
            getattr(self, what)(pen, r, margin, width, bases, case)
        if not pen.chars.label:
            return []
        scan = self.scan(r, rng, pen, kind, bases, what)
        scan.coarse, scan.new, scan.again = coarse, new, again
        return scan.found(self.finder) if self.finder and r.random() < self.found else scan.views()

    def choose(self, r, what, new):
        """-> kind, face and, of a page that cannot be read, the letters of its script"""
        if what == "unreadable":
            script = r.choices(list(SCRIPTS), list(SCRIPTS.values()))[0]
            kind, face = r.choice(self.writing(script) or [("", None)])
            return kind, face if face and all(map(face.has, script)) else None, script
        if what == "typed" and self.typewriters:
            return "mono", r.choice(r.choice(self.typewriters)), None
        kinds, share = self.kinds, [(SHARE if new else HELD_SHARE)[k] for k in self.kinds]
        if what in ("receipt", "table") and "mono" in kinds:
            share = [w * {"mono": 5, "sans": 2}.get(k, .3) for k, w in zip(kinds, share)]
        if what == "entries":
            share = [w * {"old": 6, "serif": 1, "sans": .3}.get(k, 0) for k, w in zip(kinds, share)]
        if not any(share):
            share = [1] * len(kinds)
        kind = "old" if what == "early" and "old" in kinds else r.choices(kinds, share)[0]
        return kind, r.choice(r.choice(self.faces[kind])), None

    def writing(self, script):
        """[(kind, face), ...] that have all letters of a script"""
        if script not in self.scripts:
            self.scripts[script] = [(k, f) for k, families in self.faces.items() for family in families for f in family
                                    if all(ord(c) in f.cover for c in script)]
        return self.scripts[script]

    def fit(self, word, face, case):
        """What of a word this face and this vocabulary can show."""
        word = word if self.held else word.strip("_")  # underlined, in plain text
        word = case(word) if case else word
        return "".join(c for c in word if c in self.chars and c != " " and face.has(c))

    def write(self, pen, words, x, y, line, space):
        words = [w for w in words if w]  # a face may have nothing of one
        for i, w in enumerate(words):
            if i:
                x = pen.space(x, space * (pen.behind if words[i - 1][-1] in ",.;:" else 1), line)
            x = pen.now(w).word(w, x, y, line)
        return x

    def second(self, pen, r):
        """A pen on the same page whose face is slanted where this one's is upright, and upright where it is slanted: of the
        same family, or of another; this pen where there is none."""
        slanted = not SLANTED.search(pen.face.path)
        family = [f for families in self.faces.values() for family in families if pen.face in family for f in family]
        fit = [f for f in family if bool(SLANTED.search(f.path)) == slanted]
        if not fit:
            fit = [f for family in self.faces.get("old", []) for f in family if bool(SLANTED.search(f.path)) == slanted]
        if not fit:
            return pen
        other = self.pen(False, r, (8, 8), r.choice(fit), pen.x_height).beside(pen)
        other.airy, other.tight, other.shake, other.wave = pen.airy, pen.tight, pen.shake, pen.wave
        return other

    def prose(self, pen, r, left, width, bases, case, soup=False, spell=None):
        space = max(2, pen.font.getlength(" ") + pen.track)
        narrow = self.new and r.random() < (.5 if spell else .14)
        if narrow:
            space *= r.uniform(.4 if spell else .55, 1)
        want = int(len(bases) * width / max(1, pen.length("n"))) + 20
        words = self.text.soup(r, want) if soup else self.text.words(r, want)
        if self.new and not soup:
            words = closed(words)
            if r.random() < .12:
                words = elided(r, words)
                if r.random() < .5:
                    pen.tight, pen.airy = r.uniform(0, .2) * pen.x_height, 0
            if r.random() < (.25 if SLANTED.search(pen.face.path) else .08):
                words = much_f(r, words, self.text.words(r, 6 * want))
            if r.random() < .04:
                words = pointed(r, words)
            if r.random() < .05:
                words = joined(r, words)
            if r.random() < .06:
                pen.second = self.second(pen, r)
        if not soup and r.random() < .3:
            words = [number(r) if r.random() < .12 else w for w in words]
        if not soup and r.random() < .25:
            words = dashed(r, words)
        if self.new and not soup and not spell and r.random() < .07:
            words = self.text.accented(r, words)
        words = [w for w in (self.fit(spell(w) if spell else w, pen.face, case) for w in words) if w][::-1]
        notes = self.new and not soup and r.random() < .04
        justified, hyphens, lone = r.random() < .6, r.random() < .6, r.random() < .04
        for line, y in enumerate(bases):
            x, row, used = left + (r.randrange(0, 3) * pen.x_height if r.random() < .2 else 0), [], 0.0
            up = str.upper if lone and line == 0 else None
            while words:
                w = self.fit(words[-1], pen.face, up) if up else words[-1]
                n = pen.length(w) + (space if row else 0)
                if x + used + n > left + width:
                    cut_word = hyphenated(r, words[-1]) if hyphens and row and r.random() < .7 else None
                    if cut_word and x + used + space + pen.length(cut_word[0]) <= left + width:
                        words[-1] = cut_word[1]
                        row.append(cut_word[0])
                        used += space + pen.length(cut_word[0])
                    elif not row:
                        words.pop()
                    break
                row.append(w)
                used += n
                words.pop()
            gap = space
            if justified and len(row) > 2:
                gap += min(space * (.3 if narrow else 1.5), max(0, left + width - x - used) / (len(row) - 1))
            if notes and row:
                k = r.randrange(1, len(row) + 1)
                x = self.write(pen, row[:k], x, y, line, gap)
                mark = r.choice([digits(r, 1), digits(r, 1), str(r.randrange(10, 100)), "*", "†", "(1)"[:r.choice([2, 3])]])
                x = pen.raised(self.fit(mark, pen.face, None), self.chars, x, y, line)
                if row[k:]:
                    self.write(pen, row[k:], pen.space(x, gap, line), y, line, gap)
                continue
            self.write(pen, row, x, y, line, gap)

    def entries(self, pen, r, left, width, bases, case):
        """A directory or a catalogue: name, trade or title in a face of its own, street and number, one after the other."""
        pen.long_s, other = False, self.second(pen, r)
        pens = r.choice([(pen, other, pen), (other, pen, pen), (pen, other, other)])
        space, more, row = max(2, pen.font.getlength(" ")), r.randrange(0, 3) * pen.x_height, []
        if r.random() < .3:
            space *= r.uniform(.6, 1)
        for line, y in enumerate(bases):
            x, end = left + (more if row else 0), left + width
            while True:
                if not row:
                    row = [(p, w) for p, part in zip(pens, entry(r, lambda n: self.text.phrase(r, n))) for w in part]
                p, w = row[0]
                w = self.fit(w, p.face, case)
                gap = space if x > left + more else 0
                if gap and x + gap + p.length(w) > end:
                    break
                row.pop(0)
                if w:
                    x = p.word(w, pen.space(x, gap, line) if gap else x, y, line)
                if not row:
                    break

    def typed(self, pen, r, left, width, bases, case):
        """Letters, lists and tables from a typewriter: one pitch, ragged lines, two spaces after a stop."""
        k = r.random()
        if k < .3:
            return getattr(self, r.choice(["list", "table", "label", "receipt"]))(pen, r, left, width, bases, case)
        most, wide = int(width / pen.pitch), r.random() < .5
        words = typewritten(r, self.text.words(r, len(bases) * most + 20))
        if r.random() < .4:
            words = [number(r) if r.random() < .12 else w for w in words]
        words = [w for w in (self.fit(w, pen.face, case) for w in " ".join(words).split()) if w][::-1]
        for line, y in enumerate(bases):
            x = left + pen.pitch * (r.randrange(3, 9) if r.random() < .15 else 0)
            start = x
            while words and x + pen.pitch * (len(words[-1]) + 2) <= left + width:
                if x > start:
                    x = pen.space(x, pen.pitch * (2 if wide and pen.chars.label[-1] in ".:?!" else 1), line)
                x = pen.word(words.pop(), x, y, line)
            if x == start and words:
                words.pop()

    def early(self, pen, r, left, width, bases, case):
        """Hand-set old type: long s, ligatures, old spelling, lines that wave."""
        pen.long_s = pen.face.has("ſ") and r.random() < .7
        pen.features = r.choice([None, ["dlig"], ["dlig", "hlig"]])
        pen.wave = abs(r.gauss(0, .03)) if r.random() < .6 else 0
        if r.random() < .5:
            pen.shake = 0
        elif r.random() < .5:
            pen.shake = abs(r.gauss(0, .035))
        self.prose(pen, r, left, width, bases, case, spell=early_spelling(r))

    def form(self, pen, r, left, width, bases, case):
        """Captions and, on rules, on dots, in boxes or in combs, what was filled in."""
        own = r.random() < .65 and self.typewriters
        entry = self.pen(True, r, (8, 8), r.choice(r.choice(self.typewriters)), round(pen.x_height * r.uniform(.85, 1.15))).beside(pen) if own else pen
        space, x_height, end = max(2, pen.font.getlength(" ")), pen.x_height, left + width
        thick, dip, kinds = r.randrange(1, 4), r.uniform(0, .25) if r.random() < .6 else r.uniform(.2, .6), r.sample(range(4), 2)
        for line, y in enumerate(bases):
            caption = [w for w in (self.fit(w, pen.face, None) for w in (r.choice(KEYS) if r.random() < .5 else self.text.phrase(r, r.randrange(4, 16))).split()) if w]
            if r.random() < .6 and caption:
                caption[-1] = caption[-1].rstrip(".:") + ":"
            x = left if r.random() < .25 else self.write(pen, caption, left, y, line, space)
            at = x + space * r.uniform(.6, 3) if x > left else left
            kind, rule = r.choice(kinds), y + dip * x_height
            said = (number(r) if r.random() < .5 else self.text.phrase(r, r.randrange(3, 24))).split()
            up = str.upper if kind == 3 or r.random() < .4 else None
            said = [w for w in (self.fit(w, entry.face, up) for w in typewritten(r, said)) if w]
            if kind == 3:
                said = ["".join(said)]
                cell = max(entry.length("0"), entry.length("M") * .85) + x_height * r.uniform(.1, .6)
                n = min(len(said[0]), int((end - at) / cell))
                top, full = rule - x_height * r.uniform(.4, 2), r.random() < .4
                if n > 0:
                    if x > left:
                        pen.space(x, at - x, line)
                    for i in range(n + 1):
                        pen.rule([(at + i * cell, top), (at + i * cell, rule)], 230, thick)
                    for h in (rule, top)[:1 + full]:
                        pen.rule([(at, h), (at + n * cell, h)], 230, thick)
                    for i, c in enumerate(said[0][:n]):
                        entry.word(c, at + i * cell + (cell - entry.length(c)) / 2, y, line)
                continue
            if kind == 0:
                pen.rule([(at - space / 2, rule), (end, rule + r.gauss(0, .5))], r.randrange(150, 256), thick)
            elif kind == 1:
                for k in range(int((end - at) / (x_height * .45))):
                    pen.dot([at + k * x_height * .45, rule - thick, at + k * x_height * .45 + thick, rule])
            else:
                pen.frame([left - x_height * .6, y - x_height * r.uniform(1.8, 2.4), end + x_height * .4, rule + x_height * .3], 220, thick)
            while said and at + sum(map(entry.length, said)) + space * len(said) > end:
                said.pop()
            if said:
                if x > left:
                    pen.space(x, at - x, line)
                self.write(entry, said, at, y + r.gauss(0, .05) * x_height, line, max(space, entry.font.getlength(" ")))

    def soup(self, pen, r, left, width, bases, case):
        self.prose(pen, r, left, width, bases, case if r.random() < .3 else None, soup=True)

    def unreadable(self, pen, r, left, width, bases, script):
        """Words of another script. Nothing right can be said of them: their labels are marked (DOUBT), what they say is only
        what a reader of Latin might have taken the letters before for."""
        space = max(2, pen.font.getlength(" "))
        for line, y in enumerate(bases):
            x, end = left, left + width * r.uniform(.3, 1)
            while x < end:
                word = "".join(r.choices(script, k=r.randrange(2, 9)))
                x = pen.space(pen.word(word.capitalize() if r.random() < .1 else word, x, y, line), space, line)
        pen.chars.label = [c if c == " " else looks_like(r, c) for c in pen.chars.label]

    def list(self, pen, r, left, width, bases, case):
        """Names or phrases, leader dots or nothing, a number at the right."""
        space, dots = max(2, pen.font.getlength(" ")), r.choice([None, None, ".", ". "])
        if self.new and r.random() < .12:
            dots = r.choice(["-", "_", "- "])
        numbered = r.random() < .4
        dashed_prices = self.new and r.random() < .08
        apart = r.uniform(0, .8) * pen.x_height if self.new and dots == "." and r.random() < .5 else 0
        for line, y in enumerate(bases):
            right = self.fit(amount(r) if r.random() < .7 else digits(r, r.randrange(1, 4)), pen.face, None)
            if dashed_prices:
                right = self.fit(f"{r.randrange(1, 900)}{r.choice('.,')}{r.choice('—–-')}", pen.face, None)
            end = left + width - pen.length(right)
            row = ([f"{r.randrange(1, 400)}."] if numbered else []) + self.text.phrase(r, r.randrange(5, 40)).split()
            row = [w for w in (self.fit(w, pen.face, case) for w in row) if w]
            while row and left + sum(map(pen.length, row)) + space * len(row) > end - 2 * space:
                row.pop()
            x = self.write(pen, row, left, y, line, space)
            dot = dots and dots[0]
            if dot and row and pen.face.has(dot):
                step = pen.length(dot) + (space if " " in dots else apart)
                n = int((end - x - 2 * space) / step)
                if 0 < n < 90:
                    x = pen.space(x, space, line)
                    track, pen.track = pen.track, pen.track + apart
                    x = self.write(pen, [dot] * n, x, y, line, space) if " " in dots else pen.word(dot * n, x, y, line)
                    pen.track = track
            if right:
                pen.space(x, max(1, end - x), line)
                pen.word(right, end, y, line)

    def receipt(self, pen, r, left, width, bases, case):
        space = max(2, pen.font.getlength(" "))
        for line, y in enumerate(bases):
            k = r.random()
            if k < .5:
                row = ([str(r.randrange(1, 30))] if r.random() < .5 else []) + self.text.phrase(r, r.randrange(4, 18)).split()
                tail = amount(r)
            elif k < .75:
                row, tail = f"{r.choice(KEYS)} {r.choice([':', ''])} {number(r)}".split(), ""
            else:
                row, tail = self.text.phrase(r, r.randrange(10, 30)).split(), r.choice(["", "", number(r)])
            row = [w for w in (self.fit(w, pen.face, case) for w in row) if w]
            tail = "".join(c for c in tail if c == " " or pen.face.has(c) and c in self.chars).split()
            while row and sum(map(pen.length, row + tail)) + space * (len(row + tail) + 1) > width:
                row.pop()
            x = left + (r.random() * .3 * width if not tail and r.random() < .5 and len(row) < 3 else 0)
            x = self.write(pen, row, x, y, line, space)
            if tail:
                end = left + width - sum(map(pen.length, tail)) - space * (len(tail) - 1)
                if row:
                    pen.space(x, max(1, end - x), line)
                self.write(pen, tail, max(end, x + space), y, line, space)

    def table(self, pen, r, left, width, bases, case):
        columns, same = r.randrange(2, 5), r.random() < .5
        kinds = [amount, number, lambda r: digits(r, r.randrange(1, 7))]
        if self.new and r.random() < .3:
            kinds.append(lambda r: r.choice(GRADES))
        shape = [r.choice(kinds) for _ in range(columns)]
        for line, y in enumerate(bases):
            x = left
            for i in range(columns):
                cell = [w for w in (self.fit(w, pen.face, case) for w in (shape[i] if same else r.choice(shape))(r).split()) if w]
                need = sum(map(pen.length, cell)) + pen.font.getlength(" ") * len(cell)
                at = left + (i + 1) * width / columns - need
                if not cell or at < x + .5 * pen.x_height and i:
                    continue
                at = max(at, left)
                if i and x > left:
                    pen.space(x, at - x, line)
                x = self.write(pen, cell, at, y, line, pen.font.getlength(" "))

    def label(self, pen, r, left, width, bases, case):
        """Short lines: headings, names, figures, single words."""
        space = max(2, pen.font.getlength(" ") + pen.track)
        if r.random() < .4:
            case = str.upper
        for line, y in enumerate(bases):
            row = number(r).split() if r.random() < .35 else self.text.phrase(r, r.randrange(2, 30)).split()
            row = [w for w in (self.fit(w, pen.face, case) for w in row) if w]
            while row and sum(map(pen.length, row)) + space * len(row) > width:
                row.pop()
            self.write(pen, row, left + r.random() * .2 * width * (len(row) < 3), y, line, space)


def to_bytes(img):
    """0..1 -> uint8"""
    return (np.clip(img, 0, 1) * 255).astype(np.uint8)


def as_grey(im):
    return np.asarray(im, np.float32) / 255


def legible(view, text, centres):
    """At most one letter in eight has lost its ink."""
    darkest = np.minimum.reduceat(view[3:30].min(0), np.arange(0, VIEW_W, 4))
    at = np.clip((centres / 4).astype(int), 1, len(darkest) - 2)
    level = np.minimum(np.minimum(darkest[at - 1], darkest[at]), darkest[at + 1])
    return np.count_nonzero(level > 190) <= len(text) / 8 + text.count(" ")


def tailless(view, text, centres, base):
    """A comma has lost what goes below the baseline: to the eye it is a stop."""
    y = round(base)
    for c, x in zip(text, centres):
        if c == ",":
            ink = 255 - view[:, max(0, int(x) - 2):int(x) + 3].min(1).astype(int)
            if ink[y + 1:y + 4].max() < .4 * ink[y - 3:y].max():
                return True
    return False


def evened(im):
    """Coverage 0..1 of blurred ink, its lines as black as others': thin faces must not vanish."""
    a = np.asarray(im, np.float32) / 255
    return a / max(.1, float(np.quantile(a[a > .15], .8) if (a > .15).any() else 1))


class Scan:
    """An inked page -> grey paper as a scanner gives it -> views."""

    def __init__(self, r, rng, pen, kind, bases, what):
        self.r, self.rng, self.pen, self.kind, self.what = r, rng, pen, kind, what
        self.bases = bases
        self.clean, self.straight, self.coarse, self.new, self.again = r.random() < .06, False, False, False, False
        self.x_height = max(5.5, min(24, math.exp(r.gauss(math.log(12.5), .33))))

    def noise(self, shape, cell):
        """Smooth noise, -1..1 or so, that changes over about `cell` pixels."""
        h, w = max(2, int(shape[0] / cell) + 1), max(2, int(shape[1] / cell) + 1)
        small = Image.fromarray(self.rng.normal(0, .5, (h, w)).astype(np.float32))
        return np.asarray(small.resize((shape[1], shape[0]), Image.BICUBIC))

    def ink(self):
        """Ribbons, worn type, dots: what the ink does before any scanner."""
        r, im = self.r, self.pen.image
        if self.clean:
            return im
        if self.what == "typed":
            return self.typed(im)
        if self.what == "early" and r.random() < .75:
            return self.worn(im)
        if self.new and self.kind in ("old", "serif") and r.random() < .12:
            return self.faint(im) if r.random() < .5 else self.worn(im)
        if self.new and self.what == "receipt" and r.random() < .4:
            return self.thermal(im)
        k = r.random()
        if r.random() < (.25 if self.what == "receipt" else .04 if self.kind == "mono" else 0):
            return self.dots(im)
        if self.kind == "mono" and not HEAVY.search(self.pen.face.path) and k < (.6 if TYPED.search(self.pen.face.path) else .2):
            im = im.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(r.uniform(.5, 2)))
        elif k < .18:
            im = im.filter(ImageFilter.MaxFilter(3))
        elif k < .24 and self.pen.x_height >= 18:
            im = im.filter(ImageFilter.MinFilter(3))
        if r.random() < (.55 if self.kind in ("mono", "old") else .3):
            im = self.rough(im)
        return im

    def rough(self, im):
        """Spread, worn and broken letters: the ink swells and shrinks over small distances."""
        r = self.r
        a = evened(im.filter(ImageFilter.GaussianBlur(r.uniform(.8, 2.2))))
        edge = r.uniform(.25, .52) + r.uniform(.02, .2) * self.noise(a.shape, r.uniform(2, 6))
        edge = edge + r.uniform(0, .15) * self.noise(a.shape, 30)
        return Image.fromarray(to_bytes((a - edge) * r.uniform(2, 8) + .5))

    def typed(self, im):
        """A ribbon's weave, or a carbon copy's soft and spread ink."""
        r, k = self.r, self.r.random()
        if k < .2:
            im = im.filter(ImageFilter.GaussianBlur(self.pen.x_height * r.uniform(.05, .12)))
            return Image.fromarray(np.clip(np.asarray(im, np.float32) * r.uniform(1, 1.6) - r.uniform(0, 30), 0, 255).astype(np.uint8))
        if k < .55:
            return self.rough(im)
        a = np.asarray(im.filter(ImageFilter.GaussianBlur(r.uniform(.5, 1.6))), np.float32)
        weave = self.noise(a.shape, r.uniform(1.5, 3.5)) + .5 * self.noise(a.shape, 12)
        return Image.fromarray(np.clip(a * (1 - r.uniform(.05, .45) * np.clip(weave + .3, 0, 1)), 0, 255).astype(np.uint8))

    def worn(self, im):
        """Old type on damp paper: ink spread and, in places, letters that did not take it."""
        r = self.r
        if r.random() < .5:
            im = im.filter(ImageFilter.MaxFilter(3))
        a = evened(im.filter(ImageFilter.GaussianBlur(r.uniform(.8, 1.8))))
        edge = r.uniform(.25, .48) + r.uniform(.05, .2) * self.noise(a.shape, r.uniform(2.5, 6)) + r.uniform(.03, .18) * self.noise(a.shape, r.uniform(15, 60))
        a = np.clip((a - edge) * r.uniform(2.5, 7) + .5, 0, 1)
        if r.random() < .5:
            a = a * (self.noise(a.shape, r.uniform(3, 8)) > -r.uniform(.85, 1.4))
        return Image.fromarray((a * 255).astype(np.uint8))

    def faint(self, im):
        """Worn type with little ink: hairlines, joints and points of letters are gone, stems are grey."""
        r = self.r
        a = evened(im.filter(ImageFilter.GaussianBlur(self.pen.x_height * r.uniform(.05, .1))))
        edge = r.uniform(.38, .56) + r.uniform(.05, .15) * self.noise(a.shape, self.pen.x_height * r.uniform(.2, .5)) + r.uniform(0, .15) * self.noise(a.shape, 60)
        a = np.clip((a - edge) * r.uniform(1.5, 4) + .5, 0, 1) * r.uniform(.5, 1)
        return Image.fromarray(to_bytes(a)).filter(ImageFilter.GaussianBlur(self.pen.x_height * r.uniform(.02, .07)))

    def thermal(self, im):
        """A receipt printer's head: square dots, dead ones, rows that did not get hot."""
        r = self.r
        cell = max(2, round(self.pen.x_height / r.choice([6, 7, 8, 9, 11])))
        im = im if HEAVY.search(self.pen.face.path) else im.filter(ImageFilter.MaxFilter(3))
        small = np.asarray(im.resize((max(1, im.width // cell), max(1, im.height // cell)), Image.BOX)) > r.uniform(45, 110)
        small = small.astype(np.float32)
        if r.random() < .35:
            small *= 1 - r.uniform(.2, .8) * np.clip(self.noise((small.shape[0], 2), r.uniform(1, 6))[:, :1] * 2, 0, 1)
        if r.random() < .2:
            small[:, self.rng.integers(0, small.shape[1], r.randrange(1, 6))] *= r.uniform(0, .6)
        if r.random() < .5:
            small *= 1 - r.uniform(.1, .5) * np.clip(self.noise(small.shape, r.uniform(4, 25)) + .2, 0, 1)
        big = np.kron(small, np.ones((cell, cell), np.float32))
        out = np.zeros((im.height, im.width), np.float32)
        out[:big.shape[0], :big.shape[1]] = big
        return Image.fromarray((out * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(cell * r.uniform(.15, .5)))

    def dots(self, im):
        """A dot-matrix printer's needles: the page on a coarse grid, every point a disc."""
        r = self.r
        cell = max(3, round(self.pen.x_height / r.choice([5, 5, 6, 7])))
        if r.random() < .7:
            im = im.filter(ImageFilter.MaxFilter(3))
        small = im.resize((max(1, im.width // cell), max(1, im.height // cell)), Image.BOX)
        on = (np.asarray(small) > r.uniform(60, 110)) * np.clip(self.rng.normal(.95, .15, (small.height, small.width)), .3, 1)
        y, x = np.mgrid[:cell, :cell] - (cell - 1) / 2
        disc = np.clip(cell * r.uniform(.5, .75) - np.hypot(x, y) + .3, 0, 1)
        out = np.zeros((im.height, im.width), np.float32)
        big = np.kron(on, disc)
        out[:big.shape[0], :big.shape[1]] = big
        return Image.fromarray((out * 255).astype(np.uint8))

    def scanned(self):
        """Ink at the scan's resolution: coverage [h, w] 0..1; sets self.to_page, ink points to page points."""
        r, im = self.r, self.ink()
        k = self.x_height / self.pen.x_height
        stretch = 1 if self.clean else max(.8, min(1.22, r.gauss(1, .07)))
        if self.what in ("receipt", "table") and r.random() < .6:
            stretch *= r.uniform(.62, 1) if not self.new or r.random() < .85 else r.uniform(1.2, 1.9)  # double width
        elif self.what == "entries" and r.random() < .5:
            stretch *= r.uniform(.72, 1)
        w, h = max(16, int(im.width * k * stretch)), max(16, int(im.height * k))
        im = im.resize((w, h), Image.BILINEAR if k < 1 else Image.BICUBIC)
        m = np.diag([w / self.pen.image.width, h / self.pen.image.height, 1.0])
        if not self.clean and not self.straight and r.random() < .6:
            turn, lean = math.radians(r.gauss(0, .22)), r.gauss(0, .05) if r.random() < .2 else 0
            back = np.array([[1, lean - turn, 0], [turn, 1, 0], [0, 0, 1]])
            if r.random() < .3:
                back[2, :2] = r.gauss(0, .015) / w, r.gauss(0, .02) / h
            back[:2, 2] = np.array([w / 2, h / 2]) - back[:2, :2] @ [w / 2, h / 2]
            im = im.transform((w, h), Image.PERSPECTIVE, (back / back[2, 2]).ravel()[:8].tolist(), Image.BILINEAR)
            m = np.linalg.inv(back) @ m
        self.to_page = m
        return np.asarray(im, np.float32) / 255

    def paper(self, a):
        """Coverage -> grey [h, w] uint8: paper, the other side, stains, optics, sensor, threshold, JPEG."""
        r, rng = self.r, self.rng
        if self.clean or self.again and r.random() < .8:
            return (255 - a * 255).astype(np.uint8)
        a = self.marks(a)
        if self.new and r.random() < .03:
            a = self.dithered(a)
        if self.coarse:
            a = self.resampled(a)
        if r.random() < .18:
            a = a * (1 - r.uniform(.15, .6) * np.clip(self.noise(a.shape, r.uniform(8, 60)) + .4, 0, 1))
        light = r.uniform(.55, 1) if r.random() < .65 else 1.0
        dark = r.uniform(0, .55) * light if r.random() < .6 else 0.0
        img = light + (dark - light) * np.clip(a * r.uniform(.75, 1.3), 0, 1)
        if r.random() < .3:
            img = img * (1 + r.uniform(.02, .15) * self.noise(a.shape, r.uniform(60, 200)))
        if r.random() < .25:
            img = img + r.uniform(.01, .06) * self.noise(a.shape, r.uniform(2, 6))
        if r.random() < .45:
            blurred = Image.fromarray(to_bytes(img))
            blurred = blurred.filter(ImageFilter.GaussianBlur(r.uniform(.3, 1.1) * max(.6, self.x_height / 12)))
            img = as_grey(blurred)
        if r.random() < .45:
            img = img + rng.standard_normal(img.shape, np.float32) * (r.uniform(.005, .1) * (light - dark))
        if r.random() < .2:
            img = (img > (light + dark) / 2 + r.gauss(.03, .06) * (light - dark)).astype(np.float32)
        out = to_bytes(img)
        if r.random() < .3:
            out = np.asarray(self.jpeg(out))
        return out

    def dithered(self, a):
        """Coloured letters of a scan in black and white: chequered, or with a part of their dots."""
        r, n = self.r, self.r.randrange(1, 3)
        y, x = np.mgrid[:a.shape[0], :a.shape[1]] // n
        screen = r.choice([(x + y) % 2, (x % 2) * (y % 2), 1 - (x % 2) * (y % 2), (x + 2 * (y % 2)) % 4 // 2])
        return (a > .4) * screen.astype(np.float32)

    def jpeg(self, grey):
        f = io.BytesIO()
        Image.fromarray(grey).save(f, "JPEG", quality=self.r.randrange(20, 90))
        return Image.open(f).convert("L")

    def resampled(self, a):
        """A page that was scanned or faxed at 75 to 100 dpi and made larger afterwards."""
        r, im = self.r, Image.fromarray(a.astype(np.float32))
        k = min(1, r.uniform(4.5, 7.5) / self.x_height)
        small = im.resize((max(8, int(im.width * k)), max(8, int(im.height * k))), Image.BOX)
        if r.random() < .25:
            small = Image.fromarray((np.asarray(small) > r.uniform(.3, .5)).astype(np.float32))
        return np.clip(np.asarray(small.resize(im.size, r.choice([Image.BICUBIC, Image.BILINEAR]))), 0, 1)

    def marks(self, a):
        """Show-through, rules, specks."""
        r, rng = self.r, self.rng
        if r.random() < (.45 if self.what == "early" else .12):
            other = np.roll(a[:, ::-1], (r.randrange(a.shape[0]), r.randrange(a.shape[1])), (0, 1))
            a = np.maximum(a, other * r.uniform(.08, .35))
        if r.random() < .05:
            x = r.randrange(a.shape[1])
            a = a.copy()
            a[:, x:x + r.randrange(1, 3)] = r.uniform(.4, 1)
        if r.random() < .07:
            a = a.copy()
            for base in self.bases:
                y = int((self.to_page @ [0, base, 1])[1] + self.x_height * r.uniform(0 if self.new else .2, .6))
                a[max(0, y):y + r.randrange(1, 3)] = r.uniform(.5, 1)
        if self.new and r.random() < .03:
            a = self.stamped(a)
        if r.random() < .12:
            a = a.copy()
            n = int(a.size * r.uniform(.0002, .004))
            ys, xs = rng.integers(0, a.shape[0] - 1, n), rng.integers(0, a.shape[1] - 1, n)
            level = rng.choice([0.0, .6, 1.0], n)
            for dy, dx in ((0, 0), (0, 1), (1, 0))[:r.randrange(1, 4)]:
                a[ys + dy, xs + dx] = level
        return a

    def stamped(self, a):
        """A rubber stamp over the page, fainter than its text."""
        r, n = self.r, int(self.x_height * self.r.uniform(5, 12))
        stamp = Image.new("L", (n, n), 0)
        draw, edge = ImageDraw.Draw(stamp), int(n * r.uniform(.02, .1))
        (draw.ellipse if r.random() < .7 else draw.rectangle)([edge, n * r.uniform(0, .3), n - edge, n * r.uniform(.7, .98)], None, 255, max(1, n // 40))
        draw.text((n / 2, n / 2), r.choice(MONTHS + KEYS).upper(), font=self.pen.font, fill=255, anchor="mm")
        stamp = np.asarray(stamp.rotate(r.uniform(-30, 30), Image.BILINEAR), np.float32) / 255
        y, x = (r.randrange(-n // 2, max(1, side - n // 2)) for side in a.shape)
        t, l, b, e = max(0, y), max(0, x), min(a.shape[0], y + n), min(a.shape[1], x + n)
        if t < b and l < e:
            a = a.copy()
            a[t:b, l:e] = np.maximum(a[t:b, l:e], stamp[t - y:b - y, l - x:e - x] * r.uniform(.12, .45))
        return a

    def found(self, finder):
        """The engine's own cuts of this page, which is drawn straight: its places must stay known."""
        self.straight = True
        grey, chars = self.paper(self.scanned()), self.pen.chars
        line = np.array(chars.line)
        p = self.to_page @ np.stack([chars.x, np.array(self.bases)[line], np.ones(len(line))])
        rows = finder.rows(grey, chars.label, line, p[0] / p[2], p[1] / p[2], self.x_height, X_HEIGHT)
        return [row for *row, below in rows if len(row[1]) <= LONGEST and legible(*row) and not tailless(*row, BASELINE + below)]

    def views(self):
        grey = whiten(self.paper(self.scanned()))
        dark, chars = otsu(grey), self.pen.chars
        pitch = self.x_height / self.pen.x_height * (self.bases[1] - self.bases[0] if len(self.bases) > 1 else 1e6)
        line = np.array(chars.line)
        base = np.array(self.bases)[line]
        p = self.to_page @ np.stack([chars.x, base, np.ones(len(line))])
        xs, ys = p[0] / p[2], p[1] / p[2]
        out = []
        for i in np.unique(line):
            mine = np.flatnonzero(line == i)
            y = float(np.median(ys[mine]))
            own = self.alone(grey, y, pitch) if self.r.random() < .6 else grey
            out += self.line_views(own, dark, [chars.label[j] for j in mine], xs[mine], y)
        for view, _, _ in self.r.sample(out, min(len(out), 1 + (self.r.random() < .3))) if self.new else []:
            if self.r.random() < .4:
                out.append((self.nothing(view), "", np.zeros(0)))
        if not self.new and self.r.random() < .12:
            out.append((self.nothing(), "", np.zeros(0)))
        return out

    def alone(self, grey, base, pitch):
        """The page with only this line's rows: the engine takes out what belongs to the neighbours."""
        top, bottom = base - max(1.65 * self.x_height, pitch - .5 * self.x_height), base + max(.45 * self.x_height, pitch - 1.7 * self.x_height)
        out = grey.copy()
        out[:max(0, int(top))], out[max(0, math.ceil(bottom)):] = 255, 255
        return out

    def height(self, labels):
        """The x-height as a line finder takes it: a few per cent wrong; of capitals alone sometimes guessed."""
        r, k = self.r, 1.0
        if not any(c.islower() for c in labels) and r.random() < .5:
            k = self.pen.cap / self.pen.x_height * X_HEIGHT / r.uniform(8.5, 16.5)
        if self.clean:
            return self.x_height * k
        k *= r.uniform(.8, 1.3) if r.random() < .03 else 1 + max(-.2, min(.2, r.gauss(0, .06)))
        return self.x_height * k

    def line_views(self, grey, dark, labels, xs, base):
        r, half = self.r, self.x_height * .6
        height = self.height(labels)
        off = 0 if self.clean else max(-2.5, min(2.5, r.gauss(0, .9))) * height / X_HEIGHT
        x0, x1 = int(xs[0] - half + r.gauss(0, 1)), int(xs[-1] + half + 1 + r.gauss(0, 1))
        rows = []
        for view, a, b in cut(grey, x0, x1, base + off, height, dark):
            inside = np.flatnonzero((xs >= a) & (xs < b))
            while len(inside) and labels[inside[0]] == " ":
                inside = inside[1:]
            while len(inside) and labels[inside[-1]] == " ":
                inside = inside[:-1]
            text = "".join(labels[i] for i in inside)
            centres = (xs[inside] - a) * X_HEIGHT / height
            if self.new and len(text) > LONGEST:
                text, centres = shortened(text, centres)
            if 0 < len(text) <= LONGEST and legible(view, text, centres):
                if self.new and r.random() < .05:
                    view = self.runs_on(view, int((b - a) * X_HEIGHT / height))
                if self.again:
                    view = self.damaged(view, min(VIEW_W, int((b - a) * X_HEIGHT / height) + 1))
                    if not legible(view, text, centres):
                        continue
                if self.new and tailless(view, text, centres, BASELINE - off * X_HEIGHT / height):
                    continue
                rows.append((view, text, centres))
        return rows

    def damaged(self, view, end):
        """A view of a scan so coarse that its pixels are the view's: remains of neighbours, the other side, strokes, uneven
        ink, grain, threshold and JPEG on the small grid, `end` columns of it; and paper brought to white once more."""
        r, rng = self.r, self.rng
        ink = 1 - view[:, :end].astype(np.float32) / 255
        if r.random() < .3:
            rows = r.randrange(1, 7)
            rest = np.roll(ink[BASELINE - 5:BASELINE - 5 + rows], r.randrange(end), 1) * r.uniform(.4, 1)
            at = slice(0, rows) if r.random() < .5 else slice(VIEW_H - rows, VIEW_H)
            ink[at] = np.maximum(ink[at], rest)
        if r.random() < .12:
            ink = np.maximum(ink, np.roll(ink[:, ::-1], r.randrange(end), 1) * r.uniform(.08, .3))
        if r.random() < .05:
            x = r.choice([r.randrange(4), max(0, end - r.randrange(1, 6))])
            ink[:, x:x + r.randrange(1, 3)] = 1
        if r.random() < .08:
            y = r.choice([r.randrange(4), VIEW_H - 1 - r.randrange(4)])
            ink[y:y + r.randrange(1, 3)] = 1
        if r.random() < .18:
            blots = np.kron(rng.random((4, end // 16 + 1), np.float32), np.ones((8, 16), np.float32))[:, :end]
            ink = ink * (1 - r.uniform(.1, .5) * blots)
        light = r.uniform(.6, 1) if r.random() < .6 else 1.0
        dark = r.uniform(0, .5) * light if r.random() < .6 else 0.0
        img = light + (dark - light) * np.clip(ink * r.uniform(.7, 1.3), 0, 1)
        if r.random() < .2:
            img = img + r.gauss(0, .1) * np.linspace(-.5, .5, end)[None] + r.gauss(0, .05) * np.linspace(-.5, .5, VIEW_H)[:, None]
        if r.random() < .2:
            grain = rng.standard_normal((VIEW_H // 4, end // 4 + 1), np.float32)
            img = img + np.kron(grain, np.ones((4, 4), np.float32))[:, :end] * r.uniform(.01, .05)
        if r.random() < .35:
            img = as_grey(Image.fromarray(to_bytes(img)).filter(ImageFilter.GaussianBlur(r.uniform(.2, 1))))
        if r.random() < .45:
            img = img + rng.standard_normal(img.shape, np.float32) * (r.uniform(.005, .09) * (light - dark))
        if r.random() < .06:
            img = np.where(rng.random(img.shape) < r.uniform(.001, .02), rng.integers(0, 2, img.shape), img)
        if r.random() < .15:
            img = (img > (light + dark) / 2 + r.gauss(0, .04)).astype(np.float32)
        if r.random() < .25:
            img = as_grey(self.jpeg(to_bytes(img)))
        parts = np.array_split(np.arange(end), max(1, end // 32))
        level = np.interp(np.arange(end), [p.mean() for p in parts], [max(.16, float(np.quantile(img[:, p], .9))) for p in parts])
        out = np.full((VIEW_H, VIEW_W), 255, np.uint8)
        out[:, :end] = to_bytes(img / level)
        return out

    def runs_on(self, view, end):
        """A line that its finder let run on behind its text, into what nothing()s hold."""
        start = end + self.r.randrange(2, 24)
        if start > VIEW_W - 12:
            return view
        view = view.copy()
        other = self.nothing(view)[:, :VIEW_W - start]
        view[:, start:] = np.minimum(view[:, start:], other)
        return view

    def nothing(self, view=None):
        """A view without text: specks, rules, grain; and, with a view of this page, its other side, pictures, the paper's
        edge, scribbles, ornaments, parts of much larger letters. It has to be read as nothing."""
        if view is not None and self.r.random() < .75:
            return self.clutter(view)
        r, rng = self.r, self.rng
        view = np.full((VIEW_H, VIEW_W), 255, np.float32)
        w = r.randrange(8, VIEW_W)
        k = r.randrange(4)
        if k == 0:
            view[:, :w] -= np.abs(rng.normal(0, r.uniform(2, 60), (VIEW_H, w)))
        elif k == 1:
            y = r.randrange(6, 27)
            view[y:y + r.randrange(1, 4), 4:w] = r.randrange(0, 150)
        elif k == 2:
            n = r.randrange(1, 12)
            for y, x in zip(rng.integers(2, 30, n), rng.integers(3, max(4, w), n)):
                view[y:y + r.randrange(1, 4), x:x + r.randrange(1, 4)] = r.randrange(0, 160)
        else:
            view[:, :w] = 128 + 127 * self.noise((VIEW_H, w), r.uniform(2, 12))
        return np.clip(view, 0, 255).astype(np.uint8)

    def clutter(self, view):
        """What line finders take for text on real pages."""
        r, rng, k = self.r, self.rng, self.r.random()
        w = r.randrange(16, VIEW_W)
        out = np.full((VIEW_H, VIEW_W), 255, np.float32)
        if k < .3:  # the other side shows through
            other = Image.fromarray(view[:, ::-1]).filter(ImageFilter.GaussianBlur(r.uniform(.3, 1.6)))
            out = 255 - (255 - np.asarray(other, np.float32)) * r.uniform(.15, .6)
            out = np.roll(out, (r.randrange(-6, 7), r.randrange(VIEW_W)), (0, 1))
        elif k < .43:  # hatching, weave, halftone
            y, x = np.mgrid[:VIEW_H, :VIEW_W].astype(np.float32)
            angle, pitch = r.uniform(0, math.pi), r.uniform(2.5, 9)
            waves = np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / pitch)
            if r.random() < .5:
                waves = waves * np.sin((y * math.cos(angle) - x * math.sin(angle)) * 2 * math.pi / pitch)
            ink = np.clip((waves + r.uniform(.3, 1.2) * self.noise(out.shape, r.uniform(3, 30)) - r.uniform(-.5, .6)) * r.uniform(1, 6), 0, 1)
            out -= ink * r.uniform(60, 250)
        elif k < .56:  # the edge of the paper, the gutter, cloth
            side = np.interp(np.arange(VIEW_W), [0, r.uniform(4, w), w + 8], [1, r.uniform(.2, 1), 0])
            rough = 1 + r.uniform(0, .6) * self.noise(out.shape, r.uniform(1.5, 12))
            out -= r.uniform(50, 250) * np.clip(side[None] * rough, 0, 1)
        elif k < .7:  # a scribble, the lines of a map
            im = Image.new("L", (VIEW_W * 3, VIEW_H * 3), 0)
            draw, x, y, dx, dy = ImageDraw.Draw(im), r.uniform(0, 60), r.uniform(20, 76), r.uniform(-2, 6), 0.0
            for _ in range(r.randrange(8, 90)):
                dx, dy = dx * .8 + r.gauss(1.2, 5), dy * .7 + r.gauss(0, 7)
                draw.line([(x, y), (x + dx, y + dy)], r.randrange(120, 256), r.randrange(1, 8))
                x, y = min(VIEW_W * 3, max(0, x + dx)), min(VIEW_H * 3 - 1, max(0, y + dy))
            out -= np.asarray(im.resize((VIEW_W, VIEW_H), Image.BOX), np.float32)
        elif k < .88:  # printers' flowers
            out -= self.flowers(w)
        else:  # a piece of a heading or a logo, at a small line's scale
            x, y, part = r.randrange(0, VIEW_W - 60), r.randrange(4, VIEW_H - 12), r.uniform(2.8, 6)
            piece = Image.fromarray(view).transform((w, VIEW_H), Image.EXTENT, (x, y, x + w / part, y + VIEW_H / part), Image.BICUBIC)
            out[:, :w] = piece
        return np.clip(out + rng.normal(0, r.uniform(0, 10), out.shape), 0, 255).astype(np.uint8)

    def flowers(self, end):
        """Ink of a row of ornaments in `end` columns: a leaf, knot or star of strokes and blots, the same on its left and its
        right side and often upside down, and that again and again, each not quite as the one before."""
        r, k = self.r, 4
        high, wide = r.randrange(8, 27) * k, r.randrange(7, 34) * k
        im = Image.new("L", (wide, high), 0)
        draw = ImageDraw.Draw(im)
        for _ in range(r.randrange(3, 8)):
            x, y, w, h = r.uniform(0, wide * .5), r.uniform(0, high * .8), r.uniform(.1, .8) * wide, r.uniform(.1, .7) * high
            how, thick = r.randrange(5), r.randrange(2, 10)
            if how == 0:
                draw.ellipse([x, y, x + w, y + h], 255 if r.random() < .5 else None, 255, thick)
            elif how < 3:
                begin = r.randrange(360)
                draw.arc([x, y, x + w, y + h], begin, begin + r.randrange(60, 300), 255, thick)
            elif how == 3:
                draw.line([(x, y), (x + w, y + r.uniform(-.7, .7) * high)], 255, thick)
            else:  # a leaf
                draw.polygon([(x, y), (x + .5 * w, y + .2 * h), (x + w, y + h), (x + .2 * w, y + .6 * h)], 255)
        motif = np.maximum(np.asarray(im), np.asarray(im)[:, ::-1])
        if r.random() < .4:
            motif = np.maximum(motif, motif[::-1])
        out = Image.new("L", (VIEW_W * k, VIEW_H * k), 0)
        top, x = r.randrange(VIEW_H * k - high + 1), r.randrange(20)
        gap, flipped = r.randrange(-2, 5) * k, r.random() < .3
        for n in range(1 if r.random() < .15 else 99):
            if x + wide > end * k:
                break
            one = motif[::-1] if flipped and n % 2 else motif
            ink = self.noise(one.shape, 3 * k) * r.uniform(0, .6)
            out.paste(Image.fromarray(to_bytes(one / 255 * np.clip(1 - ink, 0, 1))), (x, top + r.randrange(-3, 4)))
            x += wide + gap + r.randrange(-2, 3)
        return np.asarray(out.resize((VIEW_W, VIEW_H), Image.BOX), np.float32) * r.uniform(.5, 1)
