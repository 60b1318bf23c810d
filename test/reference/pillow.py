#!/usr/bin/python3
"""What Pillow makes of known pixels: the oracle of resize.c, views.c (spec 3.4, 3.5).

    /usr/bin/python3 test/reference/pillow.py > test/golden/resize.tsv

Each line: width, height, channels, new width, new height, FNV-1a-64 of Image.resize(BICUBIC). The pixels are
a stream of period 65521: s[0] = 1, s[i+1] = (s[i] * 75 + 74) mod 65537, the byte is s >> 3 & 255.
Lines that start with "pad" are ImageOps.pad to the given size on grey 127, the whole-page view.
resize_test runs this again where python3-pil is installed and compares both with its own results.
"""
from PIL import Image, ImageOps

RESIZE = [(6, 4, 3, 4, 3), (16, 1, 1, 10, 1), (8, 1, 1, 12, 1), (61, 43, 3, 61, 20), (61, 43, 3, 100, 43),
          (61, 43, 3, 61, 43), (1, 1, 3, 5, 7), (997, 1009, 3, 31, 17), (300, 220, 3, 576, 384), (50, 60, 3, 853, 1024),
          (333, 777, 1, 439, 1024), (2048, 1001, 3, 1024, 500), (769, 768, 3, 1536, 1536), (1240, 1754, 3, 724, 1024),
          (1700, 2200, 1, 1536, 2304), (2480, 3508, 3, 1536, 2304), (4000, 16, 1, 1024, 4), (17, 3000, 3, 6, 1024)]
PAD = [(333, 777, 3, 1024, 1024), (2048, 1001, 3, 1024, 1024), (2048, 1003, 1, 1024, 1024), (1240, 1754, 3, 1024, 1024),
       (50, 60, 3, 1024, 1024), (400, 400, 1, 1024, 1024), (300, 220, 3, 256, 256), (640, 480, 3, 256, 192),
       (100, 480, 1, 256, 192), (500, 100, 3, 100, 300)]


def stream():
    s, out = 1, bytearray()
    for _ in range(65521):
        out.append(s >> 3 & 255)
        s = (s * 75 + 74) % 65537
    return bytes(out)


def fnv(data):
    h, mask = 0xCBF29CE484222325, 0xFFFFFFFFFFFFFFFF
    for b in data:
        h = (h ^ b) * 0x100000001B3 & mask
    return "%016x" % h


def image(w, h, channels):
    n = w * h * channels
    return Image.frombytes("L" if channels == 1 else "RGB", (w, h), (STREAM * (n // len(STREAM) + 1))[:n])


STREAM = stream()
for w, h, c, nw, nh in RESIZE:
    print("resize", w, h, c, nw, nh, fnv(image(w, h, c).resize((nw, nh), Image.BICUBIC).tobytes()), sep="\t")
for w, h, c, nw, nh in PAD:
    grey = 127 if c == 1 else (127, 127, 127)
    print("pad", w, h, c, nw, nh, fnv(ImageOps.pad(image(w, h, c), (nw, nh), Image.BICUBIC, color=grey).tobytes()),
          sep="\t")
