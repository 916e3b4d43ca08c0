#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# What aerod -t says of a configuration: file and line of every mistake.
. "$(dirname "$0")/common.sh"

new_store
original=$scratch/original
cp "$config" "$original"
lines=$(wc -l <"$original")
next=$((lines + 1))

# wrong NAME TEXT MESSAGE: with TEXT at the end of the file it is refused with MESSAGE.
wrong() {
	cp "$original" "$config"
	printf '%s\n' "$2" >>"$config"
	expect 1 "$1" "$build/aerod" -t -c "$config"
	says "$3"
}

# changed NAME SED MESSAGE: edited with SED it is refused with MESSAGE.
changed() {
	sed "$2" "$original" >"$config"
	expect 1 "$1" "$build/aerod" -t -c "$config"
	says "$3"
}

line_of() {
	grep -n "^$1 = " "$original" | cut -d: -f1
}

expect 0 "what init wrote is right" "$build/aerod" -t -c "$config"
says "$config: ok"

wrong "an unknown key" "# a comment
volume-list = 3" "$config:$((next + 1)): no such option 'volume-list'"
wrong "a section" "limits { n = 1 }" "$config:$next: no such option 'limits'"
wrong "text for a number" "recipient-limit = many" "$config:$next: invalid integer value for option 'recipient-limit'"
wrong "a number for a truth" "starttls-on-network = 7" "$config:$next: invalid boolean value"
wrong "a key set twice" "node = 00" "$config:$next: node is set a second time, first in line $(line_of node)"
changed "a list for a text" "s/^hostname.*/hostname = {'a'}/" "$config:$(line_of hostname): unexpected token '{'"
wrong "zero for a limit" "recipient-limit = 0" "$config:$next: recipient-limit: must be above zero"
wrong "an open quote" "hostname = 'x" "$config:"
changed "a size without sense" "s/^message-limit.*/message-limit = 64X/" "$config:$(line_of message-limit): message-limit: a size is"
changed "a size that overflows" "s/^message-limit.*/message-limit = 99999999999999999999/" "$config:$(line_of message-limit): message-limit: a size is"
changed "a short id" "s/^cluster.*/cluster = abcd/" "$config:$(line_of cluster): cluster: must be 32 hexadecimal digits"
changed "no admin key pinned" "/^admin-public/d" "admin-public is missing"
changed "one volume" "s/^volumes.*/volumes = {'vol0'}/" "$config:$(line_of volumes): volumes: a store needs at least two volumes"
changed "a volume twice" "s/^volumes.*/volumes = {'vol0', 'vol1', 'vol0'}/" "$config:$(line_of volumes): volumes: one directory is listed twice"
changed "LMTP on a network address" "s/^lmtp.*/lmtp = {'127.0.0.1:24', '0.0.0.0:24'}/" "$config:$(line_of lmtp): lmtp: 0.0.0.0:24 is a network address"
changed "IMAP in clear on a network address" "s/^imap = .*/imap = {'192.0.2.1:143'}/" "$config:$(line_of imap): imap: 192.0.2.1:143 is a network address"
changed "IMAP in clear on all IPv6 addresses" "s/^imap = .*/imap = {'[::]:143'}/" "$config:$(line_of imap): imap: [::]:143 is a network address"
changed "a name for an address" "s/^imaps = .*/imaps = {'localhost:993'}/" "$config:$(line_of imaps): imaps: \"localhost:993\" is no address"
changed "a socket with too long a path" "s/^admin-socket.*/admin-socket = '$(printf 'x%.0s' $(seq 120))'/" "$config:$(line_of admin-socket): admin-socket: "
changed "a socket without a path" "s/^imap = .*/imap = {'unix:'}/" "$config:$(line_of imap): imap: \"unix:\" is no address"
changed "an address in two lists" "s/^imap = .*/imap = {'127.0.0.1:24'}/; s/^imaps = .*/imaps = {'127.0.0.1:24'}/" "$config:$(line_of imaps): imaps: 127.0.0.1:24 is listed twice"
changed "the admin socket for mail" "s/^lmtp.*/lmtp = {'unix:admin.sock'}/" "admin.sock is listed twice"
changed "a hostname of two words" "s/^hostname.*/hostname = 'a b'/" "$config:$(line_of hostname): hostname: must be"
changed "TLS without a certificate" "/^certificate/d" "$config:$(($(line_of imaps) - 2)): imaps: needs a certificate"
changed "a certificate without a key" "/^certificate-key/d" "$config:$(line_of certificate): certificate: needs certificate-key"
changed "a certificate that is not there" "s/^certificate = .*/certificate = 'nothing.pem'/" "certificate $store/nothing.pem: No such file"

