#!/usr/bin/python3
"""Makes test/golden/images/: small files of every kind that dsocr reads, and what they hold.

    cd test/golden && /usr/bin/python3 images.py

Debian's python3-pil writes what it can, libtiff-tools' tiffcp four kinds more; the TIFF and PNG kinds that it cannot write are put together here.
images.tsv has one line per page: file, page, width, height, channels, dpi, orientation and the FNV-1a-64 of
the upright pixels. ycbcr.tif is there without a line: Pillow's and libtiff's arithmetic differ by one.
The pixels are Pillow's (ImageOps.exif_transpose, then convert to "L" for grey and "RGB"
for colour), but for the kinds in OWN, where Pillow 9.4 saturates 16-bit grey, ignores min-is-white, or cannot
open the file at all: there they are computed from what was written (16 bits keep the high byte).
"""
import io, os, struct, subprocess, tempfile, zlib
from PIL import Image, ImageOps

W, H = 61, 43
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "images")
rows = []


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return "%016x" % h


def value(x, y, c):
    """A page of a kind: a slope with darker bars, so that turned, shifted and inverted copies all differ."""
    bar = 90 if (x // 6 + y // 9 * 2) % 3 == 0 else 0
    return max(0, min(255, 40 + 3 * x + c * 17 - y - bar))


def rgb():
    im = Image.new("RGB", (W, H))
    im.putdata([tuple(value(x, y, c) for c in range(3)) for y in range(H) for x in range(W)])
    return im


def alpha():
    im = Image.new("L", (W, H))
    im.putdata([(x * 11 + y * 5) % 256 for y in range(H) for x in range(W)])
    return im


def grey():
    return rgb().convert("L")


def bilevel():
    return grey().point(lambda v: 255 if v > 110 else 0).convert("1", dither=0)


def note(name, page, size, channels, dpi, orientation, pixels):
    rows.append("\t".join(map(str, [name, page, size[0], size[1], channels, dpi, orientation, fnv(pixels)])))


def put(name, data, channels, dpi=0, orientation=1, own=None):
    """own: (size, pixels) where Pillow is not the judge."""
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)
    if own:
        note(name, 0, own[0], channels, dpi, orientation, own[1])
        return
    im = Image.open(io.BytesIO(data))
    for page in range(getattr(im, "n_frames", 1)):
        im.seek(page)
        im.load()  # turns a TIFF by itself, and exif_transpose of 9.4 would turn it once more
        up = im if im.format == "TIFF" else ImageOps.exif_transpose(im)
        up = up.convert("L" if channels == 1 else "RGB")
        note(name, page, up.size, channels, dpi, orientation, up.tobytes())


def saved(im, form, **args):
    out = io.BytesIO()
    im.save(out, form, **args)
    return out.getvalue()


def turned(form, orientation, **args):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(rgb(), form, exif=exif.tobytes(), **args)


# ---- PNG by hand: every depth, Adam7 ----

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_bits(samples, bits):
    acc = n = 0
    out = bytearray()
    for s in samples:
        acc, n = acc << bits | s, n + bits
        while n >= 8:
            n -= 8
            out.append(acc >> n & 255)
    if n:
        out.append(acc << (8 - n) & 255)
    return bytes(out)


def png(colour, bits, pixel, interlaced=False, extra=b"", w=W, h=H):
    """pixel(x, y) -> samples of `bits` bits."""
    def lines(xs, ys):
        return b"".join(b"\0" + pack_bits([s for x in xs for s in pixel(x, y)], bits) for y in ys) if len(xs) else b""
    if interlaced:
        passes = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
        data = b"".join(lines(range(x, w, dx), range(y, h, dy)) for x, dx, y, dy in passes)
    else:
        data = lines(range(w), range(h))
    head = struct.pack(">IIBBBBB", w, h, bits, colour, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(data, 9))
            + chunk(b"IEND", b""))


