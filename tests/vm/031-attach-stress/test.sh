#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=5G,5G kernel=ci,debug,up timeout=3600 first
# The program of a mounted famfs replaced, detached and attached while four threads fault
# on its files: every fault ends in right bytes or SIGBUS, and the kernel's counters say so
# to the last one. One map linked to two file systems; unmount with the link held.
# Words, and names without blanks
# shellcheck disable=SC2046,SC2086
. ../lib.sh
. ../daemon.sh
. ../stress.sh

# The second one's files have the same inode numbers
make_fsdev 0
make_pmem 1
mkdir -p /mnt/second
make_fs "$FSDEV"
make_fs "$PMEM"
DEV=$FSDEV
mounted
mount -t famfs "$PMEM" /mnt/second || bail "mount"
for m in $M /mnt/second; do
	famfs creat -s 32m $m/simple > /dev/null || bail "creat"
	famfs creat -s 32m $m/huge > /dev/null || bail "creat"
done
famfs creat -s 48m -N 3 -B 4 $M/strips > /dev/null || bail "creat"
for f in simple:1 strips:2 huge:3; do
	check "fill ${f%:*}" "$STRESS" fill "${f#*:}" "$M/${f%:*}"
done
# of MOUNT KEY: what it says of itself
of() { famfs status "$1" | sed -n 's/^ *"'"$2"'":"\?\([^",]*\)"\?,\?$/\1/p'; }
pins=/sys/fs/bpf/famfs

# As many faults as the rule asks for; where everything is slow, a part of them by default
counts=(-f 100000 -r 1000 -a 100)
[ "$KFLAVOUR" = ci ] || [ "$TEST_MODE" = full ] || counts=(-f 10000 -r 500 -a 50)
rules 40 "$STRESS" attach "${counts[@]}" $pins/"$(of $M uuid)" "$(of $M pid)" $M \
	$pins/"$(of /mnt/second uuid)" "$(of /mnt/second pid)" \
	mmap4k:1:$M/simple store4k:2:$M/strips mmap4k:2:$M/strips mmap2m:3:$M/huge \
	-- mmap4k:1:/mnt/second/simple mmap2m:3:/mnt/second/huge
umount $M 2>/dev/null
umount /mnt/second
# What was stored went where it belongs
mounted
for f in simple:1 strips:2 huge:3; do
	check "${f%:*} has what it should" "$STRESS" check "${f#*:}" "$M/${f%:*}"
done
check "umount" umount $M
nothing_left "after both are unmounted"
given_back "after all that"
done_testing
