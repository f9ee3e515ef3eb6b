#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=17G,17G kernel=ci timeout=400
# famfs mkdir, creat, verify, flush, chkread, fsck and status on a mounted file system:
# the rows of the command line contract that apply, as upstream's smoke scripts check them.
. ../lib.sh

MPT=/mnt/famfs
mkdir -p $MPT
make_pmem 0
DEV=$PMEM
make_pmem 1
OTHER=$PMEM
out=$(mkfs.famfs "$DEV" 2>&1) || bail "mkfs.famfs: $out"
out=$(mount -t famfs "$DEV" $MPT 2>&1) || bail "mount: $out"

remount() {
	local i
	umount $MPT || return
	for ((i = 0; i < 100; i++)); do
		pidof famfs-bpfd > /dev/null || break
		sleep 0.1
	done
	mount -t famfs "$DEV" $MPT
}
stat_of() { stat -c '%a %u %g' "$1"; }
entries() { famfs fsck $MPT | awk '/entries used/ { print $1 }'; }

# ---- while mounted ----
fails "mkfs is refused" 2 "cannot mkfs while $DEV is mounted on $MPT" mkfs.famfs -f "$DEV"
fails "fsck by device is refused" 16 "cannot fsck by device ($DEV) when mounted" famfs fsck "$DEV"
check "fsck by path" famfs fsck $MPT
check "fsck by a path inside" famfs fsck $MPT/.meta/.log
check "fsck --human" famfs fsck --human $MPT
fails "fsck -rm" 1 "exclude" famfs fsck -rm $MPT
is "fsck shows the mount point" "$(famfs fsck $MPT | awk '/mount point:/ { print $3 }')" $MPT
is "fsck shows the device" "$(famfs fsck $MPT | awk '/backing dev:/ { print $3 }')" "$DEV"
is "fsck shows the type" "$(famfs fsck $MPT | awk '/mount type:/ { print $3 }')" FAMFS_FUSE
check "fsck needs no root" setpriv --reuid=65534 --regid=65534 --clear-groups famfs fsck $MPT
check "the superblock is a file" test -f $MPT/.meta/.superblock
check "the log is a file" test -f $MPT/.meta/.log
check "chkread -l of the log" famfs chkread -l $MPT/.meta/.log
check "chkread -s of the superblock" famfs chkread -s $MPT/.meta/.superblock
fails "chkread without a file" 1 "must specify" famfs chkread
fails "chkread of what does not exist" 1 "nope" famfs chkread $MPT/nope
check "status is JSON" bash -c "famfs status $MPT | python3 -m json.tool"

# ---- mkdir ----
check "mkdir" famfs mkdir $MPT/d
check "it is there at once" test -d $MPT/d
is "with mode 0755" "$(stat_of $MPT/d)" "755 0 0"
fails "mkdir of what exists" 1 "exists" famfs mkdir $MPT/d
fails "mkdir of the mount point" 1 "exists" famfs mkdir $MPT
fails "mkdir without a parent" 1 "parent does not exist" famfs mkdir $MPT/x/y
fails "mkdir without arguments" 1 "must specify" famfs mkdir
check "mkdir -p of what exists" famfs mkdir -p $MPT/d
check "mkdir -p of the mount point" famfs mkdir -p $MPT
check "mkdir -p, nested" famfs mkdir -p $MPT/a/b/c
check "all of it is there" test -d $MPT/a/b/c
check "mkdir -p with . and //" famfs mkdir -p $MPT/./a//y/./z/
check "it is there" test -d $MPT/a/y/z
fails "mkdir -p that climbs out" 1 "not in a famfs file system" famfs mkdir -p $MPT/a/y/../../../../q
fails "mkdir -p that would climb out" 1 "" famfs mkdir -p $MPT/a/new/../../../../q
is "mkdir -v says what it made" "$(famfs mkdir -v $MPT/v)" "famfs mkdir: created directory '$MPT/v'"
check "mkdir -m -u -g" famfs mkdir -p -m 700 -u 1000 -g 1001 $MPT/owned
is "mode and owner" "$(stat_of $MPT/owned)" "700 1000 1001"
(umask 027; famfs mkdir $MPT/masked)
is "the umask applies" "$(stat_of $MPT/masked)" "750 0 0"
(cd $MPT/a && famfs mkdir rel)
check "a relative path" test -d $MPT/a/rel
long=$(printf 'n%.0s' $(seq 79))
check "a path of 79 bytes" famfs mkdir "$MPT/$long"
fails "a path of 80 bytes" 1 "too long" famfs mkdir "$MPT/${long}n"
fails "mkdir -p of a path that is too long" 1 "too long" famfs mkdir -p "$MPT/half/$long"
check "makes no half of it" test ! -e $MPT/half
fails "a bad mode" 1 "not a number" famfs mkdir -m 9 $MPT/bad
fails "a bad owner" 1 "not a number" famfs mkdir -u -1 $MPT/bad

