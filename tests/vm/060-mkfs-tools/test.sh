#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G,5G,2G kernel=ci timeout=400
# mkfs.famfs, famfs fsck by device, famfs dev: messages, exit codes, lines that scripts
# parse, and that nothing is left mounted, bound or running.
. ../lib.sh

field() { awk -v l="$1" 'index($0, l) { print $(NF) }'; }
log_len() { famfs fsck -v "$1" | grep log_len | awk '{ print $2 }'; }
driver() { basename "$(readlink "/sys/bus/dax/devices/${1#/dev/}/driver" || echo none)"; }
# Nothing in the mount table, no server, and the device can be had again
left_nothing() {
	! findmnt -S "$1" && ! pgrep -x mkfs.famfs && ! pgrep -x famfs && famfs fsck "$1" > /dev/null
}

json=$(ndctl create-namespace -f -e namespace0.0 -m devdax -M mem -a 2M) || bail "ndctl: $json"
CHAR=/dev/dax0.0
[ -c $CHAR ] || bail "no $CHAR"
[ "$(cat /sys/bus/dax/devices/dax0.0/size)" -gt $((4 << 30)) ] || bail "$CHAR is not the large one"
# Namespaces are not numbered in the order of the NVDIMMs.
for n in 1 2; do
	make_pmem $n
	if [ "$(blockdev --getsize64 "$PMEM")" -lt $((4 << 30)) ]; then SMALL=$PMEM; else BLOCK=$PMEM; fi
done

# ---- usage ----
check "mkfs.famfs -h" mkfs.famfs -h
check "mkfs.famfs -?" mkfs.famfs '-?'
fails "mkfs.famfs without a device" 1 "must specify memory device" mkfs.famfs
fails "mkfs.famfs with an unknown option" 1 "--bogus" mkfs.famfs --bogus $CHAR
fails "mkfs.famfs with an option that lacks its argument" 1 "requires an argument" mkfs.famfs -l
fails "mkfs.famfs of what does not exist" 2 "/dev/nope" mkfs.famfs /dev/nope
fails "mkfs.famfs of a directory" 2 "not a DAX device" mkfs.famfs /tmp
fails "mkfs.famfs of a character device of another kind" 2 "not a DAX device" mkfs.famfs /dev/null
fails "mkfs.famfs not as root" 1 "must run as root" \
	setpriv --reuid=65534 --regid=65534 --clear-groups mkfs.famfs $CHAR
fails "famfs without a command" 1 "Commands:" famfs
fails "famfs with an unknown command" 3 "unknown command" famfs bogus
check "famfs -h" famfs -h
for c in mkdir creat verify flush chkread fsck status dev; do
	check "famfs -h $c" famfs -h $c
	check "famfs $c -?" famfs $c '-?'
	fails "famfs $c with an unknown option" 1 "--bogus" famfs $c --bogus
done
fails "the mode of a kernel that is not this one" 2 "stand-alone" mkfs.famfs -F $CHAR
fails "FAMFS_MODE=v1" 1 "stand-alone" env FAMFS_MODE=v1 famfs fsck $CHAR

# ---- drivers ----
fails "wrong driver: mkfs says what to do" 2 "Re-run with --set-daxmode" mkfs.famfs $CHAR
fails "wrong driver: mkfs names the command" 2 "famfs dev bind $CHAR" mkfs.famfs $CHAR
fails "wrong driver: fsck" 1 "Re-run with --set-daxmode" famfs fsck $CHAR
is "the driver is as it was" "$(driver $CHAR)" device_dax
exec 7< $CHAR
fails "a device that is open is not bound" 16 "has it open" famfs dev bind $CHAR
fails "nor by -M" 2 "has it open" mkfs.famfs -M $CHAR
exec 7<&-
is "the driver is as it was" "$(driver $CHAR)" device_dax
json=$(mkfs.famfs --raw $CHAR) || bail "mkfs --raw: $json"
fails "-M puts the driver back when mkfs fails" 2 "already has" mkfs.famfs -M $CHAR
is "the driver is back" "$(driver $CHAR)" device_dax
mkfs.famfs --raw -f -k $CHAR > /dev/null
fails "-M puts the driver back when fsck fails" - "superblock" famfs fsck -M $CHAR
is "the driver is back" "$(driver $CHAR)" device_dax
check "device_dax can be mapped as it is, if asked" mkfs.famfs --raw $CHAR
check "and checked" famfs fsck --raw $CHAR
check "mkfs -M -f" mkfs.famfs -M -f $CHAR
is "-M leaves the device bound to fsdev_dax" "$(driver $CHAR)" fsdev_dax
check "famfs dev unbind" famfs dev unbind $CHAR
is "it gives the device back" "$(driver $CHAR)" device_dax
check "famfs dev bind" famfs dev bind $CHAR
check "again: nothing to do" famfs dev bind $CHAR
is "it is bound" "$(driver $CHAR)" fsdev_dax
echo "${CHAR#/dev/}" > /sys/bus/dax/drivers/fsdev_dax/unbind
fails "no driver at all" 2 "(none)" mkfs.famfs -f $CHAR
check "dev bind of a device without a driver" famfs dev bind $CHAR
fails "a block device has no driver to choose" 22 "no driver to choose" famfs dev bind "$BLOCK"
check "famfs dev list --json is JSON" bash -c 'famfs dev list --json | python3 -m json.tool'
is "famfs dev list shows the three devices" "$(famfs dev list | wc -l)" 3

# ---- what another mkfs made ----
mkfs.ext4 -q -F "$BLOCK" || bail "mkfs.ext4"
fails "a device with another file system is refused" 2 "holds ext4; -f writes over it" mkfs.famfs "$BLOCK"
check "which is left alone" e2fsck -fn "$BLOCK"
check "-f writes over it" mkfs.famfs -f "$BLOCK"
is "and leaves nothing that can be taken for it" "$(blkid -p -o value -s TYPE "$BLOCK")" ""
check "mkfs -f -k" mkfs.famfs -f -k "$BLOCK"

# ---- mkfs: rows 1 to 6 of the smoke scripts' preparation ----
for DEV in $CHAR "$BLOCK"; do
	mkfs.famfs -f -k "$DEV" > /dev/null 2>&1
	fails "$DEV: fsck without a superblock" - "superblock" famfs fsck "$DEV"
	check "$DEV: mkfs" mkfs.famfs "$DEV"
	check "$DEV: nothing is left" left_nothing "$DEV"
	fails "$DEV: mkfs again" 2 "Device $DEV already has a famfs superblock" mkfs.famfs "$DEV"
	uuid=$(famfs fsck "$DEV" | field "Filesystem UUID")
	fails "$DEV: --kill without --force" 2 "--force" mkfs.famfs -k "$DEV"
	is "$DEV: nothing was changed" "$(famfs fsck "$DEV" | field "Filesystem UUID")" "$uuid"
	check "$DEV: --kill --force" mkfs.famfs -f -k "$DEV"
	fails "$DEV: no superblock is left" - "superblock" famfs fsck "$DEV"
	check "$DEV: mkfs after --kill" mkfs.famfs "$DEV"
	check "$DEV: mkfs -v -f" mkfs.famfs -v -f "$DEV"
	for len in 1 1m 11m 0 2g 8x -8m; do
		fails "$DEV: log length $len" 2 "invalid log length" mkfs.famfs -f -l $len "$DEV"
	done
	is "$DEV: the log is still that of before" "$(log_len "$DEV")" 8388608
	out=$(mkfs.famfs -f -l 256m "$DEV")
	is "$DEV: mkfs prints the log length" "$(grep ^loglen: <<< "$out")" "loglen: 268435456"
	is "$DEV: log length 256m" "$(log_len "$DEV")" 268435456
	fails "$DEV: mkfs without --force" 2 "already has" mkfs.famfs "$DEV"
	is "$DEV: which changes nothing" "$(log_len "$DEV")" 268435456
	check "$DEV: mkfs --force" mkfs.famfs -f "$DEV"
	is "$DEV: is back at 8 MiB" "$(log_len "$DEV")" 8388608
	check "$DEV: nothing is left" left_nothing "$DEV"
done
fails "a device below 4 GiB" 2 "unsupported memory device size (<4GiB)" mkfs.famfs "$SMALL"
is "mkfs prints the device's size" "$(mkfs.famfs -f "$BLOCK" | awk '/^devsize:/ { print $2 }')" \
	"$(blockdev --getsize64 "$BLOCK")"

# ---- killed, and the device taken away, while mkfs is at work: a log of 1 GiB lasts ----
wait_for_log() {
	local i
	for ((i = 0; i < 300; i++)); do
		! findmnt -S "$1" > /dev/null || return 1
		[ "$(awk '$1 == "State:" { print $2 }' "/proc/$2/status" 2>/dev/null)" = R ] && [ "$i" -gt 5 ] && return
		sleep 0.1
	done
}
mkfs.famfs -f -k $CHAR > /dev/null
mkfs.famfs -l 1g $CHAR > /dev/null 2>&1 &
pid=$!
wait_for_log $CHAR $pid
kill -9 $pid
wait $pid 2>/dev/null
is "mkfs was killed at work" $? 137
sleep 1
check "mkfs after a kill -9 of mkfs" mkfs.famfs -f $CHAR
check "nothing is left" left_nothing $CHAR
mkfs.famfs -f -l 1g $CHAR > "$WORK/out" 2>&1 &
pid=$!
wait_for_log $CHAR $pid
echo "${CHAR#/dev/}" > /sys/bus/dax/drivers/fsdev_dax/unbind
wait $pid
is "mkfs of a device that is taken away: exit code 2" $? 2
check "and a sentence" grep -q "cannot access the memory of $CHAR" "$WORK/out"
check "the device can be had again" famfs dev bind $CHAR
check "mkfs of it" mkfs.famfs -f $CHAR

# ---- another host's ----
mv /opt/famfs/system_uuid /opt/famfs/old 2>/dev/null || { mount -t tmpfs none /opt; mkdir -p /opt/famfs; }
echo 11111111-2222-4333-8444-555555555555 > /opt/famfs/system_uuid
fails "a file system of another host" 2 "owned by another host" mkfs.famfs "$BLOCK"
is "fsck calls this host a client" "$(famfs fsck "$BLOCK" | field "role of this node")" Client
check "--force overwrites it" mkfs.famfs -f "$BLOCK"
is "fsck calls this host the owner" "$(famfs fsck "$BLOCK" | field "role of this node")" Owner

# ---- fsck: what scripts parse ----
out=$(famfs fsck -v "$BLOCK")
is "Device capacity: field 3 is bytes" "$(grep "Device capacity" <<< "$out" | awk '{ print $3 }')" \
	"$(blockdev --getsize64 "$BLOCK")"
at_least "Free space: field 3 is bytes" "$(grep "Free space" <<< "$out" | awk '{ print $3 }')" 5000000000
is "log_len is in one line only" "$(grep -c log_len <<< "$out")" 1
is "fsck without -v has no log_len" "$(famfs fsck "$BLOCK" | grep -c log_len)" 0
is "fsck -h shows GiB" "$(famfs fsck -h "$BLOCK" | grep "Device capacity" | awk '{ print $3 }')" 5.00G
is "fsck -B 4 shows four buckets" "$(famfs fsck -B 4 "$BLOCK" | grep -c "Bitmap range")" 4
fails "fsck -B 65" 1 "buckets" famfs fsck -B 65 "$BLOCK"
fails "fsck -r -m" 1 "exclude" famfs fsck -r -m "$BLOCK"
check "fsck -r" famfs fsck -r "$BLOCK"
fails "fsck without arguments" 1 "must specify" famfs fsck
fails "fsck of what does not exist" 2 "No such file" famfs fsck /nope
fails "fsck by path when nothing is mounted" - "not in a famfs file system" famfs fsck /tmp

# ---- several devices ----
fails "the same device twice" 2 "same device" mkfs.famfs -f --add-device "$BLOCK" "$BLOCK"
fails "the added device has a superblock" 2 "already has" mkfs.famfs --add-device $CHAR "$BLOCK"
fails "the added device is too small" 2 "<4GiB" mkfs.famfs -f --add-device "$SMALL" "$BLOCK"
check "mkfs --add-device" mkfs.famfs -f --add-device $CHAR "$BLOCK"
is "fsck adds the capacities up" "$(famfs fsck "$BLOCK" | grep "Device capacity" | awk '{ print $3 }')" \
	$(($(blockdev --getsize64 "$BLOCK") + $(cat /sys/bus/dax/devices/dax0.0/size)))
fails "fsck of the second device says what it is" - "a further device of file system" famfs fsck $CHAR
check "nothing is left on the first" left_nothing "$BLOCK"
check "the second can be had again" mkfs.famfs -f $CHAR

# ---- image files ----
truncate -s 5G /tmp/image
check "mkfs of an image file" mkfs.famfs /tmp/image
check "fsck of an image file" famfs fsck /tmp/image
fails "mkfs again" 2 "already has" mkfs.famfs /tmp/image
chown 65534 /tmp/image
check "an image file of one's own needs no root" \
	setpriv --reuid=65534 --regid=65534 --clear-groups mkfs.famfs -f /tmp/image
truncate -s 100 /tmp/short
fails "an image file shorter than a superblock" 2 "<4GiB" mkfs.famfs /tmp/short
fails "fsck of it" - "/tmp/short" famfs fsck /tmp/short
: > /tmp/nothing
fails "fsck of an empty file" - "/tmp/nothing" famfs fsck /tmp/nothing

# ---- files of no famfs ----
fails "creat outside a famfs file system" 1 "not in a famfs file system" famfs creat -s 4k /tmp/f
fails "mkdir outside a famfs file system" 1 "not in a famfs file system" famfs mkdir /tmp/d
fails "status outside a famfs file system" - "not in a famfs file system" famfs status /tmp
done_testing
