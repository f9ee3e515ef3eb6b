# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the other scripts: where things are, and how to talk.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Outside the checkout: kernels are built once for all clones.
CACHE=${FAMFS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/famfs-bpf}
LOGS=$CACHE/logs
JOBS=${JOBS:-$(nproc)}
KSRC=$CACHE/linux
# Of the debug information the kernel needs types, for BTF. Where each variable is at each
# instruction is a seventh of the time to compile, and more than half of an object; code and
# BTF are the same without.
export KCFLAGS=${KCFLAGS:--fno-var-tracking}
mkdir -p "$LOGS"

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# kernel_version DIR: as "make kernelversion" says it, but at once
kernel_version() {
	awk '$2 == "=" && $1 ~ /^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)$/ { v[$1] = $3 }
		$1 == "NAME" { exit }
		END { printf "%s.%s.%s%s\n", v["VERSION"], v["PATCHLEVEL"], v["SUBLEVEL"], v["EXTRAVERSION"] }' \
		"$1/Makefile"
}

# run_logged NAME COMMAND...: the output goes to a file, which is named on failure
run_logged() {
	local log=$LOGS/$1.log
	shift
	if ! "$@" > "$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "failed: $* (log: $log)"
	fi
}

# progress LABEL TOTAL LOG PATTERN PID: counts lines of LOG while PID runs
progress() {
	local label=$1 total=$2 log=$3 pattern=$4 pid=$5 t0=$SECONDS n last=
	while kill -0 "$pid" 2>/dev/null; do
		n=$(grep -cE "$pattern" "$log" 2>/dev/null || true)
		n=$((n > total ? total : n))
		if [ -t 2 ]; then
			printf '\r%s: %3d %% (%d s) ' "$label" $((n * 100 / total)) $((SECONDS - t0)) >&2
		elif [ $((n * 10 / total)) != "$last" ]; then
			last=$((n * 10 / total))
			printf '%s: %d %% (%d s)\n' "$label" $((n * 100 / total)) $((SECONDS - t0)) >&2
		fi
		sleep 1
	done
	[ ! -t 2 ] || printf '\r%s: done (%d s)   \n' "$label" $((SECONDS - t0)) >&2
}

# locked COMMAND...: one at a time works on a part of the cache: the kernel, or what LOCK says
locked() {
	local file=$CACHE/lock${LOCK:+-$LOCK}
	exec 9> "$file"
	flock -n 9 || { say "waiting for another run that uses $CACHE ($(basename "$file"))"; flock 9; }
	"$@"
	exec 9>&-
}
