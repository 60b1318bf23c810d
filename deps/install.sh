#!/bin/bash
# install.sh GROUP... - installs the Debian packages of these groups (deps/debian.txt) that are missing. Quiet when
# nothing is. Needs root or sudo; without either it says what to type and ends with status 1.
set -euo pipefail
cd "$(dirname "$0")"

groups=" $* "
missing=()
while read -r group package _; do
    [[ -z "$group" || "$group" == \#* || "$groups" != *" $group "* ]] && continue
    [[ " ${missing[*]-} " == *" $package "* ]] && continue
    [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || missing+=("$package")
done < debian.txt
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "dsocr is built and tried on Debian 12; this machine has no apt-get. What corresponds to these is needed:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
root=()
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        root=(sudo)
    else
        echo "packages are missing and this user may not install them; as root:" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi

echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$(mktemp)
# A server package makes and starts a cluster "main" of its own; nobody asked for one here.
dropin=/etc/postgresql-common/createcluster.d/dsocr-deps.conf
cleanup() {
    rm -f "$log"
    "${root[@]}" rm -f "$dropin"
}
trap cleanup EXIT
"${root[@]}" mkdir -p "${dropin%/*}"
echo "create_main_cluster = false" | "${root[@]}" tee "$dropin" >/dev/null

apt() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >>"$log" 2>&1
}
install() {
    apt install -y --no-install-recommends "${missing[@]}"
}
# The lists may be fresh already, or old, or absent.
install || { apt update && install; } || {
    echo "apt-get could not install them:" >&2
    tail -n 20 "$log" >&2
    exit 1
}