def pngs():
    g = lambda bits: lambda x, y: [value(x, y, 0) >> (8 - bits) if bits <= 8 else value(x, y, 0) * 257 ^ 0x35]
    deep = lambda x, y: [value(x, y, c) * 256 + (x * 7 & 255) for c in range(3)]
    a = lambda x, y: [(x * 11 + y * 5) & 255]
    for bits in (1, 2, 4, 8):
        put("grey%d.png" % bits, png(0, bits, g(bits)), 1)
    put("grey16.png", png(0, 16, g(16)), 1, own=((W, H), bytes(value(x, y, 0) for y in range(H) for x in range(W))))
    put("grey_alpha8.png", png(4, 8, lambda x, y: [value(x, y, 0)] + a(x, y)), 1)
    put("grey_alpha16.png", png(4, 16, lambda x, y: [value(x, y, 0) * 256 + 9, 77]), 1)
    put("rgb8.png", png(2, 8, lambda x, y: [value(x, y, c) for c in range(3)]), 3)
    put("rgb16.png", png(2, 16, deep), 3)
    put("rgba8.png", png(6, 8, lambda x, y: [value(x, y, c) for c in range(3)] + a(x, y)), 3)
    put("rgba16.png", png(6, 16, lambda x, y: deep(x, y) + [x * 900]), 3)
    for bits in (1, 2, 4, 8):
        n = 1 << bits
        plte = chunk(b"PLTE", bytes(v for i in range(n) for v in (i * 255 // (n - 1), 255 - i * 200 // n, i * 37 & 255)))
        trns = chunk(b"tRNS", bytes(i * 91 & 255 for i in range(n)))
        put("palette%d.png" % bits, png(3, bits, lambda x, y: [value(x, y, 0) >> (8 - bits)], extra=plte + trns), 3)
    put("adam7_rgb8.png", png(2, 8, lambda x, y: [value(x, y, c) for c in range(3)], True), 3)
    put("adam7_grey1.png", png(0, 1, g(1), True), 1)
    put("dpi300.png", png(0, 8, g(8), extra=chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1))), 1, dpi=300)
    put("turn6.png", turned("PNG", 6), 3, orientation=6)


def jpegs():
    for o in range(1, 9):
        put("turn%d.jpg" % o, turned("JPEG", o, quality=70), 3, orientation=o)
    put("grey.jpg", saved(grey(), "JPEG", quality=80, dpi=(200, 200)), 1, dpi=200)
    put("rgb444.jpg", saved(rgb(), "JPEG", quality=90, subsampling=0), 3)
    put("rgb422.jpg", saved(rgb(), "JPEG", quality=85, subsampling=1), 3)
    put("rgb420.jpg", saved(rgb(), "JPEG", quality=60, subsampling=2), 3)
    put("progressive.jpg", saved(rgb(), "JPEG", quality=75, progressive=True), 3)
    put("progressive_grey.jpg", saved(grey(), "JPEG", quality=75, progressive=True), 1)
    cmyk = saved(rgb().convert("CMYK"), "JPEG", quality=90)
    put("cmyk.jpg", cmyk, 3)
    at = cmyk.index(b"Adobe") + 11
    put("ycck.jpg", cmyk[:at] + b"\2" + cmyk[at + 1:], 3)
    at = cmyk.index(b"\xff\xee")
    put("cmyk_no_adobe.jpg", cmyk[:at] + cmyk[at + 2 + struct.unpack(">H", cmyk[at + 2:at + 4])[0]:], 3)


def webps():
    put("lossy.webp", saved(rgb(), "WEBP", quality=80), 3)
    put("lossless.webp", saved(rgb(), "WEBP", lossless=True), 3)
    im = rgb()
    im.putalpha(alpha())
    put("alpha.webp", saved(im, "WEBP", lossless=True, exact=True), 3)
    put("turn8.webp", turned("WEBP", 8, quality=80), 3, orientation=8)


# ---- TIFF by hand: what Pillow does not write ----

class Tiff:
    """One page after the other; entries are (tag, type, values); data blocks are placed by the writer."""

    def __init__(self, order="<", big=False):
        self.e, self.big = order, big
        self.pages = []

    def page(self, w, h, bits, photometric, blocks, samples=1, **more):
        tags = {256: (4, [w]), 257: (4, [h]), 258: (3, [bits] * samples), 259: (3, [more.get("compression", 1)]),
                277: (3, [samples]), 284: (3, [more.get("planar", 1)])}
        if photometric is not None:
            tags[262] = (3, [photometric])
        if "tile" in more:
            tags[322], tags[323] = (4, [more["tile"][0]]), (4, [more["tile"][1]])
            offsets, counts = 324, 325
        else:
            tags[278] = (4, [more.get("rows", h)])
            offsets, counts = 273, 279
        tags.update(more.get("tags", {}))
        tags[counts] = (4, [len(b) for b in blocks])
        self.pages.append((tags, offsets, blocks))
        return self

    def bytes(self):
        e, big = self.e, self.big
        word, entry, inline = ("Q", "HHQ", 8) if big else ("I", "HHI", 4)
        mark = b"II" if e == "<" else b"MM"
        head = mark + (struct.pack(e + "HHH", 43, 8, 0) if big else struct.pack(e + "H", 42))
        out = bytearray(head + struct.pack(e + word, 0))
        link = len(head)
        for tags, offsets, blocks in self.pages:
            where = []
            for b in blocks:
                where.append(len(out))
                out += b + b"\0" * (len(b) % 2)
            tags = dict(tags)
            tags[offsets] = (4, where)
            packed = {}
            for tag, (kind, values) in tags.items():
                if kind == 5:
                    raw = b"".join(struct.pack(e + "II", *v) for v in values)
                else:
                    raw = struct.pack(e + {1: "B", 3: "H", 4: "I"}[kind] * len(values), *values)
                if len(raw) > inline:
                    at = len(out)
                    out += raw + b"\0" * (len(raw) % 2)
                    raw = struct.pack(e + word, at)
                packed[tag] = struct.pack(e + entry, tag, kind, len(values)) + raw.ljust(inline, b"\0")
            out[link:link + inline] = struct.pack(e + word, len(out))
            out += struct.pack(e + ("Q" if big else "H"), len(packed)) + b"".join(packed[t] for t in sorted(packed))
            link = len(out)
            out += struct.pack(e + word, 0)
        return bytes(out)


def block(pixel, bits, xs, ys, e="<", pick=None):
    """Rows of samples, each row from a byte of its own; outside the page 0."""
    out = b""
    for y in ys:
        line = []
        for x in xs:
            line += (pixel(x, y) if x < W and y < H else [0] * len(pixel(0, 0)))[slice(None) if pick is None else slice(pick, pick + 1)]
        out += struct.pack(e + "H" * len(line), *line) if bits == 16 else pack_bits(line, bits)
    return out


def strips(pixel, bits, rows_per=8, e="<", pick=None):
    return [block(pixel, bits, range(W), range(y, min(y + rows_per, H)), e, pick) for y in range(0, H, rows_per)]


def tiles(pixel, bits, size=16, pick=None):
    return [block(pixel, bits, range(x, x + size), range(y, y + size), "<", pick)
            for y in range(0, H, size) for x in range(0, W, size)]


def as_pixels(f):
    return ((W, H), bytes(v for y in range(H) for x in range(W) for v in f(x, y)))


def reversed_bits(b):
    return bytes(int("{:08b}".format(v)[::-1], 2) for v in b)


def tiffs():
    for name, mode in (("raw", None), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("packbits", "packbits")):
        put("rgb_%s.tif" % name, saved(rgb(), "TIFF", compression=mode), 3)
    for name in ("group3", "group4", "tiff_ccitt", "tiff_lzw"):
        put("bilevel_%s.tif" % name, saved(bilevel(), "TIFF", compression=name, dpi=(204, 204)), 1, dpi=204)
    put("grey_lzw.tif", saved(grey(), "TIFF", compression="tiff_lzw"), 1)
    put("grey_jpeg.tif", saved(grey(), "TIFF", compression="jpeg", quality=80), 1)
    put("rgb_jpeg.tif", saved(rgb(), "TIFF", compression="jpeg", quality=80), 3)
    put("palette8.tif", saved(rgb().quantize(16, method=0), "TIFF", compression="tiff_lzw"), 3)
    put("cmyk.tif", saved(rgb().convert("CMYK"), "TIFF", compression="tiff_lzw"), 3)
    im = rgb()
    im.putalpha(alpha())
    put("rgba.tif", saved(im, "TIFF", compression="tiff_lzw"), 3)
    pages = [grey(), grey().resize((30, 50)), bilevel().convert("L").rotate(180)]
    put("three_pages.tif", saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_deflate"), 1)

    g = lambda bits: lambda x, y: [value(x, y, 0) >> (8 - bits)]
    c = lambda x, y: [value(x, y, i) for i in range(3)]
    full = lambda bits: as_pixels(lambda x, y: [(value(x, y, 0) >> (8 - bits)) * 255 // ((1 << bits) - 1)])
    inverse = lambda own: (own[0], bytes(255 - v for v in own[1]))
    for bits in (1, 2, 4, 8):
        put("grey%d.tif" % bits, Tiff().page(W, H, bits, 1, strips(g(bits), bits), rows=8).bytes(), 1, own=full(bits))
        put("white%d.tif" % bits, Tiff(">").page(W, H, bits, 0, strips(g(bits), bits), rows=8).bytes(), 1,
            own=inverse(full(bits)))
    deep = lambda x, y: [value(x, y, 0) * 256 + 99]
    deep3 = lambda x, y: [value(x, y, i) * 256 + (x * 9 & 255) for i in range(3)]
    put("grey12.tif", Tiff().page(W, H, 12, 1, strips(lambda x, y: [value(x, y, 0) * 16 + 5], 12), rows=8).bytes(), 1,
        own=as_pixels(lambda x, y: [value(x, y, 0)]))
    put("grey16.tif", Tiff().page(W, H, 16, 1, strips(deep, 16), rows=8).bytes(), 1,
        own=as_pixels(lambda x, y: [value(x, y, 0)]))
    put("rgb16.tif", Tiff().page(W, H, 16, 2, strips(deep3, 16), 3, rows=8).bytes(), 3, own=as_pixels(c))
    put("rgb16_big_endian.tif", Tiff(">").page(W, H, 16, 2, strips(deep3, 16, e=">"), 3, rows=8).bytes(), 3,
        own=as_pixels(c))
    put("planes.tif", Tiff().page(W, H, 8, 2, [b for i in range(3) for b in strips(c, 8, pick=i)], 3, planar=2, rows=8)
        .bytes(), 3)
    put("tiles.tif", Tiff().page(W, H, 8, 2, tiles(c, 8), 3, tile=(16, 16)).bytes(), 3, own=as_pixels(c))
    packed = [zlib.compress(b) for b in tiles(c, 8)]
    put("tiles_deflate.tif", Tiff().page(W, H, 8, 2, packed, 3, tile=(16, 16), compression=8).bytes(), 3)
    put("tiles_planes.tif", Tiff().page(W, H, 8, 2, [b for i in range(3) for b in tiles(c, 8, pick=i)], 3, planar=2,
                                        tile=(16, 16)).bytes(), 3, own=as_pixels(c))
    put("tiles_bilevel.tif", Tiff().page(W, H, 1, 1, tiles(g(1), 1), tile=(16, 16)).bytes(), 1, own=full(1))
    put("bigtiff.tif", Tiff(big=True).page(W, H, 8, 2, strips(c, 8), 3, rows=8).bytes(), 3, own=as_pixels(c))
    put("fill_order2.tif", Tiff().page(W, H, 1, 1, [reversed_bits(b) for b in strips(g(1), 1)], rows=8,
                                       tags={266: (3, [2])}).bytes(), 1, own=full(1))
    put("no_photometric.tif", Tiff().page(W, H, 1, None, strips(g(1), 1), rows=8).bytes(), 1, own=inverse(full(1)))
    pal = {320: (3, [i * 4369 for i in range(16)] + [65535 - i * 3000 for i in range(16)] + [i * 999 for i in range(16)])}
    put("palette4.tif", Tiff().page(W, H, 4, 3, strips(g(4), 4), rows=8, tags=pal).bytes(), 3)
    pre = lambda x, y: [value(x, y, i) * a(x, y) // 255 for i in range(3)] + [a(x, y)]
    a = lambda x, y: (x * 11 + y * 5) & 255
    put("premultiplied.tif", Tiff().page(W, H, 8, 2, strips(pre, 8), 4, rows=8, tags={338: (3, [1])}).bytes(), 3)
    ink = lambda x, y: [255 - value(x, y, i) for i in range(3)] + [x]
    put("cmyk_planes.tif", Tiff().page(W, H, 8, 5, [b for i in range(4) for b in strips(ink, 8, pick=i)], 4, planar=2,
                                       rows=8).bytes(), 3)
    ycc = lambda x, y: [value(x, y, 0), 100 + x, 150 - y]
    with open(os.path.join(OUT, "ycbcr.tif"), "wb") as f:
        f.write(Tiff().page(W, H, 8, 6, strips(ycc, 8), 3, rows=8, tags={530: (3, [1, 1])}).bytes())
    put("dpi_cm.tif", Tiff().page(W, H, 8, 1, strips(g(8), 8), rows=8, tags={282: (5, [(11811, 100)]), 296: (3, [3])})
        .bytes(), 1, dpi=300)
    for o in range(2, 9):
        put("turn%d.tif" % o, Tiff().page(W, H, 8, 2, strips(c, 8), 3, rows=8, tags={274: (3, [o])}).bytes(), 3,
            orientation=o)


def stretched(im, w, h):
    """Rows or columns between which a new one lies, in 256ths, halves up: as image.c, of which this is the definition."""
    def places(n, stored):
        for i in range(n):
            place = max(0, (2 * i + 1) * stored - n)
            at, rest = divmod(place, 2 * n)
            yield at, min(at + 1, stored - 1), rest * 256 // (2 * n)
    mix = lambda a, b, share: tuple((p * (256 - share) + q * share + 128) >> 8 for p, q in zip(a, b))
    px = lambda x, y: im.getpixel((x, y)) if im.mode == "RGB" else (im.getpixel((x, y)),)
    out = []
    for y0, y1, down in places(h, im.height):
        for x0, x1, across in places(w, im.width):
            out.extend(mix(px(x0, y0), px(x0, y1), down) if down else mix(px(x0, y0), px(x1, y0), across))
    return Image.frombytes(im.mode, (w, h), bytes(out))


def faxes():
    """Pixels that are not square: only a TIFF is believed when it says so."""
    for name, dpi, w, h in (("coarse", (204, 98), W, 90), ("fine", (204, 196), W, 45), ("superfine", (204, 391), 117, H)):
        up = stretched(bilevel().convert("L"), w, h)
        put("fax_%s.tif" % name, saved(bilevel(), "TIFF", compression="group4", dpi=dpi), 1, dpi=max(dpi),
            own=(up.size, up.tobytes()))
    up = stretched(rgb(), W * 2, H).transpose(Image.Transpose.ROTATE_270)
    c = lambda x, y: [value(x, y, i) for i in range(3)]
    tags = {274: (3, [6]), 282: (5, [(100, 1)]), 283: (5, [(200, 1)]), 296: (3, [2])}
    put("fax_turn6.tif", Tiff().page(W, H, 8, 2, strips(c, 8), 3, rows=8, tags=tags).bytes(), 3, dpi=200, orientation=6,
        own=(up.size, up.tobytes()))
    put("nearly_square.tif", saved(bilevel(), "TIFF", compression="group4", dpi=(200, 201)), 1, dpi=200)
    put("dpi_nonsense.tif", saved(bilevel(), "TIFF", compression="group4", dpi=(30, 600)), 1, dpi=30)
    put("dpi_unequal.png", saved(grey(), "PNG", dpi=(100, 200)), 1, dpi=100)
    put("dpi_unequal.jpg", saved(grey(), "JPEG", dpi=(100, 200)), 1, dpi=100)


def copied(name, source, *how):
    with tempfile.NamedTemporaryFile(suffix=".tif") as to:
        subprocess.run(["tiffcp", *how, os.path.join(OUT, source), to.name], check=True)
        to.seek(0)
        put(name, to.read(), 1 if source.startswith("bilevel") else 3, dpi=204 if source.startswith("bilevel") else 0)


def tiffcps():
    copied("tiles_jpeg.tif", "rgb_raw.tif", "-t", "-w", "16", "-l", "16", "-c", "jpeg:r:80")
    copied("bilevel_group3_2d.tif", "bilevel_group4.tif", "-c", "g3:2d")
    copied("bilevel_tiles_group4.tif", "bilevel_group4.tif", "-t", "-w", "32", "-l", "32", "-c", "g4")
    copied("rgb_lzw_predictor.tif", "rgb_raw.tif", "-c", "lzw:2")


os.makedirs(OUT, exist_ok=True)
pngs()
jpegs()
webps()
tiffs()
faxes()
tiffcps()
with open(os.path.join(HERE, "images.tsv"), "w") as f:
    f.write("\n".join(rows) + "\n")
