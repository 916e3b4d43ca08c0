#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: plant.sh BUILD [TARGET...]   Proves that the fuzz targets can fail: puts the bug of fuzz/plants
# into a copy of one source, links the target with it in front of the archives, and runs it for at
# most a minute: once over the corpus, then fuzzing from nothing. Prints the seconds that each took.
set -u

build=$1
shift
[ $# -gt 0 ] || set -- $(sed 's/|.*//; /^#/d' fuzz/plants)
work=$build/plants
flags='-fsanitize=address,undefined -fno-sanitize-recover=all'
missed=
found=0

# search OPTIONS...   Prints in what time the bug was found.
search() {
	start=$(date +%s%N)
	"$work/fuzz_$target" -max_total_time=60 -max_len=4096 -timeout=10 -malloc_limit_mb=64 -use_value_profile=1 \
		-artifact_prefix="$work/" "$@" >"$work/$target.log" 2>&1 && { echo missed; return; }
	echo "$((($(date +%s%N) - start) / 1000000)) ms"
}

mkdir -p "$work"
for target in "$@"; do
	line=$(grep "^$target|" fuzz/plants) || { echo "no plant for $target"; exit 2; }
	source=$(echo "$line" | cut -d'|' -f2)
	text=${line##*|}
	expression=${line#*|*|}
	expression=${expression%|*}
	sed "$expression" "$source" >"$work/$target.c"
	if cmp -s "$source" "$work/$target.c"; then
		echo "the plant of $target changes nothing in $source"
		exit 2
	fi
	clang -std=c11 -g -O1 -w -I. -D_GNU_SOURCE $flags -fsanitize=fuzzer-no-link -c -o "$work/$target.o" \
		"$work/$target.c" &&
		clang $flags -fsanitize=fuzzer -o "$work/fuzz_$target" "$build/fuzz/fuzz_$target.o" "$work/$target.o" \
			"$build/tests/support/unit_env.o" "$build/fuzz/disk.o" -Wl,--start-group "$build"/fuzz/libcommon.a "$build"/lib*.a -Wl,--end-group \
			-lconfuse -ljansson -lbsd -lisal -lsodium -lzstd -lunistring -lssl -lcrypto -lev -llmdb -lpthread || exit 2
	corpus=$(search -runs=0 "fuzz/corpus/$target")
	nothing=$(search)
	printf '%-16s corpus %-10s nothing %-10s %s\n' "$target" "$corpus" "$nothing" "$text"
	if [ "$corpus" = missed ] && [ "$nothing" = missed ]; then
		missed="$missed $target"
	else
		found=$((found + 1))
	fi
done
echo "found $found of $# planted bugs"
[ -z "$missed" ] || echo "missed:$missed"
[ -z "$missed" ]
