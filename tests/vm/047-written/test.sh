#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=1G kernel=debug timeout=900
# Who asks which pages were written to is told exactly, on ext4 and XFS, although faults map
# others around. Only the debug kernel has USERFAULTFD and MEM_SOFT_DIRTY, which cost the
# others instructions.
. ../lib.sh

make_pmem 0
C=$BUILD/tests/vm/daxcases
M=/mnt/dax
mkdir -p "$M"

for fs in ext4 xfs; do
	case $fs in
	ext4) mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 "$PMEM";;
	xfs) mkfs.xfs -q -f -d su=2m,sw=1 "$PMEM";;
	esac || bail "no $fs"
	check "$fs: mount" mount -t "$fs" -o dax=always "$PMEM" "$M"
	for case in soft-dirty write-protect; do
		check "$fs: $case" timeout 300 "$C" "$case" "$M"
	done
	check "$fs: unmount" umount "$M"
done
done_testing
