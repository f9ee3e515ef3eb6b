#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G,5G kernel=ci timeout=1800
# -o upcall: the same file system with mappings from the server, also across kills, with
# few threads, and while the server is stopped.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
make_pmem 1
DEV=$FSDEV
make_fs "$DEV" --add-device "$PMEM"
head -c 6M /dev/urandom > /tmp/pattern
for threads in 1 4; do
	t="threads=$threads"
	d=$M/d$threads
	mounted -o "upcall,threads=$threads,dev=1:$PMEM"
	is "$t: no program" "$(programs)" 0
	is "$t: no pins" "$(ls /sys/fs/bpf/famfs 2>/dev/null)" ""
	check "$t: mkdir" famfs mkdir "$d"
	for n in 1 2; do check "$t: creat" famfs creat -s 6m -N 3 -B 6 -C 2m "$d"/f$n; done
	for n in 3 4 5 6 7 8; do famfs creat -s 6m "$d"/f$n > /dev/null || bail "creat"; done
	for n in 1 2; do check "$t: write" dd if=/tmp/pattern of="$d"/f$n bs=1M conv=notrunc status=none; done
	check "$t: read" cmp /tmp/pattern "$d"/f1
	pid=$(worker)
	at_least "$t: mappings were asked for" "$(counter "$pid" upcall)" 1
	is "$t: none was rejected" "$(rejects "$pid")" 0
	rm -f /tmp/stop
	python3 ../052-restart/load.py "$d" /tmp/pattern /tmp/stop > /tmp/load 2> /tmp/load.err &
	load=$!
	sleep 1
	for n in 2 3 4; do
		kill -9 "$(worker)"
		for ((i = 0; i < 600; i++)); do [ "$(status starts)" = $n ] && break; sleep 0.1; done
		is "$t: kill -9 and replaced" "$(status starts)" $n
	done
	touch /tmp/stop
	wait $load
	echo "# worker, operations, failures, longest in ms:"
	sed 's/^/# /' /tmp/load /tmp/load.err | head -n 20
	is "$t: all reported" "$(wc -l < /tmp/load)" 9
	is "$t: nobody hung, nothing failed" "$(awk '/hung/ { n++ } { n += $3 } END { print n + 0 }' /tmp/load)" 0
	kill -STOP "$(worker)"
	cmp /tmp/pattern "$d"/f1 > /tmp/out 2>&1 &
	sleep 1
	kill -CONT "$(worker)"
	wait $!
	is "$t: a stopped server only delays" $? 0
	check "$t: umount" umount "$M"
	nothing_left "$t"
done
mounted -o "dev=1:$PMEM"
check "by BPF the same bytes" cmp /tmp/pattern "$M"/d1/f1
umount "$M"
done_testing
