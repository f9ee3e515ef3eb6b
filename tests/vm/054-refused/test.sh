#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G,5G kernel=ci timeout=1800 full
# Bad input: exit status, the sentence that says what and what to do, nothing left.
. ../lib.sh
. ../daemon.sh

# Who reads /dev/kmsg may write to it as much as he likes
echo on > /proc/sys/kernel/printk_devkmsg

# refused RULE RC TEXT COMMAND...: as fails; one line on stderr, and in the log; and
# nothing is left
refused() {
	local rule=$1 want=$2 text=$3 out rc left
	shift 3
	out=$("$@" 2>&1) && rc=0 || rc=$?
	left=$(left)
	if [ $rc = 0 ] || { [ "$want" != - ] && [ $rc != "$want" ]; }; then
		not_ok "$rule" "wanted exit status $want, got $rc: $*
$out"
	elif ! grep -qF -- "$text" <<< "$out"; then
		not_ok "$rule" "no '$text' in the output of: $*
$out"
	elif [ "$(wc -l <<< "$out")" != 1 ]; then
		not_ok "$rule" "more than one line: $*
$out"
	elif [[ $out == *mount.famfs:* ]] && ! dmesg | grep -qF -- "${out#*: }"; then
		not_ok "$rule" "not in the log: $out"
	elif [ -n "$left" ]; then
		not_ok "$rule" "left after: $*
$left"
	else
		ok "$rule"
	fi
}
mnt() { mount -t famfs "$@"; }

