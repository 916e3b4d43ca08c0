#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# The manuals: clean, and complete against the programs.
. "$(dirname "$0")/common.sh"

tree=$(dirname "$0")/../..
manuals=$tree/docs/man
for page in "$manuals"/*.[1-8]; do
	man --warnings -l -P cat "$page" >/dev/null 2>"$out"
	check "$(basename "$page") is clean" [ ! -s "$out" ]
done
man -l -P cat "$manuals/aerostore.conf.5" | col -b >"$scratch/conf.txt"
man -l -P cat "$manuals/aeroctl.1" | col -b >"$scratch/aeroctl.txt"

man -l -P cat "$manuals/aerofsck.8" | col -b >"$scratch/aerofsck.txt"
man -l -P cat "$manuals/aerod.8" | col -b >"$scratch/aerod.txt"

# Every key that the program knows, and no other.
sed -n 's/^\t\[KEY_[A-Z_]*\] = "\([a-z-]*\)",$/\1/p' "$tree/tools/common/config.c" | sort >"$scratch/keys"
check "the program has its keys" [ "$(wc -l <"$scratch/keys")" -ge 28 ]
sed -n 's/^\.It Ic \([a-z-]*\)$/\1/p' "$manuals/aerostore.conf.5" | sort >"$scratch/described"
diff "$scratch/keys" "$scratch/described" >"$out"
check "aerostore.conf(5) has each key, and no other" [ ! -s "$out" ]
new_store
for key in $(sed -n 's/^#* *\([a-z-]*\) = .*/\1/p' "$config"); do
	check "what init writes is a key: $key" grep -qxF "$key" "$scratch/keys"
done

# Every command of the table in the program is in its help, and no other.
sed -n '/^} commands\[\] = {/,/^};/s/^\t{"\([a-z -]*\)", .*/\1/p' "$tree/tools/aeroctl/main.c" | sort >"$scratch/table"
check "the program has its commands" [ "$(wc -l <"$scratch/table")" -ge 22 ]

# Every option of aerod and aerofsck, as their --help has them, and every exit status.
for program in aerod aerofsck; do
	"$build/$program" --help >"$scratch/help" 2>&1
	for option in $(grep -oE '(^| |\[)--?[a-z][a-z-]*' "$scratch/help" | tr -d ' [' | sort -u); do
		check "$program(8) has $option" grep -qF -e "$option" "$scratch/$program.txt"
	done
done
exits() {
	sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It \([0-9]*\)$/\1/p' "$manuals/$1" | tr '\n' ' '
}
check "aerod(8) has its exit status" [ "$(exits aerod.8)" = "0 1 " ]
check "aerofsck(8) has its exit status" [ "$(exits aerofsck.8)" = "0 1 4 8 16 32 " ]
check "aeroctl(1) has its exit status" [ "$(exits aeroctl.1)" = "0 1 2 3 " ]

# What a program says of itself in JSON is in its manual.
echo "a password" >"$scratch/password"
check "it serves" start_aerod
expect 0 "status" ctl --json status
for field in $(grep -oE '"[a-z_]+":' "$out" | tr -d '":' | sort -u); do
	check "aeroctl(1) has the field $field" grep -qwF "$field" "$scratch/aeroctl.txt"
done
check "the end" end_aerod TERM
"$build/aeroctl" --help | sed -n 's/^  \([a-z][a-z -]*[a-z]\).*  .*/\1/p' | sort -u >"$scratch/commands"
diff "$scratch/table" "$scratch/commands" >"$out"
check "aeroctl --help names each command" [ ! -s "$out" ]
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
