#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# The manuals: clean, and complete against the programs.
. "$(dirname "$0")/common.sh"

manuals=$(dirname "$0")/../../docs/man
for page in "$manuals"/*.[1-8]; do
	man --warnings -l -P cat "$page" >/dev/null 2>"$out"
	check "$(basename "$page") is clean" [ ! -s "$out" ]
done
man -l -P cat "$manuals/aerostore.conf.5" | col -b >"$scratch/conf.txt"
man -l -P cat "$manuals/aeroctl.1" | col -b >"$scratch/aeroctl.txt"

new_store
for key in $(sed -n 's/^\([a-z-]*\) = .*/\1/p' "$config") starttls-on-network recipient-limit; do
	check "aerostore.conf(5) has $key" grep -qE "^ +$key( |\$)" "$scratch/conf.txt"
done
"$build/aeroctl" --help | sed -n 's/^  \([a-z][a-z -]*[a-z]\).*  .*/\1/p' | sort -u >"$scratch/commands"
check "aeroctl names its commands" grep -q '^account create$' "$scratch/commands"
while read -r command; do
	check "aeroctl(1) has $command" grep -qE "^ +$command( |\$)" "$scratch/aeroctl.txt"
	for option in $("$build/aeroctl" $command --help | sed -n 's/^ .*\(--[a-z-]*\) .*/\1/p'); do
		check "aeroctl(1) has $option" grep -qF -e "$option" "$scratch/aeroctl.txt"
	done
done <"$scratch/commands"
expect 0 "install" make -s -C "$(dirname "$0")/../.." install DESTDIR="$scratch/root" PREFIX=/usr WERROR=1
for file in bin/aeroctl sbin/aerod sbin/aerofsck share/man/man1/aeroctl.1 share/man/man5/aerostore.conf.5 share/man/man8/aerod.8 share/man/man8/aerofsck.8; do
	check "puts $file in its place" [ -s "$scratch/root/usr/$file" ]
done

finish
