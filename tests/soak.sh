#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: soak.sh BUILD MINUTES [SEED]   What `make check` does with a fixed few, with many: new seeds of the
# simulations for two thirds of the time, then aerofsck over twice as many mended flips, and crash
# states of new lives until the time is over. Each says how it is repeated; the last line says how
# many parts failed.
set -u

build=$1
minutes=$2
seed=${3:-$(date +%s)}
end=$(($(date +%s) + minutes * 60))
parts=0
failed=0

# part REPEAT COMMAND...
part() {
	repeat=$1
	shift
	parts=$((parts + 1))
	"$@" && return
	failed=$((failed + 1))
	echo "soak: failed; repeat with: $repeat"
}

simulated=$((minutes * 2 / 3))
part "$build/tests/sim/soak 1 SEED, as above" "$build/tests/sim/soak" $((simulated > 0 ? simulated : 1)) "$seed"
part "AEROSTORE_FLIPS_MEND=251 $build/tests/fsck/test_flips" \
	env AEROSTORE_FLIPS_MEND=251 "$build/tests/fsck/test_flips"
while :; do
	part "CRASH_SEED=$seed CRASH_PERCENT=100 $build/tests/crash/test_crash_states" \
		env CRASH_SEED="$seed" CRASH_PERCENT=100 "$build/tests/crash/test_crash_states"
	seed=$((seed + 1))
	[ "$(date +%s)" -lt "$end" ] || break
done
echo "soak: $failed of $parts parts failed"
[ $failed -eq 0 ]
