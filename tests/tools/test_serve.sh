#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# The life of an aerod: what stops it from starting, signals, power loss, a disk that vanishes.
. "$(dirname "$0")/common.sh"

new_store
echo "a password" >"$scratch/password"

check "it serves" start_aerod
expect 0 "an account" ctl account create anna@example.org --password-file "$scratch/password"
expect 0 "mail goes in and comes out" ctl check --address anna@example.org --password-file "$scratch/password" --keep
first=$(sed -n 's/^\([0-9]*\) octets.*/\1/p' "$out")

# ---- status ----

expect 0 "status" ctl status
says "1 of 3 serving volumes" "survives no disk" "profile 2+1"
expect 0 "status for programs" ctl status --json
check "is JSON and true" python3 -c "
import json
status = json.load(open('$out'))
assert len(status['volumes']) == 3 and all(v['state'] == 'serving' for v in status['volumes'])
assert status['exposure'] == {'volumes_tolerated': 1, 'blobs_volumes_tolerated': 1,
    'journal_volumes_tolerated': 1, 'shared_disk': True, 'survives_a_disk': False}
assert status['accounts'] == 1 and status['lmtp']['delivered'] == 1"

# ---- the MTA's socket ----

check "the socket's mode is that of the configuration" [ "$(stat -c %a "$store/lmtp.sock")" = 660 ]
group=$(id -Gn | tr ' ' '\n' | tail -n 1)
check "SIGTERM" end_aerod TERM
mkdir -m 755 "$scratch/run"
sed "s|'unix:lmtp.sock'|'unix:$scratch/run/lmtp.sock'|; s|^lmtp-socket-mode.*|lmtp-socket-mode = '0622'|" "$config" >"$scratch/conf"
echo "lmtp-socket-group = '$group'" >>"$scratch/conf"
cp "$config" "$scratch/original"
cp "$scratch/conf" "$config"
check "it serves with a socket elsewhere" start_aerod
check "mode and group of the socket" [ "$(stat -c %a:%G "$scratch/run/lmtp.sock")" = "622:$group" ]
check "SIGTERM" end_aerod TERM
cp "$scratch/original" "$config"
check "it serves as before" start_aerod

# ---- what stops it from starting ----

expect 1 "twice over one store" "$build/aerod" -c "$config"
says "in use by another process"
mkdir "$scratch/other"
"$build/aeroctl" init --dir "$scratch/other/store" --lmtp "$lmtp" >/dev/null
expect 1 "a port that is taken" "$build/aerod" -c "$scratch/other/store/aerostore.conf"
says "event=listen-failed" "127.0.0.1:$lmtp" "taken by another program"
check "the other still serves" ctl status

check "SIGTERM ends it well" end_aerod TERM
mv "$store/vol2" "$scratch/vol2"
cp -r "$scratch/other/store/vol2" "$store/vol2"
expect 1 "another store's volume" "$build/aerod" -c "$config"
says "error=FOREIGN" "belongs to another store"
rm -r "$store/vol2"
cp -r "$scratch/vol2" "$store/vol2"
python3 "$(dirname "$0")/newer_superblock.py" "$store/vol2/superblock"
expect 1 "a newer version's volume" "$build/aerod" -c "$config"
says "error=NEWER" "newer version"
rm -r "$store/vol2"
check "a volume that is missing is no obstacle" start_aerod
expect 0 "status says so" ctl status
says "1 of 3 volumes do not serve" "missing"
expect 0 "mail comes and is read" ctl check --address anna@example.org --password-file "$scratch/password"
check "and it ends well" end_aerod TERM
mv "$scratch/vol2" "$store/vol2"

# ---- signals ----

check "it serves again, whole" start_aerod
fingerprint() {
	openssl s_client -connect "127.0.0.1:$imaps" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint
}
before=$(fingerprint)
cp "$scratch/other/store/certificate.pem" "$scratch/other/store/certificate-key.pem" "$store/"
check "the certificate is that of the start" [ "$(fingerprint)" = "$before" ]
kill -HUP "$aerod"
for _ in $(seq 50); do
	grep -q event=certificate-reloaded "$log" && break
	sleep 0.1
done
check "SIGHUP brings the new one" [ "$(fingerprint)" != "$before" ]
echo nonsense >"$store/certificate.pem"
kill -HUP "$aerod"
for _ in $(seq 50); do
	grep -q event=certificate-kept "$log" && break
	sleep 0.1
done
check "one that is none is not taken" [ "$(fingerprint)" != "$before" ]
check "and that is logged" grep -q event=certificate-kept "$log"
cp "$scratch/other/store/certificate.pem" "$store/certificate.pem"
kill -HUP "$aerod"

expect 0 "an idle client is told goodbye when SIGINT comes, and one in the middle of a command, too" python3 -c "
import os, signal, socket
def connect(port, greeting):
    s = socket.create_connection(('127.0.0.1', port), 10)
    f = s.makefile('rb')
    assert f.readline().startswith(greeting)
    return s, f
idle, idle_file = connect($imap, b'* OK')
busy, busy_file = connect($lmtp, b'220')
busy.sendall(b'LHLO x\r\nMAIL FR')
while not busy_file.readline().startswith(b'250 '):
    pass
os.kill($aerod, signal.SIGINT)
assert idle_file.readline().startswith(b'* BYE'), 'IMAP'
assert idle_file.readline() == b''
assert busy_file.readline().startswith(b'421 4.3.2'), 'LMTP'
assert busy_file.readline() == b''"
wait "$aerod"
check "with status 0" [ $? -eq 0 ]
aerod=
check "the sockets are gone" [ ! -e "$store/admin.sock" ]

# ---- power loss, and a disk that vanishes ----

check "it serves once more" start_aerod
expect 0 "mail" ctl check --address anna@example.org --password-file "$scratch/password" --keep
end_aerod KILL 2>/dev/null
check "it serves after kill -9" start_aerod
count_mail() {
	python3 -c "
import imaplib
c = imaplib.IMAP4('127.0.0.1', $imap)
c.login('anna@example.org', 'a password')
c.select('INBOX', readonly=True)
sizes = [len(c.fetch(n, '(BODY.PEEK[])')[1][0][1]) for n in c.search(None, 'ALL')[1][0].split()]
assert sizes == [$first] * $1, sizes
c.logout()"
}
expect 0 "both messages are there" count_mail 2
expect 0 "mail goes on" ctl check --address anna@example.org --password-file "$scratch/password" --keep
rm -rf "$store/vol1"
expect 0 "without one volume, too" ctl check --address anna@example.org --password-file "$scratch/password" --keep
expect 0 "what came before and after is readable" count_mail 4
expect 0 "status says it" ctl status
says "0 of 2 serving volumes" "1 of 3 volumes do not serve"
check "it ends well" end_aerod TERM
check "and starts without it" start_aerod
expect 0 "all mail is there" count_mail 4
check "the end" end_aerod TERM

finish
