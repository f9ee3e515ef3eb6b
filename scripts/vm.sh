#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm.sh [--debug] [OPTIONS of tests/vm/boot.sh] -- COMMAND: a command in a VM that has the
# patched kernel, and what was built installed where it belongs.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
flavour=ci
[ "${1:-}" != --debug ] || { flavour=debug; shift; set -- -t 600 "$@"; }
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	options+=("$1")
	shift
done
[ $# -gt 1 ] || die "no command: ./run vm [--debug] [OPTIONS] -- COMMAND"
shift

"$TOP/scripts/deps.sh"
kernel=$("$TOP/scripts/kernel-build.sh" "$flavour")
B=${BUILD:-$TOP/build}
"$TOP/scripts/build.sh"
exec "$TOP/tests/vm/boot.sh" -k "$kernel/vmlinux.pvh" -i "$B/vminit" "${options[@]}" -- "
export TOP='$TOP' STAGE='$B/stage' BUILD='$B' BPFTOOL='$B/bpftool' KFLAVOUR=$flavour
. '$TOP/tests/vm/prologue.sh'
$*"
