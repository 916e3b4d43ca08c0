#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: run.sh BUILD TEST...   Runs each test program or script; prints one line a test, the log of
# each that fails, and at the end "N passed, N failed". A test has 10 minutes.
set -u

build=$1
shift
export AEROSTORE_BUILD="$build"
logs=$build/test-logs
mkdir -p "$logs"
passed=0
failed=0
failures=

for test in "$@"; do
	name=${test#"$build"/tests/}
	name=${name#tests/}
	log=$logs/$(echo "$name" | tr / -).log
	start=$(date +%s)
	timeout --kill-after=10 600 "$test" >"$log" 2>&1
	status=$?
	seconds=$(($(date +%s) - start))
	# A cmocka program counts its own; a script is one test, or says how many with "N passed".
	ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p; s/^\([0-9]*\) passed$/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	bad=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	if [ $status -eq 0 ] && [ "$ok" -gt 0 ] && [ "$bad" -eq 0 ]; then
		passed=$((passed + ok))
		printf 'ok    %-44s %4d tests %4d s\n' "$name" "$ok" "$seconds"
		continue
	fi
	[ "$bad" -gt 0 ] || bad=1
	passed=$((passed + ok))
	failed=$((failed + bad))
	failures="$failures $name"
	printf 'FAIL  %-44s status %d %4d s\n' "$name" "$status" "$seconds"
	tail -n 60 "$log" | sed 's/^/      | /'
done

[ -z "$failures" ] || echo "failed:$failures"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
