#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Every fuzz target over its corpus, which holds the inputs of all bugs found so. Each replay prints
# how many inputs passed.
set -eu

for replay in "$AEROSTORE_BUILD"/fuzz/replay_*; do
	case $replay in *.o | *.d) continue ;; esac
	"$replay" "fuzz/corpus/${replay##*/replay_}"
done
