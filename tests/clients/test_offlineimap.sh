#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
. "$(dirname "$0")/fixture.sh"

python3 "$clients/messages.py" "$work/mail" 16
mv "$work/mail/0015.eml" "$work/late.eml"
deliver "$work"/mail/*.eml
cat >"$work/offlineimaprc" <<EOF
[general]
accounts = test
metadata = $work/metadata
ui = basic
[Account test]
localrepository = local
remoterepository = remote
[Repository local]
type = Maildir
localfolders = $work/maildir
[Repository remote]
type = IMAP
remotehost = localhost
remoteport = $imaps
remoteuser = $user
remotepass = $password
ssl = yes
sslcacertfile = $work/store/certificate.pem
EOF
sync() {
	HOME=$work timeout 120 offlineimap -c "$work/offlineimaprc" -o >"$work/offlineimap.log" 2>&1 || {
		tail -n 30 "$work/offlineimap.log"
		fail "offlineimap, $1"
	}
	! grep -E 'ERROR|Traceback' "$work/offlineimap.log" || fail "offlineimap complains, $1"
}

sync "first run"
[ "$(find "$work/maildir/INBOX/cur" "$work/maildir/INBOX/new" -type f | wc -l)" = 15 ] || fail "not all messages came"
pass "all messages came down"

file=$(find "$work/maildir/INBOX/new" "$work/maildir/INBOX/cur" -type f | sort | head -n 1)
name=$(basename "$file")
mv "$file" "$work/maildir/INBOX/cur/${name%%:*}:2,S"
printf 'Subject: from here\nFrom: %s\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\nlocal\n' "$user" >"$work/maildir/Drafts/new/1700000000.local"
deliver "$work/late.eml"
sync "second run"
python3 - "$imap" "$user" "$password" <<'EOF'
import imaplib, sys
client = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
client.login(sys.argv[2], sys.argv[3])
assert client.select("INBOX", readonly=True)[1] == [b"16"]
assert len(client.search(None, "SEEN")[1][0].split()) == 1
assert client.select("Drafts", readonly=True)[1] == [b"1"]
client.logout()
EOF
[ "$(find "$work/maildir/INBOX/cur" "$work/maildir/INBOX/new" -type f | wc -l)" = 16 ] || fail "the delivery did not come"
pass "both directions"
