#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=5G,5G kernel=ci timeout=900
# mount(8) with type famfs: by both names, on both kinds of devices; options become
# attributes of the mount; remount; what is refused while it is mounted.
. ../lib.sh
. ../daemon.sh

# options: the per-mount options of M, as the kernel has them
options() { findmnt -n -o VFS-OPTIONS "$M"; }
has() { case ",$(options)," in *",$2,"*) ok "$1";; *) not_ok "$1" "$(options)";; esac; }
has_not() { case ",$(options)," in *",$2,"*) not_ok "$1" "$(options)";; *) ok "$1";; esac; }
unmount() { umount "$M" || bail "umount"; left > /dev/null; }

make_fsdev 0
make_pmem 1
make_fs "$FSDEV"
make_fs "$PMEM"

DEV=$FSDEV
check "mount -t famfs, a character device" mount -t famfs "$DEV" "$M"
is "the type is fuse.famfs" "$(findmnt -n -o FSTYPE "$M")" fuse.famfs
is "the source is the device" "$(findmnt -n -o SOURCE "$M")" "$DEV"
is "findmnt finds it by device" "$(findmnt -n -o TARGET -S "$DEV")" "$M"
has "nosuid by default" nosuid
has "nodev by default" nodev
has "rw by default" rw
check "superblock and log are there" test -f "$M"/.meta/.superblock -a -f "$M"/.meta/.log
is "statfs knows the capacity" "$(stat -f -c '%S %b' "$M")" "2097152 $(($(cat /sys/bus/dax/devices/"${DEV##*/}"/size) >> 21))"
uuid=$(status uuid)
is "pins are for root" "$(stat -c %a /sys/fs/bpf/famfs/"$uuid")" 700
is "all is pinned" "$(cd /sys/fs/bpf/famfs/"$uuid" && echo *)" "extents link reserved rodata slots"
is "the control socket is for root" "$(stat -c '%A %U' /run/famfs/"$uuid"/ctl)" "srw------- root"
is "the worker has no capability" "$(status capabilities)" 0000000000000000
is "and says so" "$(sed -n 's/^CapPrm:\t//p' /proc/"$(worker)"/status)" 0000000000000000
is "no thread of it has" "$(cat /proc/"$(worker)"/task/*/status | sed -n 's/^Cap\(Eff\|Prm\|Bnd\):\t//p' | sort -u)" 0000000000000000
is "none gets new privileges" "$(cat /proc/"$(worker)"/task/*/status | sed -n 's/^NoNewPrivs:\t//p' | sort -u)" 1
is "the holder keeps two" "$(sed -n 's/^CapEff:\t//p' /proc/"$(pidof famfs-holder)"/status)" 0000000000220000
is "no device is open in them" "$(readlink /proc/{"$(worker)","$(pidof famfs-holder)"}/fd/* | grep -c "$DEV")" 0

fails "the same mount point again" 32 "Device or resource busy" mount -t famfs "$DEV" "$M"
mkdir -p /mnt/other
fails "the same device elsewhere" 32 "Device or resource busy" mount -t famfs "$DEV" /mnt/other
ln -sf "$DEV" /tmp/alias
fails "and by another name" 32 "Device or resource busy" mount -t famfs /tmp/alias /mnt/other
is "the mount is as it was" "$(findmnt -n -o SOURCE "$M")" "$DEV"

check "remount ro" mount -o remount,ro "$M"
has "it is ro" ro
fails "famfs creat is refused" 1 "read-only" famfs creat -s 2m "$M"/f
check "remount rw,noexec,noatime" mount -o remount,rw,noexec,noatime "$M"
has "it is rw" rw
has "and noexec" noexec
has "and noatime" noatime
has "and still nosuid" nosuid
fails "remount cannot change poll=" 1 "remount cannot change 'poll'" mount -o remount,poll=50 "$M"
fails "remount cannot change dev=" 1 "remount cannot change 'dev'" mount -o remount,dev=1:/dev/null "$M"
fails "remount of what is no famfs" 1 "not a mount of famfs" mount.famfs "$DEV" /tmp -o remount,ro
unmount
nothing_left "after umount"

mounted -o ro
has "ro reaches the mount" ro
check "it can be read" cmp -n 4096 "$M"/.meta/.superblock "$M"/.meta/.superblock
check "nothing can be written" bash -c "! dd if=/dev/zero of=$M/.meta/.log bs=1 count=1 conv=notrunc 2>/dev/null"
unmount
mounted -o allow_suid,allow_dev,noexec,nodiratime,strictatime
has_not "allow_suid" nosuid
has_not "allow_dev" nodev
has "noexec" noexec
has "nodiratime" nodiratime
has_not "strictatime" relatime
unmount

DEV=$PMEM
check "mount -t fuse.famfs, a block device" mount -t fuse.famfs "$DEV" "$M"
is "the source is the block device" "$(findmnt -n -o SOURCE "$M")" "$DEV"
unmount

echo "$DEV $M famfs noauto,nofail,x-systemd.device-timeout=30s,ro 0 0" > /tmp/fstab
check "fstab" mount -T /tmp/fstab "$M"
has "its ro" ro
unmount
echo "$DEV $M famfs defaults 0 0" > /tmp/fstab
check "mount -a" mount -a -T /tmp/fstab
check "mount -a again does nothing" mount -a -T /tmp/fstab
is "one mount" "$(grep -c fuse.famfs /proc/self/mountinfo)" 1
unmount

check "-f mounts nothing" mount.famfs -f "$DEV" "$M"
nothing_left "after -f"
fails "an unknown option is an error" 1 "option 'bogus=1' is not known" mount.famfs "$DEV" "$M" -o bogus=1
check "but not with -s" mount.famfs "$DEV" "$M" -s -o bogus=1
unmount
is "-v says it" "$(mount.famfs -v "$DEV" "$M")" "mount.famfs: $DEV mounted on $M."
unmount
check "spaces in the name of the mount point" mkdir -p "/mnt/a b"
check "mount there" mount -t famfs "$DEV" "/mnt/a b"
check "and unmount" umount "/mnt/a b"
left > /dev/null

check "suid and dev, without mount(8) in between" mount.famfs "$DEV" "$M" -o suid,dev
has_not "suid" nosuid
has_not "dev" nodev
unmount

# A mount namespace of its own
check "in another namespace" unshare -m --propagation private \
	sh -c "mount -t famfs $DEV $M && stat $M/.meta/.log && umount $M"
nothing_left "after that"

# Two file systems side by side
mounted
check "a second file system" mount -t famfs "$FSDEV" /mnt/other
is "two workers" "$(worker | wc -w)" 2
umount /mnt/other
unmount
nothing_left "after both"

/usr/libexec/famfs/famfs-bpfd -f "$DEV" "$M" > /tmp/fg 2>&1 &
fg=$!
for ((i = 0; i < 200; i++)); do grep -q fuse.famfs /proc/self/mountinfo && break; sleep 0.1; done
check "in the foreground" test -f "$M"/.meta/.log
kill -INT $fg
wait $fg
is "SIGINT ends it cleanly" $? 0
check "it said what it served" grep -q "serving $DEV" /tmp/fg
nothing_left "after the foreground"
done_testing
