#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Two-way synchronisation with mbsync (isync), verified on both sides.
. "$(dirname "$0")/fixture.sh"

count() {
	find "$work/maildir/$1/cur" "$work/maildir/$1/new" -type f 2>/dev/null | wc -l
}
sync() {
	mbsync -c "$work/mbsyncrc" -a >"$work/mbsync.log" 2>&1 || {
		cat "$work/mbsync.log"
		fail "mbsync $1"
	}
}
bodies() {
	find "$1/cur" "$1/new" -type f | sort | while read -r file; do
		sed '/^X-TUID: /d' "$file" | tr -d '\r' | sha256sum
	done | sort
}

python3 "$clients/messages.py" "$work/mail" 31
mv "$work/mail/0030.eml" "$work/late.eml"
deliver "$work"/mail/*.eml
mkdir -p "$work/maildir"
cat >"$work/mbsyncrc" <<EOF
IMAPAccount aero
Host 127.0.0.1
Port $imaps
SSLType IMAPS
SSLVersions TLSv1.2 TLSv1.3
CertificateFile $work/store/certificate.pem
User $user
Pass $password

IMAPStore far
Account aero

MaildirStore near
Path $work/maildir/
Inbox $work/maildir/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
EOF
sync "first"
[ "$(count INBOX)" = 30 ] || fail "30 messages delivered, $(count INBOX) synchronised"
pass "all messages came down"

for file in "$work"/mail/*.eml; do
	{
		printf 'Return-Path: <sender@example.net>\r\nDelivered-To: %s\r\n' "$user"
		cat "$file"
	} >"$work/expected"
	tr -d '\r' <"$work/expected" | sha256sum
done | sort >"$work/expected.sums"
bodies "$work/maildir/INBOX" >"$work/got.sums"
cmp -s "$work/expected.sums" "$work/got.sums" || fail "a message changed on its way"
pass "every byte is the same"

# Locally: flags, a new message, a deletion. Remotely: a delivery.
first=$(find "$work/maildir/INBOX" -type f -name '*,U=1[:,]*' | head -n 1)
[ -n "$first" ] || first=$(find "$work/maildir/INBOX/cur" "$work/maildir/INBOX/new" -type f | sort | head -n 1)
base=$(basename "$first")
mv "$first" "$work/maildir/INBOX/cur/${base%%:*}:2,FS"
second=$(find "$work/maildir/INBOX/new" -type f | sort | head -n 1)
mv "$second" "$work/maildir/INBOX/cur/$(basename "$second" | sed 's/:.*//'):2,T"
printf 'Subject: local draft\r\nFrom: %s\r\n\r\nwritten here\r\n' "$user" >"$work/maildir/Drafts/new/1.local"
deliver "$work/late.eml"
sync "second"
[ "$(count INBOX)" = 30 ] || fail "30 - 1 + 1 messages expected, $(count INBOX) there"
python3 - "$imap" "$user" "$password" <<'EOF'
import imaplib, sys
client = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
client.login(sys.argv[2], sys.argv[3])
assert client.select("INBOX")[1] == [b"30"], "INBOX after the second run"
assert len(client.search(None, "FLAGGED", "SEEN")[1][0].split()) == 1, "flags did not go up"
assert client.select("Drafts")[1] == [b"1"], "the draft did not go up"
client.logout()
EOF
pass "flags, deletion and a new message went up, a delivery came down"

before=$(find "$work/maildir" -type f | sort | sha256sum)
sync "third"
[ "$before" = "$(find "$work/maildir" -type f | sort | sha256sum)" ] || fail "a run without news changed something"
pass "nothing moves when nothing happened"

stop_aerod
start_aerod
sync "after a restart"
[ "$before" = "$(find "$work/maildir" -type f | sort | sha256sum)" ] || fail "a restart made mbsync fetch or drop something"
pass "a restart of the server changes nothing"
