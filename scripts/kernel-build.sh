#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kernel-build.sh ci|debug|off|up|bench|base[+N] [--objects]: print the directory of the built kernel
# (vmlinux.pvh); --objects: even if there is one, also bring source and objects up to date.
# kernel-build.sh source: only apply the patches, and print the directory of the source.
#
# One patched source tree ($KSRC) and one object directory a flavour, in the cache. When
# the patches change, only files whose content changes are touched, so that make rebuilds
# only what depends on them. A finished kernel is kept under a key made of version,
# patches, config fragments and compiler.
#
# bench: kernel-patches/bench/ on top, for measurements. base: no patches at all, the same config
# otherwise, to measure against; base+N: the first N patches. The source of bench and base is a
# tree of its own, of hard links to the first but for what differs, and is built in the place of
# the first (in a mount namespace): the commands that made an object name the source, and so all
# but a few objects of the ci kernel are good for it.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
WANTED=${1:?usage: kernel-build.sh ci|debug|off|bench|base[+N]|source [--objects]}
OBJECTS=${2:-}
FLAVOUR=$WANTED
FIRST=0
if [[ $WANTED =~ ^base\+([0-9]+)$ ]]; then
	FLAVOUR=base
	FIRST=${BASH_REMATCH[1]}
fi
P=$TOP/kernel-patches
C=$P/config
case $FLAVOUR in
ci)	frags=("$C/vm.config" "$C/fuse-iomap.config") objects=2200;;
debug)	frags=("$C/vm.config" "$C/debug.config" "$C/fuse-iomap.config") objects=2200;;
off)	frags=("$C/vm.config" "$C/off.config") objects=2200;;
up)	frags=("$C/vm.config" "$C/fuse-iomap.config" "$C/up.config") objects=2200;;
bench)	frags=("$C/vm.config" "$C/fuse-iomap.config" "$C/bench.config") objects=2200;;
base)	frags=("$C/vm.config") objects=2200;;
source)	frags=() objects=0;;
*)	die "unknown kernel '$FLAVOUR': ci, debug, off, up, bench, base or base+N";;
esac

