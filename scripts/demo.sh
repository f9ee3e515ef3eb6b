#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ./run demo [--debug] [--golden DIR]: a famfs file system on generic fuse-iomap, from mkfs
# to a second boot, or the golden images of DIR on the same path. Last line: demo: ok
#
# Two VMs, one after the other, on the same backing files; between them the host reads
# these files with tests/famfs-read.py, which shares no code with what wrote them.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

KERNEL_FLAVOUR=ci
GOLDEN=
TIMEOUT=3600
while [ $# -gt 0 ]; do
	case $1 in
	--debug)	KERNEL_FLAVOUR=debug; TIMEOUT=14400 ;;
	--golden)	[ $# -gt 1 ] || die "--golden needs a directory"; GOLDEN=$2; shift ;;
	*)		die "unknown option '$1': demo [--debug] [--golden DIR]" ;;
	esac
	shift
done
[ -z "$GOLDEN" ] || GOLDEN=$(cd "$GOLDEN" 2>/dev/null && pwd) || die "no directory '$GOLDEN'"

B=${BUILD:-$TOP/build}
W=$TOP/out/demo${GOLDEN:+-golden}-$KERNEL_FLAVOUR
READER=$TOP/tests/famfs-read.py

# boot DIR PHASE ARGS...: run a phase of demo-guest.sh in a VM with work directory DIR
boot() {
	local dir=$1 phase=$2 rc=0
	shift 2
	# The guest does not see all of the host: tmpfs lies over the home directory, too
	cp "$BPFTOOL" "$dir/bpftool"
	cat > "$dir/guest.sh" <<GUEST
export TOP=$TOP STAGE=$B/stage MMPAT=$B/tests/vm/mmpat BPFTOOL=/run/vm/bpftool
. $TOP/tests/vm/prologue.sh
exec bash $TOP/tests/vm/demo-guest.sh $phase
GUEST
	# What must not be taken for the result of this boot
	rm -f "$dir/status" "$dir/dmesg"
	(cd "$TOP" && tests/vm/boot.sh -k "$KERNEL/vmlinux.pvh" -i "$B/vminit" -w "$dir" \
		-t "$TIMEOUT" -a log_buf_len=4M "$@" "$(cat "$dir/guest.sh")") 2> "$dir/$phase.stderr" < /dev/null |
		tee "$dir/$phase.log" || rc=$?
	cat "$dir/$phase.stderr" >&2
	[ $rc = 0 ] || die "the VM of phase '$phase' failed with $rc (log: $dir/$phase.log, console: $dir/console.log)"
}

# device DIR N: PATH@BASE:SIZE of NVDIMM N for the reader, as the guest has found it
device() { awk -v n="$2" -v f="$1/pmem$2" '$1 == n { print f "@" $2 ":" $3 }' "$1/devices"; }

demo_plain() {
	local mem=2G
	# KASAN's shadow is an eighth of the devices, too
	[ "$KERNEL_FLAVOUR" = ci ] || mem=8G
	mkdir -p "$W"
	boot "$W" first -m "$mem" -p 17G:"$W/pmem0" -p 17G:"$W/pmem1"
	say ""
	say "== the host: an independent reader computes every file from the raw images"
	"$READER" --pattern "$(device "$W" 0)" "$(device "$W" 1)" ||
		die "the independent reader found other bytes"
	boot "$W" second -m "$mem" -p 17G:"$W/pmem0" -p 17G:"$W/pmem1"
}

# put_images DIR: once the guest has made the devices, write the images into their files
put_images() {
	local dir=$1 name count n=0 i base
	until [ -e "$dir/want-images" ]; do sleep 0.2; done
	mkdir "$dir/unpacked"
	while read -r name count; do
		for ((i = 0; i < count; i++, n++)); do
			zstd -dqc "$dir/golden.d/$name.$i.tar.zst" | tar -xSf - -C "$dir/unpacked"
			base=$(awk -v n=$n '$1 == n { print $2 }' "$dir/devices")
			"$B/tests/vm/mmpat" put --offset "$base" "$dir/unpacked/dev$i.img" "$dir/pmem$n"
			rm "$dir/unpacked/dev$i.img"
		done
	done < "$dir/golden"
	: > "$dir/have-images"
}

golden_read() {
	local dir=$1 name count n=0 i devs
	while read -r name count; do
		devs=()
		for ((i = 0; i < count; i++, n++)); do
			devs+=("$(device "$dir" $n)")
		done
		printf '%s: ' "$name"
		if grep -qv '^-' "$dir/golden.d/$name.list"; then
			"$READER" --expect "$dir/golden.d/$name.json" "${devs[@]}" ||
				die "$name: the independent reader found other bytes"
		else
			"$READER" "${devs[@]}"
			echo "no file of which the bytes are known"
		fi
	done < "$dir/golden"
}

demo_golden() {
	local dir mem args n size total left_out=0 done_groups=0
	# A child that waits for a guest that has failed
	trap 'kill "$(jobs -p)" 2> /dev/null || true' EXIT
	"$TOP/tests/demo-golden.py" "$GOLDEN" "$W"
	for dir in "$W"/[0-9]*; do
		mem=$(cat "$dir/mem")
		args=()
		n=0
		total=0
		while read -r size; do
			args+=(-p "$size:$dir/pmem$n")
			n=$((n + 1))
			total=$((total + size))
		done < "$dir/pmem"
		[ "$KERNEL_FLAVOUR" = ci ] || mem=$((mem + total / 8 / (1 << 30) + 1))
		if [ $((mem << 20)) -gt "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)" ]; then
			say "demo: NOT RUN, a VM would need $mem GiB: $(cut -d' ' -f1 "$dir/golden" | xargs)"
			left_out=$((left_out + 1))
			continue
		fi
		args+=(-m "${mem}G")
		rm -f "$dir/no-images"
		(trap 'touch "$dir/no-images"' EXIT; put_images "$dir"; trap - EXIT) &
		boot "$dir" golden-first "${args[@]}"
		wait $!
		say ""
		say "== the host: an independent reader computes every file from the raw images"
		golden_read "$dir"
		boot "$dir" golden-second "${args[@]}"
		rm -f "$dir"/pmem[0-9]*
		done_groups=$((done_groups + 1))
	done
	[ $done_groups -gt 0 ] || die "no golden image could be run on this machine"
	[ $left_out = 0 ] || [ "$KERNEL_FLAVOUR" = debug ] || die "not all golden images could be run"
}

START=$SECONDS
KERNEL=$("$TOP/scripts/kernel-build.sh" "$KERNEL_FLAVOUR")
BPFTOOL=$B/bpftool
"$TOP/scripts/build.sh"
BUILT=$SECONDS
rm -rf "$W"
if [ -n "$GOLDEN" ]; then demo_golden; else demo_plain; fi
# Sparse, but of many GiB: of no use when all is well
rm -f "$W"/pmem*
say ""
say "time: $((BUILT - START)) s to have everything built, $((SECONDS - BUILT)) s for the demo; logs in $W"
echo "demo: ok"
