#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G kernel=ci,debug timeout=900 full=debug
# Another host makes a new file system on the memory under our mount: host.sh writes into
# the backing file. Everything of the old one answers EIO and SIGBUS until it is unmounted;
# nobody reads or writes the new one's files through it.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
DEV=$FSDEV
make_fs "$DEV"
mounted
famfs mkdir "$M"/d > /dev/null
for n in 1 2 3; do famfs creat -s 4m "$M"/d/f$n > /dev/null || bail "creat"; done
for n in 1 2 3; do head -c 4M /dev/zero | tr '\0' $n | dd of="$M"/d/f$n bs=1M conv=notrunc status=none; done

cat > /tmp/map.py <<'PY'
import mmap, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 2 << 20)
m[0] = m[0]
m[4096] = m[4096]
print("mapped", flush=True)
sys.stdin.readline()
def touch(at):
    pid = os.fork()
    if not pid:
        m[at]
        os._exit(0)
    st = os.waitpid(pid, 0)[1]
    return "SIGBUS" if os.WIFSIGNALED(st) and os.WTERMSIG(st) == signal.SIGBUS else "bytes"
print(touch(0), touch(4096), touch(1 << 20), flush=True)
try:
    os.pread(fd, 10, 0)
    print("bytes")
except OSError as e:
    print(e.strerror)
try:
    os.pwrite(fd, b"x", 0)
    print("written")
except OSError as e:
    print(e.strerror)
PY
# Has a page pinned, as whoever may read the file can: of a file that comes before the others
cat > /tmp/pin.py <<'PY'
import ctypes, mmap, os, sys, time
class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDONLY)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
p = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
r, w = os.pipe()
if libc.vmsplice(w, ctypes.byref(iovec(p, 4096)), 1, 0) == 4096:
    print("pinned", flush=True)
time.sleep(600)
PY
mkfifo /tmp/go
# map FILE: have it mapped, by a process that waits for mapped_is()
map() {
	python3 /tmp/map.py "$1" < /tmp/go > /tmp/map.out 2>&1 &
	mapper=$!
	exec 8> /tmp/go
	for ((i = 0; i < 200; i++)); do grep -q mapped /tmp/map.out && break; sleep 0.1; done
	is "a file is mapped" "$(cat /tmp/map.out)" mapped
}
# mapped_is_dead: what is left of the mapping
mapped_is_dead() {
	echo >&8
	exec 8>&-
	wait $mapper
	is "mapped and unmapped pages: SIGBUS" "$(sed -n 2p /tmp/map.out)" "SIGBUS SIGBUS SIGBUS"
	is "read: EIO" "$(sed -n 3p /tmp/map.out)" "Input/output error"
	is "write: EIO" "$(sed -n 4p /tmp/map.out)" "Input/output error"
}
# remake N: the host does; where the device begins in the backing file, and how long it is
remake() {
	echo "$base $(cat /sys/bus/dax/devices/"${DEV##*/}"/size)" > "$WORK/remake.tmp"
	mv "$WORK/remake.tmp" "$WORK/remake$1"
	for ((i = 0; i < 300; i++)); do [ -e "$WORK/remade$1" ] && break; sleep 0.1; done
	check "the host made a new file system" test -e "$WORK/remade$1"
}
# noticed N: the daemon has said so N times, and has had time to act
noticed() {
	for ((i = 0; i < 200; i++)); do [ "$(dmesg | grep -c 'file system is dead')" = "$1" ] && break; sleep 0.1; done
	is "the daemon noticed" "$(dmesg | grep -c 'file system is dead, unmount it')" "$1"
	for ((i = 0; i < 200; i++)); do [ "$(status state)" = dead ] && break; sleep 0.1; done
	is "status says so" "$(status state)" dead
	sleep 0.5
}
made_anew="Input/output error: another file system was made on $DEV; unmount"

python3 /tmp/pin.py "$M"/d/f1 > /tmp/pin.out 2>&1 &
pinner=$!
for ((i = 0; i < 200; i++)); do grep -q pinned /tmp/pin.out && break; sleep 0.1; done
is "a page is pinned" "$(cat /tmp/pin.out)" pinned
map "$M"/d/f3
old=$(status uuid)

base=$(($(cat /sys/bus/nd/devices/dax*/resource 2>/dev/null | grep -v '^0x0$' | head -n 1) - $(cat /sys/bus/nd/devices/region0/resource)))
remake 1
noticed 1
mapped_is_dead
check "nor did the one with the page pinned let go" kill -0 $pinner
kill -9 $pinner
wait $pinner 2> /dev/null
is "status names the file system that was mounted" "$(status uuid)" "$old"
fails "a file that was not open" 1 "Input/output error" cat "$M"/d/f2
fails "listing" - "Input/output error" ls "$M"/d
fails "a missing name" - "Input/output error" stat "$M"/d/none
fails "appending a directory" 1 "$made_anew" famfs mkdir "$M"/x
fails "appending a file" 1 "$made_anew" famfs creat -s 2m "$M"/d/x
fails "fsck" - "$made_anew" famfs fsck "$M"
starts=$(status starts)
kill -9 "$(worker)"
for ((i = 0; i < 200; i++)); do now=$(status starts); [ "${now:-0}" -gt "$starts" ] && break; sleep 0.1; done
is "the worker was replaced" "$(status starts)" $((starts + 1))
is "it stays dead" "$(status state)" dead
fails "for listing" - "Input/output error" ls "$M"/d
fails "for appending" 1 "$made_anew" famfs mkdir "$M"/x
check "umount" umount "$M"
nothing_left "afterwards"
mounted
is "the new file system can be mounted" "$([ "$(status uuid)" != "$old" ] && echo other)" other
is "its file has its own bytes" "$(head -c 4 "$M"/new)" nnnn

# Once more, while the worker cannot see it: its successor does
old=$(status uuid)
map "$M"/new
kill -STOP "$(worker)"
remake 2
kill -9 "$(worker)"
noticed 3
mapped_is_dead
is "status names the file system that was mounted" "$(status uuid)" "$old"
fails "appending" 1 "$made_anew" famfs mkdir "$M"/x
is "no program of the new file system" "$(programs)" 1
check "umount" umount "$M"
nothing_left "afterwards"
mounted
is "its file has its own bytes" "$(head -c 4 "$M"/new)" nnnn
umount "$M"
nothing_left "at the end"
done_testing
