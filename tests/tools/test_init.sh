#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# aeroctl init: what it makes, and that it never overwrites.
. "$(dirname "$0")/common.sh"

mode_is() {
	[ "$(stat -c %a "$2")" = "$1" ]
}

free_ports
expect 0 "a new store" "$build/aeroctl" init --dir "$store" --volumes 4 --lmtp "$lmtp" --imap "$imap" --imaps "$imaps" --hostname mail.example.org
says "4 volumes"
for secret in admin.key keys/node.key keys/fake-salt certificate-key.pem aerostore.conf vol3/superblock; do
	check "$secret is for its owner alone" mode_is 600 "$store/$secret"
done
check "so is the store" mode_is 700 "$store"
expect 0 "a certificate" openssl x509 -in "$store/certificate.pem" -noout -text
says "DNS:localhost, IP Address:127.0.0.1" "DNS:mail.example.org" "prime256v1" "CA:FALSE"
check "it lasts for years" openssl x509 -in "$store/certificate.pem" -noout -checkend $((3600 * 24 * 365 * 9))
check "its key fits" sh -c "[ \"\$(openssl x509 -in '$store/certificate.pem' -noout -pubkey)\" = \"\$(openssl pkey -in '$store/certificate-key.pem' -pubout)\" ]"

before=$(cd "$store" && find . -type f -exec sha256sum {} + | sort)
expect 2 "init twice is refused" "$build/aeroctl" init --dir "$store"
says "not empty"
check "and changes nothing" [ "$before" = "$(cd "$store" && find . -type f -exec sha256sum {} + | sort)" ]

mkdir "$scratch/empty"
expect 0 "an empty directory will do" "$build/aeroctl" init --dir "$scratch/empty" --json
says '"config":' '"volumes": 3'
for listener in "lmtp = {'127.0.0.1:2424', 'unix:lmtp.sock'}" "imaps = {'127.0.0.1:1993'}" "imap = {'127.0.0.1:1143'}"; do
	check "by default, $listener" grep -qxF "$listener" "$scratch/empty/aerostore.conf"
done
check "two stores have nothing in common" sh -c "! grep -hE '^(cluster|node|admin-public) ' '$config' '$scratch/empty/aerostore.conf' | sort | uniq -d | grep ."

(cd "$scratch" && "$build/aeroctl" init --dir disks --volume here --volume "$scratch/there") >"$out" 2>&1
check "volumes elsewhere" [ -e "$scratch/here/superblock" ] && check "both" [ -e "$scratch/there/superblock" ]
expect 0 "and their configuration is right" "$build/aerod" -t -c "$scratch/disks/aerostore.conf"
silent_about warning
expect 2 "a volume that has something in it" "$build/aeroctl" init --dir "$scratch/again" --volume "$scratch/here" --volume "$scratch/fresh"
says "$scratch/here is not empty" "is incomplete: remove it"
check "and no configuration is written" [ ! -e "$scratch/again/aerostore.conf" ]

expect 1 "without a directory" "$build/aeroctl" init
expect 1 "one volume" "$build/aeroctl" init --dir "$scratch/x" --volumes 1
expect 1 "volumes twice over" "$build/aeroctl" init --dir "$scratch/x" --volumes 3 --volume a --volume b
expect 1 "a port for two" "$build/aeroctl" init --dir "$scratch/x" --imap 1993
expect 1 "no port" "$build/aeroctl" init --dir "$scratch/x" --imap 70000
expect 1 "no host name" "$build/aeroctl" init --dir "$scratch/x" --hostname "a b"
expect 1 "an option of other commands" "$build/aeroctl" init --dir "$scratch/x" --yes
expect 1 "an argument" "$build/aeroctl" init more --dir "$scratch/x"
expect 1 "no command" "$build/aeroctl"
expect 1 "no such command" "$build/aeroctl" frobnicate
expect 1 "no such command below one that is" "$build/aeroctl" account frobnicate
says "no such command: account frobnicate"
check "nothing was made of all that" [ ! -e "$scratch/x" ]
expect 0 "help" "$build/aeroctl" --help
says "account create" "exit status"
for command in init status check "account create" "account invite" "account list" "account show" "account slots" \
	"account password" "account add-app-password" "account recovery-code" "account remove-slot" \
	"account disable" "account enable" "account delete"; do
	expect 0 "help of $command" "$build/aeroctl" $command --help
	says "usage: aeroctl [-c FILE] $command"
done

echo "a passphrase" >"$scratch/passphrase"
expect 0 "an admin key with a passphrase" "$build/aeroctl" init --dir "$scratch/sealed" --admin-passphrase-file "$scratch/passphrase"
check "which is not there in clear" grep -q '^sealed ' "$scratch/sealed/admin.key"
echo short >"$scratch/passphrase"
expect 1 "a passphrase that is too short" "$build/aeroctl" init --dir "$scratch/short" --admin-passphrase-file "$scratch/passphrase"

finish
