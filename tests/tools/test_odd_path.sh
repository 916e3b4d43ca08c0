#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# A clone at a path that make cannot handle is refused in words, whatever is asked of it.
. "$(dirname "$0")/common.sh"

for odd in "a b" "a:b" "it's"; do
	mkdir "$scratch/$odd"
	cp Makefile "$scratch/$odd/"
	for target in all check run help; do
		expect 2 "make $target in a directory called $odd" sh -c 'cd "$1" && cd .. && make -C "${1##*/}" "$2"' sh "$scratch/$odd" "$target"
		says "has a blank, a colon or a quote in it" "$odd"
	done
done
mkdir "$scratch/plain"
cp Makefile "$scratch/plain/"
expect 0 "but in others it works" make -C "$scratch/plain" help
says "soak"

finish
