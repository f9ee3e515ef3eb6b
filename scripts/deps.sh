#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Install what is missing of the Debian packages in deps.txt. Nothing to do takes no
# time and no network.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

mapfile -t want < <(grep -v '^#' "$TOP/scripts/deps.txt" | tr -s ' ' '\n' | sort -u)
have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
mapfile -t missing < <(comm -23 <(printf '%s\n' "${want[@]}") <(sort -u <<< "$have"))
[ ${#missing[@]} -gt 0 ] || exit 0

say "installing ${#missing[@]} packages: ${missing[*]}"
[ "$(id -u)" = 0 ] || die "not root: install these packages, or run as root"
export DEBIAN_FRONTEND=noninteractive
apt_install() { apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends "${missing[@]}"; }
if ! apt_install > "$LOGS/apt.log" 2>&1; then
	run_logged apt-update apt-get update -q
	run_logged apt apt_install
fi
