#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# A volume is lost while aerod serves, and an empty one takes its place: what status says at each
# moment, and that afterwards any other one may be lost. Then rot, which a scrub finds and mends.
. "$(dirname "$0")/common.sh"

new_store
echo "a password" >"$scratch/password"

# field PATH: of the status, as JSON.
field() {
	ctl status --json | python3 -c "
import json, sys
value = json.load(sys.stdin)
for key in '$1'.split('.'):
    value = value[int(key)] if key.isdigit() else value[key]
print(value)"
}

# becomes PATH VALUE: within half a minute.
becomes() {
	for _ in $(seq 120); do
		[ "$(field "$1")" = "$2" ] && return 0
		sleep 0.25
	done
	ctl status
	ctl status --json
	return 1
}

# mail N: so many messages of about 100 KiB.
mail() {
	python3 -c "
import smtplib, random
s = smtplib.LMTP('127.0.0.1', $lmtp)
for i in range($1):
    body = '\r\n'.join('%064x' % random.getrandbits(256) for _ in range(1500))
    s.sendmail('bob@example.org', ['anna@example.org'], 'Subject: %d\r\n\r\n%s\r\n' % (i, body))
s.quit()"
}

# read_all N: every message comes back whole.
read_all() {
	python3 -c "
import imaplib
c = imaplib.IMAP4('127.0.0.1', $imap)
c.login('anna@example.org', 'a password')
assert c.select('INBOX') == ('OK', [b'$1'])
kind, data = c.fetch('1:*', '(BODY.PEEK[])')
sizes = [len(d[1]) for d in data if isinstance(d, tuple)]
assert kind == 'OK' and len(sizes) == $1 and min(sizes) > 90000, (kind, sizes)
c.logout()"
}

check "it serves" start_aerod
expect 0 "an account" ctl account create anna@example.org --password-file "$scratch/password"
expect 0 "mail" mail 30
check "it ends" end_aerod TERM
# The next start seals what the last one has left.
check "it serves again" start_aerod
check "sets are sealed" becomes sets.waiting_for_evacuation 0
check "one volume may be lost" [ "$(field exposure.volumes_tolerated)" = 1 ]
check "it counts what is stored, whoever stored it" [ "$(field sets.bytes_stored)" -gt 1500000 ]

rm -rf "$store/vol1"
check "the loss is noticed, though nobody writes" becomes volumes.1.state missing
check "none may be lost now" [ "$(field exposure.volumes_tolerated)" = 0 ]
check "sets are degraded" becomes repair.sets_degraded "$(field sets.sealed)"
expect 0 "status" ctl status
says "lack a column" "volume replace"
expect 0 "all is read without it" read_all 30

expect 1 "another directory is refused" ctl volume replace "$scratch/elsewhere"
expect 0 "an empty volume in its place" ctl volume replace vol1
check "it is taken into service" becomes volumes.1.state serving
check "nothing is missing any more" becomes repair.sets_degraded 0
check "one volume may be lost again" becomes exposure.volumes_tolerated 1
expect 0 "status" ctl status
silent_about "lack a column"
expect 2 "one that is in use is not overwritten" ctl volume replace vol1

check "it ends" end_aerod TERM
mv "$store/vol0" "$scratch/away"
check "it serves from what was made anew" start_aerod
expect 0 "all is read" read_all 30
expect 0 "mail goes in" mail 1
check "it ends" end_aerod TERM
mv "$scratch/away" "$store/vol0"

python3 - "$store"/vol2/columns/*.col "$store"/vol2/columns/*.par <<'END'
import os, sys
done = 0
for path in sys.argv[1:]:
    if os.path.exists(path) and os.path.getsize(path) > 300000:
        with open(path, "r+b") as f:
            f.seek(200000)
            old = f.read(64)
            f.seek(200000)
            f.write(bytes(b ^ 0x5A for b in old))
        done += 1
assert done
END
check "it serves rotten columns" start_aerod
expect 0 "a scrub" ctl scrub start
expect 0 "paused" ctl scrub pause
check "it says so" [ "$(field scrub.state)" = paused ]
expect 0 "resumed" ctl scrub resume
check "something is found and made anew" becomes repair.columns_rebuilt 1
check "and nothing is damaged" becomes repair.columns_damaged 0
expect 0 "the counters" ctl scrub status
says "columns"
expect 0 "all is read" read_all 31
check "the end" end_aerod TERM

finish
