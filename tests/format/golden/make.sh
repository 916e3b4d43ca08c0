#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: make.sh NAME   Writes a golden store, NAME.tar.gz, with the programs built now; from the top of the tree.
#
# When: before a version is released, under its number, and whenever a change adds something new to the bytes
# on disk. Never over one that is there: an old store must stay readable as it was written, and a change that
# cannot read one is a new format, with a feature flag and an upgrade. tests/format/test_golden reads all of
# them; a store holds the keys it needs, which are of no use for anything else.
#
# What is in a store: a sealed set, one that was evacuated, an open one, messages of one frame to many, folders,
# flags, an expunged and a moved message, a manifest and entries after it, a password, an app password and a
# recovery code.
set -eu
golden=tests/format/golden
build=${AEROSTORE_BUILD:-build/release}
[ $# -eq 1 ] || { echo "usage: $0 NAME" >&2; exit 64; }
[ ! -e "$golden/$1.tar.gz" ] || { echo "$golden/$1.tar.gz is there, and stays" >&2; exit 1; }
directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
"$build/tests/format/test_golden" --write "$directory"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$directory" -czf "$golden/$1.tar.gz" .
ls -l "$golden/$1.tar.gz"
