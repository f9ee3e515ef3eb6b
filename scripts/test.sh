#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# test.sh [--quick|--full] [NAME...]: run tests; the last line is "N passed, N failed".
#
# NAME: unit, golden, lint, demo, bench, fuzz, or (the start of) a directory of tests/vm. Without one,
# everything but lint and what takes long, which is named. --quick: unit, golden and one VM.
# --full: these, too.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# Of this checkout: another one may run its tests at the same time
LOGS=$TOP/out/logs
mkdir -p "$LOGS"
MODE=normal
case ${1:-} in
--quick) MODE=quick; shift;;
--full)	MODE=full; shift;;
--*)	die "unknown option '$1': --quick or --full";;
esac
NAMES=("$@")
for n in "${NAMES[@]}"; do
	case $n in
	unit | golden | lint | demo | bench | fuzz | vm)
		[ $MODE != quick ] || [[ $n == unit || $n == golden ]] || die "'$n' is not for --quick" ;;
	-*)	die "'$n': options come first" ;;
	*)	compgen -G "$TOP/tests/vm/$n*/test.sh" > /dev/null || compgen -G "$TOP/tests/vm/*-$n*/test.sh" > /dev/null ||
			die "'$n' is no test: unit, golden, lint, demo, bench, fuzz, vm, or (the start of) a directory of tests/vm" ;;
	esac
done
export TEST_MODE=$MODE
PASSED=0
FAILED=0
SKIPPED=0
FAILURES=()
LEFT=()
T0=$SECONDS

