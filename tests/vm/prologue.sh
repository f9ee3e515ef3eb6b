# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Run first in a VM, whose root is the host's, read-only: lay the installed programs over
# the system's directories, so that mount(8) finds mount.famfs where it looks.
overlay_stage() {
	local d
	for d in usr/sbin usr/bin usr/libexec usr/share/man; do
		[ -d "$STAGE/$d" ] && [ -d "/$d" ] || continue
		mount -t overlay -o "ro,lowerdir=$STAGE/$d:/$d" overlay "/$d" || return 1
	done
}
[ ! -d "${STAGE:-/nonexistent}" ] || overlay_stage || { echo "Bail out! cannot overlay $STAGE"; exit 1; }
mkdir -p /run/famfs
