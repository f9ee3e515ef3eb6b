#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=1G cpus=1 pmem=5G kernel=off timeout=300
# A kernel without fuse-iomap: one sentence, exit status 32, nothing left. Never another
# mode in its place.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
DEV=$FSDEV
fails "mount -t famfs" 32 "kernel lacks fuse-iomap" mount -t famfs "$DEV" "$M"
fails "it says what to boot" 32 "CONFIG_FUSE_IOMAP" mount -t famfs "$DEV" "$M"
fails "-o upcall" 32 "kernel lacks fuse-iomap" mount -t famfs -o upcall "$DEV" "$M"
is "one line" "$(mount -t famfs "$DEV" "$M" 2>&1 | wc -l)" 1
nothing_left "afterwards"
done_testing
