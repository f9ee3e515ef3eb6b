#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=1G kernel=ci,debug,up timeout=2000 full=debug,up
# What fstests looks at in its DAX tests, on ext4 and XFS: the patches of fs/dax and mm are
# not for fuse only.
. ../lib.sh

make_pmem 0
C=$BUILD/tests/vm/daxcases
M=/mnt/dax
# Not DAX, and knows O_DIRECT
mkdir -p "$M" /run/other

cases=(dio stale-pmd cow-race fallocate holes collision read-only exec sync)
for fs in ext4 xfs; do
	# Where everything is slow, the second time what is about races
	[ $fs = ext4 ] || [ "$KFLAVOUR" = ci ] || [ "$TEST_MODE" = full ] ||
		cases=(stale-pmd cow-race collision)
	case $fs in
	ext4) mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 "$PMEM";;
	xfs) mkfs.xfs -q -f -d su=2m,sw=1 "$PMEM";;
	esac || bail "no $fs"
	check "$fs: mount" mount -t "$fs" -o dax=always "$PMEM" "$M"
	more=(limits flush)
	[ $fs = ext4 ] || more+=(reflink)
	# What failed stays marked as failed, so at the end
	for case in "${cases[@]}" "${more[@]}" poison; do
		check "$fs: $case" timeout 400 "$C" "$case" "$M" /run/other
	done
	check "$fs: unmount" umount "$M"
	if [ $fs = ext4 ]; then
		check "$fs: consistent" e2fsck -fn "$PMEM"
	else
		check "$fs: consistent" xfs_repair -n "$PMEM"
	fi
done
done_testing
