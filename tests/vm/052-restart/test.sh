#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=5G kernel=ci,debug timeout=1800 first full=debug
# kill -9 of the worker under faults, reads, writes and lookups, 20 times, and 10 times
# more before its successor is ready: nothing fails, nothing hangs.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
DEV=$FSDEV
make_fs "$DEV"
mounted
famfs mkdir "$M"/d > /dev/null || bail "mkdir"
for n in 1 2 3 4 5 6 7 8; do famfs creat -s 4m "$M"/d/f$n > /dev/null || bail "creat"; done
head -c 4M /dev/urandom > /tmp/pattern
for n in 1 2; do dd if=/tmp/pattern of="$M"/d/f$n bs=1M conv=notrunc status=none; done

python3 load.py "$M"/d /tmp/pattern /tmp/stop > /tmp/load 2> /tmp/load.err &
load=$!
sleep 3
holder=$(pidof famfs-holder)

# starts: of workers so far, as the one that is there says; empty while there is none
starts() { timeout 60 famfs status "$M" 2>/dev/null | sed -n 's/^ *"starts":\([0-9]*\),$/\1/p'; }
# killed: kill the worker if there is one
killed() {
	local pid
	pid=$(pidof famfs-bpfd)
	[ -n "$pid" ] && kill -9 "$pid" 2>/dev/null
}
kills=0
last=$(starts)
is "it starts with one" "$last" 1
for ((i = 0; i < 20; i++)); do
	killed && kills=$((kills + 1))
	# until the next one serves
	for ((j = 0; j < 600; j++)); do
		now=$(starts)
		[ -n "$now" ] && [ "$now" -gt "$last" ] && break
		sleep 0.1
	done
	last=$now
done
is "20 workers were killed" $kills 20
is "and replaced" "$last" 21

# Before it is ready: as soon as the process is there
early=0
for ((i = 0; i < 200 && early < 10; i++)); do
	killed && early=$((early + 1))
	for ((j = 0; j < 400; j++)); do pidof famfs-bpfd > /dev/null && break; sleep 0.02; done
done
is "10 more were killed as soon as they were there" $early 10
# The load has the last successor to itself for a moment: what waited must go on
for ((j = 0; j < 600; j++)); do [ -n "$(starts)" ] && break; sleep 0.1; done
sleep 1
touch /tmp/stop
wait $load

echo "# worker, operations, failures, longest in ms:"
sed 's/^/# /' /tmp/load /tmp/load.err | head -n 30
is "nobody hung" "$(grep -c hung /tmp/load)" 0
is "all reported" "$(wc -l < /tmp/load)" 9
is "nothing failed" "$(awk '{ n += $3 } END { print n + 0 }' /tmp/load)" 0
at_least "there was load" "$(awk '{ n += $2 } END { print n + 0 }' /tmp/load)" 1000
is "the holder is the same" "$(pidof famfs-holder)" "$holder"
for ((j = 0; j < 300; j++)); do [ -n "$(starts)" ] && break; sleep 0.1; done
check "appending goes on" famfs creat -s 2m "$M"/d/new
check "and is seen" test -f "$M"/d/new
check "data are what they were" cmp /tmp/pattern "$M"/d/f1
is "one program" "$(programs)" 1
pid=$(worker)
is "no mapping was asked of a server" "$(counter "$pid" upcall)" 0
is "none was rejected" "$(rejects "$pid")" 0

# An entry at the end of the log that is no good: another host's index, seen before its entry
log() { python3 badlog.py "$M"/.meta/.log "$@" || bail "badlog.py $*"; }
# replaced WHO: kill the worker; whether another one serves within 30 s
replaced() {
	last=$(starts)
	killed
	for ((j = 0; j < 300; j++)); do
		now=$(starts)
		[ -n "$now" ] && [ "$now" -gt "$last" ] && return
		sleep 0.1
	done
	return 1
}
n=$(status log_played)
at_least "entries were played" "$n" 10
log index "$n" 1
check "with a bad entry at its end a successor serves" replaced
echo 2 > /proc/sys/vm/drop_caches
check "and finds what came before" timeout 60 test -f "$M"/d/new
at_least "and says so" "$(dmesg | grep -c 'log: cannot play: .*; keeping what was played before')" 1
fails "nothing can be appended" - "" famfs creat -s 2m "$M"/d/late
log index "$n" 0
check "until it is repaired" famfs creat -s 2m "$M"/d/late

# One that was played before: whoever does not know its file must not say that there is none
log entry 4 1
killed
sleep 2
timeout 1 test -f "$M"/d/f4 &
load=$!
log entry 4 1
wait $load
for ((j = 0; j < 600; j++)); do [ -n "$(starts)" ] && break; sleep 0.1; done
check "a played entry that was bad for a while: served again" timeout 60 test -f "$M"/d/f4
is "the same program" "$(programs)" 1

# Unmounted while there is no worker
killed
check "umount without a worker" umount "$M"
nothing_left "afterwards"
given_back "afterwards"
done_testing
