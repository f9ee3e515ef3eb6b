#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# uapi.sh PATCHED_SOURCE: is include/linux/fuse_iomap.h what the series makes of <linux/fuse.h>?
# Every constant of it has the same value there, every struct the same members at the same
# places (of the same size and sign); and fuse_iomap_bpf_ops that of the kernel. What a program
# returns, FUSE_IOMAP_BPF_*, has no name there.
set -euo pipefail
TOP=$(cd "$(dirname "$0")/../.." && pwd)
OURS=$TOP/include/linux/fuse_iomap.h
THEIRS=${1:?usage: uapi.sh PATCHED_SOURCE}/include/uapi/linux/fuse.h
PRIVATE=$1/fs/fuse/iomap_i.h
[ -f "$THEIRS" ] || { echo "uapi.sh: no $THEIRS" >&2; exit 1; }
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

mapfile -t names < <(grep -oE '^#define +FUSE_[A-Z0-9_]+[[:space:]]+[(0-9~]' "$OURS" | awk '{ print $2 }' | grep -v '^FUSE_IOMAP_BPF_')
mapfile -t structs < <(sed -n '/__bpf__/,$d; s/^struct \(fuse_[a-z_]*\) {$/\1/p' "$OURS")
[ ${#names[@]} -ge 30 ] && [ ${#structs[@]} -ge 7 ] ||
	{ echo "uapi.sh: found ${#names[@]} constants and ${#structs[@]} structs only" >&2; exit 1; }
{
	echo '#include <stdio.h>'
	echo '#include HEADER'
	for s in "${structs[@]}"; do echo "struct $s a_$s;"; done
	echo '#define SHOW(n) printf("%s 0x%llx%c", #n, (unsigned long long)(n), 10);'
	echo 'int main(void) {'
	printf 'SHOW(%s)\n' "${names[@]}"
	echo 'return 0; }'
} > "$t/values.c"
for side in OURS THEIRS; do
	gcc -g -O0 -DHEADER="\"${!side}\"" -o "$t/$side" "$t/values.c"
	"$t/$side" > "$t/$side.values"
	for s in "${structs[@]}"; do
		# Of base types: __u64 here is uint64_t there. The names of members count.
		pahole --suppress_packed -C "$s" "$t/$side" |
			sed -E 's/\b__u(8|16|32|64)\b/uint\1_t/; s/\b__s(8|16|32|64)\b/int\1_t/; s/[[:space:]]+/ /g'
	done > "$t/$side.structs"
done
[ "$(wc -l < "$t/OURS.values")" = ${#names[@]} ]
diff "$t/OURS.values" "$t/THEIRS.values"
diff "$t/OURS.structs" "$t/THEIRS.structs"

# What a program's author sees of the kernel's own header
members() { # FILE: of fuse_iomap_bpf_ops, in order
	sed -n '/^struct fuse_iomap_bpf_ops {/,/^};/p' "$1" | sed 's|/\*.*\*/||' |
		tr -s ' \t\n' ' ' | sed -E 's/\b(__)?u(8|16|32|64)\b/u\2/g; s/ ?([(){};,*]) ?/\1/g'
}
diff <(members "$OURS") <(members "$PRIVATE")
echo "${#names[@]} constants and ${#structs[@]} structs are the same"
