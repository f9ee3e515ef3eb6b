#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm-test.sh KERNEL_DIR FLAVOUR TEST.sh: run one test in a VM of its own and print its TAP,
# with one line more: the kernel log is clean. Leaves console and repro.sh on failure.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/vm/complaints.sh
. "$TOP/tests/vm/complaints.sh"
KERNEL=$1 FLAVOUR=$2 TEST=$(cd "$(dirname "$3")" && pwd)
NAME=$(basename "$TEST")
B=${BUILD:-$TOP/build}
W=$TOP/out/$FLAVOUR/$NAME
rm -rf "$W"
mkdir -p "$W"
# Everything printed from here on is also for whoever counts
exec > >(exec tee "$W.tap")

# The header
declare -A need=([mem]=1G [cpus]=1 [pmem]='' [timeout]=120 [kernel]=ci [cmdline]='')
for w in $(sed -n 's/^# vm: //p' "$TEST/test.sh" | head -n 1); do
	need[${w%%=*}]=${w#*=}
done
boot=60 limit=${need[timeout]} mem=${need[mem]} append=
if [ "$FLAVOUR" = debug ]; then
	# KASAN's shadow is an eighth of all memory, NVDIMMs too, and everything is slower
	gib=0
	for size in ${need[pmem]//,/ }; do gib=$((gib + ${size%G})); done
	boot=180 limit=$((limit * 6)) mem=$((${mem%G} + 1 + (gib + 7) / 8))G append="slub_debug=FZ sysctl.kernel.hung_task_timeout_secs=600"
fi
args=(-k "$KERNEL/vmlinux.pvh" -i "$B/vminit" -w "$W" -c "${need[cpus]}" -m "$mem" -t $((limit + boot)))
n=0
for size in ${need[pmem]//,/ }; do
	args+=(-p "$size:$W/pmem$n")
	n=$((n + 1))
done
args+=(-a "log_buf_len=4M $append ${need[cmdline]//,/ }")

# The limit of the test itself leaves time to save the kernel log when it hangs
cat > "$W/guest.sh" <<GUEST
export TOP='$TOP' STAGE='$B/stage' BUILD='$B' WORK=/run/vm KFLAVOUR=$FLAVOUR TEST_MODE=${TEST_MODE:-normal}
export BPFTOOL='$B/bpftool'
. '$TOP/tests/vm/prologue.sh'
cd '$TEST' && timeout -k 10 $limit bash ./test.sh
rc=\$?
[ \$rc != 124 ] || { echo "# test.sh ran longer than $limit s"; ps -e -o pid,stat,wchan:30,args | grep -v '\[.*\]\$' >&2; echo w > /proc/sysrq-trigger; }
exit \$rc
GUEST
{
	echo '#!/bin/bash'
	printf 'cd %q && exec %q' "$TOP" "$TOP/tests/vm/boot.sh"
	printf ' %q' "${args[@]}"
	# shellcheck disable=SC2016 # expands when it is run
	printf ' "$(cat %q)"\n' "$W/guest.sh"
} > "$W/repro.sh"
chmod +x "$W/repro.sh"

# Somebody outside the VM, who sees WORK and the backing files pmemN in it
host=
if [ -f "$TEST/host.sh" ]; then
	TOP=$TOP timeout $((limit + boot)) bash "$TEST/host.sh" "$W" > "$W/host.log" 2>&1 &
	host=$!
fi
rc=0
(cd "$TOP" && tests/vm/boot.sh "${args[@]}" "$(cat "$W/guest.sh")") > "$W/tap" 2> "$W/stderr" < /dev/null || rc=$?
[ -z "$host" ] || { kill "$host" 2>/dev/null || true; wait "$host" || true; }
# A test that bails out fails; prove would stop all the others, too
sed '/^1\.\./d; s/^Bail out!/# bailed out:/' "$W/tap"
plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$W/tap" | tail -n 1)
n=$(grep -acE '^(not )?ok ' "$W/tap" || true)
bad=$(grep -acE '^not ok ' "$W/tap" || true)
total=$n
total=$((total + 1))
if [ -n "$plan" ] && [ "$plan" = "$n" ] && [ "$n" -gt 0 ] && { [ "$rc" = 0 ] || [ "$bad" -gt 0 ]; }; then
	echo "ok $total - $NAME ran to its end"
else
	bad=$((bad + 1))
	echo "not ok $total - $NAME ran to its end"
	echo "# exit status $rc, $n checks, plan '${plan:-none}'"
	{ tail -n 15 "$W/stderr"; tail -n 5 "$W/tap"; } | sed 's/^/# /'
fi
# What the kernel complained of
[ -s "$W/dmesg" ] && log=$W/dmesg || log=$W/console.log
dirty=$(grep -anE "$COMPLAINTS" "$log" || true)
# What it said first may be gone where it said much
grep -aq 'Linux version' "$log" || dirty+=$'\nthe beginning of the kernel log is missing'
total=$((total + 1))
if [ -s "$log" ] && [ -z "$dirty" ]; then
	echo "ok $total - the kernel log is clean"
else
	bad=$((bad + 1))
	echo "not ok $total - the kernel log is clean"
	[ -s "$log" ] && head -n 10 <<< "$dirty" | sed 's/^/# /' || echo "# there is none"
fi
echo "1..$total"
if [ "$bad" = 0 ]; then
	# Sparse files of many GiB: of no use when all is well
	rm -f "$W"/pmem*
else
	echo "# log: $log; again: $W/repro.sh"
fi
[ "$bad" = 0 ]
