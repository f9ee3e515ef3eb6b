#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=1G,1G kernel=ci,debug,up timeout=3000 first full=ci,up
# Faults, truncation, eviction, compaction, poison, fork, mprotect, mremap and pins at
# once, on ext4, XFS and fuse-iomap; then the device goes away under it. Every page is
# compared afterwards. About a minute; ten in --full, on the debug kernel.
. ../lib.sh

# What each of six processes maps, of each of four file systems: not for how long, since
# then a slow machine would test nothing
maps=8
[ "$TEST_MODE" != full ] || [ "$KFLAVOUR" != debug ] || maps=150
S=$BUILD/tests/vm/daxstress
M=/mnt/stress
mkdir -p "$M" /run/t
cd /run/t || bail "no /run/t"
seed=${STRESS_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
echo "# seed $seed"

# What is printed says what was done, and must not be nothing
stress() { # NAME ARGUMENT...
	local name=$1 rc n
	shift
	timeout -k 10 4000 "$S" -n "$maps" -j 6 -r "$seed" "$@" > "$name.log" 2>&1
	rc=$?
	sed 's/^/# /' "$name.log" | tail -n 12
	is "$name: all data are as they should be" "$rc" 0
	n=$(sed -n 's/^map \([0-9]*\) touch.*/\1/p' "$name.log")
	at_least "$name: ranges mapped" "${n:-0}" $((maps * 2))
}

make_fsdev 0
make_pmem 1

mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 "$PMEM" || bail "no ext4"
check "ext4: mount" mount -t ext4 -o dax=always "$PMEM" "$M"
stress ext4 -t "$M"
check "ext4: unmount" umount "$M"
check "ext4: consistent" e2fsck -fn "$PMEM"

mkfs.xfs -q -f -d su=2m,sw=1 "$PMEM" || bail "no XFS"
check "xfs: mount" mount -t xfs -o dax=always "$PMEM" "$M"
stress xfs -t "$M"
check "xfs: unmount" umount "$M"
check "xfs: consistent" xfs_repair -n "$PMEM"

# Poison stays with a device: a file system that has some must be the last on it
cat > table <<TABLE
striped.keep striped 2M	$PMEM 64M 2M	$FSDEV 64M 2M	$PMEM 96M 2M
linear.keep  linear	$FSDEV 128M 6M
odd.keep     linear	$PMEM 131076K 6M
cat.keep     concat	$PMEM 256M 3M	$FSDEV 256M 3M
sick.poison  linear	$PMEM 512M 6M
TABLE
check "fuse: starts" "$BUILD/server/daxslice/daxslice" --bpf table "$M"
stress fuse "$M"
check "fuse: unmount" umount "$M"

cat > table <<TABLE
striped.keep striped 2M	$FSDEV 64M 2M	$FSDEV 80M 2M	$FSDEV 96M 2M
linear.keep  linear	$FSDEV 128M 6M
odd.keep     linear	$FSDEV 163844K 6M
TABLE
for _ in 1 2 3 4 5 6 7 8 9 10; do pgrep -x daxslice > /dev/null || break; sleep 1; done
check "unbind: starts" "$BUILD/server/daxslice/daxslice" --bpf table "$M"
stress unbind -g "echo ${FSDEV#/dev/} > /sys/bus/dax/drivers/fsdev_dax/unbind" "$M"
is "unbind: the device is gone" "$(ls "/sys/bus/dax/drivers/fsdev_dax/${FSDEV#/dev/}" 2> /dev/null)" ""
check "unbind: unmount" umount "$M"

done_testing
