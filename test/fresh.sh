#!/bin/bash
# fresh.sh [DIR] - tries the README as a new user would: in a bare Debian 12 (debootstrap, minbase) it types the lines of
# the README's section "Try it" and waits for text on the screen. Needs root, debootstrap and the network. Mounts and
# processes live in a namespace of their own and go with it; no cluster of this machine is seen or touched. With DIR the
# bare Debian is kept there for the next time, as DIR/base.tar.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "fresh.sh needs root: it makes a chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is not installed: apt-get install debootstrap" >&2; exit 1; }

keep=${1:-}
work=$(mktemp -d "${TMPDIR:-/tmp}/dsocr-fresh.XXXXXX")
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo "apt knows no source for bookworm: apt-get update first" >&2; exit 1; }

started=$SECONDS
mkdir "$root"
if [ -n "$keep" ] && [ -f "$keep/base.tar" ]; then
    tar -xpf "$keep/base.tar" -C "$root"
else
    debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        exit 1
    }
    [ -z "$keep" ] || { mkdir -p "$keep" && tar -cpf "$keep/base.tar" -C "$root" .; }
fi
echo "a bare Debian after $((SECONDS - started)) s: $(chroot "$root" dpkg-query -f '.\n' -W | wc -l) packages, no make, no git"
# How this machine reaches the network, and nothing else of it.
apt-config dump | sed -nE '/^Acquire::(https?::|Check-)/p' >"$root/etc/apt/apt.conf.d/99machine"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp -L /etc/hosts "$root/etc/hosts"
git clone -q --bare . "$root/srv/dsocr.git"

# The README's own lines; only the place to clone from is filled in.
lines=$(awk '/^## Try it/ { on = 1 } on && /^```$/ && code { exit } code { print } on && /^```sh/ { code = 1 }' README.md |
    sed 's#REPOSITORY#/srv/dsocr.git#')
[ -n "$lines" ] || { echo "FAIL README.md has no lines under \"Try it\"" >&2; exit 1; }
printf '%s\n' "$lines" | sed 's/^/  $ /'
printf 'set -e\ncd /root\n%s\n' "$lines" >"$root/root/try.sh"

started=$SECONDS
unshare --mount --pid --fork --kill-child bash -c '
    mount -t proc proc "$1/proc" && mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" 2>/dev/null || mkdir -p "$1/dev/shm"
    exec chroot "$1" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb bash /root/try.sh
' - "$root" </dev/null 2>&1 | tee "$work/log" && status=0 || status=$?
took=$((SECONDS - started))
if [ $status = 0 ] && grep -q 'THE HISTORY OF CLOUDS\|shepherds\|Pennyfeather' "$work/log"; then
    echo "ok   from a bare Debian to the text of a scan in $took s"
else
    echo "FAIL after $took s (status $status): no text on the screen"
    exit 1
fi
