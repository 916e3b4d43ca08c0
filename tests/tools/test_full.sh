#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Disks that are full: what the MTA and clients are told, that deleting works, that the log stays short.
. "$(dirname "$0")/common.sh"

new_store
echo "a password" >"$scratch/password"
cp "$config" "$scratch/original"

check "it serves" start_aerod
expect 0 "an account" ctl account create anna@example.org --password-file "$scratch/password"
expect 0 "mail goes in" ctl check --address anna@example.org --password-file "$scratch/password" --keep
# Not TERM: a set stays behind that has to be finished.
end_aerod KILL 2>/dev/null

# No disk has so much: every volume is full from the start.
echo "volume-reserve = 1000000G" >>"$config"
expect 0 "the configuration is right" "$build/aerod" -t -c "$config"
check "it serves, full" start_aerod
expect 0 "status" ctl status
says "full"
expect 0 "what a full store answers" python3 -c "
import imaplib, smtplib
c = imaplib.IMAP4('127.0.0.1', $imap)
c.login('anna@example.org', 'a password')
assert c.select('INBOX') == ('OK', [b'1'])
kind, told = c.append('INBOX', None, None, b'Subject: more\r\n\r\nmore\r\n')
assert kind == 'NO' and told[0].startswith(b'[UNAVAILABLE]') and b'full' in told[0], (kind, told)
s = smtplib.LMTP('127.0.0.1', $lmtp)
try:
    s.sendmail('bob@example.org', ['anna@example.org'], b'Subject: x\r\n\r\nx\r\n')
    assert False, 'accepted'
except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as e:
    print(e)
    assert '452' in str(e) and '4.3.1' in str(e), e
c.store('1', '+FLAGS', '(\\\\Deleted)')
assert c.expunge() == ('OK', [b'1'])
assert c.select('INBOX') == ('OK', [b'0'])
c.logout()"
# Passes over what could not be finished come every five seconds.
sleep 11
check "the log says it once" [ "$(grep -c event=sets-not-finished "$log")" -le 1 ]
check "the log is short" [ "$(wc -l <"$log")" -lt 60 ]
check "it ends well" end_aerod TERM

cp "$scratch/original" "$config"
check "it serves, with room" start_aerod
expect 0 "mail goes in and comes out again" ctl check --address anna@example.org --password-file "$scratch/password"
check "the end" end_aerod TERM

finish
