#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# README's words against the program: what IMAP offers, the ports, the commands it shows, its links.
. "$(dirname "$0")/common.sh"

tree=$(cd "$(dirname "$0")/../.." && pwd)
readme=$tree/README.md

new_store
echo "a password" >"$scratch/password"
check "it serves" start_aerod
expect 0 "an account, as shown" ctl account create ada@example.org --password-file "$scratch/password"
expect 0 "what IMAP offers to who has logged in" python3 -c "
import imaplib
imap = imaplib.IMAP4('127.0.0.1', $imap)
imap.login('ada@example.org', 'a password')
print(*imap.capability()[1][0].decode().split(), sep='\n')"
cp "$out" "$scratch/offered"
for word in $(cat "$scratch/offered"); do
	check "README names $word" grep -qwF -- "$word" "$readme"
done
sed -n '/^- \*\*Read\*\* (/,/):/p' "$readme" | sed 's/.*\*\* (//; s/):.*//' | tr -s ' ,' '\n' | grep -E '^[A-Z]' >"$scratch/claimed"
check "README has a list" [ "$(wc -l <"$scratch/claimed")" -ge 10 ]
for word in $(cat "$scratch/claimed"); do
	check "IMAP offers $word" grep -qxF -- "$word" "$scratch/offered"
done
check "the end" end_aerod TERM

# The first two commands, and those of the manuals' programs.
for target in $(sed -n 's/^make \([a-z]*\) .*/\1/p' "$readme"); do
	check "make $target is a target" grep -qE "^$target:" "$tree/Makefile"
done
for link in $(grep -oE '\]\([A-Za-z/.]*\)' "$readme" | tr -d '])('); do
	check "README's link to $link" [ -e "$tree/$link" ]
done
for page in $(grep -oE '`man [a-z.]*`' "$readme" | tr -d '`' | sed 's/man //'); do
	check "there is a manual $page" sh -c "ls '$tree'/docs/man/$page.[1-8]"
done
sed -n 's/^aeroctl \(-c [^ ]* \)*\([a-z][a-z ]*[a-z]\).*/\2/p' "$readme" | sort -u >"$scratch/shown"
while read -r command; do
	expect 0 "aeroctl $command" "$build/aeroctl" $command --help
done <"$scratch/shown"

finish
