# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# For tests of mount.famfs, famfs-bpfd and famfs-holder; sourced after lib.sh.

M=/mnt/famfs
mkdir -p $M

# make_fs DEVICE [mkfs options]: a new file system on it
make_fs() {
	local out dev=$1
	shift
	out=$(mkfs.famfs -f "$@" "$dev" 2>&1) || bail "mkfs.famfs $dev: $out"
}
# mounted OPTIONS...: mount DEV on M, or bail out
mounted() {
	local out
	out=$(mount -t famfs "$@" "$DEV" $M 2>&1) || bail "mount: exit status $?: $out"
}
# status KEY: of the mounted file system
status() { famfs status $M | sed -n 's/^ *"'"$1"'":"\?\([^",]*\)"\?,\?$/\1/p'; }

# programs: how many struct_ops programs there are; only ours are of this kind here
programs() { "$BUILD/tests/vm/bpfids" | grep -c '^map'; }

# left: what a mount left behind, one a line; waits a little, since ends are asynchronous
left() { "$BUILD/tests/vm/bpfids" left 2>&1; }
# nothing_left WHEN
nothing_left() { is "nothing is left mounted, pinned or running $1" "$(left)" ""; }
# given_back WHEN: the device can be had by somebody else at once
given_back() {
	local out
	if out=$(mkfs.famfs -f "$DEV" 2>&1); then ok "the device is given back $1"; else not_ok "the device is given back $1" "$out"; fi
}
# worker: pid of the one famfs-bpfd
worker() { pidof famfs-bpfd; }
