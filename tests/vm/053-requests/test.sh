#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G kernel=ci timeout=900
# What costs a request once it was done before: nothing but opendir and missing names.
. ../lib.sh
. ../daemon.sh

make_fsdev 0
DEV=$FSDEV
make_fs "$DEV"
mounted
famfs mkdir "$M"/d > /dev/null || bail "mkdir"
famfs creat -s 4m "$M"/d/f > /dev/null || bail "creat"
famfs creat -s 4m -N 2 -B 2 -C 2m "$M"/d/g > /dev/null

cat > /tmp/ops.py <<'PY'
import mmap, os, sys
p = "/mnt/famfs/d/f"

def one_open(flags):
    os.close(os.open(p, flags))

def one_map():
    fd = os.open(p, os.O_RDWR)
    with mmap.mmap(fd, 4 << 20) as m:
        m[0] = 1
        m[3 << 20] = m[0]
    os.close(fd)

def one_xattr():
    try:
        os.getxattr(p, "security.capability")
    except OSError:
        pass

fd = os.open(p, os.O_RDWR)
ops = {
    "stat": lambda: os.stat(p),
    "access": lambda: os.access(p, os.W_OK),
    "open": lambda: (one_open(os.O_RDONLY), one_open(os.O_RDWR)),
    "map": one_map,
    "getxattr": one_xattr,
    "listxattr": lambda: os.listxattr(p),
    "pread": lambda: os.pread(fd, 4096, 4096),
    "pwrite": lambda: os.pwrite(fd, b"x" * 4096, 8192),
    "fsync": lambda: os.fsync(fd),
    "missing": lambda: os.path.exists("/mnt/famfs/d/none"),
    "listdir": lambda: os.listdir("/mnt/famfs/d"),
}
for i in range(int(sys.argv[2])):
    try:
        ops[sys.argv[1]]()
    except OSError as e:
        if e.errno != 95:
            raise
PY
requests() { status requests; }
# opcodes NUMBER...: requests of each opcode, 0 where there was none
opcodes() {
	local out n
	out=$(famfs status "$M")
	for n; do sed -n 's/^ *"'"$n"'":\([0-9]*\),\?$/\1/p' <<< "$out" | grep . || echo 0; done | tr '\n' ' '
}

# cost OP: requests of 20 of it, when it is warm
cost() {
	local before
	python3 /tmp/ops.py "$1" 2 || bail "$1"
	# python and its own start do not touch the mount
	before=$(requests)
	python3 /tmp/ops.py "$1" 20 || bail "$1"
	echo $(($(requests) - before))
}
for op in stat access open map getxattr listxattr pread pwrite fsync; do
	is "20 warm $op make no request" "$(cost $op)" 0
done
is "20 lookups of a missing name make 20" "$(cost missing)" 20
python3 /tmp/ops.py listdir 3
before=$(opcodes 1 3 27 28 29 44)
python3 /tmp/ops.py listdir 20
after=$(opcodes 1 3 27 28 29 44)
# shellcheck disable=SC2086
set -- $before $after
is "20 readings of a directory: opendir 20 times" $(($9 - $3)) 20
is "releasedir 20 times" $((${11} - $5)) 20
is "no readdir, it is cached" $(((${10} - $4) + (${12} - $6))) 0
is "no lookup" $(($7 - $1)) 0

# Fresh: what is appended is in the next listing, and in the next lookup
famfs creat -s 2m "$M"/d/h > /dev/null
# shellcheck disable=SC2012 # ls is what is tested
is "a new file is listed" "$(ls "$M"/d | tr '\n' ' ')" "f g h "
check "a name that was missing before is there when it is made" \
	bash -c "! test -e $M/d/i && famfs creat -s 2m $M/d/i && test -e $M/d/i"
links=$(stat -c %h "$M"/d)
famfs mkdir "$M"/d/sub > /dev/null
is "link count of the parent" "$(stat -c %h "$M"/d)" $((links + 1))

# By the kernel's own count, too
pid=$(worker)
is "no mapping was asked of the server" "$(counter "$pid" upcall)" 0
at_least "they were computed by BPF" "$(counter "$pid" bpf)" 1
is "none was rejected" "$(rejects "$pid")" 0

# What is refused, each with its errno
errno() { python3 -c '
import errno, os, sys
try:
    eval(sys.argv[1])
    print("ok")
except OSError as e:
    print(errno.errorcode[e.errno])' "$1"; }
is "O_TRUNC" "$(errno "os.open('$M/d/f', os.O_RDWR | os.O_TRUNC)")" EPERM
is "truncate" "$(errno "os.truncate('$M/d/f', 5)")" EPERM
is "the size is as it was" "$(stat -c %s "$M"/d/f)" 4194304
is "write past the end" "$(errno "os.pwrite(os.open('$M/d/f', os.O_RDWR), b'x', 4 << 20)")" EFBIG
# Not posix_fallocate(): the C library would write instead
fails "fallocate" - "not supported" fallocate -l 4096 "$M/d/f"
is "chmod" "$(errno "os.chmod('$M/d/f', 0o600)")" EPERM
is "chmod +s" "$(errno "os.chmod('$M/d/f', 0o4755)")" EPERM
is "chown" "$(errno "os.chown('$M/d/f', 1, 1)")" EPERM
is "utimes" "$(errno "os.utime('$M/d/f', (1, 1))")" EPERM
is "create" "$(errno "os.open('$M/d/new', os.O_RDWR | os.O_CREAT)")" EPERM
is "mkdir" "$(errno "os.mkdir('$M/d/new')")" EPERM
is "mknod" "$(errno "os.mkfifo('$M/d/new')")" EPERM
is "unlink" "$(errno "os.unlink('$M/d/f')")" EPERM
is "rmdir" "$(errno "os.rmdir('$M/d')")" EPERM
is "rename" "$(errno "os.rename('$M/d/f', '$M/d/new')")" EPERM
is "link" "$(errno "os.link('$M/d/f', '$M/d/new')")" EPERM
is "symlink" "$(errno "os.symlink('x', '$M/d/new')")" EPERM
is "setxattr" "$(errno "os.setxattr('$M/d/f', 'user.a', b'b')")" ENOTSUP
check "flock is local" flock -n "$M"/.meta/.log true

# Records that no tool of ours sends
entries=$(status log_entries)
pid=$(worker)
is "hostile records are refused" "$(python3 hostile.py /run/famfs/"$(status uuid)"/ctl 2>&1)" ""
is "nothing was appended" "$(status log_entries)" "$entries"
is "the worker is the same" "$(worker)" "$pid"
check "and goes on" famfs mkdir "$M"/after
fds=$(find /proc/"$pid"/fd -mindepth 1 | wc -l)
for ((i = 0; i < 20; i++)); do famfs status "$M" > /dev/null; done
is "no fd is lost" "$(find /proc/"$pid"/fd -mindepth 1 | wc -l)" "$fds"
umount "$M"
nothing_left "afterwards"
done_testing
