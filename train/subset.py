"""Fonts that lines.py can draw with, cut down to the characters that it draws: about a tenth of their size.

    python subset.py OUT [--model ../model/mini] [--fonts FOLDER ...]

A face keeps its file's name and its place under its folder, since both decide what kind it is of.
"""

import argparse
import logging
import os
import sys

from fontTools import subset

import lines
from vocab import Vocab


def cut_down(path, out, chars):
    options = subset.Options(name_IDs=[1, 16], hinting=True, notdef_outline=True, glyph_names=False)
    options.layout_features += ["dlig", "hlig"]  # early print
    options.drop_tables += ["FFTM", "PfEd", "DSIG", "meta"]
    font = subset.load_font(path, options, dontLoadGlyphNames=True)
    cutter = subset.Subsetter(options)
    cutter.populate(text=chars)
    cutter.subset(font)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    subset.save_font(font, out, options)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--model", default="../model/mini")
    p.add_argument("--fonts", nargs="+", default=["/usr/share/fonts", "/usr/share/texmf"])
    a = p.parse_args()
    logging.disable(logging.WARNING)  # of tables that fontTools does not know and drops
    chars = "".join(sorted(Vocab(a.model).chars)) + "ſ" + "".join(lines.SCRIPTS) + lines.LETTERS
    kept = failed = 0
    for folder in a.fonts:
        for path in sorted(f.path for family in lines.families((folder,)).values() for f in family):
            try:
                cut_down(path, os.path.join(a.out, os.path.relpath(path, folder)), chars)
                kept += 1
            except Exception as e:  # whatever a broken font raises: it stays here
                failed += 1
                print(f"{path}: {e!r}", file=sys.stderr)
    print(f"{kept} faces cut down, {failed} left out", file=sys.stderr)
    if not kept:
        raise SystemExit(f"no usable font in {', '.join(a.fonts)}: fonts.txt lists Debian packages")


if __name__ == "__main__":
    main()
