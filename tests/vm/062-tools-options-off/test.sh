#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=1G cpus=1 pmem=5G,5G kernel=off timeout=300
# On a kernel built without CONFIG_FUSE_IOMAP the tools say so where they need it, leave
# nothing behind, and work where they do not.
. ../lib.sh

left_nothing() { ! findmnt -S "$1" && ! pgrep -x mkfs.famfs && ! pgrep -x famfs; }

json=$(ndctl create-namespace -f -e namespace0.0 -m devdax -M mem -a 2M) || bail "ndctl: $json"
CHAR=/dev/dax0.0
make_pmem 1
for t in "mkfs.famfs $PMEM" "famfs fsck $PMEM" "mkfs.famfs -M $CHAR" "famfs fsck -M $CHAR"; do
	# shellcheck disable=SC2086 # words
	fails "$t: names the kernel's option" - "CONFIG_FUSE_IOMAP" $t
	check "$t: leaves nothing" left_nothing "${t##* }"
done
is "the driver is as it was" "$(basename "$(readlink /sys/bus/dax/devices/dax0.0/driver)")" device_dax
check "mkfs of a device under device_dax" mkfs.famfs --raw $CHAR
check "fsck of it" famfs fsck --raw $CHAR
truncate -s 5G /tmp/image
check "mkfs of an image file" mkfs.famfs /tmp/image
check "fsck of it" famfs fsck /tmp/image
done_testing
