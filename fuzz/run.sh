#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: run.sh BUILD MINUTES [TARGET...]   Runs the fuzz targets below BUILD in turn, one process,
# MINUTES in all. What they find beyond the corpus stays in BUILD/corpus; an input that fails is
# kept in BUILD as crash-TARGET-*, and the run goes on with the next target.
set -u

build=$1
minutes=$2
shift 2
[ $# -gt 0 ] || set -- $(ls fuzz/fuzz_*.c | sed 's/.*fuzz_//; s/\.c$//')
seconds=$((minutes * 60 / $#))
[ $seconds -gt 0 ] || seconds=1
failed=

for target in "$@"; do
	found=$build/corpus/$target
	log=$build/fuzz-$target.log
	mkdir -p "$found"
	"$build/fuzz/fuzz_$target" "$found" "fuzz/corpus/$target" -max_total_time=$seconds -max_len=8192 \
		-timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 -use_value_profile=1 -print_final_stats=1 \
		-artifact_prefix="$build/crash-$target-" >"$log" 2>&1
	status=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
	cover=$(sed -n 's/.*\(cov: [0-9]* ft: [0-9]*\).*/\1/p' "$log" | tail -n 1)
	printf '%-5s %-16s %9s runs  %s\n' "$([ $status -eq 0 ] && echo ok || echo FAIL)" "$target" \
		"${runs:-?}" "$cover"
	[ $status -eq 0 ] && continue
	failed="$failed $target"
	grep -aE 'ERROR|SUMMARY|runtime error|failed|Test unit written' "$log" | sed 's/^/      | /'
done
[ -z "$failed" ] || echo "failed:$failed"
[ -z "$failed" ]
