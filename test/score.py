#!/usr/bin/python3
"""How well pages were read: score.py TRUTH READINGS [--bounds FILE]. Python's standard library only.

TRUTH holds NAME.txt, and boxes in NAME.tsv (x0 y0 x1 y1 text) or boxes.tsv (file x0 y0 x1 y1 text). READINGS holds
NAME.json as `dsocr read --format json` writes it, or NAME.txt of another program. A page without a reading is not
scored; one with bounds and without a reading fails.

CER   character errors in per cent of the truth, in whatever order the pieces were read: each piece of the truth (a line
      of NAME.txt, or a box), the longest first, is looked for in what is left of the reading and taken out at its best
      place; what is left in the end was read too much. The fewest errors of that and of the text in its order count.
      Quotes, dashes and white space are evened out.
lines share of the true boxes that one line of the reading covers, one to one, at an intersection over union of 0.5 or
      more; and the share of the reading's lines that match nothing. Pieces of a printed row may be read apart or as one.
      What the reading itself calls a page's head, foot or number is no extra line: truths leave such print out, or do not.
rows  the same by what was read: a row of NAME.txt is matched by the line whose text is nearest, one to one, with at most
      half of its letters wrong. For pages whose boxes are not those of printed rows.

The bounds are lines NAME CER [LINES EXTRA [rows]]: the most errors, the fewest matched lines, the most unmatched ones.
"""
import argparse
import json
import pathlib
import re
import sys
import unicodedata

FOLD = {ord(c): to for to, chars in (("'", "\u2018\u2019\u201a\u201b`\u00b4"), ('"', "\u201c\u201d\u201e\u201f"),
                                     ("-", "\u2010\u2011\u2012\u2013\u2014\u2212\u00ac"), ("s", "\u017f"),
                                     ("...", "\u2026"), ("fi", "\ufb01"), ("fl", "\ufb02"), ("", "\u00ad\ufeff"))
        for c in chars}


def normalise(text, capitals):
    text = unicodedata.normalize("NFC", text).translate(FOLD)
    text = " ".join(re.sub("-{2,}", "-", text).split())
    return re.sub(r"\s*([^\w\s])\s*", r"\1", text.casefold()) if capitals else text


def distance(a, b):
    """Edits from a to b, both as a whole."""
    return search(a, b, whole=True)[0] if a else len(b)


def search(pattern, text, whole=False):
    """Where pattern ends in text at the fewest edits: (edits, end). Myers' bit vectors, one bit a character. whole: both
    from the first to the last character."""
    m = len(pattern)
    ones = (1 << m) - 1
    at = {}
    for i, c in enumerate(pattern):
        at[c] = at.get(c, 0) | 1 << i
    plus, minus, score = ones, 0, m
    best = (m, 0)
    for j, c in enumerate(text):
        eq = at.get(c, 0)
        xv = eq | minus
        xh = (((eq & plus) + plus) ^ plus) | eq
        ph = minus | ~(xh | plus) & ones
        mh = plus & xh
        score += (ph >> (m - 1) & 1) - (mh >> (m - 1) & 1)
        ph, mh = (ph << 1 | whole) & ones, mh << 1 & ones
        plus, minus = mh | ~(xv | ph) & ones, ph & xv
        if score < best[0]:
            best = (score, j + 1)
    return (score, len(text)) if whole else best


TAKEN = "\0"


def errors(pieces, reading):
    """Edits between the pieces of the truth and a reading, in whatever order."""
    total = 0
    for piece in sorted(pieces, key=len, reverse=True):
        edits, end = search(piece, reading)
        if edits >= len(piece):
            total += len(piece)
            continue
        back, length = search(piece[::-1], reading[:end][::-1])
        found = reading[end - length:end]
        total += min(edits, back) if TAKEN not in found else edits
        reading = reading[:end - length] + TAKEN + reading[end:]
    return total + len("".join(reading.replace(TAKEN, " ").split()))


FURNITURE = ("page_header", "page_footer", "page_number")


def lines_of(document):
    """(text, box, whether it is the page's and not the text's) of each line."""
    for page in document["document"]["pages"]:
        for element in page.get("elements", []):
            for line in element.get("lines", []):
                yield line["text"], line["bbox"], element.get("type") in FURNITURE


