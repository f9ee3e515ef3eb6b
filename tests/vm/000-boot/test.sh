#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=1G cpus=1 pmem=1G,1G kernel=ci,debug timeout=60 full=debug
# The kernel boots, and has what everything else stands on.
. ../lib.sh

ok "a command runs in Linux $(uname -r)"
check "the kernel is a 7.3" grep -q '^7\.3\.' /proc/sys/kernel/osrelease
make_fsdev 0
check "there is a character device bound to fsdev_dax" test -c "$FSDEV"
make_pmem 1
check "there is a block device that does DAX" grep -q 1 "/sys/block/${PMEM#/dev/}/queue/dax"
# Not by bpftool, which takes minutes to print all of it on the debug kernel
check "the kernel has struct_ops fuse_iomap_bpf_ops" \
	grep -qa bpf_struct_ops_fuse_iomap_bpf_ops /sys/kernel/btf/vmlinux
done_testing