# ---- creat ----
fails "creat without arguments" 1 "must specify" famfs creat
fails "creat without a size" 1 "size" famfs creat $MPT/f
fails "creat of size 0" 1 "bad value" famfs creat -s 0 $MPT/f
fails "creat -S without its value" 1 "requires an argument" famfs creat -r -s 4096 -S
fails "creat -S without -r" 1 "randomize" famfs creat -s 4096 -S 1 $MPT/f
fails "creat of a directory that exists" - "not a regular file" famfs creat -s 4096 $MPT/d
fails "creat outside" - "not in a famfs file system" famfs creat -s 4096 /tmp/f
fails "creat without a directory" - "directory does not exist" famfs creat -s 4096 $MPT/nope/f
fails "creat below a file" - "" famfs creat -s 4096 $MPT/.meta/.log/f
fails "creat in .meta" - "" famfs creat -s 4096 $MPT/.meta/f
fails "a name that ends with /" - "end with" famfs creat -s 4096 $MPT/f/
check "nothing was made" test ! -e $MPT/f
check "creat -r -S" famfs creat -r -s 4096 -S 1 $MPT/f
is "the size" "$(stat -c %s $MPT/f)" 4096
check "verify" famfs verify -S 1 -f $MPT/f
check "verify -q says nothing" test -z "$(famfs verify -q -S 1 -f $MPT/f)"
fails "verify with a wrong seed" 1 "Verify fail: $MPT/f at offset 0" famfs verify -S 2 -f $MPT/f
famfs creat -r -S 42 $MPT/f > /dev/null
is "the pattern is that of other implementations" "$(od -An -tx1 -N 20 $MPT/f | tr -d ' \n')" \
	985f52e27afb0c3df88c822b402249e5d5781cc4
check "again, without a size" famfs creat -r -S 3 $MPT/f
check "it has the other pattern" famfs verify -S 3 -f $MPT/f
n=$(entries)
check "the same size again" famfs creat -s 4k $MPT/f
is "makes nothing" "$(entries)" "$n"
fails "another size" - "exists with a size" famfs creat -s 8192 $MPT/f
check "mkdir -p over a file fails" bash -c "! famfs mkdir -p $MPT/f/x"
fails "mkdir of a file's name" 1 "exists" famfs mkdir $MPT/f
check "creat -m -u -g" famfs creat -s 12345 -m 600 -u 1000 -g 1001 $MPT/mode
is "mode and owner" "$(stat_of $MPT/mode)" "600 1000 1001"
(umask 077; famfs creat -s 1 $MPT/umask)
is "the umask applies" "$(stat_of $MPT/umask)" "600 0 0"
is "without, 0644" "$(stat_of $MPT/f)" "644 0 0"
fails "a client may not write" 1 "FAMFS_MASTER" bash -c "mount -t tmpfs none /opt; famfs creat -s 4k $MPT/client; rc=\$?; umount /opt; exit \$rc"
fails "nor one who is not root" - "" setpriv --reuid=65534 --regid=65534 --clear-groups famfs creat -s 4k $MPT/user

# ---- several at once ----
fails "--multi with one field" 1 "bad value" famfs creat --multi $MPT/m0
fails "--multi with four fields" 1 "bad value" famfs creat --multi $MPT/m0,4096,1,1
fails "--seed with --multi" 1 "excludes" famfs creat -S 1 --multi $MPT/m0,4096,1
fails "threads: -1" 1 "bad value" famfs creat -t -1 --multi $MPT/m0,4096,1
fails "threads: 1000" 1 "bad value" famfs creat -t 1000 --multi $MPT/m0,4096,1
out=$(famfs creat -t 4 --multi $MPT/m1,4096,1 -M $MPT/m2,8192 -M $MPT/m3,5m,3)
is "three files, one without a seed" "$(grep -c '^randomized' <<< "$out")" 2
is "the summary" "$(grep '^Create complete' <<< "$out")" "Create complete for 3 of 3 files with 0 errs"
fails "one good, one bad" 1 "errs" famfs creat --multi $MPT/nope/bad,4096,1 -M $MPT/m4,4096,4
check "the good one is there" famfs verify -S 4 -f $MPT/m4
check "verify --multi" famfs verify -m $MPT/m1,1 -m $MPT/m3,3 -m $MPT/m4,4
fails "verify --multi, two bad" 2 "with 2 errs" famfs verify -m $MPT/m1,9 -m $MPT/m3,3 -m $MPT/m4,9
fails "verify without arguments" 1 "must specify" famfs verify
fails "verify without a seed" 1 "must specify" famfs verify -f $MPT/m1
fails "verify of what does not exist" 1 "nope" famfs verify -S 1 -f $MPT/nope
fails "verify: a missing comma" 1 "bad value" famfs verify -m $MPT/m1
fails "verify: one field too many" 1 "bad value" famfs verify -m $MPT/m1,1,1
for t in -1 257 999; do
	fails "verify: $t threads" 1 "bad value" famfs verify -t $t -m $MPT/m1,1
