#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Clients that mean no good, against a real aerod: tests/clients/hostile.py says which.
. "$(dirname "$0")/fixture.sh"

said=$(timeout 300 python3 "$clients/hostile.py" "$lmtp" "$imap" "$imaps" "$user" "$password" "$aerod_pid" 2>&1) ||
	fail "$said"
echo "$said" | sed '$d'
passed=$(echo "$said" | sed -n '$s/ passed//p')
kill -0 "$aerod_pid" || fail "aerod has ended"
stop_aerod
pass "and it ended well"