wanted() { # GROUP: asked for by name, or nothing was
	local n
	[ ${#NAMES[@]} -gt 0 ] || return 0
	for n in "${NAMES[@]}"; do [ "$n" != "$1" ] || return 0; done
	return 1
}
wanted_vm() { # DIRECTORY
	local n
	[ ${#NAMES[@]} -gt 0 ] || return 0
	for n in "${NAMES[@]}"; do
		case $n in vm) return 0;; esac
		case $(basename "$1") in "$n"* | *-"$n"*) return 0;; esac
	done
	return 1
}
# tally FILE LABEL [STATUS [noplan]]: add the TAP of a file, and whether it came to its end: its
# plan, unless it has none to have, and the exit status of who wrote it
tally() {
	local p f s plan rc=${3:-0}
	s=$(grep -ciE '^ok .*# *skip' "$1" || true)
	p=$(($(grep -cE '^ok ' "$1" || true) - s))
	f=$(grep -cE '^not ok ' "$1" || true)
	PASSED=$((PASSED + p))
	FAILED=$((FAILED + f))
	SKIPPED=$((SKIPPED + s))
	[ "$s" = 0 ] || grep -iE '^ok .*# *skip' "$1" | sed "s|^ok|SKIPPED: $2:|" >&2
	[ "$f" = 0 ] || FAILURES+=("$2: $f failed")
	[ $((p + f)) -gt 0 ] || { FAILED=$((FAILED + 1)); FAILURES+=("$2: no test ran"); return 0; }
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$1" | tail -n 1)
	if [ "${4:-}" != noplan ] && [ "$plan" != $((p + f + s)) ]; then
		FAILED=$((FAILED + 1)); FAILURES+=("$2: $((p + f + s)) tests of ${plan:-no} planned")
	elif [ "$rc" != 0 ] && [ "$f" = 0 ]; then
		FAILED=$((FAILED + 1)); FAILURES+=("$2: exit status $rc, but nothing failed")
	fi
}
# one RULE COMMAND...: the command is one test
one() {
	local rule=$1 log rc=0
	shift
	log=$LOGS/test-$(tr -c 'a-z0-9\n' - <<< "$rule").log
	say "--- $rule"
	"$@" > "$log" 2>&1 < /dev/null || rc=$?
	if [ $rc = 0 ]; then
		PASSED=$((PASSED + 1)); echo "ok - $rule"
	else
		FAILED=$((FAILED + 1)); FAILURES+=("$rule")
		echo "not ok - $rule (rc $rc, log: $log)"
		tail -n 25 "$log" | sed 's/^/# /'
	fi
}
took() { say "=== $1 took $((SECONDS - $2)) s (at $((SECONDS - T0)) s)"; }

"$TOP/scripts/deps.sh"
t=$SECONDS
"$TOP/scripts/build.sh"
took "user space" $t

# --- on the host
meson_tests() { # BUILD_DIR LABEL [SUITE]
	local log=$LOGS/meson-test-$2.log rc=0
	meson test -C "$1" --print-errorlogs --suite "${3:-unit}" > "$log" 2>&1 || rc=$?
	# One line a program; what is inside of each is in the log
	sed -nE 's/^ *[0-9]+\/[0-9]+ +(.*[^ ]) +(OK|FAIL|ERROR|TIMEOUT|SKIP|EXPECTEDFAIL|UNEXPECTEDPASS) .*/\2 \1/p' "$log" |
		sed -E "s/^OK (.*)/ok - \1 ($2)/; s/^[A-Z]+ (.*)/not ok - \1 ($2)/" | tee "$LOGS/meson-$2.tap"
	grep -q '^not ok' "$LOGS/meson-$2.tap" && grep -vE '^ *[0-9]+/[0-9]+ .* OK' "$log" | tail -n 40 | sed 's/^/# /'
	tally "$LOGS/meson-$2.tap" "unit tests ($2)" $rc noplan
}
if wanted unit; then
	t=$SECONDS
	say "--- unit tests"
	meson_tests "$TOP/build" plain
	if [ $MODE != quick ]; then
		say "--- unit tests with address and undefined behaviour sanitizers"
		BUILD=$TOP/build-asan NO_STAGE=1 MESON_ARGS='-Db_sanitize=address,undefined -Db_lundef=false' "$TOP/scripts/build.sh"
		meson_tests "$TOP/build-asan" asan
		one "the uapi header is that of the series" bash -c "'$TOP/tests/unit/uapi.sh' \"\$('$TOP/scripts/kernel-build.sh' source)\""
	fi
	took "unit tests" $t
fi
if wanted golden; then
	t=$SECONDS
	say "--- golden images, on the host"
	rc=0
	"$TOP/tests/golden/run-golden.py" --dump "$TOP/build/tests/golden/media-dump" > "$LOGS/golden.tap" || rc=$?
	grep -vE '^ok ' "$LOGS/golden.tap" || true
	tally "$LOGS/golden.tap" "golden images" $rc
	took "golden images" $t
fi

# --- in VMs
# How many at a time: most of the time one of the two CPUs of a VM idles, so twice as many CPUs as
# there are; but not more, since one that waits for the other, which does not run, waits in a loop.
# Where memory is short, fewer: the largest of the debug kernel take 4 GiB.
VCPUS=$((2 * $(nproc)))
VMS=${VMS:-$(awk -v most=$((VCPUS * 3 / 4)) '/^MemTotal:/ { n = int($2 / 5e6); print n < 1 ? 1 : n < most ? n : most }' /proc/meminfo)}
# run_vms KERNEL_DIR FLAVOUR TEST_DIR...: each in a VM, in this order but where one does not fit
run_vms() {
	local kernel=$1 flavour=$2 free=$VCPUS running=0 queue d i w pid
	local -A weight=()
	shift 2
	queue=("$@")
	while [ ${#queue[@]} -gt 0 ] || [ $running -gt 0 ]; do
		pid=
		for i in "${!queue[@]}"; do
			d=${queue[i]}
			w=$(sed -nE 's/^# vm:.* cpus=([0-9]+).*/\1/p' "$d/test.sh")
			[ $running = 0 ] || { [ $running -lt "$VMS" ] && [ "${w:-1}" -le $free ]; } || continue
			# Each has its own directory and files, and listens nowhere
			prove --timer --exec "$TOP/scripts/vm-test.sh $kernel $flavour" "$d/test.sh" \
				> >(grep -vE '^(\[[0-9:]+\]$|Files=|All tests|Result:|Test Summary|-----|  Failed test|  Non-zero|$)' >&2) 2>&1 &
			pid=$!
			weight[$pid]=${w:-1}
			free=$((free - ${w:-1}))
			running=$((running + 1))
			unset "queue[i]"
			break
		done
		[ -z "$pid" ] || continue
		wait -n -p pid "${!weight[@]}" || true
		free=$((free + weight[$pid]))
		running=$((running - 1))
		unset "weight[$pid]"
	done
}
vm_tests() { # KERNEL_DIR FLAVOUR
	local d dirs=() first=()
	for d in "$TOP"/tests/vm/[0-9]*/; do
		d=${d%/}
		if ! grep -qE '^# vm:' "$d/test.sh"; then
			[ "$2" = ci ] || continue
			FAILED=$((FAILED + 1))
			FAILURES+=("$(basename "$d"): no line '# vm:' in test.sh")
			continue
		fi
		# Without kernel= it is for the ci kernel
		grep -qE "^# vm:.*kernel=([a-z,]*,)?$2(,| |$)" "$d/test.sh" ||
			{ [ "$2" = ci ] && ! grep -qE '^# vm:.*kernel=' "$d/test.sh"; } || continue
		if [ $MODE = quick ] && [ ${#NAMES[@]} = 0 ]; then
			case $(basename "$d") in 000*) ;; *) continue;; esac
		fi
		# full: on no kernel otherwise; full=KERNEL,...: on these
		if grep -qE "^# vm:.* full( |\$|=([a-z,]*,)?$2(,| |\$))" "$d/test.sh" && [ $MODE != full ] && [ ${#NAMES[@]} = 0 ]; then
			say "only in --full: $(basename "$d") ($2 kernel)"
			LEFT+=("$(basename "$d") ($2)")
			continue
		fi
		wanted_vm "$d" || continue
		# What takes long begins early, or it runs alone at the end
		if grep -qE '^# vm:.* first( |$)' "$d/test.sh"; then first+=("$d"); else dirs+=("$d"); fi
	done
	dirs=("${first[@]}" "${dirs[@]}")
	[ ${#dirs[@]} -gt 0 ] || return 0
	say "--- ${#dirs[@]} tests in VMs, $2 kernel, up to $VMS at a time"
	# What an earlier run left is no result
	for d in "${dirs[@]}"; do rm -f "$TOP/out/$2/$(basename "$d").tap"; done
	run_vms "$1" "$2" "${dirs[@]}"
	for d in "${dirs[@]}"; do
		# vm-test.sh leaves everything it printed there
		[ -f "$TOP/out/$2/$(basename "$d").tap" ] || : > "$TOP/out/$2/$(basename "$d").tap"
		tally "$TOP/out/$2/$(basename "$d").tap" "$(basename "$d") ($2)"
		grep -A6 '^not ok' "$TOP/out/$2/$(basename "$d").tap" | sed "s|^|# $(basename "$d") ($2): |" || true
	done
}
# any_vm FLAVOURS: whether a selected test wants one of these kernels
any_vm() {
	local d
	for d in "$TOP"/tests/vm/[0-9]*/; do
		! wanted_vm "${d%/}" || ! grep -qE "^# vm:.*kernel=[a-z,]*($1)" "$d/test.sh" || return 0
	done
	return 1
}
if any_vm 'ci|debug|off'; then
	t=$SECONDS
	CI=$("$TOP/scripts/kernel-build.sh" ci)
	"$TOP/scripts/kselftest.sh"
	took "the ci kernel" $t
	t=$SECONDS
	vm_tests "$CI" ci
	took "VM tests on the ci kernel" $t
fi
for flavour in debug off bench up; do
	[ $MODE != quick ] && any_vm $flavour || continue
	# A whole kernel for what is of use to few
	[ $flavour != up ] || [ $MODE = full ] || { LEFT+=("the up kernel"); continue; }
	t=$SECONDS
	kernel=$("$TOP/scripts/kernel-build.sh" $flavour)
	took "the $flavour kernel" $t
	t=$SECONDS
	vm_tests "$kernel" $flavour
	took "VM tests on the $flavour kernel" $t
done

# --- the rest
if wanted demo && [ -x "$TOP/scripts/demo.sh" ] && [ $MODE != quick ]; then
	t=$SECONDS
	one "the demo ends with demo: ok" bash -c "'$TOP/scripts/demo.sh' | tee /dev/stderr | tail -n 1 | grep -qx 'demo: ok'"
	took "the demo" $t
fi
if wanted bench && [ $MODE != quick ]; then
	t=$SECONDS
	say "--- the A/B harness, its quick part"
	rc=0
	"$TOP/scripts/bench.py" --quick --tap > "$LOGS/bench.tap" 2> "$LOGS/bench.log" || rc=$?
	grep -A1 '^not ok' "$LOGS/bench.tap" | sed 's/^/# bench: /' || true
	grep '^ok ' "$LOGS/bench.tap" || tail -n 5 "$LOGS/bench.log"
	tally "$LOGS/bench.tap" "the A/B harness" $rc
	took "the A/B harness" $t
fi
# Fuzzers: the corpus, and new inputs for 20 s each
if [ $MODE = full ] || { [ ${#NAMES[@]} -gt 0 ] && wanted fuzz; }; then
	t=$SECONDS
	BUILD=$TOP/build-fuzz NO_STAGE=1 MESON_ARGS=-Dfuzz=true "$TOP/scripts/build.sh"
	meson_tests "$TOP/build-fuzz" fuzz fuzz
	took "the fuzzers" $t
elif [ ${#NAMES[@]} = 0 ]; then
	LEFT+=(fuzz)
fi
# Lint builds the touched objects several times over: by name, or in --full
if [ $MODE = full ] || { [ ${#NAMES[@]} -gt 0 ] && wanted lint; }; then
	t=$SECONDS
	one "lint is clean" "$TOP/scripts/lint.sh"
	took "lint" $t
elif [ ${#NAMES[@]} = 0 ]; then
	LEFT+=(lint)
fi

for f in "${FAILURES[@]}"; do say "FAILED: $f"; done
[ ${#LEFT[@]} = 0 ] || say "${#LEFT[@]} groups of tests are left to --full: $(printf '%s, ' "${LEFT[@]}" | sed 's/, $//')"
say "all of it took $((SECONDS - T0)) s"
skipped=
[ $SKIPPED = 0 ] || skipped=", $SKIPPED skipped"
echo "$PASSED passed, $FAILED failed$skipped"
[ $FAILED = 0 ] && [ $PASSED -gt 0 ]
