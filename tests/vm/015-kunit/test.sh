#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=1G cpus=1 kernel=ci timeout=60 cmdline=kunit.enable=1,kunit.autorun=1
# The KUnit suite of the series, which ran while the kernel booted.
. ../lib.sh

dmesg | sed 's/^\[[^]]*\] *//' > "$WORK/kunit.log"
while read -r state _ rule; do
	case $state in
	ok) ok "$rule";;
	not) not_ok "$rule";;
	esac
done < <(grep -E '^(ok|not ok) [0-9]+ ' "$WORK/kunit.log" | sed 's/^not ok/not/')
is "the suite fuse_iomap passes" "$(grep -cE '^ok [0-9]+ fuse_iomap$' "$WORK/kunit.log")" 1
done_testing
