#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G,5G kernel=ci timeout=1800
# Whoever is not entitled gets nothing of it, at each step of our programs: as a user, as
# root of a user namespace of his, and as root without the one capability that counts. The
# kernel's own checks of ioctls and INIT are in its selftest, those of attach in 030-slotmap;
# here, that our programs run into them cleanly and open no way around.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
make_pmem 1
DEV=$FSDEV
make_fs "$DEV"
make_fs "$PMEM"
LIBEXEC=/usr/libexec/famfs
chmod 755 /run/vm 2>/dev/null

user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
powerless() { setpriv --bounding-set=-all "$@"; }
# A user namespace that a user made, in which he is root
user_root() { user unshare -Urm "$@"; }
# denied RULE RC TEXT COMMAND...: as fails, and nothing is left
denied() {
	fails "$@"
	is "$1: nothing is left" "$(left)" ""
}

# ---- mounting ----
denied "mount.famfs, a user" 1 "only root may mount famfs" user mount.famfs "$DEV" "$M"
denied "mount(8), a user" - "only root may mount famfs" user mount -t famfs "$DEV" "$M"
denied "mount.famfs, root of a user namespace" 32 "Permission denied" user_root mount.famfs "$DEV" "$M"
denied "mount(8), root of a user namespace" 32 "Permission denied" user_root mount -t famfs "$DEV" "$M"
denied "root without CAP_SYS_RAWIO" 1 "needs CAP_SYS_ADMIN and CAP_SYS_RAWIO" \
	setpriv --bounding-set=-sys_rawio mount.famfs "$DEV" "$M"
denied "root without any capability" 1 "needs CAP_SYS_ADMIN and CAP_SYS_RAWIO" \
	setpriv --bounding-set=-all mount.famfs "$DEV" "$M"
denied "root in a user namespace of root's" 32 "CAP_SYS_RAWIO in the initial user namespace" \
	unshare -Urm mount.famfs "$DEV" "$M"

# Devices and /dev/fuse given away: the kernel still offers no mappings, nor takes the device
chmod 666 "$DEV" /dev/fuse
denied "the device is his: root of a user namespace" 32 "CAP_SYS_RAWIO in the initial user namespace" \
	user_root mount.famfs "$DEV" "$M"
denied "likewise by upcall" 32 "CAP_SYS_RAWIO in the initial user namespace" \
	user_root mount.famfs "$DEV" "$M" -o upcall
printf 'f linear %s 2M 4M\n' "$DEV" > /tmp/table
for mode in bpf upcall; do
	denied "the other server, $mode: a user" - "" user "$BUILD/server/daxslice/daxslice" --$mode /tmp/table "$M"
	denied "the other server, $mode: root of a user namespace" - "CAP_SYS_RAWIO" \
		user_root "$BUILD/server/daxslice/daxslice" --$mode /tmp/table "$M"
done

# mount.famfs set to another user's rights by a mistake of the installation
cp /usr/sbin/mount.famfs /tmp/setuid
chown 0:0 /tmp/setuid
chmod 4755 /tmp/setuid
denied "mount.famfs installed setuid" 1 "must not be installed setuid" user /tmp/setuid "$DEV" "$M"
rm /tmp/setuid

# ---- the worker's steps, each without its capability ----
mkdir -p /tmp/libexec
cp $LIBEXEC/famfs-holder /tmp/libexec
worker_without() { # CAPABILITIES: of the worker only
	printf '#!/bin/sh\nexec setpriv --bounding-set=%s %s/famfs-bpfd "$@"\n' "$1" $LIBEXEC > /tmp/libexec/famfs-bpfd
	chmod 755 /tmp/libexec/famfs-bpfd
}
mount_with_it() { env FAMFS_LIBEXECDIR=/tmp/libexec mount.famfs "$DEV" "$M" "$@"; }
worker_without -sys_rawio
denied "registering a device without CAP_SYS_RAWIO" 1 "$DEV: not permitted: registering a DAX device needs CAP_SYS_RAWIO" mount_with_it
denied "likewise for upcalls" 1 "$DEV: not permitted: registering a DAX device needs CAP_SYS_RAWIO" mount_with_it -o upcall
worker_without -bpf,-sys_admin
denied "loading the program without CAP_BPF" 1 "not permitted to load a BPF program" mount_with_it
worker_without -perfmon,-sys_admin
denied "loading the program without CAP_PERFMON" 1 "not permitted to load a BPF program" mount_with_it
worker_without -sys_admin
check "with both CAP_SYS_ADMIN is not needed" mount_with_it
is "the worker has none then, either" "$(status capabilities)" 0000000000000000
umount "$M"
nothing_left "after it"

