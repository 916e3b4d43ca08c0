#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Every fuzz target over its corpus, which holds the inputs of all bugs found so. Each replay prints
# how many inputs passed. And every target has a planted bug, and says what it is there for.
set -eu

for source in fuzz/fuzz_*.c; do
	target=$(basename "$source" .c)
	target=${target#fuzz_}
	grep -q "^$target|" fuzz/plants || { echo "fuzz/plants has no bug for $target"; exit 1; }
	grep -q "^$target: " fuzz/sources || { echo "fuzz/sources lacks $target"; exit 1; }
done

for replay in "$AEROSTORE_BUILD"/fuzz/replay_*; do
	case $replay in *.o | *.d) continue ;; esac
	"$replay" "fuzz/corpus/${replay##*/replay_}"
done