mapfile -t patches < <(grep -v '^#' "$P/series" 2>/dev/null | sed "s|^|$P/|")
[ "$FLAVOUR" != base ] || patches=("${patches[@]:0:FIRST}")
# Headers that the kernel and its users both have to have: FILE PLACE
extra=()
if [ "$FLAVOUR" = bench ]; then
	mapfile -t -O ${#patches[@]} patches < <(grep -v '^#' "$P/bench/series" | sed "s|^|$P/bench/|")
	extra=("$TOP/tests/perf/fuse_iomap_bench.h include/uapi/linux/fuse_iomap_bench.h"
		"$TOP/include/famfs/fmap.h fs/fuse/iomap_bench_fmap.h")
fi
SRC=$("$TOP/scripts/kernel-source.sh")
VERSION=$(kernel_version "$SRC")
# What a patch carries besides its diff (message, dates, hashes) does not count
patch_sum() {
	[ ${#patches[@]} = 0 ] || {
		awk 'FNR == 1 { on = 0 } /^diff --git / { on = 1 } on && !/^index /' "${patches[@]}"
		cat /dev/null "${extra[@]%% *}"
	} | sha256sum | cut -c1-16
}
PSUM=$(patch_sum)
# Those of base+N are passed by quickly, and are not to push base itself out of the cache
KIND=$FLAVOUR
[ "$WANTED" = "$FLAVOUR" ] || KIND=step
KEY=$VERSION-$KIND-$({ echo "$PSUM"; cat /dev/null "${frags[@]}"; gcc --version | head -n 1; } | sha256sum | cut -c1-16)
OUT=$CACHE/kernels/$KEY
OBJ=$CACHE/obj-$FLAVOUR

# apply: make $KSRC = $SRC + patches, touching only what differs
apply() {
	local stamp=$KSRC/.patched want="$VERSION $PSUM" t f
	# Another source: nothing of the old tree, nor of what was built from it, is of use
	if [ ! -f "$KSRC/Makefile" ] || [ "$(cat "$KSRC/.source" 2>/dev/null || echo "$SRC $VERSION")" != "$SRC $VERSION" ]; then
		rm -rf "$KSRC" "$KSRC.tmp" "$CACHE"/obj-*
		mkdir "$KSRC.tmp"
		# Files are replaced, never written to: of the cache's own source, links will do
		if [[ $SRC = "$CACHE"/* ]]; then
			say "making a tree of Linux $VERSION to patch, of links"
			cp -al "$SRC/." "$KSRC.tmp/"
		else
			say "copying the source of Linux $VERSION from $SRC"
			tar -C "$SRC" --exclude=./.git -cf - . | tar -C "$KSRC.tmp" -xf -
		fi
		echo "$SRC $VERSION" > "$KSRC.tmp/.source"
		mv "$KSRC.tmp" "$KSRC"
	fi
	[ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || return 0
	t=$(mktemp -d)
	# Files that any patch touches, now or the last time
	{ cat "$KSRC/.touched" 2>/dev/null || true
	  [ ${#patches[@]} = 0 ] || sed -n -e 's|^--- a/||p' -e 's|^+++ b/||p' "${patches[@]}"
	  [ ${#extra[@]} = 0 ] || printf '%s\n' "${extra[@]##* }"; } | sort -u > "$t/touched"
	# Known before the first is changed, so that an interrupted run is made good by the next
	cp "$t/touched" "$KSRC/.touched"
	rm -f "$stamp"
	mkdir "$t/tree"
	while read -r f; do
		[ ! -f "$SRC/$f" ] || install -D -m 644 "$SRC/$f" "$t/tree/$f"
	done < "$t/touched"
	for f in "${patches[@]}"; do
		if ! patch -d "$t/tree" -p1 -f -F0 --no-backup-if-mismatch < "$f" > "$t/log" 2>&1; then
			say "$(grep -E '^(Hunk|.*FAILED|can.t find file|patching file)' "$t/log" || cat "$t/log")"
			rm -rf "$t"
			die "$(basename "$f") does not apply to Linux $VERSION"
		fi
	done
	for f in "${extra[@]}"; do
		install -D -m 644 "${f%% *}" "$t/tree/${f##* }"
	done
	while read -r f; do
		if [ -f "$t/tree/$f" ]; then
			cmp -s "$t/tree/$f" "$KSRC/$f" || install -D -m 644 "$t/tree/$f" "$KSRC/$f"
		else
			rm -f "$KSRC/$f"
		fi
	done < "$t/touched"
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
	stamp=$({ cat "${frags[@]}"; cd "$KSRC" && grep -sE '/Kconfig[^/]*$' .touched | xargs -r cat; } | sha256sum)
	[ "$(cat "$OBJ/.frag" 2>/dev/null)" != "$stamp" ] || return 0
	(cd "$KSRC" && ARCH=x86_64 scripts/kconfig/merge_config.sh -n -Q -O "$OBJ" "${frags[@]}") \
		> "$LOGS/config-$FLAVOUR.log" 2>&1 || die "merge_config.sh failed (log: $LOGS/config-$FLAVOUR.log)"
	check_config
	echo "$stamp" > "$OBJ/.frag"
}

build() {
	local log=$LOGS/kernel-$FLAVOUR.log pid total
	[ ! -f "$OUT/vmlinux.pvh" ] || [ -n "$OBJECTS" ] || return 0
	apply
	# These differ from the ci kernel in few files. Their objtool must not look new, or all
	# is compiled again: the commands that made it name the object directory.
	if [ ! -d "$OBJ" ] && [[ $FLAVOUR = off || $FLAVOUR = bench || $FLAVOUR = base ]] && [ -f "$CACHE/obj-ci/vmlinux" ]; then
		say "starting from the objects of the ci kernel"
		rm -rf "$OBJ.tmp"
		mkdir "$OBJ.tmp"
		cp -a "$CACHE/obj-ci/." "$OBJ.tmp/"
		find "$OBJ.tmp/tools" -name '.*.cmd' -print0 | xargs -0 sed -i \
			-e "s|$(realpath "$CACHE/obj-ci")/|$OBJ/|g" -e "s|$CACHE/obj-ci/|$OBJ/|g"
		rm -f "$OBJ.tmp/.frag" "$OBJ.tmp/.total"
		mv "$OBJ.tmp" "$OBJ"
	fi
	mkdir -p "$OBJ"
	configure
	# The same source, config and compiler make the same kernel
	export KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC' KBUILD_BUILD_USER=build KBUILD_BUILD_HOST=build
	say "building the $FLAVOUR kernel, Linux $VERSION + ${#patches[@]} patches (log: $log)"
	: > "$log"
	nice make -C "$KSRC" O="$OBJ" ARCH=x86_64 -j"$JOBS" vmlinux > "$log" 2>&1 &
	pid=$!
	# In the background it does not get the ^C that ends us, and would keep the lock
	trap 'kill "$pid" 2> /dev/null' EXIT
	# How many there are is known from the last whole build
	progress "kernel $FLAVOUR" "$(cat "$OBJ/.total" 2>/dev/null || echo "$objects")" "$log" '^  (CC|AS|LD|AR) ' "$pid"
	wait "$pid" || { trap - EXIT; grep -nE 'error|Error' "$log" | head -n 20 >&2; die "the $FLAVOUR kernel does not build (log: $log)"; }
	trap - EXIT
	# make may have asked Kconfig again
	check_config
	total=$(grep -cE '^  (CC|AS|LD|AR) ' "$log" || true)
	[ "$total" -lt 2000 ] || echo "$total" > "$OBJ/.total"
	mkdir -p "$OUT"
	cp "$OBJ/.config" "$OBJ/System.map" "$OUT/"
	objcopy --strip-debug "$OBJ/vmlinux" "$OUT/vmlinux.tmp"
	mv "$OUT/vmlinux.tmp" "$OUT/vmlinux.pvh"
	# Of each flavour the last three are kept
	find "$CACHE/kernels" -maxdepth 1 -name "*-$KIND-*" -printf '%T@ %p\n' | sort -rn |
		tail -n +4 | cut -d' ' -f2- | xargs -r rm -rf
}

# second_tree: $CACHE/linux-$FLAVOUR, hard links to $KSRC, whose own notes are its own
second_tree() {
	local tree=$CACHE/linux-$FLAVOUR
	if [ "$(cat "$tree/.source" 2>/dev/null)" != "$(cat "$KSRC/.source" 2>/dev/null || echo "$SRC $VERSION")" ]; then
		say "making another tree of the source, of links"
		rm -rf "$tree" "$tree.tmp" "$OBJ"
		mkdir "$tree.tmp"
		find "$(realpath "$KSRC")" -mindepth 1 -maxdepth 1 ! -name .git ! -name .patched ! -name .touched \
			! -name .source -exec cp -al -t "$tree.tmp" {} +
		cp "$KSRC/.touched" "$tree.tmp/"
		cat "$KSRC/.source" > "$tree.tmp/.source" 2>/dev/null || echo "$SRC $VERSION" > "$tree.tmp/.source"
		mv "$tree.tmp" "$tree"
	fi
}

build_second() {
	local run=(unshare --mount)
	second_tree
	[ "$(id -u)" = 0 ] || run=(unshare --map-root-user --mount)
	# shellcheck disable=SC2016 # expands inside
	"${run[@]}" sh -c 'mount --make-rprivate / && mount --bind "$1" "$2" && shift 2 && exec "$@"' sh \
		"$CACHE/linux-$FLAVOUR" "$(realpath "$KSRC")" env SECOND_TREE=1 "$0" "$WANTED" "$OBJECTS"
}

# In the namespace, under the lock of whoever made it
if [ -n "${SECOND_TREE:-}" ]; then
	build >&2
	exit 0
fi
second=
[[ $FLAVOUR != bench && $FLAVOUR != base ]] || second=1
if [ -n "$second" ] && { [ ! -f "$OUT/vmlinux.pvh" ] || [ -n "$OBJECTS" ]; }; then
	[ -f "$CACHE/obj-ci/vmlinux" ] || "$0" ci --objects > /dev/null
	locked build_second >&2
fi
if [ "$FLAVOUR" = source ]; then
	[ "$(cat "$KSRC/.patched" 2>/dev/null)" = "$VERSION $PSUM" ] || locked apply >&2
	echo "$KSRC"
	exit 0
fi
[ -n "$second" ] || { [ -f "$OUT/vmlinux.pvh" ] && [ -z "$OBJECTS" ]; } || locked build >&2
touch "$OUT"
echo "$OUT"
