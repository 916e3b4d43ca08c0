#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# A canary in every field of a mailbox, then every byte of the store and the log is searched. The same
# mailbox in a build without a cipher must show every canary that is stored at all.
. "$(dirname "$0")/../clients/fixture.sh"

here=$(cd "$(dirname "$0")" && pwd)
python3 "$here/fill.py" "$imap" "$lmtp" "$user" "$password" "$work/canaries"
stop_aerod_keeping_log() {
	kill "$aerod_pid"
	wait "$aerod_pid" || fail "aerod ended with status $?"
	aerod_pid=
}
stop_aerod_keeping_log
python3 "$here/scan.py" "$work/canaries" "$work/store" "$work/aerod.log" >"$work/scan" || {
	cat "$work/scan"
	fail "plaintext on the disk"
}
tail -n 1 "$work/scan"
pass "nothing found in the store and the log"

# What is stored in clear by a build without a cipher; a password and a search are stored by none.
null=${AEROSTORE_NULL_BUILD:?the build without a cipher}
build=$(cd "$null" && pwd)
rm -rf "$work/store" "$work/aerod.log"
make_store
python3 "$here/fill.py" "$imap" "$lmtp" "$user" "$password" "$work/canaries"
stop_aerod_keeping_log
grep -vE '^(password|wrong-password|searched-for|envelope-sender) ' "$work/canaries" >"$work/stored"
python3 "$here/scan.py" "$work/stored" "$work/store" >"$work/scan" && fail "the scanner finds nothing at all"
for name in $(cut -d ' ' -f 1 "$work/stored"); do
	grep -q "^found $name " "$work/scan" || fail "the scanner misses $name: $(tail -n 1 "$work/scan")"
done
tail -n 1 "$work/scan"
pass "every canary is found where there is no cipher"
