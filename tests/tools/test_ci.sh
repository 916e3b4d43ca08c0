#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# .ci/run: every step runs, one that fails fails the whole, and the last lines say which and how long.
. "$(dirname "$0")/common.sh"

# A make that fails for the target in $FAIL, and does nothing else.
mkdir "$scratch/bin" "$scratch/tree" "$scratch/tree/.ci"
cat >"$scratch/bin/make" <<'EOF'
#!/bin/sh
case " $* " in *" $FAIL "*) exit 2 ;; esac
EOF
chmod +x "$scratch/bin/make"
cp "$(dirname "$0")/../../.ci/run" "$scratch/tree/.ci/run"
steps=$(grep -c '^step ' "$scratch/tree/.ci/run")
PATH=$scratch/bin:$PATH
export PATH FAIL

FAIL=none
expect 0 "all is well" "$scratch/tree/.ci/run"
check "it says so last" [ "$(tail -n 1 "$out" | sed 's/[0-9]* s$//')" = "== CI passed: $steps steps, " ]
check "with the time of each" [ "$(grep -c '^== passed  *[0-9]* s  make ' "$out")" -eq "$steps" ]
for FAIL in lint unit check deps-check tests; do
	expect 1 "a failure of $FAIL" "$scratch/tree/.ci/run"
	check "is named" grep -q "^== FAILED (2) .* $FAIL" "$out"
	check "is counted last" grep -q "^== CI failed: 1 of $steps steps" "$out"
	check "stops no other step" [ "$(grep -c '^== passed' "$out")" -eq $((steps - 1)) ]
done

finish
