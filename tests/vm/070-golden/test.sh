#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=3G cpus=1 pmem=4112M,16400M,4112M,6160M,32784M kernel=ci timeout=2400 full
# Every golden image that can be a DAX device, on the path of a user: mount(8), the daemon,
# the BPF program. Good ones have exactly the tree that their expect.json says, and bytes by
# mmap and read(2); bad ones are refused, or lose exactly one entry, with a message that
# names device, offset, field, found and expected. host.sh brings the images.
. ../lib.sh
. ../daemon.sh

devices=()
for n in 0 1 2 3 4; do
	make_pmem $n
	devices+=("$PMEM:$(blockdev --getsize64 "$PMEM")")
done
# The host unpacks meanwhile
for ((i = 0; i < 6000; i++)); do [ -e "$WORK/plan.json" ] || [ -e "$WORK/failed" ] && break; sleep 0.1; done
[ -e "$WORK/plan.json" ] || bail "the host has no images: $(tail -n 3 "$WORK/host.log")"
sed 's/^/# /' "$WORK/notes"
BPFTOOL=$BPFTOOL exec python3 ./check.py "$WORK" "${devices[@]}"
