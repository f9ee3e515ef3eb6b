#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Build user space into build/ and install it into build/stage, from where a VM takes it.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
BPF=$("$TOP/scripts/libbpf.sh")
B=${BUILD:-$TOP/build}
read -r -a margs <<< "${MESON_ARGS:-}"
[ -f "$B/build.ninja" ] ||
	run_logged meson-setup meson setup "$B" "$TOP" -Dlibbpf="$BPF" -Dbpftool="$BPF/bpftool" ${margs[@]+"${margs[@]}"}
run_logged ninja ninja -C "$B"
if [ -z "${NO_STAGE:-}" ]; then
	rm -rf "$B/stage"
	run_logged meson-install env DESTDIR="$B/stage" meson install -C "$B" --no-rebuild
	gcc -O2 -static -o "$B/vminit" "$TOP/tests/vm/vminit.c"
	# Where a VM sees it: the cache may be below a directory that is hidden there
	cp "$BPF/bpftool" "$B/bpftool"
fi
