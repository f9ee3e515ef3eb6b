#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=2G cpus=1 pmem=1G,1G kernel=ci,debug timeout=600
# A BPF program that returns each kind of wrong mapping, on an fsdev device and on a
# partition: the access fails, the right counter goes up by one, a victim with 4 KiB and
# 2 MiB pages of the same device notices nothing. And programs that must not load.
. ../lib.sh

# results NAME MIN COMMAND...: run it and take over its results, at least MIN
results() {
	local name=$1 min=$2 line n=0
	shift 2
	"$@" > "$WORK/$name.log" 2> "$WORK/$name.err"
	ended "$name" $?
	while IFS= read -r line; do
		case $line in
		"ok - "*) ok "$name: ${line#ok - }"; n=$((n + 1));;
		"not ok - "*) not_ok "$name: ${line#not ok - }"; n=$((n + 1));;
		esac
	done < "$WORK/$name.log"
	[ ! -s "$WORK/$name.err" ] || sed "s/^/# $name: /" "$WORK/$name.err"
	at_least "$name: all of it ran" "$n" "$min"
}

make_fsdev 0
make_pmem 1
# 512 MiB from 16 MiB on: there is device before the partition, and behind it
check "a partition is made" addpart "$PMEM" 1 32768 1048576

A=$BUILD/tests/vm/adversary
# Every kind by every way of access; where everything is slow, by two of them
quick=() fsdev=316 partition=309
[ "$KFLAVOUR" = ci ] || { quick=(-q); fsdev=120; partition=113; }
results refused 28 "$A/refused"
# shellcheck disable=SC2153 # set by make_fsdev
results fsdev "$fsdev" "$A/adversary" "${quick[@]}" "$FSDEV" /sys/bus/dax/drivers/fsdev_dax "${FSDEV#/dev/}"
results partition "$partition" "$A/adversary" "${quick[@]}" "${PMEM}p1"
done_testing