sed "s/^imap = .*/imap = {'192.0.2.1:143'}/" "$original" >"$config"
echo "starttls-on-network = true" >>"$config"
expect 0 "IMAP in clear on a network address, when it is wanted" "$build/aerod" -t -c "$config"
printf '%s # "%s\nrecipient-limit = 5\n' "$(cat "$original")" "a quote in a comment" >"$config"
expect 0 "comments, wherever they stand" "$build/aerod" -t -c "$config"

cp "$original" "$config"
mv "$store/index" "$scratch/index" 2>/dev/null
echo >"$store/index"
expect 1 "an index that is a file" "$build/aerod" -t -c "$config"
says "index $store/index is not a directory"
rm "$store/index"
changed "an admin socket that is a directory" "s/^admin-socket.*/admin-socket = 'keys'/" "admin-socket $store/keys is a directory, not a socket"
changed "a socket mode that is none" "s/^lmtp-socket-mode.*/lmtp-socket-mode = '0689'/" "$config:$(line_of lmtp-socket-mode): lmtp-socket-mode: must be octal"
changed "a socket that its owner cannot use" "s/^lmtp-socket-mode.*/lmtp-socket-mode = '0066'/" "$config:$(line_of lmtp-socket-mode): lmtp-socket-mode: must be octal"
changed "a group that is not there" "s/^lmtp-socket-mode.*/lmtp-socket-group = 'no-such-group'/" "$config:$(line_of lmtp-socket-mode): lmtp-socket-group: there is no such group"

cp "$original" "$config"
expect 1 "no such file" "$build/aerod" -t -c "$scratch/nothing.conf"
says "$scratch/nothing.conf: No such file"
expect 1 "a directory" "$build/aerod" -t -c "$store"
expect 1 "no such option" "$build/aerod" --nothing
says "aerod: unrecognized option"
silent_about "$build/aerod: "
expect 1 "the other program, no such option" "$build/aeroctl" --nothing
says "aeroctl: unrecognized option"
silent_about "$build/aeroctl: "
expect 1 "an argument too many" "$build/aerod" -t -c "$config" more
expect 0 "help" "$build/aerod" --help
says "usage: aerod"
expect 0 "version" "$build/aerod" --version

(cd "$store" && expect 0 "a file in the working directory" "$build/aerod" -t -c aerostore.conf && [ "$failed" -eq 0 ]) || failed=1
chmod 644 "$store/keys/node.key"
expect 1 "a key that others may read" "$build/aerod" -t -c "$config"
says "$store/keys/node.key: others may read this secret"
chmod 600 "$store/keys/node.key"
cp -p "$store/keys/fake-salt" "$scratch/fake-salt"
echo nonsense >"$store/keys/fake-salt"
expect 1 "a key that is none" "$build/aerod" -t -c "$config"
says "not a key of this program"
rm "$store/keys/fake-salt"
expect 1 "a key that is missing" "$build/aerod" -t -c "$config"
says "$store/keys/fake-salt: No such file"
mv "$scratch/fake-salt" "$store/keys/fake-salt"
mv "$store/vol1" "$scratch/vol1"
expect 0 "a volume that is missing is a warning" "$build/aerod" -t -c "$config"
says "warning: volume $store/vol1 is missing"

finish
