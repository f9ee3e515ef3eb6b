#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G kernel=ci timeout=900 first
# Every way in which a mount ends; after each nothing is left and the device is free.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
DEV=$FSDEV
new() {
	make_fs "$DEV"
	mounted
	famfs creat -s 4m "$M"/f > /dev/null || bail "creat"
	head -c 4M /dev/zero | tr '\0' x | dd of="$M"/f bs=1M conv=notrunc status=none || bail "dd"
}
over() { nothing_left "$1"; given_back "$1"; }

new
check "umount" umount "$M"
over "after umount"

new
check "umount by device" umount "$DEV"
over "after umount by device"

new
check "fusermount3 -u" fusermount3 -u "$M"
over "after fusermount3"

new
exec 9< "$M"/f
fails "umount with an open file" 32 "busy" umount "$M"
is "the file system is as it was" "$(head -c 3 "$M"/f)" xxx
check "umount -l with an open file" umount -l "$M"
sleep 1
is "the open file can still be read" "$(head -c 3 <&9)" xxx
is "and is still served" "$(worker | wc -w)" 1
fails "meanwhile the device is busy" 32 "Device or resource busy" mount -t famfs "$DEV" "$M"
exec 9<&-
over "after the last close"

# The mapping outlives the mount and the file descriptor
new
cat > /tmp/map.py <<'PY'
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 4 << 20)
os.close(fd)
print(m[0:3].decode(), flush=True)
sys.stdin.readline()
print(m[2 << 20:(2 << 20) + 3].decode(), flush=True)
PY
mkfifo /tmp/go
python3 /tmp/map.py "$M"/f < /tmp/go > /tmp/map.out &
mapper=$!
exec 8> /tmp/go
for ((i = 0; i < 100; i++)); do [ -s /tmp/map.out ] && break; sleep 0.1; done
check "umount -l with a mapping" umount -l "$M"
sleep 1
echo > /tmp/go
exec 8>&-
wait $mapper
is "a page not touched before can be had after it" "$(tail -n 1 /tmp/map.out)" xxx
over "after the mapping is gone"

new
exec 9< "$M"/f
fails "umount -f with an open file" 32 "busy" umount -f "$M"
fails "it aborts the connection" - "not connected" ls "$M"
fails "data answer EIO" 1 "Input/output error" cat "$M"/f
exec 9<&-
check "umount then" umount "$M"
over "after umount -f"

new
check "umount -f" umount -f "$M"
over "after umount -f of an idle mount"

new
kill "$(pidof famfs-holder)"
over "after SIGTERM to the holder"

new
kill "$(worker)"
over "after SIGTERM to the worker"

new
exec 9< "$M"/f
kill "$(worker)"
sleep 1
is "SIGTERM unmounts lazily" "$(grep -c fuse.famfs /proc/self/mountinfo) $(head -c 3 <&9)" "0 xxx"
kill "$(worker)"
sleep 1
fails "a second one ends it" - "" head -c 3 <&9
exec 9<&-
over "after two SIGTERM"

new
echo 1 > /sys/fs/fuse/connections/"$((0x$(stat -c %D "$M") & 0xff))"/abort 2>/dev/null ||
	{ mount -t fusectl none /sys/fs/fuse/connections && echo 1 > /sys/fs/fuse/connections/"$((0x$(stat -c %D "$M") & 0xff))"/abort; }
sleep 1
fails "abort by fusectl" - "not connected" ls "$M"
check "umount then" umount "$M"
over "after abort"

new
kill -9 "$(pidof famfs-holder)" "$(worker)"
sleep 0.5
fails "holder and worker killed: the connection is aborted" - "not connected" ls "$M"
check "umount then" umount "$M"
is "pins are left, nobody was there to remove them" "$(find /sys/fs/bpf/famfs -mindepth 1 -maxdepth 1 | wc -l)" 1
before=$(ls /sys/fs/bpf/famfs)
mounted
is "the next mount removes them and makes its own" "$(ls /sys/fs/bpf/famfs)" "$before"
is "one program" "$(programs)" 1
check "umount" umount "$M"
over "after that"

new
kill -9 "$(pidof famfs-holder)"
is "without a holder it is served" "$(head -c 3 "$M"/f; ls "$M")" "xxxf"
check "umount" umount "$M"
over "without a holder"

# A copy of the mount elsewhere: the file system lives until the last is gone
new
mkdir -p /mnt/bind
mount --bind "$M" /mnt/bind
umount "$M"
is "a bind mount goes on" "$(ls /mnt/bind)" f
check "famfs mkdir there" famfs mkdir /mnt/bind/d
check "it is visible" test -d /mnt/bind/d
check "umount of the last" umount /mnt/bind
over "after the last"

# Under load
new
python3 -c '
import os, sys, time
end = time.time() + 4
while time.time() < end:
    try:
        os.listdir("/mnt/famfs"); open("/mnt/famfs/f", "rb").read(4096)
        os.path.exists("/mnt/famfs/none")
    except OSError:
        pass' &
sleep 1
umount -l "$M"
wait $!
over "after umount -l under load"

for n in 1 2 3 4 5; do
	make_fs "$DEV"
	mounted && umount "$M" || break
done
is "five times in a row" "$n" 5
over "after five"
done_testing
