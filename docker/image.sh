#!/bin/sh
# The inference image, run as a hospital runs it: read-only, no network, not root, no capabilities.
#
#   docker/image.sh                     build it, then predict three scans of the built-in data
#   docker/image.sh base                only find the engine and get the base image
#   docker/image.sh run IN OUT [ARG]... predict IN with the built image; ARG goes to scanlens predict
#
# IMAGE names the image (default scanlens:latest), BASE another base image (Debian-like, Python 3.11 or
# newer), CA a CA file for networks that inspect TLS (default: the system's). Ends with 1 where it refuses,
# 2 on wrong usage; run ends as scanlens predict does.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)

image=${IMAGE:-scanlens:latest}
registry_base=$(sed -n 's/^ARG BASE=//p' "$project/Dockerfile")
own_base=scanlens-base:bookworm
bundle=data/09_bundle
scans=data/01_raw/acquired/scans

refuse() {
    echo "image: $1" >&2
    exit "${2:-1}"
}

# A folder for everything temporary, gone at the end whatever happens. Not in /tmp: there debootstrap is
# often refused (mounted nodev), and interrupted it leaves /proc mounted below.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/scanlens.XXXXXX")
clean_up() {
    umount "$work/base/proc" "$work/base/sys" 2> /dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

find_engine() {
    if command -v docker > /dev/null && docker info > /dev/null 2>&1; then
        engine=docker
    elif command -v podman > /dev/null && podman info > /dev/null 2>&1; then
        engine=podman
    else
        refuse "no container engine works here. Start docker, or run: apt-get install podman runc"
    fi
}

has_image() {
    $engine image inspect "$1" > /dev/null 2>&1
}

make_base() {
    echo "image: $registry_base can't be pulled; making $own_base with debootstrap" >&2
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" \
        > "$work/debootstrap.log" 2>&1 || {
        tail -n 3 "$work/debootstrap.log" >&2
        refuse "debootstrap failed, see above. Name a base image that is there: BASE=... make image"
    }
    rm -rf "$work"/base/var/cache/apt/* "$work"/base/var/lib/apt/lists/* "$work"/base/usr/share/doc/*
    tar -C "$work/base" -c . | $engine import - "$own_base" > /dev/null
    rm -rf "$work/base"
}

find_base() {
    for base in ${BASE:-"$registry_base" "$own_base"}; do
        if has_image "$base"; then return; fi
    done
    base=${BASE:-$registry_base}
    if $engine pull "$base" > "$work/pull.log" 2>&1; then return; fi
    if [ -n "${BASE:-}" ] || [ "$(id -u)" != 0 ] || ! command -v debootstrap > /dev/null; then
        tail -n 1 "$work/pull.log" >&2
        refuse "$base can't be pulled. Name a base image that can (BASE=... make image), or let one be made: as root, apt-get install debootstrap"
    fi
    make_base
    base=$own_base
}

# Inside another container podman needs limits below its defaults, and often runc and plain cgroups.
find_options() {
    limits="--ulimit nofile=1024:1024 --ulimit nproc=4096:4096"
    for try in "|" "|$limits" "--runtime runc --cgroup-manager cgroupfs|$limits"; do
        global=${try%|*} limits=${try#*|}
        # shellcheck disable=SC2086
        if $engine $global run --rm --network none $limits --entrypoint true "$1" > "$work/probe.log" 2>&1; then
            return
        fi
    done
    tail -n 1 "$work/probe.log" >&2
    refuse "$engine can't run containers here"
}

build() {
    set -- --tag "$image" --build-arg "BASE=$base" \
        --build-arg "VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/scanlens/__init__.py)" \
        --build-arg "REVISION=$(git rev-parse --short HEAD 2> /dev/null || echo unknown)"
    certificates=${CA:-/etc/ssl/certs/ca-certificates.crt}
    if [ -r "$certificates" ]; then set -- "$@" --secret "id=ca,src=$certificates"; fi
    # chroot: the build's own processes need no namespaces, which are missing inside another container.
    if [ "$engine" = podman ]; then set -- --isolation chroot "$@"; fi
    DOCKER_BUILDKIT=1 $engine build "$@" . || refuse "the build failed, see above"
}

# Arguments: folder of scans, folder for the output, arguments of scanlens predict.
predict() {
    input=$(cd "$1" && pwd)
    output=$(cd "$2" && pwd)
    shift 2
    # As the image's own user where this is root; else as the caller, who then owns what is written.
    user=
    if [ "$(id -u)" != 0 ]; then
        user="--user $(id -u):$(id -g)"
        if [ "$engine" = podman ]; then user="$user --userns keep-id"; fi
    fi
    # label=disable: SELinux would else forbid both folders, or have to relabel the caller's data.
    # shellcheck disable=SC2086
    $engine $global run --rm --read-only --tmpfs /tmp --network none --cap-drop all \
        --security-opt no-new-privileges --security-opt label=disable $user $limits \
        -v "$input:/in:ro" -v "$output:/out" "$image" "$@"
}

check() {
    mkdir "$work/in" "$work/out"
    find "$scans" -type f | sort | head -n 3 | while read -r scan; do cp "$scan" "$work/in"; done
    # The image's user is neither owner nor group.
    chmod -R a+rX "$work/in"
    chmod a+rwx "$work/out"
    start=$(date +%s)
    predict "$work/in" "$work/out" || refuse "the image ran, but scanlens predict failed"
    seconds=$(($(date +%s) - start))
    cat "$work/out/predictions.csv"
    if [ "$(wc -l < "$work/out/predictions.csv")" != 4 ] || [ "$(wc -l < "$work/out/failures.csv")" != 1 ]; then
        cat "$work/out/failures.csv" >&2
        refuse "expected three predictions and no failure"
    fi
    bytes=$($engine image inspect --format '{{.Size}}' "$image")
    echo "image: $image, $((bytes / 1000000)) MB, predicted 3 scans in $seconds s ($engine, read-only, no network)"
}

case ${1:-all} in
all)
    cd "$project"
    if [ ! -f "$bundle/bundle.json" ] || [ "$(find "$scans" -type f 2> /dev/null | head -n 3 | wc -l)" != 3 ]; then
        refuse "$bundle or $scans is missing. Run: make repro"
    fi
    find_engine
    find_base
    find_options "$base"
    build
    check
    ;;
base)
    find_engine
    find_base
    find_options "$base"
    echo "image: $engine, $base"
    ;;
run)
    if [ ! -d "${2:-}" ] || [ ! -d "${3:-}" ]; then refuse "run needs two folders: run IN OUT [ARG]..." 2; fi
    shift
    find_engine
    has_image "$image" || refuse "$image is not built. Run: make image"
    find_options "$image"
    predict "$@"
    ;;
*) refuse "no command $1. Commands: base, run, or none at all" 2 ;;
esac
