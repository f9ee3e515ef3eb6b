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

# An identity of the VM's own in /opt/famfs, made by the first mkfs: the one of the host, if
# it has any, must not decide what a test sees. An overlay, for a checkout may lie in /opt.
own_identity() {
	mkdir -p /run/opt/upper/famfs /run/opt/work &&
		mount -t overlay -o lowerdir=/opt,upperdir=/run/opt/upper,workdir=/run/opt/work overlay /opt &&
		rm -f /opt/famfs/system_uuid
}
[ ! -d "${STAGE:-/nonexistent}" ] || overlay_stage || { echo "Bail out! cannot overlay $STAGE"; exit 1; }
own_identity || { echo "Bail out! cannot make /opt writable"; exit 1; }
mkdir -p /run/famfs
