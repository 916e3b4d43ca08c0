#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: coverage.sh BUILD [TARGET...]   How much of the sources that a target is there for
# (fuzz/sources) its corpus alone runs through: lines and regions, in per cent. BUILD has the replays,
# built for clang's source-based coverage.
set -eu

build=$1
shift
[ $# -gt 0 ] || set -- $(ls fuzz/fuzz_*.c | sed 's/.*fuzz_//; s/\.c$//')
work=$build/coverage
mkdir -p "$work"

printf '%-16s %6s %8s  %s\n' target lines regions of
for target in "$@"; do
	sources=$(sed -n "s/^$target: //p" fuzz/sources)
	[ -n "$sources" ] || { echo "fuzz/sources does not say what $target is there for"; exit 2; }
	replay=$build/fuzz/replay_$target
	LLVM_PROFILE_FILE=$work/$target.profraw "$replay" "fuzz/corpus/$target" >"$work/$target.log" 2>&1 ||
		{ tail -n 3 "$work/$target.log"; exit 1; }
	llvm-profdata merge -o "$work/$target.profdata" "$work/$target.profraw"
	rm "$work/$target.profraw"
	# Its columns: regions, missed, %; functions, missed, %; lines, missed, %.
	llvm-cov report "$replay" -instr-profile="$work/$target.profdata" $sources |
		awk -v target="$target" -v of="$sources" \
			'$1 == "TOTAL" { printf "%-16s %6s %8s  %s\n", target, $10, $4, of }'
done
