#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=512M,512M kernel=bench timeout=300
# Every variant of the A/B harness on one mount: the same bytes at every position, by pread,
# by 4 KiB and by 2 MiB faults, each answered by the variant that is attached.
. ../lib.sh

make_fsdev 0
make_pmem 1
"$BUILD/tests/perf/variants/variants-check" "$FSDEV" "$PMEM" > "$WORK/check.log" 2> "$WORK/check.err"
ended "the check" $?
n=0
while IFS= read -r line; do
	case $line in
	"ok - "*) ok "${line#ok - }"; n=$((n + 1));;
	"not ok - "*) not_ok "${line#not ok - }"; n=$((n + 1));;
	"skip - "*) not_ok "${line#skip - }" "this kernel has them all";;
	"# "*) echo "$line";;
	esac
done < "$WORK/check.log"
[ ! -s "$WORK/check.err" ] || sed 's/^/# /' "$WORK/check.err"
at_least "all of it ran" "$n" 150
done_testing