# ---- a mounted file system ----
mounted
famfs mkdir -m 700 "$M"/secret > /dev/null || bail "mkdir"
famfs creat -s 2m -m 600 "$M"/secret/f > /dev/null || bail "creat"
famfs creat -s 2m -m 644 "$M"/public > /dev/null || bail "creat"
uuid=$(status uuid)
holder=$(pidof famfs-holder)
worker=$(worker)
fds() { find /proc/"$holder"/fd -mindepth 1 | wc -l; }
had=$(fds)

fails "the mount is no other's, a user" - "Permission denied" user cat "$M"/secret/f
fails "root of a user namespace" - "Permission denied" user_root cat "$M"/secret/f
fails "nor to be written" - "Permission denied" user_root dd if=/dev/zero of="$M"/public bs=1 count=1 conv=notrunc
fails "nor is the log" - "Permission denied" user_root dd if=/dev/zero of="$M"/.meta/.log bs=1 count=1 conv=notrunc
check "what all may read, all may" user cmp -n 4096 "$M"/public /dev/zero
fails "umount, a user" - "" user umount "$M"
fails "umount -l, root of a user namespace" - "" user_root umount -l "$M"
fails "fusermount3 -u, a user" - "" user fusermount3 -u "$M"
fails "remount, a user" 1 "only root" user mount.famfs "$DEV" "$M" -o remount,rw
fails "remount, root of a user namespace" - "" user_root mount.famfs "$DEV" "$M" -o remount,dev
check "it is still mounted, nodev" bash -c "findmnt -n -o VFS-OPTIONS $M | grep -q nodev"

# ---- pins and objects of BPF ----
pins=/sys/fs/bpf/famfs/$uuid
cat > /tmp/pin.py <<'PY'
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
path = ctypes.create_string_buffer(sys.argv[1].encode())
attr = ctypes.create_string_buffer(struct.pack("<QII", ctypes.addressof(path), 0, 0))
if libc.syscall(321, 7, attr, 16) < 0:			# BPF_OBJ_GET
    sys.exit(os.strerror(ctypes.get_errno()))
PY
check "root can open a pinned map" python3 /tmp/pin.py "$pins/slots"
check "and the pinned link" python3 /tmp/pin.py "$pins/link"
for who in user user_root; do
	fails "$who: list the pins" - "Permission denied" $who ls "$pins"
	fails "$who: open a pinned map" - "Permission denied" $who python3 /tmp/pin.py "$pins/slots"
	fails "$who: open the pinned link" - "Permission denied" $who python3 /tmp/pin.py "$pins/link"
	fails "$who: remove a pin" - "Permission denied" $who rm "$pins/link"
	fails "$who: maps and links by number" - "Operation not permitted" $who "$BUILD/tests/vm/bpfids"
done
fails "root without CAP_SYS_ADMIN: by number" - "Operation not permitted" \
	setpriv --bounding-set=-sys_admin "$BUILD/tests/vm/bpfids"

# ---- control socket ----
cat > /tmp/ask.py <<'PY'
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(struct.pack("<IHH", 8, 1, 1))
except BrokenPipeError:
    pass            # answered before it was asked
h = s.recv(24)
text = s.recv(65536)
sys.exit("%d %s" % (struct.unpack("<IHHiI", h[:16])[3], text[:40]))
PY
for who in user user_root; do
	fails "$who: connect to the control socket" - "Permission denied" $who python3 /tmp/ask.py /run/famfs/"$uuid"/ctl
	fails "$who: famfs status" - "Permission denied" $who famfs status "$M"
	fails "$who: famfs mkdir" - "" $who famfs mkdir "$M"/x
	fails "$who: put a socket there" - "Permission denied" $who touch /run/famfs/x
done
chmod 666 /run/famfs/"$uuid"/ctl
fails "who connects and is not root is told so" - "-1 b'only root may ask'" user python3 /tmp/ask.py /run/famfs/"$uuid"/ctl
fails "nor root of a user namespace" - "-1 b'only root may ask'" user_root python3 /tmp/ask.py /run/famfs/"$uuid"/ctl
chmod 600 /run/famfs/"$uuid"/ctl
fails "nothing was made" - "No such file" stat "$M"/x

