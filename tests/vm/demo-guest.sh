#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The half of ./run demo that runs inside the VM, as root, with installed programs.
#
#	demo-guest.sh first		make, write, show, unmount; leaves /run/vm/{devices,files}
#	demo-guest.sh second		mount again, verify every file by mmap
#	demo-guest.sh golden-first	make devices for images, mount each, verify
#	demo-guest.sh golden-second	mount each again, verify by mmap
#
# MMPAT: the program of tests/vm/mmpat.c. BPFTOOL: one that knows struct_ops links.
set -eu
MMPAT=${MMPAT:?} BPFTOOL=${BPFTOOL:-bpftool}
MNT=/mnt/famfs
OUT=/run/vm
TRACE=/sys/kernel/tracing

step() { printf '\n== %s\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }
show() { printf '$ %s\n' "$*"; "$@"; }

# shellcheck source=tests/vm/complaints.sh
. "$TOP/tests/vm/complaints.sh"

check_dmesg() {
	dmesg | grep -q 'Linux version' || die "the beginning of the kernel log is missing"
	if dmesg | grep -nE "$COMPLAINTS"; then
		die "the kernel log is not clean"
	fi
	echo "dmesg: clean ($(dmesg | wc -l) lines)"
}

# fdinfo MOUNTPOINT: the /proc file with the counters of its connection
fdinfo() {
	local want f
	want=$((0x$(stat -c %D "$1") & 0xff))
	for f in /proc/[0-9]*/fd/*; do
		[ "$(readlink "$f" 2>/dev/null)" = /dev/fuse ] || continue
		f=${f/\/fd\//\/fdinfo\/}
		if grep -q "^fuse_connection:[[:space:]]*$want\$" "$f" 2>/dev/null; then
			echo "$f"
			return
		fi
	done
	die "no process has the connection of $1"
}

counter() { awk -v n="iomap_$2:" '$1 == n { print $2 }' "$1"; }
rejects() { awk '/^iomap_reject_/ { n += $2 } END { print n + 0 }' "$1"; }

# check_counters FDINFO: faults by BPF above 0, no upcall, no reject
check_counters() {
	local bpf upcall reject
	bpf=$(counter "$1" bpf)
	upcall=$(counter "$1" upcall)
	reject=$(rejects "$1")
	echo "mappings by BPF $bpf, upcalls $upcall, rejects $reject;" \
		"faults of 4 KiB $(counter "$1" fault_pte), of 2 MiB $(counter "$1" fault_pmd)"
	[ "${bpf:-0}" -gt 0 ] || die "no mapping was computed by BPF"
	[ "${upcall:-1}" = 0 ] || die "there were upcalls"
	[ "$reject" = 0 ] || { grep ^iomap_reject "$1" >&2; die "mappings were rejected"; }
}

# region_of N: the region of the Nth NVDIMM. Regions are not numbered in the order in which
# QEMU was given the devices, but their addresses are.
region_of() {
	local r
	for r in /sys/bus/nd/devices/region*; do
		echo "$(($(cat "$r/resource"))) ${r##*/region}"
	done | sort -n | awk -v n="$1" 'NR == n + 1 { print $2 }'
}

# nvdimm_base N: first address of an NVDIMM, byte 0 of its backing file
nvdimm_base() { cat "/sys/bus/nd/devices/region$(region_of "$1")/resource"; }

# make_namespace N fsdax|devdax: prints the device's path
make_namespace() {
	local mode=$2 align=() name
	[ "$mode" = fsdax ] || align=(-a 2M)
	ndctl create-namespace -f -e "namespace$(region_of "$1").0" -m "$mode" -M mem "${align[@]}" \
		> "$OUT/ndctl.$1" 2>&1 || { cat "$OUT/ndctl.$1" >&2; die "ndctl failed"; }
	name=$(sed -nE 's/.*"(chardev|blockdev)":"([^"]*)".*/\2/p' "$OUT/ndctl.$1" | tail -1)
	echo "/dev/$name"
}