def covers(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, w) * max(0, h)
    return both / max(1, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def alike(a, b):
    """1: the same letters; 0: nothing of a is in b."""
    return 1 - distance(a, b) / max(1, len(a))


def matched(truth, found, measure, furniture):
    """Per cent of truth that found matches one to one at a measure of 0.5 or more, and of found that matches nothing."""
    pairs = sorted(((measure(t, f), i, j) for i, t in enumerate(truth) for j, f in enumerate(found)), reverse=True)
    left, right = set(), set()
    for value, i, j in pairs:
        if value < 0.5:
            break
        if i not in left and j not in right:
            left.add(i)
            right.add(j)
    extra = sum(j not in right and not furniture[j] for j in range(len(found)))
    return 100 * len(left) / max(1, len(truth)), 100 * extra / max(1, len(found))


def rows_of(known, lines):
    """The boxes of printed rows: of the pieces that follow each other and make up a line of the text."""
    res, at = [], 0
    for line in lines:
        row, n = [], 0
        while at < len(known) and n < len("".join(line.split())):
            row.append(known[at][0])
            n += len("".join(known[at][1].split()))
            at += 1
        if row:
            res.append(tuple(f(b[i] for b in row) for i, f in enumerate((min, min, max, max))))
    return res


def boxes(folder):
    """{name: [(box, text), ...]}"""
    res = {}
    for path in folder.glob("*.tsv"):
        for row in path.read_text().splitlines()[1:]:
            cells = row.split("\t")
            name = path.stem if len(cells) == 5 else pathlib.Path(cells[0]).stem
            *box, text = cells[-5:]
            res.setdefault(name, []).append((tuple(int(float(v)) for v in box), text))
    return res


def lines_matched(read, known, rows, by_text, capitals):
    """The best of the ways in which a truth's lines may be put: as its boxes are, or as printed rows."""
    furniture = [f for _, _, f in read]
    if by_text:
        truth, found = ([normalise(t, capitals) for t in texts] for texts in (filter(str.strip, rows), [t for t, _, _ in read]))
        return matched(truth, found, alike, furniture)
    found = [b for _, b, _ in read]
    ways = (matched(boxes, found, covers, furniture) for boxes in ([b for b, _ in known], rows_of(known, rows)))
    return max(ways, key=lambda r: r[0] - r[1])


def score(name, truth, known, reading_file, capitals, by_text):
    if reading_file.suffix == ".json":
        read = list(lines_of(json.loads(reading_file.read_text())))
        reading = " ".join(t for t, _, _ in read)
    else:
        read, reading = None, reading_file.read_text()
    reading = normalise(reading, capitals)
    whole = normalise(truth.replace("~", ""), capitals)  # ~: could not be typed
    fewest = distance(whole, reading)
    for pieces in (truth.splitlines(), [t for _, t in known]):
        pieces = [p for p in (normalise(t.replace("~", ""), capitals) for t in pieces) if p]
        fewest = min(fewest, errors(pieces, reading)) if pieces else fewest
    res = {"chars": len(whole), "cer": 100 * fewest / max(1, len(whole))}
    if read is not None:
        res["read"] = len(read)
    if read is not None and (known or by_text):
        res["lines"], res["extra"] = lines_matched(read, known, truth.splitlines(), by_text, capitals)
    return res


def main():
    args = argparse.ArgumentParser()
    args.add_argument("truth", type=pathlib.Path)
    args.add_argument("readings", type=pathlib.Path)
    args.add_argument("--bounds", type=pathlib.Path)
    a = args.parse_args()
    bounds, by_text = {}, set()
    for row in a.bounds.read_text().splitlines() if a.bounds else []:
        name, *values = row.split("#")[0].split() or [None]
        if name:
            by_text |= {name} if values[-1:] == ["rows"] else set()
            bounds[name] = [float(v) for v in values if v != "rows"]
    known = boxes(a.truth)
    bad, seen, rows = 0, set(), []
    print(f"   {'page':18} {'letters':>7} {'CER %':>7} {'lines %':>8} {'extra %':>8}   bound")
    for truth in sorted(a.truth.glob("*.txt")):
        name = truth.stem
        reading = next((f for f in (a.readings / f"{name}.json", a.readings / f"{name}.txt") if f.exists()), None)
        if reading is None:
            continue
        # Where boxes have a text of their own it is the same text; only the samples' receipt is in capitals.
        r = score(name, truth.read_text(), known.get(name, []), reading, "samples" in a.truth.parts and "receipt" in name,
                  name in by_text)
        limit = bounds.get(name, [])
        ok = not limit or r["cer"] <= limit[0] and (len(limit) < 3 or r.get("lines", 0) >= limit[1] and r.get("extra", 100) <= limit[2])
        seen.add(name)
        bad += not ok
        rows.append(r)
        cells = "".join(f"{r[k]:9.1f}" if k in r else f"{'-':>9}" for k in ("lines", "extra"))
        mark = ("ok " if ok else "FAIL") if limit else "  "
        print(f"{mark:4} {name:17} {r['chars']:7} {r['cer']:7.2f}{cells}   {' '.join(f'{v:g}' for v in limit)}")
    for name in sorted(set(bounds) - seen):
        bad += 1
        print(f"FAIL {name} was not read")
    if rows:
        print(f"     mean CER {sum(r['cer'] for r in rows) / len(rows):.2f} of {len(rows)} pages")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
