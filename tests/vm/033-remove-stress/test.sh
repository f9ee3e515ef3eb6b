#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=5G,1G kernel=ci,debug timeout=1200
# Memory that fails, and devices that go, under threads that fault at 4 KiB and 2 MiB, read
# and write. What is not on them is not touched; nothing hangs; a device that went is dead
# for the mount that had it, and fresh for the next.
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

# --- memory fails, one page after the other, in one file
make_fs "$DEV"
mounted
for f in broken:1 sound:2; do
	famfs creat -s 32m $M/${f%:*} > /dev/null || bail "creat"
	check "fill ${f%:*}" "$STRESS" fill "${f#*:}" $M/${f%:*}
done
load_start poison $(all_kinds 1 $M/broken) $(all_kinds 2 $M/sound)
for page in 0 515 1024 1535 4097; do
	check "page $page fails" "$STRESS" poison $((page * 4096)) $M/broken
	sleep 0.5
done
sleep 1
load_end poison
failed() { local k n=0; for k in mmap4k mmap2m store4k store2m; do n=$((n + $(thread_count $k "$1" SIGBUS))); done; echo $n; }
at_least "faults on the file that has them failed" "$(failed $M/broken)" 1
is "none of the other file did" "$(failed $M/sound)" 0
is "no call on the other file failed" "$(($(thread_count read $M/sound failed) + $(thread_count write $M/sound failed)))" 0
check "the other file is whole" "$STRESS" check 2 $M/sound
fails "the broken one cannot be read where it is broken" - "Input/output error" "$STRESS" check 1 $M/broken
at_least "the server was told" "$(status device_events)" 5
check "umount" umount $M
nothing_left "after memory failed"

# --- the devices go: first the character device, then the block device
cat > /run/table <<TABLE
char    linear      $FSDEV 512M 64M
block   linear      $PMEM 64M 64M
both    striped 2M  $PMEM 256M 32M $FSDEV 1024M 32M
TABLE
out=$("$SLICE" --bpf /run/table $S 2>&1) || bail "daxslice: $out"
for f in char:1 block:2 both:3; do check "fill ${f%:*}" "$STRESS" fill "${f#*:}" $S/${f%:*}; done

ns=$(basename "$(readlink -f "/sys/block/${PMEM#/dev/}/device")")
load_start char $(all_kinds 1 $S/char) $(all_kinds 2 $S/block) mmap2m:3:$S/both read:3:$S/both
check "the character device is unbound" timeout 300 bash -c "echo ${FSDEV#/dev/} > /sys/bus/dax/drivers/fsdev_dax/unbind"
sleep 2
load_end "the character device went"
at_least "faults on it failed" "$(failed $S/char)" 1
is "none on the other device did" "$(failed $S/block)" 0
is "no call on the other device failed" "$(($(thread_count read $S/block failed) + $(thread_count write $S/block failed)))" 0
at_least "half of the file on both is gone" "$(($(failed $S/both) + $(thread_count read $S/both failed)))" 1
fails "what was on it cannot be read" - "Input/output error" "$STRESS" check 1 $S/char
check "what is on the other is whole" "$STRESS" check 2 $S/block

check "the character device is bound again" bash -c "echo ${FSDEV#/dev/} > /sys/bus/dax/drivers/fsdev_dax/bind"
fails "back again it is still dead for this mount" - "Input/output error" "$STRESS" check 1 $S/char

load_start block $(all_kinds 2 $S/block)
check "the block device is unbound" timeout 300 bash -c "echo $ns > /sys/bus/nd/drivers/nd_pmem/unbind"
sleep 2
load_end "the block device went"
at_least "faults on it failed" "$(failed $S/block)" 1
check "umount" umount $S
for ((i = 0; i < 600; i++)); do pgrep -x daxslice > /dev/null || break; sleep 0.1; done
is "the server ends" "$(pgrep -cx daxslice)" 0

check "the block device is bound again" bash -c "echo $ns > /sys/bus/nd/drivers/nd_pmem/bind"
for ((i = 0; i < 100; i++)); do [ -b "$PMEM" ] && break; sleep 0.1; done
out=$("$SLICE" --bpf /run/table $S 2>&1) || not_ok "a new mount has both" "$out"
for f in char:1 block:2 both:3; do check "a new mount: ${f%:*} is whole" "$STRESS" check "${f#*:}" $S/${f%:*}; done

# --- who has a page pinned holds up the removal of a device of that mount, and of no other
umount $S
for ((i = 0; i < 600; i++)); do pgrep -x daxslice > /dev/null || break; sleep 0.1; done
echo "char linear $FSDEV 512M 64M" > /run/table
out=$("$SLICE" --bpf /run/table $S 2>&1) || not_ok "a mount of one device" "$out"
"$STRESS" pin 0 $S/char > /run/pin &
pin=$!
for ((i = 0; i < 100; i++)); do [ -s /run/pin ] && break; sleep 0.1; done
is "a page is pinned" "$(cat /run/pin)" pinned
echo "${FSDEV#/dev/}" > /sys/bus/dax/drivers/fsdev_dax/unbind &
unbind=$!
sleep 1
check "the removal of its device waits" kill -0 $unbind
echo "$ns" > /sys/bus/nd/drivers/nd_pmem/unbind &
other=$!
for ((i = 0; i < 100; i++)); do kill -0 $other 2> /dev/null || break; sleep 0.1; done
fails "that of another does not" - "" kill -0 $other
check "it still waits" kill -0 $unbind
kill $pin
for ((i = 0; i < 600; i++)); do kill -0 $unbind 2> /dev/null || break; sleep 0.1; done
check "it goes on when the page is let go" wait $unbind
check "both are bound again" bash -c "echo ${FSDEV#/dev/} > /sys/bus/dax/drivers/fsdev_dax/bind && echo $ns > /sys/bus/nd/drivers/nd_pmem/bind"
umount $S
for ((i = 0; i < 600; i++)); do pgrep -x daxslice > /dev/null || break; sleep 0.1; done
make_fs "$DEV"
mounted
check "famfs on a device that was away" test -f $M/.meta/.log
umount $M
nothing_left "at last"
done_testing
