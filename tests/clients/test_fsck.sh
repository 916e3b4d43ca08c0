#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# aerofsck over a store that real programs made: refused while aerod runs, clean after kill -9, an
# account exported octet for octet from the disks alone with each volume missing in turn and nothing
# written, damage mended and the store served again. And what it says to a wrong command line.
. "$(dirname "$0")/fixture.sh"

conf=$work/store/aerostore.conf
fsck() {
	"$build/aerofsck" "$@"
}

# status_of STATUS COMMAND...   the command ends so; its output is $said
status_of() {
	want=$1
	shift
	got=0
	said=$("$@" 2>&1) || got=$?
	[ "$got" -eq "$want" ] || fail "$*: status $got, not $want: $said"
}

# What IMAP gives for every message of a folder, one file each.
fetch() {
	/usr/bin/python3 - "$imap" "$user" "$password" "$1" <<-'EOF'
		import imaplib, os, sys
		port, user, password, target = sys.argv[1:]
		os.mkdir(target)
		imap = imaplib.IMAP4("127.0.0.1", int(port))
		imap.login(user, password)
		imap.create('"B&APw-cher.alt"')
		imap.select("INBOX")
		count = int(imap.select("INBOX")[1][0])
		imap.store("1", "+FLAGS", r"(\Seen \Flagged $Work)")
		imap.copy("2", '"B&APw-cher.alt"')
		for i in range(1, count + 1):
		    data = imap.fetch(str(i), "(UID BODY.PEEK[])")[1][0]
		    uid = data[0].split(b"UID ")[1].split()[0].decode()
		    with open(os.path.join(target, uid), "wb") as file:
		        file.write(data[1])
		imap.logout()
	EOF
}

# Every message of the export's INBOX under its UID.
by_uid() {
	mkdir "$2"
	for file in "$1"/cur/*; do
		uid=${file##*.U}
		cp "$file" "$2/${uid%%.*}"
	done
}

sums() {
	(cd "$work/store" && find vol* -type f ! -name lock -exec sha256sum {} + | sort)
}

for i in 1 2 3 4; do
	{
		printf 'From: bob@example.org\r\nSubject: %s\r\n\r\n' "$i"
		head -c "$((i * i * 70000))" /dev/urandom | base64 | sed 's/$/\r/'
	} >"$work/message.$i"
done
deliver "$work"/message.*
fetch "$work/served"
printf "Subject: unseen\r\n\r\nnobody has seen this\r\n" >"$work/unseen"
deliver "$work/unseen"

status_of 8 fsck -n -c "$conf"
case $said in *"in use by another process; stop aerod first"*) ;; *) fail "in use: $said" ;; esac
pass "refused while aerod runs"

kill -9 "$aerod_pid"
wait "$aerod_pid" || true
: >"$work/aerod.log"
aerod_pid=
status_of 0 fsck -n -c "$conf"
pass "a killed store is clean"

printf '%s\n' "$password" >"$work/password"
sums >"$work/before"
status_of 0 fsck --export "$work/out" --account "$user" --password-file "$work/password" -c "$conf"
by_uid "$work/out" "$work/exported"
new=$(grep -l 'nobody has seen this' "$work"/exported/*) || fail "the last delivery is not exported"
mv "$new" "$work/unseen.exported"
diff -r "$work/served" "$work/exported" || fail "the export differs"
find "$work/out/cur" -name '*.U1.*:2,FSa' | grep -q . || fail "flags: $(ls "$work/out/cur")"
grep -q '^0 \$Work$' "$work/out/dovecot-keywords" || fail "keywords"
cmp -s "$work/served/2" "$work/out/.Bücher%2Ealt/cur/"* || fail "another folder: $(ls -a "$work/out")"
pass "export, with flags, keywords, a Unicode folder and an undrained delivery"

for i in 0 1 2; do
	mv "$work/store/vol$i" "$work/away"
	status_of 0 fsck --export "$work/out.$i" --account "$user" --password-file "$work/password" -c "$conf"
	mv "$work/away" "$work/store/vol$i"
	diff -r "$work/out" "$work/out.$i" || fail "the export without volume $i differs"
done
sums | diff "$work/before" - || fail "the export wrote to a volume"
pass "export with each volume missing, and nothing written"

mv "$work/store/keys" "$work/away"
status_of 0 fsck --export "$work/keyless" --account "$user" --password-file "$work/password" -c "$conf"
mv "$work/away" "$work/store/keys"
case $said in *"cannot be verified without it"*) ;; *) fail "without keys: $said" ;; esac
by_uid "$work/keyless" "$work/keyless.exported"
diff -r "$work/served" "$work/keyless.exported" || fail "the export without the node's keys differs"
pass "export without the node's keys, of all that was fetched before"

echo wrong >"$work/wrong"
status_of 8 fsck --export "$work/none" --account "$user" --password-file "$work/wrong" -c "$conf"
case $said in *"not its password"*) ;; *) fail "wrong password: $said" ;; esac
pass "export refuses a wrong password"

status_of 0 fsck --salvage "$work/salvaged" "$work"/store/vol*
[ "$(find "$work/salvaged/blobs" -type f | wc -l)" -ge 5 ] || fail "salvage: $said"
pass "salvage"

column=$(find "$work"/store/vol1/columns -type f | head -n 1)
printf 'rotten' | dd of="$column" bs=1 seek=9000 conv=notrunc 2>/dev/null
printf 'rotten' | dd of="$work/store/vol0/superblock" bs=1 seek=100 conv=notrunc 2>/dev/null
status_of 4 fsck -n -c "$conf"
status_of 4 fsck -n --json -c "$conf"
printf '%s' "$said" | python3 -c '
import json, sys
document = json.load(sys.stdin)
codes = [problem["code"] for problem in document["problems"]]
assert "V02" in codes and not document["clean"], document
assert not any(problem["fixed"] for problem in document["problems"]), document'
status_of 1 fsck -y -c "$conf"
status_of 0 fsck -n -c "$conf"
rm -rf "$work/served"
start_aerod
fetch "$work/served"
rm "$(grep -l 'nobody has seen this' "$work"/served/*)" || fail "the last delivery is gone"
diff -r "$work/exported" "$work/served" || fail "served mail differs after mending"
stop_aerod
pass "damage is mended, and served as before"

status_of 0 fsck --rebuild-directory --rebuild-index -c "$conf"
[ -z "$(find "$work/store/index" -name '*.mdb')" ] || fail "the index is still there"
start_aerod
stop_aerod
status_of 0 fsck -n -c "$conf"
pass "directory and index are rebuilt"

mv "$work/store/vol2" "$work/away"
status_of 4 fsck -n -c "$conf"
case $said in *V01*vol2*) ;; *) fail "missing: $said" ;; esac
mv "$work/away" "$work/store/vol2"
"$build/aeroctl" init --dir "$work/other" >/dev/null
status_of 8 fsck -n "$work/store/vol0" "$work/store/vol1" "$work/other/vol0"
case $said in *other/vol0*"belongs to another store"*) ;; *) fail "foreign: $said" ;; esac
status_of 16 fsck
status_of 16 fsck -n -y "$work/store/vol0"
status_of 16 fsck --export "$work/none" -c "$conf"
status_of 16 fsck --frobnicate
[ "$(printf '%s\n' "$said" | wc -l)" -eq 1 ] || fail "more than a line: $said"
pass "refusals are named, and wrong command lines get one line"