done

# ---- interleaved ----
for n in 1 2 3 6 16; do
	check "interleaved over $n strips" famfs creat -r -S "$n" -s $((n * 2097152 + 4242)) \
		-C 2m -N "$n" -B 16 "$MPT/il$n"
	check "it verifies" famfs verify -S "$n" -f "$MPT/il$n"
done
check "smaller than a chunk: contiguous" famfs creat -r -S 7 -s 4096 -N 4 -B 8 $MPT/ilsmall
check "nstrips 0, nbuckets 0, chunk 0: contiguous" famfs creat -s 4m -C 0 -N 0 -B 0 $MPT/ilzero
fails "17 strips" 1 "17" famfs creat -s 64m -N 17 -B 17 $MPT/bad
fails "more strips than buckets" - "" famfs creat -s 64m -N 4 -B 3 $MPT/bad
fails "buckets below 1 GiB" - "" famfs creat -s 64m -N 4 -B 64 $MPT/bad
fails "65 buckets" - "" famfs creat -s 64m -N 4 -B 65 $MPT/bad
fails "100 buckets" - "" famfs creat -s 64m -N 4 -B 100 $MPT/bad
fails "a chunk of 2000000 bytes" - "" famfs creat -s 64m -C 2000000 -N 4 -B 8 $MPT/bad
fails "a chunk of 1 MiB" - "" famfs creat -s 64m -C 1m -N 4 -B 8 $MPT/bad
fails "a chunk of 6 MiB" - "" famfs creat -s 64m -C 6m -N 4 -B 8 $MPT/bad
check "none of these was made" test ! -e $MPT/bad
check "fsck -B 16" famfs fsck -B 16 $MPT

# ---- large ----
check "creat -s 10000k" famfs creat -s 10000k $MPT/k
fails "more than there is" - "Out of space" famfs creat -s 20g $MPT/huge
check "is not made" test ! -e $MPT/huge

# ---- flush ----
fails "flush without arguments" 1 "must specify" famfs flush
fails "flush of what does not exist" 1 "1 errors" famfs flush $MPT/nope
fails "flush of a directory, and a file" 1 "1 errors" famfs flush $MPT/d $MPT/m1
check "flush of files, those of .meta too" bash -c "find $MPT -type f -size -100M -print0 | xargs -0 famfs flush"

# ---- after a remount ----
check "umount and mount" remount
is "mode and owner of a directory" "$(stat_of $MPT/owned)" "700 1000 1001"
is "mode and owner of a file" "$(stat_of $MPT/mode)" "600 1000 1001"
check "seeds verify" famfs verify -m $MPT/f,3 -m $MPT/m1,1 -m $MPT/m3,3 -m $MPT/il16,16 -m $MPT/il3,3
check "fsck is clean" famfs fsck $MPT
check "umount" umount $MPT
fails "fsck by path when it is not mounted" - "not in a famfs file system" famfs fsck $MPT
fails "mkdir when it is not mounted" 1 "not in a famfs file system" famfs mkdir $MPT/late
for ((i = 0; i < 100; i++)); do
	pidof famfs-bpfd > /dev/null || break
	sleep 0.1
done
check "fsck by device" famfs fsck "$DEV"

# ---- over several devices ----
check "mkfs over two devices" mkfs.famfs -f --add-device "$OTHER" "$DEV"
check "mount" mount -t famfs -o dev=1:"$OTHER" "$DEV" $MPT
fails "mkfs of the second device is refused" 2 "" mkfs.famfs -f "$OTHER"
# Before there are strips in every bucket: it needs as much in a row
check "creat -s 3g" famfs creat -s 3g $MPT/big
is "its size" "$(stat -c %s $MPT/big)" 3221225472
for n in 2 3 6 16; do
	check "over $n strips on both devices" famfs creat -r -S "$n" -s $((n * 4194304 + 4242)) \
		-C 2m -N "$n" -B 18 "$MPT/two$n"
	check "it verifies" famfs verify -S "$n" -f "$MPT/two$n"
done
check "umount" umount $MPT
done_testing
