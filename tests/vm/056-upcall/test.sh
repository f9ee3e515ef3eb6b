#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=5G,5G kernel=ci timeout=300 full
# -o upcall: the same file system with mappings from the server, also across kills, with
# few threads, and while the server is stopped.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
make_pmem 1
DEV=$FSDEV
make_fs "$DEV" --add-device "$PMEM"
head -c 12M /dev/urandom > /tmp/pattern
for threads in 1 4; do
	t="threads=$threads"
	mounted -o "upcall,threads=$threads,dev=1:$PMEM"
	is "$t: no program" "$("$BPFTOOL" struct_ops show | grep -c fuse_iomap)" 0
	is "$t: no pins" "$(ls /sys/fs/bpf/famfs 2>/dev/null)" ""
	check "$t: creat" famfs creat -s 12m -N 3 -B 6 -C 2m "$M"/f$threads
	check "$t: creat" famfs creat -s 12m "$M"/g$threads
	check "$t: write" dd if=/tmp/pattern of="$M"/f$threads bs=1M conv=notrunc status=none
	check "$t: read" cmp /tmp/pattern "$M"/f$threads
	pid=$(worker)
	at_least "$t: mappings were asked for" "$(counter "$pid" upcall)" 1
	is "$t: none was rejected" "$(rejects "$pid")" 0
	for n in 1 2 3; do
		(for ((i = 0; i < 20; i++)); do
			stat "$M/none$i" 2>/dev/null && echo "found none$i"
			cmp /tmp/pattern "$M"/f$threads || echo "other bytes"
			ls "$M" > /dev/null || echo "no listing"
		done) > /tmp/out 2>&1 &
		sleep 0.3
		kill -9 "$(worker)"
		wait $!
		is "$t: nothing failed at kill $n" "$(cat /tmp/out)" ""
	done
	kill -STOP "$(worker)"
	cmp /tmp/pattern "$M"/f$threads > /tmp/out 2>&1 &
	sleep 1
	kill -CONT "$(worker)"
	wait $!
	is "$t: a stopped server only delays" $? 0
	check "$t: umount" umount "$M"
	nothing_left "$t"
done
mounted -o "dev=1:$PMEM"
check "by BPF the same bytes" cmp /tmp/pattern "$M"/f1
umount "$M"
done_testing