# ---- holder and worker ----
for who in user user_root; do
	for pid in $holder $worker; do
		fails "$who: kill $(cat /proc/"$pid"/comm)" - "not permitted" $who bash -c "kill -9 $pid"
		fails "$who: its fds" - "Permission denied" $who ls /proc/"$pid"/fd/
		fails "$who: its memory" - "" $who head -c 1 /proc/"$pid"/mem
	done
done
fails "root without capabilities: the fds of the worker" - "Permission denied" \
	powerless ls -l /proc/"$worker"/fd/
fails "the fds of the holder" - "Permission denied" powerless ls -l /proc/"$holder"/fd/
cat > /tmp/fdget.py <<'PY'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
p = libc.syscall(434, int(sys.argv[1]), 0)		# pidfd_open
fd = libc.syscall(438, p, 3, 0)				# pidfd_getfd
if p < 0 or fd < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
PY
for who in user user_root powerless; do
	fails "$who: pidfd_getfd()" - "Operation not permitted" "$who" python3 /tmp/fdget.py "$holder"
done

# Its address can be found by anybody; what is sent there by others than the worker counts
# for nothing, fds are not even taken.
cat > /tmp/notify.py <<'PY'
import array, os, socket
names = [l.split()[-1] for l in open("/proc/net/unix") if l.split()[-1].startswith("@")]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sent = 0
for name in names:
    for text in b"STOPPING=1", b"X_FAMFS_SB=1:1", b"FDSTORE=1\nFDNAME=evil", \
                b"FDSTOREREMOVE=1\nFDNAME=fuse", b"FDSTOREREMOVE=1\nFDNAME=lock", b"READY=1", b"", b"\n" * 4000:
        fd = os.open("/dev/null", os.O_RDONLY)
        try:
            s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 20))],
                      0, "\0" + name[1:])
            sent += 1
        except OSError:
            pass
        os.close(fd)
print(sent)
PY
for who in user user_root powerless; do
	at_least "$who: can send to the holder" "$($who python3 /tmp/notify.py)" 8
done
sleep 0.5
is "it has the fds that it had" "$(fds)" "$had"
is "it is still mounted" "$(findmnt -n -o TARGET -S "$DEV")" "$M"
kill -9 "$worker"
for ((i = 0; i < 200; i++)); do [ "$(status starts)" = 2 ] && break; sleep 0.1; done
is "and the worker is replaced as ever" "$(status starts)" 2
is "by the same holder" "$(pidof famfs-holder)" "$holder"
fails "the worker by hand, a user" 3 "" user $LIBEXEC/famfs-bpfd
fails "the holder by hand, a user" 1 "usage: famfs-holder" user $LIBEXEC/famfs-holder
fails "the holder without fds" 1 "" user $LIBEXEC/famfs-holder -f $LIBEXEC/famfs-bpfd

# ---- tools that change or read devices ----
chmod 600 "$DEV" "$PMEM"
name=${DEV##*/}
umount "$M"
nothing_left "after umount"
for who in user user_root; do
	for t in "mkfs.famfs -f $DEV" "mkfs.famfs -f $PMEM" "famfs fsck $DEV" "famfs fsck $PMEM" \
		"famfs dev unbind $DEV"; do
		# shellcheck disable=SC2086 # words
		fails "$who: $t" - "" $who $t
	done
done
driver() { basename "$(readlink /sys/bus/dax/devices/"$name"/driver)"; }
is "the driver is as it was" "$(driver)" fsdev_dax
check "root unbinds it" famfs dev unbind "$DEV"
was=$(driver)
for who in user user_root; do
	fails "$who: famfs dev bind $DEV" - "" $who famfs dev bind "$DEV"
done
is "that driver is as it was, too" "$(driver)" "$was"
check "root binds it again" famfs dev bind "$DEV"
is "to the driver for file systems" "$(driver)" fsdev_dax
chmod 666 "$DEV" "$PMEM"
for who in user user_root; do
	fails "$who: mkfs of a character device that is his" - "" $who mkfs.famfs -f "$DEV"
done
mounted
is "the file system is what it was" "$(status uuid)" "$uuid"
umount "$M"
nothing_left "at the end"
done_testing
