#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lint.sh [--each-patch]: style and static checks. Everything is checked; the first list of
# each kind of complaint is printed, and the exit status says whether there was any.
#
# --each-patch: also build what each patch of the series touches, with W=1, the options on
# and off. It takes long.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$TOP"
# complain() is the last of a pipeline each time, and has to be heard
shopt -s lastpipe
EACH=
[ "${1:-}" != --each-patch ] || EACH=1
BAD=0
"$TOP/scripts/kernel-build.sh" ci --objects > /dev/null
"$TOP/scripts/kernel-build.sh" off --objects > /dev/null
SRC=$("$TOP/scripts/kernel-source.sh")
OBJ=$CACHE/obj-ci
P=$TOP/kernel-patches
# What the series changes, as objects: two directories as a whole, since it changes headers of
# theirs, and each other file. Those that our kernels are built without are for --each-patch.
TOUCHED=(fs/fuse/ drivers/dax/)
UNBUILT=()
mapfile -t SOURCES < <(sed -n 's|^+++ b/\(.*\.c\)$|\1|p' "$P"/[0-9]*.patch | sort -u | grep -vE '^(fs/fuse|drivers/dax|tools)/')
for f in "${SOURCES[@]}"; do
	if [ -f "$OBJ/${f%.c}.o" ]; then TOUCHED+=("${f%.c}.o"); else UNBUILT+=("${f%.c}.o"); fi
done

# complain WHAT: the text on stdin, if any, is a finding
complain() {
	local text
	text=$(cat)
	if [ -n "$text" ]; then
		BAD=1
		say "lint: $1"
		head -n 20 <<< "$text" | sed 's/^/    /' >&2
	else
		say "lint: $1: clean"
	fi
}

# --- the series
# Not followed, and why:
# - FILE_PATH_CHANGES: MAINTAINERS has fs/fuse/ and its selftests as a whole
# - COMPLEX_MACRO, SPACING, OPEN_ENDED_LINE, PARENTHESIS_ALIGNMENT, LONG_LINE: in
#   fuse_trace.h only, where the tables and TRACE_EVENT()s that are there look that way
# - ENOSYS: a FUSE server says with it that it does not know a request
checkpatch() {
	local f in_trace='fs/fuse/fuse_trace.h:.*:(COMPLEX_MACRO|SPACING|OPEN_ENDED_LINE|PARENTHESIS_ALIGNMENT|LONG_LINE):'
	for f in "$P"/[0-9]*.patch; do
		# By stdin: a file that git tracks would be checked as a source file
		"$KSRC/scripts/checkpatch.pl" --strict --no-tree --no-summary --terse --showfile \
			--ignore FILE_PATH_CHANGES,ENOSYS --show-types - < "$f" 2>&1 |
			grep -vE "0 errors|^$|$in_trace" | sed "s|^|${f##*/}: |" || true
	done
}
checkpatch | complain "checkpatch.pl --strict on the series"
{ grep -li famfs "$P"/[0-9]*.patch || true; } | complain "the series names no filesystem"
grep -v '^#' "$P/series" | while read -r f; do
	[ -f "$P/$f" ] || echo "series names $f, which is not there"
done | complain "the series is complete"

