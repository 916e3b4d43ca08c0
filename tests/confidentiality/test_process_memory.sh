#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# What a logged-in user typed and read is gone from aerod's memory after logout, the cache's life and a minute.
. "$(dirname "$0")/../clients/fixture.sh"

here=$(cd "$(dirname "$0")" && pwd)
stop_aerod
sed -i 's/^unlocked-cache-minutes = .*/unlocked-cache-minutes = 1/' "$work/store/aerostore.conf"
start_aerod
printf 'Subject: canary-of-the-subject\r\n\r\ncanary-of-the-body\r\n' >"$work/mail"
deliver "$work/mail"
python3 - "$imap" "$imaps" "$user" "$password" <<'EOF'
import imaplib, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
for client in (
    imaplib.IMAP4("127.0.0.1", int(sys.argv[1])),
    imaplib.IMAP4_SSL("127.0.0.1", int(sys.argv[2]), ssl_context=context),
):
    client.login(sys.argv[3], sys.argv[4])
    client.select("INBOX")
    assert client.fetch("1", "(ENVELOPE BODY[])")[0] == "OK"
    client.logout()
EOF
sleep 122
[ "$("$build/aeroctl" -c "$work/store/aerostore.conf" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["accounts_unlocked"])')" = 0 ] ||
	fail "the account is still unlocked"
for text in "$password" canary-of-the-subject canary-of-the-body; do
	count=$(python3 "$here/memory.py" "$aerod_pid" "$text")
	[ "$count" = 0 ] || fail "\"$text\" is still in memory, $count times"
done
# The search itself works: the configured host name is there to be found.
host=$(sed -n "s/^hostname = '\(.*\)'/\1/p" "$work/store/aerostore.conf")
[ "$(python3 "$here/memory.py" "$aerod_pid" "$host")" != 0 ] || fail "the search finds nothing at all"
pass "no password and no mail in memory"
