#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=1G,1G kernel=ci,debug,up timeout=120
# The kselftest of the series, on both kinds of device: negotiation, registration, file
# operations, every wrong mapping by upcall, aliases at both sizes, poison, unbind.
. ../lib.sh

# Turns the results of kselftest_harness into ours
harness() {
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*"# SKIP"*) not_ok "$1: ${line#ok * }" "nothing may be skipped here";;
		"ok "*) ok "$1: ${line#ok * }";;
		"not ok "*) not_ok "$1: ${line#not ok * }" "$(grep "${line##*.}" "$2")";;
		esac
	done < "$2"
	check "$1: it ran to its end" grep -qE '^# (PASSED|FAILED):' "$2"
}

make_fsdev 0
FUSE_IOMAP_DEV=$FSDEV FUSE_IOMAP_DRIVER=/sys/bus/dax/drivers/fsdev_dax FUSE_IOMAP_NAME=${FSDEV#/dev/} \
	"$BUILD/fuse_iomap_test" > "$WORK/fsdev.log" 2>&1
harness fsdev "$WORK/fsdev.log"

make_pmem 1
ns=$(basename "$(readlink -f "/sys/block/${PMEM#/dev/}/device")")
FUSE_IOMAP_DEV=$PMEM FUSE_IOMAP_DRIVER=/sys/bus/nd/drivers/nd_pmem FUSE_IOMAP_NAME=$ns \
	"$BUILD/fuse_iomap_test" > "$WORK/pmem.log" 2>&1
harness pmem "$WORK/pmem.log"
done_testing
