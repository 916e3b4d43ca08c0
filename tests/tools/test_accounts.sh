#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Accounts over the admin socket: secrets never from the command line, the admin key only with aeroctl,
# and exit statuses that mean something.
. "$(dirname "$0")/common.sh"

echo "a passphrase" >"$scratch/passphrase"
new_store --admin-passphrase-file "$scratch/passphrase"
admin="--admin-passphrase-file $scratch/passphrase"
echo "first password" >"$scratch/first"

expect 3 "nobody there" ctl account list
says "it is not running"
check "aerod serves" start_aerod

expect 0 "create" ctl account create Anna@Example.ORG $admin --password-file "$scratch/first"
says "anna@example.org is created"
expect 2 "create again" ctl account create anna@example.org $admin --password-file "$scratch/first"
says "exists already"
expect 1 "not an address" ctl account create anna $admin --password-file "$scratch/first"
expect 1 "no terminal and no file" setsid "$build/aeroctl" -c "$config" account create bea@example.org $admin </dev/null
says "give --password-file"
expect 1 "a password on the command line" ctl account create bea@example.org secret $admin
expect 1 "no option for it" ctl account create bea@example.org --password secret $admin
echo short >"$scratch/short"
expect 1 "a short password" ctl account create bea@example.org $admin --password-file "$scratch/short"
echo "wrong passphrase" >"$scratch/wrong"
expect 2 "a wrong passphrase of the admin key" ctl account create bea@example.org --admin-passphrase-file "$scratch/wrong" --password-file "$scratch/first"
expect 1 "another cluster's admin key" sh -c "'$build/aeroctl' init --dir '$scratch/other' >/dev/null &&
	'$build/aeroctl' -c '$config' account create bea@example.org --admin-key '$scratch/other/admin.key' --password-file '$scratch/first'"
says "not the admin key that"
expect 2 "none of this made an account" ctl account show bea@example.org

expect 0 "show" ctl account show anna@example.org
says "active" "yes, until first login" "has not logged in yet"
expect 0 "a first login" ctl check --address anna@example.org --password-file "$scratch/first"
says "all others as sent"
expect 0 "slots after it" ctl account slots anna@example.org
says "password" "the operator cannot read"
silent_about "first password"

expect 0 "change of password" sh -c "printf 'first password\nsecond password\n' | '$build/aeroctl' -c '$config' account password anna@example.org --current-file - --password-file -"
expect 2 "the first does not open any more" ctl check --address anna@example.org --password-file "$scratch/first"
says AUTHENTICATIONFAILED
echo "second password" >"$scratch/second"
expect 0 "the second does" ctl check --address anna@example.org --password-file "$scratch/second"
expect 2 "a wrong current password" sh -c "printf 'guess a password\nthird password\n' | '$build/aeroctl' -c '$config' account password anna@example.org --current-file - --password-file -"
expect 2 "of an account that does not exist: the same words" sh -c "printf 'guess a password\nthird password\n' | '$build/aeroctl' -c '$config' account password nobody@example.org --current-file - --password-file -"
says "wrong password, or no such account"

expect 0 "app password" ctl account add-app-password anna@example.org --current-file "$scratch/second"
head -n 1 "$out" >"$scratch/app"
expect 0 "logs in" ctl check --address anna@example.org --password-file "$scratch/app"
ctl account slots anna@example.org --json >"$scratch/slots.json"
slot=$(python3 -c "
import json
print([s['slot'] for s in json.load(open('$scratch/slots.json'))['slots'] if s['kind'] == 'app'][0])")
expect 2 "remove a slot that is not there" ctl account remove-slot anna@example.org 4000 --current-file "$scratch/second"
expect 1 "remove no number" ctl account remove-slot anna@example.org x --current-file "$scratch/second"
expect 0 "remove it" ctl account remove-slot anna@example.org "$slot" --current-file "$scratch/second"
expect 2 "it opens nothing any more" ctl check --address anna@example.org --password-file "$scratch/app"

expect 0 "recovery code" ctl account recovery-code anna@example.org --current-file "$scratch/second"
head -n 1 "$out" >"$scratch/code"
echo "third password" >"$scratch/third"
expect 0 "sets a password" ctl account password anna@example.org --current-file "$scratch/code" --password-file "$scratch/third"
expect 0 "that opens" ctl check --address anna@example.org --password-file "$scratch/third"

expect 0 "invite" ctl account invite carl@example.org $admin --json
python3 -c "import json; print(json.load(open('$out'))['invitation'])" >"$scratch/invitation"
expect 2 "an invitation is no password" ctl check --address carl@example.org --password-file "$scratch/invitation"
expect 0 "it sets one" ctl account password carl@example.org --current-file "$scratch/invitation" --password-file "$scratch/third"
expect 2 "once" ctl account password carl@example.org --current-file "$scratch/invitation" --password-file "$scratch/first"
expect 0 "and the mail that waited is there" ctl check --address carl@example.org --password-file "$scratch/third"

expect 0 "disable" ctl account disable carl@example.org $admin
expect 2 "no delivery" ctl check --address carl@example.org --password-file "$scratch/third"
says "450 4.2.1"
expect 2 "disable again" ctl account disable carl@example.org $admin
expect 0 "enable" ctl account enable carl@example.org $admin
expect 0 "all is well" ctl check --address carl@example.org --password-file "$scratch/third"
expect 1 "delete asks" setsid "$build/aeroctl" -c "$config" account delete carl@example.org $admin </dev/null
says "give --yes"
expect 0 "delete" ctl account delete carl@example.org $admin --yes
expect 2 "it is gone" ctl account show carl@example.org
expect 2 "for deliveries, too" ctl check --address carl@example.org --password-file "$scratch/third"
says "550 5.1.1"
expect 0 "list" ctl account list
says anna@example.org
silent_about carl@example.org
expect 0 "list for programs" ctl account list --json
check "is JSON" python3 -c "
import json
accounts = {a['address']: a for a in json.load(open('$out'))}
assert accounts['anna@example.org']['enrolled'] is True
assert accounts['carl@example.org']['status'] == 'deleted'"

check "what was typed is on no disk" sh -c "! grep -raqE '(first|second|third) password' '$store' '$log'"
check "nor the codes" sh -c "! grep -raqF -e \"\$(cat '$scratch/code')\" -e \"\$(cat '$scratch/app')\" -e \"\$(cat '$scratch/invitation')\" '$store' '$log'"
mv "$store/admin.key" "$scratch/admin.key"
expect 1 "without the admin key no account is made" ctl account create dora@example.org --password-file "$scratch/first"
expect 0 "with it elsewhere one is" ctl account create dora@example.org $admin --admin-key "$scratch/admin.key" --password-file "$scratch/first"
check "nor does aerod miss it" end_aerod TERM
check "when it starts" start_aerod
expect 0 "accounts are there after a restart" ctl check --address dora@example.org --password-file "$scratch/first"

finish
