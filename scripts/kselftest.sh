#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Build the kselftest of the series, against its own fuse.h, into build/.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
B=${BUILD:-$TOP/build}
T=$KSRC/tools/testing/selftests
"$TOP/scripts/kernel-build.sh" source > /dev/null
mkdir -p "$B/kinc/linux"
cp "$KSRC/include/uapi/linux/fuse.h" "$B/kinc/linux/"
run_logged kselftest gcc -Wall -O2 -g -isystem "$B/kinc" -I"$T" \
	"$T/filesystems/fuse/fuse_iomap_test.c" -o "$B/fuse_iomap_test" -lpthread
