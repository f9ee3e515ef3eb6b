#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=2 pmem=1G kernel=ci,debug timeout=900 full=debug
# The slot map and its program: every form of slot against the device's bytes, replaced
# under faults, pinned, adopted, killed; bpftool shows it as a table; nothing stays.
. ../lib.sh

make_fsdev 0
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
echo 1 > /proc/sys/kernel/bpf_stats_enabled
# Not bpftool, which takes seconds here and makes maps of its own
maps() { "$BUILD/tests/vm/bpfids" maps; }
is "no map to begin with" "$(maps)" ""

P=/sys/fs/bpf/famfs/736c6f74-6d61-702d-746f-75722d303031
cat > /run/show.sh <<SHOW
"$BPFTOOL" map dump pinned $P/slots > "$WORK/slots" 2>&1
"$BPFTOOL" map dump pinned $P/extents > "$WORK/extents" 2>&1
"$BPFTOOL" map dump pinned $P/rodata > "$WORK/rodata" 2>&1
"$BPFTOOL" struct_ops show > "$WORK/struct_ops" 2>&1
"$BPFTOOL" link show > "$WORK/link" 2>&1
id=\$("$BPFTOOL" prog show | sed -n 's/^\([0-9]*\): struct_ops  *name famfs_iomap_begin.*/\1/p' | tail -n 1)
"$BPFTOOL" prog show id \$id > "$WORK/prog" 2>&1
"$BPFTOOL" prog dump xlated id \$id > "$WORK/xlated" 2>&1
"$BPFTOOL" prog dump jited id \$id > "$WORK/jited" 2>&1
SHOW
BPFTOOL_SHOW="sh /run/show.sh" "$BUILD/tests/vm/slotmap/slotmap-tour" "$FSDEV" > "$WORK/tour.log" 2> "$WORK/tour.err"
ended "the tour" $?
n=0
while IFS= read -r line; do
	case $line in
	"ok - "*) ok "${line#ok - }"; n=$((n + 1));;
	"not ok - "*) not_ok "${line#not ok - }"; n=$((n + 1));;
	esac
done < "$WORK/tour.log"
[ ! -s "$WORK/tour.err" ] || sed 's/^/# /' "$WORK/tour.err"
at_least "all of it ran" "$n" 83

check "bpftool names the form of a slot" grep -q FAMFS_SLOT_INTERLEAVE_EXT "$WORK/slots"
check "bpftool names its fields" grep -q chunk_shift "$WORK/slots"
check "bpftool shows extents" grep -q strip "$WORK/extents"
check "bpftool shows the number of extents" grep -qE '"nr_extents": [1-9]' "$WORK/rodata"
check "runs of the program are counted" grep -qE 'run_time_ns [1-9][0-9]* run_cnt [1-9]' "$WORK/prog"
check "bpftool shows the unit" grep -q '"unit_shift": 21' "$WORK/rodata"
check "bpftool shows the struct_ops map" grep -q fuse_iomap_bpf_ops "$WORK/struct_ops"
check "bpftool shows the link" grep -q struct_ops "$WORK/link"
echo "# program: $(grep -cE '^ *[0-9]+: ' "$WORK/xlated") translated instructions, $(grep -oE 'jited [0-9]+B' "$WORK/prog") ($(grep -cE '^ *[0-9a-f]+:' "$WORK/jited") instructions)"
# Maps go after a grace period
for _ in $(seq 300); do left=$(maps); [ -n "$left" ] || break; sleep 0.2; done
is "no map is left" "$left" ""
done_testing