make_fsdev 0
make_pmem 1
make_fs "$FSDEV"
name=${FSDEV##*/}

fails "no arguments" 1 "usage: mount.famfs" mount.famfs
fails "one argument" 1 "usage: mount.famfs" mount.famfs "$FSDEV"
fails "an unknown switch" 1 "usage: mount.famfs" mount.famfs -q "$FSDEV" "$M"
# mount(8) looks at the mount point first
refused "mount point missing" 32 "No such file or directory; make the directory first" mount.famfs "$FSDEV" /mnt/none
touch /tmp/file
refused "mount point is a file" 32 "Not a directory" mount.famfs "$FSDEV" /tmp/file

# ---- options ----
refused "unknown option" 1 "option 'bogus' is not known" mnt -o bogus "$FSDEV" "$M"
refused "unknown option with a value" 1 "option 'shadow=/x' is not known" mnt -o shadow=/x "$FSDEV" "$M"
refused "poll below its range" 1 "option 'poll=5': expected a number from 10 to 60000" mnt -o poll=5 "$FSDEV" "$M"
refused "poll above its range" 1 "option 'poll=60001': expected" mnt -o poll=60001 "$FSDEV" "$M"
refused "poll is no number" 1 "option 'poll=1x': expected" mnt -o poll=1x "$FSDEV" "$M"
refused "poll without a value" 1 "option 'poll" mnt -o poll "$FSDEV" "$M"
refused "threads=0" 1 "option 'threads=0': expected a number from 1 to 64" mnt -o threads=0 "$FSDEV" "$M"
refused "dev= without index" 1 "expected dev=N:/PATH" mnt -o dev=/dev/x "$FSDEV" "$M"
refused "dev=0" 1 "expected a number from 1 to 255" mnt -o dev=0:/dev/x "$FSDEV" "$M"
refused "dev=256" 1 "expected a number from 1 to 255" mnt -o dev=256:/dev/x "$FSDEV" "$M"
refused "dev= with a relative path" 1 "expected dev=N:/PATH" mnt -o dev=1:x "$FSDEV" "$M"
refused "dev= twice" 1 "device 1 is named twice" mnt -o "dev=1:$PMEM,dev=1:$PMEM" "$FSDEV" "$M"
refused "dev=2 without dev=1" 1 "device 1 is not named" mnt -o "dev=2:$PMEM" "$FSDEV" "$M"
refused "mode static" 1 "mode static: not built" mnt -o static "$FSDEV" "$M"
refused "mode compat" 1 "mode compat" mnt -o compat "$FSDEV" "$M"

# ---- devices ----
refused "device missing" 32 "no such device" mnt /dev/dax9.9 "$M"
head -c 1M /dev/zero > /tmp/image
refused "an image file" 32 "an image file, not a DAX device" mnt /tmp/image "$M"
refused "a directory" 32 "not a device" mnt /tmp "$M"
refused "a character device that is no DAX device" 32 "not a DAX device" mnt /dev/null "$M"
mknod /tmp/ram0 b 1 0
refused "a block device that does no DAX" 32 "not a DAX device" mnt /tmp/ram0 "$M"
echo "$name" > /sys/bus/dax/drivers/fsdev_dax/unbind
refused "no driver bound" 1 "bound to no driver, not to driver fsdev_dax" mnt "$FSDEV" "$M"
is "it stays so" "$(readlink /sys/bus/dax/devices/"$name"/driver)" ""
echo "$name" > /sys/bus/dax/drivers/device_dax/bind
refused "the wrong driver" 1 "bound to device_dax, not to driver fsdev_dax; if nobody uses it: echo $name > /sys/bus/dax/drivers/device_dax/unbind; echo $name > /sys/bus/dax/drivers/fsdev_dax/new_id" mnt "$FSDEV" "$M"
is "it is bound as it was" "$(basename "$(readlink /sys/bus/dax/devices/"$name"/driver)")" device_dax
bind_fsdev "$name"

mkfs.ext4 -q -b 4096 "$PMEM" > /dev/null 2>&1 || bail "mkfs.ext4"
mkdir -p /mnt/ext4
mount -o dax=always "$PMEM" /mnt/ext4 || bail "mount ext4"
refused "a device that ext4 has mounted" 32 "Device or resource busy" mnt "$PMEM" "$M"
check "ext4 is none the worse" touch /mnt/ext4/x
umount /mnt/ext4
wipefs -qa "$PMEM"
dd if=/dev/zero of="$PMEM" bs=1M count=12 conv=fsync status=none
refused "no file system on it" 32 "make a file system with mkfs.famfs" mnt "$PMEM" "$M"

# ---- media: the decoder's own tests have every field; here, that they end like this ----
DEV=$PMEM
# patch OFFSET HEX: bytes of the device, which nobody uses
# shellcheck disable=SC2001 # every pair of digits
patch() { printf "%b" "$(sed 's/../\\x&/g' <<< "$2")" | dd of="$PMEM" bs=1 seek="$1" conv=notrunc,fsync status=none; }
make_fs "$PMEM"
patch 96 00000000
refused "superblock crc" 32 "superblock at 0x60: crc: found" mnt "$PMEM" "$M"
make_fs "$PMEM"
patch 8 2f
refused "superblock version" 32 "superblock at 0x8: ts_version: found 47" mnt "$PMEM" "$M"
make_fs "$PMEM"
patch $((112)) 0000000000010000
refused "superblock larger than the device" 32 "dd_size" mnt "$PMEM" "$M"
make_fs "$PMEM"
patch $((2 << 20)) 00
refused "log magic" 32 "log header at 0x200000: magic: found" mnt "$PMEM" "$M"
make_fs "$PMEM"
mounted
famfs mkdir "$M"/good > /dev/null
famfs creat -s 2m "$M"/bad > /dev/null
famfs creat -s 2m "$M"/after > /dev/null
umount "$M"
left > /dev/null
patch $(((2 << 20) + 48 + 544 + 40)) 58
refused "a bad entry" 32 "; -o ro,recover mounts what comes before it" mnt "$PMEM" "$M"
mounted -o ro,recover
is "recover has what comes before it" "$(ls "$M")" good
fails "and cannot be made writable" - "" bash -c "mount -o remount,rw $M && famfs mkdir $M/x"
fails "nor written through" - "" dd if=/dev/zero of="$M"/.meta/.log bs=1 count=1 conv=notrunc
umount "$M"
left > /dev/null

# ---- short devices: a partition of 2 GiB in place of the whole device ----
make_fs "$PMEM"
dd if="$PMEM" of=/tmp/head bs=1M count=12 status=none
printf 'label: gpt\nstart=2MiB, size=2GiB\nstart=2052MiB, size=2GiB\n' | sfdisk -q "$PMEM" > /dev/null 2>&1 ||
	bail "sfdisk"
for ((i = 0; i < 100; i++)); do [ -b "${PMEM}p2" ] && break; sleep 0.1; done
dd if=/tmp/head of="${PMEM}p1" bs=1M conv=fsync status=none
refused "superblock of a longer device" 32 "dd_size: found" mnt "${PMEM}p1" "$M"
refused "a partition without a file system" 32 "make a file system with mkfs.famfs" mnt "${PMEM}p2" "$M"
sfdisk -q --delete "$PMEM" > /dev/null 2>&1
make_fs "$FSDEV" --add-device "$PMEM"
printf 'label: gpt\nstart=2MiB, size=2GiB\n' | sfdisk -q "$PMEM" > /dev/null 2>&1 || bail "sfdisk"
for ((i = 0; i < 100; i++)); do [ -b "${PMEM}p1" ] && break; sleep 0.1; done
refused "a further device that is too short" 32 "device size: found 2147483648 bytes, expected at least" \
	mnt -o "dev=1:${PMEM}p1" "$FSDEV" "$M"
sfdisk -q --delete "$PMEM" > /dev/null 2>&1
wipefs -qa "$PMEM"

# ---- further devices ----
make_fs "$FSDEV" --add-device "$PMEM"
refused "a device of the log is not named" 32 "is missing: name it with -o dev=1:PATH" mnt "$FSDEV" "$M"
refused "named, but not there" 32 "no such device" mnt -o dev=1:/dev/none "$FSDEV" "$M"
refused "named, but busy: the primary itself" 32 "Device or resource busy" mnt -o "dev=1:$FSDEV" "$FSDEV" "$M"
refused "one too many" 1 "dev=2 is named" mnt -o "dev=1:$PMEM,dev=2:$PMEM" "$FSDEV" "$M"
refused "the second device is mounted" 32 "a primary superblock" mnt "$PMEM" "$M"
patch 48 00
refused "the second device is of another file system" 32 "$PMEM: superblock" mnt -o "dev=1:$PMEM" "$FSDEV" "$M"
make_fs "$FSDEV" --add-device "$PMEM"
check "and all is well with both" mnt -o "dev=1:$PMEM" "$FSDEV" "$M"
umount "$M"
left > /dev/null
make_fs "$FSDEV"
refused "dev= of a file system of one device" 1 "has 1 device(s)" mnt -o "dev=1:$PMEM" "$FSDEV" "$M"

# ---- no BPF: bpf(2) is not there, or forbidden to the worker ----
mkdir -p /tmp/nobpf
cp /usr/libexec/famfs/famfs-holder /tmp/nobpf
cat > /tmp/nobpf.py <<'PY'
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
# bpf(2), 321 on x86-64, answers the errno; everything else is allowed
code = b"".join(struct.pack("<HBBI", *i) for i in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 321), (0x06, 0, 0, 0x50000 | int(sys.argv[1])),
    (0x06, 0, 0, 0x7fff0000)))
