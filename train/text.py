"""Makes the folder of texts that lines.py draws from: out of Debian packages, or out of your own files.

    python text.py --packages --out text         # apt-get download, unpacked in a temporary folder: 500 MB
    python text.py --packages fortunes-de manpages-es --out text
    python text.py --folder MY_TEXTS --out text  # .txt, .md, .html

One file a source. A paragraph counts if it has 50 characters and four in five are letters or spaces;
doubles are dropped, and so is what the vocabulary of the model cannot say.
"""

import argparse
import glob
import gzip
import html
import os
import random
import re
import subprocess
import sys
import tempfile

from vocab import Vocab

CAP = 2_000_000  # characters of one source: no manual may drown the rest
LONGEST_NAME = 60

# package -> (pattern inside it, how to read it)
SOURCES = {
    "anarchism": ("usr/share/doc/anarchism/**/*.html", "html"),
    "postgresql-doc-15": ("usr/share/doc/postgresql-doc-15/html/*.html", "html"),
    "debian-handbook": ("usr/share/doc/debian-handbook/html/*/**/*.html", "html"),
    "manpages": ("usr/share/man/man*/*.gz", "man"),
    "manpages-de": ("usr/share/man/de/man*/*.gz", "man"),
    "manpages-fr": ("usr/share/man/fr/man*/*.gz", "man"),
    "manpages-es": ("usr/share/man/es/man*/*.gz", "man"),
    "fortunes": ("usr/share/games/fortunes/*", "fortunes"),
    "fortunes-de": ("usr/share/games/fortunes/de/*", "fortunes"),
    "fortunes-es": ("usr/share/games/fortunes/es/*", "fortunes"),
    "fortunes-it": ("usr/share/games/fortunes/it/*", "fortunes"),
    "dict-foldoc": ("usr/share/dictd/*.dict.dz", "dict"),
    "dict-jargon": ("usr/share/dictd/*.dict.dz", "dict"),
    "dict-gcide": ("usr/share/dictd/*.dict.dz", "dict"),
    "wamerican": ("usr/share/dict/american-english", "words"),
    "wfrench": ("usr/share/dict/french", "words"),
    "wngerman": ("usr/share/dict/ngerman", "words"),
    "wspanish": ("usr/share/dict/spanish", "words"),
    "witalian": ("usr/share/dict/italian", "words"),
    "wportuguese": ("usr/share/dict/portuguese", "words"),
    "wdutch": ("usr/share/dict/dutch", "words"),
} | {f"libreoffice-help-{l}": ("usr/**/libreoffice/help/*/**/*.html", "html")
     for l in ("en-us", "de", "fr", "es", "it", "pt", "nl", "pl", "da", "cs", "sv", "hu")}


def slurp(path):
    raw = gzip.open(path).read() if path.endswith((".gz", ".dz")) else open(path, "rb").read()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def from_html(s):
    s = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", s, flags=re.S | re.I)
    s = re.sub(r"</?(p|div|li|td|h\d|br|dd|dt)[^>]*>", "\n\n", s, flags=re.I)
    return html.unescape(re.sub(r"<[^>]+>", " ", s))


def from_man(s):
    """A troff source: requests are paragraph ends, escapes go."""
    return "\n".join("" if l.startswith(".") else re.sub(r"\\f.|\\[-&]|\\\(..|\\", "", l) for l in s.split("\n"))


def from_fortunes(s):
    return s.replace("\n%\n", "\n\n")


READ = {"html": from_html, "man": from_man, "fortunes": from_fortunes, "dict": str, "plain": str}


def paragraphs(text):
    for p in re.split(r"\n\s*\n|(?<=[.!?])\s{3,}", text):
        p = re.sub(r"\s+", " ", p).strip()
        if len(p) >= 50 and sum(c.isalpha() or c == " " for c in p) / len(p) > .8:
            yield p


def words(text):
    """A word list in a fixed random order, as one paragraph."""
    found = text.split()
    random.Random(1).shuffle(found)
    yield " ".join(found[:60000])


class Writer:
    def __init__(self, out, chars):
        self.out, self.seen = out, set()
        self.other = re.compile("[^" + re.escape("".join(sorted(chars))) + " ]")
        os.makedirs(out, exist_ok=True)

    def source(self, name, paths, kind):
        """-> characters written; the rest of a paragraph with a foreign character goes on without it."""
        n = foreign = 0
        with open(os.path.join(self.out, name + ".txt"), "w", encoding="utf-8") as f:
            for p in self.all_paragraphs(paths, kind):
                clean = re.sub(r"\s+", " ", self.other.sub("", p)).strip()
                if len(clean) < .95 * len(p):
                    foreign += 1
                elif clean not in self.seen and n < CAP:
                    self.seen.add(clean)
                    f.write(clean + "\n")
                    n += len(clean)
        print(f"{name}: {n} characters, {foreign} paragraphs in other scripts left out", flush=True)
        return n

    @staticmethod
    def all_paragraphs(paths, kind):
        for path in paths:
            if os.path.isfile(path) and not path.endswith((".dat", ".u8")):
                text = slurp(path)
                yield from words(text) if kind == "words" else paragraphs(READ[kind](text))


def from_packages(writer, names):
    failed = []
    for name in names or SOURCES:
        if name not in SOURCES:
            sys.exit(f"no recipe for package {name}; there are: {' '.join(SOURCES)}")
        with tempfile.TemporaryDirectory() as d:
            got = subprocess.run(["apt-get", "download", name], cwd=d, capture_output=True, text=True)
            debs = glob.glob(os.path.join(d, "*.deb"))
            if got.returncode or not debs:
                failed.append(name)
                continue
            subprocess.run(["dpkg", "-x", debs[0], d], check=True)
            pattern, kind = SOURCES[name]
            writer.source(name, sorted(glob.glob(os.path.join(d, pattern), recursive=True)), kind)
    if failed:
        print("not to be had:", " ".join(failed))


def from_folder(writer, folder):
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.*"), recursive=True)):
        kind = {".txt": "plain", ".md": "plain", ".html": "html", ".htm": "html"}.get(os.path.splitext(path)[1].lower())
        if kind:
            writer.source("my_" + os.path.splitext(os.path.relpath(path, folder))[0].replace(os.sep, "_")[:LONGEST_NAME], [path], kind)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--packages", nargs="*", metavar="NAME", help="Debian packages; none named: all that have a recipe")
    p.add_argument("--folder")
    p.add_argument("--out", default="text")
    p.add_argument("--model", default="../model/mini", help="whose vocabulary decides what can be said")
    a = p.parse_args()
    if a.packages is None and not a.folder:
        p.error("--packages or --folder is needed")
    writer = Writer(a.out, Vocab(a.model).chars)
    if a.packages is not None:
        from_packages(writer, a.packages)
    if a.folder:
        from_folder(writer, a.folder)


if __name__ == "__main__":
    main()
