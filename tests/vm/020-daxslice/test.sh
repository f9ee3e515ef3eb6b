#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=1G,1G kernel=ci,debug,up timeout=400 full=debug,up
# daxslice, the server that is not famfs: linear, concatenated and striped files over a
# character and a block device, by upcall and by BPF, against the devices' own bytes;
# mistakes in the table; the ways to end it.
. ../lib.sh

make_fsdev 0
make_pmem 1
M=/mnt/slice
mkdir -p "$M" /run/t
cd /run/t || bail "no /run/t"
B=$BUILD/server/daxslice/daxslice

cat > table <<TABLE
# name   how         ranges
linear   linear      $PMEM 2M 6M
cat      concat      $PMEM 32M 4M   $FSDEV 4K 8K   $PMEM 0x4000000 2M	# a comment
striped  striped 2M  $PMEM 128M 4M  $FSDEV 128M 4M
fine     striped 4K  $FSDEV 256M 64K  $PMEM 256M 64K  $FSDEV 300M 64K

chars    linear      $FSDEV 8M 4M
TABLE

slice_pid() { pgrep -x daxslice; }

# The counters of the server, as they are now, in C[...]
declare -A C
counters() {
	local k v
	C=()
	while IFS=$':\t' read -r k v; do C[${k#iomap_}]=$v; done < <(
		for fd in /proc/"$(slice_pid)"/fd/*; do
			[ "$(readlink "$fd")" = /dev/fuse ] || continue
			grep ^iomap_ "/proc/$(slice_pid)/fdinfo/${fd##*/}"
			break
		done)
}

