#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: compile-commands.sh "COMPILER FLAGS" FILE...   Prints compile_commands.json.
flags=$1
shift
separator='['
for file in "$@"; do
	printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' "$separator" "$PWD" "$file" "$flags" "$file"
	separator=','
done
printf '\n]\n'