buf = ctypes.create_string_buffer(code)
prog = struct.pack("<HxxxxxxQ", 4, ctypes.addressof(buf))
assert not libc.prctl(38, 1, 0, 0, 0) and not libc.prctl(22, 2, prog), "seccomp"
os.execv("/usr/libexec/famfs/famfs-bpfd", ["famfs-bpfd"])
PY
for errno in "38:kernel lacks BPF: boot a kernel with" "1:not permitted to load a BPF program"; do
	printf '#!/bin/sh\nexec python3 /tmp/nobpf.py %s\n' "${errno%%:*}" > /tmp/nobpf/famfs-bpfd
	chmod 755 /tmp/nobpf/famfs-bpfd
	refused "BPF is disabled: ${errno#*:}" - "${errno#*:}" env FAMFS_LIBEXECDIR=/tmp/nobpf mount.famfs "$FSDEV" "$M"
	check "by upcall it can be mounted" env FAMFS_LIBEXECDIR=/tmp/nobpf mount.famfs "$FSDEV" "$M" -o upcall
	umount "$M"
	left > /dev/null
done

# ---- the installation ----
refused "a directory of programs that is not there" 1 "not a directory that only root can write to" env FAMFS_LIBEXECDIR=/none mount.famfs "$FSDEV" "$M"
mkdir -p /tmp/empty
refused "one without the programs" 32 "/tmp/empty/famfs-holder: No such file or directory" env FAMFS_LIBEXECDIR=/tmp/empty mount.famfs "$FSDEV" "$M"
mkdir -p /tmp/fake
cp /usr/libexec/famfs/famfs-holder /tmp/fake
printf '#!/bin/sh\nexit 3\n' > /tmp/fake/famfs-bpfd
chmod 755 /tmp/fake/famfs-bpfd
refused "a worker that ends at once" 32 "famfs-bpfd ended without a reason" env FAMFS_LIBEXECDIR=/tmp/fake mount.famfs "$FSDEV" "$M"
printf '#!/bin/sh\nexit 0\n' > /tmp/fake/famfs-holder
refused "a holder that ends at once" 32 "famfs-bpfd ended without a reason" env FAMFS_LIBEXECDIR=/tmp/fake mount.famfs "$FSDEV" "$M"
fails "famfs-bpfd by hand" 1 "usage: famfs-bpfd -f DEVICE DIR" /usr/libexec/famfs/famfs-bpfd x
fails "famfs-holder by hand" 1 "usage: famfs-holder" /usr/libexec/famfs/famfs-holder

# ---- killed in the middle ----
for ms in 0.02 0.05 0.1 0.2 0.3 0.5 0.7 1 1.5 2 3; do
	timeout -s KILL $ms mount.famfs "$FSDEV" "$M" 2>/dev/null
	umount "$M" 2>/dev/null
done
is "mount.famfs killed at any time: nothing is left" "$(left)" ""
check "and it can be mounted" mnt "$FSDEV" "$M"
check "once" umount "$M"
nothing_left "at the end"
done_testing
