#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=4G cpus=1 pmem=5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G,5G kernel=ci timeout=900
# 26 devices under one mount, a character device the first: by daxslice a file striped over all
# of them, by famfs a file system over all of them. Each device is used, each byte is right,
# and all are given back.
. ../lib.sh
. ../daemon.sh

NR=26
# famfs wants 4 GiB of each
make_fsdev 0
DEV=$FSDEV
devs=("$DEV")
make_dev() { # N
	local json
	json=$(ndctl create-namespace -f -e "namespace$1.0" -m fsdax -M mem 2>&1) || bail "ndctl: $json"
	devs+=("/dev/$(grep -oE '"blockdev":"pmem[0-9.]+"' <<< "$json" | cut -d'"' -f4)")
}
for ((i = 1; i < NR; i++)); do make_dev $i; done
is "there are as many devices" "$(stat -c %t:%T "${devs[@]}" | sort -u | wc -l)" $NR

# ---- the other server: one file over all of them ----
S=/mnt/slice
SLICE=$BUILD/server/daxslice/daxslice
mkdir -p $S
{
	printf 'all striped 4K'
	for d in "${devs[@]}"; do printf ' %s 64M 64K' "$d"; done
	echo
	# One file on the last alone
	printf 'last linear %s 128M 2M\n' "${devs[NR - 1]}"
} > /run/table
size=$((NR * 65536))
head -c $size /dev/urandom > /run/want
for mode in bpf upcall; do
	check "daxslice --$mode starts" "$SLICE" --$mode /run/table $S
	pid=$(pgrep -x daxslice)
	is "$mode: devices of the connection" "$(counter "$pid" devices)" $NR
	is "$mode: size" "$(stat -c %s $S/all)" $size
	[ $mode = upcall ] || check "write(2)" dd if=/run/want of=$S/all bs=64K conv=notrunc status=none
	check "$mode: read(2)" cmp /run/want $S/all
	check "$mode: mmap" python3 - $S/all /run/want <<'PY'
import mmap, sys
f = open(sys.argv[1], "rb")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
assert m[:] == open(sys.argv[2], "rb").read(), "bytes differ"
PY
	check "$mode: on the last device" cmp -n 2097152 $S/last /dev/zero
	is "$mode: nothing was rejected" "$(rejects "$pid")" 0
	check "$mode: ends" umount $S
	for ((i = 0; i < 100; i++)); do pgrep -x daxslice > /dev/null || break; sleep 0.1; done
done
# What is on each device is what belongs there
bad=
for ((i = 1; i < NR; i++)); do
	dd if="${devs[i]}" bs=4K skip=16384 count=1 status=none | cmp -s -n 4096 - <(tail -c +$((i * 4096 + 1)) /run/want) || bad+=" ${devs[i]}"
done
is "each block device has its strip" "$bad" ""

# ---- famfs over all of them ----
more=()
opts=
for ((i = 1; i < NR; i++)); do
	more+=(--add-device "${devs[i]}")
	opts+=,dev=$i:${devs[i]}
done
make_fs "$DEV" "${more[@]}"
fails "with one device missing it is not mounted" 32 "device 25 of the file system" mount -t famfs -o "$(sed "s|^,||; s|,dev=25:.*||" <<< "$opts")" "$DEV" "$M"
nothing_left "then"
mounted -o "${opts#,}"
is "devices of the connection" "$(counter "$(worker)" devices)" $NR
for n in 2 16; do
	check "a file of $n strips" famfs creat -s 64m -C 2m -N $n -B $NR "$M"/strips$n
	check "written and read" "$BUILD/tests/vm/mmpat" write "$M"/strips$n
done
check "a contiguous file" famfs creat -s 4m "$M"/plain
check "written" "$BUILD/tests/vm/mmpat" write "$M"/plain
umount "$M" || bail "umount"
nothing_left "after umount"
mounted -o "${opts#,}"
for f in strips2 strips16 plain; do
	check "mounted again, $f" "$BUILD/tests/vm/mmpat" check --key "$M"/$f "$M"/$f
done
is "nothing was rejected" "$(rejects "$(worker)")" 0
umount "$M" || bail "umount"
nothing_left "at the end"
given_back "at the end"
check "and so is the last" bash -c "dd if=/dev/zero of='${devs[NR - 1]}' bs=4K count=1 oflag=direct conv=notrunc status=none && mkfs.ext4 -q -F '${devs[NR - 1]}' 64M"
done_testing
