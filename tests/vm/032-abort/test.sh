#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=5G,1G kernel=ci,debug timeout=1800 first
# The connection aborted, umount -f, the server killed: each while threads fault at
# 4 KiB and 2 MiB, read and write, and while upcalls are under way. Every thread ends, with
# right bytes or an error; the devices are free afterwards. A server that pins its program
# may die: mapped files go on without it.
# Words, and names without blanks
# shellcheck disable=SC2046,SC2086
. ../lib.sh
. ../daemon.sh
. ../stress.sh

make_fsdev 0
make_pmem 1
DEV=$FSDEV
S=/mnt/slice
mkdir -p $S
SLICE=$BUILD/server/daxslice/daxslice
cat > /run/table <<TABLE
plain   linear      $FSDEV 64M 64M
striped striped 2M  $PMEM 64M 32M $FSDEV 256M 32M
TABLE

# Each end of each; where everything is slow, each end and each of these once at least
all="abort umount kill"
declare -A ways=([bpf]=$all [upcall]=$all [stopped]=$all [famfs]=$all)
[ "$KFLAVOUR" = ci ] || [ "$TEST_MODE" = full ] ||
	ways=([bpf]=abort [upcall]=umount [stopped]=abort [famfs]=kill)
# loads KEY FILE KEY FILE: a thread of each kind on both files, on one where all is slow
loads() {
	[ "$KFLAVOUR" != ci ] && [ "$TEST_MODE" != full ] || all_kinds "$1" "$2"
	all_kinds "$3" "$4"
}

slice_pid() { pgrep -x daxslice; }
slice_start() { # MODE
	local out
	out=$("$SLICE" "--$1" /run/table $S 2>&1) || bail "daxslice --$1: $out"
}
# gone MOUNT PROCESS: nothing of it is left
gone() {
	local i
	for ((i = 0; i < 600; i++)); do
		grep -q " $1 " /proc/mounts || break
		sleep 0.1
	done
	is "$WHAT: nothing is mounted" "$(grep -c " $1 " /proc/mounts)" 0
	for ((i = 0; i < 600; i++)); do pgrep -x "$2" > /dev/null || break; sleep 0.1; done
	is "$WHAT: nothing runs" "$(pgrep -cx "$2")" 0
}
# strike WAY MOUNT: what happens to it
strike() {
	case $1 in
	abort) check "$WHAT" fuse_abort "$2";;
	umount) fails "$WHAT: it is busy" - "busy" umount -f "$2";;
	kill) # The holder before the worker, which it would replace
		check "$WHAT" pkill -9 -x "${KILL%% *}"
		! pidof "${KILL##* }" > /dev/null || pkill -9 -x "${KILL##* }";;
	esac
}

slice_start bpf
check "fill plain" "$STRESS" fill 1 $S/plain
check "fill striped" "$STRESS" fill 2 $S/striped
umount $S || bail "umount"
WHAT=filled
gone $S daxslice

for mode in bpf upcall; do
	for way in ${ways[$mode]}; do
		WHAT="daxslice --$mode, $way"
		KILL=daxslice
		slice_start $mode
		load_start "$mode.$way" $(loads 1 $S/plain 2 $S/striped)
		strike $way $S
		load_failing "$WHAT"
		load_end "$WHAT"
		at_least "$WHAT: faults failed" "$(load_count sigbus)" 1
		at_least "$WHAT: calls failed" "$(load_count failed)" 1
		[ $way = kill ] || [ -z "$(slice_pid)" ] || kill -TERM "$(slice_pid)" 2> /dev/null
		! grep -q " $S " /proc/mounts || check "$WHAT: umount" umount $S
		gone $S daxslice
	done
done

# Upcalls that nobody answers
for way in ${ways[stopped]}; do
	WHAT="upcalls under way, $way"
	slice_start upcall
	load_start "stopped.$way" $(loads 1 $S/plain 2 $S/striped)
	kill -STOP "$(slice_pid)"
	sleep 1
	at_least "$WHAT: requests wait" "$(cat /sys/fs/fuse/connections/"$(stat -c %d $S)"/waiting)" 1
	strike $way $S
	load_failing "$WHAT"
	load_end "$WHAT"
	at_least "$WHAT: faults failed" "$(load_count sigbus)" 1
	at_least "$WHAT: calls failed" "$(load_count failed)" 1
	kill -KILL "$(slice_pid)" 2> /dev/null
	! grep -q " $S " /proc/mounts || check "$WHAT: umount" umount $S
	gone $S daxslice
done

# The devices are as they were
WHAT="after all of it"
slice_start bpf
check "plain is whole" "$STRESS" check 1 $S/plain
check "striped is whole" "$STRESS" check 2 $S/striped
umount $S || bail "umount"
gone $S daxslice

# famfs: worker and holder; what was pinned is found by the next mount
make_fs "$DEV"
mounted
famfs creat -s 32m $M/plain > /dev/null || bail "creat"
famfs creat -s 48m -N 3 -B 4 $M/strips > /dev/null || bail "creat"
check "fill plain" "$STRESS" fill 3 $M/plain
check "fill strips" "$STRESS" fill 4 $M/strips
for way in ${ways[famfs]}; do
	WHAT="famfs, $way"
	KILL="famfs-holder famfs-bpfd"
	grep -q " $M " /proc/mounts || mounted
	load_start "famfs.$way" $(loads 3 $M/plain 4 $M/strips)
	strike $way $M
	if [ $way = kill ]; then
		# The program is pinned and goes on; there is nobody to answer requests
		fails "$WHAT: names fail" - "not connected" timeout 60 stat $M/none
		sleep 1
		load_end "$WHAT"
		is "$WHAT: no fault fails" "$(load_count sigbus)" 0
		is "$WHAT: no call on an open file fails" "$(load_count failed)" 0
	else
		load_failing "$WHAT"
		load_end "$WHAT"
	fi
	! grep -q " $M " /proc/mounts || check "$WHAT: umount" umount $M
	gone $M famfs-bpfd
	gone $M famfs-holder
	mounted
	check "$WHAT: mounted again, plain is whole" "$STRESS" check 3 $M/plain
	check "$WHAT: mounted again, strips is whole" "$STRESS" check 4 $M/strips
	check "$WHAT: and unmounted" umount $M
	nothing_left "after $way"
done
given_back "after all that"
done_testing
