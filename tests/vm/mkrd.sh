#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# mkrd.sh OUT.cpio PROGRAM|FILE[:DEST]...
# An initramfs for runs that must be deterministic (boot.sh -I -R OUT.cpio):
# the named programs (looked up in PATH when they have no slash) with the
# shared libraries ldd names, at their own paths unless DEST is given.
set -euo pipefail
OUT=$(realpath -m "$1"); shift
D=$(mktemp -d); trap 'rm -rf "$D"' EXIT
mkdir -p "$D"/{bin,sbin,usr/bin,usr/sbin,lib,lib64,usr/lib,etc,proc,sys,dev,tmp,run,mnt,root,var/tmp,var/log}
put() { local s=$1 d=$2; [ -e "$D$d" ] && return; mkdir -p "$D$(dirname "$d")"; cp -L --preserve=mode "$s" "$D$d"; }
for a in /bin/bash "$@"; do
    s=${a%%:*}; d=; [ "$s" = "$a" ] || d=${a#*:}
    case $s in */*) ;; *) s=$(PATH=$PATH:/usr/sbin:/sbin type -P "$s");; esac
    put "$s" "${d:-$s}"
    ldd "$s" 2>/dev/null | grep -o '/[^ ]*' | while read -r l; do put "$l" "$l"; done || true
done
[ -e /etc/mke2fs.conf ] && cp /etc/mke2fs.conf "$D/etc/"
(cd "$D" && find . | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) > "$OUT"
echo "mkrd: $OUT $(stat -c %s "$OUT") bytes" >&2
