#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G,5G kernel=ci timeout=1800 full
# systemd in place of the holder: a real one, pid 1 of a pid namespace, with no unit but
# ours. It keeps the fds, restarts the worker, stops it.
. ../lib.sh
. ../daemon.sh

if [ -z "${INSIDE:-}" ]; then
	mkdir -p /run/units /run/inside
	mount -t overlay -o "ro,lowerdir=$STAGE/usr/lib/systemd/system:/usr/lib/systemd/system" overlay /usr/lib/systemd/system ||
		bail "no overlay"
	mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup || bail "no cgroup2"
	printf '[Unit]\nDescription=test\nDefaultDependencies=no\n' > /run/units/test.target
	cp "$STAGE/usr/lib/systemd/system/famfs-bpfd@.service" /run/units
	env container=test SYSTEMD_UNIT_PATH=/run/units SYSTEMD_LOG_TARGET=kmsg \
		unshare --pid --fork --mount --propagation shared --mount-proc --kill-child \
		/lib/systemd/systemd --system --unit=test.target > /run/inside/log 2>&1 &
	up=
	for ((i = 0; i < 600; i++)); do
		pid=$(pgrep -x systemd) && nsenter -t "$pid" -p -m systemctl is-active -q test.target 2> /dev/null && up=1 && break
		sleep 0.1
	done
	[ -n "$up" ] || bail "systemd does not start: $(cat /run/inside/log)"
	export INSIDE=1
	nsenter -t "$pid" -p -m --wd="$PWD" bash ./test.sh
	rc=$?
	kill -9 "$pid"
	exit $rc
fi

unit_of() { echo "famfs-bpfd@$(systemd-escape --path "$1").service"; }
show() { systemctl show -p "$1" --value "$UNIT"; }
# unit_is WHEN STATE: waits a little for it
unit_is() {
	for ((i = 0; i < 300; i++)); do [ "$(show ActiveState)" = "$2" ] && break; sleep 0.1; done
	is "the unit is $2 $1" "$(show ActiveState)" "$2"
}
over() {
	unit_is "$1" inactive
	nothing_left "$1"
	is "no fd is kept $1" "$(show NFileDescriptorStore)" 0
}

check "systemd runs" systemctl is-active test.target
check "systemd-analyze verify finds no fault" systemd-analyze verify --man=no /usr/lib/systemd/system/famfs-bpfd@.service
make_fsdev 0
make_pmem 1
DEV=$FSDEV
UNIT=$(unit_of "$DEV")
make_fs "$DEV"

mounted
unit_is "while it is mounted" active
is "there is no holder" "$(pidof famfs-holder)" ""
is "its main process is the worker" "$(show MainPID)" "$(worker)"
is "it keeps fuse, params, lock, state, mnt, super, log" "$(show NFileDescriptorStore)" 7
is "its status says what it serves" "$(show StatusText)" "serving $DEV, file system $(status uuid)"
is "the worker has no capability" "$(sed -n 's/^CapPrm:\t//p' /proc/"$(worker)"/status)" 0000000000000000
is "no socket of the start is left" "$(ls /run/famfs/*.setup 2>/dev/null)" ""
fails "mounting it again" 32 "Device or resource busy" mount -t famfs "$DEV" /mnt
unit_is "still" active

# ---- kill -9 ----
famfs mkdir "$M"/d > /dev/null || bail "mkdir"
for n in 1 2 3 4 5 6 7 8; do famfs creat -s 4m "$M"/d/f$n > /dev/null || bail "creat"; done
head -c 4M /dev/urandom > /tmp/pattern
for n in 1 2; do dd if=/tmp/pattern of="$M"/d/f$n bs=1M conv=notrunc status=none; done
python3 ../052-restart/load.py "$M"/d /tmp/pattern /tmp/stop > /tmp/load 2> /tmp/load.err &
load=$!
sleep 2
for n in 2 3 4; do
	kill -9 "$(worker)"
	for ((i = 0; i < 600; i++)); do [ "$(status starts)" = $n ] && break; sleep 0.1; done
done
touch /tmp/stop
wait $load
is "three times kill -9, three times replaced" "$(status starts)" 4
sed 's/^/# /' /tmp/load /tmp/load.err | head -n 30
is "all reported" "$(wc -l < /tmp/load)" 9
is "nobody hung, nothing failed" "$(awk '/hung/ { n++ } { n += $3 } END { print n + 0 }' /tmp/load)" 0
check "appending goes on" famfs creat -s 2m "$M"/d/new
check "data are what they were" cmp /tmp/pattern "$M"/d/f1
check "umount" umount "$M"
over "after umount"

# ---- stop ----
mounted
check "systemctl stop" systemctl stop "$UNIT"
over "after stop"
mounted
exec 9< "$M"/d/f1
check "systemctl stop with an open file" systemctl stop "$UNIT"
fails "which is dead then" - "" head -c 1 <&9
exec 9<&-
over "after that"
mounted
exec 9< "$M"/d/f1
umount -l "$M"
fails "umount -l with an open file: the device is busy" 32 "Device or resource busy" mount -t famfs "$DEV" "$M"
is "the file is served" "$(cmp -n 4096 /tmp/pattern - <&9 && echo same)" same
exec 9<&-
over "after the last close"

# ---- what fails ----
dd if=/dev/zero of="$PMEM" bs=1M count=12 conv=fsync status=none
UNIT=$(unit_of "$PMEM")
fails "no file system there: the worker's own words" 32 "make a file system with mkfs.famfs" mount -t famfs "$PMEM" "$M"
over "after that"
mkdir -p /run/units/famfs-bpfd@.service.d
for start in /bin/false "/bin/sh -c 'kill -9 \$\$'"; do
	printf '[Service]\nExecStart=\nExecStart=%s\n' "${start/\$\$/\$\$\$\$}" > /run/units/famfs-bpfd@.service.d/x.conf
	systemctl daemon-reload
	fails "a worker that is $start" 32 "systemctl start $UNIT: failed" mount -t famfs "$PMEM" "$M"
	over "after that"
done
# After it got its fds, before it is ready
printf '[Service]\nExecStart=\nExecStart=/bin/sh -c "(sleep 1; kill -9 \$\$\$\$) & exec /usr/libexec/famfs/famfs-bpfd --instance=%%i"\n' \
	> /run/units/famfs-bpfd@.service.d/x.conf
systemctl daemon-reload
out=$(mount -t famfs "$DEV" "$M" 2>&1) && rc=0 || rc=$?
echo "# killed at a second: $rc $out"
umount "$M" 2> /dev/null
UNIT=$(unit_of "$DEV")
over "after a worker that was killed at some time"
rm -r /run/units/famfs-bpfd@.service.d
systemctl daemon-reload

# ---- who is asked to be the manager ----
mounted -o manager=holder
is "manager=holder" "$(pidof famfs-holder | wc -w) $(show ActiveState)" "1 inactive"
umount "$M"
nothing_left "after that"
fails "manager=systemd, but programs that are not installed" 1 "FAMFS_LIBEXECDIR is set" \
	env FAMFS_LIBEXECDIR=/usr/libexec/famfs mount.famfs "$DEV" "$M" -o manager=systemd
fails "manager=systemd from another mount namespace" 1 "another mount namespace" \
	unshare -m mount.famfs "$DEV" "$M" -o manager=systemd
check "without it the holder does it" unshare -m --propagation private \
	sh -c "mount -t famfs $DEV $M && pidof famfs-holder && umount $M"
nothing_left "at the end"
done_testing
