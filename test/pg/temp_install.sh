#!/bin/bash
# temp_install.sh DIR [ENGINE] - a private copy of the server of PG_CONFIG in DIR, with the extension put into it.
#
# A server finds its libraries relative to its own executable, so a copy that keeps the folders' places works
# anywhere. Nothing that is installed on the machine is touched, and no rights are needed. Prints the copy's bindir.
# ENGINE: the executable that is installed as the engine (build/dsocr).
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$1 engine=${2:-build/dsocr}
config=${PG_CONFIG:-pg_config}
bin=$($config --bindir) share=$($config --sharedir) lib=$($config --pkglibdir)

if ! test -x "$dir$bin/postgres"; then
    mkdir -p "$dir$bin" "$dir$share" "$dir$lib"
    cp -a "$bin/." "$dir$bin/"
    cp -a "$share/." "$dir$share/"
    cp -a "$lib/." "$dir$lib/"
fi
make -s --no-print-directory -f pgxs.mk PG_CONFIG="$config" install DESTDIR="$dir" >&2
rm -f "$dir$bin/dsocr"
install -m 755 "$engine" "$dir$bin/dsocr"
mkdir -p "$dir$share/dsocr/models"
rm -rf "$dir$share/dsocr/models/mini"
cp -r model/mini "$dir$share/dsocr/models/mini"
chmod -R a+rX "$dir"
echo "$dir$bin"
