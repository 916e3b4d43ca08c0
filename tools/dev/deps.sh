#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Installs the Debian packages named that are missing; asks nothing, uses sudo only when not root.
set -u

missing=
for package in "$@"; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

command -v apt-get >/dev/null || {
	echo "deps: this is not Debian; please install:$missing" >&2
	exit 1
}
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "deps: installing$missing"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
apt() {
	DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1
}
apt install -y --no-install-recommends $missing && exit 0
apt update && apt install -y --no-install-recommends $missing && exit 0
echo "deps: cannot install$missing: $(grep -m1 '^E:' "$log" || tail -n 1 "$log")" >&2
exit 1
