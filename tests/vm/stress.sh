# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# For tests that do something below files in use; sourced after lib.sh (and daemon.sh).

# LOAD is a number, or nothing
# shellcheck disable=SC2086
STRESS=$BUILD/tests/vm/stress/stress

# rules MIN COMMAND...: take over "ok - " and "not ok - " lines of a program, MIN at least
rules() {
	local min=$1 line n=0 rc
	shift
	"$@" > "$WORK/rules" 2> "$WORK/rules.err"
	rc=$?
	while IFS= read -r line; do
		case $line in
		"ok - "*) ok "${line#ok - }"; n=$((n + 1));;
		"not ok - "*) not_ok "${line#not ok - }"; n=$((n + 1));;
		*) echo "$line";;
		esac
	done < "$WORK/rules"
	sed 's/^/# /' "$WORK/rules.err"
	ended "${1##*/}" $rc
	at_least "all of it ran" "$n" "$min"
}

LOAD=
# load_start NAME SPEC...: in the background; returns when each thread has got going
load_start() {
	local i
	LOAD_LOG=$WORK/load.$1
	shift
	"$STRESS" load "$@" > "$LOAD_LOG" 2>&1 &
	LOAD=$!
	for ((i = 0; i < 3000; i++)); do
		grep -q ^started "$LOAD_LOG" && return
		kill -0 $LOAD 2>/dev/null || break
		sleep 0.1
	done
	sed 's/^/# /' "$LOAD_LOG"
	bail "the load does not start"
}
# load_failing RULE: wait until each thread has met an error
load_failing() {
	local i
	for ((i = 0; i < 3000; i++)); do
		grep -q ^failing "$LOAD_LOG" && break
		sleep 0.1
	done
	check "$1: each thread meets an error" grep -q ^failing "$LOAD_LOG"
}
# load_end RULE: each thread ends, none saw wrong bytes
load_end() {
	local i
	kill -TERM $LOAD
	for ((i = 0; i < 2400; i++)); do
		kill -0 $LOAD 2>/dev/null || break
		sleep 0.1
	done
	if kill -0 $LOAD 2>/dev/null; then
		# It cannot be waited for
		not_ok "$1: the load ends" "$(cat "$LOAD_LOG"; grep . /proc/$LOAD/task/*/wchan)"
		kill -9 $LOAD
		return
	fi
	wait $LOAD
	is "$1: every access ends, with right bytes or an error" "$?" 0
	grep '^#' "$LOAD_LOG"
	is "$1: no thread hangs" "$(load_count hung)" 0
	is "$1: no wrong bytes" "$(load_count wrong)" 0
}
# load_count right|sigbus|failed|wrong|hung
load_count() { sed -n "s/^$1 //p" "$LOAD_LOG"; }
# lines KIND FILE FIELD: that number of the threads of a kind, as printed at their end
thread_count() { awk -v k="$1" -v f="$2:" -v w="$3" '$2 == k && $3 == f { for (i = 4; i < NF; i++) if ($(i + 1) ~ "^" w) n += $i } END { print n + 0 }' "$LOAD_LOG"; }

# all_kinds KEY FILE: specs of one thread of each kind
all_kinds() { local k; for k in mmap4k mmap2m store4k store2m read write; do echo "$k:$1:$2"; done; }
# fuse_abort MOUNT: abort its connection
fuse_abort() {
	mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections
	echo 1 > "/sys/fs/fuse/connections/$(stat -c %d "$1")/abort"
}
