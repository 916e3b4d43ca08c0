#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# LMTP's corners (RFC 2033), seen from both ends: what is sent, and what IMAP gives back.
. "$(dirname "$0")/fixture.sh"

second=bob@example.org
printf '%s\n' "$password" |
	"$build/aeroctl" -c "$work/store/aerostore.conf" account create "$second" --password-file - >/dev/null
python3 "$clients/lmtp_session.py" "$lmtp" "$imap" "$user" "$second" "$password" "$aerod_pid" "$work/aerod.log"
pass "replies, transparency, limits, duplicates and a 50 MiB message in bounded memory"
