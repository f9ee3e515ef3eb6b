#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Build libbpf and bpftool of the kernel tree (Debian 12's libbpf knows no struct_ops
# links) and print the directory: DIR/usr/include, DIR/usr/lib64/libbpf.a, DIR/bpftool.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
SRC=$("$TOP/scripts/kernel-source.sh")
OUT=$CACHE/libbpf-$(kernel_version "$SRC")

build() {
	[ ! -x "$OUT/bpftool" ] || return 0
	say "building libbpf and bpftool"
	rm -rf "$OUT"
	mkdir -p "$OUT/o/lib" "$OUT/o/tool"
	run_logged libbpf make -s -C "$SRC/tools/lib/bpf" O="$OUT/o/lib/" DESTDIR="$OUT" prefix=/usr -j"$JOBS" install
	run_logged bpftool make -s -C "$SRC/tools/bpf/bpftool" O="$OUT/o/tool/" -j"$JOBS"
	cp "$OUT/o/tool/bpftool" "$OUT/bpftool.tmp"
	mv "$OUT/bpftool.tmp" "$OUT/bpftool"
	rm -rf "$OUT/o"
}

LOCK=libbpf
locked build >&2
echo "$OUT"