tour() {
	local mode=$1 f size r
	check "$mode: starts" "$B" "--$mode" table "$M"
	is "$mode: type in /proc/mounts" "$(awk -v m="$M" '$2 == m { print $3 }' /proc/mounts)" fuse.daxslice
	is "$mode: the directory" "$(cd "$M" && echo *)" "cat chars fine linear striped"
	for f in linear:6291456 cat:6299648 striped:8388608 fine:196608 chars:4194304; do
		size=${f#*:}; f=${f%:*}
		is "$mode: size of $f" "$(stat -c %s "$M/$f")" "$size"
		head -c "$size" /dev/urandom > "$f.ref"
		check "$mode: $f, write(2)" dd if="$f.ref" of="$M/$f" bs=1M conv=notrunc status=none
		check "$mode: $f, read(2)" cmp "$f.ref" "$M/$f"
		check "$mode: $f, mmap" python3 - "$M/$f" "$f.ref" <<'PY'
import mmap, sys
f = open(sys.argv[1], "r+b")
m = mmap.mmap(f.fileno(), 0)
ref = open(sys.argv[2], "r+b")
assert m[:] == ref.read(), "bytes differ"
m[12345:12350] = b"hello"
ref.seek(12345)
ref.write(b"hello")
PY
		check "$mode: $f, read(2) after a store" cmp "$f.ref" "$M/$f"
		check "$mode: $f, O_DIRECT" bash -c "dd if='$M/$f' iflag=direct bs=64K status=none | cmp - '$f.ref'"
	done
	fails "$mode: no byte past the end" - "File too large" dd if=/dev/zero of="$M/chars" bs=4K seek=1024 count=1 conv=notrunc
	fails "$mode: no new file" - "not implemented" touch "$M/new"
	counters
	is "$mode: rejects" "$(rejects "$(slice_pid)")" 0
	is "$mode: devices" "${C[devices]}" 2
	at_least "$mode: 2 MiB faults" "${C[fault_pmd]}" 6
	at_least "$mode: 4 KiB faults" "${C[fault_pte]}" 48
	if [ "$mode" = bpf ]; then
		at_least "bpf: answers of the program" "${C[bpf]}" 100
		is "bpf: upcalls" "${C[upcall]}" 0
		is "bpf: fallbacks" "${C[fallback]}" 0
	else
		at_least "upcall: upcalls" "${C[upcall]}" 100
		is "upcall: answers of a program" "${C[bpf]}" 0
	fi
}

gone() { # RULE
	local i
	for i in $(seq 50); do slice_pid > /dev/null || break; sleep 0.1; done
	fails "$1" 1 "" slice_pid
	is "$1: nothing is mounted" "$(grep -c " $M " /proc/mounts)" 0
}

tour upcall
fails "a second one on the same devices" 1 "Device or resource busy" "$B" table /mnt
check "umount" umount "$M"
gone "the server ends with the mount"

# The bytes are where the table says: the block device shows its own
check "linear is at 2 MiB of the block device" cmp -n 6291456 linear.ref <(dd if="$PMEM" bs=2M skip=1 count=3 status=none)
check "chunk 2 of striped is at 130 MiB" cmp -n 2097152 <(dd if=striped.ref bs=2M skip=2 count=1 status=none) <(dd if="$PMEM" bs=2M skip=65 count=1 status=none)
check "cat ends at 64 MiB" cmp -n 2097152 <(tail -c 2097152 cat.ref) <(dd if="$PMEM" bs=2M skip=32 count=1 status=none)

tour bpf
links=$("$BPFTOOL" link show | grep -c struct_ops)
at_least "bpf: the link shows" "$links" 1
exec 9< "$M/linear"
kill -TERM "$(slice_pid)"
sleep 1
check "SIGTERM waits for open files" slice_pid
is "SIGTERM: open files still work" "$(head -c 4096 <&9 | sha256sum)" "$(head -c 4096 linear.ref | sha256sum)"
exec 9<&-
gone "SIGTERM unmounts"
is "the program is gone" "$("$BUILD/tests/vm/bpfids" | grep -c ^map)" 0

bad() { # TEXT LINE: the table is refused with TEXT
	printf 'good linear %s 0 4K\n%s\n' "$PMEM" "$2" > bad
	fails "table: $1" 1 "bad:2: $1" "$B" bad "$M"
}
bad "expected linear, concat or striped" "x"
bad "'spiral' is none of" "x spiral $PMEM 0 4K"
bad "0 ranges, expected one" "x linear"
bad "2 ranges, expected one" "x linear $PMEM 4K 4K $PMEM 8K 4K"
bad "1 ranges, expected two or more" "x striped 4K $PMEM 4K 4K"
bad "offset is missing" "x linear $PMEM"
bad "length is missing" "x linear $PMEM 4K"
bad "length is 0" "x linear $PMEM 4K 0"
bad "offset '-4K' is not a number" "x linear $PMEM -4K 4K"
bad "offset '4Q' is not a number" "x linear $PMEM 4Q 4K"
bad "offset '99999999999999999999' is not a number" "x linear $PMEM 99999999999999999999 4K"
bad "length '17179869184G' is too large" "x linear $PMEM 4K 17179869184G"
bad "length '8388608T' is too large" "x linear $PMEM 4K 8388608T"
bad "offset '1000' is not a multiple" "x linear $PMEM 1000 4K"
bad "chunk is missing" "x striped"
bad "chunk is 0" "x striped 0 $PMEM 4K 4K $PMEM 8K 4K"
bad "length is not a multiple of the chunk" "x striped 8K $PMEM 8K 4K $PMEM 16K 4K"
bad "ranges of a striped file must have the same length" "x striped 4K $PMEM 8K 4K $PMEM 16K 8K"
bad "device 'pmem0' is not an absolute path" "x linear pmem0 4K 4K"
bad "there is a file 'good' already" "good linear $PMEM 4K 4K"
bad "'a/b' cannot be the name" "a/b linear $PMEM 4K 4K"
bad "$PMEM: range at 0 overlaps the one at 0" "x linear $PMEM 0 4K"
fails "table: missing" 1 "no-table: No such file" "$B" no-table "$M"
: > empty
fails "table: empty" 1 "empty: the table has no file" "$B" empty "$M"
echo "x linear $PMEM 0 8T" > far
fails "a range past the device" 1 "a range of the table ends at" "$B" far "$M"
echo "x linear /dev/null 0 4K" > null
fails "not a DAX device" 1 "/dev/null: not a DAX device" "$B" null "$M"
echo "x linear /dev/nowhere 0 4K" > nowhere
fails "no device" 1 "/dev/nowhere: No such file" "$B" nowhere "$M"
fails "no mount point" 1 "/nowhere: No such file" "$B" table /nowhere
fails "no arguments" 2 "Usage" "$B"
is "nothing is left mounted" "$(grep -c daxslice /proc/mounts)" 0
is "nothing is left running" "$(pgrep -cx daxslice)" 0
is "no program is left" "$("$BUILD/tests/vm/bpfids" | grep -c ^map)" 0
done_testing