# findings SOURCE LOG: what compiler, sparse and kernel-doc say in LOG, without line numbers
findings() {
	grep -E '([Ww]arning|error):' "$2" |
		sed -E "s#(^|[ :])($(realpath "$1")|$1|[./]+)/#\1#g; s/:[0-9]+(:[0-9]+)?:? /: /" | sort -u || true
}
# make_touched SOURCE OBJECT_DIR VAR=VALUE...: the findings; that make fails is one
make_touched() {
	local src=$1 obj=$2 rc=0 log
	shift 2
	log=$LOGS/lint-$(basename "$obj")-${1//=/}.log
	make -s -k -C "$src" O="$obj" ARCH=x86_64 -j"$JOBS" "$@" "${TOUCHED[@]}" > "$log" 2>&1 || rc=$?
	{
		[ $rc = 0 ] || echo "make $* failed with $rc (log: $log): $(grep -E 'Error|Stop' "$log" | head -n 1)"
		findings "$src" "$log"
	} | sort -u
}
# What counts is what the unpatched tree does not say, by the same programs
REF=$CACHE/lint-$(kernel_version "$SRC")-$({ echo "${TOUCHED[@]}"; gcc --version; sparse --version; cat "$OBJ/.config"; } | sha256sum | cut -c1-16).txt
reference() {
	local t=$CACHE/lint-obj
	[ ! -f "$REF" ] || return 0
	rm -rf "$t"
	mkdir "$t"
	cp "$OBJ/.config" "$t/"
	make -s -C "$SRC" O="$t" ARCH=x86_64 -j"$JOBS" olddefconfig prepare > "$LOGS/lint-prepare.log" 2>&1 ||
		{ tail -n 5 "$LOGS/lint-prepare.log"; return 0; }
	{ sparse_of "$SRC" "$t"; make_touched "$SRC" "$t" W=1; } | sort -u > "$REF.tmp"
	rm -rf "$t"
	# Of half of it there is nothing to be compared with
	grep '^make .* failed' "$REF.tmp" || mv "$REF.tmp" "$REF"
}
# new: of the findings on stdin those that are not in the reference
new() {
	if [ -f "$REF" ]; then comm -13 "$REF" -; else echo "no reference"; cat; fi
}
# Debian 12's sparse needs the define
sparse_of() { # SOURCE OBJECT_DIR
	make_touched "$1" "$2" C=2 CF=-D__typeof_unqual__=__typeof__
}
w1() { # OBJECT_DIR
	touch -c "$KSRC"/fs/fuse/*.c "$KSRC"/drivers/dax/*.c "${SOURCES[@]/#/$KSRC/}"
	make_touched "$KSRC" "$1" W=1 | new
}
say "lint: ${TOUCHED[*]}; not built here: ${UNBUILT[*]:-none}"
locked reference | complain "the unpatched tree, to compare with"
{ locked sparse_of "$KSRC" "$OBJ" | new; } | complain "sparse on what the series touches"
locked w1 "$OBJ" | complain "W=1, options on"
locked w1 "$CACHE/obj-off" | complain "W=1, options off"
# With the options off, the objects have the symbols of the unpatched tree
# but for numbers that follow from line numbers, or from how often a macro of a header was used.
# Objects of the archive: others may lie about, since the directory began as that of the ci kernel.
symbols() { # OBJECT_DIR
	local o
	cd "$1/fs/fuse"
	ar t built-in.a | sed 's|.*/||' | sort | while read -r o; do
		nm "$o" | sed -E "s/^.{17}//; s/\.[0-9]+$//; s/\.LC[0-9]+$/.LC/; s/(__initcall__kmod_[a-z]*)__[0-9]+_[0-9]+/\1/; s|(__BTF_ID__.*)__[0-9]+$|\1|; s|^|$o |" | sort -u
	done
}
uncounted() { sed -E 's/(__UNIQUE_ID_[A-Za-z_0-9]*)_[0-9]+$/\1/' | sort -u; }
off_symbols() {
	local ref
	ref=$CACHE/fuse-symbols-$(kernel_version "$SRC")-$(sha256sum < "$CACHE/obj-off/.config" | cut -c1-16).nm
	if [ ! -f "$ref" ]; then
		local t=$CACHE/off-ref
		rm -rf "$t"
		mkdir "$t"
		cp "$CACHE/obj-off/.config" "$t/"
		make -s -C "$SRC" O="$t" ARCH=x86_64 -j"$JOBS" olddefconfig prepare fs/fuse/ > "$LOGS/off-ref.log" 2>&1 ||
			{ tail -n 5 "$LOGS/off-ref.log"; return; }
		(symbols "$t") > "$ref.tmp"
		mv "$ref.tmp" "$ref"
		rm -rf "$t"
	fi
	(symbols "$CACHE/obj-off") | uncounted | diff <(uncounted < "$ref") - || true
}
locked off_symbols | complain "options off: the symbols of fs/fuse are those of the unpatched tree"

# --- our own code
mapfile -t C < <(git ls-files '*.c' '*.h')
mapfile -t SH < <(git ls-files '*.sh' run .ci/run)
scripts/format.py --check "${C[@]}" 2>&1 | complain "format (scripts/format.py FILE... mends it)"
# SC1091: sourced files are checked by themselves. SC2034: variables for who sources lib.sh.
# SC2154: and those that it gives. SC2016: quoted for the shell in the VM. SC2015: A && B || C
# where B cannot fail. SC2094: a file is compared with itself.
{ shellcheck -x -e SC1091,SC2015,SC2016,SC2034,SC2094,SC2154 "${SH[@]}" 2>&1 || true; } | complain "shellcheck"
words=fo,inout,ue,nd,te,ser,ba,ot,ans,iput,extraversion
{
	git ls-files -z -- . ':!*.patch' ':!tests/fuzz/corpus' | xargs -0 codespell --ignore-words-list=$words 2>&1 || true
	sed -n 's/^+//p' "$P"/[0-9]*.patch | codespell --ignore-words-list=$words - 2>&1 || true
} | complain "codespell"
git ls-files '*.c' '*.h' '*.sh' '*.py' '*meson.build' '*.config' run .ci/run | while read -r f; do
	head -n 3 "$f" | grep -q SPDX-License-Identifier || echo "$f"
done | complain "SPDX on every file"
{ git grep -nE '(^|[^A-Za-z0-9_./-])/(work|farm|root/dev)/' -- . ':!scripts/lint.sh' || true; } | complain "no machine path in a tracked file"

each_patch() {
	local t=$CACHE/each f o
	rm -rf "$t"
	cp -a "$SRC" "$t"
	for o in on off; do
		rm -rf "$CACHE/each-$o"
		mkdir "$CACHE/each-$o"
		cp "$OBJ/.config" "$CACHE/each-$o/"
		[ $o = on ] || sed -i '/FUSE_IOMAP/d; $a # CONFIG_FUSE_IOMAP is not set' "$CACHE/each-$o/.config"
		# For what is in UNBUILT
		printf 'CONFIG_MISC_FILESYSTEMS=y\nCONFIG_EROFS_FS=y\n' >> "$CACHE/each-$o/.config"
	done
	while read -r f; do
		patch -d "$t" -p1 -s < "$P/$f"
		for o in on off; do
			# It takes longer than most of the compiling, so only when there is something new
			if ! cmp -s "$t/fs/fuse/Kconfig" "$CACHE/each-$o/Kconfig.seen"; then
				[ $o = off ] || printf 'CONFIG_FUSE_IOMAP%s=y\n' '' _BPF _KUNIT_TEST >> "$CACHE/each-$o/.config"
				make -s -C "$t" O="$CACHE/each-$o" ARCH=x86_64 olddefconfig > /dev/null 2>&1
				cp "$t/fs/fuse/Kconfig" "$CACHE/each-$o/Kconfig.seen"
			fi
			make -s -k -C "$t" O="$CACHE/each-$o" ARCH=x86_64 -j"$JOBS" W=1 "${TOUCHED[@]}" "${UNBUILT[@]}" \
				> "$CACHE/each-$o/log" 2>&1 || echo "$f [$o]: make failed: $(tail -n 1 "$CACHE/each-$o/log")"
			findings "$t" "$CACHE/each-$o/log" | new | sed "s|^|$f [$o]: |"
		done
	done < <(grep -v '^#' "$P/series")
	rm -rf "$t" "$CACHE/each-on" "$CACHE/each-off"
}
[ -z "$EACH" ] || locked each_patch | complain "each patch builds with W=1, options on and off"

[ $BAD = 0 ] || die "findings above"
say "lint: ok"