# device_of N: the device of an NVDIMM that got its namespace in an earlier boot
device_of() {
	local d region
	region=/sys/bus/nd/devices/region$(region_of "$1")
	for d in "$region"/dax[0-9]*/dax[0-9]* "$region"/pfn[0-9]*/block/*; do
		[ ! -e "$d" ] || { echo "/dev/${d##*/}"; return; }
	done
	die "no device on NVDIMM $1"
}

# data_offset N DEVICE: where the device's byte 0 is in the backing file of NVDIMM N
data_offset() {
	local name=${2##*/} resource
	case $name in
	dax*)	resource=$(cat "/sys/bus/dax/devices/$name/resource") ;;
	*)	resource=$(cat "/sys/block/$name/device/resource") ;;
	esac
	echo $((resource - $(nvdimm_base "$1")))
}

size_of() {
	case $1 in
	/dev/dax*)	cat "/sys/bus/dax/devices/${1##*/}/size" ;;
	*)		blockdev --getsize64 "$1" ;;
	esac
}

# wait_gone: umount returns before the server has ended; the demo shows that it does
wait_gone() {
	local i
	for i in $(seq 100); do
		pidof famfs-bpfd > /dev/null || break
		sleep 0.1
	done
	! pidof famfs-bpfd > /dev/null || die "famfs-bpfd did not end after umount"
	[ ! -d /sys/fs/bpf/famfs ] || [ -z "$(find /sys/fs/bpf/famfs -mindepth 1 -print -quit)" ] ||
		die "pins were left behind: $(find /sys/fs/bpf/famfs)"
}

# slot_of FILE: its slot in the map; the nodeid, which stat shows, is slot + 2
slot_of() { echo $(($(stat -c %i "$1") - 2)); }

little_endian() { printf '%d %d %d %d' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24)); }

trace_setup() {
	mountpoint -q $TRACE || mount -t tracefs none $TRACE
	echo nop > $TRACE/current_tracer
	echo 1 > $TRACE/events/fuse/fuse_iomap_begin/enable
	echo 1 > $TRACE/events/fs_dax/enable
}

# trace_fault SIZE FILE [--write]: one fault with the tracepoints on
trace_fault() {
	echo 0 > $TRACE/tracing_on
	echo > $TRACE/trace
	echo 1 > $TRACE/tracing_on
	show "$MMPAT" touch --size "$1" "${@:3}" "$2"
	echo 0 > $TRACE/tracing_on
	# The server looks at superblock and log now and then, by BPF as well
	grep mmpat $TRACE/trace | tee "$OUT/trace.$1"
	grep -q fuse_iomap_begin "$OUT/trace.$1" || die "no fuse_iomap_begin in the trace of a $1 fault"
}

show_trace() {
	step "one 4 KiB fault and one 2 MiB fault, traced"
	trace_setup
	trace_fault 4k $MNT/trace/4k --write
	grep -qE 'dax_pte_fault_done.*NOPAGE' "$OUT/trace.4k" || die "the 4 KiB fault made no page"
	trace_fault 2m $MNT/trace/2m --write
	grep -qE 'dax_pmd_fault_done.*NOPAGE' "$OUT/trace.2m" || die "the 2 MiB fault made no huge page"
	echo 0 > $TRACE/events/enable
}

