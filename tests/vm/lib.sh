# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Sourced by tests/vm/NNN-name/test.sh, inside the VM, as root. A test prints TAP; the
# host runs it with scripts/vm-test.sh, which also looks at the kernel log.
#
# The header of a test says what it needs:
#   # vm: mem=2G cpus=2 pmem=17G,17G kernel=ci,debug timeout=120
# kernel=: the kernels to run it on. pmem=: emulated NVDIMMs, on sparse files. A word full:
# only in ./run test --full; full=debug: there only on that kernel. A word first: it takes
# long, and begins before the others.
#
# Given: TOP (the checkout), STAGE (installed programs, already on their paths), WORK (a
# directory that the host sees, too), KFLAVOUR (ci, debug, off).

set -u
TAP_N=0
TAP_FAILED=0
export LC_ALL=C

ok() { TAP_N=$((TAP_N + 1)); echo "ok $TAP_N - $1"; }
not_ok() {
	TAP_N=$((TAP_N + 1)); TAP_FAILED=$((TAP_FAILED + 1))
	echo "not ok $TAP_N - $1"
	[ $# -lt 2 ] || printf '# %s\n' "${2//$'\n'/$'\n# '}"
}
# check RULE COMMAND...: the command succeeds
check() {
	local rule=$1 out
	shift
	if out=$("$@" 2>&1); then ok "$rule"; else not_ok "$rule" "rc=$?: $*
$out"; fi
}
# fails RULE RC TEXT COMMAND...: it exits with RC (or any but 0: -) and its output has TEXT
fails() {
	local rule=$1 want=$2 text=$3 out rc
	shift 3
	out=$("$@" 2>&1) && rc=0 || rc=$?
	# Not by a signal, nor because there is no such program
	if [ "$rc" = 0 ] || { [ "$want" != - ] && [ "$rc" != "$want" ]; } ||
		{ [ "$want" = - ] && [ "$rc" -ge 126 ]; }; then
		not_ok "$rule" "wanted exit status $want, got $rc: $*
$out"
	elif ! grep -qF -- "$text" <<< "$out"; then
		not_ok "$rule" "no '$text' in the output of: $*
$out"
	else
		ok "$rule"
	fi
}
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted '$3'"; fi; }
at_least() { if [ "$2" -ge "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted at least '$3'"; fi; }
# ended NAME STATUS: a program that prints a line a check came to its end: 0, or 1 when one failed
ended() { if [ "$2" -le 1 ]; then ok "$1 came to its end"; else not_ok "$1 came to its end" "exit status $2"; fi; }
bail() { echo "Bail out! $*"; exit 1; }
done_testing() { echo "1..$TAP_N"; exit $((TAP_FAILED > 0)); }

# make_fsdev N: turn NVDIMM N into a character device bound to fsdev_dax; sets FSDEV
make_fsdev() {
	local json d
	json=$(ndctl create-namespace -f -e "namespace$1.0" -m devdax -M mem -a 2M 2>&1) ||
		bail "ndctl: $json"
	d=$(grep -oE '"chardev":"dax[0-9.]+"' <<< "$json" | cut -d'"' -f4)
	[ -n "$d" ] || bail "no device-dax in: $json"
	bind_fsdev "$d"
	# shellcheck disable=SC2034 # for the caller
	FSDEV=/dev/$d
}
bind_fsdev() {
	echo "$1" > /sys/bus/dax/drivers/device_dax/unbind || bail "cannot unbind $1"
	# new_id binds it the first time, bind later
	echo "$1" > /sys/bus/dax/drivers/fsdev_dax/new_id 2>/dev/null ||
		echo "$1" > /sys/bus/dax/drivers/fsdev_dax/bind || bail "cannot bind $1"
	[ -e "/sys/bus/dax/drivers/fsdev_dax/$1" ] || bail "$1 is not bound to fsdev_dax"
}
# make_pmem N: turn NVDIMM N into a DAX block device; sets PMEM
make_pmem() {
	local json d
	json=$(ndctl create-namespace -f -e "namespace$1.0" -m fsdax -M mem 2>&1) || bail "ndctl: $json"
	d=$(grep -oE '"blockdev":"pmem[0-9.]+"' <<< "$json" | cut -d'"' -f4)
	[ -n "$d" ] || bail "no block device in: $json"
	# shellcheck disable=SC2034 # for the caller
	PMEM=/dev/$d
}
# counter PID NAME: the line iomap_NAME of the fdinfo of the process's /dev/fuse
counter() {
	local fd
	for fd in /proc/"$1"/fd/*; do
		if [ "$(readlink "$fd")" = /dev/fuse ]; then
			sed -n "s/^iomap_$2:\t//p" "/proc/$1/fdinfo/${fd##*/}"
			return
		fi
	done
}
# rejects PID: the sum of all iomap_reject_*
rejects() {
	local fd
	for fd in /proc/"$1"/fd/*; do
		if [ "$(readlink "$fd")" = /dev/fuse ]; then
			awk '/^iomap_reject_/ { n += $2 } END { print n + 0 }' "/proc/$1/fdinfo/${fd##*/}"
			return
		fi
	done
}
