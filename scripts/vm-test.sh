#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm-test.sh KERNEL_DIR FLAVOUR TEST_DIR: run one test in a VM of its own and print its TAP,
# with one line more: the kernel log is clean. Leaves console and repro.sh on failure.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
KERNEL=$1 FLAVOUR=$2 TEST=$(cd "$3" && pwd)
NAME=$(basename "$TEST")
B=${BUILD:-$TOP/build}
W=$TOP/out/$FLAVOUR/$NAME
rm -rf "$W"
mkdir -p "$W"
# Everything printed from here on is also for whoever counts
exec > >(tee "$W.tap")

# The header
declare -A need=([mem]=1G [cpus]=1 [pmem]='' [timeout]=120)
for w in $(sed -n 's/^# vm: //p' "$TEST/test.sh" | head -n 1); do
	need[${w%%=*}]=${w#*=}
done
args=(-k "$KERNEL/vmlinux.pvh" -i "$B/vminit" -w "$W" -c "${need[cpus]}")
if [ "$FLAVOUR" = debug ]; then
	# Shadow memory, and everything is slower
	args+=(-m "$(( ${need[mem]%G} + 1 ))G" -t $((need[timeout] * 6 + 120)) -a "slub_debug=FZ")
else
	args+=(-m "${need[mem]}" -t "${need[timeout]}")
fi
n=0
for size in ${need[pmem]//,/ }; do
	args+=(-p "$size:$W/pmem$n")
	n=$((n + 1))
done
[ -z "${need[cmdline]:-}" ] || args+=(-a "${need[cmdline]//,/ }")

cat > "$W/guest.sh" <<GUEST
export TOP=$TOP STAGE=$B/stage BUILD=$B WORK=/run/vm KFLAVOUR=$FLAVOUR BPFTOOL=$("$TOP/scripts/libbpf.sh")/bpftool
. $TOP/tests/vm/prologue.sh
cd $TEST && bash ./test.sh
GUEST
{ echo "#!/bin/bash"; printf 'cd %q && exec %q' "$TOP" "$TOP/tests/vm/boot.sh"; printf ' %q' "${args[@]}"; printf ' "$(cat %q)"\n' "$W/guest.sh"; } > "$W/repro.sh"
chmod +x "$W/repro.sh"

rc=0
(cd "$TOP" && tests/vm/boot.sh "${args[@]}" "$(cat "$W/guest.sh")") > "$W/tap" 2> "$W/stderr" < /dev/null || rc=$?
grep -v '^1\.\.' "$W/tap" || true
plan=$(sed -n 's/^1\.\.//p' "$W/tap" | tail -n 1)
n=$(grep -cE '^(not )?ok ' "$W/tap" || true)
if [ -z "$plan" ]; then
	n=$((n + 1))
	echo "not ok $n - $NAME ran to its end (boot.sh: $rc)"
	{ tail -n 15 "$W/stderr"; tail -n 5 "$W/tap"; } | sed 's/^/# /'
fi
# What the kernel complained of
dirty=$(grep -nE 'WARNING:|BUG:|KASAN|UBSAN|Oops|INFO: (task|rcu|possible|inconsistent)|possible (circular|recursive)|suspicious RCU|lockdep|general protection|Kernel panic|unregister_netdevice' "$W/dmesg" "$W/console.log" 2>/dev/null |
	grep -vE 'lockdep (is|debugging)|Lock dependency validator|MAX_LOCK|RCU lockdep checking is enabled' || true)
n=$((n + 1))
if [ -z "$dirty" ]; then
	echo "ok $n - the kernel log is clean"
else
	echo "not ok $n - the kernel log is clean"
	head -n 10 <<< "$dirty" | sed 's/^/# /'
fi
echo "1..$n"
# Sparse files of many GiB: of no use when all is well
if ! grep -qE '^not ok' "$W/tap" && [ -z "$dirty" ] && [ -n "$plan" ]; then
	rm -f "$W"/pmem*
else
	echo "# log: $W/console.log; again: $W/repro.sh"
fi