# show_bpf MOUNTPOINT FILE LINES: the program, its link, the slot of a file, and the first
# LINES of a dump of the slots in use
show_bpf() {
	local pins uuid used mnt=$1 f=$2
	uuid=$(famfs fsck "$mnt" | awk '/Filesystem UUID/ { print $3 }')
	pins=/sys/fs/bpf/famfs/$uuid
	show ls -l "$pins"
	show "$BPFTOOL" struct_ops show
	"$BPFTOOL" struct_ops show | grep -q . || die "bpftool shows no struct_ops"
	show "$BPFTOOL" link show
	"$BPFTOOL" link show | grep -q struct_ops || die "bpftool shows no struct_ops link"
	echo "# the slot of a file is its inode number - 2:"
	show stat -c 'inode %i %n' "$f"
	# shellcheck disable=SC2046 # four bytes
	show "$BPFTOOL" map lookup pinned "$pins/slots" key $(little_endian "$(slot_of "$f")")
	# All slots of the log's capacity are in the map: only those in use are shown here
	used=$(famfs fsck "$mnt" | awk '/entries used/ { print $1 }')
	echo "\$ $BPFTOOL map dump pinned $pins/slots"
	"$BPFTOOL" map dump pinned "$pins/slots" | dump_head "$used" > "$OUT/slots.dump" || true
	head -n "$3" "$OUT/slots.dump"
	echo "# ... the other slots in use are in slots.dump"
	[ "$(grep -c '"key":' "$OUT/slots.dump")" = "$used" ] || die "the map dump has no $used slots"
	[ "$(grep -c '"type": "FAMFS_SLOT_' "$OUT/slots.dump")" = "$used" ] ||
		die "the map dump is not readable through BTF"
}

# dump_head N: the first N elements of a map dump
dump_head() { awk -v n="$1" '/"key":/ && seen++ == n { exit } { print }'; }

# create NAME SIZE [OPTIONS...]: one file, remembered for the host and the second boot
create() {
	local name=$1 size=$2
	shift 2
	show famfs creat -s "$size" "$@" "$MNT/$name"
	echo "$name" >> "$OUT/files"
}

make_files() {
	local n
	step "directories and files: contiguous, and over 2, 3, 6, 16 strips on both devices"
	: > "$OUT/files"
	show famfs mkdir $MNT/c
	show famfs mkdir -p -m 0750 $MNT/il/deep/down
	show famfs mkdir $MNT/trace
	create c/page 4096
	create c/one-byte 1
	create c/8m 8m
	create c/odd 5242891 -m 0600 -u 1000 -g 1000
	for n in 2 3 6 16; do
		# two whole stripes and a part of a third
		create il/strips$n $((n * 2 * 2097152 + 2097152 + 12345)) -C 2m -N "$n" -B 16
	done
	create il/deep/down/strips3 9000000 -N 3 -B 12
	create trace/4k 2m
	create trace/2m 2m
	show ls -lR $MNT
}

write_and_read_back() {
	local f
	step "a pattern through a mapping, read back by mmap, read(2) and O_DIRECT"
	while read -r f; do
		"$MMPAT" write --key "$f" "$MNT/$f"
		"$MMPAT" check --key "$f" "$MNT/$f"
	done < "$OUT/files"
	echo "$(wc -l < "$OUT/files") files written and verified in three ways"
}

first() {
	local char block info
	step "two emulated NVDIMMs: one as character device under fsdev_dax, one as block device"
	char=$(make_namespace 0 devdax)
	block=$(make_namespace 1 fsdax)
	show famfs dev bind "$char"
	show famfs dev list
	printf '%s %s %s\n' 0 "$(data_offset 0 "$char")" "$(size_of "$char")" \
		1 "$(data_offset 1 "$block")" "$(size_of "$block")" > "$OUT/devices"

	step "make and mount a file system on both"
	show mkfs.famfs --add-device "$block" "$char"
	# The second boot is of the same host
	cp /opt/famfs/system_uuid "$OUT/"
	mkdir -p $MNT
	show mount -t famfs -o dev=1:"$block" "$char" $MNT
	show findmnt $MNT
	info=$(fdinfo $MNT)

	make_files
	show_trace
	write_and_read_back
	step "BPF: the struct_ops, its link, and the slot map"
	show_bpf $MNT $MNT/il/strips6 60

	step "counters of the connection"
	grep ^iomap_ "$info"
	check_counters "$info"
	show famfs fsck $MNT
	show df $MNT

	step "unmount"
	show umount $MNT
	wait_gone
	show famfs fsck -h "$char"
	check_dmesg
}

second() {
	local char block f
	step "second boot: mount again, verify every file by mmap"
	char=$(device_of 0)
	block=$(device_of 1)
	mkdir -p $MNT
	cp "$OUT/system_uuid" /opt/famfs/
	show famfs dev bind "$char"
	show mount -t famfs -o dev=1:"$block" "$char" $MNT
	while read -r f; do
		"$MMPAT" check --by mmap --key "$f" "$MNT/$f"
	done < "$OUT/files"
	echo "$(wc -l < "$OUT/files") files verified by mmap"
	[ "$(stat -c '%a %u %g' $MNT/c/odd)" = "600 1000 1000" ] || die "owner or mode of c/odd changed"
	check_counters "$(fdinfo $MNT)"
	show umount $MNT
	wait_gone
	check_dmesg
}

# ---- golden images ----

# Lines of /run/vm/golden: NAME DEVICES, the NVDIMMs being numbered in their order.
# /run/vm/golden.d/NAME.list has their files.

mount_golden() {
	local name=$1 opts=() i
	shift
	for ((i = 2; i <= $#; i++)); do
		opts+=(-o "dev=$((i - 1)):${!i}")
	done
	mkdir -p "$MNT/$name"
	show mount -t famfs -o ro "${opts[@]}" "$1" "$MNT/$name"
}

# largest_file NAME: of its list; the names of some files are not for a shell
largest_file() {
	awk '$2 > 0 && NF == 3 && $3 ~ /^[A-Za-z0-9_.\/-]+$/ { print $2, $3 }' "$OUT/golden.d/$1.list" |
		sort -rn | head -n 1
}

# show_golden NAME: the program and its map; one huge and one small fault, traced. The small
# one comes second: no huge page goes where a small one is.
HUGE_WANTED=0 HUGE_SEEN=0
show_golden() {
	local size path f
	read -r size path < <(largest_file "$1") || return 0
	f=$MNT/$1/$path
	show_bpf "$MNT/$1" "$f" 16
	trace_setup
	if [ "$size" -ge 2097152 ]; then
		HUGE_WANTED=$((HUGE_WANTED + 1))
		trace_fault 2m "$f"
		! grep -qE 'dax_pmd_fault_done.*NOPAGE' "$OUT/trace.2m" || HUGE_SEEN=$((HUGE_SEEN + 1))
	fi
	trace_fault 4k "$f"
	grep -qE 'dax_pte_fault_done.*NOPAGE' "$OUT/trace.4k" || die "the 4 KiB fault made no page"
	echo 0 > $TRACE/events/enable
}

# verify_golden NAME WAYS...
verify_golden() {
	local name=$1 info
	shift
	info=$(fdinfo "$MNT/$name")
	if [ -s "$OUT/golden.d/$name.list" ]; then
		"$MMPAT" list "$@" "$MNT/$name" < "$OUT/golden.d/$name.list"
		check_counters "$info"
	else
		[ -f "$MNT/$name/.meta/.log" ] || die "$name: no .meta/.log"
		echo "no files"
	fi
	show umount "$MNT/$name"
	wait_gone
}

# The devices are made here, then the host writes the images into their backing files:
# the guest's memory is the host's page cache.
get_images() {
	local n count dev total=0
	while read -r _ count; do
		total=$((total + count))
	done < "$OUT/golden"
	step "$total emulated NVDIMMs; the host writes the golden images into them"
	: > "$OUT/devices"
	for ((n = 0; n < total; n++)); do
		dev=$(make_namespace $n fsdax)
		echo "$n $(data_offset $n "$dev") $(size_of "$dev")" >> "$OUT/devices"
	done
	: > "$OUT/want-images"
	until [ -e "$OUT/have-images" ]; do
		[ ! -e "$OUT/no-images" ] || die "the host cannot make the images"
		sleep 0.2
	done
}

# golden WAYS...: mount every image and verify its files
golden() {
	local name count n=0 i devs
	while read -r name count; do
		step "golden image $name"
		devs=()
		for ((i = 0; i < count; i++, n++)); do
			devs+=("$(device_of $n)")
		done
		mount_golden "$name" "${devs[@]}"
		[ "$PHASE" != golden-first ] || show_golden "$name"
		verify_golden "$name" "$@"
	done < "$OUT/golden"
	[ $HUGE_WANTED = 0 ] || [ $HUGE_SEEN -gt 0 ] || die "no 2 MiB fault made a huge page"
	check_dmesg
}

PHASE=${1:-}
case $PHASE in
first | second)	"$1" ;;
golden-first)	get_images; golden --by mmap --by read --by direct ;;
golden-second)	golden --by mmap ;;
*)		echo "usage: demo-guest.sh first|second|golden-first|golden-second" >&2; exit 2 ;;
esac
