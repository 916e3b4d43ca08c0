#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
. "$(dirname "$0")/fixture.sh"

python3 "$clients/messages.py" "$work/mail" 12
deliver "$work"/mail/*.eml
mkdir "$work/home"
cat >"$work/muttrc" <<EOF
set folder = "imap://127.0.0.1:$imap/"
set spoolfile = "imap://127.0.0.1:$imap/INBOX"
set imap_user = "$user"
set imap_pass = "$password"
set ssl_starttls = no
set ssl_force_tls = no
set header_cache =
set copy = no
set quit = yes
set delete = yes
set move = no
set confirmappend = no
set imap_check_subscribed = yes
EOF
mutt() {
	printf '%s\n' "$1" >"$work/push"
	HOME=$work/home TERM=xterm timeout 60 \
		script -qec "neomutt -n -F $work/muttrc -e 'source $work/push'" /dev/null </dev/null >"$work/mutt.log" 2>&1
}
state() {
	python3 - "$imap" "$user" "$password" "$@" <<'EOF'
import imaplib, sys
client = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
client.login(sys.argv[2], sys.argv[3])
client.select(sys.argv[4], readonly=True)
print(len(client.search(None, *sys.argv[5:])[1][0].split()))
client.logout()
EOF
}

mutt 'push "<tag-pattern>~s \"message 3\"<enter><tag-prefix><set-flag>!<sync-mailbox><quit>"' || fail "$(tail -n 3 "$work/mutt.log")"
[ "$(state INBOX FLAGGED)" = 1 ] || fail "the flag did not arrive"
pass "a flag set by neomutt"

mutt 'push "<delete-pattern>~s \"message 5\"<enter><sync-mailbox><quit>"' || fail "$(tail -n 3 "$work/mutt.log")"
[ "$(state INBOX ALL)" = 11 ] || fail "the deletion did not arrive"
pass "a deletion by neomutt"

mutt 'push "<tag-pattern>~s \"message 7\"<enter><tag-prefix><save-message>=Archive<enter><sync-mailbox><quit>"' || fail "$(tail -n 3 "$work/mutt.log")"
[ "$(state Archive ALL)" = 1 ] || fail "the message is not in the archive"
pass "a message saved to another folder by neomutt"
