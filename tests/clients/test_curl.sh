#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
. "$(dirname "$0")/fixture.sh"

python3 "$clients/messages.py" "$work/mail" 3
deliver "$work"/mail/*.eml
fetch() {
	curl -sS --max-time 20 -k -u "$user:$password" "$@"
}

fetch "imaps://127.0.0.1:$imaps/INBOX;UID=1" >"$work/got"
{
	printf 'Return-Path: <sender@example.net>\r\nDelivered-To: %s\r\n' "$user"
	cat "$work/mail/0000.eml"
} | cmp - "$work/got" || fail "the message differs"
pass "a message by IMAPS, byte for byte"

fetch "imap://127.0.0.1:$imap/INBOX;MAILINDEX=3;SECTION=1" >"$work/part"
grep -q 'see attachment' "$work/part" || fail "section 1 is not the text"
pass "a section by IMAP on loopback"

fetch --ssl-reqd "imap://127.0.0.1:$imap/" | grep -q 'Drafts' || fail "no list after STARTTLS"
pass "the list of folders after STARTTLS"

fetch "imap://127.0.0.1:$imap/INBOX?SUBJECT%20%22message%201%22" | grep -q 'SEARCH 2' || fail "search"
pass "a search"

fetch -T "$work/mail/0001.eml" "imap://127.0.0.1:$imap/Drafts" || fail "upload"
fetch "imap://127.0.0.1:$imap/Drafts;MAILINDEX=1" | cmp - "$work/mail/0001.eml" || fail "the upload differs"
pass "an upload"

status=0
curl -sS --max-time 20 -k -u "$user:wrong" "imaps://127.0.0.1:$imaps/" >/dev/null 2>&1 || status=$?
[ $status -eq 67 ] || fail "a wrong password gives curl's status $status"
pass "a wrong password is refused"
