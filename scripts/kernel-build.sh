#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kernel-build.sh ci|debug|off: print the directory of the built kernel (vmlinux.pvh).
#
# One patched source tree ($KSRC) and one object directory a flavour, in the cache. When
# the patches change, only files whose content changes are touched, so that make rebuilds
# only what depends on them. A finished kernel is kept under a key made of version,
# patches, config fragments and compiler.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
FLAVOUR=${1:?usage: kernel-build.sh ci|debug|off}
P=$TOP/kernel-patches
C=$P/config
case $FLAVOUR in
ci)	frags=("$C/vm.config" "$C/fuse-iomap.config") objects=4700;;
debug)	frags=("$C/vm.config" "$C/debug.config" "$C/fuse-iomap.config") objects=4900;;
off)	frags=("$C/vm.config" "$C/off.config") objects=4700;;
*)	die "unknown kernel '$FLAVOUR': ci, debug or off";;
esac

mapfile -t patches < <(grep -v '^#' "$P/series" 2>/dev/null | sed "s|^|$P/|")
SRC=$("$TOP/scripts/kernel-source.sh")
VERSION=$(make -s -C "$SRC" kernelversion)
# What a patch carries besides its diff (dates, hashes) does not count
patch_sum() { [ ${#patches[@]} = 0 ] || sed -e '/^From /d' -e '/^Date: /d' -e '/^index /d' "${patches[@]}" | sha256sum | cut -c1-16; }
PSUM=$(patch_sum)
KEY=$VERSION-$FLAVOUR-$({ echo "$PSUM"; cat "${frags[@]}"; gcc --version | head -n 1; } | sha256sum | cut -c1-16)
OUT=$CACHE/kernels/$KEY
OBJ=$CACHE/obj-$FLAVOUR

# apply: make $KSRC = $SRC + patches, touching only what differs
apply() {
	local stamp=$KSRC/.patched want="$VERSION $PSUM" t f
	[ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || return 0
	if [ ! -f "$KSRC/Makefile" ]; then
		say "copying the source of Linux $VERSION"
		rm -rf "$KSRC"
		cp -a "$SRC" "$KSRC"
	fi
	t=$(mktemp -d)
	# Files that any patch touches, now or the last time
	{ cat "$KSRC/.touched" 2>/dev/null || true
	  [ ${#patches[@]} = 0 ] || sed -n -e 's|^--- a/||p' -e 's|^+++ b/||p' "${patches[@]}"; } | sort -u > "$t/touched"
	mkdir "$t/tree"
	while read -r f; do
		[ ! -f "$SRC/$f" ] || install -D -m 644 "$SRC/$f" "$t/tree/$f"
	done < "$t/touched"
	for f in "${patches[@]}"; do
		if ! patch -d "$t/tree" -p1 -s -f --no-backup-if-mismatch < "$f" > "$t/log" 2>&1; then
			cat "$t/log" >&2
			die "$(basename "$f") does not apply to Linux $VERSION"
		fi
	done
	while read -r f; do
		if [ -f "$t/tree/$f" ]; then
			cmp -s "$t/tree/$f" "$KSRC/$f" || install -D -m 644 "$t/tree/$f" "$KSRC/$f"
		else
			rm -f "$KSRC/$f"
		fi
	done < "$t/touched"
	cp "$t/touched" "$KSRC/.touched"
	echo "$want" > "$stamp"
	rm -rf "$t"
}

# Every symbol that a fragment names must have survived
check_config() {
	local s v got bad=0
	while read -r s v; do
		got=$(sed -n "s/^$s=//p" "$OBJ/.config")
		[ "${got:-n}" = "$v" ] || { say "lost $s: wanted $v, got ${got:-n}"; bad=1; }
	done < <(cat "${frags[@]}" | sed -n -e 's/^\(CONFIG_[A-Za-z0-9_]*\)=\(.*\)$/\1 \2/p' \
			-e 's/^# \(CONFIG_[A-Za-z0-9_]*\) is not set$/\1 n/p' |
			awk '{ v[$1] = $2 } END { for (s in v) print s, v[s] }' | sort)
	[ $bad = 0 ] || die "the $FLAVOUR kernel's config is not what was asked for"
}

configure() {
	local stamp
	stamp=$(cat "${frags[@]}" "$KSRC/fs/fuse/Kconfig" | sha256sum)
	[ "$(cat "$OBJ/.frag" 2>/dev/null)" != "$stamp" ] || return 0
	(cd "$KSRC" && ARCH=x86_64 scripts/kconfig/merge_config.sh -n -Q -O "$OBJ" "${frags[@]}") \
		> "$LOGS/config-$FLAVOUR.log" 2>&1 || die "merge_config.sh failed (log: $LOGS/config-$FLAVOUR.log)"
	check_config
	echo "$stamp" > "$OBJ/.frag"
}

build() {
	local log=$LOGS/kernel-$FLAVOUR.log pid
	[ ! -f "$OUT/vmlinux.pvh" ] || return 0
	apply
	# Another flavour of the same tree differs in few options
	if [ ! -d "$OBJ" ] && [ "$FLAVOUR" = off ] && [ -f "$CACHE/obj-ci/vmlinux" ]; then
		cp -a "$CACHE/obj-ci" "$OBJ"
		rm -f "$OBJ/.frag"
	fi
	mkdir -p "$OBJ"
	configure
	# The same source, config and compiler make the same kernel
	export KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC' KBUILD_BUILD_USER=build KBUILD_BUILD_HOST=build
	say "building the $FLAVOUR kernel, Linux $VERSION + ${#patches[@]} patches (log: $log)"
	: > "$log"
	nice make -C "$KSRC" O="$OBJ" ARCH=x86_64 -j"$JOBS" vmlinux > "$log" 2>&1 &
	pid=$!
	progress "kernel $FLAVOUR" "$objects" "$log" '^  (CC|AS|LD|AR)' "$pid"
	wait "$pid" || { grep -nE 'error|Error' "$log" | head -n 20 >&2; die "the $FLAVOUR kernel does not build (log: $log)"; }
	mkdir -p "$OUT"
	cp "$OBJ/.config" "$OBJ/System.map" "$OUT/"
	objcopy --strip-debug "$OBJ/vmlinux" "$OUT/vmlinux.tmp"
	mv "$OUT/vmlinux.tmp" "$OUT/vmlinux.pvh"
	# Older ones of this flavour: keep two
	find "$CACHE/kernels" -maxdepth 1 -name "*-$FLAVOUR-*" -printf '%T@ %p\n' | sort -rn |
		tail -n +4 | cut -d' ' -f2- | xargs -r rm -rf
}

locked build >&2
touch "$OUT"
echo "$OUT"
