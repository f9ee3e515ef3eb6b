#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print the directory of a pristine Linux 7.3.y source: KERNEL_SRC, else the cache, else
# the distribution's package through a private apt configuration (the machine's own is
# not touched), else the kernel's release tarball.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
PKG=linux-source-7.3
SUITE=trixie-backports
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
TARBALL=${KERNEL_TARBALL:-https://cdn.kernel.org/pub/linux/kernel/v7.x/linux-7.3.tar.xz}
DEST=$CACHE/$PKG

is_73() { [ -f "$1/Makefile" ] && [ "$(kernel_version "$1" | cut -d. -f1,2)" = 7.3 ]; }

# The archive that serves this release's main suite, from the machine's own sources
mirror() {
	local code
	code=$(. /etc/os-release; echo "$VERSION_CODENAME")
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' 2>/dev/null |
		awk -v c="$code" '$2 == c { print $1; exit }'
}

from_package() {
	local a=$CACHE/apt url deb
	url=$(mirror)
	if [ -z "$url" ]; then
		# Never updated: the lists say nothing yet
		url=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
			grep -oE 'https?://[^ ]+' | grep -v security | head -n 1)
	fi
	[ -n "$url" ] && [ -r "$KEYRING" ] || return 1
	mkdir -p "$a"/{lists/partial,archives/partial,sources.list.d,debs}
	printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$url" "$SUITE" > "$a/sources.list"
	local apt=(-o Dir::Etc::sourcelist="$a/sources.list" -o Dir::Etc::sourceparts="$a/sources.list.d"
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o Dir::State::lists="$a/lists" -o Dir::Cache="$a" -o Dir::Cache::archives="$a/archives"
		-o APT::Sandbox::User=root -o Acquire::Languages=none)
	say "fetching $PKG from $SUITE"
	apt-get "${apt[@]}" -q update >&2 || return 1
	(cd "$a/debs" && apt-get "${apt[@]}" -q download "$PKG" >&2) || return 1
	deb=$(find "$a/debs" -name "${PKG}_*.deb" | sort | tail -n 1)
	say "unpacking $(basename "$deb")"
	dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		xz -dc -T0 | tar -x -C "$DEST.tmp" --strip-components=1 || return 1
	rm -f "$deb"
}

from_tarball() {
	say "fetching $TARBALL"
	command -v curl > /dev/null || return 1
	curl -fsSL "$TARBALL" | xz -dc | tar -x -C "$DEST.tmp" --strip-components=1
}

if [ -n "${KERNEL_SRC:-}" ]; then
	is_73 "$KERNEL_SRC" || die "KERNEL_SRC=$KERNEL_SRC is no Linux 7.3 source"
	(cd "$KERNEL_SRC" && pwd)
	exit 0
fi
get() {
	! is_73 "$DEST" || return 0
	rm -rf "$DEST" "$DEST.tmp"
	mkdir -p "$DEST.tmp"
	from_package || from_tarball ||
		die "no Linux 7.3 source: set KERNEL_SRC, or make the package $PKG or $TARBALL reachable"
	is_73 "$DEST.tmp" || die "what was fetched is no Linux 7.3"
	mv "$DEST.tmp" "$DEST"
}
LOCK=source
locked get >&2
echo "$DEST"
